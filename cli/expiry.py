"""Until when the audits of a release are enough for a policy."""

from pcrlog import limits
from pcrlog.encoding import format_time, parse_time
from pcrlog.predicates import Audit
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW
from pcrlog.verification.audits import Audits

_DAY = 86_400
_NEVER = "9999-12-31T23:59:59Z"


def until(audits: Audits, scope: str) -> str | None:
    """When audits of a scope will be too few; None if they are too few now.

    The quorum counts auditors. Each counts until the last of its audits runs out. What
    does not run out has the last time that there is. A basis may run out, and what
    builds on it still counts.
    """
    passes = {
        REPRODUCTION: lambda: audits.reproductions,
        SOURCE_REVIEW: lambda: audits.source_reviews,
        CONTROLS_REVIEW: lambda: audits.controls_reviews,
    }[scope]()
    ends: dict[str, str] = {}
    for _, audit in passes:
        end = _end(audit)
        ends[audit.issuer] = max(ends.get(audit.issuer, ""), end)
    asked = audits.rules.counts.of(scope)
    if len(ends) < asked:
        return None
    return sorted(ends.values(), reverse=True)[asked - 1] if asked else _NEVER


def _end(audit: Audit) -> str:
    """When an audit stops counting; times of one form compare as they are spelt."""
    end = audit.expires or _NEVER
    if audit.scope != CONTROLS_REVIEW:
        return end
    last = parse_time(audit.performed) + limits.CONTROLS_REVIEW_DAYS * _DAY
    return min(end, format_time(last))
