"""intake.db: statements that were promised a decision.

The web process writes it, by one thread that gathers what came in meanwhile and commits
it as one transaction: a commit to disk costs the same for one row and for a hundred. The
sequencer reads it. A row goes once log.db says that it is decided.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
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
        """The row in which an envelope waits; `least`: 1 if with a conflict accepted."""
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


class IntakeWriter:
    """The one thread of a web process that writes intake.db.

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
        self._queue: queue.SimpleQueue[tuple[Submission, Future[int]] | None] = (
            queue.SimpleQueue()
        )
        self._never_reuse_ids()
        self._thread = threading.Thread(
            target=self._run, name="intake-writer", daemon=True
        )
        self._thread.start()

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

    def put(self, submission: Submission) -> "Future[int]":
        """Queue a row; the future has its id once it is on disk."""
        future: Future[int] = Future()
        self._queue.put((submission, future))
        return future

    def close(self) -> None:
        """Write what is queued, and end."""
        self._queue.put(None)
        self._thread.join()
        self._database.close()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while len(group) < _GROUP and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    self._queue.put(None)
                    break
                group.append(item)
            self._write(group)

    def _write(self, group: Sequence[tuple[Submission, "Future[int]"]]) -> None:
        # A crash before the commit: nobody was promised anything. After it: the rows
        # are found by the sequencer, whether it was woken or not.
        try:
            ids = self._insert([submission for submission, _ in group])
        except Exception as error:  # noqa: BLE001 - the requests that wait must know
            for _, future in group:
                future.set_exception(error)
            return
        self._wake()
        for (_, future), row in zip(group, ids, strict=True):
            future.set_result(row)

    def _insert(self, submissions: Sequence[Submission]) -> list[int]:
        taken = self._taken()
        ids = []
        with transaction(self._database):
            self._database.execute("delete from intake where id <= ?", (taken,))
            for one in submissions:
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
                ids.append(int(cursor.lastrowid or 0))
        return ids
