"""Follows a log, round by round: is it honest, and is there anything to tell?

    checkpoint -> held against what was shown before -> all leaves up to it
    (advancing.py) -> quorums, freshness, what time alone has brought

What is wrong with entries, seals or the index is told and passed; the tree goes on, and
nothing is cosigned any more. What is wrong with the tree itself is told, and the round
ends where it was: the last verified checkpoint never goes back.
"""

import time
from collections.abc import Callable, Sequence
from threading import Event, RLock

from msgspec import Struct

from monitor import conditions
from monitor.advancing import Advancer, EndedError
from monitor.alerts import Alert, LieError
from monitor.comparison import named
from monitor.config import Config
from monitor.remembered import Remembered
from monitor.source import Source
from monitor.standing import Standing
from monitor.state import State, Verified
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from pcrlog.note import UnverifiedNote

_UNHEARD = 3
"""Rounds in a row without an answer until it is told: one may be a deployment."""
_PATIENCE = 10.0
"""Seconds that a checkpoint waits for a round: the log asks again."""
_SHOWN = "what it shows"


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
        self._state = state
        self._source = source
        self._standing = standing
        self._clock = clock
        self._step = step
        self._remembered = Remembered(state)
        self._advancer = Advancer(
            config, state, source, standing, clock=clock, step=step, progress=progress
        )
        # A round, and a checkpoint that the log wants cosigned: one after the other.
        self._lock = RLock()

    @property
    def ending(self) -> Event:
        """Set it, and a round that is going on ends soon."""
        return self._advancer.ending

    def round(self) -> Outcome:
        """Look once: at all that is new, and at how the log is."""
        with self._lock:
            began = time.monotonic()
            before = self._state.newest_seq()
            problem = self._look() or self._remembered.unknown()
            outcome = self._outcome(before, problem)
            took = round((time.monotonic() - began) * 1000)
            with self._state.transaction():
                self._state.add_round(
                    time=self._clock(),
                    took_ms=took,
                    size=outcome.size,
                    outcome=outcome.outcome,
                    found=outcome.found,
                )
            self._step("round-kept")
            return outcome

    def _outcome(self, before: int, problem: str | None) -> Outcome:
        raised = {alert.kind for _, alert in self._state.alerts_after(before, 1000)}
        wrong = {one.kind for one in self._state.conditions()}
        size, tainted = self._advancer.size(), self.tainted()
        if raised or tainted or wrong - {"unreachable"}:
            found = ", ".join(sorted(raised | wrong))
            return Outcome("alerts", found or f"it has lied before: {tainted}", size)
        if problem is not None:
            return Outcome("unchecked", problem, size)
        return Outcome("clean", f"{size} leaves verified", size)

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
                self._advancer.advance_to(checkpoint, note, shown=False)
            except LieError as lie:
                self._tell_lie(lie)
                raise
            except (MalformedError, VerificationError) as error:
                found = LieError(named(checkpoint), "bad-tiles", str(error))
                self._tell_lie(found)
                raise found from error
            self._check_clean()
        finally:
            self._lock.release()

    def _check_clean(self) -> None:
        """Raise unless all that is verified is as it should be."""
        if tainted := self.tainted():
            message = f"{self._log.key.name} has lied: {tainted}"
            raise VerificationError(message)
        wrong = {one.kind for one in self._state.conditions()}
        for kind in sorted(wrong.intersection(conditions.SHOWN_LIES)):
            message = f"what {self._log.key.name} shows now is not right: {kind}"
            raise UncheckedError(message)
        if unknown := self._remembered.unknown():
            raise UncheckedError(unknown)
        if self._state.verified().sealed > self._clock() + self._skew:
            message = "its seal is of a time that is yet to come: is a clock wrong?"
            raise UncheckedError(message)

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
                    self._remembered.taint(alert.kind)

    def tainted(self) -> str | None:
        """The kind of the first lie that this log was caught in."""
        return self._remembered.tainted()

    # --- a round ---------------------------------------------------------------------

    def _look(self) -> str | None:
        """One look; why it could not be completed, or None."""
        try:
            note = self._source.note()
            checkpoint = self._open(note)
            self._step("checkpoint")
            self._advancer.meet(checkpoint, note)
            self._advancer.advance_to(checkpoint, note, shown=True)
            now = self._clock()
            self._standing.look(now)
            alerts = self._standing.pass_time(now)
        except LieError as lie:
            return self._tell_lie(lie)
        except EndedError as error:
            return str(error)
        except UncheckedError as error:
            return self._tell_silence(error)
        except (MalformedError, VerificationError) as error:
            # Files of another form than asked for, or that lead nowhere.
            return self._tell_lie(LieError(_SHOWN, "bad-tiles", str(error)))
        self._keep(note, alerts, now)
        return None

    def _keep(self, note: bytes, alerts: Sequence[Alert], now: int) -> None:
        """What is right again, what is wrong for a while, what time has brought."""
        verified, origin = self._state.verified(), self._log.key.name
        found = conditions.freshness(self._log, self._skew, note, verified.sealed, now)
        with self._state.transaction():
            self._remembered.note_heard()
            for ended in ("unreachable", *conditions.SHOWN_LIES):
                self._state.end_condition(ended)
            for kind, wrong in found:
                # After the last seal nothing is ever fresh again.
                held = None if verified.frozen else wrong
                conditions.tell(self._state, origin, kind, held, now)
            for alert in alerts:
                self._state.raise_alert(alert)
            self._standing.keep_facts()
        self._standing.kept()

    def _open(self, note: bytes) -> Checkpoint:
        try:
            return open_checkpoint(UnverifiedNote.parse(note), self._log.key)
        except PcrlogError as error:
            raise LieError(_SHOWN, "bad-signature", str(error)) from error

    def _tell_lie(self, lie: LieError) -> str:
        """Keep it; in words. What may end is told once, until it has ended."""
        origin, now = self._log.key.name, self._clock()
        with self._state.transaction():
            if lie.kind in conditions.SHOWN_LIES:
                words = f"{lie.about}: {lie.found}"
                conditions.tell(self._state, origin, lie.kind, words, now)
            else:
                self._state.raise_alert(lie.alert(origin, now))
                self._remembered.taint(lie.kind)
        self._step("lie-told")
        return str(lie)

    def _tell_silence(self, error: UncheckedError) -> str:
        with self._state.transaction():
            if self._remembered.count_unheard() >= _UNHEARD:
                now, origin = self._clock(), self._log.key.name
                conditions.tell(self._state, origin, "unreachable", str(error), now)
        return str(error)
