"""Brings answers from other threads back to the event loop, many with one call.

To wake a loop costs as much as to answer; whoever has sixty answers wakes it once.
"""

import asyncio
import contextlib
from collections import deque

from log_server.files import Answer


class Reply:
    """An answer to come: `deliver` it in any thread, wait for `answer` in the loop."""

    def __init__(self, replies: "Replies", answer: "asyncio.Future[Answer]") -> None:
        self._replies = replies
        self.answer = answer

    def deliver(self, answer: Answer) -> None:
        """Answer; a second time is without effect."""
        self._replies.bring(self.answer, answer)


class Replies:
    """The answers to come of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._brought: deque[tuple[asyncio.Future[Answer], Answer]] = deque()
        # Whether the loop will look. Threads may set it twice, which wakes it twice;
        # it is unset before the loop looks, so nothing that was brought is missed.
        self._rung = False

    def expect(self) -> Reply:
        """A new one; in the loop."""
        return Reply(self, self.loop.create_future())

    def bring(self, future: "asyncio.Future[Answer]", answer: Answer) -> None:
        """Have the loop look for an answer soon."""
        self._brought.append((future, answer))
        if not self._rung:
            self._rung = True
            # A loop that is closed has nobody in it who waits.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._rung = False
        while self._brought:
            future, answer = self._brought.popleft()
            if not future.done():
                future.set_result(answer)
