"""Waits for publication on behalf of requests: one thread looks, however many wait.

The database says cheaply whether anything was committed (`Store.version`), and is asked
only while somebody waits. Whoever waits is no thread of its own, but a
question that is asked again after each commit.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from log_server.store import Snapshot, Store

_CHECK = 0.5
"""Seconds: so often, is the sequencer still there?"""

_log = logging.getLogger(__name__)


class Moment(NamedTuple):
    """log.db as all who wait see it: what each of them asks for is read once.

    `committed`: all that is. `taken`: the last row that is decided. `shown`: up to what
    is published.
    """

    committed: Snapshot
    taken: int
    shown: Snapshot

    @classmethod
    def of(cls, committed: Snapshot) -> "Moment":
        """The moment of a snapshot."""
        shown = committed.up_to(committed.published_size())
        return cls(committed, committed.taken(), shown)


Question = Callable[[Moment, bool], bool]
"""Is told a moment, and whether it is the last: true once it has its answer."""
Failed = Callable[[Exception], None]
"""Is told why there will be no answer."""


@dataclass(eq=False, slots=True)
class _Waiter:
    question: Question
    failed: Failed
    end: float

    def is_done(self, now: Moment, *, last: bool) -> bool:
        try:
            return self.question(now, last) or last
        except Exception as error:  # noqa: BLE001 - whoever asked is to have it
            self.fail(error)
            return True

    def fail(self, error: Exception) -> None:
        """Tell why there is no answer; those beside wait in the same thread."""
        try:
            self.failed(error)
        except Exception:  # noqa: BLE001 - as it says
            _log.exception("nobody hears why a question failed")


class Watcher:
    """Asks questions of log.db after each commit; for any number of threads.

    Args:
        store: log.db.
        is_alive: whether a sequencer runs; without one, waiting is of no use.
    """

    def __init__(self, store: Store, is_alive: Callable[[], bool]) -> None:
        self._store = store
        self._is_alive = is_alive
        # Guards the two below.
        self._changed = threading.Condition()
        self._new: list[_Waiter] = []
        self._closed = False
        # The thread's own: who waits, and whether one of them was not asked yet.
        self._waiters: list[_Waiter] = []
        self._fresh = False
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def ask(self, question: Question, failed: Failed, seconds: float) -> None:
        """Ask until `question` is true, or it has been told that it is the last time.

        That is after `seconds`, or once no sequencer runs. Both functions are called in
        the watcher's thread, and hold up everybody who waits.
        """
        waiter = _Waiter(question, failed, time.monotonic() + seconds)
        with self._changed:
            self._new.append(waiter)
            self._changed.notify()

    def close(self) -> None:
        """End the thread; who waits still is asked for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        seen: object = None
        check = time.monotonic() + _CHECK
        while self._gather():
            now = time.monotonic()
            alive = True
            ends = min(waiter.end for waiter in self._waiters) <= now
            try:
                if now >= check:
                    check = now + _CHECK
                    alive = self._is_alive()
                version = self._store.version()
                if version != seen or self._fresh or ends or not alive:
                    self._look(now if alive else None)
                seen = version
            except Exception as error:  # noqa: BLE001 - this thread must not end
                self._fail(error)
            time.sleep(self._store.pause)
        try:
            if self._waiters:
                self._look(None)
        except Exception as error:  # noqa: BLE001 - nor without a word to who waits
            self._fail(error)

    def _gather(self) -> bool:
        """Take over who is new, sleeping while nobody waits; false at the end."""
        with self._changed:
            while not self._waiters and not self._new and not self._closed:
                self._changed.wait()
            self._fresh = bool(self._new)
            self._waiters += self._new
            self._new = []
            return not self._closed

    def _look(self, now: float | None) -> None:
        """Ask all; for the last time those whose time has come, or all of them."""
        with self._store.committed() as snapshot:
            moment = Moment.of(snapshot)
            self._waiters = [
                waiter
                for waiter in self._waiters
                if not waiter.is_done(moment, last=now is None or waiter.end <= now)
            ]

    def _fail(self, error: Exception) -> None:
        waiting, self._waiters = self._waiters, []
        for waiter in waiting:
            waiter.fail(error)
