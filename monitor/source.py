"""What a log serves, read for checking: its checkpoint, its leaves, proofs from tiles.

Nothing here is believed. Leaves come in runs, several files at once, and whoever takes
them holds them against the tree before he believes them (`follow`); hashes from tiles
are used in proofs alone, which end in a root that the log signed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from queue import SimpleQueue

from pcrlog import limits
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import TransportError
from pcrlog.merkle import HASH_SIZE, Node, Range
from pcrlog.policy import Log
from pcrlog.reader import AbsentError, Fetch, Reader
from pcrlog.tiles import FULL, MAX_ENTRY, Tile, node_reader, parse_bundle
from pcrlog.transport import RefusedError

_AT_ONCE = 4
_BUNDLE = FULL * (MAX_ENTRY + 2)
_TILES = 64
"""Tiles that are remembered for one tree: 8 KiB each, and a proof needs a few."""


class Source:
    """A log's files, below its URL.

    Args:
        connect: makes a `Fetch`; each is used by one thread at a time.
        log: whose they are.
        clock: unix seconds.
    """

    def __init__(
        self, connect: Callable[[], Fetch], log: Log, clock: Callable[[], int]
    ) -> None:
        self._log = log
        self._clock = clock
        self._pool = ThreadPoolExecutor(_AT_ONCE, "fetch")
        self._idle: SimpleQueue[Fetch] = SimpleQueue()
        for _ in range(_AT_ONCE):
            self._idle.put(connect())

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def note(self) -> bytes:
        """What the log shows as its checkpoint.

        Raises:
            TransportError: no answer.
        """
        return self._fetch("checkpoint", limits.NOTE)

    def reader(self) -> Reader:
        """Verified reads, for one round: it remembers the tiles that it was given."""
        return Reader(self._fetch, self._log, self._clock())

    def leaves(
        self, start: int, end: int, size: int, *, enough: int | None = None
    ) -> list[bytes]:
        """Leaves [start, end) of the tree of `size`, unverified.

        Args:
            start: of the first one.
            end: after the last one.
            size: of a tree that has them.
            enough: bytes after which fewer will do; there is at least one leaf.

        Raises:
            TransportError: no answer, or files that are not there.
            MalformedError: an entry bundle of another form.
        """
        found: list[bytes] = []
        first = start // FULL
        last = (end + FULL - 1) // FULL
        for at in range(first, last, _AT_ONCE):
            places = range(at, min(at + _AT_ONCE, last))
            for bundle in self._pool.map(lambda one: self._bundle(one, size), places):
                found += bundle
            if enough is not None and sum(map(len, found)) >= enough:
                break
        return found[start - first * FULL : end - first * FULL]

    def tree(self, size: int, within: int) -> Range:
        """The compact range of `size` leaves, from tiles of the tree of `within`.

        Unverified: whoever grows it to a root that he knows has verified it.
        """
        node = self.node(within)
        bits = [bit for bit in reversed(range(size.bit_length())) if size >> bit & 1]
        return Range(size, [node(bit, (size >> bit) - 1) for bit in bits])

    def node(self, size: int) -> Node:
        """Roots of subtrees of the tree of `size`, from its tiles, unverified.

        It remembers the tiles that it was given.
        """

        @lru_cache(_TILES)
        def tile(level: int, index: int) -> bytes:
            return self._tile(level, index, size)

        return node_reader(tile)

    def consistency(self, old: Checkpoint, new: Checkpoint) -> None:
        """Check by the log's tiles that the tree of `new` extends that of `old`.

        Raises:
            VerificationError: what the tiles give does not lead from one to the other.
        """
        if old.size == 0 or old == new:
            return
        self.reader().consistency(old, new)

    def _bundle(self, place: int, size: int) -> tuple[bytes, ...]:
        data, width = self._file(None, place, size, _BUNDLE)
        return parse_bundle(data, width)

    def _tile(self, level: int, place: int, size: int) -> bytes:
        return self._file(level, place, size, FULL * HASH_SIZE)[0]

    def _file(
        self, level: int | None, place: int, size: int, most: int
    ) -> tuple[bytes, int]:
        """A file's bytes and width, as wide as it is in the tree of `size`."""
        width = min(FULL, (size >> 8 * (level or 0)) - place * FULL)
        try:
            return self._fetch(Tile(level, place, width).path(), most), width
        except AbsentError:
            # A partial one may be dropped once the full one is there.
            if width == FULL:
                raise
        return self._fetch(Tile(level, place).path(), most), FULL

    def _fetch(self, path: str, most: int, /) -> bytes:
        fetch = self._idle.get()
        try:
            return fetch(path, most)
        except RefusedError as error:
            # Whatever its reason: to us it is a log that does not answer.
            raise TransportError(str(error)) from error
        finally:
            self._idle.put(fetch)


def runs(start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """[start, end) in pieces of at most `most` leaves, cut where bundles end."""
    while start < end:
        stop = min(end, (start + most) // FULL * FULL if start + most < end else end)
        yield start, stop
        start = stop
