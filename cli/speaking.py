"""From a predicate to its place in the log: who speaks, signing, handing in, waiting.

Making, signing and submitting can be three steps on three machines: `--output` stops
before the next one. Whatever is done here may be done again: a statement stands in a
log once, and the second time the log answers with its index.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from cli import files, signers
from cli.logs import Access, View
from cli.options import duration
from cli.output import BAD, GOOD, WARN, Row, fact, following
from cli.session import Session
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import format_time, sha256
from pcrlog.entry import Entry
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.errors import MalformedError, UncheckedError, UsageError, VerificationError
from pcrlog.index_keys import of_identity
from pcrlog.keys import Signer
from pcrlog.measurement import PLATFORMS, Registers
from pcrlog.predicates import REGISTRAR, Audit, Identity, Predicate, Release
from pcrlog.proof import Proof
from pcrlog.statement import Statement, encode, parse, require_known
from pcrlog.transport import Placed, Promised, RefusedError

_SERVER_WAIT = 5
_PAUSE = 0.5


class Made(Struct, frozen=True):
    """A statement written to a file; `signed` says whether it is an envelope."""

    kind: str
    file: str
    sha256: str
    signed: bool


class Published(Struct, frozen=True):
    """A statement in the log.

    `known`: it was there before. `proven`: its place is proven to the policy's log.
    """

    kind: str
    log: str
    index: int
    sha256: str
    known: bool
    proven: bool


class Handed(Struct, frozen=True):
    """A statement that the log has promised to decide on."""

    kind: str
    log: str
    sha256: str
    envelope_sha256: str


@dataclass(frozen=True)
class Plan:
    """How far to go with a statement."""

    key: str | None
    output: str | None
    wait: str = "60s"
    conflict: bool = False


def common(access: Access, issuer: str, now: int, platform: str) -> dict[str, object]:
    """The members that release, audit and revocation share."""
    return {
        "log": access.origin,
        "issuer": issuer,
        "issued": format_time(now),
        "platform": platform,
        "identity": PLATFORMS[platform].identity,
    }


def compose(predicate: Predicate, registers: Registers) -> Statement:
    """The statement, held against every rule that a log would hold it against.

    Raises:
        UsageError: the options do not make a legal one.
    """
    payload = encode(predicate, registers)
    try:
        statement = parse(payload)
        require_known(statement)
    except MalformedError as error:
        words = str(error).removeprefix("not the JSON expected here: ")
        raise UsageError(words.replace("`$.predicate.", "`")) from error
    return statement


def title(statement: Statement) -> str:
    """A statement in a few words."""
    predicate = statement.predicate
    if isinstance(predicate, Release):
        variant = f" ({predicate.variant})" if predicate.variant else ""
        return f"release {predicate.product} {predicate.version}{variant}"
    if isinstance(predicate, Audit):
        return f"{predicate.scope} {predicate.result} by {predicate.issuer}"
    if isinstance(predicate, Identity):
        kept = Counter(key.status for key in predicate.keys)
        keys = ", ".join(f"{number} {status}" for status, number in kept.items())
        return f"identity of {predicate.name} ({keys})"
    return f"revocation ({predicate.reason}) by {predicate.issuer}"


# --- who speaks ----------------------------------------------------------------------


def authority_of(view: View, *names: str) -> tuple[Authority, list[Entry]]:
    """The registrar and these names, judged; with their identities, ascending."""
    found: dict[int, Entry] = {}
    for name in dict.fromkeys((REGISTRAR, *names)):
        for entry in view.ask(of_identity(name)):
            found[entry.index] = entry
    entries = [found[index] for index in sorted(found)]
    return view.judge(entries), entries


def check_speaker(view: View, name: str, keyid: str) -> None:
    """Check that a key is an active one of `name`, as far as the view goes.

    Raises:
        VerificationError: it is not; the log would refuse what it signs.
    """
    authority, _ = authority_of(view, name)
    keys = authority.state(name, view.size).keys
    if keyid not in keys:
        known = ", ".join(f"{one[:16]}…" for one in keys) or "none"
        message = (
            f"key {keyid[:16]}… is not an active key of {name} (active: {known})."
            f" See: pcrlog identity show {name}"
        )
        raise VerificationError(message)


def find_speaker(view: View, names: Sequence[str], keyid: str) -> str:
    """Which of `names` a key belongs to.

    Raises:
        UsageError: to none of them.
    """
    for name in names:
        authority, _ = authority_of(view, name)
        if keyid in authority.state(name, view.size).keys:
            return name
    message = (
        f"key {keyid[:16]}… is an active key of none of {', '.join(names) or 'nobody'}:"
        " say who speaks with --as NAME"
    )
    raise UsageError(message)


# --- signing and handing in ----------------------------------------------------------


def conclude(
    session: Session, access: Access, statement: Statement, plan: Plan
) -> Published | Handed | Made:
    """Sign and hand in a statement, or write it to a file, and say so."""
    if plan.output is not None:
        return write(session, statement, statement.payload, plan.output)
    signer = signers.load(plan.key)
    envelope = sign_envelope(statement.payload, [signer])
    return hand_in(session, access, envelope, plan)


def write(session: Session, statement: Statement, data: bytes, output: str) -> Made:
    """Write a statement, signed or not, to a file, and say what comes next."""
    signed = data != statement.payload
    # A signed one is written as it is to be sent, byte for byte.
    files.write_new(output, data if signed else data + b"\n")
    made = Made(title(statement), output, statement.sha256, signed)
    command = (
        f"pcrlog submit {output} --log URL"
        if signed
        else f"pcrlog sign {output} --key FILE --log URL"
    )
    session.output.result(
        made,
        [
            Row((("wrote: ", GOOD),), f"{made.kind} to {output}"),
            fact("sha256", statement.sha256),
            following(command),
        ],
    )
    return made


def sign(statement: Statement, signer: Signer) -> bytes:
    """The envelope of a statement that one key signs."""
    return sign_envelope(statement.payload, [signer])


def hand_in(
    session: Session, access: Access, envelope: bytes, plan: Plan
) -> Published | Handed:
    """Submit, wait for the decision, check the proof, and say what came of it.

    Raises:
        RefusedError: the log says no.
        VerificationError: the log's proof does not hold.
    """
    statement = parse(Envelope.parse(envelope).payload)
    patience = duration(plan.wait, option="--wait")
    with session.output.progress(f"submitting to {access.client.url}"):
        answer = _submit(access, envelope, min(_SERVER_WAIT, patience), plan)
        if isinstance(answer, Promised):
            index = await_decision(access, answer.envelope_sha256, patience)
            if index is None:
                return _promised(session, access, statement, answer)
            found = Placed(index, statement.sha256)
        else:
            found = answer
        known, proven = prove(access, found, envelope)
    result = Published(
        title(statement), access.origin, found.index, statement.sha256, known, proven
    )
    session.output.result(result, published_rows(result))
    return result


def _submit(
    access: Access, envelope: bytes, wait: int, plan: Plan
) -> Placed | Promised:
    try:
        return access.client.submit(envelope, wait=wait, accept_conflict=plan.conflict)
    except RefusedError as error:
        if not error.kind.endswith(":conflict"):
            raise
        message = (
            f"this version was released with other registers: {error.detail}. Release"
            " under a new version; or, if both are meant to stand, with --conflict"
        )
        raise RefusedError(message, kind=error.kind, status=error.status) from error


def await_decision(access: Access, envelope_sha256: str, patience: int) -> int | None:
    """The index that an envelope was published at; None if time ran out."""
    ends = time.monotonic() + patience
    while (index := access.client.submission(envelope_sha256)) is None:
        if time.monotonic() >= ends:
            return None
        time.sleep(_PAUSE)
    return index


def prove_placed(
    session: Session, access: Access, envelope_sha256: str, patience: int
) -> int:
    """Wait for a decision and say what it was; the exit status."""
    with session.output.progress(f"waiting for {access.origin}"):
        index = await_decision(access, envelope_sha256, patience)
    if index is None:
        message = (
            f"{access.origin} has not decided yet; again: pcrlog wait {envelope_sha256}"
        )
        raise UncheckedError(message)
    entry = access.entry(index)
    result = Published(
        title(entry.statement),
        access.origin,
        index,
        entry.sha256,
        known=sha256(entry.envelope.raw).hex() != envelope_sha256,
        proven=access.log is not None,
    )
    session.output.result(result, published_rows(result))
    return 0


def prove(access: Access, placed: Placed, envelope: bytes) -> tuple[bool, bool]:
    """Whether the statement was known before, and whether its place is proven."""
    statement = sha256(Envelope.parse(envelope).payload).hex()
    if placed.sha256 != statement:
        message = f"the log answered for another statement, {placed.sha256}"
        raise VerificationError(message)
    leaf = envelope
    proof = placed.proof
    if proof is None:
        path = f"api/v1/entries/{placed.index}/proof"
        proof = access.client(path, 2 * limits.NOTE).decode("utf-8", "replace")
    if access.log is None:
        return False, False
    parsed = Proof.parse(proof.encode())
    if parsed.index != placed.index:
        message = f"the log's proof is of entry {parsed.index}, not {placed.index}"
        raise VerificationError(message)
    try:
        parsed.verify(leaf, access.log.key)
    except VerificationError:
        # The statement may stand there in an earlier envelope.
        leaf = access.client(f"api/v1/entries/{placed.index}", limits.ENVELOPE)
        parsed.verify(leaf, access.log.key)
        if sha256(Envelope.parse(leaf).payload).hex() != statement:
            message = f"entry {placed.index} is another statement"
            raise VerificationError(message) from None
        return True, True
    return False, True


def _promised(
    session: Session, access: Access, statement: Statement, promised: Promised
) -> Handed:
    digest = promised.envelope_sha256
    handed = Handed(title(statement), access.origin, statement.sha256, digest)
    session.output.result(
        handed,
        [
            Row(
                (("handed in: ", WARN),),
                f"{handed.kind}; {access.origin} has not yet decided, and promises to",
            ),
            fact("envelope", digest),
            following(f"pcrlog wait {digest} --log {access.client.url}"),
        ],
    )
    return handed


def published_rows(result: Published) -> list[Row]:
    """A statement in the log, for people."""
    word = "is already" if result.known else "is"
    rows = [
        Row(
            (("published: ", GOOD),),
            f"{result.kind} {word} entry {result.index} of {result.log}",
        ),
        fact("sha256", result.sha256),
    ]
    if result.proven:
        rows.append(fact("proof", "its place in the log is proven"))
    else:
        rows.append(fact("proof", "not checked: no policy"))
    return rows


def refuse(
    session: Session, value: object, headline: str, rows: Sequence[Row] = ()
) -> int:
    """Say why nothing was published; the exit status."""
    lead = Row((("refused: ", BAD),), headline, hang=2)
    session.output.result(value, [lead, *rows])
    return VerificationError.exit_code


def undecided(result: object) -> int:
    """The exit status after handing in: 3 while the log has not decided."""
    return UncheckedError.exit_code if isinstance(result, Handed) else 0
