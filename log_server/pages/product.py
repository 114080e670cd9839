"""A product: its versions, each with its eight links, and all that happened to them."""

from collections.abc import Iterable, Sequence

from flask import Response
from msgspec import Struct

from log_server.pages.comparing import changes, summary
from log_server.pages.desk import Desk
from log_server.pages.judged import Judged, judge
from log_server.pages.reading import Reading
from log_server.pages.rows import VOID, Row, row_of
from log_server.pages.words import kind_of, segment, version_of
from log_server.problems import NoEntryError, ParameterError
from log_server.store import CheckpointRow
from pcrlog.entry import Entry
from pcrlog.index_keys import of_product
from pcrlog.predicates import Audit, Release, Revocation

VERSIONS = 10
"""Judged on a page: each takes some milliseconds."""
_EVENTS = 80
"""On a page's time line."""


class Version(Struct, frozen=True):
    """A release, judged; `since` is the one before it, and `changed` in a line."""

    entry: Entry
    release: Release
    judged: Judged
    sealed: CheckpointRow | None
    since: Entry | None
    changed: str


class Event(Struct, frozen=True):
    """A place on the time line: a line for an entry, or a conflict in `words`."""

    index: int
    row: Row | None
    words: str = ""


def page(desk: Desk, reading: Reading, product: str, before: int | None) -> Response:
    """The page of a product.

    Raises:
        NoEntryError: nobody has released it.
    """
    entries, more = releases_of(reading, product, before)
    versions = judge_all(reading, entries, desk.now())
    events, complete = time_line(reading, versions)
    return desk.render.page(
        "product",
        product=product,
        provider=product.partition("/")[0],
        versions=versions,
        events=events,
        complete=complete,
        more=more,
        first=before is None,
        now=desk.now(),
        command="pcrlog verify --attestation attestation.cbor --nonce NONCE"
        f" --policy policy.toml --product {product}",
    )


def compare(desk: Desk, reading: Reading, older: int, newer: int) -> Response:
    """What changed between two releases.

    Raises:
        NoEntryError: there is none.
        ParameterError: one of them is no release.
    """
    pair = [reading.entry(older), reading.entry(newer)]
    said = [entry.predicate for entry in pair]
    if not all(isinstance(one, Release) for one in said):
        message = f"entries {older} and {newer} are not both releases"
        raise ParameterError(message)
    return desk.render.page(
        "compare",
        older=pair[0],
        newer=pair[1],
        found=changes(*pair),
        now=desk.now(),
        sealed={one.index: reading.sealed(one.index) for one in pair},
    )


def releases_of(
    reading: Reading, product: str, before: int | None = None, most: int = VERSIONS
) -> tuple[list[Entry], int | None]:
    """The newest releases of a product, and `before` of the next page.

    Raises:
        NoEntryError: there is none.
    """
    entries, more = reading.newest(of_product(product), most, before)
    if not entries:
        message = f"no release of {product} is published"
        raise NoEntryError(message)
    return entries, more


def judge_all(reading: Reading, entries: Sequence[Entry], now: int) -> list[Version]:
    """Releases, newest first, each with its links and what it changed."""
    known: dict[tuple[object, ...], Judged] = {}
    found = []
    for place, entry in enumerate(entries):
        release = entry.predicate
        if not isinstance(release, Release):
            continue
        what = (release.platform, *sorted(entry.statement.registers.items()))
        if what not in known:
            known[what] = judge(reading, entry, release, now)
        since = _before(entries[place + 1 :], release)
        changed = "" if since is None else summary(changes(since, entry))
        sealed = reading.sealed(entry.index)
        found.append(Version(entry, release, known[what], sealed, since, changed))
    return found


def _before(older: Iterable[Entry], release: Release) -> Entry | None:
    """The release that one follows: the newest other version of its kind."""
    for entry in older:
        one = entry.predicate
        if (
            isinstance(one, Release)
            and one.version != release.version
            and (one.platform, one.variant) == (release.platform, release.variant)
        ):
            return entry
    return None


def time_line(
    reading: Reading, versions: Iterable[Version]
) -> tuple[list[Event], bool]:
    """What happened to these versions, newest first; and whether that is all.

    Where it is too much, what speaks against them stays.
    """
    entries: dict[int, Entry] = {}
    conflicts: dict[tuple[int, int], str] = {}
    called: dict[int, str] = {}
    void: frozenset[int] = frozenset()
    complete = True
    for version in versions:
        void |= version.judged.void
        complete = complete and not version.judged.unread
        for entry in version.judged.said:
            entries[entry.index] = entry
            if _is_said_of(entry, version.release):
                release = version.release
                words = f"{segment(release.product)} {version_of(release)}"
                called.setdefault(entry.index, words)
        for pair in version.judged.conflicts:
            first, second = sorted(one.index for one in pair)
            conflicts[first, second] = (
                f"Entries {first} and {second} name different registers for version"
                f" {version.release.version}"
            )
    newest = sorted(entries, key=lambda index: (_speaks_for(entries[index]), -index))
    found = [Event(second, None, words) for (_, second), words in conflicts.items()]
    found = found[:_EVENTS]
    for index in newest[: _EVENTS - len(found)]:
        note = VOID if index in void else ""
        row = row_of(reading, entries[index], note, called.get(index, ""))
        found.append(Event(index, row))
    found.sort(key=lambda one: (-one.index, one.row is not None))
    return found, complete and len(found) == len(entries) + len(conflicts)


def _is_said_of(entry: Entry, release: Release) -> bool:
    """Whether it is about the measurement that was released: a commit is another."""
    said = entry.predicate
    return isinstance(said, Audit | Revocation) and said.platform == release.platform


def _speaks_for(entry: Entry) -> bool:
    return kind_of(entry) not in ("fail", "revocation")
