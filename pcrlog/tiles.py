"""C2SP tlog-tiles: the files in which a log serves its tree and its entries.

A full tile is 256 hashes of 32 bytes. Slot i of tile n at level L is the root of the
complete subtree over 256**L leaves that starts at leaf (n * 256 + i) * 256**L. A tile
that is not full yet is served as a partial one of width W, at every size published.
An entry bundle holds the entries under one level-0 tile, each as a big-endian u16
length and its bytes. Paths: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`,
where N is written in groups of three digits, all but the last led by an x.

>>> Tile(0, 1234067).path()
'tile/0/x001/x234/067'
>>> parse_path("tile/entries/000.p/3")
Tile(level=None, index=0, width=3)
>>> parse_bundle(encode_bundle([b"one", b""]), 2)
(b'one', b'')
"""

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.merkle import HASH_SIZE, Node, node_hash

HEIGHT = 8
FULL = 1 << HEIGHT
MAX_ENTRY = 65_535
"""An entry's length is a u16 in its bundle."""
_MAX_LEVEL = 7
"""A tree of 2**63 leaves has tiles at levels 0..7."""

_PATH = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?"
)


class Tile(Struct, frozen=True):
    """Which tile: `level` (None: the entry bundle), `index`, and `width` 1..256."""

    level: int | None
    index: int
    width: int = FULL

    def path(self) -> str:
        """The path below the log's prefix."""
        groups = [f"{self.index % 1000:03}"]
        rest = self.index // 1000
        while rest:
            groups.append(f"x{rest % 1000:03}")
            rest //= 1000
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == FULL else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def parse_path(path: str) -> Tile:
    """The tile that `path` names.

    Raises:
        MalformedError: no tile's path, or not the one spelling of it.
    """
    if match := _PATH.fullmatch(path):
        level, index, width = match.groups()
        tile = Tile(
            None if level == "entries" else int(level),
            int(index.replace("x", "").replace("/", "")),
            FULL if width is None else int(width),
        )
        partial = width is None or 0 < tile.width < FULL
        if partial and (tile.level or 0) <= _MAX_LEVEL and tile.path() == path:
            return tile
    message = f"expected tile/<L>/<N>[.p/<W>], found {shown(path)}"
    raise MalformedError(message)


def tiles_of(size: int, previous: int = 0) -> Iterator[Tile]:
    """The hash tiles that the tree of `size` has and that of `previous` had not.

    Level by level from 0; the partial tile of a level comes last in it. Entry bundles
    have the index and width of the tiles of level 0.
    """
    level = 0
    while size:
        for index in range(previous // FULL, size // FULL):
            yield Tile(level, index)
        if size % FULL and size != previous:
            yield Tile(level, size // FULL, size % FULL)
        size, previous, level = size // FULL, previous // FULL, level + 1


def node_reader(tile_hashes: Callable[[int, int], bytes]) -> Node:
    """A `merkle.Node` over tiles.

    Args:
        tile_hashes: (level, index) to the bytes of that tile, as wide as it has grown.

    Raises:
        MalformedError: (when called) the tile is not wide enough.
    """

    def node(level: int, index: int) -> bytes:
        tile_level, rest = divmod(level, HEIGHT)
        start = index << rest
        tile = tile_hashes(tile_level, start // FULL)
        offset = start % FULL * HASH_SIZE
        hashes = tile[offset : offset + (HASH_SIZE << rest)]
        if len(hashes) != HASH_SIZE << rest:
            message = (
                f"tile {tile_level}/{start // FULL} has {len(tile) // HASH_SIZE}"
                f" hashes, want at least {start % FULL + (1 << rest)}"
            )
            raise MalformedError(message)
        row = [hashes[i : i + HASH_SIZE] for i in range(0, len(hashes), HASH_SIZE)]
        while len(row) > 1:
            row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        return row[0]

    return node


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of an entry bundle."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle of exactly `width` entries.

    Raises:
        MalformedError: too few entries, or bytes left over.
    """
    entries: list[bytes] = []
    offset = 0
    for _ in range(width):
        start = offset + 2
        offset = start + int.from_bytes(data[offset:start])
        if start > len(data) or offset > len(data):
            message = f"entry bundle ends in entry {len(entries)} of {width}"
            raise MalformedError(message)
        entries.append(data[start:offset])
    if offset != len(data):
        message = f"entry bundle has {len(data) - offset} bytes after {width} entries"
        raise MalformedError(message)
    return tuple(entries)
