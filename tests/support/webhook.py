"""A webhook receiver on loopback: checks what it is sent, and can be stubborn.

It is written from docs/alerts.md alone, not with the monitor's own code, so that both
have to be right. What it took, it keeps in order; what it saw and did not take, too.

    with Receiver(secret) as receiver:
        receiver.misbehave("refuse", times=3, status=503, retry_after=1)
        ...
        [delivery] = receiver.wait_for(1)
        assert delivery.alert["kind"] == "fork"
"""

import base64
import hashlib
import hmac
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

Behaviour = Literal["refuse", "hang", "drop", "reset"]
"""refuse: answer with `status`. hang: no answer before `release` or the end. drop: take
it, and close without an answer. reset: the same before reading, with a TCP reset."""

_WAIT = 30.0
_SKEW = 300
_TAKEN = 200
_FORGED = 401
SECRET = b"a secret of the tests, 32 bytes!"


class ForgedError(Exception):
    """A request whose signature does not hold."""


@dataclass(frozen=True)
class Delivery:
    """One request: `alert` is its JSON; `path`, `headers` (lower case) and `arrived`
    (unix seconds) how it came."""

    alert: dict[str, Any]
    path: str
    headers: dict[str, str]
    body: bytes
    arrived: float


@dataclass
class _Turn:
    behaviour: Behaviour
    status: int
    retry_after: int | None


@dataclass
class Receiver:
    """A receiver; it listens between `__enter__` and `__exit__`.

    `secret`: None takes what is not signed. `taken` holds what was answered with 200 or
    dropped after reading, in the order of arrival; `attempts` every request that was
    read, whatever became of it; `forged` why requests were turned away.
    """

    secret: bytes | None = SECRET
    taken: list[Delivery] = field(default_factory=list)
    attempts: list[Delivery] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    beats: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turns: deque[_Turn] = deque()
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="webhook"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def misbehave(
        self,
        behaviour: Behaviour,
        *,
        times: int = 1,
        status: int = 503,
        retry_after: int | None = None,
    ) -> None:
        """Be stubborn for the next requests, after what was asked for before."""
        with self._changed:
            self._turns.extend([_Turn(behaviour, status, retry_after)] * times)

    def behave(self) -> None:
        """Forget all stubbornness, and let go of what hangs."""
        with self._changed:
            self._turns.clear()
        self._released.set()

    def wait_for(self, count: int, seconds: float = _WAIT) -> list[Delivery]:
        """What was taken, once these are at least `count`."""
        self._wait(lambda: len(self.taken) >= count, f"{count} deliveries", seconds)
        return list(self.taken)

    def wait_for_attempts(self, count: int, seconds: float = _WAIT) -> list[Delivery]:
        """What was read, once these are at least `count`."""
        self._wait(lambda: len(self.attempts) >= count, f"{count} attempts", seconds)
        return list(self.attempts)

    def wait_for_kind(self, kind: str, seconds: float = _WAIT) -> Delivery:
        """The first alert of a kind that is taken."""

        def found() -> list[Delivery]:
            return [one for one in self.taken if one.alert["kind"] == kind]

        self._wait(lambda: bool(found()), f"an alert of kind {kind}", seconds)
        return found()[0]

    def wait_for_beats(self, count: int, seconds: float = _WAIT) -> list[str]:
        """The paths of GET requests (heartbeats), once these are at least `count`."""
        self._wait(lambda: len(self.beats) >= count, f"{count} heartbeats", seconds)
        return list(self.beats)

    def _wait(
        self, come: Callable[[], bool], what: str, seconds: float = _WAIT
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(come, seconds):
                kinds = [one.alert.get("kind") for one in self.taken]
                message = f"no {what} in {seconds} s; taken: {kinds}; {self.forged}"
                raise AssertionError(message)

    # --- what handlers do ------------------------------------------------------------

    def turn(self) -> _Turn | None:
        """How to treat the next request."""
        with self._changed:
            return self._turns.popleft() if self._turns else None

    def hang(self) -> None:
        """Wait until `behave` or the end."""
        self._released.wait()

    def keep(self, kept: "list[Any]", *what: object) -> None:
        """Append to one of the lists, and tell who waits."""
        with self._changed:
            kept.extend(what)
            self._changed.notify_all()


def verify(secret: bytes, headers: dict[str, str], body: bytes, now: float) -> None:
    """Check a request as docs/alerts.md says (Standard Webhooks, v1).

    Raises:
        ForgedError: it is not from whoever has the secret, not whole, or old.
    """
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(now - int(at)) > _SKEW:
        message = f"webhook-timestamp {at!r} is not within {_SKEW} s of {now}"
        raise ForgedError(message)
    signed = name.encode() + b"." + at.encode() + b"." + body
    want = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    found = headers.get("webhook-signature", "")
    if not any(hmac.compare_digest(f"v1,{want}", one) for one in found.split(" ")):
        message = f"webhook-signature {found!r} does not hold"
        raise ForgedError(message)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, *_request: object) -> None:
        """A client that went away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # type: ignore[mutable-override] # the one that makes it

    def log_message(self, *_words: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        """A heartbeat."""
        receiver = self.server.receiver
        receiver.keep(receiver.beats, self.path)
        turn = receiver.turn()
        if not self._misbehaves(turn):
            self._answer(_TAKEN)

    def do_POST(self) -> None:
        """An alert."""
        receiver = self.server.receiver
        turn = receiver.turn()
        if turn is not None and turn.behaviour == "reset":
            self._reset()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        now = time.time()
        try:
            if receiver.secret is not None:
                verify(receiver.secret, headers, body, now)
            alert = json.loads(body)
        except (ForgedError, ValueError) as error:
            receiver.keep(receiver.forged, str(error))
            self._answer(_FORGED)
            return
        delivery = Delivery(alert, self.path, headers, body, now)
        receiver.keep(receiver.attempts, delivery)
        if turn is not None and turn.behaviour == "drop":
            receiver.keep(receiver.taken, delivery)
        if not self._misbehaves(turn):
            receiver.keep(receiver.taken, delivery)
            self._answer(_TAKEN)

    def _misbehaves(self, turn: _Turn | None) -> bool:
        """Whether the request was treated badly, and is done with."""
        if turn is None:
            return False
        if turn.behaviour == "refuse":
            self._answer(turn.status, turn.retry_after)
            return True
        if turn.behaviour == "hang":
            self.server.receiver.hang()
        self.close_connection = True
        if turn.behaviour == "reset":
            self._reset()
        return True

    def _reset(self) -> None:
        self.close_connection = True
        abrupt = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)
        self.connection.close()

    def _answer(self, status: int, retry_after: int | None = None) -> None:
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()
