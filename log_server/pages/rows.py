"""Lists of entries: each with what it is about, and when it came into the log."""

from collections.abc import Iterable
from contextlib import suppress

from msgspec import Struct

from log_server.pages.reading import Reading
from log_server.pages.words import segment, version_of
from log_server.problems import AnswerTooLargeError
from log_server.store import CheckpointRow
from pcrlog.entry import Entry
from pcrlog.index_keys import of_measurement
from pcrlog.measurement import registers_in
from pcrlog.predicates import Audit, Release, Revocation

VOID = "void: its key lost its standing"
"""A note beside what speaks for nothing any more."""
_SHORT = 12


class Row(Struct, frozen=True):
    """A line of a list: `about` in words, `sealed` when; `note` is its list's own."""

    entry: Entry
    sealed: CheckpointRow | None
    about: str
    note: str = ""


def row_of(reading: Reading, entry: Entry, note: str = "") -> Row:
    """A line."""
    return Row(entry, reading.sealed(entry.index), about(reading, entry), note)


def rows_of(reading: Reading, entries: Iterable[Entry]) -> list[Row]:
    """The lines of entries, in their order."""
    return [row_of(reading, entry) for entry in entries]


def about(reading: Reading, entry: Entry) -> str:
    """What an audit or a revocation is about, as its newest release calls it."""
    said = entry.predicate
    if not isinstance(said, Audit | Revocation):
        return ""
    with suppress(AnswerTooLargeError):  # a list goes on without
        return _called(reading, entry, said.platform)
    return ""


def _called(reading: Reading, entry: Entry, platform: str) -> str:
    for measurement in entry.statement.measurements:
        found, _ = reading.newest(of_measurement(platform, measurement), 1)
        for release in (one.predicate for one in found):
            if isinstance(release, Release):
                return f"{segment(release.product)} {version_of(release)}"
        [(name, value), *_] = registers_in(measurement).items()
        return f"{name} {value.partition(':')[2][:_SHORT]}…"
    return ""
