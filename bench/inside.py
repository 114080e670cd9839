"""Where the time of an entry goes in the sequencer, in a small log and in large ones.

Clocks around the parts of a round, while the loader of `bench/grown.py` has it decide
statements. What a profile of the same run says beyond that is in docs/performance.md;
what grows with the log is what touches pages that no other entry of a batch touches.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

from log_server import sequencer as rounds
from log_server.draft import Draft
from log_server.ledger import Ledger
from log_server.publisher import Publisher

P = ParamSpec("P")
T = TypeVar("T")

_PARTS: tuple[tuple[str, object, str], ...] = (
    ("read, and its signature checked, in threads", rounds, "look_ahead"),
    ("judged, and its index keys found", rounds, "_decide"),
    ("index trie: pages read, hashed", Draft, "grow_index"),
    ("commit: rows, WAL, sync", Ledger, "append"),
    ("files, and the checkpoint", Publisher, "publish"),
    ("the WAL moved into the file", Ledger, "tidy"),
)
_REST, _WHOLE = "the rest", "all of it"


class Inside(NamedTuple):
    """Microseconds an entry, by part, while a log grew from one size to another."""

    first: int
    last: int
    parts: dict[str, float]


class Clocks:
    """Clocks around the parts of `Sequencer.round`, for one stretch after the other."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._spent: dict[str, float] = {}
        self._began = time.perf_counter()

    def clocked(self, name: str, function: Callable[P, T]) -> Callable[P, T]:
        """A function whose time is kept under a name."""

        def call(*args: P.args, **options: P.kwargs) -> T:
            began = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent = time.perf_counter() - began
                self._spent[name] = self._spent.get(name, 0) + spent

        return call

    def stop(self, last: int) -> Inside:
        """What an entry took since the last stop; the next stretch begins."""
        number, now = max(1, last - self._first), time.perf_counter()
        parts = {name: self._spent.get(name, 0.0) for name, _, _ in _PARTS}
        whole = now - self._began
        parts[_REST] = whole - sum(parts.values())
        parts[_WHOLE] = whole
        found = Inside(
            self._first, last, {name: 1e6 * s / number for name, s in parts.items()}
        )
        self._first, self._began, self._spent = last, now, {}
        return found


@contextmanager
def clocks(first: int) -> Iterator[Clocks]:
    """Clocks on the one sequencer of this process, for as long as it lasts."""
    found = Clocks(first)
    before = [(where, name, getattr(where, name)) for _, where, name in _PARTS]
    for part, where, name in _PARTS:
        setattr(where, name, found.clocked(part, getattr(where, name)))
    try:
        yield found
    finally:
        for where, name, function in before:
            setattr(where, name, function)


def head_of(found: Sequence[Inside]) -> list[str]:
    """Of a table: the stretches."""
    return ["us an entry", *(f"{one.first:,} to {one.last:,}" for one in found)]


def rows_of(found: Sequence[Inside]) -> list[list[str]]:
    """Of a table: microseconds an entry, a part a row."""
    names = [*(name for name, _, _ in _PARTS), _REST, _WHOLE]
    return [[name, *(f"{one.parts[name]:.0f}" for one in found)] for name in names]
