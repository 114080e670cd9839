"""Puts files in place: each whole or not at all, its bytes on disk before its name.

A disk takes as long to make and sync one file as several at once, so that is done by
threads side by side: it is much of the time that a submission waits.

Folders are not synced. File systems with a journal keep the order in which names were
given, and the sync of the next batch's files writes the journal; so a loss of power can
cost only the names of the last batch, and the publisher writes those anew.
"""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 8


class Placer:
    """Writes files, for one thread.

    Args:
        mark: ends the names that files have before they get theirs; two who write in
            one folder at a time must not have the same one.
    """

    def __init__(self, mark: str = "new") -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, "fsync")
        self._mark = mark

    def write(self, files: Mapping[Path, bytes]) -> None:
        """Bring the bytes of files to disk, under no name that anybody reads."""
        hidden = [self._hidden(path) for path in files]
        for _ in self._pool.map(_write, hidden, files.values()):
            pass

    def name(self, files: Iterable[Path]) -> None:
        """Give files that were written their names, in this order."""
        for path in files:
            self._hidden(path).replace(path)

    def _hidden(self, path: Path) -> Path:
        """Where a file is written before it is put in place; no path of a tile."""
        return path.with_name(f".{path.name}.{self._mark}")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
