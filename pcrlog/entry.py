"""Entries: a leaf's bytes, read as one of the two kinds that a log holds.

A leaf that starts with `{` is a statement in its envelope, one that starts with `p` a
seal (PROTOCOL.md section 2). Statements are looked at here in form only.
"""

from msgspec import Struct

from pcrlog.envelope import FIRST_BYTE, Envelope
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.predicates import Identity, Predicate
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE
from pcrlog.seal import Seal
from pcrlog.statement import Statement, parse


class Entry(Struct, frozen=True):
    """A well-formed statement at its `index`; who said it is not checked yet."""

    index: int
    envelope: Envelope
    statement: Statement

    @property
    def predicate(self) -> Predicate:
        """The statement's predicate."""
        return self.statement.predicate

    @property
    def sha256(self) -> str:
        """The statement's hex SHA-256."""
        return self.statement.sha256

    @property
    def keyid(self) -> str:
        """The first signer's keyid; the only one, but for identities."""
        return next(iter(self.envelope.signatures))


def parse_entry(index: int, leaf: bytes) -> Entry:
    """Read a statement leaf.

    Raises:
        UncheckedError: a kind of leaf or predicate that this version does not know.
        MalformedError: anything else that is not a legal statement.
    """
    if not leaf.startswith(FIRST_BYTE):
        message = f"entry {index} is of an unknown kind; upgrade pcrlog"
        if leaf.startswith(SEAL_FIRST_BYTE):
            message = f"entry {index} is a seal, want a statement"
            raise MalformedError(message)
        raise UncheckedError(message)
    return read_entry(index, Envelope.parse(leaf))


def read_entry(index: int, envelope: Envelope) -> Entry:
    """The same, of an envelope that has been read.

    Raises:
        UncheckedError, MalformedError: as `parse_entry`.
    """
    statement = parse(envelope.payload)
    expected: tuple[str, ...] = tuple(envelope.signatures)
    if isinstance(statement.predicate, Identity):
        if expected != statement.predicate.signers:
            message = f"entry {index}: signatures are not those of its signers"
            raise MalformedError(message)
    elif len(expected) != 1:
        message = f"entry {index}: expected one signature, found {len(expected)}"
        raise MalformedError(message)
    return Entry(index, envelope, statement)


def parse_leaf(index: int, leaf: bytes) -> Entry | Seal:
    """Read a leaf of either kind.

    Raises:
        UncheckedError: a kind, type or version that is not known here.
        MalformedError: anything else that is not legal.
    """
    if leaf.startswith(SEAL_FIRST_BYTE):
        return Seal.parse(leaf)
    return parse_entry(index, leaf)
