"""Takes over what waited on another machine: the rows of its intake.db, queued again.

Each is judged by the sequencer as if it had just come. What stands in the log already
is left out; so is what the other machine had refused, if its log.db lies beside its
intake.db and says so, and the refusal is known here (`standby` takes it over). Without
it, what was refused and not yet deleted is judged once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from log_server.config import Config
from log_server.databases import intake_database, log_database
from log_server.direct import taken_of
from log_server.intake import IntakeReader, IntakeWriter, Submission, Waiting
from log_server.sqlite_engine import SqliteEngine
from log_server.store import Snapshot, Store

_ROWS = 500


@dataclass(frozen=True, slots=True)
class Requeued:
    """How many statements wait again, and how many were decided already."""

    waiting: int = 0
    known: int = 0


def requeue(config: Config, intake: Path, clock: Callable[[], int]) -> Requeued:
    """Queue again what is in an intake.db; whoever calls this holds the folder's lock.

    Killed half-way and run again, it queues some twice: the second is known by then.

    Args:
        config: of the log.
        intake: a copy of the other machine's intake.db, with its -wal beside it.
        clock: unix seconds.
    """
    old, store = IntakeReader(SqliteEngine(intake)), Store(log_database(config))
    writer = IntakeWriter(intake_database(config), taken_of(store), lambda: None)
    waiting = known = last = 0
    decided = _taken_there(config, intake)
    try:
        while rows := old.after(last, _ROWS):
            last = rows[-1].id
            with store.committed() as snapshot:
                new = [
                    Submission(
                        row.envelope,
                        row.envelope_sha256,
                        row.conflict_accepted,
                        clock(),
                    )
                    for row in rows
                    if not _is_decided(snapshot, row, decided)
                ]
            if new:
                writer.put_all(new)
            waiting, known = waiting + len(new), known + len(rows) - len(new)
    finally:
        writer.close()
        old.close()
        store.close()
    return Requeued(waiting, known)


def _is_decided(snapshot: Snapshot, row: Waiting, decided: int) -> bool:
    """Whether a decision stands here that holds for this row."""
    decision = snapshot.decision(row.envelope_sha256)
    if decision is None:
        return False
    # A refusal may be of an earlier submission of the same envelope.
    return decision.index is not None or row.id <= decided


def _taken_there(config: Config, intake: Path) -> int:
    """The last row that the other machine had decided; 0: nobody knows."""
    beside = intake.with_name("log.db")
    if not beside.is_file():
        return 0
    store = Store(SqliteEngine(beside))
    try:
        with store.committed() as snapshot:
            ours = (config.origin, str(config.vkey()))
            return snapshot.taken() if snapshot.name() == ours else 0
    finally:
        store.close()
