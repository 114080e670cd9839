"""Gives whole requests to a WSGI application: no client makes a thread of it wait.

Granian's own WSGI gives a request to a thread as soon as it has the head, and the
thread then waits for the body for as long as the client likes. Here the body is read
first, by the event loop (RSGI): at most `most` bytes (413) in at most `seconds`
(408). A thread gets what came in whole, and what it answers leaves in one piece.

The application is called with the usual environ; `wsgi.input` is in memory and ends. A
chunked body that broke off looks whole to Granian: whoever takes one judges what came.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from granian._granian import RSGIProtocolClosed, RSGIProtocolError

_log = logging.getLogger(__name__)

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""
Headers: TypeAlias = list[tuple[str, str]]

_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_OWN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Scope(Protocol):
    """The head of a request, as RSGI gives it."""

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

    async def __call__(self) -> bytes:
        """The whole body."""
        ...

    def __aiter__(self) -> Any:  # noqa: ANN401 - Granian's own
        """The body in pieces."""
        ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer."""
        ...


class _TooLargeError(Exception):
    pass


class Bridge:
    """An RSGI application in front of a WSGI one; `close` it when it is of no more use.

    Args:
        app: the WSGI application.
        threads: how many requests it answers at once.
        most: bytes of a body.
        seconds: within which it has to come.
    """

    def __init__(self, app: App, threads: int, most: int, seconds: float) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="http")

    def close(self) -> None:
        """Let the requests in flight end."""
        self._pool.shutdown()

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        """Answer one request."""
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(scope, transport)
        except _TooLargeError:
            message = f"a body of more than {self._most} bytes\n"
            transport.response_bytes(413, [_TEXT], message.encode())
            return
        except TimeoutError:
            message = f"the body did not come within {self._seconds:g} seconds\n"
            transport.response_bytes(408, [_TEXT], message.encode())
            return
        except (RSGIProtocolClosed, RSGIProtocolError):
            # The client broke off; it may still listen.
            transport.response_bytes(400, [_TEXT], b"the body is not whole\n")
            return
        answer = partial(self._answer, scope, body)
        loop = asyncio.get_running_loop()
        transport.response_bytes(*await loop.run_in_executor(self._pool, answer))

    async def _read(self, scope: Scope, transport: Transport) -> bytes:
        length = scope.headers.get("content-length")
        if length is not None:
            # Granian refuses what is no number, and delivers no byte more or less.
            if int(length) > self._most:
                raise _TooLargeError
            return await transport()
        if scope.method in _BODILESS and "transfer-encoding" not in scope.headers:
            return b""
        found = bytearray()
        async for piece in transport:
            found += piece
            if len(found) > self._most:
                raise _TooLargeError
        return bytes(found)

    def _answer(self, scope: Scope, body: bytes) -> tuple[int, Headers, bytes]:
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, _exc: object = None) -> None:
            started.append((status, headers))

        try:
            pieces = self._app(_environ(scope, body), start_response)
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
            return 500, [_TEXT], b"a mistake of ours\n"


def _environ(scope: Scope, body: bytes) -> Environ:
    host, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = _OWN.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ
