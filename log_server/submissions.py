"""What the web process does with submissions, apart from HTTP.

    judge -> intake.db -> wake the sequencer -> wait -> what became of it

The judgement here spares the sequencer, and tells whoever submits at once what is
wrong; the sequencer's own is the one that counts. A refusal here is not kept: the same
envelope may be right a moment later, when the identity that it needs is in the log.

One envelope is a batch of one. Of a batch each is judged by itself, and all that are
taken in are one transaction.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from log_server.admission import check_beside, look_at, speaks_for
from log_server.config import Config
from log_server.direct import taken_of
from log_server.intake import Backlog, IntakeReader, IntakeWriter, Submission
from log_server.problems import BusyError, TooLargeError
from log_server.rates import Rates
from log_server.registrar import follow
from log_server.signatures import Signatures
from log_server.store import Decision, Snapshot, Store
from log_server.wake import is_heard, ring
from log_server.watcher import Decided, Watcher
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import sha256
from pcrlog.entry import Entry
from pcrlog.errors import PcrlogError
from pcrlog.keys import Owed

_JUDGED_AT_ONCE = 64
"""Envelopes of a batch: others are judged between two such parts."""


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


@dataclass(slots=True, eq=False)
class _Candidate:
    """An envelope on its way through admission.

    One of three comes of it. `error`: refused. `is_published`: its statement is, as
    `index`. `row`: of intake.db, in which it waits; `index` is then that of its
    statement if it is committed and not published yet.
    """

    envelope: bytes
    digest: bytes
    entry: Entry | None = None
    owed: Sequence[Owed] = ()
    error: PcrlogError | None = None
    index: int | None = None
    is_published: bool = False
    row: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still become a row."""
        return self.error is None and not self.is_published and self.row is None


def _require_size(envelope: bytes) -> None:
    if len(envelope) > limits.ENVELOPE:
        message = f"envelope has {len(envelope)} bytes, at most {limits.ENVELOPE}"
        raise TooLargeError(message)


@contextmanager
def _refusing(one: _Candidate) -> Iterator[None]:
    try:
        yield
    except PcrlogError as error:
        one.error = error


class Submissions:
    """Takes envelopes in and tells what became of them; for any number of threads."""

    def __init__(
        self, config: Config, store: Store, rates: Rates, clock: Callable[[], int]
    ) -> None:
        self._config = config
        self._store = store
        self._rates = rates
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
        self._signatures = Signatures()
        self._watcher = Watcher(store, self.is_alive)
        # A thread that waits answers nobody else: half of them always can.
        self._places = threading.BoundedSemaphore(config.settings.threads // 2)

    def submit_all(
        self, envelopes: Sequence[bytes], *, conflict_accepted: bool, seconds: int
    ) -> list[Outcome | PcrlogError]:
        """Take envelopes in, and wait up to `seconds` for their publication.

        All that are taken in are on disk together, or none is and this raises.

        Returns:
            Of each, by itself, its outcome, or why it is refused: see admission.admit;
            its issuer says too much (TooOftenError), too much waits (BusyError).
        """
        batch = [_Candidate(one, sha256(one)) for one in envelopes]
        taken = 0
        for start in range(0, len(batch), _JUDGED_AT_ONCE):
            part = batch[start : start + _JUDGED_AT_ONCE]
            with self._store.committed() as snapshot:
                taken = snapshot.taken()
                self._judge(part, snapshot, taken, least=int(conflict_accepted))
                self._verify(part)
                self._check_beside(part, snapshot, conflict_accepted)
        self._take_in(batch, taken, conflict_accepted=conflict_accepted)
        rows = [(one.row, one.digest) for one in batch if one.row is not None]
        if not rows or not seconds or not self._places.acquire(blocking=False):
            return [_answer(one, None) for one in batch]
        try:
            self._watcher.wait(Decided(rows), seconds)
        finally:
            self._places.release()
        with self._store.committed() as snapshot:
            return [_answer(one, snapshot) for one in batch]

    # --- admission -------------------------------------------------------------------

    def _judge(
        self, part: Sequence[_Candidate], snapshot: Snapshot, taken: int, *, least: int
    ) -> None:
        """Rules 1 to 5, the signatures owed; and what waits already."""
        for one in part:
            with _refusing(one):
                _require_size(one.envelope)
                one.entry, one.index = look_at(
                    one.envelope, snapshot, self._config.origin
                )
                one.is_published = (
                    one.index is not None and one.index < snapshot.published_size()
                )
        with self._lock:
            self._followed = follow(self._authority, snapshot, self._followed)
            for one in part:
                if one.is_open and one.entry is not None:
                    one.row = self._reader.find(one.digest, taken, least)
                    if one.row is None and one.index is None:
                        with _refusing(one):
                            one.owed = self._authority.judge_unverified(one.entry)

    def _verify(self, part: Sequence[_Candidate]) -> None:
        """The signatures."""
        owing = [one for one in part if one.owed]
        verdicts = self._signatures.verify([one.owed for one in owing])
        for one, verdict in zip(owing, verdicts, strict=True):
            one.error = verdict

    def _check_beside(
        self,
        part: Sequence[_Candidate],
        snapshot: Snapshot,
        conflict_accepted: bool,  # noqa: FBT001 - of our own, as it came
    ) -> None:
        """Rules 6 to 8; and now that it is known who speaks: how often?"""
        for one in part:
            if one.error is None and one.owed and one.entry is not None:
                # Not for the whole part: this may read a thousand entries.
                with self._lock, _refusing(one):
                    if speaks_for(one.entry):
                        issuer = one.entry.predicate.issuer
                        self._rates.take_for_identity(issuer)
                    check_beside(
                        one.entry,
                        snapshot,
                        self._authority,
                        conflict_accepted=conflict_accepted,
                        now=self._clock(),
                    )

    def _take_in(
        self, batch: Sequence[_Candidate], taken: int, *, conflict_accepted: bool
    ) -> None:
        """Write what was admitted and does not wait yet, as far as there is room."""
        new: dict[bytes, _Candidate] = {}
        still = [one for one in batch if one.is_open]
        twice = [one for one in still if new.setdefault(one.digest, one) is not one]
        if not new:
            return
        with self._lock:
            backlog = self._reader.rows(taken)
        most = self._config.settings.most_waiting
        for one in islice(new.values(), max(0, most - backlog), None):
            one.error = BusyError(f"{backlog} statements wait already, at most {most}")
        now, fitting = self._clock(), [one for one in new.values() if one.is_open]
        new_rows = [
            Submission(x.envelope, x.digest, conflict_accepted, now) for x in fitting
        ]
        rows = self._writer.put_all(new_rows) if new_rows else ()
        for one, row in zip(fitting, rows, strict=True):
            one.row = row
        for one in twice:
            one.row, one.error = new[one.digest].row, new[one.digest].error

    # --- questions -------------------------------------------------------------------

    def outcome(self, envelope_sha256: bytes) -> Outcome | None:
        """What became of an envelope; None if it was never taken in."""
        with self._lock:
            # In this order: a row that is decided in between is found as decided.
            waiting = self._reader.find(envelope_sha256, self._taken(), least=0)
        with self._store.committed() as snapshot:
            found = _outcome(snapshot, waiting or 0, envelope_sha256)
        return None if waiting is None and found.decision is None else found

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
        self._signatures.close()
        self._writer.close()
        self._reader.close()


def _answer(one: _Candidate, snapshot: Snapshot | None) -> Outcome | PcrlogError:
    """What became of it; without a snapshot, nobody has waited for that."""
    if one.error is not None:
        return one.error
    statement = "" if one.entry is None else one.entry.sha256
    if one.is_published:
        return Outcome(one.digest, one.index, known=True, statement=statement)
    if snapshot is None:
        return Outcome(one.digest, statement=statement)
    return _outcome(snapshot, one.row or 0, one.digest, statement)


def _outcome(
    snapshot: Snapshot, row: int, envelope_sha256: bytes, statement: str = ""
) -> Outcome:
    if snapshot.taken() < row:
        return Outcome(envelope_sha256, statement=statement)
    decision = snapshot.decision(envelope_sha256)
    index = None
    if decision is not None and decision.index is not None:
        published = decision.index < snapshot.published_size()
        index = decision.index if published else None
    return Outcome(envelope_sha256, index, decision, statement=statement)
