"""A monitor at work: rounds, comparisons, probes; what they found is delivered.

    round     follow the log (follow.py); then compare and probe what is due
    deliver   threads, one a sink, take alerts from monitor.db (deliver.py)
    vouch     an index monitor's part: a checkpoint that the log has not published yet

Everything that a round found is in monitor.db before anybody is told of it, so a crash
anywhere here repeats, and loses nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import BinaryIO

from monitor.alerts import Alert
from monitor.config import Config, seconds
from monitor.deliver import Delivery
from monitor.evidence_files import EvidenceFiles
from monitor.follow import Follower, Outcome
from monitor.indexing import IndexProcess
from monitor.live import Live
from monitor.locking import exclusively
from monitor.sinks import Heartbeat
from monitor.source import Source
from monitor.standing import Standing
from monitor.state import VIEWS, State, Verified
from monitor.views import Views
from pcrlog.transport import Client

_PREDECESSOR_SECONDS = 5
"""A worker outlives a `run` that was killed by the time that it takes to notice."""
_DRAIN = 60.0
"""Seconds that `--once` waits for its sinks; what is left waits for the next run."""


class Hooks:
    """What the outside may watch: tests kill the process in a step."""

    def __init__(
        self,
        step: Callable[[str], None] = lambda _name: None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        ended: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> None:
        self.step = step
        self.progress = progress
        self.ended = ended


class Monitor:
    """One monitor of one log; `open_monitor` makes it."""

    def __init__(
        self,
        config: Config,
        follower: Follower,
        delivery: Delivery,
        beside: "Beside",
        hooks: Hooks,
    ) -> None:
        self.follower = follower
        self.delivery = delivery
        self.views, self.live = beside.views, beside.live
        self._beside = beside
        self._config = config
        self._hooks = hooks
        self._poll = seconds(config.settings.poll)
        beat = config.settings.heartbeat
        self._heartbeat = None if beat is None else Heartbeat(beat, time.monotonic)

    def once(self) -> int:
        """One round, told to everybody; the exit status."""
        self.delivery.start()
        outcome = self.round()
        if not self.delivery.drain(_DRAIN) and outcome.outcome == "clean":
            return 3
        if self._heartbeat is not None:
            self._heartbeat.close()
        return {"clean": 0, "alerts": 4, "unchecked": 3}[outcome.outcome]

    def run(self, ending: Event) -> None:
        """Round after round until `ending`."""
        self.delivery.start()
        threading.Thread(target=self._end, args=(ending,), daemon=True).start()
        while not ending.is_set():
            began = time.monotonic()
            self.round()
            ending.wait(max(0.0, began + self._poll - time.monotonic()))

    def _end(self, ending: Event) -> None:
        """A first round on a large log takes long: end it between two runs."""
        ending.wait()
        self.follower.ending.set()

    def round(self) -> Outcome:
        """Look at everything that is to be looked at now."""
        outcome = self.follower.round()
        verified = self.follower.verified()
        alerts = self._beside.look(verified, self.follower.now())
        self.follower.raise_alerts(alerts)
        if kinds := {*(alert.kind for alert in alerts), *self.live.wrong()}:
            found = ", ".join(sorted(kinds))
            outcome = Outcome("alerts", found, outcome.size)
        self.delivery.wake()
        self._hooks.ended(outcome)
        if self._heartbeat is not None and outcome.outcome != "unchecked":
            self._heartbeat.beat()
        return outcome

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Raise alerts that were found elsewhere, and have them delivered."""
        self.follower.raise_alerts(alerts)
        self.delivery.wake()

    def vouch(self, note: bytes) -> None:
        """See `Follower.vouch`; what was found is delivered."""
        try:
            self.follower.vouch(note)
        finally:
            self.delivery.wake()


class Beside:
    """What is looked at beside the log: others who saw it, enclaves in use.

    Args:
        state: monitor.db by a connection of its own, since a checkpoint may be vouched
            for meanwhile.
        views: who else has seen the log.
        live: the enclaves.
    """

    def __init__(self, state: State, views: Views, live: Live) -> None:
        self.views = views
        self.live = live
        self._state = state

    def look(self, verified: Verified | None, clock: int) -> list[Alert]:
        """What others say of the log, and what enclaves say of themselves."""
        alerts: list[Alert] = []
        now = time.monotonic()
        if verified is not None and self.views.due(now):
            alerts += self.views.look(verified)
            self._keep_problems()
        if self.live.due(now):
            alerts += self.live.look(clock)
        return alerts

    def _keep_problems(self) -> None:
        """Let pages and `status` know of views that could not be asked."""
        problems, known = self.views.problems, self._state.facts(VIEWS)
        for name in problems.keys() | known.keys():
            if problems.get(name) != known.get(name):
                self._state.remember(VIEWS, name, problems.get(name))


@contextmanager
def open_monitor(
    config: Config, clock: Callable[[], int], stdout: BinaryIO, hooks: Hooks
) -> Iterator[Monitor]:
    """A monitor, and all that it stands on, in its folder.

    Raises:
        LockedError: another process runs on this folder.
        UsageError: a setting makes no sense; a database is of another log.
    """
    folder = config.state
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(exclusively(folder, _PREDECESSOR_SECONDS))
        state = State(folder / "monitor.db")
        stack.callback(state.close)
        source = Source(lambda: Client(config.log.url), config.log, clock)
        stack.callback(source.close)
        index = IndexProcess(folder / "index.db")
        stack.callback(index.close)
        evidence = EvidenceFiles(folder / "evidence", config.log.key)
        standing = Standing(config, state, source, index, evidence, hooks.progress)
        follower = Follower(
            config,
            state,
            source,
            standing,
            clock=clock,
            step=hooks.step,
            progress=hooks.progress,
        )
        delivery = Delivery(config, stdout, clock, step=hooks.step)
        stack.callback(delivery.close)
        views = Views(config, source, evidence, clock)
        stack.callback(views.close)
        other = State(folder / "monitor.db")
        stack.callback(other.close)
        beside = Beside(other, views, Live(config, other, clock))
        yield Monitor(config, follower, delivery, beside, hooks)
