"""intake.db: statements that were promised a decision.

A web process writes it, one thread at a time, with all that came in meanwhile as one
transaction: a commit to disk costs the same for one row and for a hundred. The
sequencer reads it. A row goes once log.db says that it is decided.

`taken` in log.db means: every row up to this id is decided. So ids must be seen in
their order, whoever writes them: a row that came to be seen behind `taken` would never
be looked at, and its statement lost. Each transaction draws its ids after the last one
was committed (`one_at_a_time`).
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from log_server.disk import fault_of
from log_server.engine import Database, Engine

_GROUP = 512
"""A transaction of so many rows takes no more of them: bounds how long the first waits.
What was brought together is written together, however much it is."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row: an envelope that waits for its decision."""

    id: int
    envelope: bytes
    envelope_sha256: bytes
    conflict_accepted: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A row to be: an envelope, and when it came (unix seconds)."""

    envelope: bytes
    envelope_sha256: bytes
    conflict_accepted: bool
    received: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many rows wait, and since when the oldest of them does."""

    rows: int
    oldest: int | None


class IntakeReader:
    """intake.db as a reader sees it; for one thread, or under the caller's lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._database = self._engine.connect(read_only=True)

    def after(self, taken: int, rows: int) -> list[Waiting]:
        """The rows that are not decided, in order; at most `rows`."""
        found = self._alive().execute(
            "select id, envelope, envelope_sha256, conflict_accepted from intake"
            " where id > ? order by id limit ?",
            (taken, rows),
        )
        return [Waiting(i, e, h, bool(accepted)) for i, e, h, accepted in found]

    def find(self, envelope_sha256: bytes, taken: int, least: int) -> int | None:
        """The row in which an envelope waits; `least` 1: with a conflict accepted."""
        row = (
            self._alive()
            .execute(
                "select max(id) from intake where envelope_sha256 = ? and id > ?"
                " and conflict_accepted >= ?",
                (envelope_sha256, taken, least),
            )
            .fetchone()
        )
        found: int | None = row[0]
        return found

    def rows(self, taken: int) -> int:
        """How many wait now, at most: counted by their ids, which costs nothing."""
        row = (
            self._alive()
            .execute("select max(id) from intake where id > ?", (taken,))
            .fetchone()
        )
        return 0 if row[0] is None else int(row[0]) - taken

    def backlog(self, taken: int) -> Backlog:
        """What waits now."""
        rows = self.rows(taken)
        if not rows:
            return Backlog(0, None)
        oldest = (
            self._alive()
            .execute(
                "select received from intake where id > ? order by id limit 1", (taken,)
            )
            .fetchone()
        )
        return Backlog(rows, None if oldest is None else oldest[0])

    def _alive(self) -> Database:
        if not self._database.alive:
            self._database = self._engine.connect(read_only=True)
        return self._database

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@dataclass(eq=False)
class _Bundle:
    """Submissions on their way to disk; `ids` or `error` is set when `done`."""

    submissions: Sequence[Submission]
    ids: Sequence[int] = ()
    error: Exception | None = None
    done: bool = False


class IntakeWriter:
    """Writes intake.db, for any number of threads of a web process.

    Whoever comes first writes what all others have brought meanwhile: with one thread
    there is nobody to hand over to, with many there is one commit for all who wait.

    Args:
        engine: of intake.db.
        taken: the last row that is decided, by log.db.
        wake: called after each commit: tells the sequencer.
    """

    def __init__(
        self, engine: Engine, taken: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._database = self._engine.connect(read_only=False)
        self._taken = taken
        self._wake = wake
        # Guards the database: held by the one thread that writes.
        self._writing = threading.Lock()
        self._brought: queue.SimpleQueue[_Bundle] = queue.SimpleQueue()
        self._begun = False
        try:
            self._never_reuse_ids()
        except Exception as error:
            # A disk that is full is no reason not to answer what can be read; the
            # first row tries again.
            if fault_of(error) is None:
                raise

    def _never_reuse_ids(self) -> None:
        # intake.db may be newer, or restored and older, than log.db. A row with an id
        # that log.db calls decided would never be looked at: start beyond.
        taken = self._taken()
        with self._database.transaction():
            self._database.one_at_a_time("intake")
            self._database.execute("delete from intake where id <= ?", (taken,))
            self._database.never_reuse("intake", taken)
        self._begun = True

    def put(self, submission: Submission) -> int:
        """Write a row; its id, once it is on disk."""
        return self.put_all([submission])[0]

    def put_all(self, submissions: Sequence[Submission]) -> Sequence[int]:
        """Write rows, all or none; their ids in order, once they are on disk."""
        brought = _Bundle(submissions)
        self._brought.put(brought)
        with self._writing:
            while not brought.done:
                self._write(self._gather())
        if brought.error is not None:
            raise brought.error
        return brought.ids

    def _gather(self) -> list[_Bundle]:
        group: list[_Bundle] = []
        while sum(len(one.submissions) for one in group) < _GROUP:
            try:
                group.append(self._brought.get_nowait())
            except queue.Empty:
                break
        return group

    def _write(self, group: Sequence[_Bundle]) -> None:
        # A crash before the commit: nobody was promised anything. After it: the rows
        # are found by the sequencer, whether it was woken or not.
        try:
            self._insert(group)
            self._wake()
        except Exception as error:  # noqa: BLE001 - each request that waits must know
            for one in group:
                one.error = error
        for one in group:
            one.done = True

    def _insert(self, group: Sequence[_Bundle]) -> None:
        if not self._database.alive:
            self._database, self._begun = self._engine.connect(read_only=False), False
        if not self._begun:
            self._never_reuse_ids()
        taken = self._taken()
        rows = [
            (
                row.envelope,
                row.envelope_sha256,
                int(row.conflict_accepted),
                row.received,
            )
            for one in group
            for row in one.submissions
        ]
        with self._database.transaction():
            self._database.one_at_a_time("intake")
            self._database.execute("delete from intake where id <= ?", (taken,))
            ids = self._database.numbered(
                "insert into intake"
                " (envelope, envelope_sha256, conflict_accepted, received)"
                " values (?, ?, ?, ?)",
                rows,
            )
            self._database.ring("intake")
        numbers = iter(ids)
        for one in group:
            one.ids = list(islice(numbers, len(one.submissions)))

    def close(self) -> None:
        """Close the database."""
        with self._writing:
            self._database.close()
