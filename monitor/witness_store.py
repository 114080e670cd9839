"""witness.db: the newest cosigned checkpoint of each log, and how it is replaced.

A witness promises that its cosignatures of a log lie on one history. So the comparison
with what it holds and the storing are one statement in one transaction, which is on
disk (WAL, synchronous=FULL) before anybody learns of the cosignature.

One thread writes. What waits while a transaction is on its way to disk goes into the
next one together: a disk syncs a hundred rows as fast as one. Everybody else reads a
copy in memory, which is brought up to date after the commit and before the answer; so
one process holds the file, and its folder's lock sees to that (witness_serving.py).
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from monitor.state import connect
from pcrlog.encoding import sha256
from pcrlog.errors import UncheckedError, UsageError

_log = logging.getLogger(__name__)

T = TypeVar("T")

NAME = "witness.db"
_GROUP = 256
"""Requests in one transaction, at most."""
_FORKS_KEPT = 16
"""Of one log: one is enough to end it."""
_COSIGNED = "select origin, size, root, time, note from cosigned"


class Cosigned(Struct, frozen=True):
    """A cosigned checkpoint: `time` of our line, the `note` with the log's and ours."""

    origin: str
    size: int
    root: bytes
    time: int
    note: bytes


class Fork(Struct, frozen=True):
    """Two notes of one `size` that a log signed: the cosigned one, the refused one."""

    origin: str
    size: int
    ours: bytes
    theirs: bytes
    time: int


class Contents(Struct, frozen=True):
    """All that a witness.db holds."""

    vkey: str
    cosigned: tuple[Cosigned, ...]
    forks: tuple[Fork, ...]


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: "Future[Any]"


def create(path: Path, vkey: str, now: int) -> None:
    """Make the memory of a new witness; `vkey` is its key, `now` unix seconds.

    Raises:
        UsageError: there is one.
    """
    if path.exists():
        message = f"{path} exists: a witness never forgets what it cosigned"
        raise UsageError(message)
    with closing(connect(path)) as database:
        database.execute("insert into witness values (1, ?, ?)", (vkey, now))


def read(path: Path) -> Contents:
    """What a witness.db holds now, while its witness runs or not.

    Raises:
        UsageError: there is none, or none that `create` finished.
    """
    if not path.is_file():
        message = (
            f"no {path}: a witness without its memory could cosign a second history."
            " If it was lost, make a new witness, with a new key"
        )
        raise UsageError(message)
    with closing(connect(path, read_only=True)) as database:
        row = database.execute("select vkey from witness").fetchone()
        if row is None:
            message = f"{path} is of no witness: remove the folder, and `init` it again"
            raise UsageError(message)
        forks = database.execute(
            "select origin, size, ours, theirs, time from fork order by origin, time"
        )
        return Contents(
            row[0],
            tuple(map(_cosigned, database.execute(f"{_COSIGNED} order by origin"))),
            tuple(
                Fork(origin, size, ours.encode(), theirs.encode(), time)
                for origin, size, ours, theirs, time in forks
            ),
        )


class WitnessStore:
    """The memory of a running witness; `close` it when it is of no more use.

    Args:
        path: the database, made by `create`.
        vkey: the witness's key.
        step: called with the name of each step of a transaction, in the writing thread.

    Raises:
        UsageError: there is no such file, or it is the memory of another key.
    """

    def __init__(
        self, path: Path, vkey: str, step: Callable[[str], None] = lambda _name: None
    ) -> None:
        found = read(path)
        if found.vkey != vkey:
            message = f"{path} is the memory of {found.vkey}, not of {vkey}"
            raise UsageError(message)
        self._step = step
        # Owner: the writing thread, from here on.
        self._database = connect(path)
        self._changed: dict[str, Cosigned] = {}
        # Owner: the writing thread; others read single items.
        self._latest = {row.origin: row for row in found.cosigned}
        self._origins = {_digest(origin): origin for origin in self._latest}
        self._forks = len(found.forks)
        self._counting = threading.Lock()
        self._failure: str | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="witness-store")
        self._writer.start()

    def close(self) -> None:
        """Finish what waits, end the thread, close the file."""
        self._jobs.put(None)
        self._writer.join()
        self._database.close()

    def latest(self, origin: str) -> Cosigned | None:
        """The newest cosigned checkpoint of a log, if there is one."""
        return self._latest.get(origin)

    def by_digest(self, digest: str) -> Cosigned | None:
        """The same, by the hex SHA-256 of the origin."""
        origin = self._origins.get(digest)
        return None if origin is None else self._latest[origin]

    def advance(self, old: Cosigned | None, new: Cosigned) -> Cosigned | None:
        """Put `new` in the place of `old`, on disk, if that still stands there.

        A newer line under the same checkpoint is no other state, unless its time is
        later than that of `new`.

        Returns:
            None if `new` is stored; else what stands there instead.

        Raises:
            UncheckedError: it could not be brought to disk. Nothing is promised then.
        """
        return self._do(lambda: self._compare_and_store(old, new))

    @property
    def forks(self) -> int:
        """How many forks are kept as evidence."""
        return self._forks

    @property
    def failure(self) -> str | None:
        """Why nothing could be stored the last time, if so."""
        return self._failure

    def keep_fork(self, fork: Fork, root: bytes) -> bool:
        """Keep the evidence that a log forked; `root` is that of the refused note.

        Returns:
            Whether it is new.
        """
        row = (fork.origin, root, fork.size, fork.ours.decode(), fork.theirs.decode())
        rows: int = self._do(
            lambda: (
                self._database.execute(
                    "insert into fork select ?, ?, ?, ?, ?, ?"
                    " where (select count(*) from fork where origin = ?) < ?"
                    " on conflict do nothing",
                    (*row, fork.time, fork.origin, _FORKS_KEPT),
                ).rowcount
            )
        )
        new = rows == 1
        with self._counting:
            self._forks += new
        return new

    # --- the writing thread ----------------------------------------------------------

    def _do(self, work: Callable[[], T]) -> T:
        job = _Job(work, Future())
        self._jobs.put(job)
        done: Future[T] = job.done
        return done.result()

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            while len(group) < _GROUP and not self._jobs.empty():
                more = self._jobs.get()
                if more is None:
                    self._jobs.put(None)
                    break
                group.append(more)
            self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        try:
            self._database.execute("begin immediate")
            results = [job.work() for job in group]
            self._step("stored")
            self._database.execute("commit")
        except Exception as error:  # noqa: BLE001 - whoever waits must be told, and the thread lives on
            self._changed.clear()
            if self._database.in_transaction:
                self._database.rollback()
            if self._failure is None:
                _log.error("nothing can be stored: %s", error)
            self._failure = str(error)
            for job in group:
                job.done.set_exception(_not_stored(error))
            return
        self._failure = None
        self._step("committed")
        for origin, row in self._changed.items():
            self._latest[origin] = row
            self._origins[_digest(origin)] = origin
        self._changed.clear()
        for job, result in zip(group, results, strict=True):
            job.done.set_result(result)

    def _compare_and_store(
        self, old: Cosigned | None, new: Cosigned
    ) -> Cosigned | None:
        row = self._database.execute(
            f"{_COSIGNED} where origin = ?", (new.origin,)
        ).fetchone()
        now = None if row is None else _cosigned(row)
        self._step("compared")
        if now is None:
            if old is not None:
                message = f"{new.origin} is gone from witness.db"
                raise LookupError(message)
            done = self._database.execute(
                "insert into cosigned values (?, ?, ?, ?, ?)", _row(new)
            )
        else:
            same = old is not None and (old.size, old.root) == (now.size, now.root)
            if not same or now.time > new.time:
                # A commit that failed may have come to disk all the same.
                self._changed[new.origin] = now
                return now
            done = self._database.execute(
                "update cosigned set size = ?, root = ?, time = ?, note = ?"
                " where origin = ? and size = ? and root = ? and time = ?",
                (*_row(new)[1:], now.origin, now.size, now.root, now.time),
            )
        if done.rowcount != 1:
            message = f"storing changed {done.rowcount} rows, want 1"
            raise LookupError(message)
        self._changed[new.origin] = new
        return None


def _not_stored(error: Exception) -> UncheckedError:
    found = UncheckedError(f"the checkpoint could not be stored: {error}")
    found.__cause__ = error
    return found


def _digest(origin: str) -> str:
    return sha256(origin.encode()).hex()


def _cosigned(row: tuple[str, int, bytes, int, str]) -> Cosigned:
    origin, size, root, time, note = row
    return Cosigned(origin, size, root, time, note.encode())


def _row(new: Cosigned) -> tuple[str, int, bytes, int, str]:
    return new.origin, new.size, new.root, new.time, new.note.decode()
