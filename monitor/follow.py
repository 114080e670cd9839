"""Follows a log, round by round: is it honest, and is there anything to tell?

    checkpoint -> leaves, run by run -> each against the tree, then judged, indexed,
    looked at by the rules -> alerts and progress, one transaction -> quorums, freshness

Nothing of a run is believed before its leaves lead to the root that the log signed: the
tree is grown here, from the leaves, and the log's tiles have to lead from it to the
checkpoint. A run's alerts are committed with its progress; the index is committed after
that, and a start brings it up again: so a crash repeats work, and loses no alert.

What is wrong with entries, seals or the index is told and passed; the tree goes on, and
nothing is cosigned any more. What is wrong with the tree itself is told, and the round
ends where it was: the last verified checkpoint never goes back.
"""

import time
from collections.abc import Callable, Sequence
from threading import RLock

from msgspec import Struct

from monitor import conditions
from monitor.alerts import Alert, LieError
from monitor.config import Config
from monitor.source import Source, runs
from monitor.standing import RUN, Standing
from monitor.state import State, Verified
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import encode_base64, sha256
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.note import UnverifiedNote

_UNHEARD = 3
"""Rounds in a row without an answer until it is told: one may be a deployment."""
_PATIENCE = 10.0
"""Seconds that a checkpoint waits for a round: the log asks again."""
_MEMORY = "follow"
_TAINTED, _SHOWN, _UNKNOWN = "tainted", "shown", "unknown"


class Outcome(Struct, frozen=True):
    """How a round ended: `outcome` is clean, alerts or unchecked, `found` in words."""

    outcome: str
    found: str
    size: int


class Follower:
    """One monitor of one log.

    Args:
        config: which log it is, and what the policy holds it to.
        state: monitor.db, which this alone writes.
        source: what the log serves.
        standing: what was read of it.
        clock: unix seconds.
        step: told the name of each step; tests kill the process in it.
        progress: told how many leaves are verified, of how many.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, each a thing of its own
        self,
        config: Config,
        state: State,
        source: Source,
        standing: Standing,
        *,
        clock: Callable[[], int],
        step: Callable[[str], None] = lambda _name: None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._log = config.log
        self._skew = config.policy.clock_skew
        self._first = config.first
        self._state = state
        self._source = source
        self._standing = standing
        self._clock = clock
        self._step = step
        self._progress = progress
        self._unheard = 0
        # A round, and a checkpoint that the log wants cosigned: one after the other.
        self._lock = RLock()

    def round(self) -> Outcome:
        """Look once: at all that is new, and at how the log is."""
        with self._lock:
            began = time.monotonic()
            before = self._state.newest_seq()
            problem = self._look() or self.unknown()
            raised = self._state.alerts_after(before, 1000)
            wrong = [one.kind for one in self._state.conditions()]
            size = self._size()
            if raised or self.tainted() or set(wrong) - {"unreachable"}:
                kinds = sorted({alert.kind for _, alert in raised} | set(wrong))
                found = ", ".join(kinds) or f"it has lied before: {self.tainted()}"
                outcome = Outcome("alerts", found, size)
            elif problem is not None:
                outcome = Outcome("unchecked", problem, size)
            else:
                outcome = Outcome("clean", f"{size} leaves verified", size)
            took = round((time.monotonic() - began) * 1000)
            with self._state.transaction():
                self._state.add_round(
                    time=self._clock(),
                    took_ms=took,
                    size=size,
                    outcome=outcome.outcome,
                    found=outcome.found,
                )
            self._step("round-kept")
            return outcome

    def vouch(self, note: bytes) -> None:
        """Follow a checkpoint that is not published yet; return only if all is clean.

        Raises:
            VerificationError: the log lies, or has lied before.
            UncheckedError: it could not be read, or a round takes long.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            message = "busy with a round: ask again"
            raise UncheckedError(message)
        try:
            checkpoint = open_checkpoint(UnverifiedNote.parse(note), self._log.key)
            try:
                self._follow(checkpoint, note, shown=False)
            except LieError as lie:
                self._tell_lie(lie)
                raise
            if tainted := self.tainted():
                message = f"{self._log.key.name} has lied: {tainted}"
                raise VerificationError(message)
            if unknown := self.unknown():
                raise UncheckedError(unknown)
        finally:
            self._lock.release()

    # --- for those who look elsewhere ------------------------------------------------

    def now(self) -> int:
        """Unix seconds."""
        return self._clock()

    def verified(self) -> Verified | None:
        """How far the log is verified, once a checkpoint is."""
        with self._lock:
            if self._state.log() is None:
                return None
            found = self._state.verified()
            return found if found.note else None

    def raise_alerts(self, alerts: Sequence[Alert]) -> None:
        """Keep what was found elsewhere."""
        with self._lock, self._state.transaction():
            for alert in alerts:
                self._state.raise_alert(alert)
                if alert.kind == "equivocation":
                    self._taint(alert.kind)

    def tainted(self) -> str | None:
        """The kind of the first lie that this log was caught in."""
        return self._state.fact(_MEMORY, _TAINTED)

    def unknown(self) -> str | None:
        """Why not all of the log could be judged, if so.

        That stays: an entry is judged once. A newer version reads the log anew.
        """
        index = self._state.fact(_MEMORY, _UNKNOWN)
        if index is None:
            return None
        return f"entry {index} is of a kind or type that this version does not know"

    # --- a round ---------------------------------------------------------------------

    def _look(self) -> str | None:
        """One look; why it could not be completed, or None."""
        note = b""
        try:
            note = self._source.note()
            checkpoint = self._open(note)
            self._step("checkpoint")
            self._follow(checkpoint, note, shown=True)
        except LieError as lie:
            return self._tell_lie(lie)
        except UncheckedError as error:
            return self._tell_silence(error)
        except (MalformedError, VerificationError) as error:
            # Files of another form than asked for, or that lead nowhere.
            return self._tell_lie(LieError(_about(note), "bad-tiles", str(error)))
        self._unheard = 0
        now, verified = self._clock(), self._state.verified()
        found = conditions.freshness(self._log, self._skew, note, verified.sealed, now)
        self._standing.look(now)
        with self._state.transaction():
            conditions.tell(self._state, self._log.key.name, "unreachable", None, now)
            for kind, wrong in found:
                if not verified.frozen:
                    conditions.tell(self._state, self._log.key.name, kind, wrong, now)
            for alert in self._standing.pass_time(now):
                self._state.raise_alert(alert)
        return None

    def _open(self, note: bytes) -> Checkpoint:
        try:
            return open_checkpoint(UnverifiedNote.parse(note), self._log.key)
        except PcrlogError as error:
            raise LieError(_about(note), "bad-signature", str(error)) from error

    def _tell_lie(self, lie: LieError) -> str:
        """Keep it; in words."""
        alert = lie.alert(self._log.key.name, self._clock())
        with self._state.transaction():
            self._state.raise_alert(alert)
            if lie.kind == "fork":
                self._taint(lie.kind)
        self._step("lie-told")
        return str(lie)

    def _tell_silence(self, error: UncheckedError) -> str:
        self._unheard += 1
        if self._unheard >= _UNHEARD:
            now, origin = self._clock(), self._log.key.name
            with self._state.transaction():
                conditions.tell(self._state, origin, "unreachable", str(error), now)
        return str(error)

    def _taint(self, kind: str) -> None:
        if self.tainted() is None:
            self._state.remember(_MEMORY, _TAINTED, kind)

    # --- from what is verified to what is shown --------------------------------------

    def _size(self) -> int:
        return 0 if self._state.log() is None else self._state.verified().size

    def _begin(self, note: bytes, checkpoint: Checkpoint) -> None:
        """Begin with a log, or go on with it: the one that the state is of."""
        key = str(self._log.key)
        known = self._state.log()
        if known is None:
            self._check_first(note, checkpoint)
            with self._state.transaction():
                self._state.begin(key, note, self._clock())
        elif known[0] != key:
            message = (
                f"the state is of {known[0]}, the policy's key is {key}: name another"
                " folder for another log"
            )
            raise UsageError(message)
        self._standing.load(checkpoint)

    def _check_first(self, note: bytes, checkpoint: Checkpoint) -> None:
        if self._first is None:
            return
        size, root = self._first
        pinned = Checkpoint(checkpoint.origin, size, root)
        if checkpoint.size < size:
            words = f"it has {checkpoint.size} leaves, and {size} are pinned as `first`"
            raise LieError(_about(note), "rollback", words)
        try:
            self._source.consistency(pinned, checkpoint)
        except VerificationError as error:
            words = f"it does not contain the pinned first checkpoint: {error}"
            raise LieError(_about(note), "fork", words) from error

    def _follow(self, new: Checkpoint, note: bytes, *, shown: bool) -> None:
        """Verify all leaves up to a checkpoint.

        Args:
            new: signed by the log.
            note: its bytes.
            shown: whether the log shows it to everybody.

        Raises:
            LieError: it is not of the history that was verified.
        """
        self._begin(note, new)
        verified = self._state.verified()
        largest = int(self._state.fact(_MEMORY, _SHOWN) or "0")
        if shown and new.size < largest:
            words = f"it shows {new.size} leaves, and has shown {largest}"
            raise LieError(_about(note), "rollback", words)
        tree = Checkpoint(new.origin, verified.size, verified.tree().root())
        if new.size <= verified.size:
            self._compare(new, note, tree, verified)
        for start, stop in runs(verified.size, new.size, RUN):
            self._take(start, stop, new, note)
        with self._state.transaction():
            verified = self._state.verified()
            if new.size == verified.size:
                # The same checkpoint may have got more cosignatures.
                self._state.advance(
                    Verified(
                        verified.size,
                        verified.subtrees,
                        note,
                        verified.sealed,
                        verified.frozen,
                    ),
                    (),
                )
            if shown:
                self._state.remember(_MEMORY, _SHOWN, str(new.size))

    def _compare(
        self, new: Checkpoint, note: bytes, tree: Checkpoint, verified: Verified
    ) -> None:
        """A checkpoint of no more leaves than are verified, against these."""
        if new == tree:
            return
        if new.size == tree.size:
            words = f"two trees of {new.size} leaves"
            evidence = self._standing.keep_fork(verified.note, note)
            raise LieError(_about(note), "fork", words, evidence)
        if new.size == 0:
            return
        try:
            self._source.consistency(new, tree)
        except (VerificationError, TransportError) as error:
            self._refuse_tree(new, note, verified, error)

    def _take(self, start: int, stop: int, new: Checkpoint, note: bytes) -> None:
        """Verify leaves [start, stop): the tree, then each, then the index."""
        leaves = self._source.leaves(start, stop, new.size)
        self._step("leaves-read")
        verified = self._state.verified()
        tree = self._standing.grown(leaves)
        try:
            self._source.consistency(tree, new)
            if stop == new.size and tree != new:
                message = f"the leaves lead to root {tree.root.hex()}"
                raise VerificationError(message)  # noqa: TRY301 - as the tiles say
        except VerificationError as error:
            self._refuse_tree(new, note, verified, error)
        now = self._clock()
        run = self._standing.take(leaves, new, note, now)
        self._step("judged")
        with self._state.transaction():
            self._state.advance(run.verified, run.identities)
            for alert in run.alerts:
                self._state.raise_alert(alert)
            run.remember(self._state)
            if run.lie is not None:
                self._taint(run.lie)
            if run.unknown is not None and self.unknown() is None:
                self._state.remember(_MEMORY, _UNKNOWN, str(run.unknown))
        self._step("alerts-committed")
        self._standing.commit(last=stop == new.size)
        self._step("index-committed")
        self._progress(stop, new.size)

    def _refuse_tree(
        self, new: Checkpoint, note: bytes, verified: Verified, error: PcrlogError
    ) -> None:
        """Say what is wrong when leaves or tiles do not lead to the signed root.

        If the tiles lead to that root, but from another history than ours, then the log
        signed both: a fork. Else they lead nowhere, which is no proof of anything.
        """
        self._standing.forget()
        if verified.note:
            evidence = self._standing.keep_fork(verified.note, note)
            if evidence is not None:
                words = f"{new.size} leaves that do not extend what was verified"
                raise LieError(_about(note), "fork", words, evidence) from error
        words = f"what it serves does not lead to the root that it signed: {error}"
        raise LieError(_about(note), "bad-tiles", words) from error


def _about(note: bytes) -> str:
    """A checkpoint, named by its text: cosignatures make no other one of it."""
    try:
        checkpoint = Checkpoint.parse(UnverifiedNote.parse(note).text)
    except MalformedError:
        return f"checkpoint {sha256(note).hex()[:16]}"
    return f"checkpoint {checkpoint.size} {encode_base64(checkpoint.root)[:12]}"
