"""From what counts for and against a release to the status of links 2 to 7.

A component is a subject of its own, judged once however often it is named; links 5 and
6 take the worst of the release's components.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from pcrlog.entry import Entry
from pcrlog.gather import Subject
from pcrlog.measurement import Registers
from pcrlog.policy_file import Product
from pcrlog.predicates import Audit, Component
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW
from pcrlog.verification import links
from pcrlog.verification.audits import Audits, distinct
from pcrlog.verification.judge import Judge
from pcrlog.verification.links import Status
from pcrlog.verification.releases import Releases

SCOPE_OF_LINK = {3: REPRODUCTION, 4: SOURCE_REVIEW, 7: CONTROLS_REVIEW}
"""Audits of which scope prove, or fail, a link."""


class Chain(Struct):
    """Links 2 to 7 of one subject, with the audits that stand behind each.

    `parts` are the components that its release names, None where the walk was cut.
    """

    releases: Releases
    audits: Audits
    status: dict[int, Status]
    behind: dict[int, list[tuple[Entry, Audit]]]
    against: str
    parts: list[tuple[Component, "Chain | None"]]


class Evaluation:
    """One run over a gathering: the root's chain, and each component's, once.

    `rules` are the root's; they are those of components that the policy does not name.
    """

    def __init__(self, judge: Judge, rules: Product, *, incomplete: bool) -> None:
        self.judge = judge
        self.rules = rules
        self.incomplete = incomplete
        self._parts: dict[int, Chain] = {}

    def chain(
        self,
        subject: Subject,
        rules: Product,
        registers: Registers | None,
        numbers: Mapping[str, int] | None = None,
    ) -> Chain:
        """The links 2 to 7 of a subject."""
        releases = Releases(self.judge, subject, rules, registers, numbers)
        audits = Audits(releases)
        against = _against(releases, audits)
        passes = {
            3: audits.reproductions,
            4: audits.source_reviews,
            5: audits.components_confirmed,
            6: audits.components_confirmed,
            7: audits.controls_reviews,
        }
        release = releases.newest_valid[1] if releases.newest_valid else None
        counts = rules.counts
        failed = {n: scope in audits.fails for n, scope in SCOPE_OF_LINK.items()}
        incomplete = self.incomplete or not subject.complete
        released = bool(releases.matching)
        status = {
            2: links.provider(
                failed=bool(against), incomplete=incomplete, released=released
            ),
            3: links.source(
                failed=failed[3],
                incomplete=incomplete,
                claimed=release is not None
                and release.source is not None
                and release.build is not None,
                passes=len(distinct(passes[3])),
                asked=counts.reproduction,
            ),
            4: links.audit(
                failed=failed[4],
                incomplete=incomplete,
                passes=len(distinct(passes[4])),
                asked=counts.source_review,
            ),
            7: links.controls(
                failed=failed[7],
                incomplete=incomplete,
                claimed=release is not None and release.controls is not None,
                passes=len(distinct(passes[7])),
                asked=counts.controls_review,
            ),
        }
        components = release.components if release is not None else None
        parts: list[tuple[Component, Chain | None]] = []
        for component in components or ():
            part = subject.parts.get((component.product, component.sha256))
            parts.append((component, self._part(part) if part else None))
        listed = components is not None
        status |= self._platform(audits, parts, listed=listed, incomplete=incomplete)
        ordered = dict(sorted(status.items()))
        return Chain(releases, audits, ordered, passes, against, parts)

    def _platform(
        self,
        audits: Audits,
        parts: list[tuple[Component, Chain | None]],
        *,
        listed: bool,
        incomplete: bool,
    ) -> dict[int, Status]:
        """Links 5 and 6: the worst of the components that the release names."""
        return {
            number: links.platform(
                failed=False,
                incomplete=incomplete,
                listed=listed,
                confirmed=len(distinct(audits.components_confirmed))
                >= audits.rules.counts.reproduction,
                parts=[self._part_status(part, number - 2) for _, part in parts],
            )
            for number in (5, 6)
        }

    def _part(self, subject: Subject) -> Chain:
        known = self._parts.get(id(subject))
        if known is None:
            rules = self.judge.policy.find_product(subject.product)
            if rules is None:
                rules = msgspec.structs.replace(self.rules, lowest_version=None)
            known = self._parts[id(subject)] = self.chain(subject, rules, None)
        return known

    @staticmethod
    def _part_status(part: Chain | None, number: int) -> Status:
        """A component's share in link 5 (`number` 3) or 6 (`number` 4)."""
        if part is None:
            return "unchecked"
        release = part.releases.newest_valid
        nested = release[1].components if release else None
        # Not its own link 2 alone: what failed below counts in an incomplete run too.
        statuses = [part.status[2], part.status[number]]
        if nested:
            statuses.append(part.status[number + 2])
        return links.worst(*statuses)


def _against(releases: Releases, audits: Audits) -> str:
    """What refutes link 2, in words; empty if nothing does."""
    if releases.matching and releases.newest_valid is None:
        entry, release = releases.matching[-1]
        return f"release {entry.index} {releases.against(entry, release)}"
    if releases.conflicts:
        entry, rival = releases.conflicts[0]
        return f"releases {entry.index} and {rival.index} are in conflict"
    if releases.below_lowest:
        return f"counts as less than version {releases.rules.lowest_version}"
    for scope, entries in audits.fails.items():
        return f"{entries[0].predicate.issuer} failed it ({scope})"
    return ""
