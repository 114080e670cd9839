"""The lease: of all who could sequence a log in PostgreSQL, one does.

Two things make it up. A lock (`pg_try_advisory_lock`) of the very connection through
which the log is written: whoever loses that connection has lost the lock, and can write
nothing any more, whether he knows it or not. And a row, `lease`, in which the holder
counts on, each second that he works: where the count stands still for too long, the
others have the server end his connection, and one of them gets the lock.

    the holder's process dies        the server sees its connection end: at once
    it is stopped, or cut off, or    its count stands still: after `Settings.lease`
    does not come back from a call   seconds, by the clock of whoever looks on

No clocks are compared. Who was overtaken by mistake is none the worse: he begins anew
as one of those who wait. What keeps two from writing is the server's lock, and behind
it that each append compares before it swaps (`ledger`).

Locks belong to sessions: a pooler that gives sessions to others by the transaction must
not stand before this database.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from log_server.config import Config
from log_server.databases import log_database
from log_server.disk import fault_of
from log_server.engine import Database, Engine
from pcrlog.encoding import printable
from pcrlog.errors import UncheckedError, UsageError

_LOOK = 0.2
"""Seconds between two tries for the lock."""
_BEAT = 1.0
"""Seconds between two beats; `Settings.lease` is at least twice that."""
_STUCK = 30.0
"""Seconds without any work of the thread that sequences, after which it counts as lost
in a call. It looks at its bell every few seconds, and at witnesses all the time."""
_NAME = 128

_NOT_ALLOWED = "42501"
"""What PostgreSQL says to who may not end another's session."""
_LOCK = "'lease'::regclass::oid::int, 0"
HELD_BY: Final = (
    "from pg_locks where locktype = 'advisory' and granted and objid = 0 and"
    " objsubid = 2 and classid = 'lease'::regclass::oid and database ="
    " (select oid from pg_database where datname = current_database())"
)
"""What follows a `select` of the processes that hold the lock, which is one or none."""


class LockedError(UsageError):
    """Somebody sequences this log already."""


class LostError(UncheckedError):
    """Another sequencer has the lease by now."""

    exit_code = 75  # between processes of ours: nothing is wrong, begin anew


class GivenUpError(UncheckedError):
    """Whoever waited for the lease is to end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The row `lease` as somebody saw it."""

    term: int
    beat: int
    holder: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How whoever wants the lease waits for it.

    Args:
        ended: asked often: whether to give up.
        waiting: called again and again meanwhile.
        forever: also if the holder works; else that is a `LockedError`.
    """

    ended: Callable[[], bool] = lambda: False
    waiting: Callable[[], object] = lambda: None
    forever: bool = False


def look(database: Database) -> Seen | None:
    """Who has it, or had it last; None: nobody ever."""
    row = database.execute("select term, beat, holder from lease").fetchone()
    return None if row is None else Seen(*row)


# --- who wants it, and who has it -----------------------------------------------------


def _take(database: Database, seconds: float, patience: Waiting) -> bool:
    """Have `database` get the lock; false if whoever waits has given up.

    Raises:
        LockedError: somebody has it, and works.
    """
    seen, since = look(database), time.monotonic()
    while not database.execute(f"select pg_try_advisory_lock({_LOCK})").fetchone()[0]:
        patience.waiting()
        if patience.ended():
            return False
        now, found = time.monotonic(), look(database)
        if found != seen:
            if not patience.forever and found is not None:
                message = f"{found.holder} sequences this log: stop it first"
                raise LockedError(message)
            seen, since = found, time.monotonic()
        elif now - since >= seconds:
            _end(database, found, now - since)
            since = time.monotonic()
        time.sleep(_LOOK)
    return True


def _end(database: Database, seen: Seen | None, seconds: float) -> None:
    """End the holder's connection, if the count still stands where it was seen."""
    term, beat = (0, 0) if seen is None else (seen.term, seen.beat)
    who = "whoever has the lease" if seen is None else seen.holder
    silent = f"{who} gave no sign of life for {seconds:.1f} s"
    try:
        ended = database.execute(
            f"select pg_terminate_backend(pid) {HELD_BY} and (? = 0 or exists"  # noqa: S608 - our own words
            " (select from lease where term = ? and beat = ?))",
            (term, term, beat),
        ).fetchall()
    except Exception as error:
        if getattr(error, "sqlstate", "") != _NOT_ALLOWED:
            raise
        _say(f"{silent}, and its connection is another role's: {error}")
        return
    if ended:
        _say(f"{silent}: its connection is ended")


def _begin_term(database: Database, holder: str) -> tuple[int, str]:
    """Say who has it; which term that is, and after whom."""
    before = look(database)
    [term] = database.execute(
        "insert into lease (id, term, beat, holder) values (1, 1, 0, ?)"
        " on conflict (id) do update set term = lease.term + 1, beat = 0,"
        " holder = excluded.holder returning term",
        (holder,),
    ).fetchone()
    return term, "" if before is None else f", after {before.holder}"


class Heart:
    """Beats for as long as the thread that made it works.

    Args:
        database: a connection of its own.
        term: for which the lease was taken.
        lost: called with the reason, in a thread of its own, once it is lost.
    """

    def __init__(
        self, database: Database, term: int, lost: Callable[[str], object]
    ) -> None:
        self._database = database
        self._term = term
        self._lost = lost
        # Of the thread that sequences: what stands still does not work.
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._worked, self._at = -1.0, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_BEAT):
            try:
                beats = self._beat()
                why = "another sequencer has taken it"
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody hears it
                beats, why = False, f"{fault_of(error) or error!r}"
            if not beats:
                if not self._ended.is_set():
                    self._lost(why)
                return

    def _beat(self) -> bool:
        """Whether the lease is still of this term."""
        if not self._works():
            seen = look(self._database)
            return seen is not None and seen.term == self._term
        with self._database.unsynced():
            beaten = self._database.execute(
                "update lease set beat = beat + 1 where term = ?", (self._term,)
            )
            return beaten.rowcount == 1

    def _works(self) -> bool:
        worked, now = time.clock_gettime(self._clock), time.monotonic()
        if worked != self._worked:
            self._worked, self._at = worked, now
        return now - self._at < _STUCK

    def close(self) -> None:
        """Beat no more."""
        self._ended.set()
        # It may wait for an answer that never comes; the process will not.
        self._thread.join(_BEAT)
        if not self._thread.is_alive():
            self._database.close()


@contextmanager
def leased(
    config: Config,
    database: Database,
    patience: Waiting,
    lost: Callable[[str], object],
) -> Iterator[None]:
    """Hold the lease of a log in PostgreSQL, by the connection that writes it.

    Args:
        config: which log.
        database: it can write for as long as the lease is held, and no longer.
        patience: how to wait for it.
        lost: see `Heart`. Whatever happens after that cannot be published.

    Raises:
        LockedError: somebody sequences, and whoever wants to would not wait.
        LostError: it was lost, which is why something else failed.
        GivenUpError: it was not to be had, and whoever waited for it is to end.
    """
    engine = log_database(config)
    if not _take(database, config.settings.lease, patience):
        raise GivenUpError
    name = _our_name()
    term, after = _begin_term(database, name)
    if patience.forever:
        _say(f"{name}: has the lease (term {term}){after}")
    heart = Heart(engine.connect(read_only=False), term, lost)
    try:
        yield
    except Exception as error:
        if _is_lost(engine, term, error):
            message = f"another sequencer has taken it ({error})"
            raise LostError(message) from error
        raise
    finally:
        heart.close()


def _is_lost(engine: Engine, term: int, error: Exception) -> bool:
    """Whether `error` may come of it that somebody else has gone on.

    A witness, say, then knows more than is here; and that must not be taken for a fork.
    """
    try:
        database = engine.connect(read_only=True)
    except Exception as another:
        if fault_of(another) is None:
            raise
        # Nobody can say. The database's own fault is one; for another there is time.
        return fault_of(error) is None
    try:
        seen = look(database)
    finally:
        database.close()
    return seen is None or seen.term != term


def _our_name() -> str:
    return f"{printable(os.uname().nodename, _NAME)}, process {os.getpid()}"


def _say(words: str) -> None:
    sys.stderr.write(f"sequencer: {words}\n")
    sys.stderr.flush()
