"""What the bridge makes of a request; test_serving.py has it behind a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.validate import validator

import pytest
from granian._granian import RSGIProtocolClosed

from monitor.bridge import Bridge

MOST = 10


@dataclass
class Scope:
    method: str = "POST"
    path: str = "/a%20b"
    headers: dict[str, str] = field(default_factory=dict)
    http_version: str = "1.1"
    server: str = "127.0.0.1:8091"
    client: str = "127.0.0.2:1234"
    scheme: str = "http"
    query_string: str = "c=%20"


@dataclass
class Transport:
    """A client that sends `pieces`, or hangs, or breaks off."""

    pieces: tuple[bytes, ...] = ()
    hangs: bool = False
    breaks: bool = False
    answer: Any = None
    read: int = 0

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece
        if self.hangs:
            await asyncio.sleep(60)
        if self.breaks:
            raise RSGIProtocolClosed

    def response_bytes(
        self, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.answer = status, dict(headers), body


def echo(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = environ["wsgi.input"].read(100)
    return [environ["PATH_INFO"].encode("latin-1"), b"|", body]


def ask(app: Any, scope: Scope, transport: Transport) -> tuple[int, bytes]:
    bridge = Bridge(app, threads=1, most=MOST, seconds=0.2)
    try:
        asyncio.run(bridge.__rsgi__(scope, transport))
    finally:
        bridge.close()
    status, _, body = transport.answer
    return status, body


def announced(size: int) -> Scope:
    return Scope(headers={"content-length": str(size)})


CHUNKED = Scope(headers={"transfer-encoding": "chunked"})


def test_the_application_is_held_to_the_letter_of_wsgi() -> None:
    found = ask(validator(echo), announced(4), Transport((b"bo", b"dy")))
    assert found == (200, b"/a b|body")
    assert ask(validator(echo), Scope("GET"), Transport())[0] == 200


def test_a_chunked_body_is_put_together() -> None:
    assert ask(echo, CHUNKED, Transport((b"bo", b"dy"))) == (200, b"/a b|body")


def test_the_environ_says_what_the_request_said() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return list(echo(environ, start_response))

    headers = {"content-type": "text/x", "x-words": "some", "content-length": "0"}
    ask(app, Scope(headers=headers), Transport())
    assert (seen["CONTENT_TYPE"], seen["HTTP_X_WORDS"]) == ("text/x", "some")
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", "8091")
    assert (seen["REMOTE_ADDR"], seen["QUERY_STRING"]) == ("127.0.0.2", "c=%20")
    assert (seen["CONTENT_LENGTH"], seen["SERVER_PROTOCOL"]) == ("0", "HTTP/1.1")


def test_a_header_that_stands_twice_is_one_value() -> None:
    class Headers(dict[str, str]):
        def items(self) -> Any:
            return [("x-a", "1"), ("x-a", "2")]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["HTTP_X_A"].encode()]

    assert ask(app, Scope("GET", headers=Headers()), Transport()) == (200, b"1,2")


def test_what_is_too_large_is_413_and_not_read_to_its_end() -> None:
    transport = Transport((b"x",) * 100)
    assert ask(echo, announced(MOST + 1), transport)[0] == 413
    assert transport.read == 0
    assert ask(echo, CHUNKED, transport)[0] == 413
    assert transport.read == MOST + 1
    assert ask(echo, announced(MOST), Transport((b"x" * MOST,)))[0] == 200


def test_what_does_not_come_is_408_and_what_breaks_off_400() -> None:
    assert ask(echo, announced(4), Transport((b"b",), hangs=True))[0] == 408
    assert ask(echo, announced(4), Transport((b"b",), breaks=True))[0] == 400


def test_a_mistake_is_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def app(_environ: Any, _start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        assert ask(app, Scope("GET"), Transport()) == (500, b"a mistake of ours\n")
    assert "POST" not in caplog.text
    assert "GET /a%20b failed" in caplog.text


def test_what_an_application_hands_out_is_closed() -> None:
    closed: list[bool] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"one ", b"two")

        def close(self) -> None:
            closed.append(True)

    def app(_environ: Any, start_response: Any) -> Pieces:
        start_response("404 Not Found", [])
        return Pieces()

    assert ask(app, Scope("GET"), Transport()) == (404, b"one two")
    assert closed == [True]
