"""Who looks on: a web process, which wants to know whether anybody sequences.

It may be any machine that does, so the database has to say: the row `lease`, whose
count stands still if nobody works (`lease`). The web process's end of the bell, for a
log on several machines; on one machine it is the FIFO (`wake`).
"""

import threading
import time
from contextlib import suppress

from log_server.config import Config
from log_server.databases import log_database
from log_server.disk import fault_of
from log_server.engine import Database, Engine
from log_server.lease import HELD_BY, Seen, look
from log_server.wake import Caller, Fifo

_GRACE = 5.0
"""Seconds in which another one begins, after the holder has been silent for too long:
until then, nobody who waits for a decision is sent away."""


class Watch:
    """Whether anybody sequences, anywhere; for any number of threads.

    Args:
        engine: of the log.
        seconds: after which a count that stands still is of nobody who works.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        # Guards all below.
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._seen: Seen | None = None
        self._since = 0.0

    def ring(self) -> None:
        """The server rings, with the commit (`Database.ring`)."""

    def is_heard(self) -> bool:
        """Whether there is one who works; no, if that cannot be found out."""
        return bool(self.holder())

    def holder(self) -> str:
        """Who it is; empty if there is nobody."""
        with self._lock:
            try:
                return self._look()
            except Exception as error:
                if fault_of(error) is None:
                    raise
                return ""

    def _look(self) -> str:
        if self._database is None or not self._database.alive:
            self._database = self._engine.connect(read_only=True)
        now, seen = time.monotonic(), look(self._database)
        if seen is not None and seen != self._seen:
            first = self._seen is None
            self._seen, self._since = seen, now
            # Nobody has counted yet, for all we know: is there somebody at all?
            if first and not self._is_locked(self._database):
                self._since = now - self._seconds
        alive = seen is not None and now - self._since < self._seconds
        return seen.holder if seen is not None and alive else ""

    @staticmethod
    def _is_locked(database: Database) -> bool:
        sql = f"select count(*) {HELD_BY}"
        [held] = database.execute(sql).fetchone()
        return bool(held)

    def close(self) -> None:
        """Close what is open."""
        with self._lock, suppress(Exception):
            if self._database is not None:
                self._database.close()
                self._database = None


def caller_of(config: Config) -> Caller:
    """By which a web process rings, and knows whether it is heard."""
    if config.settings.database is None:
        return Fifo(config.wake)
    return Watch(log_database(config), config.settings.lease + _GRACE)
