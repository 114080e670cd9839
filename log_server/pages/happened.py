"""What was last said of a product: its releases, and whatever is about them.

A release that is years old may be revoked today, and that is news. So no release is too
old to be looked at here, up to a bound; and nothing is judged, since that takes time.
The releases come out of the index; who else spoke about them is found by the words of
plain search, as everywhere on these pages (judged.py).
"""

from collections.abc import Iterator
from contextlib import suppress
from heapq import heappop, heappush

from msgspec import Struct

from log_server.pages.product import releases_of
from log_server.pages.reading import Reading
from log_server.pages.words import digest_in
from log_server.problems import AnswerTooLargeError
from pcrlog.entry import Entry
from pcrlog.gather import COMMIT
from pcrlog.predicates import Audit, Release, Revocation

RELEASES = 100
"""Looked at, the newest: each takes a search for its digest and one for its commit."""
_SEEN = 512
"""Places of plain search that are looked at for a digest."""
_SOURCE = "source"


class Happened(Struct, frozen=True):
    """The newest entries about the newest `releases` of a product, descending.

    `older`: there are releases that were not looked at. `whole`: of those that were,
    nothing newer than the last of `entries` is left out, as far as plain search knows.
    """

    entries: tuple[Entry, ...]
    releases: int
    older: bool
    whole: bool


def happened(
    reading: Reading, product: str, most: int, releases: int = RELEASES
) -> Happened:
    """The `most` entries that were said last about a product's newest `releases`.

    Raises:
        NoEntryError: nobody has released it.
    """
    entries, older = releases_of(reading, product, most=releases)
    search = _Search(reading, product)
    found: dict[int, Entry] = {}
    whole = False
    with suppress(AnswerTooLargeError):  # what was read before is said
        for entry in entries:
            search.follow(entry)
        for entry in search:
            # An audit may lead to a commit of which there is newer news.
            newest = sorted(found, reverse=True)[:most]
            if len(newest) == most and entry.index < newest[-1]:
                break
            found[entry.index] = entry
        whole = search.whole
    newest = sorted(found, reverse=True)[:most]
    return Happened(
        tuple(found[index] for index in newest), len(entries), older is not None, whole
    )


class _Search:
    """Entries about some measurements, newest first; `whole` until one is not found."""

    def __init__(self, reading: Reading, product: str) -> None:
        self.whole = True
        self._reading = reading
        self._product = product
        self._measured: set[tuple[str, str]] = set()
        self._places: set[int] = set()
        self._todo: list[int] = []

    def __iter__(self) -> Iterator[Entry]:
        while self._todo:
            entry = self._reading.entry(-heappop(self._todo))
            if self._is_about(entry):
                self.follow(entry)
                yield entry

    def follow(self, entry: Entry) -> None:
        """Look for what else is about a measurement or a commit that an entry names."""
        said = entry.predicate
        if isinstance(said, Release):
            self._expect(entry.index)
            for one in entry.statement.measurements:
                self._look(said.platform, one)
        if isinstance(said, Release | Audit) and said.source is not None:
            self._look(_SOURCE, f"{COMMIT}{said.source.commit}")

    def _look(self, platform: str, measurement: str) -> None:
        if (platform, measurement) in self._measured:
            return
        self._measured.add((platform, measurement))
        places, complete = self._reading.places(digest_in(measurement), _SEEN)
        self.whole = self.whole and complete
        for index in places:
            self._expect(index)

    def _expect(self, index: int) -> None:
        if index not in self._places:
            self._places.add(index)
            heappush(self._todo, -index)

    def _is_about(self, entry: Entry) -> bool:
        """Whether it is about them: others may have released the same bytes."""
        said = entry.predicate
        if isinstance(said, Release):
            return said.product == self._product
        return isinstance(said, Audit | Revocation) and any(
            (said.platform, one) in self._measured
            for one in entry.statement.measurements
        )
