"""One request, one answer: whatever its status, never elsewhere, never without end."""

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec.structs import replace

from pcrlog import connection
from pcrlog.enclave import fetch_attestation
from pcrlog.errors import TransportError, UsageError
from pcrlog.exchange import Answer, Exchange
from pcrlog.transport import Client


@dataclass
class Script:
    """What the server sends, and what it was asked."""

    raw: bytes = b""
    asked: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)
    drip: bytes = b""
    ended: threading.Event = field(default_factory=threading.Event)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = Script()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may go before the end."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        script = server.script
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        script.asked.append((self.command, self.path, body, dict(self.headers)))
        self.wfile.write(script.raw)
        # Whoever asks may go before the end.
        with contextlib.suppress(OSError):
            while script.drip and not script.ended.wait(0.005):
                self.wfile.write(script.drip)
        self.close_connection = not script.raw

    do_POST = do_GET  # noqa: N815 - its name is http.server's


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.script.ended.set()
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def door(server: Server) -> Iterator[Exchange]:
    made = Exchange(f"http://127.0.0.1:{server.server_port}/prefix/", timeout=5.0)
    yield made
    made.close()


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    rows = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(rows).encode("latin-1") + body


# --- what is asked -------------------------------------------------------------------


def test_a_get_is_asked_below_the_prefix(server: Server, door: Exchange) -> None:
    server.script.raw = answer("200 OK", b"note", "Content-Type: text/plain")
    found = door.get("a/b", 4)
    assert found.headers["content-type"] == "text/plain"
    assert replace(found, headers={}) == Answer(200, "text/plain", None, b"note")
    [(method, path, body, headers)] = server.script.asked
    assert (method, path, body) == ("GET", "/prefix/a/b", b"")
    assert headers["User-Agent"] == "pcrlog"


def test_a_post_carries_its_body_and_headers(server: Server, door: Exchange) -> None:
    server.script.raw = answer("204 No Content")
    found = door.post("add", b"\x00body\xff", 0, {"X-Signature": "s"})
    assert replace(found, headers={}) == Answer(204, "", None, b"")
    door.post("", b"", 0)
    first, second = server.script.asked
    assert first[:3] == ("POST", "/prefix/add", b"\x00body\xff")
    assert first[3]["X-Signature"] == "s"
    assert second[:3] == ("POST", "/prefix", b"")
    assert "X-Signature" not in second[3]


def test_a_connection_is_kept(server: Server, door: Exchange) -> None:
    server.script.raw = answer("200 OK")
    for _ in range(3):
        door.get("x", 0)
    assert len(server.script.asked) == 3
    session = door._session
    assert session is not None
    door.get("x", 0)
    assert door._session is session


def test_one_that_asked_nothing_can_be_closed() -> None:
    Exchange("https://w.example").close()


@pytest.mark.parametrize("url", ["", "w.example", "ftp://w.example", "HTTPS://w", "/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected a URL"):
        Exchange(url)


# --- what is answered ----------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 400, 403, 404, 409, 422, 429, 500, 503])
def test_no_status_is_an_error_and_nothing_is_asked_again(
    server: Server, door: Exchange, status: int
) -> None:
    server.script.raw = answer(f"{status} Status", b"said")
    found = door.post("x", b"", 10)
    assert (found.status, found.body) == (status, b"said")
    assert len(server.script.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(
    server: Server, door: Exchange, status: int
) -> None:
    server.script.raw = answer(f"{status} Elsewhere", b"", "Location: /prefix/other")
    assert door.post("x", b"body", 10).status == status
    assert door.get("x", 10).status == status
    assert [path for _, path, _, _ in server.script.asked] == ["/prefix/x"] * 2


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("9" * 30, 999_999_999),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("Mon, 23 Nov 2026 21:00:00 GMT", None),
        ("\u00b2", None),
    ],
)
def test_retry_after_is_seconds_or_none(
    server: Server, door: Exchange, said: str, seconds: int | None
) -> None:
    server.script.raw = answer("429 Too Many", b"", f"Retry-After: {said}")
    assert door.get("x", 0).retry_after == seconds


def test_an_answer_may_be_as_large_as_was_said_and_no_larger(
    server: Server, door: Exchange
) -> None:
    server.script.raw = answer("200 OK", b"x" * 100_000)
    assert len(door.get("x", 100_000).body) == 100_000
    with pytest.raises(TransportError, match="more than 99999 bytes"):
        door.get("x", 99_999)


def test_a_packed_answer_is_unpacked_and_bounded_as_it_is_unpacked(
    server: Server, door: Exchange
) -> None:
    packed = gzip.compress(b"x" * 10_000_000)
    server.script.raw = answer("200 OK", packed, "Content-Encoding: gzip")
    assert len(door.get("x", 10_000_000).body) == 10_000_000
    with pytest.raises(TransportError, match="more than 1000 bytes"):
        door.get("x", 1_000)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello\r\n\r\n", id="no-http"),
        pytest.param(b"HTTP/1.1 xyz Odd\r\n\r\n", id="no-status"),
        pytest.param(
            answer("200 OK", b"junk", "Content-Encoding: gzip"), id="not-packed"
        ),
    ],
)
def test_what_is_no_answer_could_not_be_asked(
    server: Server, door: Exchange, raw: bytes
) -> None:
    server.script.raw = raw
    server.script.ended.set()
    with pytest.raises(TransportError, match=r"could not ask http://127\.0\.0\.1"):
        door.post("x", b"", 10)
    assert len(server.script.asked) == 1


def test_a_body_that_breaks_off_could_not_be_asked(server: Server) -> None:
    server.script.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    door = Exchange(f"http://127.0.0.1:{server.server_port}", timeout=0.2)
    with pytest.raises(TransportError, match="could not ask"):
        door.get("x", 10)
    door.close()


def test_where_nobody_listens_could_not_be_asked(server: Server) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_port
    door = Exchange(f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError, match="refused"):
        door.get("x", 10)
    door.close()


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "http://w.example:x/", "https://\u2603\u0000/"]
)
def test_a_url_that_leads_nowhere_could_not_be_asked(url: str) -> None:
    door = Exchange(url)
    with pytest.raises(TransportError, match="could not ask"):
        door.get("x", 10)
    door.close()


def test_a_body_without_end_comes_to_one(
    server: Server, door: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.05)
    server.script.raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"
    server.script.drip = b"x"
    started = time.monotonic()
    with pytest.raises(TransportError, match="does not come to an end"):
        door.get("x", 9_999_999)
    assert time.monotonic() - started < 60


def by_exchange(url: str) -> None:
    Exchange(url).get("x", 9)


def by_client(url: str) -> None:
    Client(url)("x", 9)


def by_attestation(url: str) -> None:
    fetch_attestation(url, b"nonce")


@pytest.mark.parametrize("asked", [by_exchange, by_client, by_attestation])
@pytest.mark.parametrize("drip", [b"0", b"0\r\nX: y\r\n"])
def test_what_http_reads_between_pieces_of_a_body_comes_to_an_end(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[str], None],
    drip: bytes,
) -> None:
    """The size of a chunk; trailers. One read takes them in, however long they take."""
    monkeypatch.setattr(connection, "TIMEOUT", 0.05)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.script.raw, server.script.drip = chunked, drip
    with pytest.raises(TransportError, match="does not come to an end"):
        asked(f"http://127.0.0.1:{server.server_port}")
