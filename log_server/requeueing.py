"""Takes over what waited on another machine: the rows of its intake.db, queued again.

Each is judged by the sequencer as if it had just come. What stands in the log already
is left out; so is what the other machine had refused, if its log.db lies beside its
intake.db and says so: what was refused stays refused, and the refusal is taken over.
Without it, what was refused and not yet deleted is judged once more.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from log_server.config import Config
from log_server.databases import intake_database, log_database
from log_server.disk import fault_of
from log_server.intake import IntakeReader, IntakeWriter, Submission, Waiting
from log_server.ledger import Ledger
from log_server.sqlite_engine import SqliteEngine
from log_server.store import Decision, Store
from pcrlog.errors import UsageError

_ROWS = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Requeued:
    """How many statements wait again, and how many were decided already."""

    waiting: int = 0
    known: int = 0


class Left:
    """What another machine has left: its intake.db and, perhaps, its log.db beside it.

    Args:
        config: of our log.
        intake: a copy of the other machine's intake.db, with its -wal beside it.

    Raises:
        UsageError: it is our own, or one of the two cannot be read.
    """

    def __init__(self, config: Config, intake: Path) -> None:
        if _is_same(intake, config.intake_db):
            message = (
                f"{intake} is this log's own intake.db: what waits there is decided"
                " without being queued again. Name the other machine's"
            )
            raise UsageError(message)
        beside = intake.with_name("log.db")
        has_log = beside.is_file() and not _is_same(beside, config.log_db)
        self._reader = _opened(intake, lambda: _reader_of(intake))
        self._store = Store(SqliteEngine(beside)) if has_log else None
        # The last row that the other machine had decided; 0: nobody knows.
        self.decided = 0
        try:
            if self._store is not None:
                store, ours = self._store, (config.origin, str(config.vkey()))
                self.decided = _opened(beside, lambda: _taken_of(store, ours))
        except BaseException:
            self.close()
            raise

    def after(self, last: int) -> list[Waiting]:
        """The rows behind one, in order, a few of them."""
        return self._reader.after(last, _ROWS)

    def refusal(self, row: Waiting) -> Decision | None:
        """Why the other machine has refused a row; None: it has not, as far as known.

        A refusal may be of an earlier submission of the same envelope: it holds for
        the rows that were decided.
        """
        if self._store is None or row.id > self.decided:
            return None
        with self._store.committed() as snapshot:
            decision = snapshot.decision(row.envelope_sha256)
        return decision if decision is not None and decision.index is None else None

    def close(self) -> None:
        """Close what is open."""
        self._reader.close()
        if self._store is not None:
            self._store.close()


def require_readable(config: Config, intake: Path) -> None:
    """Find out whether `requeue` can be done, before anything is.

    Raises:
        UsageError: it cannot.
    """
    Left(config, intake).close()


def requeue(config: Config, intake: Path, clock: Callable[[], int]) -> Requeued:
    """Queue again what is in an intake.db; whoever calls this holds the folder's lock.

    Killed half-way and run again, it queues some twice: the second is known by then.

    Args:
        config: of the log.
        intake: a copy of the other machine's intake.db, with its -wal beside it.
        clock: unix seconds.

    Raises:
        UsageError: see `Left`.
    """
    waiting = known = last = 0
    with ExitStack() as stack:
        left = Left(config, intake)
        stack.callback(left.close)
        ledger = Ledger(log_database(config), config.vkey())
        stack.callback(ledger.close)
        taken = ledger.snapshot().taken
        writer = IntakeWriter(intake_database(config), taken, lambda: None)
        stack.callback(writer.close)
        while rows := left.after(last):
            last = rows[-1].id
            new = [
                Submission(
                    row.envelope, row.envelope_sha256, row.conflict_accepted, clock()
                )
                for row in rows
                if not _is_decided(ledger, row, left)
            ]
            if new:
                writer.put_all(new)
            waiting, known = waiting + len(new), known + len(rows) - len(new)
    return Requeued(waiting, known)


def _is_decided(ledger: Ledger, row: Waiting, left: Left) -> bool:
    """Whether a decision stands here that holds for this row; a refusal does then."""
    decision = ledger.snapshot().decision(row.envelope_sha256)
    if decision is not None and decision.index is not None:
        return True
    refusal = left.refusal(row)
    if refusal is not None and decision is None:
        ledger.adopt([refusal])
    return refusal is not None


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _reader_of(intake: Path) -> IntakeReader:
    reader = IntakeReader(SqliteEngine(intake))
    try:
        reader.rows(0)
    except BaseException:
        reader.close()
        raise
    return reader


def _taken_of(store: Store, name: tuple[str, str]) -> int:
    with store.committed() as snapshot:
        return snapshot.taken() if snapshot.name() == name else 0


def _opened(path: Path, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Exception as error:
        fault = error if isinstance(error, UsageError) else fault_of(error)
        if fault is None:
            raise
        message = (
            f"{path} cannot be read: {fault}. Nothing was changed. Without its log.db"
            " beside it, an intake.db is taken over as well: what was refused is judged"
            " once more"
        )
        raise UsageError(message) from error
