"""Split views: what others have seen of the log, held against what it shows us.

A log can show us one history and somebody else another one only as long as nobody
compares. Now and then each `[[view]]` is asked for the checkpoint that it holds: a
witness for the last one that it cosigned (C2SP tlog-witness, its monitoring endpoint),
another monitor for the one that it publishes. comparison.py says what becomes of it.

What a log signed and then does not show is told as a `rollback` once it is old enough
(withheld.py). Whoever does not answer is no alarm about the log: a problem, for the
status page.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from monitor.alerts import Alert
from monitor.comparison import Comparer, Comparison, Shown
from monitor.config import Config, View, seconds
from monitor.evidence_files import EvidenceFiles
from monitor.state import Verified
from monitor.withheld import Debts
from pcrlog import limits
from pcrlog.encoding import printable
from pcrlog.errors import PcrlogError, TransportError
from pcrlog.exchange import Answer, Exchange
from pcrlog.witness import monitoring_path

_log = logging.getLogger(__name__)
_AT_ONCE = 8
_FIRST, _LATER = 10.0, 0.05
"""Seconds for which a round waits for them: at first, for `--once`, and ever after.
Who is slower is heard in the next round."""
_OK, _ABSENT = 200, 404
_PROBLEM = 200


class Asked(Protocol):
    """A server that can be asked; `exchange.Exchange` is one."""

    def get(self, path: str, most: int) -> Answer:
        """What lies at a path below its URL."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Views:
    """Others who have seen the log.

    Args:
        config: who they are, how often to ask, whose cosignatures the policy knows.
        log: what the log shows us.
        evidence: where files that prove it wrong go.
        clock: unix seconds.
        connect: makes whatever asks a URL; each is used by one thread at a time.
        monotonic: seconds that only grow.
    """

    def __init__(
        self,
        config: Config,
        log: Shown,
        evidence: EvidenceFiles,
        clock: Callable[[], int],
        connect: Callable[[str], Asked] = Exchange,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = config.log.key.name
        quorums = (config.log.witnesses, config.log.index_monitors)
        debts = Debts(quorums, clock)
        self.comparer = Comparer(config.log.key, log, evidence, debts)
        self._clock = clock
        self._connect = connect
        self._monotonic = monotonic
        self._patience = _FIRST
        self._views = config.settings.view
        # By place: monotonic seconds of when to ask next.
        self._next = dict.fromkeys(range(len(self._views)), -math.inf)
        self._asked: dict[int, Asked] = {}
        self._pending: dict[int, Future[Comparison]] = {}
        self._problems: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, "view")

    def close(self) -> None:
        """End the threads and connections."""
        self._pool.shutdown(cancel_futures=True)
        for one in self._asked.values():
            one.close()

    @property
    def problems(self) -> Mapping[str, str]:
        """Views that could not be asked or compared the last time, and why."""
        return dict(self._problems)

    def due(self, now: float) -> bool:
        """Whether any is to be asked, or has answered; `now` in monotonic seconds."""
        answered = any(one.done() for one in self._pending.values())
        return answered or any(now >= when for when in self._next.values())

    def look(self, verified: Verified) -> list[Alert]:
        """Ask those that are due, hear those that have answered; what to tell.

        Never inside a transaction. Only the first call waits for answers.

        Args:
            verified: what they are held against.
        """
        now = self._monotonic()
        asked = [place for place, when in self._next.items() if now >= when]
        for place in asked if verified.note else ():
            view = self._views[place]
            self._next[place] = now + seconds(view.every)
            if place not in self._pending:
                task = self._pool.submit(self._see, place, view, verified)
                self._pending[place] = task
        wait(self._pending.values(), self._patience)
        self._patience = _LATER
        alerts = [self._conclude(place) for place in sorted(self._pending)]
        return [alert for alert in alerts if alert is not None]

    def _conclude(self, place: int) -> Alert | None:
        """What one of them came to; it is asked again when it has answered."""
        view, future = self._views[place], self._pending[place]
        if not future.done():
            self._problems[view.name] = "it has not answered yet"
            return None
        del self._pending[place]
        self._problems.pop(view.name, None)
        try:
            found = future.result()
        except PcrlogError as error:
            self._problems[view.name] = printable(str(error), _PROBLEM)
            return None
        except Exception as error:  # noqa: BLE001 - no view may end a round
            _log.exception("view %s", view.name)
            words = f"{type(error).__name__}: {error}"
            self._problems[view.name] = printable(words, _PROBLEM)
            return None
        if found.verdict == "unchecked":
            self._problems[view.name] = printable(found.found, _PROBLEM)
        return found.alert(self._origin, f"{view.name} shows", self._clock())

    # --- one view, in a thread of the pool -------------------------------------------

    def _see(self, place: int, view: View, verified: Verified) -> Comparison:
        if place not in self._asked:
            self._asked[place] = self._connect(view.url)
        path = monitoring_path(self._origin) if view.kind == "witness" else ""
        answer = self._asked[place].get(path, limits.NOTE)
        if answer.status == _ABSENT:
            message = f"it has no checkpoint of {self._origin} (404)"
            raise TransportError(message)
        if answer.status != _OK:
            message = f"it answered {answer.status}"
            raise TransportError(message)
        frozen = verified.frozen
        return self.comparer.compare(answer.body, verified.note, frozen=frozen)
