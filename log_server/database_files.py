"""/checkpoint and tiles, answered from log.db: for a log that has no folder to read.

Cut for each question, up to the published size, so what no checkpoint covers is not
let out. Full tiles are kept in memory, as many as fit: they never change, and readers
who catch up all ask for the same. A partial tile may be asked for at any width that is
published, not only at those that a checkpoint had.
"""

import threading
from collections import OrderedDict

from log_server.config import Config
from log_server.cutting import cut, is_of_tree, published_note
from log_server.files import FolderFiles, Source
from log_server.store import Store
from pcrlog.tiles import FULL, Tile

_ROOM = 32 << 20
"""Bytes of full tiles in memory, of each web process."""


class DatabaseFiles:
    """A `files.Source` over log.db; for any thread.

    Args:
        store: log.db.
        room: bytes of full tiles that are kept.
    """

    is_quick = False

    def __init__(self, store: Store, room: int = _ROOM) -> None:
        self._store = store
        self._room = room
        # Guards the two below: by path, the one that was asked for last at the end.
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def read(self, path: str, tile: Tile | None) -> tuple[bytes, int]:
        """The checkpoint, or a tile; see `files.Source`."""
        if tile is None:
            with self._store.published() as snapshot:
                note = published_note(snapshot)
            if note is None:
                raise FileNotFoundError(path)
            return note, 0
        data = self._recall(path)
        if data is None:
            with self._store.published() as snapshot:
                if not is_of_tree(tile, snapshot.size):
                    raise FileNotFoundError(path)
                data = cut(snapshot, tile)
            if tile.width == FULL:
                self._keep(path, data)
        return data, 0

    def _recall(self, path: str) -> bytes | None:
        with self._lock:
            if path not in self._kept:
                return None
            self._kept.move_to_end(path)
            return self._kept[path]

    def _keep(self, path: str, data: bytes) -> None:
        with self._lock:
            if path in self._kept or len(data) > self._room:
                return
            self._kept[path] = data
            self._bytes += len(data)
            while self._bytes > self._room:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)


def open_files(config: Config, store: Store) -> Source:
    """From where the web process answers: the folder if there is one, or log.db.

    A bucket has an address of its own; asked here, the log answers all the same, and
    does not depend on it.
    """
    if config.publishing.at == "folder":
        return FolderFiles(config.public)
    return DatabaseFiles(store)
