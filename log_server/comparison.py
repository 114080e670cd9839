"""Holds what is published apart from log.db against it: every file, byte for byte."""

from collections.abc import Callable, Iterator
from itertools import islice

from log_server.cutting import cut, kinds_of, tiles_to_serve
from log_server.shelf import CHECKPOINT, GROUP, Read, Shelf
from log_server.store import Snapshot
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import PcrlogError
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.tiles import Tile


class Comparison:
    """One pass over a shelf.

    Args:
        snapshot: what is right.
        shelf: what is looked at; where nothing is apart, nothing is wrong.
        compared: is told how many files are done.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        shelf: Shelf,
        compared: Callable[[int], None] = lambda _done: None,
    ) -> None:
        self._snapshot = snapshot
        self._shelf = shelf
        self._compared = compared
        self.done = 0
        """Tiles and entry bundles that were compared."""

    def wrong(self, vkey: VerifierKey, shown: bytes) -> Iterator[str]:
        """All that is wrong, in words, below the checkpoint that is shown."""
        where = f"{self._shelf.where}{CHECKPOINT}"
        try:
            checkpoint = open_checkpoint(UnverifiedNote.parse(shown), vkey)
        except PcrlogError as error:
            yield f"{where}: {error}"
            return
        row = self._snapshot.checkpoint_of_size(checkpoint.size)
        if row is None or row.root != checkpoint.root:
            yield f"{where} is not one of log.db's"
            return
        for tile, wrong in self.wrong_tiles(row.size):
            yield f"{self._shelf.where}{tile.path()} {wrong}"

    def wrong_tiles(self, size: int) -> Iterator[tuple[Tile, str]]:
        """The tiles and entry bundles of `size` leaves that are wrong, and in what."""
        todo = (
            (kind, needed)
            for tile, needed in tiles_to_serve(self._snapshot, size)
            for kind in kinds_of(tile)
        )
        while group := list(islice(todo, GROUP)):
            found = self._shelf.read([tile.path() for tile, _ in group])
            for (tile, needed), data in zip(group, found, strict=True):
                wrong = self._wrong(tile, data, needed=needed)
                if wrong:
                    yield tile, wrong
            self.done += len(group)
            self._compared(self.done)

    def _wrong(self, tile: Tile, data: Read, *, needed: bool) -> str:
        if data is None:
            return "is missing" if needed else ""
        if isinstance(data, Exception):
            why = data.strerror if isinstance(data, OSError) else data
            return f"cannot be read: {why}"
        return "" if data == cut(self._snapshot, tile) else "differs"
