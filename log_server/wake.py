"""The bell between the two processes: a FIFO, and nobody waits for the other.

The web process commits a row and rings; the sequencer empties the FIFO and then reads
the rows. So no row is missed: a ring that comes too late is found on the next round,
and one that finds nobody in is not needed, since a sequencer reads before it first
waits.

On several machines there is no FIFO for all. There the database rings, with the commit,
and whoever sequences listens to that as well (`Bell.listen`); whether anybody does is
known by the lease (`lease_watch`). The FIFO tells a `serve` that its own lives.
"""

import contextlib
import os
import select
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from log_server.engine import Database

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


class Caller(Protocol):
    """The web process's end; for any number of threads."""

    def ring(self) -> None:
        """Say that rows were committed."""
        ...

    def is_heard(self) -> bool:
        """Whether anybody sequences."""
        ...

    def holder(self) -> str:
        """Who does, if there may be several; else, or if there is nobody, empty."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class Fifo:
    """A `Caller` on the one machine of a log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ring(self) -> None:
        """Wake it."""
        ring(self._path)

    def is_heard(self) -> bool:
        """Whether it holds the bell."""
        return is_heard(self._path)

    @staticmethod
    def holder() -> str:
        """There is only one."""
        return ""

    def close(self) -> None:
        """Nothing is open."""


class Bell:
    """The sequencer's end."""

    def __init__(self, path: Path) -> None:
        if not path.is_fifo():
            path.parent.mkdir(exist_ok=True)
            os.mkfifo(path, 0o600)
        # Read and write: with a writer of its own it never sees the end of the file.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._database: Database | None = None
        self._bells = [self._descriptor]

    def listen(self, database: Database) -> None:
        """Listen to a database too, by a connection that is for this alone."""
        descriptor = database.listen("intake")
        if descriptor is not None:
            self._bells.append(descriptor)
            self._database = database

    def wait(self, seconds: float, others: Sequence[int] = ()) -> frozenset[int]:
        """Sleep until it rings or one of `others` can be read; those that can."""
        ready, _, _ = select.select([*self._bells, *others], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._descriptor in ready and os.read(self._descriptor, _MANY):
                pass
        if self._database is not None:
            self._database.rung()
        return frozenset(ready) - frozenset(self._bells)

    def close(self) -> None:
        """Let go of the bell."""
        os.close(self._descriptor)
        if self._database is not None:
            self._database.close()
