"""A tree's files, from a mirror or from its log: each is proven before it is used.

Hash tiles are held against the tile above, the last ones of each level against the root
that the log signed, entry bundles against the hash tile over them. So it does not
matter where a file comes from or in what order: what lies in the mirror already is
taken if it is right, and fetched again if it is not.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from pcrlog import limits
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    TransportError,
    VerificationError,
)
from pcrlog.merkle import HASH_SIZE, leaf_hash, range_root, root
from pcrlog.reader import AbsentError, Fetch
from pcrlog.tiles import FULL, HEIGHT, Tile, node_reader, parse_bundle

_BUNDLE = FULL * (limits.ENVELOPE + 2)
"""Bytes of an entry bundle at most: a larger entry is none."""
_REMEMBERED = 1024
"""Hash tiles of level 0 that are remembered: 8 KiB each. Those above all are."""
T = TypeVar("T")


class Folder:
    """A mirror's files (a `reader.Fetch`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, path: str, most: int, /) -> bytes:
        """A file's bytes.

        Raises:
            AbsentError: it is not there, or cannot be read.
            TransportError: it is larger.
        """
        try:
            with (self._directory / path).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            message = f"{self._directory / path}: {error.strerror}"
            raise AbsentError(message) from error
        if len(data) > most:
            message = f"{self._directory / path} has more than {most} bytes"
            raise TransportError(message)
        return data


class Part(NamedTuple):
    """A hash tile's `data`, proven, and whether it `lies` in the mirror already."""

    data: bytes
    lies: bool


class Tiles:
    """All files of one tree; any number of threads may ask.

    Args:
        checkpoint: of the tree, of at least one leaf; the log signed it.
        mirror: what lies there already.
        log: what it serves; None: there is the mirror, and no log.

    Raises:
        VerificationError: the last tiles do not lead to the root.
        TransportError: one of them cannot be had.
    """

    def __init__(
        self, checkpoint: Checkpoint, mirror: Fetch, log: Fetch | None = None
    ) -> None:
        self.size = checkpoint.size
        self._root = checkpoint.root
        self._sources = [(mirror, True)]
        if log is not None:
            self._sources.append((log, False))
        self._full: dict[tuple[int, int], Part] = {}
        self._tail: tuple[tuple[bytes, ...], bool] | None = None
        last, lies = self._first(self._read_last)
        self._last = {place: Part(data, lies) for place, data in last.items()}

    def _read_last(self, source: Fetch) -> dict[tuple[int, int], bytes]:
        """The tiles that are not full: all of them together make the root."""
        last: dict[tuple[int, int], bytes] = {}
        for level in range(self.size.bit_length() // HEIGHT + 1):
            grown = self.size >> HEIGHT * level
            if grown % FULL:
                tile = Tile(level, grown // FULL, grown % FULL)
                last[level, tile.index] = _hashes(source, tile)
        node = node_reader(lambda level, index: last[level, index])
        if range_root(0, self.size, node) != self._root:
            message = (
                f"the hash tiles of {self.size} leaves do not lead to the root that the"
                f" log signed, {self._root.hex()}"
            )
            raise VerificationError(message)
        return last

    def node(self, level: int, index: int) -> bytes:
        """A complete subtree's root (a `merkle.Node`)."""
        return node_reader(lambda at, number: self.tile(at, number).data)(level, index)

    def tile(self, level: int, index: int) -> Part:
        """A hash tile, as wide as it is in this tree.

        Raises:
            VerificationError: what the log serves is not in the tree.
            TransportError: it does not serve it.
        """
        known = self._last.get((level, index)) or self._full.get((level, index))
        if known is not None:
            return known
        tile = Tile(level, index)
        above = self.tile(level + 1, index // FULL).data
        [expected] = _row(above[index % FULL * HASH_SIZE :][:HASH_SIZE])

        def read(source: Fetch) -> bytes:
            data = _hashes(source, tile)
            if root(_row(data)) != expected:
                message = f"{tile.path()} is not in the tree that the log signed"
                raise VerificationError(message)
            return data

        found = Part(*self._first(read))
        if level == 0 and len(self._full) >= _REMEMBERED:
            self._forget()
        self._full[level, index] = found
        return found

    def leaves(self, index: int) -> tuple[tuple[bytes, ...], bool]:
        """The leaves of an entry bundle, and whether it lies in the mirror already.

        Raises:
            VerificationError: what the log serves is not in the tree.
            TransportError: it does not serve it.
        """
        if index < (self.size - 1) // FULL:
            return self._read_leaves(index)
        # The last ones are asked for again and again: the seal is among them.
        if self._tail is None:
            self._tail = self._read_leaves(index)
        return self._tail

    def _read_leaves(self, index: int) -> tuple[tuple[bytes, ...], bool]:
        width = min(FULL, self.size - index * FULL)
        tile = Tile(None, index, width)
        hashes = _row(self.tile(0, index).data)

        def read(source: Fetch) -> tuple[bytes, ...]:
            data, served = _widest(source, tile, _BUNDLE)
            try:
                found = parse_bundle(data, served)[:width]
            except MalformedError as error:
                message = f"{tile.path()}: {error}"
                raise VerificationError(message) from error
            for number, leaf in enumerate(found):
                if leaf_hash(leaf) != hashes[number]:
                    message = (
                        f"entry {index * FULL + number} in {tile.path()} is not the one"
                        " in the tree that the log signed"
                    )
                    raise VerificationError(message)
            return found

        return self._first(read)

    def leaf(self, index: int) -> bytes:
        """One leaf."""
        return self.leaves(index // FULL)[0][index % FULL]

    def _first(self, read: Callable[[Fetch], T]) -> tuple[T, bool]:
        """What the first source gives of which it is right, and if that is the mirror.

        The mirror's own files may be of another tree, cut short or gone: no reason to
        say anything of the log.
        """
        *earlier, (last, last_lies) = self._sources
        for source, lies in earlier:
            with suppress(PcrlogError):
                return read(source), lies
        return read(last), last_lies

    def _forget(self) -> None:
        low = [place for place in self._full if place[0] == 0]
        for place in low[: _REMEMBERED // 2]:
            self._full.pop(place, None)


def _row(data: bytes) -> list[bytes]:
    return [data[i : i + HASH_SIZE] for i in range(0, len(data), HASH_SIZE)]


def _hashes(source: Fetch, tile: Tile) -> bytes:
    """A hash tile's bytes, cut to its width."""
    data, width = _widest(source, tile, FULL * HASH_SIZE)
    if len(data) != width * HASH_SIZE:
        message = f"{tile.path()} has {len(data)} bytes, want {width * HASH_SIZE}"
        raise VerificationError(message)
    return data[: tile.width * HASH_SIZE]


def _widest(source: Fetch, tile: Tile, most: int) -> tuple[bytes, int]:
    """A file's bytes and width; a partial one may go once the full one is there."""
    try:
        return source(tile.path(), most), tile.width
    except AbsentError:
        if tile.width == FULL:
            raise
    return source(Tile(tile.level, tile.index).path(), most), FULL
