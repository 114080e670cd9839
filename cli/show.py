"""`pcrlog show`: one entry of the log, or a statement in a file, in full.

An entry is proven to be in the log; whether its key may say it, and whether it still
stands, is judged as in `verify`. A file is shown as it is: to see what one is about to
sign or submit.
"""

from collections.abc import Iterator

import click
import msgspec
from msgspec import Struct

from cli import files
from cli.logs import Access, reach
from cli.looking import look
from cli.options import LogOptions, json_option, read_options, takes
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, say
from cli.session import Session
from cli.speaking import authority_of, title
from pcrlog import limits
from pcrlog.encoding import format_time
from pcrlog.entry import Entry, parse_leaf
from pcrlog.envelope import Envelope
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.predicates import Identity, Release
from pcrlog.seal import Seal
from pcrlog.statement import Statement, parse


class _Show(LogOptions, frozen=True, kw_only=True):
    what: str


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry, or a statement of a file.

    `against`: why it no longer stands; empty if nothing is known against it.
    """

    title: str
    sha256: str
    predicate: object
    registers: dict[str, str]
    signers: tuple[str, ...]
    index: int | None = None
    log: str | None = None
    proven: bool = False
    against: str = ""


class SealShown(Struct, frozen=True):
    """The log's own line about itself."""

    index: int
    log: str
    count: int
    time: int
    index_root: str
    frozen: bool
    proven: bool


@click.command("show")
@click.argument("what", metavar="INDEX|FILE")
@read_options
@json_option
@takes(_Show)
def show_command(session: Session, options: _Show) -> None:
    """Show an entry of the log, proven to be in it.

    A FILE with a statement, signed or not, is shown as it is.
    """
    what = options.what
    if not (what.isascii() and what.isdigit()):
        statement, signers = _read(what)
        shown = _shown(statement, signers)
        session.output.result(shown, _rows(shown))
        return
    access = reach(session, options)
    index = int(what)
    with session.output.progress(f"asking {access.source.url}"):
        leaf = _leaf(index, access.leaf(index))
        if isinstance(leaf, Seal):
            _show_seal(session, access, index, leaf)
            return
        against = _against(session, access, leaf)
    shown = msgspec.structs.replace(
        _shown(leaf.statement, tuple(leaf.envelope.signatures)),
        index=index,
        log=access.origin,
        proven=access.log is not None,
        against=against,
    )
    session.output.result(shown, _rows(shown))


def _read(file: str) -> tuple[Statement, tuple[str, ...]]:
    data = files.read(file, limits.ENVELOPE + 1).rstrip(b"\n")
    try:
        if data.startswith(b'{"payload"'):
            envelope = Envelope.parse(data)
            return parse(envelope.payload), tuple(envelope.signatures)
        return parse(data), ()
    except MalformedError as error:
        message = f"{file} is neither an index nor a file with a statement: {error}"
        raise UsageError(message) from error


def _leaf(index: int, data: bytes) -> Entry | Seal:
    try:
        return parse_leaf(index, data)
    except MalformedError as error:
        message = f"entry {index} is in the log, and malformed: {error}"
        raise VerificationError(message) from error


def _against(session: Session, access: Access, entry: Entry) -> str:
    """Why an entry does not stand, as far as its issuer and the registrar say."""
    said = entry.predicate
    if isinstance(said, Release):
        registers = entry.statement.registers
        found = look(access, said.product, registers, session.now)
        return found.releases.against(entry, said)
    name = said.name if isinstance(said, Identity) else said.issuer
    view = access.identities(name)
    authority, _ = authority_of(view, name)
    return "its key was compromised, or lost" if authority.is_void(entry) else ""


def _shown(statement: Statement, signers: tuple[str, ...]) -> Shown:
    return Shown(
        title=title(statement),
        sha256=statement.sha256,
        predicate=msgspec.to_builtins(statement.predicate),
        registers=dict(statement.registers),
        signers=signers,
    )


def _show_seal(session: Session, access: Access, index: int, seal: Seal) -> None:
    proven = access.log is not None
    shown = SealShown(
        index,
        access.origin,
        seal.count,
        seal.time,
        seal.root.hex(),
        seal.frozen,
        proven,
    )
    session.output.result(
        shown,
        [
            say(f"entry {index} of {access.origin}: seal", STRONG),
            _fact("leaves", str(seal.count)),
            _fact("time", format_time(seal.time)),
            _fact("index root", seal.root.hex()),
            *([_fact("frozen", "yes: the log's last leaf")] if seal.frozen else []),
            _proof(proven=proven),
        ],
    )


# --- for people ----------------------------------------------------------------------


def _rows(shown: Shown) -> Iterator[Row]:
    where = "" if shown.index is None else f"entry {shown.index} of {shown.log}: "
    yield say(f"{where}{shown.title}", STRONG)
    yield _fact("sha256", shown.sha256)
    for name, value in shown.registers.items():
        yield _fact(name, value)
    for name, value in _flat(shown.predicate, ""):
        yield _fact(name, value)
    for keyid in shown.signers or ("nobody: it is not signed yet",):
        yield _fact("signed by", keyid)
    if shown.index is None:
        return
    yield _proof(proven=shown.proven)
    if shown.against:
        yield Row((("  ✗ ", BAD),), f"it no longer stands: it {shown.against}", BAD)
    else:
        yield Row(
            (("  ✓ ", GOOD),), "nothing is said against it by who may take it back"
        )


def _proof(*, proven: bool) -> Row:
    if proven:
        return Row((("  ✓ ", GOOD),), "proven to be in the log")
    return Row((("  ? ", WARN),), "not checked: no policy", WARN)


def _fact(name: str, value: str) -> Row:
    return Row(((f"  {name:<21}", DIM),), value)


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    """A predicate's members, each under its path."""
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from _flat(inner, f"{name}.{member}" if name else str(member))
    elif isinstance(value, list | tuple):
        if not value:
            yield name, "none"
        for number, inner in enumerate(value):
            place = name if isinstance(inner, str) else f"{name}.{number}"
            yield from _flat(inner, place)
    else:
        yield name, str(value)
