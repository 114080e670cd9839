"""The lock of a folder: one process at a time, and the system lets go of it.

Whoever is killed with -9 lets go as well, but its worker may live for a moment longer
(serving.py): so a lock is worth waiting for.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcrlog.errors import UsageError

_NAME = "lock"
_LOOK_AGAIN = 0.02


class LockedError(UsageError):
    """Somebody else works in this folder."""


@contextmanager
def exclusively(folder: Path, seconds: float = 0) -> Iterator[None]:
    """Hold the lock of a folder; wait for it for so many `seconds`.

    Raises:
        LockedError: another process holds it.
        UsageError: it cannot be made.
    """
    path = folder / _NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"cannot make {path}: {error.strerror}"
        raise UsageError(message) from error
    try:
        _lock(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                message = f"{path} is locked: another process works in this folder"
                raise LockedError(message) from error
            time.sleep(_LOOK_AGAIN)
        else:
            return
