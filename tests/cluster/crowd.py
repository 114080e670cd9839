"""Who uses the cluster: submitters that go to any web process, a reader for each.

They are threads of the test, which nothing strikes; see tests/fault/storm_parts.py.
A web process may say here what it may not say there: 503, the database is away.
"""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pcrlog.checkpoint import Checkpoint
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import FULL, Tile, parse_bundle
from tests.cluster.nodes import Node
from tests.fault.storm_parts import World

_SECONDS, _READING = 40, 3
"""For an answer to who submits, and to who reads."""
_LOOK = 0.02
_AWAY = {502, 503}
_NOT_FOUND, _OK = 404, 200
_FAILED = (OSError, http.client.HTTPException)


@dataclass
class Seen:
    """The newest checkpoint that any reader has seen; for any number of threads."""

    size: int = 0
    at: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def show(self, size: int) -> None:
        """A reader has seen this one."""
        with self._changed:
            if size > self.size:
                self.size, self.at = size, time.monotonic()
                self._changed.notify_all()

    def after(self, size: int, seconds: float) -> float | None:
        """When one of more leaves was seen; None: not within so many seconds."""
        with self._changed:
            if self._changed.wait_for(lambda: self.size > size, seconds):
                return self.at
        return None


@dataclass
class Clients(World):
    """The crowd's world: several web processes."""

    webs: Sequence[Node] = ()
    seen: Seen = field(default_factory=Seen)
    away: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """One request to any of them.

        Raises:
            OSError, HTTPException: nobody answered, or one that cannot do it now.
        """
        return self.ask_of(self.chance.choice(self.webs), method, path, body)

    def ask_of(
        self,
        web: Node,
        method: str,
        path: str,
        body: bytes | None = None,
        seconds: float = _SECONDS,
    ) -> tuple[int, bytes]:
        """One request to this one; raises as `ask` does."""
        place = web.place
        line = http.client.HTTPConnection(place.address, place.port, timeout=seconds)
        with contextlib.closing(line):
            headers = {"Content-Type": "application/json"} if body else {}
            line.request(method, path, body, headers)
            answer = line.getresponse()
            found = answer.read()
        if answer.status in _AWAY:
            self.away += 1
            message = f"{web.name}: {answer.status}"
            raise ConnectionError(message)
        return answer.status, found


class Reader:
    """Records every checkpoint that one web process shows, which never goes back."""

    def __init__(self, world: Clients, web: Node) -> None:
        self._world = world
        self._web = web
        self._newest = 0

    def work(self) -> None:
        """Until the end."""
        while not self._world.ended.wait(_LOOK):
            with contextlib.suppress(*_FAILED):
                self._look()

    def _look(self) -> None:
        note = self._page("checkpoint")
        size = Checkpoint.parse(UnverifiedNote.parse(note).text).size
        self._world.told.show(note)
        if size < self._newest:
            message = (
                f"{self._web.name}: /checkpoint went from {self._newest} to {size}"
            )
            self._world.broken.append(message)
        if size <= self._newest:
            return
        self._newest = size
        self._world.seen.show(size)
        # What it covers can be read.
        last = Tile(None, (size - 1) // FULL, (size - 1) % FULL + 1)
        entries = parse_bundle(self._page(last.path()), last.width)
        if not entries[-1].startswith(b"pcrlog/seal/v1\n"):
            self._world.broken.append(f"{size} leaves do not end in a seal")

    def _page(self, path: str) -> bytes:
        status, body = self._world.ask_of(
            self._web, "GET", f"/{path}", seconds=_READING
        )
        if status != _OK:
            message = f"{self._web.name}: {path} was answered {status} {body!r}"
            self._world.broken.append(message)
        return body
