"""Lists of entries: each with what it is about, and when it came into the log."""

from collections.abc import Iterable
from contextlib import suppress

from msgspec import Struct

from log_server.pages.reading import Reading
from log_server.pages.words import version_of
from log_server.problems import AnswerTooLargeError
from log_server.store import CheckpointRow
from pcrlog.entry import Entry
from pcrlog.errors import PcrlogError
from pcrlog.index_keys import of_measurement
from pcrlog.measurement import registers_in
from pcrlog.predicates import Audit, Identity, Predicate, Release, Revocation

VOID = "void: its key lost its standing"
"""A note beside what speaks for nothing any more."""
_SHORT = 12
_ENTRIES = 500
"""Identities read for the notes of a list."""


class Row(Struct, frozen=True):
    """A line of a list: `about` in words, `sealed` when; `note` is its list's own."""

    entry: Entry
    sealed: CheckpointRow | None
    about: str
    note: str = ""


def row_of(reading: Reading, entry: Entry, note: str = "", called: str = "") -> Row:
    """A line; `called` is what its list calls the measurement that it is about."""
    words = called or about(reading, entry)
    return Row(entry, reading.sealed(entry.index), words, note)


def rows_of(reading: Reading, entries: Iterable[Entry]) -> list[Row]:
    """The lines of entries, in their order; with a note at what is void."""
    listed = list(entries)
    void: set[int] = set()
    with suppress(PcrlogError), reading.at_most(_ENTRIES):  # a list goes on without
        authority = reading.authority(_whose(entry.predicate) for entry in listed)
        void = {entry.index for entry in listed if authority.is_void(entry)}
    return [row_of(reading, e, VOID if e.index in void else "") for e in listed]


def _whose(said: Predicate) -> str:
    """Whose standing decides whether it is void."""
    return said.name if isinstance(said, Identity) else said.issuer


def about(reading: Reading, entry: Entry) -> str:
    """What an audit or a revocation is about, as its first release calls it.

    Whoever is enrolled may release the same measurement later, under a name that
    misleads.
    """
    said = entry.predicate
    if not isinstance(said, Audit | Revocation):
        return ""
    with suppress(AnswerTooLargeError):  # a list goes on without
        return _called(reading, entry, said.platform)
    return ""


def _called(reading: Reading, entry: Entry, platform: str) -> str:
    for measurement in entry.statement.measurements:
        first = reading.first(of_measurement(platform, measurement))
        if first is not None and isinstance(first.predicate, Release):
            return f"{first.predicate.product} {version_of(first.predicate)}"
        [(name, value), *_] = registers_in(measurement).items()
        return f"{name} {value.partition(':')[2][:_SHORT]}…"
    return ""
