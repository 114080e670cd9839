"""From what was found to audits in the log: refused, known, or published.

Before anything is signed, each audit is held against what the log says, and a pass
against the auditor's own registers. Of several, none is published if one is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from cli import signers
from cli.audits import CosignOptions, Work, audit_statement
from cli.cosign_basis import told
from cli.logs import Access
from cli.looking import is_same
from cli.output import BAD, DIM, PLAIN, Row, following, say
from cli.session import Session
from cli.speaking import (
    Plan,
    Published,
    authority_of,
    conclude,
    published_rows,
    refuse,
    title,
    undecided,
)
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import by
from pcrlog.measurement import PLATFORMS, Registers
from pcrlog.predicates import Audit, Predicate
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW, Statement
from pcrlog.verification.judge import revocations

_DAY = 86_400
_SHOWN = len("sha384:") + 48
"""Of a digest of 96 digits; --json has all of it."""


class Differs(Struct, frozen=True):
    """The auditor's registers and the release's, which are not the same."""

    error: str
    entry: int
    release: dict[str, str]
    ours: dict[str, str]


@dataclass(frozen=True)
class Saying:
    """An audit to be made: about what, as which result, with which own registers."""

    work: Work
    options: CosignOptions
    own: Registers


def say_all(session: Session, access: Access, sayings: Sequence[Saying]) -> int:
    """Refuse, or sign and hand in; the exit status."""
    for one in sayings:
        refusal = _refusal(session, one)
        if refusal is not None:
            return refusal
    now = session.now
    statements = [
        audit_statement(access, one.options, one.work, one.own, now) for one in sayings
    ]
    chain = list(sayings[0].work.basis)
    if chain:
        session.output.remark(told(chain, now))
    known = [
        _known(one, statement, now)
        for one, statement in zip(sayings, statements, strict=True)
    ]
    options = sayings[0].options
    _tell_fails(session, sayings)
    if len(sayings) > 1:
        return _say_many(session, access, options, statements, known)
    [statement], [there] = statements, known
    if there is not None and not options.output:
        index, digest = there.index, there.sha256
        result = Published(
            title(statement), access.origin, index, digest, known=True, proven=True
        )
        session.output.result(result, published_rows(result))
        return 0
    plan = Plan(options.key, options.output, options.wait)
    return undecided(conclude(session, access, statement, plan))


def _tell_fails(session: Session, sayings: Sequence[Saying]) -> None:
    """Tell of fails of one's own that what is said now does not lift."""
    fails = {
        entry.index
        for one in sayings
        if one.options.result != "fail"
        for entry in _own_fails(one)
    }
    for index in sorted(fails):
        session.output.remark(
            f"your own fail, entry {index}, stands, and no pass lifts it: pcrlog revoke"
            f" --reason erroneous {index}"
        )


def _own_fails(saying: Saying) -> Iterator[Entry]:
    """Fails of the same scope about the same, by who speaks, that still stand."""
    work, scope = saying.work, saying.options.scope
    platform = "source"
    measurements: tuple[str, ...] = (f"commit=gitCommit:{work.commit}",)
    if scope != SOURCE_REVIEW and work.entry is not None and work.release is not None:
        platform = work.release.platform
        measurements = work.entry.statement.measurements
    for measurement in measurements:
        said = work.view.ask(by(work.name, platform, measurement))
        taken_back = {one.statement for _, one in revocations(said)}
        for entry in said:
            old = entry.predicate
            if not isinstance(old, Audit) or entry.sha256 in taken_back:
                continue
            if old.result == "fail" and old.scope == scope:
                yield entry


def _say_many(
    session: Session,
    access: Access,
    options: CosignOptions,
    statements: Sequence[Statement],
    known: Sequence[Entry | None],
) -> int:
    """Sign and hand in several, each of which has its own decision."""
    from cli.batches import Given, Told, hand_in_all
    from pcrlog.envelope import sign_envelope

    if options.output:
        message = f"-o {options.output} is for one statement: name one INDEX at a time"
        raise UsageError(message)
    signer = signers.load(options.key)
    given, there = [], []
    for statement, entry in zip(statements, known, strict=True):
        about = _about(statement)
        if entry is None:
            envelope = sign_envelope(statement.payload, [signer])
            given.append(Given(about, envelope, statement))
        else:
            words = title(statement)
            one = Told(about, words, entry.sha256, "known", entry.index, proven=True)
            there.append(one)
    plan = Plan(options.key, None, options.wait)
    return hand_in_all(session, access, given, plan, known=there)


def _about(statement: Statement) -> str:
    """What an audit is about, short."""
    [measurement, *_] = statement.measurements
    name, _, digest = measurement.partition("=")
    return f"{name}={digest.partition(':')[2][:16]}…"


# --- own registers -------------------------------------------------------------------


def matched(
    works: Sequence[Work], options: CosignOptions, owns: Sequence[Registers]
) -> list[Saying]:
    """Which of the auditor's measurements belongs to which release.

    One for one needs no looking. Of several, a release gets the one that agrees with
    it; one that agrees with none gets the first, so that it is refused as different.

    Raises:
        UsageError: a measurement belongs to none, or there is none where it is needed.
    """
    if len(works) == 1 and len(owns) <= 1:
        return [Saying(works[0], options, owns[0] if owns else {})]
    if not owns:
        return [Saying(work, options, {}) for work in works]
    found, used = [], set()
    for work in works:
        fitting = [n for n, own in enumerate(owns) if not differing(work, own)]
        used.update(fitting[:1])
        found.append(Saying(work, options, owns[fitting[0] if fitting else 0]))
    if all(not differing(one.work, one.own) for one in found):
        left = len(owns) - len(used)
        if left:
            message = (
                f"{left} of {len(owns)} measurements belong to none of these releases:"
                " leave them out, or name the INDEX that they are of"
            )
            raise UsageError(message)
    return found


def differing(work: Work, own: Registers) -> list[str]:
    """The registers that differ from the release's, or that `own` lacks."""
    if work.entry is None or work.release is None:
        return []
    theirs = work.entry.statement.registers
    required = PLATFORMS[work.release.platform].required
    differ = [n for n in theirs if n in own and own[n] != theirs[n]]
    return differ + [n for n in required if own and n not in own]


# --- whether to say it ---------------------------------------------------------------


def _refusal(session: Session, saying: Saying) -> int | None:
    """Refuse what the log, or the auditor's own registers, speak against."""
    work, options, own = saying.work, saying.options, saying.own
    found, entry, failed = work.found, work.entry, saying.options.result == "fail"
    if found is None or entry is None:
        return None
    if work.against and not failed:
        words = f"{title(entry.statement)} (entry {entry.index}) {work.against}"
        return refuse(session, {"error": words, "entry": entry.index}, words)
    if found.releases.conflicts:
        _, rival = found.releases.conflicts[0]
        session.output.remark(f"entry {rival.index} contradicts this release")
    if options.scope == REPRODUCTION and not own and not failed:
        message = "which registers came out? --measurements rebuilt.json"
        raise UsageError(message)
    differ = differing(work, own)
    if differ and not failed:
        return _refuse_differing(session, entry, own, options)
    if options.scope == REPRODUCTION and failed and own and not differ:
        message = "these registers are the release's: that rebuild did not fail"
        raise UsageError(message)
    return None


def _refuse_differing(
    session: Session, entry: Entry, own: Registers, options: CosignOptions
) -> int:
    theirs = entry.statement.registers
    error = f"your registers are not those of entry {entry.index}: no {options.result}"
    rows = register_rows(theirs, own)
    rows.append(say("If this is what the named commit builds to, say so:"))
    words = "pcrlog cosign --scope reproduction --result fail --measurements FILE"
    rows.append(following(f"{words} {entry.index}"))
    value = Differs(error, entry.index, dict(theirs), dict(own))
    return refuse(session, value, error, rows)


def register_rows(theirs: Mapping[str, str], own: Mapping[str, str]) -> list[Row]:
    """Both sets of registers, one under the other."""
    rows = []
    for name in sorted({*theirs, *own}, key=lambda one: (len(one), one)):
        mine, its = own.get(name, "-"), theirs.get(name, "-")
        style = PLAIN if mine == its else BAD
        rows.append(Row(((f"  {name:<6} release  ", DIM),), its[:_SHOWN] + "…", style))
        rows.append(Row((("         yours    ", DIM),), mine[:_SHOWN] + "…", style))
    return rows


def _known(saying: Saying, statement: Statement, now: int) -> Entry | None:
    """The same, said before, and not taken back; nor void, since it then counts not.

    A controls-review runs out: one of more than a day ago is renewed, not repeated.
    """
    work, options = saying.work, saying.options
    predicate = statement.predicate
    if not isinstance(predicate, Audit):  # pragma: no cover - it was made as one
        return None
    ignored = [] if options.performed else ["performed"]
    renewed = options.scope == CONTROLS_REVIEW and not options.expires
    if renewed:
        ignored.append("expires")
    authority, _ = authority_of(work.view, work.name)
    for measurement in statement.measurements:
        said = work.view.ask(by(work.name, predicate.platform, measurement))
        taken_back = {one.statement for _, one in revocations(said)}
        for entry in reversed(said):
            old = entry.predicate
            if (
                entry.sha256 not in taken_back
                and (not authority.is_void(entry) or predicate.result == "fail")
                and is_same(entry.statement, statement, *ignored)
                and not (renewed and _is_old(old, now))
            ):
                return entry
    return None


def _is_old(predicate: Predicate, now: int) -> bool:
    if not isinstance(predicate, Audit):  # pragma: no cover - it is the same as one
        return False
    return parse_time(predicate.performed) <= now - _DAY
