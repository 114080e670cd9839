"""From what stands (judge.py) to checks of the release and to links 2 to 7.

Positive evidence against always fails its check. That something is lacking (a release,
a pass) can only be said when all answers are there; else it is unchecked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from pcrlog.entry import Entry
from pcrlog.errors import MalformedError
from pcrlog.gather import Subject
from pcrlog.measurement import Registers
from pcrlog.policy import Product, semver
from pcrlog.predicates import Audit, Release
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW
from pcrlog.verification import links
from pcrlog.verification.checks import CheckStatus, Recorder
from pcrlog.verification.judge import Judge, Standing, distinct
from pcrlog.verification.links import Status
from pcrlog.verification.report import Cited, Link

_ASKED_SCOPES = {3: REPRODUCTION, 4: SOURCE_REVIEW, 7: CONTROLS_REVIEW}
_FAILED_SCOPES = {3: REPRODUCTION, 4: SOURCE_REVIEW, 7: CONTROLS_REVIEW}


@dataclass
class Chain:
    """Links 2 to 7 of one subject, with what stands behind each."""

    standing: Standing
    status: dict[int, Status]
    behind: dict[int, list[tuple[Entry, Audit]]] = field(default_factory=dict)
    against: str = ""


class Evaluation:
    """One run over a gathering: the root's chain, and each component's, once."""

    def __init__(self, judge: Judge, *, incomplete: bool) -> None:
        self.judge = judge
        self.incomplete = incomplete
        self._parts: dict[int, Chain] = {}

    def chain(
        self, subject: Subject, rules: Product, registers: Registers | None
    ) -> Chain:
        """The links 2 to 7 of a subject."""
        standing = Standing(self.judge, subject, rules, registers)
        against = self._against(standing)
        fails = standing.fails
        passes = {
            3: standing.reproductions,
            4: standing.source_reviews,
            5: standing.components_confirmed,
            6: standing.components_confirmed,
            7: standing.controls_reviews,
        }
        release = standing.release[1] if standing.release else None
        counts = rules.counts
        failed = {n: bool(fails.get(scope)) for n, scope in _FAILED_SCOPES.items()}
        incomplete = self.incomplete or not subject.complete
        released = bool(standing.matching)
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
        status |= self._platform(standing, release, incomplete=incomplete)
        return Chain(standing, dict(sorted(status.items())), passes, against)

    def _against(self, standing: Standing) -> str:
        """What refutes link 2, in words; empty if nothing does."""
        if standing.matching and standing.release is None:
            entry, release = standing.matching[-1]
            return f"release {entry.index} {standing.against(entry, release)}"
        if standing.conflicts:
            entry, rival = standing.conflicts[0]
            return f"releases {entry.index} and {rival.index} are in conflict"
        for scope, entries in standing.fails.items():
            return f"{entries[0].predicate.issuer} failed it ({scope})"
        return ""

    def _platform(
        self, standing: Standing, release: Release | None, *, incomplete: bool
    ) -> dict[int, Status]:
        """Links 5 and 6: the worst of the components that the release names."""
        components = release.components if release is not None else None
        parts: list[Chain | None] = []
        for component in components or ():
            part = standing.subject.parts.get((component.product, component.sha256))
            parts.append(self._part(part, standing.rules) if part else None)
        return {
            number: links.platform(
                failed=False,
                incomplete=incomplete,
                listed=components is not None,
                confirmed=bool(standing.components_confirmed),
                parts=[self._part_status(part, number - 2) for part in parts],
            )
            for number in (5, 6)
        }

    def _part(self, subject: Subject, rules: Product) -> Chain:
        known = self._parts.get(id(subject))
        if known is None:
            own = self.judge.policy.find_product(subject.product)
            part_rules = msgspec.structs.replace(own or rules, lowest_version=None)
            known = self._parts[id(subject)] = self.chain(subject, part_rules, None)
        return known

    @staticmethod
    def _part_status(part: Chain | None, number: int) -> Status:
        """A component's share in link 5 (`number` 3) or 6 (`number` 4)."""
        if part is None:
            return "unchecked"
        own = part.status[2]
        if own != "proven":
            return own
        release = part.standing.release
        nested = release[1].components if release else None
        statuses = [part.status[number]]
        if nested:
            statuses.append(part.status[number + 2])
        return links.worst(*statuses)


def record(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    """Record the checks from `release.match` to `policy.distrust`."""
    _record_release(chain, recorder, incomplete=incomplete)
    _record_version(chain, recorder, incomplete=incomplete)
    _record_audits(chain, recorder, incomplete=incomplete)
    _record_platform(chain, recorder)
    _record_distrust(chain, recorder)


def _lacking(*, incomplete: bool) -> CheckStatus:
    return "unchecked" if incomplete else "fail"


def _record_release(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    standing = chain.standing
    subject = standing.subject
    expected = f"a release by {subject.provider} of {subject.product}, all registers"
    if not standing.matching:
        found = "none: nobody who may say so says what this is"
        if subject.releases:
            found = "releases with this identity, but other registers differ"
        lacking = _lacking(incomplete=incomplete)
        recorder.note("release.match", lacking, expected, found)
        return
    entry, release = standing.matching[-1]
    found = f"entry {entry.index}: {release.product} {release.version}"
    recorder.note("release.match", "pass", expected, found)
    expected = "one that is not void, expired or revoked"
    if standing.release is None:
        reason = standing.against(entry, release)
        found = f"{release.product} {release.version} (entry {entry.index}) {reason}"
        recorder.note("release.valid", "fail", expected, found)
    else:
        entry, release = standing.release
        found = f"entry {entry.index}: {release.product} {release.version}"
        recorder.note("release.valid", "pass", expected, found)
    expected = "no other release of the same version with other registers"
    if standing.conflicts:
        entry, rival = standing.conflicts[0]
        found = f"entries {entry.index} and {rival.index} give one version two builds"
        recorder.note("release.conflict", "fail", expected, found)
    else:
        recorder.note("release.conflict", "pass", expected, "none stands")


def _record_version(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    standing = chain.standing
    wanted = standing.rules.lowest_version
    check = "release.version"
    if wanted is None:
        recorder.note(check, "pass", "nothing: the policy sets no lowest version", "")
        return
    expected = f"first released as version {wanted} or later"
    if not standing.matching:
        lacking = _lacking(incomplete=incomplete)
        recorder.note(check, lacking, expected, "no release")
        return
    try:
        lowest = standing.lowest_version()
        status: CheckStatus = "pass" if semver(lowest) >= semver(wanted) else "fail"
        found = f"this measurement counts as {lowest}, the lowest it was released under"
    except MalformedError as error:
        status, found = "fail", str(error)
    recorder.note(check, status, expected, found)


def _record_audits(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    rules = chain.standing.rules
    demanded = [n for n in _ASKED_SCOPES if n in rules.links]
    wanted, lacks = [], False
    for number in demanded:
        scope = _ASKED_SCOPES[number]
        have, want = len(distinct(chain.behind[number])), rules.counts.of(scope)
        wanted.append(f"{scope} {have} of {want}")
        lacks |= have < want
    status: CheckStatus = _lacking(incomplete=incomplete) if lacks else "pass"
    expected = "the passes that the policy's links demand"
    recorder.note("audits.quorum", status, expected, ", ".join(wanted) or "none demanded")
    fails = [entry for entries in chain.standing.fails.values() for entry in entries]
    expected = "no fail of a counted auditor"
    if fails:
        entry = fails[0]
        scope = getattr(entry.predicate, "scope", "")
        found = f"{entry.predicate.issuer} failed it in a {scope} (entry {entry.index})"
        recorder.note("audits.fails", "fail", expected, found)
    else:
        status = "unchecked" if incomplete else "pass"
        recorder.note("audits.fails", status, expected, "none stands")


def _record_platform(chain: Chain, recorder: Recorder) -> None:
    rules = chain.standing.rules
    for check, numbers in (("components", (5, 6)), ("controls", (7,))):
        statuses = {n: chain.status[n] for n in numbers}
        demanded = [n for n in numbers if n in rules.links]
        if "failed" in statuses.values():
            status: CheckStatus = "fail"
        elif all(statuses[n] == "proven" for n in demanded):
            status = "pass"
        elif any(statuses[n] == "unchecked" for n in demanded):
            status = "unchecked"
        else:
            status = "fail"
        expected = "none failed" if not demanded else f"links {demanded} proven"
        found = ", ".join(f"link {n} {s}" for n, s in statuses.items())
        recorder.note(check, status, expected, found)


def _record_distrust(chain: Chain, recorder: Recorder) -> None:
    standing = chain.standing
    distrust, subject = standing.judge.policy.distrust, standing.subject
    names = {f"{subject.platform}/{m}" for m in subject.measurements}
    named = sorted(names & set(distrust.measurements))
    named += [
        f"entry {entry.index}"
        for entry, _ in standing.matching[-1:]
        if standing.release is None
        and (entry.sha256 in distrust.statements or entry.keyid in distrust.keys)
    ]
    status: CheckStatus = "fail" if named else "pass"
    expected = "nothing that the policy distrusts"
    recorder.note("policy.distrust", status, expected, ", ".join(named) or "none")


def cite(entries: Iterable[Entry]) -> tuple[Cited, ...]:
    """Entries as a link names them."""
    return tuple(Cited(entry.index, entry.keyid) for entry in entries)


def shown_links(link_1: Status, chain: Chain) -> tuple[Link, ...]:
    """The seven links as a report shows them."""
    shown = [Link(1, links.NAMES[1], link_1, ("run",), (), _NEXT[1])]
    for number, status in chain.status.items():
        behind = chain.behind.get(number, [])
        by: tuple[str, ...] = tuple(distinct(behind))
        entries = [entry for entry, _ in behind]
        fails = chain.standing.fails.get(_FAILED_SCOPES.get(number, ""), [])
        if status == "failed" and fails:
            by = tuple(dict.fromkeys(e.predicate.issuer for e in fails))
            entries = fails
        if number == 2:  # noqa: PLR2004 - link 2
            by, release = ("run",), chain.standing.release
            entries = [release[0]] if release else []
        if status == "claimed":
            by = (chain.standing.subject.provider,)
        name = links.NAMES[number]
        following = "" if status == "proven" else _NEXT[number]
        shown.append(Link(number, name, status, by, cite(entries), following))
    return tuple(shown)


_NEXT = {
    1: "the enclave's operator: answer with a fresh document that holds our nonce",
    2: "the provider: publish a release of these registers (pcrlog release)",
    3: "the provider: name source, commit and recipe; an auditor: rebuild and co-sign"
    " (pcrlog cosign --scope reproduction)",
    4: "an auditor: review that commit (pcrlog cosign --scope source-review)",
    5: "the provider: list components; an auditor: confirm the list is complete"
    " (--components-complete); each component's provider: release it with its source",
    6: "auditors: review the source of each component",
    7: "the provider: list controls; an auditor: review them"
    " (pcrlog cosign --scope controls-review)",
}
