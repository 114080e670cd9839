"""What a hostile server answers: to a client of the log, and to who asks an enclave.

Whatever comes, an answer of at most the size asked for comes back, or an error of the
transport does; soon, and without the memory of the machine.
"""

import contextlib
import gc
import gzip
import itertools
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from pcrlog import transport
from pcrlog.enclave import fetch_attestation
from pcrlog.errors import PcrlogError, TransportError
from pcrlog.transport import Client

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

MOST = 65_536
PATIENCE = 0.25
"""Seconds without a byte after which a connection is given up, in these tests."""
LONGEST = 4.0
"""Seconds for one answer, on a busy machine: three times the patience are enough."""
PEAK = 16 << 20
"""Bytes of Python's memory for one answer of at most 64 KiB. Measured: below 6 MiB, of
which the import of requests is most."""

Chunks = Callable[[], Iterable[bytes]]


class Server:
    """Sends the same bytes to everybody who connects, whatever they ask."""

    def __init__(
        self, chunks: Chunks, pause: float = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._chunks, self._pause, self._tls = chunks, pause, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self._ended = False
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            with contextlib.suppress(OSError), connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(LONGEST)
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            connection.recv(65_536)
            for chunk in self._chunks():
                if self._ended:
                    return
                connection.sendall(chunk)
                time.sleep(self._pause)
            connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._ended = True
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(2 * LONGEST)
        assert not self._thread.is_alive()


Start = Callable[..., Server]
ASKING: list[threading.Thread] = []
"""Who asks still, or asked; at the latest when the servers are gone, all have ended."""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(transport, "_PAUSES", ())
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", PATIENCE)
    servers: list[Server] = []

    def begin(
        chunks: Chunks, pause: float = 0, tls: ssl.SSLContext | None = None
    ) -> Server:
        servers.append(Server(chunks, pause, tls))
        return servers[-1]

    yield begin
    for one in servers:
        one.close()
    while ASKING:
        ASKING.pop().join(2 * LONGEST)
    # What was broken off is left to the collector: here, where that is no error.
    gc.collect()


Ask = Callable[[str], bytes]
ASK: dict[str, Ask] = {
    "a log": lambda url: Client(url)("checkpoint", MOST),
    "an enclave": lambda url: fetch_attestation(url, b"nonce").document,
}


def submit(url: str) -> bytes:
    return repr(Client(url).submit(b"{}")).encode()


def outcome(ask: Ask, url: str, longest: float = LONGEST) -> object:
    """What asking came to: the bytes, or the error. Fails if it comes to nothing."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(ask(url))
        except Exception as error:  # noqa: BLE001 - it is what is tested
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    ASKING.append(thread)
    tracemalloc.start()
    thread.start()
    thread.join(longest)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found, f"no end within {longest} s"
    assert peak < PEAK
    return found[0]


# --- answers ------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "


def once(*parts: bytes) -> Chunks:
    return lambda: parts


def for_ever(part: bytes, first: bytes = b"") -> Chunks:
    return lambda: itertools.chain([first] if first else [], itertools.repeat(part))


def sized(body: bytes, *headers: bytes) -> bytes:
    lines = [b"Content-Length: %d" % len(body), *headers]
    return OK + b"\r\n".join(lines) + b"\r\n\r\n" + body


BOMB = gzip.compress(bytes(64 << 20), 9)
"""64 MiB in 64 KiB."""
GZIP = b"Content-Encoding: gzip"

ANSWERS: dict[str, Chunks] = {
    "nothing": once(),
    "a body without end": for_ever(b"x" * MOST, OK + b"\r\n"),
    "chunks without end": for_ever(b"1000\r\n" + b"x" * 4096 + b"\r\n", CHUNKED),
    "empty lines for a status": for_ever(b"\r\n" * 1000),
    "headers without end": for_ever(b"X: y\r\n" * 1000, OK),
    "a header line without end": for_ever(b"y" * MOST, OK + b"X: "),
    "a status line without end": for_ever(b"y" * MOST),
    "a byte too many": once(sized(bytes(MOST + 1))),
    "a body of another length": once(OK + b"Content-Length: 100\r\n\r\nshort"),
    "two lengths": once(OK + b"Content-Length: 1, 2\r\n\r\nab"),
    "a length below zero": once(OK + b"Content-Length: -5\r\n\r\nab"),
    "a length in words": once(OK + b"Content-Length: many\r\n\r\nab"),
    "a length of 4000 digits": once(
        OK + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\nab"
    ),
    "a length of 5000 digits": once(
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nab"
    ),
    "a chunk of no length": once(CHUNKED + b"zz\r\nab\r\n"),
    "a chunk below zero": once(CHUNKED + b"-5\r\nab\r\n"),
    "a chunk of 2^20000": once(CHUNKED + b"f" * 5000 + b"\r\nab"),
    "no last chunk": once(CHUNKED + b"2\r\nab\r\n"),
    "a bomb": once(sized(BOMB, GZIP)),
    "a bomb in a bomb": once(
        sized(gzip.compress(BOMB, 9), b"Content-Encoding: gzip, gzip")
    ),
    "a bomb in chunks": once(
        OK + GZIP + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n" % len(BOMB) + BOMB + b"\r\n0\r\n\r\n",
    ),
    "many encodings": once(sized(b"ab", b"Content-Encoding: " + b"gzip, " * 2000)),
    "no gzip": once(sized(b"not gzip", GZIP)),
    "half of a gzip": once(sized(BOMB[:40], GZIP)),
    "another encoding": once(sized(b"ab", b"Content-Encoding: br, zstd, more")),
    "status 1": once(b"HTTP/1.1 1 X\r\n\r\n"),
    "status 999": once(b"HTTP/1.1 999 X\r\n\r\n"),
    "status 204": once(b"HTTP/1.1 204 X\r\n\r\nbody"),
    "status 206": once(b"HTTP/1.1 206 X\r\nContent-Length: 2\r\n\r\nab"),
    "status 304": once(b"HTTP/1.1 304 X\r\n\r\n"),
    "status in letters": once(b"HTTP/1.1 two X\r\n\r\n"),
    "HTTP/0.9": once(b"only a body"),
    "HTTP/9.9": once(b"HTTP/9.9 200 X\r\n\r\n"),
    "HTTP/2": once(b"\0\0\0\4\0\0\0\0\0"),
    "TLS": once(b"\x15\x03\x01\0\2\2\x28"),
    "header bytes beyond ASCII": once(sized(b"ab", b"X-\xff: \xff\xfe\xc3")),
    "a header without colon": once(sized(b"ab", b"no colon here")),
    "a folded header": once(sized(b"ab", b"X: a\r\n b")),
    "a cookie": once(sized(b"ab", b"Set-Cookie: \xff=\0; expires=never; path=/../")),
    "upgrade": once(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n" + b"\x81" * 99),
    "later": once(b"HTTP/1.1 503 X\r\nRetry-After: " + b"9" * 5000 + b"\r\n\r\n"),
    "a problem of many brackets": once(b"HTTP/1.1 400 X\r\n\r\n" + b"[" * 60_000),
    "a problem of another form": once(b'HTTP/1.1 400 X\r\n\r\n{"type":[1],"title":{}}'),
    "a problem without end": for_ever(b"x" * MOST, b"HTTP/1.1 400 X\r\n\r\n"),
    "elsewhere: no host": once(FOUND + b"http://\r\n\r\n"),
    "elsewhere: half of an address": once(FOUND + b"http://[::1\r\n\r\n"),
    "elsewhere: no port": once(FOUND + b"http://x:99999999/\r\n\r\n"),
    "elsewhere: a file": once(FOUND + b"file:///etc/passwd\r\n\r\n"),
    "elsewhere: no UTF-8": once(FOUND + b"ht\xfftp://\x01\r\n\r\n"),
    "elsewhere: a long label": once(
        FOUND + b"http://" + b"a" * 70 + b".\xc3\xa9/\r\n\r\n"
    ),
    "elsewhere: itself": once(FOUND + b"/\r\n\r\n"),
    "elsewhere: nowhere": once(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_is_bytes_or_an_error_of_ours(start: Start, answer: str) -> None:
    for whom, ask in ASK.items():
        found = outcome(ask, start(ANSWERS[answer]).url)
        assert isinstance(found, bytes | PcrlogError), (whom, found)
        assert not isinstance(found, bytes) or len(found) <= MOST, whom
    found = outcome(submit, start(ANSWERS[answer]).url)
    assert isinstance(found, PcrlogError), ("a submission", found)


# --- answers that take their time ---------------------------------------------------

SLOW: dict[str, tuple[Chunks, float]] = {
    "silence": (for_ever(b""), 0.05),
    "a head byte by byte": (for_ever(b"y", OK + b"X: "), 0.05),
    "a body byte by byte": (for_ever(b"y", OK + b"\r\n"), 0.05),
    "100 Continue for ever": (for_ever(b"HTTP/1.1 100 X\r\n\r\n" * 99), 0.01),
}


@pytest.mark.parametrize(
    ("whom", "answer"),
    [
        pytest.param("a log", "silence"),
        pytest.param("an enclave", "silence"),
        pytest.param("an enclave", "a body byte by byte"),
        pytest.param("a log", "a body byte by byte"),
        pytest.param("a log", "a head byte by byte"),
        pytest.param("an enclave", "a head byte by byte"),
        pytest.param("a log", "100 Continue for ever"),
        pytest.param("an enclave", "100 Continue for ever"),
    ],
)
def test_an_answer_comes_to_an_end(start: Start, whom: str, answer: str) -> None:
    """`every wait an end`, says the module of the network."""
    chunks, pause = SLOW[answer]
    found = outcome(ASK[whom], start(chunks, pause).url, longest=5 * PATIENCE)
    assert isinstance(found, TransportError), repr(found)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(for_ever(b"x" * MOST, b"\r\n"), id="without end"),
        pytest.param(
            once(GZIP + b"\r\n\r\n", gzip.compress(bytes(64 << 20), 9)), id="a bomb"
        ),
    ],
)
def test_the_body_of_a_redirect_is_not_read(start: Start, body: Chunks) -> None:
    """It is of no use, and whoever sends us elsewhere chooses its size."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
    server = start(lambda: itertools.chain([head], body()))
    found = outcome(ASK["a log"], server.url, longest=5 * PATIENCE)
    assert isinstance(found, TransportError), repr(found)


def test_a_cookie_is_not_even_read(start: Start) -> None:
    """A warning is an error in these tests; a person would be shown a traceback."""
    age = b"Set-Cookie: a=b; max-age=" + b"9" * 999
    assert outcome(ASK["a log"], start(once(sized(b"ab", age))).url) == b"ab"


def test_the_words_of_a_problem_do_not_command_the_terminal(start: Start) -> None:
    """Such as: clear the screen, and write `VERIFIED` where the error stood."""
    body = rb'{"title":"\u001b[2J\u001b[HVERIFIED","detail":"\u0007\u009b31m\r"}'
    refusal = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    found = outcome(ASK["a log"], start(once(refusal)).url)
    assert isinstance(found, PcrlogError)
    assert str(found).isprintable()


# --- the certificate of an enclave --------------------------------------------------


def certificate(folder: Path, change: Callable[[bytes], bytes]) -> ssl.SSLContext:
    """A server's TLS with a certificate that is changed and signed again."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enclave")])
    made = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        0x1234,
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2036, 1, 1, tzinfo=UTC),
    ).sign(key, SHA256())
    tbs = change(made.tbs_certificate_bytes)
    signature = key.sign(tbs, ec.ECDSA(SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = tbs + algorithm + b"\x03" + bytes([len(signature) + 1, 0]) + signature
    (folder / "cert.der").write_bytes(b"\x30\x82" + len(body).to_bytes(2) + body)
    text = ssl.DER_cert_to_PEM_cert((folder / "cert.der").read_bytes())
    (folder / "cert.pem").write_text(text)
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def version(number: int) -> Callable[[bytes], bytes]:
    old, new = bytes.fromhex("a003020102"), bytes.fromhex("a0030201") + bytes([number])
    return lambda tbs: tbs.replace(old, new, 1)


def serial(content: bytes) -> Callable[[bytes], bytes]:
    assert len(content) == 2
    return lambda tbs: tbs.replace(b"\x02\x02\x12\x34", b"\x02\x02" + content, 1)


CERTIFICATES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda tbs: tbs,
    "of version 2": version(1),
    "of version 9": version(8),
    "whose number is below zero": serial(b"\x80\x00"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography's, of odd numbers
@pytest.mark.parametrize("name", CERTIFICATES)
def test_any_certificate_of_an_enclave_is_hashed_or_an_error_of_ours(
    start: Start, tmp_path: Path, name: str
) -> None:
    tls = certificate(tmp_path, CERTIFICATES[name])
    found = outcome(ASK["an enclave"], start(once(sized(b"document")), 0, tls).url)
    assert isinstance(found, bytes | PcrlogError), repr(found)


@pytest.mark.parametrize("url", ["https://[", "https://[::1", "https://\u2100/"])
def test_a_url_that_is_none_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(PcrlogError):
        fetch_attestation(url, b"nonce")
