"""intake.db: statements that were promised a decision.

The web process writes it, one thread at a time, with all that came in meanwhile as one
transaction: a commit to disk costs the same for one row and for a hundred. The
sequencer reads it. A row goes once log.db says that it is decided.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from log_server.store import connect, transaction

_GROUP = 512
"""The most rows of one transaction: bounds how long the first of them waits."""


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

    def __init__(self, path: Path) -> None:
        self._database = connect(path, read_only=True)

    def after(self, taken: int, rows: int) -> list[Waiting]:
        """The rows that are not decided, in order; at most `rows`."""
        found = self._database.execute(
            "select id, envelope, envelope_sha256, conflict_accepted from intake"
            " where id > ? order by id limit ?",
            (taken, rows),
        )
        return [Waiting(i, e, h, bool(accepted)) for i, e, h, accepted in found]

    def find(self, envelope_sha256: bytes, taken: int, least: int) -> int | None:
        """The row in which an envelope waits; `least` 1: with a conflict accepted."""
        row = self._database.execute(
            "select max(id) from intake where envelope_sha256 = ? and id > ?"
            " and conflict_accepted >= ?",
            (envelope_sha256, taken, least),
        ).fetchone()
        found: int | None = row[0]
        return found

    def backlog(self, taken: int) -> Backlog:
        """What waits now; its rows are counted by their ids, which costs nothing."""
        row = self._database.execute(
            "select max(id) from intake where id > ?", (taken,)
        ).fetchone()
        if row[0] is None:
            return Backlog(0, None)
        oldest = self._database.execute(
            "select received from intake where id > ? order by id limit 1", (taken,)
        ).fetchone()
        return Backlog(row[0] - taken, oldest[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()


@dataclass(eq=False)
class _Row:
    """A submission on its way to disk; `id` or `error` is set when `done`."""

    submission: Submission
    id: int = 0
    error: Exception | None = None
    done: bool = False


class IntakeWriter:
    """Writes intake.db, for any number of threads of a web process.

    Whoever comes first writes what all others have brought meanwhile: with one thread
    there is nobody to hand over to, with many there is one commit for all who wait.

    Args:
        path: of intake.db.
        taken: the last row that is decided, by log.db.
        wake: called after each commit: tells the sequencer.
    """

    def __init__(
        self, path: Path, taken: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        self._database = connect(path, read_only=False)
        self._taken = taken
        self._wake = wake
        # Guards the database: held by the one thread that writes.
        self._writing = threading.Lock()
        self._rows: queue.SimpleQueue[_Row] = queue.SimpleQueue()
        self._never_reuse_ids()

    def _never_reuse_ids(self) -> None:
        # intake.db may be newer, or restored and older, than log.db. A row with an id
        # that log.db calls decided would never be looked at: start beyond.
        taken = self._taken()
        with transaction(self._database):
            self._database.execute("delete from intake where id <= ?", (taken,))
            changed = self._database.execute(
                "update sqlite_sequence set seq = max(seq, ?) where name = 'intake'",
                (taken,),
            )
            if changed.rowcount == 0:
                self._database.execute(
                    "insert into sqlite_sequence (name, seq) values ('intake', ?)",
                    (taken,),
                )

    def put(self, submission: Submission) -> int:
        """Write a row; its id, once it is on disk."""
        row = _Row(submission)
        self._rows.put(row)
        with self._writing:
            while not row.done:
                self._write(self._gather())
        if row.error is not None:
            raise row.error
        return row.id

    def _gather(self) -> list[_Row]:
        group: list[_Row] = []
        while len(group) < _GROUP:
            try:
                group.append(self._rows.get_nowait())
            except queue.Empty:
                break
        return group

    def _write(self, group: Sequence[_Row]) -> None:
        # A crash before the commit: nobody was promised anything. After it: the rows
        # are found by the sequencer, whether it was woken or not.
        try:
            self._insert(group)
            self._wake()
        except Exception as error:  # noqa: BLE001 - each request that waits must know
            for row in group:
                row.error = error
        for row in group:
            row.done = True

    def _insert(self, group: Sequence[_Row]) -> None:
        taken = self._taken()
        with transaction(self._database):
            self._database.execute("delete from intake where id <= ?", (taken,))
            for row in group:
                one = row.submission
                cursor = self._database.execute(
                    "insert into intake"
                    " (envelope, envelope_sha256, conflict_accepted, received)"
                    " values (?, ?, ?, ?)",
                    (
                        one.envelope,
                        one.envelope_sha256,
                        int(one.conflict_accepted),
                        one.received,
                    ),
                )
                row.id = int(cursor.lastrowid or 0)

    def close(self) -> None:
        """Close the file."""
        with self._writing:
            self._database.close()
