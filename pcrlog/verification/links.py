"""The eight links of the chain of trust: from facts about a link to its status.

tests/vectors/tables/links.json is this table (PROTOCOL.md section 1), and stood before
the code. Worst wins: failed, unchecked, missing, claimed, proven.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["failed", "unchecked", "missing", "claimed", "proven"]

ORDER: tuple[Status, ...] = ("failed", "unchecked", "missing", "claimed", "proven")
"""From worst to best."""

NAMES = {
    1: "attestation",
    2: "provider",
    3: "source",
    4: "audit",
    5: "platform source",
    6: "platform audit",
    7: "controls",
}


def worst(*statuses: Status) -> Status:
    """The worst of some statuses."""
    return min(statuses, key=ORDER.index)


def _graded(*, failed: bool, incomplete: bool, otherwise: Status) -> Status:
    if failed:
        return "failed"
    return worst("unchecked", otherwise) if incomplete else otherwise


def attestation(*, failed: bool, incomplete: bool) -> Status:
    """Link 1: what the checks of the document came to."""
    return _graded(failed=failed, incomplete=incomplete, otherwise="proven")


def provider(*, failed: bool, incomplete: bool, released: bool) -> Status:
    """Link 2: whether the provider says what these registers are."""
    otherwise: Status = "proven" if released else "missing"
    return _graded(failed=failed, incomplete=incomplete, otherwise=otherwise)


def source(
    *, failed: bool, incomplete: bool, claimed: bool, passes: int, asked: int
) -> Status:
    """Links 3 and 7: the provider names it, `asked` auditors confirm it."""
    otherwise: Status = "missing"
    if claimed:
        otherwise = "proven" if passes >= asked else "claimed"
    return _graded(failed=failed, incomplete=incomplete, otherwise=otherwise)


controls = source


def audit(*, failed: bool, incomplete: bool, passes: int, asked: int) -> Status:
    """Link 4: a review has no claim of the provider's before it."""
    otherwise: Status = "proven" if passes >= asked else "missing"
    return _graded(failed=failed, incomplete=incomplete, otherwise=otherwise)


def platform(
    *,
    failed: bool,
    incomplete: bool,
    listed: bool,
    confirmed: bool,
    parts: Sequence[Status],
) -> Status:
    """Links 5 and 6: the list of components, and each one's own link 3 or 4."""
    otherwise: Status = "missing"
    if listed:
        otherwise = worst("proven" if confirmed else "claimed", *parts)
    return _graded(failed=failed, incomplete=incomplete, otherwise=otherwise)


def trust_ends_at(statuses: Sequence[Status]) -> int:
    """The largest N with links 1..N all proven; `statuses` are those of links 1..7."""
    ends = 0
    while ends < len(statuses) and statuses[ends] == "proven":
        ends += 1
    return ends
