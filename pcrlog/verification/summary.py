"""From what one run found to the report that says it, in words first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pcrlog.attestation import Document
from pcrlog.authority import Authority
from pcrlog.entry import Entry
from pcrlog.measurement import Registers
from pcrlog.policy import Policy
from pcrlog.policy_file import Product
from pcrlog.verification import components, ground, links
from pcrlog.verification.audits import distinct
from pcrlog.verification.checks import (
    NOT_REACHED,
    Check,
    Demands,
    Recorder,
    Verdict,
    verdict,
)
from pcrlog.verification.evaluate import SCOPE_OF_LINK, Chain
from pcrlog.verification.evidence import Opened
from pcrlog.verification.links import Status
from pcrlog.verification.report import (
    CheckpointShown,
    Cited,
    ComponentShown,
    Link,
    RegistersShown,
    Report,
)

_NEXT: dict[int, tuple[str, str]] = {
    1: (
        "",
        "the enclave's operator: answer with a fresh document that holds our nonce",
    ),
    2: ("the provider: publish a release of these registers (pcrlog release)", ""),
    3: (
        "the provider: name source, commit and recipe (pcrlog release)",
        "an auditor: rebuild it (pcrlog cosign --rebuild, or --scope reproduction)",
    ),
    4: ("an auditor: review that commit (pcrlog cosign --scope source-review)", ""),
    5: (
        "the provider: list the components, or that there are none",
        (
            "an auditor: confirm the list is complete (--components-complete); each"
            " component's provider: release it with its source"
        ),
    ),
    6: (
        "the provider: list the components; auditors: review the source of each",
        (
            "an auditor: confirm the list is complete (--components-complete), and"
            " review the source of each component"
        ),
    ),
    7: (
        "the provider: list what hands over secrets (--control, --no-controls)",
        "an auditor: review the controls (pcrlog cosign --scope controls-review)",
    ),
}
"""Who has to do what for a link that is missing, and for one that is claimed."""
_FAILED = "a new build; or who speaks against this one takes it back"
_UNCHECKED = "you: ask again, with what the checks say is lacking"


class Run(Struct):
    """What one run is about, and what it has established so far."""

    policy: Policy
    product: str
    rules: Product
    demands: Demands
    recorder: Recorder
    document: Document | None = None
    registers: Registers | None = None
    numbers: Mapping[str, int] | None = None
    platform: str | None = None
    opened: Opened | None = None
    authority: Authority | None = None
    chain: Chain | None = None
    components: tuple[ComponentShown, ...] = ()


def report(run: Run, link_1: Status) -> Report:
    """The report of a finished run; records `policy.links`, the last check."""
    if run.chain is not None:
        run.components = components.shown(run.chain)
    below = _infrastructure(run)
    ground.record(below, run.rules.ground, run.recorder)
    shown = _links(run, link_1)
    checks = tuple(run.recorder.checks(run.demands))
    outcome = verdict(checks, run.demands)
    ends = links.trust_ends_at([link.status for link in shown])
    release = run.chain.releases.newest_valid if run.chain else None
    version = release[1].version if release else None
    matched = dict(release[0].statement.registers) if release else {}
    rest = {n: d for n, d in (run.registers or {}).items() if n not in matched}
    return Report(
        verdict=outcome,
        headline=_headline(run, outcome, checks, shown, (ends, version)),
        product=run.product,
        version=version,
        platform=run.platform,
        registers=RegistersShown(matched, rest),
        public_key=_hex(run.document.public_key if run.document else None),
        user_data=_hex(run.document.user_data if run.document else None),
        trust_ends_at=ends,
        links=shown,
        components=run.components,
        ground=below.word,
        infrastructure=below,
        remarks=tuple(_remarks(run)),
        checks=checks,
        checkpoint=_checkpoint(run.opened),
        policy_sha256=run.policy.sha256,
        archived=run.demands.archived,
    )


def _links(run: Run, link_1: Status) -> tuple[Link, ...]:
    shown = [_link(1, link_1, ("run",) if link_1 == "proven" else (), ())]
    for number in list(links.NAMES)[1:]:
        if run.chain is None:
            shown.append(_link(number, "unchecked", (), ()))
        else:
            shown.append(_at_a_component(run, run.chain, _link_of(run.chain, number)))
    demanded = [link for link in shown if link.number in run.rules.links]
    worst = links.worst("proven", *(link.status for link in demanded))
    status: Literal["pass", "unchecked", "fail"] = "fail"
    if worst in ("proven", "unchecked"):
        status = "pass" if worst == "proven" else "unchecked"
    expected = f"links {', '.join(map(str, run.rules.links))} proven"
    found = ", ".join(f"{link.number} {link.status}" for link in demanded)
    run.recorder.note("policy.links", status, expected, found)
    return tuple(shown)


def _link_of(chain: Chain, number: int) -> Link:
    status = chain.status[number]
    behind = chain.behind.get(number, [])
    by, entries = distinct(behind), [entry for entry, _ in behind]
    release = chain.releases.newest_valid
    fails = chain.audits.fails.get(SCOPE_OF_LINK.get(number, ""), [])
    if status == "failed" and fails:
        by, entries = [entry.predicate.issuer for entry in fails], fails
    elif number == 2:  # noqa: PLR2004 - link 2 rests on the run and the release
        by = ["run"] if status in {"proven", "failed"} else []
        entries = [release[0]] if release else []
    elif status == "claimed":
        by = [chain.releases.subject.provider]
    return _link(number, status, dict.fromkeys(by), entries)


def _at_a_component(run: Run, chain: Chain, link: Link) -> Link:
    """Link 5 or 6, with what is to be done for the component that it ends at.

    Who stands behind the link itself confirmed the list, whatever became of the parts:
    nobody, if they are too few.
    """
    blamed = components.blame(chain, run.components, link.number)
    if blamed is None or link.status == "unchecked":
        return link
    if components.listed(chain) != "proven":
        return replace(link, by=(), evidence=(), next=blamed.share.next)
    confirmed = tuple(distinct(chain.behind[link.number]))
    return replace(link, by=confirmed, next=blamed.share.next)


def _link(
    number: int, status: Status, by: Iterable[str], entries: Iterable[Entry]
) -> Link:
    evidence = tuple(Cited(entry.index, entry.keyid) for entry in entries)
    following = {
        "missing": _NEXT[number][0],
        "claimed": _NEXT[number][1],
        "unchecked": _NEXT[number][1] if number == 1 else _UNCHECKED,
        "failed": _FAILED,
    }.get(status, "")
    return Link(number, links.NAMES[number], status, tuple(by), evidence, following)


def _headline(
    run: Run,
    outcome: Verdict,
    checks: tuple[Check, ...],
    shown: tuple[Link, ...],
    claimed: tuple[int, str | None],
) -> str:
    ends, version = claimed
    if outcome == "verified":
        claim = "; ".join(_claim(run, shown, ends, version))
        return f"VERIFIED TO LINK {ends} OF {len(links.NAMES)}: {claim}"
    word, status = "COULD NOT CHECK", "unchecked"
    if outcome == "refuted":
        word, status = "REFUTED", "fail"
    for check in sorted(checks, key=lambda check: check.found == NOT_REACHED):
        if check.required and check.status == status:
            return f"{word}: {check.id}: {check.found or check.expected}"
    return f"{word}: an archived document was genuine then, and says nothing of now"


def _claim(
    run: Run, shown: tuple[Link, ...], ends: int, version: str | None
) -> list[str]:
    """What is verified, in words."""
    provider, _, name = run.product.partition("/")
    by = {link.number: " and ".join(link.by) for link in shown}
    words = [
        f"this is what {provider} released as {name} {version}",
        f"{by[3]} rebuilt it from its source",
        f"{by[4]} reviewed that source",
        "its components are complete and rebuilt",
        "and reviewed",
        f"{by[7]} reviewed who gets the secrets",
    ][: max(ends - 1, 1)]
    if run.chain and ends < len(shown) and shown[ends].status != "failed":
        blamed = components.blame(run.chain, run.components, ends + 1)
        words += [f"trust ends at {blamed.words}"] if blamed else []
    later = any(link.status == "proven" for link in shown[ends:])
    broken = [link.number for link in shown if link.status == "failed"]
    if broken:
        words.append(f"but link {' and '.join(map(str, broken))} failed")
    elif later:
        words.append(f"link {ends + 1} is {shown[ends].status} in between")
    elif len(words) == 1:
        words.append("nobody else has looked")
    if run.demands.archived:
        words.append("as of the time asked about, not now")
    elif run.recorder.status("document.nonce") != "pass":
        words.append("without a nonce of ours: it may have answered somebody else")
    return words


def _remarks(run: Run) -> list[str]:
    remarks = list(run.document.notes) if run.document else []
    if run.document is not None and run.recorder.status("channel") != "pass":
        remarks.append(
            "the channel is not bound: an enclave like this one answered, perhaps not"
            " the one at the other end of your connection"
        )
    remarks += _unlisted_numbers(run)
    if run.chain is not None and run.authority is not None:
        remarks += [
            f"entry {entry.index} is signed by a key of {entry.predicate.issuer} that"
            " the registrar alone added"
            for entry in run.chain.releases.subject.entries()
            if run.authority.added_by_registrar(entry.keyid)
        ]
    if run.chain is not None:
        remarks += _foundations(run.chain)
    return list(dict.fromkeys(remarks))


def _unlisted_numbers(run: Run) -> Iterator[str]:
    """Numbers of the document that the release leaves open."""
    release = run.chain.releases.newest_valid if run.chain else None
    if release is None or run.document is None:
        return
    said, found = release[1].numbers or {}, run.document.numbers
    open_ = [f"{name} {number}" for name, number in found.items() if name not in said]
    if open_:
        yield f"{', '.join(open_)}: the release would match any other, too"


def _foundations(chain: Chain) -> Iterator[str]:
    """Of source reviews that build on earlier ones, when all of it was looked at."""
    for entry, audit in chain.behind.get(4, ()):
        found = chain.audits.foundation(audit)
        if found:
            yield (
                f"the source-review by {audit.issuer} (entry {entry.index}) is of what"
                f" changed since earlier ones, {len(found)} in all; the first is of"
                f" {found[-1].performed}"
            )


def _infrastructure(run: Run) -> ground.Infrastructure:
    """Link 8: whether who makes the hardware also runs the machines."""
    rules = run.policy.platforms.get(run.platform or "")
    operator = run.rules.operator or (rules.operator if rules else None)
    return ground.infrastructure(run.platform, operator)


def _checkpoint(opened: Opened | None) -> CheckpointShown | None:
    if opened is None:
        return None
    checkpoint = opened.checkpoint
    return CheckpointShown(
        checkpoint.origin,
        checkpoint.size,
        checkpoint.root.hex(),
        opened.seal.time,
        bytes(opened.note).decode(),
    )


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()
