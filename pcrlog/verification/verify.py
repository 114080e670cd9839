"""`verify`: one pure function from a document, a bundle and a policy to a report.

Online or not makes no difference: online is "fetch the bundle first". The order is that
of the checks: the document, the log's checkpoint, the answers that document, product
and policy call for, the entries in them, and then what these say of the release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pcrlog.attestation import Document
from pcrlog.authority import Authority
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError
from pcrlog.gather import Gathering, Subject, gather
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.policy import Policy, Product
from pcrlog.verification import links
from pcrlog.verification.checks import (
    ANSWERS,

    LINK_1,
    LOG,
    Demands,
    Recorder,
    Verdict,
    verdict,
)
from pcrlog.verification.document import (
    Asked,
    check_channel,
    check_document,
    effective_now,
)
from pcrlog.verification.evaluate import Chain, Evaluation, record, shown_links
from pcrlog.verification.evidence import (
    Evidence,
    Memory,
    Opened,
    check_memory,
    judge_entries,
    open_log,
)
from pcrlog.verification.judge import Judge
from pcrlog.verification.links import Status
from pcrlog.verification.report import (
    CheckpointShown,
    Link,
    RegistersShown,
    Report,
    headline,
)

_GROUND = {"aws-nitro": "aws"}
"""Who makes the hardware of a platform."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run has established so far."""

    policy: Policy
    name: str
    rules: Product
    asked: Asked
    demands: Demands
    recorder: Recorder


def verify(  # noqa: PLR0913 - the protocol's signature, PROTOCOL.md section 4
    attestation: bytes,
    bundle: bytes | None,
    policy: Policy,
    *,
    product: str,
    now: int,
    at: int | None = None,
    nonce: bytes | None = None,
    binding: Mapping[str, bytes] | None = None,
    memory: Memory | None = None,
) -> Report:
    """Check a live (or, with `at`, archived) document against all that a log says.

    Args:
        attestation: the document, raw or in base64 or hex.
        bundle: the log's answers; None if there was none to be had.
        policy: the relying party's own demands.
        product: which product this enclave is meant to be.
        now: unix seconds, by our clock.
        at: unix seconds that replace `now` for the document and for what expires.
        nonce: what we sent, and expect in the document.
        binding: what our connection shows of its other end, by kind.
        memory: the checkpoint remembered of this log.

    Returns:
        The report. Use `Report.verified()` to go on.

    Raises:
        UsageError: the policy does not name the product.
    """
    run = _start(policy, product, Asked(now, at, nonce))
    document = check_document(attestation, policy, run.rules, run.asked, run.recorder)
    registers = None if document is None else document.registers
    now = effective_now(document, policy, run.asked)
    platform = None if document is None else document.platform
    return _judge(run, bundle, registers, platform, document, binding, memory, now)


def foresee(
    registers: Registers,
    bundle: bytes,
    policy: Policy,
    *,
    product: str,
    platform: str,
    now: int,
) -> Report:
    """What `verify` would say of an enclave with these registers; link 1 is unchecked.

    Raises:
        UsageError: the policy does not name the product.
    """
    run = _start(policy, product, Asked(now, None, None))
    return _judge(run, bundle, registers, platform, None, None, None, now)


def _start(policy: Policy, product: str, asked: Asked) -> _Run:
    rules = policy.product(product)
    recorder = Recorder()
    expired = asked.now >= policy.valid_until
    expected = f"valid until {format_time(policy.valid_until)}"
    status = "unchecked" if expired else "pass"
    found = "expired: get a newer policy" if expired else "valid"
    recorder.note("policy.valid", status, expected, found)
    platforms = [policy.platforms[name] for name in rules.platforms]
    demands = Demands(
        nonce=any(platform.nonce_required for platform in platforms),
        channel=rules.channel == "required",
        witnesses=any(log.witnesses is not None for log in policy.logs.values()),
        index_monitors=any(
            log.index_monitors is not None for log in policy.logs.values()
        ),
        links=rules.links,
        components=rules.components == "refuse",
        archived=asked.at is not None,
        archives=policy.archives,
    )
    return _Run(policy, product, rules, asked, demands, recorder)


def _judge(  # noqa: PLR0913 - the second half of verify, shared with foresee
    run: _Run,
    data: bytes | None,
    registers: Registers | None,
    platform: str | None,
    document: Document | None,
    binding: Mapping[str, bytes] | None,
    memory: Memory | None,
    now: int,
) -> Report:
    recorder = run.recorder
    opened, chain, authority = None, None, None
    bundle = _read(data, recorder)
    if bundle is not None:
        opened = open_log(bundle, run.policy, recorder, now)
    if opened is not None:
        check_memory(opened, memory, recorder)
    if bundle is not None and opened and registers is not None and platform:
        gathering = _gather(run, bundle, opened, registers, platform)
        authority = judge_entries(gathering.entries(), opened, recorder)
        chain = _evaluate(run, opened, gathering, authority, registers, now)
        if document is not None and chain.standing.release is not None:
            check_channel(document, chain.standing.release[1], binding, recorder)
    link_1 = _link_1(run)
    shown = _links(run, link_1, chain)
    return _report(run, shown, opened, chain, authority, document, registers, platform)


def _read(data: bytes | None, recorder: Recorder) -> Bundle | None:
    if data is None:
        expected = "a bundle of the log"
        recorder.note("log.signature", "unchecked", expected, "no bundle")
        return None
    try:
        return Bundle.parse(data)
    except MalformedError as error:
        recorder.note("log.signature", "fail", "a pcrlog-bundle/v1", str(error))
        return None


def _gather(
    run: _Run, bundle: Bundle, opened: Opened, registers: Registers, platform: str
) -> Gathering:
    evidence = Evidence(bundle, opened, run.recorder)
    names = tuple(auditor.name for auditor in run.rules.auditors)
    measurements = spell(PLATFORMS[platform].identity, registers)
    subject = Subject(run.name, platform, measurements, names)

    def auditors_of(product: str, above: Sequence[str]) -> Sequence[str]:
        rules = run.policy.find_product(product)
        return above if rules is None else [one.name for one in rules.auditors]

    gathering = gather(subject, evidence.ask, evidence.ask_if_there, auditors_of)
    evidence.conclude()
    if not all(one.complete for one in gathering.subjects):
        found = "components or basis chains too many, too deep, or in a circle"
        run.recorder.note("answers.present", "unchecked", "a bounded walk", found)
    return gathering


def _log_checks(run: _Run) -> list[str]:
    return [check for check in LOG if run.demands.require(check, "unchecked")]


def _evaluate(  # noqa: PLR0913 - what one evaluation rests on
    run: _Run,
    opened: Opened,
    gathering: Gathering,
    authority: Authority,
    registers: Registers,
    now: int,
) -> Chain:
    recorder = run.recorder
    incomplete = not recorder.all([*_log_checks(run), *ANSWERS])
    at = now if run.asked.at is None else run.asked.at
    judge = Judge(authority, run.policy, now, at)
    evaluation = Evaluation(judge, incomplete=incomplete)
    chain = evaluation.chain(gathering.subjects[0], run.rules, registers)
    record(chain, recorder, incomplete=incomplete)
    version_or_distrust = ("release.version", "policy.distrust")
    if recorder.any(version_or_distrust, "fail"):
        chain.status[2] = "failed"
    return chain


def _link_1(run: _Run) -> Status:
    recorder, demands = run.recorder, run.demands
    checks = [
        check
        for check in (*LINK_1, "channel")
        if demands.require(check, recorder.status(check))
    ]
    archived = demands.archived and not demands.archives
    return links.attestation(
        failed=recorder.any(checks, "fail"),
        incomplete=archived or not recorder.all(checks),
    )


def _links(run: _Run, link_1: Status, chain: Chain | None) -> tuple[Link, ...]:
    recorder = run.recorder
    if chain is None:
        unchecked = {n: "unchecked" for n in links.NAMES} | {1: link_1}
        shown = tuple(
            Link(n, links.NAMES[n], status, (), (), "")  # type: ignore[arg-type] # dict widens
            for n, status in unchecked.items()
        )
    else:
        shown = shown_links(link_1, chain)
    demanded = [link for link in shown if link.number in run.rules.links]
    worst = links.worst("proven", *(link.status for link in demanded))
    status = {"proven": "pass", "unchecked": "unchecked"}.get(worst, "fail")
    expected = f"links {', '.join(map(str, run.rules.links))} proven"
    found = ", ".join(f"{link.number} {link.status}" for link in demanded)
    recorder.note("policy.links", status, expected, found)  # type: ignore[arg-type] # as above
    return shown


def _report(  # noqa: PLR0913 - gathers all that was found
    run: _Run,
    shown: tuple[Link, ...],
    opened: Opened | None,
    chain: Chain | None,
    authority: Authority | None,
    document: Document | None,
    registers: Registers | None,
    platform: str | None,
) -> Report:
    checks = tuple(run.recorder.checks(run.demands))
    outcome: Verdict = verdict(checks, run.demands)
    ends = links.trust_ends_at([link.status for link in shown])
    release = chain.standing.release if chain else None
    matched = dict(release[0].statement.registers) if release else {}
    return Report(
        verdict=outcome,
        headline=headline(outcome, checks, _claim(run, shown, chain, ends), ends),
        product=run.name,
        version=release[1].version if release else None,
        platform=platform,
        registers=RegistersShown(
            matched,
            {n: d for n, d in (registers or {}).items() if n not in matched},
        ),
        public_key=_hex(document.public_key if document else None),
        user_data=_hex(document.user_data if document else None),
        trust_ends_at=ends,
        links=shown,
        ground=_ground(run, platform),
        remarks=tuple(_remarks(run, chain, authority, document)),
        checks=checks,
        checkpoint=_checkpoint(opened),
        policy_sha256=run.policy.sha256,
        archived=run.demands.archived,
    )


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _ground(run: _Run, platform: str | None) -> str:
    maker = _GROUND.get(platform or "")
    rules = run.policy.platforms.get(platform or "")
    operator = run.rules.operator or (rules.operator if rules else None)
    if maker is None or operator is None:
        return "unknown"
    return "same" if operator == maker else "separate"


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


def _claim(
    run: _Run, shown: tuple[Link, ...], chain: Chain | None, ends: int
) -> str:
    """What is verified, in words."""
    if chain is None or chain.standing.release is None:
        return ""
    release = chain.standing.release[1]
    name = release.product.partition("/")[2]
    words = [f"this is what {release.issuer} released as {name} {release.version}"]
    by = {link.number: " and ".join(link.by) for link in shown}
    if ends >= 3:  # noqa: PLR2004 - from here on, the numbers of links
        words.append(f"{by[3]} rebuilt it from its source")
    if ends >= 4:  # noqa: PLR2004
        words.append(f"{by[4]} reviewed that source")
    if ends >= 5:  # noqa: PLR2004
        words.append("its components are complete and rebuilt")
    if ends >= 6:  # noqa: PLR2004
        words.append("and reviewed")
    if ends >= 7:  # noqa: PLR2004
        words.append(f"{by[7]} reviewed who gets the secrets")
    later = any(link.status == "proven" for link in shown[ends:])
    if ends == 2 and not later:  # noqa: PLR2004
        words.append("nobody else has looked")
    elif later:
        words.append(f"link {ends + 1} is missing in between")
    if run.demands.archived:
        words.append("as of the time asked about, not now")
    elif run.recorder.status("document.nonce") != "pass":
        words.append("without a nonce of ours: it may have answered somebody else")
    return "; ".join(words)


def _remarks(
    run: _Run,
    chain: Chain | None,
    authority: Authority | None,
    document: Document | None,
) -> list[str]:
    remarks = list(document.notes) if document else []
    if document is not None and run.recorder.status("channel") != "pass":
        remarks.append(
            "the channel is not bound: an enclave like this one answered, perhaps not"
            " the one at the other end of your connection"
        )
    if chain is None or authority is None:
        return remarks
    for entry in chain.standing.subject.entries():
        if authority.added_by_registrar(entry.keyid):
            remarks.append(
                f"entry {entry.index} is signed by a key of {entry.predicate.issuer}"
                " that the registrar alone added"
            )
    return list(dict.fromkeys(remarks))


