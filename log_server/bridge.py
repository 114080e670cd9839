"""Brings requests to who answers them: no client makes a thread wait.

Granian's own WSGI gives a request to a thread as soon as it has the head, and the
thread then waits for the body for as long as the client likes. Here the event loop
(RSGI) reads the body first, and a thread gets what came in whole:

- only of submissions, the one path that takes a body; of others none is read;
- at most what an envelope or a batch may have: more is refused by its declared length,
  or at the first byte too many;
- within `_PATIENCE` seconds, and longer only as long as `_RATE` bytes a second come;
- what all bodies hold together is bounded (`room`), whoever they are from: beyond
  that, 429. Batches cannot take the room of single envelopes.

All other requests pass the loop by (`Bridge.pass_by`): to go through it would make them
a third dearer.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Protocol, TypeAlias

from granian._granian import RSGIProtocolClosed, RSGIProtocolError
from prometheus_client import Counter, Gauge

from log_server.bodies import BATCH, NDJSON, media_type
from log_server.files import Answer
from log_server.problems import BY_SLUG, LateError, TooLargeError, problem_of
from log_server.refusals import refuse, refuse_for
from log_server.replies import Replies, Reply
from log_server.responses import JSON
from log_server.room import Room
from log_server.services import Services
from log_server.submit_api import Head
from pcrlog import limits
from pcrlog.errors import MalformedError, PcrlogError

_log = logging.getLogger(__name__)

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""
Headers: TypeAlias = list[tuple[str, str]]

ENTRIES = "/api/v1/entries"
_PATIENCE = 10.0
"""Seconds that any body may take."""
_RATE = 65_536
"""Bytes a second at which a larger one has to come."""
_OWN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class Scope(Protocol):
    """The head of a request, as RSGI gives it; its path is decoded already."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: Any


class Transport(Protocol):
    """A request's body, and the way back, as RSGI gives them."""

    def __aiter__(self) -> Any:  # noqa: ANN401 - Granian's own
        """The body in pieces; an empty one is the end of it, or a fault."""
        ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer."""
        ...


class Bridge:
    """Answers what RSGI brings, by a WSGI application; `close` it in the end.

    Args:
        app: the WSGI application.
        services: what answers without it: submissions and files.
        threads: how many requests the application answers at once.
    """

    def __init__(self, app: App, services: Services, threads: int) -> None:
        registry = services.registry
        self._app = app
        self._files = services.files
        self._entries = services.entries
        self._requests = services.requests
        self._replies: Replies | None = None
        self._room = Room()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="http")
        self._refused = Counter(
            "pcrlog_bodies_refused",
            "Submissions refused since their body was too large, too slow, or cut off",
            ("problem",),
            registry=registry,
        )
        held = Gauge(
            "pcrlog_bodies_bytes", "Bytes of bodies in memory", registry=registry
        )
        held.set_function(self._room.held)

    def close(self) -> None:
        """Let the requests in flight end."""
        self._pool.shutdown()

    async def answer(self, scope: Scope, transport: Transport) -> None:
        """Answer one request; only a submission is waited for."""
        if scope.method == "POST" and scope.path == ENTRIES:
            answer = await self._submit(scope, transport)
        elif _is_in_loop():
            answer = await self._in_thread(self._answer, scope)
        else:
            answer = self._answer(scope)
        transport.response_bytes(*answer)

    def pass_by(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let requests that take no body pass by the event loop.

        Granian brings a request by `call_soon_threadsafe(run, coroutine, watcher)`. The
        coroutine of a request without a body never waits: it is run to its end in one
        go, for a hash tile where it came in, else in a thread. Should Granian bring
        them otherwise one day, nothing changes but the speed.
        """
        soon = loop.call_soon_threadsafe

        def call(callback: Any, *args: Any, context: Any = None) -> Any:  # noqa: ANN401 - as asyncio has it
            match args:
                case [Coroutine() as coroutine, object(scope=scope)] if (
                    scope.method != "POST"
                ):
                    if self._files.is_quick(scope.path):
                        return _run(coroutine)
                    return self._pool.submit(_run, coroutine)
            return soon(callback, *args, context=context)

        loop.call_soon_threadsafe = call  # type: ignore[method-assign, assignment] # of this one loop

    async def _in_thread(
        self, function: Callable[..., Answer], *arguments: object
    ) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, function, *arguments)

    async def _submit(self, scope: Scope, transport: Transport) -> Answer:
        body, begun = bytearray(), self._requests.begin()
        try:
            try:
                await self._read(scope, transport, body)
            except PcrlogError as error:
                self._refused.labels(problem_of(error).slug).inc()
                answer = refuse_for(error)
                self._requests.count(ENTRIES, "POST", answer[0], begun)
                return answer
            begun = self._requests.begin()
            reply = self._expect()
            self._entries.submit(_head_of(scope), bytes(body), reply.deliver)
            answer = await reply.answer
            self._requests.count(ENTRIES, "POST", answer[0], begun)
            return answer
        finally:
            self._room.give_back(len(body))

    def _expect(self) -> Reply:
        loop = asyncio.get_running_loop()
        if self._replies is None or self._replies.loop is not loop:
            self._replies = Replies(loop)
        return self._replies.expect()

    async def _read(self, scope: Scope, transport: Transport, body: bytearray) -> None:
        """Read the body into `body`.

        Raises:
            TooLargeError, LateError, BusyError, MalformedError: it is not to be had.
        """
        most = _most(scope)
        text = scope.headers.get("content-length")
        # Granian refuses what is no number, and delivers no byte more.
        length = None if text is None else int(text)
        if not most or length == 0:
            return
        if length is not None and length > most:
            message = f"body has over {most} bytes"
            raise TooLargeError(message)
        try:
            whole = await self._gather(transport, body, most, length)
        except TimeoutError as error:
            message = f"{len(body)} bytes came, and the rest did not"
            raise LateError(message) from error
        except (RSGIProtocolClosed, RSGIProtocolError):
            whole = False
        if not whole:
            message = f"body was cut off after {len(body)} bytes"
            raise MalformedError(message)

    async def _gather(
        self, transport: Transport, body: bytearray, most: int, length: int | None
    ) -> bool:
        """Whether the body came whole; without a `length`, in chunks."""
        begun = asyncio.get_running_loop().time()
        empty = 0
        async with asyncio.timeout_at(begun + _PATIENCE) as limit:
            async for piece in transport:
                self._room.take(len(body), len(piece))
                body += piece
                empty += not piece
                if len(body) > most:
                    message = f"body has over {most} bytes"
                    raise TooLargeError(message)
                if len(body) == length:
                    return True
                limit.reschedule(begun + _PATIENCE + len(body) / _RATE)
        # An empty piece ends it; a second one was the fault that broke it off.
        return length is None and empty == 1

    def _answer(self, scope: Scope) -> Answer:
        path = scope.path
        if self._files.has(path):
            find = scope.headers.get
            accepted, had = find("accept-encoding", ""), find("if-none-match", "")
            return self._files.answer(scope.method, path, accepted, had)
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, _exc: object = None) -> None:
            started.append((status, headers))

        try:
            pieces = self._app(_environ(scope), start_response)
            try:
                data = b"".join(pieces)
            finally:
                close = getattr(pieces, "close", None)
                if close is not None:
                    close()
            status, headers = started[-1]
            return int(status[:3]), headers, data
        except Exception:  # noqa: BLE001 - logged, and 500
            _log.exception("%s %s failed", scope.method, scope.path)
            return refuse(BY_SLUG["internal"], "the answer could not be made")


def _run(coroutine: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _most(scope: Scope) -> int:
    """How many bytes to take; 0 of what the application refuses by its head alone."""
    if _joined(scope, "content-encoding"):
        return 0
    kind = media_type(_joined(scope, "content-type"))
    return {JSON: limits.ENVELOPE, NDJSON: BATCH}.get(kind, 0)


def _head_of(scope: Scope) -> Head:
    return Head(
        _joined(scope, "content-type"),
        _joined(scope, "content-encoding"),
        _query(scope),
        scope.client.rpartition(":")[0],
        _joined(scope, "x-forwarded-for"),
    )


def _joined(scope: Scope, name: str) -> str:
    """A header as WSGI has it; empty if it is absent, and not if it is no text."""
    found = scope.headers.get_all(name)
    return ",".join(found) if found or name not in scope.headers else "?"


def _query(scope: Scope) -> str:
    """The query as WSGI has it: its bytes, each a character."""
    return scope.query_string.encode().decode("latin-1")


def _environ(scope: Scope) -> Environ:
    host, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": _query(scope),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = _OWN.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_LENGTH"] = "0"
    return environ
