"""Is this machine's clock fit to seal with? A seal's time cannot be taken back.

The time of a seal is what clients call fresh, and no later seal is ever earlier. Sealed
once with a time far ahead, a log is of no use to anybody until real time has come so
far; and nothing in the log can say that it was a mistake. So the sequencer asks before
each batch, before it judges anything:

1. not more than SKEW behind the last seal: either this clock is behind, or the one that
   sealed was ahead. Less is borne, and the last time repeated.
2. while the process runs: the clock went at most SKEW further than the system's
   steady one (CLOCK_BOOTTIME, which counts a suspended machine's time, too). Backwards
   it may be set as far as 1 allows.
3. at a start, with nothing to compare with: the clock is at most a DAY ahead of the
   last seal, since a log that runs seals at least once a day; or a quorum of witnesses
   has just cosigned at its time.

What is refused by 2 or 3 may be right all the same: the machine was paused by its host,
or the log stood still for a week. Then the operator says so, by the time of a file that
was touched less than CONFIRMED seconds ago, by the same clock. Nothing lifts 1: nobody
could use such a seal.

While the clock is refused nothing is decided, and nothing is lost: what was promised
waits in intake.db, and what is published is served.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from pcrlog.errors import UncheckedError

SKEW = 300
"""Seconds that policies allow between a client's clock and ours, by default."""
DAY = 86_400
"""Seconds: the longest heartbeat that log.toml can ask for."""
CONFIRMED = 600
"""Seconds for which an operator's word holds: until the next seal has its time."""


class ClockError(UncheckedError):
    """The clock is not fit to seal with."""


def boot_seconds() -> float:
    """The system's steady clock, which nobody sets: seconds since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockCheck:
    """The time for the next seal, or an error.

    Args:
        clock: unix seconds.
        confirmed: the file that an operator touches; its time is the word.
        vouched: whether a quorum of witnesses has just cosigned at this clock's time.
        steady: seconds that go on evenly.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        confirmed: Path,
        *,
        vouched: bool = False,
        steady: Callable[[], float] = boot_seconds,
    ) -> None:
        self._clock = clock
        self._confirmed = confirmed
        self._steady = steady
        # How far the clock is ahead of the steady one: from the last time that it was
        # found right. None until then.
        self._offset = clock() - steady() if vouched else None

    def __call__(self, last: int) -> int:
        """Unix seconds, fit for a seal after one of the time `last` (0: the first one).

        Raises:
            ClockError: the clock is behind, or it leapt ahead.
        """
        now, steady = self._clock(), self._steady()
        if now < last - SKEW:
            message = (
                f"the clock is {last - now} s behind the last seal, at most {SKEW} s"
                " are borne: nothing is decided until it is right. Set it right; if it"
                " is right, the log was sealed with a wrong time, and has to wait"
            )
            raise ClockError(message)
        offset = now - steady
        if self._offset is None:
            self._require(not last or now - last <= DAY, now, last)
        else:
            leap = offset - self._offset
            self._require(leap <= SKEW, now, last, int(leap))
            if leap < -SKEW:
                # Set back; should it be set right again, that is no leap.
                return now
        self._offset = offset
        return now

    def _require(self, condition: object, now: int, last: int, leap: int = 0) -> None:
        if condition or self._is_confirmed(now):
            return
        what = f"leapt ahead by {leap} s" if leap else f"is over a day ({DAY} s) ahead"
        message = (
            f"the clock {what}; it is {now - last} s after the last seal: nothing is"
            " decided until it is right. Set it right; if it is right, say so:"
            f" touch {self._confirmed}"
        )
        raise ClockError(message)

    def _is_confirmed(self, now: int) -> bool:
        try:
            said = self._confirmed.stat().st_mtime
        except OSError:
            return False
        return abs(now - said) <= CONFIRMED


class Refusal:
    """Says on stderr and in a file, for /healthz, that the clock is refused; once.

    The file is trusted for nothing else, and replaced as a whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = False
        # A process that was killed leaves its file.
        self._left = True

    def tell(self, error: ClockError) -> None:
        """The clock is refused."""
        if not self._said:
            self._said = True
            new = self._path.with_name(f".{self._path.name}.new")
            new.write_text(f"{error}\n", "utf-8")
            new.replace(self._path)
            _say(str(error))

    def withdraw(self) -> None:
        """The clock is right, again."""
        if self._said or self._left:
            self._path.unlink(missing_ok=True)
        if self._said:
            _say("the clock is right again")
        self._said = self._left = False

    @staticmethod
    def read(path: Path) -> str:
        """Why the clock is refused; empty if it is not."""
        try:
            return path.read_text("utf-8").strip()
        except OSError:
            return ""


def _say(words: str) -> None:
    sys.stderr.write(f"sequencer: {words}\n")
    sys.stderr.flush()
