"""What only a real socket shows: lengths, chunks, pipelines, cut and slow bodies.

A real server on loopback, and requests written by hand. What Granian's HTTP refuses
never comes to the application: those answers are a bare 4xx without a body, and the
connection ends.
"""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from log_server.problems import BY_SLUG
from pcrlog import limits
from tests.e2e.served import Served, is_running, open_files
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e

PATIENCE = 10.0
"""Seconds for an answer; a busy machine takes a tenth of that."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


@dataclass
class World:
    """A server that runs, and a provider in its log."""

    served: Served
    acme: Party


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    log = Log.create(tmp_path_factory.mktemp("sockets") / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    served = Served.start(log)
    pids: list[int] = []
    try:
        served.wait_until_served()
        pids = served.children
        yield World(served, acme)
        status, said = served.end()
        assert status == 0
        assert "Traceback" not in said
        assert "failed" not in said, said
    finally:
        served.close()
        for pid in pids:
            if is_running(pid) and "log.db" in open_files(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _still_served(world: World) -> Iterator[None]:
    """After each test the server is there, and so are both of its children."""
    before = sorted(world.served.children)
    yield
    assert talk(world, get("/checkpoint")).statuses == [200]
    assert sorted(world.served.children) == before


@dataclass
class Talk:
    """What came back before the connection ended."""

    data: bytes
    ended: bool

    @property
    def statuses(self) -> list[int]:
        """Of each answer; 100 Continue is none."""
        found = [int(status) for status in _STATUS.findall(self.data)]
        return [status for status in found if status != 100]

    @property
    def slugs(self) -> list[str]:
        """Of each problem."""
        found = re.findall(rb'\{"advice".*?\}(?=HTTP/1|$)', self.data, re.DOTALL)
        types = [json.loads(one)["type"] for one in found]
        return [one.removeprefix("urn:pcrlog:problem:") for one in types]


def connect(world: World) -> socket.socket:
    address = ("127.0.0.1", world.served.port)
    return socket.create_connection(address, timeout=PATIENCE)


def talk(world: World, *parts: bytes, cut: bool = False, pause: float = 0) -> Talk:
    """Send; `cut` says that no more will come; read until the server ends it."""
    data, ended = b"", False
    with connect(world) as line, contextlib.suppress(OSError):
        for part in parts:
            line.sendall(part)
            time.sleep(pause)
        if cut:
            line.shutdown(socket.SHUT_WR)
        while True:
            chunk = line.recv(65_536)
            if not chunk:
                ended = True
                break
            data += chunk
    return Talk(data, ended)


CLOSE = b"Connection: close\r\n"


def get(path: str, *headers: bytes, last: bool = True) -> bytes:
    lines = [b"GET " + path.encode("latin-1") + b" HTTP/1.1", b"Host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n" + CLOSE * last + b"\r\n"


def post(*headers: bytes, last: bool = True) -> bytes:
    head = b"POST /api/v1/entries?wait=0 HTTP/1.1\r\nHost: x\r\n"
    lines = b"".join(header + b"\r\n" for header in headers)
    kind = b"Content-Type: application/json\r\n"
    return head + kind + lines + CLOSE * last + b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"

# --- refused before the application: a bare 4xx, and the end --------------------------

BARE: dict[str, tuple[bytes, int]] = {
    "a length in words": (post(b"Content-Length: abc") + b"{}", 400),
    "a length below zero": (post(b"Content-Length: -1") + b"{}", 400),
    "a length with a sign": (post(b"Content-Length: +2") + b"{}", 400),
    "a length with an underscore": (post(b"Content-Length: 1_0") + b"{}", 400),
    "a length in Arabic": (post(b"Content-Length: \xd9\xa1") + b"{}", 400),
    "a length of 24 digits": (post(b"Content-Length: " + b"9" * 24) + b"{}", 400),
    "two lengths": (post(b"Content-Length: 2", b"Content-Length: 3") + b"{}x", 400),
    "an unknown transfer encoding": (post(b"Transfer-Encoding: x") + b"{}", 400),
    "a folded header": (get("/checkpoint", b"X: a", b" b"), 400),
    "a space before the colon": (get("/checkpoint", b"X : a"), 400),
    "a header without colon": (get("/checkpoint", b"nothing"), 400),
    "a NUL in a header": (get("/checkpoint", b"X: \0"), 400),
    "a NUL in the path": (get("/checkpoint\0"), 400),
    "a space in the path": (get("/check point"), 400),
    "no UTF-8 in the path": (get("/\xff\xfe"), 400),
    "a long path": (get("/" + "a" * 70_000), 431),
    "many headers": (get("/checkpoint", *[b"X: y"] * 5_000), 431),
    "HTTP/0.9": (b"GET /checkpoint\r\n", 400),
    "HTTP/3.0": (b"GET /checkpoint HTTP/3.0\r\n\r\n", 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "a method of no letters": (b"G\xffT / HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", BARE)
def test_what_is_no_http_is_refused_and_the_connection_ends(
    world: World, name: str
) -> None:
    request, status = BARE[name]
    found = talk(world, request)
    assert found.statuses == [status]
    assert found.ended
    assert found.slugs == []


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(get("/" + "a" * 2_000_000), id="a path"),
        pytest.param(get("/checkpoint", b"X: " + b"y" * 2_000_000), id="a header"),
        pytest.param(get("/checkpoint", *[b"X: y"] * 300_000), id="headers"),
    ],
)
def test_a_head_of_2_mb_is_not_kept(world: World, request_: bytes) -> None:
    """Refused before it is read: the answer may be lost with the connection."""
    found = talk(world, request_)
    assert found.statuses in ([414], [431], [])


# --- refused by the application: a problem --------------------------------------------

HALF = b" " * (limits.ENVELOPE // 2)
PROBLEMS: dict[str, tuple[bytes, str]] = {
    "a length and no body": (post(b"Content-Length: 0"), "malformed"),
    "no length": (post(), "malformed"),
    "one byte too many": (
        post(b"Content-Length: %d" % (limits.ENVELOPE + 1)) + 2 * HALF + b" ",
        "too-large",
    ),
    "a large length and no body": (post(b"Content-Length: 99999999"), "too-large"),
    "chunks of just the size": (
        post(CHUNKED) + chunk(HALF) + chunk(HALF) + LAST,
        "malformed",
    ),
    "chunks of a byte too many": (
        post(CHUNKED) + chunk(HALF) + chunk(HALF) + chunk(b" ") + LAST,
        "too-large",
    ),
    "chunks of a byte each": (post(CHUNKED) + chunk(b" ") * 3_000 + LAST, "malformed"),
    "a chunk with an extension": (
        post(CHUNKED) + b"2;a=b\r\n{}\r\n" + LAST,
        "malformed",
    ),
    "a trailer": (post(CHUNKED) + chunk(b"{}") + b"0\r\nX: y\r\n\r\n", "malformed"),
    "a chunk of no number": (post(CHUNKED) + b"zz\r\n{}\r\n" + LAST, "malformed"),
    "a chunk below zero": (post(CHUNKED) + b"-2\r\n{}\r\n" + LAST, "malformed"),
    "a chunk of 2^72": (post(CHUNKED) + b"f" * 18 + b"\r\n{}\r\n" + LAST, "malformed"),
    "chunks and a length": (
        post(CHUNKED, b"Content-Length: 2") + chunk(b"{}") + LAST,
        "malformed",
    ),
    "a length of another body": (post(b"Content-Length: 1") + b"{}", "malformed"),
    "continue": (post(b"Content-Length: 2", b"Expect: 100-continue"), "malformed"),
    "a path from the root": (get("http://x/nowhere"), "no-such-path"),
    "a star": (get("/").replace(b"GET /", b"OPTIONS *"), "no-such-path"),
    "a tunnel": (get("/").replace(b"GET /", b"CONNECT a:1"), "no-such-path"),
    "a websocket": (
        get("/nowhere", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        "no-such-path",
    ),
    "a NUL, encoded": (get("/tile/0/000%00"), "no-such-path"),
    "dots, encoded": (get("/tile/%2e%2e/%2e%2e/log.toml"), "no-such-path"),
    "slashes, encoded": (get("/tile/..%2f..%2flog.toml"), "no-such-path"),
    "a broken escape": (get("/api/v1/entries/%zz"), "parameter"),
    "a number in Arabic": (get("/api/v1/entries/%D9%A1"), "parameter"),
    "a long query": (get("/api/v1/search?q=" + "a" * 30_000), "parameter"),
    "many parameters": (get("/api/v1/search?" + "q=a&" * 7_000), "parameter"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_the_log_cannot_take_is_a_problem(world: World, name: str) -> None:
    request, slug = PROBLEMS[name]
    found = talk(world, request, cut="continue" in name)
    assert found.slugs == [slug]
    assert found.statuses == [BY_SLUG[slug].status]


@pytest.mark.parametrize(
    "request_and_part",
    [
        pytest.param((post(b"Content-Length: 100"), b"{}"), id="a length"),
        pytest.param((post(CHUNKED), chunk(b"{}")), id="chunks"),
        pytest.param((post(CHUNKED), b"100\r\n{}"), id="a chunk"),
        pytest.param((post(CHUNKED), b""), id="nothing"),
        pytest.param((post(b"Content-Length: 100")[:40], b""), id="the head"),
    ],
)
def test_a_request_that_is_cut_is_refused(
    world: World, request_and_part: tuple[bytes, bytes]
) -> None:
    found = talk(world, *request_and_part, cut=True, pause=0.02)
    assert found.ended
    assert found.slugs in (["malformed"], [])
    assert set(found.statuses) <= {400}


def test_a_statement_that_is_cut_anywhere_is_refused(world: World) -> None:
    """A cut body comes to the application as a shorter one."""
    envelope = world.acme.release(3, "3.0.0")
    head = post(b"Content-Length: %d" % len(envelope))
    for at in range(0, len(envelope), len(envelope) // 12):
        assert talk(world, head, envelope[:at], cut=True).slugs == ["malformed"]
    assert talk(world, head, envelope).statuses[0] in {200, 201, 202}


def test_a_pipeline_is_answered_in_order(world: World) -> None:
    paths = ["/checkpoint", "/nowhere", "/api/v1/entries/01", "/api/v1/entries/0"]
    requests = [get(path, last=path == paths[-1]) for path in paths]
    found = talk(world, b"".join(requests))
    assert found.statuses == [200, 404, 400, 200]
    assert found.slugs[:2] == ["no-such-path", "parameter"]


def test_a_request_within_a_body_is_no_request(world: World) -> None:
    """A length and chunks: the length says less, so that a proxy might see two."""
    inner = get("/checkpoint", last=False)
    found = talk(world, post(b"Content-Length: %d" % len(inner)) + inner)
    assert (found.statuses, found.slugs) == ([400], ["malformed"])
    both = post(CHUNKED, b"Content-Length: 5") + chunk(b"{}") + LAST + inner
    assert len(talk(world, both, cut=True).statuses) == 1


def test_a_head_is_not_waited_for_when_it_is_slow_for_others(world: World) -> None:
    """Half of a head costs a connection, and no thread."""
    lines = [connect(world) for _ in range(150)]
    try:
        for line in lines:
            line.sendall(b"GET /checkpoint HTTP/1.1\r\nHost")
        assert talk(world, get("/checkpoint")).statuses == [200]
        lines[0].sendall(b": x\r\n" + CLOSE + b"\r\n")
        assert lines[0].recv(65_536).startswith(b"HTTP/1.1 200 ")
    finally:
        for line in lines:
            line.close()


def test_slow_bodies_do_not_keep_others_from_reading(world: World) -> None:
    threads = world.served.log.config.settings.threads
    lines = [connect(world) for _ in range(threads + 8)]
    try:
        for line in lines:
            line.sendall(post(b"Content-Length: 100") + b"{")
        time.sleep(0.3)
        with connect(world) as line:
            line.settimeout(2)
            line.sendall(get("/checkpoint"))
            with contextlib.suppress(TimeoutError):
                assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
                return
        pytest.fail(f"{len(lines)} bodies that do not come stop a reader")
    finally:
        for line in lines:
            line.close()


def test_a_connection_that_is_broken_off_costs_nothing(world: World) -> None:
    """RST in the middle of everything, many times; then the server answers as ever."""
    linger = b"\1\0\0\0\0\0\0\0"
    for request in (
        post(b"Content-Length: 100") + b"{",
        post(CHUNKED) + b"10\r\n{",
        get("/api/v1/entries/0"),
        b"GET /check",
    ):
        for _ in range(20):
            with connect(world) as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                line.sendall(request)
