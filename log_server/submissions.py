"""What the web process does with a submission, apart from HTTP.

    judge -> intake.db -> wake the sequencer -> wait -> what became of it

The judgement here spares the sequencer, and tells whoever submits at once what is
wrong; the sequencer's own is the one that counts. A refusal here is not kept: the same
envelope may be right a moment later, when the identity that it needs is in the log.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from log_server.admission import admit
from log_server.config import Config
from log_server.direct import taken_of
from log_server.intake import Backlog, IntakeReader, IntakeWriter, Submission
from log_server.problems import BusyError
from log_server.registrar import follow
from log_server.store import Decision, Snapshot, Store
from log_server.wake import is_heard, ring
from log_server.watcher import Watcher
from pcrlog.authority import Authority
from pcrlog.encoding import sha256


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an envelope: `index` if it is published, or the `decision`.

    Neither: it waits, and a decision is promised. `known`: its statement was published
    before it was submitted this time.
    """

    envelope_sha256: bytes
    index: int | None = None
    decision: Decision | None = None
    known: bool = False


class Submissions:
    """Takes envelopes in and tells what became of them; for any number of threads."""

    def __init__(self, config: Config, store: Store, clock: Callable[[], int]) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        # Guards the authority, which follows the log, and the reader's connection.
        self._lock = threading.Lock()
        self._authority = Authority(config.origin)
        self._followed = 0
        self._reader = IntakeReader(config.intake_db)
        self._taken = taken_of(store)
        self._writer = IntakeWriter(
            config.intake_db, self._taken, lambda: ring(config.wake)
        )
        self._watcher = Watcher(store, self.is_alive)
        # A thread that waits answers nobody else: half of them always can.
        self._places = threading.BoundedSemaphore(config.settings.threads // 2)

    def submit(
        self, envelope: bytes, *, conflict_accepted: bool, seconds: int
    ) -> Outcome:
        """Take an envelope in, and wait up to `seconds` for its publication.

        Raises:
            PcrlogError: it is refused; see `admission.admit`.
            BusyError: too much waits already.
        """
        digest = sha256(envelope)
        found = self._admit(envelope, digest, conflict_accepted=conflict_accepted)
        if isinstance(found, Outcome):
            return found
        if found is None:
            submission = Submission(envelope, digest, conflict_accepted, self._clock())
            found = self._writer.put(submission)
        row = found
        if seconds and self._places.acquire(blocking=False):
            try:
                self._watcher.wait(lambda now: _is_done(now, row, digest), seconds)
            finally:
                self._places.release()
        return self._outcome(row, digest)

    def _admit(
        self, envelope: bytes, digest: bytes, *, conflict_accepted: bool
    ) -> Outcome | int | None:
        """What is published already, the row in which it waits already, or None."""
        with self._lock, self._store.committed() as snapshot:
            self._followed = follow(self._authority, snapshot, self._followed)
            judged = admit(
                envelope,
                snapshot,
                self._authority,
                conflict_accepted=conflict_accepted,
                now=self._clock(),
            )
            if isinstance(judged, int) and judged < snapshot.published_size():
                return Outcome(digest, judged, known=True)
            taken = snapshot.taken()
            waiting = self._reader.find(digest, taken, least=int(conflict_accepted))
            backlog = self._reader.backlog(taken).rows
        if waiting is None and backlog >= self._config.settings.most_waiting:
            message = f"{backlog} statements wait already"
            raise BusyError(message)
        return waiting

    def outcome(self, envelope_sha256: bytes) -> Outcome | None:
        """What became of an envelope; None if it was never taken in."""
        with self._lock:
            # In this order: a row that is decided in between is found as decided.
            waiting = self._reader.find(envelope_sha256, self._taken(), least=0)
        found = self._outcome(waiting or 0, envelope_sha256)
        return None if waiting is None and found.decision is None else found

    def _outcome(self, row: int, envelope_sha256: bytes) -> Outcome:
        with self._store.committed() as snapshot:
            if snapshot.taken() < row:
                return Outcome(envelope_sha256)
            decision = snapshot.decision(envelope_sha256)
            if decision is None or decision.index is None:
                return Outcome(envelope_sha256, decision=decision)
            published = decision.index < snapshot.published_size()
            index = decision.index if published else None
            return Outcome(envelope_sha256, index, decision)

    def backlog(self) -> Backlog:
        """What waits for a decision."""
        with self._lock:
            return self._reader.backlog(self._taken())

    def is_alive(self) -> bool:
        """Whether a sequencer runs."""
        return is_heard(self._config.wake)

    def close(self) -> None:
        """End the threads and close the files."""
        self._watcher.close()
        self._writer.close()
        self._reader.close()


def _is_done(snapshot: Snapshot, row: int, envelope_sha256: bytes) -> bool:
    """Whether a row is refused, or its statement published."""
    if snapshot.taken() < row:
        return False
    decision = snapshot.decision(envelope_sha256)
    if decision is None or decision.index is None:
        return True
    return decision.index < snapshot.published_size()
