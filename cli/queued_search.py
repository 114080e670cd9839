"""One run of `pcrlog queue`: whom it is for, and which audits count for them.

What counts is what `verify` counts (PROTOCOL.md 2.3), under the policy's rules for the
product; for a component that the policy does not name, under those for the product that
it is a part of. For one's own list of work nobody counts but oneself.
"""

from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from cli.expiry import until
from cli.logs import Access
from cli.session import Session
from pcrlog.encoding import format_time
from pcrlog.online import auditors_of
from pcrlog.policy_file import Auditor, Counts, Product
from pcrlog.predicates import Release
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SCOPES, SOURCE_REVIEW
from pcrlog.verification.audits import Audits
from pcrlog.verification.releases import Releases


@dataclass
class Search:
    """How the log is asked, for whom, and what is counted on the way."""

    session: Session
    access: Access
    name: str | None
    scopes: tuple[str, ...]
    expiring: int | None
    left_out: dict[str, int] = field(default_factory=dict)
    older: int = 0
    parts: set[tuple[str, str, str]] = field(default_factory=set)
    """Components that were looked at: whose, the component's product and its digest."""
    _told: set[str] = field(default_factory=set)

    def remark(self, text: str) -> None:
        """Tell people something, once."""
        if text not in self._told:
            self.session.output.remark(text)
        self._told.add(text)

    def leave_out(self, reason: str) -> None:
        """Count what does not wait."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def names(self, product: str) -> list[str]:
        """Whose statements about a product, and about its components, are asked for."""
        if self.name is not None:
            return [self.name]
        return auditors_of(self.access.rules, product)

    def own(self, product: str) -> bool:
        """Whether a product is of whoever asks, who does not count there."""
        own = product.partition("/")[0] == self.name
        if own:
            self.remark(f"{product}: nobody counts as an auditor of their own")
        return own


def rules_of(search: Search, product: str, whole: str) -> Product:
    """The rules for a product; `whole` is itself, or what it is a part of."""
    policy = search.access.rules
    rules = policy.find_product(product)
    if rules is None:
        rules = replace(policy.product(whole), lowest_version=None)
    if search.name is None:
        return rules
    theirs = [one.scopes for one in rules.auditors if one.name == search.name]
    scopes = tuple(dict.fromkeys((*(theirs[0] if theirs else SCOPES), *search.scopes)))
    own = msgspec.convert({"name": search.name, "scopes": scopes}, Auditor)
    return replace(rules, auditors=(own,), counts=Counts(), open_findings={})


def scopes_of(search: Search, rules: Product, product: str) -> tuple[str, ...]:
    """The scopes asked about: as told, or those of the auditors."""
    if search.scopes:
        return search.scopes
    theirs = {scope for auditor in rules.auditors for scope in auditor.scopes}
    if not theirs:
        search.remark(
            f"the policy names no auditors for {product}: --scope, or --as NAME"
        )
    return tuple(scope for scope in SCOPES if scope in theirs)


def missing(
    search: Search, releases: Releases, release: Release, scopes: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """The scopes that wait; and, of what is expiring, when the first runs out."""
    audits = Audits(releases)
    lacking = {
        REPRODUCTION: release.source is None and "no source",
        SOURCE_REVIEW: release.source is None and "no source",
        CONTROLS_REVIEW: release.controls is None and "no list of controls",
    }
    found: dict[str, str] = {}
    for scope in scopes:
        if lacking[scope]:
            search.leave_out(f"{scope}: names {lacking[scope]}")
        elif scope not in audits.fails:
            ends = until(audits, scope)
            if search.expiring is None and ends is None:
                found[scope] = ""
            elif search.expiring is not None and ends is not None:
                then = format_time(search.session.now + search.expiring)
                if ends <= then:  # times of one form compare as they are spelt
                    found[scope] = ends
    return tuple(found), min(found.values(), default="") or None
