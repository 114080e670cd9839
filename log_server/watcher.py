"""Lets requests wait for publication: one thread looks, however many wait.

SQLite counts the commits of others (`pragma data_version`); looking costs microseconds,
and is done only while somebody waits.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from log_server.store import Snapshot, Store

_PAUSE = 0.001
"""Seconds between two looks: small beside the two commits that a submission takes."""
_LOOKS_PER_CHECK = 500
"""Every half second: is the sequencer still there?"""


class Moment(NamedTuple):
    """log.db as all who wait see it: what each of them asks for is read once.

    `snapshot`: all that is committed. `taken`: the last row that is decided.
    `published`: leaves.
    """

    snapshot: Snapshot
    taken: int
    published: int


Ready = Callable[[Moment], bool]
"""Whether what is waited for has come."""


class Decided:
    """A `Ready`: each of these rows is refused, or its statement published.

    Asked again and again; what was found out once is remembered.

    Args:
        rows: of intake.db, each with the SHA-256 of its envelope.
    """

    def __init__(self, rows: Sequence[tuple[int, bytes]]) -> None:
        self._last = max(row for row, _ in rows)
        self._digests = [digest for _, digest in rows]
        self._end: int | None = None

    def __call__(self, now: Moment) -> bool:
        """Whether it has come to that."""
        if now.taken < self._last:
            return False
        if self._end is None:
            decisions = [now.snapshot.decision(digest) for digest in self._digests]
            indices = [d.index for d in decisions if d and d.index is not None]
            self._end = max(indices, default=-1) + 1
        return self._end <= now.published


@dataclass(eq=False)
class _Waiter:
    ready: Ready
    done: threading.Event = field(default_factory=threading.Event)
    came: bool = False
    error: Exception | None = None

    def look(self, now: Moment) -> None:
        try:
            self.came = self.ready(now)
        except Exception as error:  # noqa: BLE001 - whoever asked is to have it
            self.error = error
        if self.came or self.error is not None:
            self.done.set()


class Watcher:
    """Waits on log.db for any number of threads.

    Args:
        store: log.db.
        is_alive: whether a sequencer runs; without one, waiting is of no use.
    """

    def __init__(self, store: Store, is_alive: Callable[[], bool]) -> None:
        self._store = store
        self._is_alive = is_alive
        # Guards the three below.
        self._changed = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._fresh = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def wait(self, ready: Ready, seconds: float) -> bool:
        """Whether `ready` came true within `seconds`; raises what it raises."""
        waiter = _Waiter(ready)
        with self._changed:
            self._waiters.append(waiter)
            self._fresh = True
            self._changed.notify()
        waiter.done.wait(seconds)
        with self._changed:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if waiter.error is not None:
            raise waiter.error
        return waiter.came

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        seen, looks = -1, 0
        while (waiters := self._next()) is not None:
            fresh, waiting = waiters
            try:
                version = self._store.version()
                if fresh or version != seen:
                    self._look(waiting)
                seen = version
            except Exception as error:  # noqa: BLE001 - this thread must not end
                _fail(waiting, error)
            looks = (looks + 1) % _LOOKS_PER_CHECK
            if looks == 0 and not self._is_alive():
                _fail(waiting, None)
            time.sleep(_PAUSE)

    def _next(self) -> tuple[bool, list[_Waiter]] | None:
        """Those who wait, and whether one of them is new; None at the end."""
        with self._changed:
            while not self._waiters and not self._closed:
                self._changed.wait()
            fresh, self._fresh = self._fresh, False
            return None if self._closed else (fresh, list(self._waiters))

    def _look(self, waiting: list[_Waiter]) -> None:
        with self._store.committed() as snapshot:
            now = Moment(snapshot, snapshot.taken(), snapshot.published_size())
            for waiter in waiting:
                waiter.look(now)


def _fail(waiting: Iterable[_Waiter], error: Exception | None) -> None:
    """End the wait of all, with an error if there is one."""
    for waiter in waiting:
        waiter.error = error
        waiter.done.set()
