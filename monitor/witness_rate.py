"""How often a log may ask: a daily budget that fills all the time (429).

The witness network gives each log a number of requests a day (`qpd`). Here that is a
bucket of tokens: it holds the share of an hour, or `_LEAST` if that is less, is full at
the start, and fills evenly; a request that would be cosigned takes one. So a log may
ask in bursts, and comes out at its budget over a day.

What grows and what only gets a newer time take from buckets of their own. Only the log
can make a larger checkpoint, but anybody can send the last one again: whoever does can
use up the renewals, and never the growth. Nothing is kept over a restart.

>>> rates = Rates(lambda _origin: 24, lambda: 0.0)
>>> [rates.wait("log.example/pcr", True) for _ in range(_LEAST + 1)][-2:]
[0, 3600]
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

_DAY = 86_400
_HOURS = 24
_LEAST = 10
"""Tokens that any bucket holds: what a log needs after it was down."""
_LONGEST = 3600
"""Seconds that anybody is told to wait."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Rates:
    """The buckets of all logs; for any number of threads.

    Args:
        budget: origin to requests a day, at least 1.
        clock: seconds that never go back (time.monotonic).
    """

    def __init__(
        self, budget: Callable[[str], int], clock: Callable[[], float]
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock. As many as the list ever had logs, twice.
        self._buckets: dict[tuple[str, bool], _Bucket] = {}

    def wait(self, origin: str, grows: bool) -> int:  # noqa: FBT001 - a `witness.Limit`
        """Take a token: 0, or the seconds until there is one."""
        budget = self._budget(origin)
        most = max(_LEAST, budget / _HOURS)
        now = self._clock()
        with self._lock:
            bucket = self._buckets.setdefault((origin, grows), _Bucket(most, now))
            filled = bucket.tokens + (now - bucket.filled) * budget / _DAY
            bucket.tokens, bucket.filled = min(most, filled), now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0
            missing = (1 - bucket.tokens) * _DAY / budget
        return min(math.ceil(missing), _LONGEST)
