"""A mirror's folder: what any web server may serve, and what the next run goes on from.

    DIR/checkpoint                    written last, when all that it needs is there
    DIR/tile/…                        C2SP tlog-tiles, each file written whole
    DIR/.pcrlog-mirror/progress.json  how far the entries were judged
    DIR/.pcrlog-mirror/index          the index over them (mirror_table.py)
    DIR/.pcrlog-mirror/lock           held while a run is writing

Whoever can write here can make a run skip what it would judge, or begin anew; what is
read from here, by whomever, is verified like what a log serves.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Literal

import msgspec
from msgspec import Struct

from cli import files
from pcrlog import limits
from pcrlog.encoding import encode_json
from pcrlog.errors import UsageError
from pcrlog.tiles import FULL, HEIGHT, Tile

_OWN = ".pcrlog-mirror"
INDEX = f"{_OWN}/index"
"""The index over the entries, below the folder."""
PROGRESS = f"{_OWN}/progress.json"
_UNFINISHED = ".part"


class Progress(Struct, frozen=True):
    """How far a mirror has come.

    `size` leaves, which make `root`, are judged and on disk: `identities` are the
    indices of identities among them, `sealed` and `frozen` are of the last seal. `note`
    is the newest checkpoint that was met, of the same history.
    """

    vkey: str
    registrar: str
    note: str
    size: int = 0
    root: bytes = b""
    identities: tuple[int, ...] = ()
    sealed: int = 0
    frozen: bool = False
    format: Literal["pcrlog-mirror/v1"] = "pcrlog-mirror/v1"


class MirrorFiles:
    """The folder; made when something is first written to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index = directory / INDEX
        self._changed: set[Path] = set()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out.

        Raises:
            UsageError: another one is writing, or nothing can be written here.
        """
        path = self.directory / _OWN / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    message = f"another run is mirroring into {self.directory}"
                    raise UsageError(message) from error
                for left in path.parent.glob(f"*{_UNFINISHED}"):
                    left.unlink()
                yield
        except OSError as error:
            message = f"{error.filename or self.directory}: {error.strerror}"
            raise UsageError(message) from error

    def checkpoint(self) -> bytes | None:
        """The mirror's checkpoint note, unverified; None: there is none yet."""
        path = self.directory / "checkpoint"
        if not path.exists():
            return None
        return files.read(str(path), limits.NOTE)

    def progress(self) -> Progress | None:
        """How far it has come; None if that is not known."""
        try:
            data = (self.directory / PROGRESS).read_bytes()
            return msgspec.json.decode(data, type=Progress)
        except (OSError, ValueError):
            return None

    def keep_progress(self, progress: Progress) -> None:
        """Say how far it has come, when all of that is on disk."""
        self._sync()
        self._replace(self.directory / PROGRESS, encode_json(progress) + b"\n")

    def put(self, tile: Tile, data: bytes) -> None:
        """Write a hash tile or an entry bundle."""
        self._replace(self.directory / tile.path(), data)

    def publish(self, note: bytes) -> None:
        """Write the checkpoint, when all that it needs is on disk."""
        self._sync()
        self._replace(self.directory / "checkpoint", note)

    def tidy(self, size: int, before: int) -> None:
        """Remove partial files of neither the tree of `size` nor the one before.

        Whoever read the checkpoint before this one may be reading its files still.
        """
        kept = {tile.path() for one in (size, before) for tile in _partial(one)}
        for one in (size, before):
            for tile in _partial(one):
                folder = (self.directory / tile.path()).parent
                for path in folder.glob("*") if folder.is_dir() else ():
                    if str(path.relative_to(self.directory)) not in kept:
                        path.unlink(missing_ok=True)

    def _replace(self, path: Path, data: bytes) -> None:
        """Put a whole file in place; what a crash leaves behind lies in our folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / _OWN / f"{get_ident()}{_UNFINISHED}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._changed.add(path.parent)

    def _sync(self) -> None:
        """Make the names of what was written last, as its bytes do already."""
        while self._changed:
            folder = os.open(self._changed.pop(), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _partial(size: int) -> Iterator[Tile]:
    """The files of a tree that are not full."""
    for level in range(size.bit_length() // HEIGHT + 1):
        grown = size >> HEIGHT * level
        if grown % FULL:
            tile = Tile(level, grown // FULL, grown % FULL)
            yield tile
            if level == 0:
                yield Tile(None, tile.index, tile.width)
