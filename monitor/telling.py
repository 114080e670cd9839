"""What `run` says on standard error: how far it is, and how rounds end.

Standard output is for alerts. A round is worth a line if it ended otherwise than the
one before; a long one says how far it is, at most once in some seconds.
"""

import time
from collections.abc import Callable

from monitor.follow import Outcome
from monitor.running import Hooks
from monitor.streams import is_terminal, say

_EVERY_TERMINAL, _EVERY = 0.2, 10.0
_FIRST = 1.0
_CLEAR = "\r\x1b[K"


class Teller:
    """Tells people at a terminal, and files.

    Args:
        origin: of the log.
        write: where to; a whole line, or a part of one on a terminal.
        terminal: whether lines can be overwritten.
    """

    def __init__(
        self,
        origin: str,
        write: Callable[[str], object] = say,
        *,
        terminal: bool | None = None,
    ) -> None:
        self._origin = origin
        self._write = write
        self._terminal = is_terminal() if terminal is None else terminal
        self._every = _EVERY_TERMINAL if self._terminal else _EVERY
        self._last: tuple[str, str] | None = None
        self._began: tuple[float, int] | None = None
        self._next = 0.0

    def hooks(self) -> Hooks:
        """For `open_monitor`."""
        return Hooks(progress=self.progress, ended=self.ended)

    def progress(self, done: int, whole: int) -> None:
        """So many leaves are verified, of so many."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
            self._next = now + _FIRST
            return
        if now < self._next:
            return
        self._next = now + self._every
        since, first = self._began
        rate = (done - first) / (now - since)
        left = (whole - done) / rate if rate else 0
        words = (
            f"{self._origin}: {done:,} of {whole:,} leaves verified,"
            f" {rate:,.0f} a second, {left:,.0f} s to go"
        )
        self._say(words, over=done < whole)

    def ended(self, outcome: Outcome) -> None:
        """A round is over."""
        self._began = None
        new = (outcome.outcome, outcome.found if outcome.outcome != "clean" else "")
        if new == self._last:
            return
        self._last = new
        self._say(f"{self._origin}: {outcome.outcome}: {outcome.found}", over=False)

    def _say(self, words: str, *, over: bool) -> None:
        if self._terminal:
            self._write(_CLEAR + words + ("" if over else "\n"))
        else:
            self._write(words + "\n")
