"""Threads that carry questions to witnesses, each to one, and bring back its answers.

A slow witness must hold up nobody but itself, and certainly not the end of the process:
so each has a thread that nobody waits for (a daemon), and all answers come back through
one queue. A courier knows nothing of what it carries; whoever reads the queue judges,
and is the only one who touches log.db.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from pcrlog import limits
from pcrlog.exchange import Answer, Exchange
from pcrlog.witness import ADD_CHECKPOINT

T = TypeVar("T")


class Courier(Generic[T]):
    """The way to one witness; `T` is what a question is known by when it comes back.

    Args:
        url: the witness's submission prefix.
        timeout: seconds without a byte after which there is no answer.
        back: called in the courier's thread, with the question and what came of it.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        back: Callable[[T, Answer | Exception], None],
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._back = back
        self._questions: SimpleQueue[tuple[T, bytes] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=url, daemon=True)
        self._thread.start()

    def send(self, question: T, body: bytes) -> None:
        """Have `body` posted to add-checkpoint; returns at once."""
        self._questions.put((question, body))

    def close(self) -> None:
        """End the thread when it has come back; does not wait for that."""
        self._questions.put(None)

    def _run(self) -> None:
        exchange = Exchange(self._url, timeout=self._timeout)
        while (asked := self._questions.get()) is not None:
            question, body = asked
            try:
                answer = exchange.post(ADD_CHECKPOINT, body, limits.NOTE)
            except Exception as error:  # noqa: BLE001 - judged by whoever reads it
                self._back(question, error)
            else:
                self._back(question, answer)
        exchange.close()
