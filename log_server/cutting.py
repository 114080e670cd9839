"""Cuts from log.db what everybody reads: which tiles, and their bytes.

All of it can be cut again, byte for byte, from what is committed; so it may lie in a
folder, in a bucket, or nowhere.
"""

from collections.abc import Iterator

from log_server.store import Snapshot
from pcrlog.merkle import HASH_SIZE
from pcrlog.tiles import FULL, HEIGHT, Tile, encode_bundle, tiles_of


def tiles_to_serve(
    snapshot: Snapshot, size: int, previous: int = 0
) -> Iterator[tuple[Tile, bool]]:
    """Every hash tile of the checkpoints above `previous` and up to `size` leaves.

    And whether it must be served still: a partial tile may go when the full one stands.
    """
    for checkpoint in snapshot.checkpoints(previous):
        if checkpoint.size > size:
            return
        for tile in tiles_of(checkpoint.size, previous):
            yield tile, tile.width == FULL or tile.index >= _full_tiles(tile, size)
        previous = checkpoint.size


def _full_tiles(tile: Tile, size: int) -> int:
    """How many full tiles a tree of `size` leaves has at the level of `tile`."""
    return size >> HEIGHT * ((tile.level or 0) + 1)


def kinds_of(tile: Tile) -> tuple[Tile, ...]:
    """A hash tile and, for one of level 0, the entry bundle beside it."""
    if tile.level == 0:
        return tile, Tile(None, tile.index, tile.width)
    return (tile,)


def cut(snapshot: Snapshot, tile: Tile) -> bytes:
    """The bytes of a hash tile or an entry bundle, from log.db."""
    if tile.level is not None:
        return snapshot.tile(tile.level, tile.index)[: tile.width * HASH_SIZE]
    start = tile.index * FULL
    leaves = snapshot.leaves(start, start + tile.width)
    return encode_bundle([leaf for _, leaf in leaves])


def is_of_tree(tile: Tile, size: int) -> bool:
    """Whether a tree of `size` leaves has all that `tile` covers."""
    return tile.index * FULL + tile.width <= size >> HEIGHT * (tile.level or 0)


def published_note(snapshot: Snapshot) -> bytes | None:
    """The checkpoint that was published last, cosigned; None if none was."""
    published = snapshot.published()
    return None if published is None else published[1]
