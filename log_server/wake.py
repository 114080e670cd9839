"""The bell between the two processes: a FIFO, and nobody waits for the other.

The web process commits a row and rings; the sequencer empties the FIFO and then reads
the rows. So no row is missed: a ring that comes too late is found on the next round,
and one that finds nobody in is not needed, since a sequencer reads before it first
waits.
"""

import contextlib
import os
import select
from collections.abc import Sequence
from pathlib import Path

_RING = b"."
_MANY = 65_536


def ring(path: Path) -> None:
    """Wake the sequencer; without one, or with a bell full of rings, do nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, _RING)
        finally:
            os.close(descriptor)


def is_heard(path: Path) -> bool:
    """Whether a sequencer holds the bell: the system knows when its process is gone."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


class Bell:
    """The sequencer's end."""

    def __init__(self, path: Path) -> None:
        if not path.is_fifo():
            path.parent.mkdir(exist_ok=True)
            os.mkfifo(path, 0o600)
        # Read and write: with a writer of its own it never sees the end of the file.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, seconds: float, others: Sequence[int] = ()) -> frozenset[int]:
        """Sleep until it rings or one of `others` can be read; those that can."""
        ready, _, _ = select.select([self._descriptor, *others], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._descriptor in ready and os.read(self._descriptor, _MANY):
                pass
        return frozenset(ready) - {self._descriptor}

    def close(self) -> None:
        """Let go of the bell."""
        os.close(self._descriptor)
