"""Publishes into a folder: `public`, from which the web process, or any other, serves.

There is one sequencer on this machine, by a lock, so /checkpoint is simply replaced.
"""

import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from log_server.placing import Placer
from log_server.shelf import CHECKPOINT, GROUP, Read
from pcrlog.tiles import Tile

_REMOVED_AT_ONCE = 8


class FolderShelf:
    """A `Shelf` in a folder.

    Args:
        public: the folder.
        mark: see `Placer`.
    """

    where = "public/"
    is_apart = True
    is_asked = True

    def __init__(self, public: Path, mark: str = "new") -> None:
        self._public = public
        self._checkpoint = public / CHECKPOINT
        self._placer = Placer(mark)
        # The note that is on disk under no name.
        self._ahead = b""
        # Folders of partial tiles whose full tile stands. A crash leaves them, which
        # costs space alone: nobody asks for those files.
        self._outgrown: list[Path] = []

    def shown(self) -> bytes | None:
        """The note that /checkpoint shows."""
        try:
            return self._checkpoint.read_bytes()
        except FileNotFoundError:
            return None

    def put(self, tiles: Iterable[tuple[Tile, bytes]], ahead: bytes = b"") -> None:
        """Put tiles in place, and `ahead` beside them on disk.

        It goes to disk with the tiles since two files take as long as one.
        """
        todo = iter(tiles)
        while files := {
            self._public / t.path(): data for t, data in islice(todo, GROUP)
        }:
            is_new = ahead not in {b"", self._ahead}
            beside = {self._checkpoint: ahead} if is_new else {}
            self._placer.write({**files, **beside})
            self._ahead = ahead or self._ahead
            self._placer.name(files)

    def show(self, note: bytes) -> None:
        """Show a checkpoint."""
        if note != self._ahead:
            self._placer.write({self._checkpoint: note})
        self._ahead = b""
        self._placer.name([self._checkpoint])

    def outgrow(self, tiles: Iterable[Tile]) -> None:
        """The partial tiles of these full ones may go."""
        self._outgrown += (self._public / f"{tile.path()}.p" for tile in tiles)

    def sweep(self) -> bool:
        """Remove a few of the partial tiles of tiles that have become full.

        All at once, up to 510 files, would hold up the next batch. A reader that still
        wants one falls back to the full tile (C2SP tlog-tiles).
        """
        left = _REMOVED_AT_ONCE
        while left and self._outgrown:
            folder = self._outgrown[0]
            found = list(islice(folder.iterdir(), left)) if folder.is_dir() else []
            for path in found:
                path.unlink()
            left -= len(found)
            if left:
                shutil.rmtree(folder, ignore_errors=True)
                del self._outgrown[0]
        return bool(self._outgrown)

    def read(self, paths: Sequence[str]) -> list[Read]:
        """Files as they stand."""
        return [self._read(path) for path in paths]

    def _read(self, path: str) -> Read:
        try:
            return (self._public / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return error

    def close(self) -> None:
        """End the threads that write."""
        self._placer.close()
