"""Verifies the signatures of many statements at once, on all processors.

The crypto library lets go of the interpreter lock while it works, so threads gain what
there are processors. One signature is verified by whoever asks: to hand it over would
take longer.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from pcrlog.errors import PcrlogError
from pcrlog.keys import Owed

Verdicts: TypeAlias = list[PcrlogError | None]
"""For each statement: None, or why it is refused."""

_WORTH_A_THREAD = 8
"""Statements; each takes 0.1 ms, and a thread as long to begin."""


class Signatures:
    """Threads that verify; `close` them when they are of no more use."""

    def __init__(self) -> None:
        self._threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="signatures")

    def verify(self, statements: Sequence[Sequence[Owed]]) -> Verdicts:
        """Verify all that is owed for each statement."""
        if len(statements) < _WORTH_A_THREAD:
            return _verify(statements)
        step = -(-len(statements) // self._threads)
        parts = [statements[i : i + step] for i in range(0, len(statements), step)]
        return [one for part in self._pool.map(_verify, parts) for one in part]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _verify(statements: Sequence[Sequence[Owed]]) -> Verdicts:
    return [_verdict(owed) for owed in statements]


def _verdict(owed: Sequence[Owed]) -> PcrlogError | None:
    try:
        for one in owed:
            one.verify()
    except PcrlogError as error:
        return error
    return None
