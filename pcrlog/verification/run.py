"""`verify`: one pure function from a document, a bundle and a policy to a report.

Online or not makes no difference: online is "fetch the bundle first". The order is that
of the checks: the document, the log's checkpoint, the answers that document, product
and policy call for, the entries in them, and then what these say of the release.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pcrlog.attestation import Document
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError, UsageError
from pcrlog.gather import Gathering, Subject, gather
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.policy import Policy
from pcrlog.verification import links
from pcrlog.verification.checks import ANSWERS, LOG, Demands, Recorder
from pcrlog.verification.document import (
    Asked,
    check_channel,
    check_document,
    effective_now,
)
from pcrlog.verification.evaluate import Evaluation
from pcrlog.verification.evidence import (
    Evidence,
    Memory,
    check_memory,
    judge_entries,
    open_log,
)
from pcrlog.verification.judge import Judge
from pcrlog.verification.links import Status
from pcrlog.verification.record import record
from pcrlog.verification.report import Report
from pcrlog.verification.summary import Run, report


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
    collateral: bytes | None = None,
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
        collateral: what the maker publishes of its machines (intel-sgx), as a file.

    Returns:
        The report. Use `Report.verified()` to go on.

    Raises:
        UsageError: the policy does not name the product.
    """
    asked = Asked(now, at, nonce, collateral)
    run = _start(policy, product, archived=at is not None)
    document = check_document(attestation, policy, run.rules, asked, run.recorder)
    if document is not None:
        run.document, run.platform = document, document.platform
        run.registers, run.numbers = document.registers, document.numbers
        run.demands = _demands_of(document, policy, run.demands)
    now = effective_now(document, policy, asked)
    _check_policy(run, now)
    _consult(run, bundle, memory, now, now if at is None else at)
    releases = run.chain.releases if run.chain else None
    if document is not None and releases is not None and releases.matching:
        # A release that is not valid still says how its enclaves name their key.
        release = releases.newest_valid or releases.matching[-1]
        check_channel(document, release[1], binding, run.recorder)
    return report(run, _link_1(run))


def foresee(  # noqa: PLR0913 - what `verify` takes, but for a document
    registers: Registers,
    bundle: bytes,
    policy: Policy,
    *,
    product: str,
    platform: str,
    now: int,
    numbers: Mapping[str, int] | None = None,
) -> Report:
    """What `verify` would say of an enclave with these registers; link 1 is unchecked.

    Args:
        registers: the enclave's.
        bundle: the log's answers.
        policy: the relying party's own demands.
        product: which product it is meant to be.
        platform: of `PLATFORMS`.
        now: unix seconds.
        numbers: the enclave's, where they are known: a release may name any.

    Raises:
        UsageError: the policy does not name the product, or not on this platform.
    """
    run = _start(policy, product, archived=False)
    if platform not in PLATFORMS or platform not in run.rules.platforms:
        message = f"{product}: expected {run.rules.platforms}, found {platform}"
        raise UsageError(message)
    _check_policy(run, now)
    run.platform, run.registers, run.numbers = platform, registers, numbers
    _consult(run, bundle, None, now, now)
    return report(run, _link_1(run))


def _start(policy: Policy, product: str, *, archived: bool) -> Run:
    rules = policy.product(product)
    logs = policy.logs.values()
    platforms = [policy.platforms.get(name) for name in rules.platforms]
    own = [check for name in rules.platforms for check in PLATFORMS[name].checks]
    demands = Demands(
        nonce=any(platform and platform.nonce_required for platform in platforms),
        platforms_own=tuple(dict.fromkeys(own)),
        channel=rules.channel == "required",
        witnesses=any(log.witnesses is not None for log in logs),
        index_monitors=any(log.index_monitors is not None for log in logs),
        links=rules.links,
        components=rules.components == "refuse",
        archived=archived,
        archives=policy.archives,
    )
    return Run(policy, product, rules, demands, Recorder())


def _demands_of(document: Document, policy: Policy, before: Demands) -> Demands:
    """What is demanded, now that it is known of which platform the document is."""
    rules = policy.platforms[document.platform]
    return replace(
        before,
        nonce=rules.nonce_required,
        # Without a time and without a nonce it may be of any age, which a policy that
        # demands no nonce of such a platform puts up with.
        time=rules.nonce_required or document.time is not None,
        collateral=rules.collateral_required,
        platforms_own=PLATFORMS[document.platform].checks,
    )


def _check_policy(run: Run, now: int) -> None:
    expected = f"valid until {format_time(run.policy.valid_until)}"
    if now < run.policy.valid_until:
        run.recorder.note("policy.valid", "pass", expected, "valid")
    else:
        found = "the policy has run out: get a newer one"
        run.recorder.note("policy.valid", "unchecked", expected, found)


def _consult(
    run: Run, data: bytes | None, memory: Memory | None, now: int, at: int
) -> None:
    """All that the log has to say: from `log.signature` to `policy.distrust`."""
    recorder = run.recorder
    bundle = _read(data, recorder)
    run.opened = open_log(bundle, run.policy, recorder, now) if bundle else None
    if bundle is None or run.opened is None:
        return
    run.demands = replace(
        run.demands,
        witnesses=run.opened.log.witnesses is not None,
        index_monitors=run.opened.log.index_monitors is not None,
    )
    check_memory(run.opened, memory, recorder)
    if run.registers is None or run.platform is None:
        return
    evidence = Evidence(bundle, run.opened, recorder)
    gathering = _gather(run, evidence, run.registers, run.platform)
    entries, opened, complete = gathering.entries(), run.opened, evidence.complete
    run.authority, refused = judge_entries(entries, opened, recorder, complete=complete)
    nothing = refused | gathering.repeats()
    for one in gathering.subjects if nothing else ():
        one.drop(nothing)
    log_checks = [name for name in LOG if run.demands.require(name, "unchecked")]
    forked = recorder.status("log.memory") == "fail"
    incomplete = forked or not recorder.all([*log_checks, *ANSWERS])
    judge = Judge(run.authority, run.policy, now, at)
    evaluation = Evaluation(judge, run.rules, incomplete=incomplete)
    subject = gathering.subjects[0]
    chain = evaluation.chain(subject, run.rules, run.registers, run.numbers)
    record(chain, recorder, incomplete=incomplete)
    if recorder.any(("release.version", "policy.distrust"), "fail"):
        chain.status[2] = "failed"
    run.chain = chain


def _read(data: bytes | None, recorder: Recorder) -> Bundle | None:
    expected = "a bundle of the log (pcrlog-bundle/v1)"
    if data is None:
        recorder.note("log.signature", "unchecked", expected, "no bundle")
        return None
    try:
        return Bundle.parse(data)
    except MalformedError as error:
        recorder.note("log.signature", "fail", expected, str(error))
        return None


def _gather(
    run: Run, evidence: Evidence, registers: Registers, platform: str
) -> Gathering:
    names = tuple(auditor.name for auditor in run.rules.auditors)
    measurements = spell(PLATFORMS[platform].identity, registers)
    subject = Subject(run.product, platform, measurements, names)

    def auditors_of(product: str, _above: Sequence[str]) -> Sequence[str]:
        rules = run.policy.find_product(product)
        return names if rules is None else [one.name for one in rules.auditors]

    gathering = gather(subject, evidence.ask, evidence.ask_if_there, auditors_of)
    evidence.conclude()
    if not all(one.complete for one in gathering.subjects):
        found = "components or basis chains too many, too deep, or in a circle"
        run.recorder.note("answers.present", "unchecked", "a bounded walk", found)
    return gathering


def _link_1(run: Run) -> Status:
    recorder, demands = run.recorder, run.demands
    checks = [
        name
        for name in (*demands.link_1, "channel")
        if demands.require(name, recorder.status(name))
    ]
    archived = demands.archived and not demands.archives
    return links.attestation(
        failed=recorder.any(checks, "fail"),
        incomplete=archived or not recorder.all(checks),
    )
