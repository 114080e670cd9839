"""How much all bodies that are on their way may hold together.

Whoever sends them: a bound by address would not bound the sum. Batches have a room of
their own beyond the first bytes of each, so that they cannot take that of single
envelopes.
"""

from log_server.problems import BusyError
from pcrlog import limits

_SINGLE_ROOM, _BATCH_ROOM = 32 << 20, 64 << 20
"""Bytes that all bodies hold together: of each the first 32 KiB, and what is beyond."""


class Room:
    """How much all bodies together may hold still; for the event loop alone."""

    def __init__(self) -> None:
        self._single, self._batch = _SINGLE_ROOM, _BATCH_ROOM

    def take(self, had: int, more: int) -> None:
        """Let a body that held `had` bytes hold `more`.

        Raises:
            BusyError: there is no room.
        """
        single = min(had + more, limits.ENVELOPE) - min(had, limits.ENVELOPE)
        batch = more - single
        if single > self._single or batch > self._batch:
            message = "too many bodies are on their way"
            raise BusyError(message)
        self._single -= single
        self._batch -= batch

    def give_back(self, held: int) -> None:
        """A body is gone."""
        single = min(held, limits.ENVELOPE)
        self._single += single
        self._batch += held - single

    def held(self) -> int:
        """Bytes of all bodies."""
        return _SINGLE_ROOM - self._single + _BATCH_ROOM - self._batch
