"""Judges envelopes that were submitted, many at a time, and takes in what is admitted.

The rules are those of admission.py, in its three steps. What costs the same for one
envelope and for many is done once for all of them: a transaction of log.db, the lock of
the authority, a commit of intake.db.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from log_server.admission import check_beside, look_at, speaks_for
from log_server.config import Config
from log_server.intake import Backlog, IntakeReader, IntakeWriter, Submission
from log_server.problems import BusyError, TooLargeError
from log_server.rates import Rates
from log_server.registrar import follow
from log_server.signatures import Signatures
from log_server.store import Snapshot
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import sha256
from pcrlog.entry import Entry
from pcrlog.errors import PcrlogError
from pcrlog.keys import Owed
from pcrlog.predicates import Identity


@dataclass(slots=True, eq=False)
class Candidate:
    """An envelope on its way through admission.

    `entry` and `owed` are there while it is judged; its SHA-256, `statement`, remains.
    One of three comes of it. `error`: refused. `is_published`: its statement is, as
    `index`. `row`: of intake.db, in which it waits; `index` is then that of its
    statement if it is committed and not published yet.
    """

    envelope: bytes
    digest: bytes
    conflict_accepted: bool
    entry: Entry | None = None
    owed: Sequence[Owed] = ()
    statement: str = ""
    error: PcrlogError | None = None
    index: int | None = None
    is_published: bool = False
    row: int | None = None

    @classmethod
    def of(cls, envelope: bytes, *, conflict_accepted: bool) -> "Candidate":
        """An envelope that was submitted."""
        return cls(envelope, sha256(envelope), conflict_accepted)

    def let_go(self) -> None:
        """Keep of what was read what is answered with: six times its bytes are freed.

        An error holds all that was at hand where it was raised.
        """
        if self.entry is not None:
            self.statement = self.entry.sha256
        self.entry, self.owed = None, ()
        if self.error is not None:
            self.error.__traceback__ = None
            self.error.__context__ = self.error.__cause__ = None

    def anew(self) -> "Candidate":
        """The same, with nothing found out about it."""
        return Candidate(self.envelope, self.digest, self.conflict_accepted)

    @property
    def what(self) -> tuple[bytes, bool]:
        """What a row of intake.db would say of it."""
        return self.digest, self.conflict_accepted

    @property
    def is_open(self) -> bool:
        """Whether it may still become a row."""
        return self.error is None and not self.is_published and self.row is None


@contextmanager
def _refusing(one: Candidate) -> Iterator[None]:
    try:
        yield
    except PcrlogError as error:
        one.error = error


def _require_size(envelope: bytes) -> None:
    if len(envelope) > limits.ENVELOPE:
        message = f"envelope has {len(envelope)} bytes, at most {limits.ENVELOPE}"
        raise TooLargeError(message)


class Judge:
    """Judges and takes in, for one thread; any thread may ask what waits.

    Args:
        config: which log.
        reader, writer: of intake.db.
        rates: how often an identity may speak.
        clock: unix seconds.
    """

    def __init__(
        self,
        config: Config,
        reader: IntakeReader,
        writer: IntakeWriter,
        rates: Rates,
        clock: Callable[[], int],
    ) -> None:
        self._origin = config.origin
        self._settings = config.settings
        self._reader = reader
        self._writer = writer
        self._rates = rates
        self._clock = clock
        # Guards the reader's connection.
        self._reading = threading.Lock()
        self._authority = Authority(config.origin)
        self._followed = 0
        self._signatures = Signatures()

    def judge(self, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        """All rules; and is it known, or waiting already?

        Args:
            part: candidates, each judged by itself.
            snapshot: all that is committed.
        """
        published, taken = snapshot.published_size(), snapshot.taken()
        for one in part:
            with _refusing(one):
                _require_size(one.envelope)
                one.entry, one.index = look_at(one.envelope, snapshot, self._origin)
                one.is_published = one.index is not None and one.index < published
        self._followed = follow(self._authority, snapshot, self._followed)
        with self._reading:
            for one in part:
                if one.is_open and one.entry is not None:
                    least = int(one.conflict_accepted)
                    one.row = self._reader.find(one.digest, taken, least)
        self._judge_signed(part, snapshot)
        for one in part:
            one.let_go()

    def _judge_signed(self, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        """Rules 5 to 8, of what is open."""
        for one in part:
            if one.is_open and one.entry is not None:
                with _refusing(one):
                    one.owed = self._owed(one.entry, one.index)
        owing = [one for one in part if one.owed]
        verdicts = self._signatures.verify([one.owed for one in owing])
        for one, verdict in zip(owing, verdicts, strict=True):
            one.error = verdict
            if verdict is None and one.entry is not None:
                with _refusing(one):
                    self._check_beside(one, one.entry, snapshot)

    def _owed(self, entry: Entry, index: int | None) -> Sequence[Owed]:
        """Rule 5, but for the signatures, of the next entry or a committed one.

        An envelope whose statement is committed, and not published yet, becomes a row
        as well, so that it gets an answer. It must be signed, or anybody could make any
        number of rows of one statement. An identity of that kind is not judged again:
        only the registrar knows it.
        """
        if index is None:
            return self._authority.judge_unverified(entry)
        if isinstance(entry.predicate, Identity):
            return ()
        committed = Entry(index, entry.envelope, entry.statement)
        return self._authority.judge_unverified(committed)

    def _check_beside(self, one: Candidate, entry: Entry, snapshot: Snapshot) -> None:
        """Rules 6 to 8; and now that it is known who speaks: how often?"""
        if speaks_for(entry):
            self._rates.take_for_identity(entry.predicate.issuer)
        if one.index is None:
            check_beside(
                entry,
                snapshot,
                self._authority,
                conflict_accepted=one.conflict_accepted,
                now=self._clock(),
            )

    def take_in(self, batch: Sequence[Candidate], taken: int) -> None:
        """Write what was admitted and does not wait yet, as far as there is room.

        All of it is on disk together, or nothing is and this raises.
        """
        new: dict[tuple[bytes, bool], Candidate] = {}
        still = [one for one in batch if one.is_open]
        twice = [one for one in still if new.setdefault(one.what, one) is not one]
        if not new:
            return
        with self._reading:
            backlog = self._reader.rows(taken)
        most = self._settings.most_waiting
        for one in islice(new.values(), max(0, most - backlog), None):
            words = f"{backlog} statements wait already, at most {most}"
            one.error = BusyError(words)
        now, fitting = self._clock(), [one for one in new.values() if one.is_open]
        if fitting:
            rows = self._writer.put_all(
                [
                    Submission(x.envelope, x.digest, x.conflict_accepted, now)
                    for x in fitting
                ]
            )
            for one, row in zip(fitting, rows, strict=True):
                one.row = row
        for one in twice:
            one.row, one.error = new[one.what].row, new[one.what].error

    def waiting(self, envelope_sha256: bytes, taken: int) -> int | None:
        """The row in which an envelope waits; for any thread."""
        with self._reading:
            return self._reader.find(envelope_sha256, taken, least=0)

    def backlog(self, taken: int) -> Backlog:
        """What waits for a decision; for any thread."""
        with self._reading:
            return self._reader.backlog(taken)

    def close(self) -> None:
        """End the threads and close the files."""
        self._signatures.close()
        self._writer.close()
        self._reader.close()
