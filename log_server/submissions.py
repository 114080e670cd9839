"""What the web process does with submissions, apart from HTTP.

    judge -> intake.db -> wake the sequencer -> wait -> what became of it

The judgement here spares the sequencer, and tells whoever submits at once what is
wrong; the sequencer's own is the one that counts. A refusal here is not kept: the same
envelope may be right a moment later, when the identity that it needs is in the log.

One thread, the desk, judges and takes in what all requests have brought meanwhile;
another one, the watcher, tells them what became of it. No request has a thread of its
own: with as many threads as requests, handing over between them cost four times what
was done.

One envelope is a batch of one. Of a batch each is judged by itself, and all that are
taken in are one transaction.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from log_server.config import Config
from log_server.databases import intake_database
from log_server.direct import taken_of
from log_server.disk import fault_of
from log_server.intake import Backlog, IntakeReader, IntakeWriter
from log_server.judging import Candidate, Judge
from log_server.lease_watch import caller_of
from log_server.problems import UnavailableError
from log_server.rates import Rates
from log_server.store import Decision, Snapshot, Store
from log_server.watcher import Moment, Watcher
from pcrlog.errors import PcrlogError

_AT_ONCE = 64
"""Envelopes of single requests, and of one batch, that are judged between two commits:
bounds how long any of them waits for the others."""
_FIRST = 16
"""Of a batch, at first; as many as that again if they were quick, fewer if not."""
_TURN_SECONDS = 0.1
"""Of a processor, for what is judged between two commits. One of a thousand releases of
one version takes as long as a hundred others."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of an envelope: `index` if it is published, or the `decision`.

    Neither: it waits, and a decision is promised. `known`: its statement was published
    before it was submitted this time. `statement` is its SHA-256, where it was read.
    """

    envelope_sha256: bytes
    index: int | None = None
    decision: Decision | None = None
    known: bool = False
    statement: str = ""


Outcomes = Sequence[Outcome | PcrlogError]
"""Of each envelope, by itself, what became of it, or why it is refused: by the rules of
admission.py, since its issuer says too much (TooOftenError), or too much waits
(BusyError)."""


class Asker(Protocol):
    """Who brought envelopes; told once, in a thread that others wait for."""

    def answer(self, outcomes: Outcomes, shown: Snapshot) -> None:
        """Hear what became of them, and see the published log of that moment."""
        ...

    def fail(self, error: Exception) -> None:
        """Hear why nothing was taken in, or that it is not known what became of it."""
        ...


@dataclass(slots=True, eq=False)
class _Request:
    """What one request brought. `judged` of its candidates are."""

    asker: Asker
    batch: Sequence[Candidate]
    seconds: int
    judged: int = 0
    # How many of them are judged at once.
    at_once: int = _FIRST
    # What is known once all rows are decided: the size at which all are published.
    end: int | None = None
    told: bool = False

    def part(self) -> Sequence[Candidate]:
        """The next candidates to be judged."""
        part = self.batch[self.judged : self.judged + self.at_once]
        self.judged += len(part)
        return part

    def pace(self, seconds: float) -> None:
        """Judge more at once, or fewer, by how long the last ones took."""
        if seconds > _TURN_SECONDS:
            self.at_once = max(1, self.at_once // 4)
        elif 2 * seconds < _TURN_SECONDS:
            self.at_once = min(_AT_ONCE, self.at_once * 2)

    @property
    def is_dear(self) -> bool:
        """Whether it takes so long that others go first."""
        return self.at_once < _FIRST

    def begin_again(self) -> None:
        """Forget what was found out; rows that were written are found as such."""
        self.batch = [one.anew() for one in self.batch]
        self.judged = 0

    @property
    def is_judged(self) -> bool:
        return self.judged == len(self.batch)

    def is_waiting(self) -> bool:
        """Whether there is anything to wait for, and somebody who would."""
        return self.seconds > 0 and any(one.row is not None for one in self.batch)

    def question(self, now: Moment, last: bool) -> bool:  # noqa: FBT001 - a watcher.Question
        """Answer if all is refused or published, or if this is the end of waiting."""
        if not self._has_come(now) and not last:
            return False
        self.answer(now)
        return True

    def _has_come(self, now: Moment) -> bool:
        if self.end is None:
            rows = [one for one in self.batch if one.row is not None]
            if now.taken < max(one.row or 0 for one in rows):
                return False
            decisions = (now.committed.decision(one.digest) for one in rows)
            found = (d.index for d in decisions if d is not None)
            self.end = max((i for i in found if i is not None), default=-1) + 1
        return self.end <= now.shown.size

    def answer(self, now: Moment) -> None:
        """Answer by what is known now."""
        self.asker.answer([_outcome_of(one, now) for one in self.batch], now.shown)
        self.told = True

    def fail(self, error: Exception) -> None:
        """Tell why there is no answer, unless there was one."""
        if self.told:
            return
        self.told = True
        try:
            self.asker.fail(error)
        except Exception:  # noqa: BLE001 - those beside must not suffer
            _log.exception("nobody hears why a submission failed")


class Submissions:
    """Takes envelopes in and tells what became of them; for any number of threads."""

    def __init__(
        self, config: Config, store: Store, rates: Rates, clock: Callable[[], int]
    ) -> None:
        self._caller = caller_of(config)
        self._store = store
        self._taken = taken_of(store)
        reader = IntakeReader(intake_database(config))
        writer = IntakeWriter(intake_database(config), self._taken, self._caller.ring)
        self._judge = Judge(config, reader, writer, rates, clock)
        self._watcher = Watcher(store, self.is_alive)
        # Guards the three below: who waits for the desk, and whether it closes.
        self._brought = threading.Condition()
        self._singles: deque[_Request] = deque()
        self._batches: deque[_Request] = deque()
        self._closed = False
        self._desk = threading.Thread(target=self._run, name="desk", daemon=True)
        self._desk.start()

    def submit(
        self,
        envelopes: Sequence[bytes],
        asker: Asker,
        *,
        conflict_accepted: bool,
        seconds: int,
    ) -> None:
        """Take envelopes in, wait up to `seconds` for publication, tell `asker`.

        All that are taken in are on disk together, or none is, and `asker` is told why.

        Raises:
            UnavailableError: it is closed; `asker` is told nothing.
        """
        batch = [
            Candidate.of(e, conflict_accepted=conflict_accepted) for e in envelopes
        ]
        request = _Request(asker, batch, seconds)
        with self._brought:
            if self._closed:
                message = "the log is being closed: nothing was taken in"
                raise UnavailableError(message)
            (self._singles if len(batch) == 1 else self._batches).append(request)
            self._brought.notify()

    # --- the desk --------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._brought:
                while not (self._singles or self._batches or self._closed):
                    self._brought.wait()
                if not (self._singles or self._batches):
                    return
                turn = self._next_turn()
            self._serve_all(turn)

    def _serve_all(self, turn: Sequence[_Request]) -> None:
        """Serve each in any case; who brings what we cannot read spoils no other's."""
        try:
            self._serve(turn)
        except Exception as error:  # noqa: BLE001 - each who waits must know
            untold = [request for request in turn if not request.told]
            if len(turn) == 1 or fault_of(error) is not None:
                for request in untold:
                    request.fail(error)
                return
            for request in untold:
                request.begin_again()
                self._serve_all([request])

    def _next_turn(self) -> list[_Request]:
        """Some single requests, and the batch whose turn it is."""
        number = min(_AT_ONCE, len(self._singles))
        turn = [self._singles.popleft() for _ in range(number)]
        if self._batches:
            turn.append(self._batches.popleft())
        return turn

    def _serve(self, turn: Sequence[_Request]) -> None:
        part = [one for request in turn for one in request.part()]
        whole = [request for request in turn if request.is_judged]
        with self._store.committed() as snapshot:
            begun = time.thread_time()
            self._judge.judge(part, snapshot)
            took = time.thread_time() - begun
            taken = snapshot.taken()
            self._judge.take_in([o for r in whole for o in r.batch], taken)
            moment = Moment.of(snapshot)
            for request in whole:
                if not request.is_waiting():
                    request.answer(moment)
        for request in whole:
            if request.is_waiting():
                ask = self._watcher.ask
                ask(request.question, request.fail, request.seconds)
        more = [request for request in turn if not request.is_judged]
        for request in more:
            request.pace(took)
        # One batch after the other, so that the sequencer has the first while the next
        # is judged: by turns, all would be judged at the same time, and none before.
        with self._brought:
            for request in more:
                if request.is_dear:
                    self._batches.append(request)
                else:
                    self._batches.appendleft(request)

    # --- questions -------------------------------------------------------------------

    def outcome(self, envelope_sha256: bytes) -> Outcome | None:
        """What became of an envelope; None if it was never taken in."""
        # In this order: a row that is decided in between is found as decided.
        waiting = self._judge.waiting(envelope_sha256, self._taken())
        with self._store.committed() as snapshot:
            found = _outcome(Moment.of(snapshot), waiting or 0, envelope_sha256)
        return None if waiting is None and found.decision is None else found

    def backlog(self) -> Backlog:
        """What waits for a decision."""
        return self._judge.backlog(self._taken())

    def is_alive(self) -> bool:
        """Whether a sequencer runs."""
        return self._caller.is_heard()

    def sequencer(self) -> str:
        """Which one it is, if there may be several; else empty."""
        return self._caller.holder()

    def close(self) -> None:
        """Serve what was brought, end the threads and close the files."""
        with self._brought:
            self._closed = True
            self._brought.notify()
        self._desk.join()
        self._watcher.close()
        self._judge.close()
        self._caller.close()


def _outcome_of(one: Candidate, now: Moment) -> Outcome | PcrlogError:
    if one.error is not None:
        return one.error
    if one.is_published:
        return Outcome(one.digest, one.index, known=True, statement=one.statement)
    return _outcome(now, one.row or 0, one.digest, one.statement)


def _outcome(
    now: Moment, row: int, envelope_sha256: bytes, statement: str = ""
) -> Outcome:
    if now.taken < row:
        return Outcome(envelope_sha256, statement=statement)
    decision = now.committed.decision(envelope_sha256)
    index = None
    if decision is not None and decision.index is not None:
        index = decision.index if decision.index < now.shown.size else None
    return Outcome(envelope_sha256, index, decision, statement=statement)
