"""The queue of alerts: each sink takes every alert, in order, at least once.

The queue is monitor.db itself, whose alerts are numbered and never deleted; delivery.db
remembers how far each sink has come (ledger.py). A sink has a thread of its own: one
that fails or hangs holds up nobody else, and no round.

    read the next alert -> hand it over -> write down that it was taken -> the next one

A crash between the second and the third repeats that alert; none is left out. A sink
that refuses is asked again after 1 s, 2 s, 4 s ... 5 min, or after its Retry-After if
that is longer (an hour at most), for as long as it takes: nothing is skipped.

>>> retry = Retry()
>>> [retry.pause(failures, None) for failures in (1, 2, 3, 20)], retry.pause(1, 30)
([1.0, 2.0, 4.0, 300.0], 30.0)
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from monitor import config
from monitor.alerts import Alert
from monitor.ledger import Ledger, SinkStanding, standings
from monitor.mail import SmtpSink
from monitor.sinks import RefusedError, Sink, StdoutSink
from monitor.state import State
from monitor.webhook import WebhookSink
from pcrlog.encoding import printable

_log = logging.getLogger(__name__)
_AT_ONCE = 100
_LOOK_SECONDS = 30.0
"""A sink looks now and then even if nobody wakes it: another process may raise one."""
_CLOSE_SECONDS = 5.0
_GROWTH = 32  # doublings; far beyond the longest pause


class Retry(Struct, frozen=True):
    """Seconds between attempts: `first`, doubled up to `most`; or what the sink asks.

    `longest` bounds what a sink may ask for.
    """

    first: float = 1.0
    most: float = 300.0
    longest: float = 3600.0

    def pause(self, failures: int, retry_after: int | None) -> float:
        """The pause after so many failures in a row."""
        grown = min(self.first * 2.0 ** min(failures - 1, _GROWTH), self.most)
        return max(grown, min(float(retry_after or 0), self.longest))


# --- one sink -------------------------------------------------------------------------


class Pace(Struct, frozen=True):
    """What couriers share: unix seconds, who is told each step's name, the pauses."""

    clock: Callable[[], int]
    step: Callable[[str], None]
    retry: Retry


class Courier:
    """Brings alerts to one sink; for one thread.

    Args:
        name: of the sink.
        sink: what takes them.
        state: monitor.db, to read.
        ledger: delivery.db.
        pace: the clock, the steps, the pauses.
    """

    def __init__(
        self, name: str, sink: Sink, state: State, ledger: Ledger, pace: Pace
    ) -> None:
        self.name = name
        self.delivered = ledger.delivered(name)
        self.ended = threading.Event()
        self.progress = threading.Condition()
        self._sink = sink
        self._state = state
        self._ledger = ledger
        self._clock, self._step, self._retry = pace.clock, pace.step, pace.retry
        self._failures = 0
        self._said: str | None = None
        # Taken, and perhaps not written down yet: it is not sent twice for that.
        self._taken = self.delivered
        self._words: str | None = None

    def work(self) -> float | None:
        """Hand over what waits, until one is refused.

        Returns:
            Seconds after which to try again; None: nothing waits.
        """
        try:
            while waiting := self._state.alerts_after(self.delivered, _AT_ONCE):
                for seq, alert in waiting:
                    if self.ended.is_set():
                        return None
                    self._hand_over(seq, alert)
        except RefusedError as error:
            return self._fail(str(error), error.retry_after)
        except Exception as error:  # noqa: BLE001 - see below
            # A mistake of ours, or a disk that is full, must not end this thread.
            _log.exception("sink %s", self.name)
            return self._fail(f"{type(error).__name__}: {error}", None)
        return None

    def close(self) -> None:
        """Let go of the sink and the files."""
        self._sink.close()
        self._state.close()
        self._ledger.close()

    def _hand_over(self, seq: int, alert: Alert) -> None:
        if seq > self._taken:
            self._step(f"deliver-{self.name}")
            self._words = self._sink.deliver(alert, self._clock())
            self._taken = seq
            self._step(f"delivered-{self.name}")
        self._ledger.keep_taken(self.name, seq, self._words)
        self._step(f"delivery-committed-{self.name}")
        with self.progress:
            self.delivered = seq
            self.progress.notify_all()
        self._failures = 0
        self._say(self._words)

    def _fail(self, problem: str, retry_after: int | None) -> float:
        self._failures += 1
        words = printable(problem)
        try:
            self._ledger.keep_refused(self.name, self._clock(), words)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("sink %s: cannot write that it refuses", self.name)
        self._say(words)
        return self._retry.pause(self._failures, retry_after)

    def _say(self, words: str | None) -> None:
        if words is not None and words != self._said:
            _log.warning("sink %s: %s", self.name, words)
        elif words is None and self._said is not None:
            _log.warning("sink %s takes alerts again", self.name)
        self._said = words


class Delivery:
    """All sinks of a configuration, each on its thread.

    Make it before the first round: what is raised from then on reaches every sink.

    Args:
        settings: whose sinks.
        stdout: where a sink of kind stdout prints.
        clock: unix seconds.
        step: told the name of each step, on the thread of a sink; tests kill the
            process in it.
        retry: how long to wait between attempts.

    Raises:
        UsageError: a sink that cannot work: a secret that cannot be read, a wrong port.
    """

    def __init__(
        self,
        settings: config.Config,
        stdout: BinaryIO,
        clock: Callable[[], int],
        *,
        step: Callable[[str], None] = lambda _name: None,
        retry: Retry | None = None,
    ) -> None:
        self._settings = settings
        self._path = settings.state / "monitor.db"
        sinks = {
            one.name: open_sink(one, settings.folder, stdout)
            for one in settings.settings.sink
        }
        book = settings.state / "delivery.db"
        ledger, state = Ledger(book), State(self._path, read_only=True)
        ledger.enrol(list(sinks), state.newest_seq())
        state.close()
        ledger.close()
        pace = Pace(clock, step, retry or Retry())
        self._threads = [
            _Runner(
                Courier(
                    name, sink, State(self._path, read_only=True), Ledger(book), pace
                )
            )
            for name, sink in sinks.items()
        ]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that alerts were committed."""
        for thread in self._threads:
            thread.awake.set()

    def drain(self, seconds: float) -> bool:
        """Wait until every sink has taken all that is committed by now.

        Returns:
            Whether all is taken; False: the time was over before.
        """
        state = State(self._path, read_only=True)
        newest = state.newest_seq()
        state.close()
        self.wake()
        until = time.monotonic() + seconds
        return all(thread.reached(newest, until) for thread in self._threads)

    def standings(self) -> list[SinkStanding]:
        """How each sink is."""
        return standings(self._settings)

    def close(self) -> None:
        """Stop; a sink that hangs is left to itself, its alert will be sent again."""
        for thread in self._threads:
            thread.courier.ended.set()
        self.wake()
        until = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
            elif thread.ident is None:
                thread.courier.close()


class _Runner(threading.Thread):
    """The thread of one sink."""

    def __init__(self, courier: Courier) -> None:
        super().__init__(name=f"sink-{courier.name}", daemon=True)
        self.courier = courier
        self.awake = threading.Event()

    def run(self) -> None:
        """Deliver until the end."""
        courier = self.courier
        try:
            while not courier.ended.is_set():
                # First forget that somebody called, then look: no call is missed.
                self.awake.clear()
                pause = courier.work()
                if pause is None:
                    self.awake.wait(_LOOK_SECONDS)
                else:
                    # Whoever calls meanwhile does not make a sink that refuses willing.
                    courier.ended.wait(pause)
        finally:
            courier.close()

    def reached(self, seq: int, until: float) -> bool:
        """Wait until the alert of this number is taken; whether it is."""
        with self.courier.progress:
            return self.courier.progress.wait_for(
                lambda: self.courier.delivered >= seq,
                max(0.0, until - time.monotonic()),
            )


def open_sink(settings: config.Sink, folder: Path, stdout: BinaryIO) -> Sink:
    """The sink that a [[sink]] describes.

    Raises:
        UsageError: it cannot work as it is described.
    """
    match settings:
        case config.Webhook():
            return WebhookSink(settings, folder)
        case config.Smtp():
            return SmtpSink(settings, folder)
        case config.Stdout():
            return StdoutSink(stdout)
