"""Where the files of a log are read from: its URL or a mirror's, a folder, a dead disk.

    https://log.example/pcr   whoever serves the files
    /mnt/disk/log/public      the files themselves, or a folder that has them in public/
    /mnt/disk/log             with a log.db in it: what that holds, published or not

The last is for what a machine leaves behind: what it committed, and what witnesses may
have cosigned, is in its log.db before anybody is shown it. Nothing that a source gives
is believed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from log_server.cutting import cut
from log_server.sqlite_engine import SqliteEngine
from log_server.store import Decision, Snapshot, Store
from pcrlog.errors import MalformedError, TransportError
from pcrlog.reader import AbsentError, Fetch
from pcrlog.tiles import FULL, HEIGHT, parse_path
from pcrlog.transport import Client


class Folder:
    """The files of a log in a folder, as a `Fetch`: `public` itself, or what has it."""

    def __init__(self, folder: Path) -> None:
        public = folder / "public"
        self._folder = public if (public / "checkpoint").is_file() else folder

    def __call__(self, path: str, most: int, /) -> bytes:
        """The bytes of a file."""
        try:
            with (self._folder / path).open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError as error:
            message = f"{self._folder / path} is missing"
            raise AbsentError(message) from error
        except OSError as error:
            message = f"{self._folder / path}: {error.strerror}"
            raise TransportError(message) from error
        if len(data) > most:
            message = f"{self._folder / path} has over {most} bytes"
            raise TransportError(message)
        return data


class Database:
    """The files that would be cut from a log.db, as a `Fetch`.

    Its checkpoint is the newest one that is signed, whether anybody was shown it or
    not; if it was shown, with its cosignatures.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def is_shown(self) -> bool:
        """Whether its checkpoint was shown to everybody."""
        newest, shown = self._snapshot.checkpoint(), self._snapshot.published()
        return newest is not None and shown is not None and shown[0] == newest

    def refused(self) -> Iterator[Decision]:
        """What that machine has refused: it is in no file that everybody reads."""
        return self._snapshot.refused()

    def __call__(self, path: str, most: int, /) -> bytes:
        """The bytes of a file."""
        data = self._checkpoint() if path == "checkpoint" else self._tile(path)
        if len(data) > most:
            message = f"log.db: {path} would have over {most} bytes"
            raise TransportError(message)
        return data

    def _checkpoint(self) -> bytes:
        newest, shown = self._snapshot.checkpoint(), self._snapshot.published()
        if newest is None:
            message = "log.db: it has no checkpoint"
            raise AbsentError(message)
        if shown is not None and shown[0].batch == newest.batch:
            return shown[1]
        return newest.note

    def _tile(self, path: str) -> bytes:
        try:
            tile = parse_path(path)
        except MalformedError as error:
            raise AbsentError(str(error)) from error
        leaves = FULL * tile.index + tile.width
        if leaves > self._snapshot.size >> HEIGHT * (tile.level or 0):
            message = f"log.db: {path} is not there yet"
            raise AbsentError(message)
        return cut(self._snapshot, tile)


@contextmanager
def source(where: str, *, published: bool = False) -> Iterator[Fetch]:
    """Read from a URL or a folder; of a log.db, one state of it.

    Args:
        where: a URL, or a path.
        published: read the files alone, and no log.db beside them.

    Raises:
        UsageError: a URL of another kind.
    """
    if where.startswith(("https://", "http://")):
        yield Client(where)
        return
    folder = Path(where)
    if published or not (folder / "log.db").is_file():
        yield Folder(folder)
        return
    store = Store(SqliteEngine(folder / "log.db"))
    try:
        with store.committed() as snapshot:
            yield Database(snapshot)
    finally:
        store.close()
