"""Split views: what others have seen of the log, held against what it shows us.

A log can show us one history and somebody else another one only as long as nobody
compares. Now and then each `[[view]]` is asked for the checkpoint that it holds: a
witness for the last one that it cosigned (C2SP tlog-witness, its monitoring endpoint),
another monitor for the one that it publishes. comparison.py says what becomes of it.

What a log signed and then neither shows nor has tiles for is told as a `rollback` once
it is old enough: by the time of a cosignature that the policy knows, else by how long
we have known of it. Whoever does not answer is no alarm about the log: a problem, for
the status page.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from msgspec import Struct

from monitor.alerts import Alert
from monitor.comparison import Comparer, Comparison, Shown, named
from monitor.config import Config, View, seconds
from monitor.evidence_files import EvidenceFiles
from monitor.state import Verified
from pcrlog import limits
from pcrlog.checkpoint import cosignatures
from pcrlog.encoding import printable
from pcrlog.errors import PcrlogError, TransportError
from pcrlog.exchange import Answer, Exchange
from pcrlog.note import UnverifiedNote
from pcrlog.witness import monitoring_path

WITHHELD = 120
"""Seconds after which a log should show what it signed: its tiles come first."""
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


class _Seen(Struct, frozen=True):
    """A view's checkpoint, and since when (unix seconds) the log could show it."""

    comparison: Comparison
    since: int


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
        self._cosigners = [key for one in quorums if one for key in one.keys]
        self.comparer = Comparer(config.log.key, log, evidence)
        self._clock = clock
        self._connect = connect
        self._monotonic = monotonic
        self._patience = _FIRST
        self._views = config.settings.view
        # By place: monotonic seconds of when to ask next.
        self._next = dict.fromkeys(range(len(self._views)), -math.inf)
        self._asked: dict[int, Asked] = {}
        self._pending: dict[int, Future[_Seen]] = {}
        # By place: unix seconds since when the log shows less than they hold.
        self._unshown: dict[int, int] = {}
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
        before = self._unshown.pop(place, None)
        try:
            seen = future.result()
        except PcrlogError as error:
            self._problems[view.name] = printable(str(error), _PROBLEM)
            return None
        found, now = seen.comparison, self._clock()
        if found.verdict == "unchecked":
            self._problems[view.name] = printable(found.found, _PROBLEM)
        if found.verdict != "newer" or found.checkpoint is None:
            return found.alert(self._origin, f"{view.name} shows", now)
        about, since = named(found.checkpoint), seen.since
        if before is not None:
            # Whatever it shows now, the log has owed us more than it shows since then.
            since = min(since, before)
        self._unshown[place] = since
        if now - since < WITHHELD:
            return None
        words = f"{view.name} shows: {found.found}, {now - since} s later"
        return Alert.of("rollback", self._origin, about, words, time=now)

    # --- one view, in a thread of the pool -------------------------------------------

    def _see(self, place: int, view: View, verified: Verified) -> _Seen:
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
        note = answer.body
        frozen = verified.frozen
        found = self.comparer.compare(note, verified.note, frozen=frozen)
        since = self._clock()
        if found.verdict == "newer":
            times = cosignatures(UnverifiedNote.parse(note), self._cosigners)
            since = min(since, *times.values()) if times else since
        return _Seen(found, since)
