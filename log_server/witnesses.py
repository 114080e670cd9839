"""Asks the log's witnesses and index monitors to cosign, and waits for a quorum.

All are asked at once, with the log's own signature alone, after the tiles are in place
and before /checkpoint is (FORMATS.md 4.2 and section 8, numbers 12 to 14). Publication
waits until both quorums are met, however long that takes, and asks for the same
checkpoint all the while: there is never a second tree of one size.

    cosigned                      its line stands in /checkpoint
    at another size, ours or less asked again from there, three times a publication
    at a larger size              log.db is an old copy: the sequencer ends (4)
    another history               an alarm; when the sequencer starts and it is the
                                  checkpoint of the same size that differs, it ends (4)
    no, not now, no answer        does not count; asked again after a pause

A witness's word is not proof. That it can stop us, and even so is believed, is since
the other mistake, a fork, cannot be taken back; who lies is taken out of log.toml.

One thread, the sequencer's, judges and reads log.db; couriers only carry.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from log_server.config import Config, Member, Quorum
from log_server.couriers import Courier
from log_server.standing import Role, Standing, Standings
from log_server.verdicts import Cosigned, Elsewhere, Failed, judge
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import printable
from pcrlog.errors import (
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.exchange import Answer
from pcrlog.merkle import Node, prove_consistency
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.witness import AddCheckpoint

TIMEOUTS: dict[Role, int] = {"witness": 5, "index monitor": 30}
"""Seconds without a byte. An index monitor first reads what is new and recomputes."""

_MOST_CONFLICTS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds until who failed is asked again: doubled each time."""
_LONGEST_RETRY_AFTER = 3600
_LOOK = 0.05
"""Seconds for which an answer is waited for before `Patience.ended` is asked."""
_TELL, _SAY = 1.0, 5.0
"""Seconds after which a missing quorum is told to the web process, and said."""


class QuorumError(UncheckedError):
    """A quorum is missing, and whoever waits for it has no more time."""


class EndedError(QuorumError):
    """A quorum is missing, and this process is to end."""


class ContradictedError(VerificationError):
    """A witness holds what log.db does not have: going on would fork the log."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many `seconds` a quorum may be missing.

    `ended` is asked often: whether to give up at once. `waiting` is called while it
    lasts, from the first second on.
    """

    seconds: float = 30.0
    ended: Callable[[], bool] = lambda: False
    waiting: Callable[[], object] = lambda: None


@dataclass(eq=False)
class _Publication:
    """A checkpoint that is to be cosigned; monotonic and unix seconds of its begin."""

    note: bytes
    node: Node
    begun: float
    began: int

    def __post_init__(self) -> None:
        self.text = UnverifiedNote.parse(self.note).text
        self.size = Checkpoint.parse(self.text).size
        self.told = _TELL
        self.said = False
        self._bodies: dict[int, bytes] = {}

    def body(self, old: int) -> bytes:
        """The request to a witness that is at `old`."""
        if old not in self._bodies:
            # Nothing can be proven from an empty tree, and nothing needs to be.
            proof = prove_consistency(old, self.size, self.node) if old else ()
            self._bodies[old] = bytes(AddCheckpoint(old, proof, self.note))
        return self._bodies[old]


@dataclass(eq=False)
class _Cosigner:
    """A witness or index monitor; `known` is the size that it should be at.

    It is asked again at `again` (monotonic seconds), and not while it is `busy`.
    `line` and `conflicts` are of the present publication.
    """

    key: VerifierKey
    standing: Standing
    known: int
    courier: "Courier[_Asked]"
    busy: bool = False
    again: float = 0.0
    pause: float = _FIRST_PAUSE
    line: str | None = None
    conflicts: int = 0

    def begin(self) -> None:
        """A new checkpoint is to be cosigned."""
        self.line, self.conflicts = None, 0

    def cosigned(self, size: int, verdict: Cosigned) -> None:
        """It has cosigned so many leaves."""
        self.known, self.again, self.pause = size, 0.0, _FIRST_PAUSE
        standing = self.standing
        standing.size, standing.time = size, verdict.time
        standing.cosignatures += 1
        standing.alarm, standing.problem = False, ""

    def failed(self, verdict: Failed, now: float) -> None:
        """It does not count now."""
        asked = min(verdict.retry_after or 0, _LONGEST_RETRY_AFTER)
        self.again = now + max(self.pause, asked)
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)
        standing, problem = self.standing, printable(verdict.problem)
        if verdict.alarm:
            standing.alarms += 1
            if not standing.alarm:
                _say(f"ALARM: {standing.role} {standing.name} {problem}")
        standing.alarm, standing.problem = verdict.alarm, problem


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way: who was asked for which checkpoint, from which size."""

    cosigner: _Cosigner
    publication: _Publication
    old: int


@dataclass(frozen=True, slots=True)
class _Group:
    role: Role
    quorum: int
    cosigners: tuple[_Cosigner, ...]

    def lacks(self) -> bool:
        return sum(one.line is not None for one in self.cosigners) < self.quorum

    def words(self) -> str:
        there = sum(one.line is not None for one in self.cosigners)
        why = [
            f"{one.standing.name}: {one.standing.problem or 'no answer yet'}"
            for one in self.cosigners
            if one.line is None
        ]
        plural = "witnesses" if self.role == "witness" else "index monitors"
        return f"{there} of {self.quorum} {plural} cosigned ({'; '.join(why)})"


class Cosigners:
    """The `publisher.Cosign` of a log that has witnesses or index monitors.

    Args:
        config: who they are, and where to tell how they are.
        vkey: the log's key, which must not be one of theirs.
        published: leaves of the last published checkpoint: where they should be.
        clock: unix seconds.
        patience: for how long to wait.

    Raises:
        UsageError: one of them has the log's key.
    """

    def __init__(
        self,
        config: Config,
        vkey: VerifierKey,
        published: int,
        clock: Callable[[], int],
        patience: Patience,
    ) -> None:
        settings = config.settings
        if any(member.key.public == vkey.public for member in settings.cosigners()):
            message = "log.toml: the log's own key stands among those who cosign"
            raise UsageError(message)
        self._path = config.witnessing
        self._clock = clock
        self._patience = patience
        self._answers: SimpleQueue[tuple[_Asked, Answer | Exception]] = SimpleQueue()
        self._groups: list[_Group] = []
        self._published = published
        self._add("witness", settings.witnesses)
        self._add("index monitor", settings.index_monitors)
        self._present: _Publication | None = None
        # Until it is known that a quorum holds nothing that log.db lacks.
        self._starting = True
        self._missing_since: int | None = None
        self._missing_seconds = 0
        self._tell()

    def _add(self, role: Role, quorum: Quorum | None) -> None:
        if quorum is not None:
            seconds = quorum.timeout or TIMEOUTS[role]
            found = tuple(self._cosigner(one, role, seconds) for one in quorum.members)
            self._groups.append(_Group(role, quorum.quorum, found))

    def _cosigner(self, member: Member, role: Role, seconds: float) -> _Cosigner:
        courier: Courier[_Asked] = Courier(member.url, seconds, self._back)
        standing = Standing(member.key.name, role)
        return _Cosigner(member.key, standing, self._published, courier)

    def _back(self, asked: _Asked, outcome: Answer | Exception) -> None:
        """Called in the couriers' threads."""
        self._answers.put((asked, outcome))

    def _all(self) -> Iterator[_Cosigner]:
        return (cosigner for group in self._groups for cosigner in group.cosigners)

    def __call__(self, note: bytes, node: Node) -> list[str]:
        """The lines of those who cosigned, as soon as they are a quorum.

        Args:
            note: the checkpoint, committed, with the log's signature alone.
            node: the tree's subtrees, for consistency proofs.

        Raises:
            ContradictedError: one of them holds what log.db does not have.
            EndedError: this process is to end before that.
            QuorumError: it takes longer than is allowed.
        """
        present = _Publication(note, node, time.monotonic(), self._clock())
        self._present = present
        for cosigner in self._all():
            cosigner.begin()
        while any(group.lacks() for group in self._groups):
            self._ask(present)
            self._take(present, _LOOK)
            self._mind_the_time(present)
        self.heed()
        self._starting = False
        if self._missing_since is not None:
            seconds = max(0, self._clock() - self._missing_since)
            self._missing_seconds += seconds
            self._missing_since = None
            if present.said:
                _say(f"a quorum has cosigned after {seconds} s")
        self._tell()
        return [one.line for one in self._all() if one.line is not None]

    def heed(self) -> None:
        """Take the answers that came in meanwhile.

        Raises:
            ContradictedError: one of them says that log.db is an old copy.
        """
        while self._present is not None and self._take(self._present, 0):
            pass

    def close(self) -> None:
        """Let the couriers go; who is on the way is not waited for."""
        for cosigner in self._all():
            cosigner.courier.close()

    def _ask(self, present: _Publication) -> None:
        now = time.monotonic()
        for one in self._all():
            if one.line is None and not one.busy and one.again <= now:
                one.busy = True
                old = min(one.known, present.size)
                one.courier.send(_Asked(one, present, old), present.body(old))

    def _take(self, present: _Publication, seconds: float) -> bool:
        """Whether an answer came within `seconds`; it is heeded."""
        try:
            asked, outcome = self._answers.get(seconds > 0, seconds or None)
        except Empty:
            return False
        asked.cosigner.busy = False
        if isinstance(outcome, Exception) and not isinstance(outcome, TransportError):
            raise outcome
        self._heed(present, asked, outcome)
        return True

    def _heed(
        self, present: _Publication, asked: _Asked, answer: Answer | TransportError
    ) -> None:
        one = asked.cosigner
        verdict = judge(answer, asked.publication.text, one.key, self._clock())
        if isinstance(verdict, Elsewhere):
            if verdict.size > present.size:
                _contradict(one, f"is at {verdict.size} leaves, log.db at", present)
            one.known = verdict.size
            one.conflicts += asked.publication is present
            if one.conflicts <= _MOST_CONFLICTS:
                return
            verdict = Failed(f"answered 409 again and again, at last {verdict.size}")
        if isinstance(verdict, Cosigned):
            one.cosigned(asked.publication.size, verdict)
            # It may have been asked for an earlier checkpoint.
            if asked.publication is present:
                one.line = verdict.line
            return
        one.failed(verdict, time.monotonic())
        if self._starting and verdict.alarm and asked.old == present.size:
            _contradict(one, "holds another root of", present)

    def _mind_the_time(self, present: _Publication) -> None:
        if self._patience.ended():
            message = "a quorum is missing, and this process is to end"
            raise EndedError(message)
        waited = time.monotonic() - present.begun
        if waited >= self._patience.seconds:
            self._tell()
            message = (
                f"not published: {self._words()} within {waited:.0f} s. What was"
                " decided is committed, and the next start publishes it"
            )
            raise QuorumError(message)
        if waited < present.told:
            return
        present.told = waited + _TELL
        self._patience.waiting()
        self._missing_since = present.began
        self._tell()
        if waited >= _SAY and not present.said and self._problems():
            present.said = True
            _say(f"a quorum is missing, asking again: {self._words()}")

    def _problems(self) -> bool:
        return any(one.standing.problem for one in self._all() if one.line is None)

    def _words(self) -> str:
        return ", ".join(group.words() for group in self._groups if group.lacks())

    def _tell(self) -> None:
        members = tuple(one.standing for one in self._all())
        told = Standings(self._missing_since, self._missing_seconds, members)
        told.write(self._path)


def _contradict(one: _Cosigner, what: str, present: _Publication) -> None:
    message = (
        f"{one.standing.role} {one.standing.name} {what} {present.size} leaves: log.db"
        " is an old copy, or somebody else signs with the log's key, and going on would"
        " fork the log. Bring back the newest log.db. Only if you are sure that this"
        " one lies, take it out of log.toml"
    )
    raise ContradictedError(message)


def _say(words: str) -> None:
    sys.stderr.write(f"sequencer: {words}\n")
    sys.stderr.flush()
