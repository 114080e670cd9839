"""The network: sizes, retries, redirects, problems, and what a connection shows."""

import gzip
import json
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from pcrlog import transport
from pcrlog.enclave import fetch_attestation
from pcrlog.errors import PcrlogError, TransportError, UsageError
from pcrlog.reader import AbsentError
from pcrlog.transport import Client, Placed, Promised, RefusedError

Answer = tuple[int, dict[str, str], bytes]
NONCE = bytes(range(32))


class Server(ThreadingHTTPServer):
    """Answers what it is told to, in turn, and notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.thinks = 0.0
        self.asked: list[tuple[str, str, bytes, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def then(self, status: int, body: bytes | object = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, data))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        size = int(self.headers.get("Content-Length", "0"))
        kind = self.headers.get("Content-Type", "")
        server.asked.append((self.command, self.path, self.rfile.read(size), kind))
        time.sleep(server.thinks)
        status, headers, data = server.answers.pop(0)
        if status == 0:
            self.connection.close()
            return
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transport, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(transport, "_LONGEST_PAUSE", 0.0)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.url + "/")


# --- reading -------------------------------------------------------------------------


def test_a_path_is_read_below_the_logs_url(server: Server, client: Client) -> None:
    server.then(200, b"note")
    assert client("checkpoint", 4) == b"note"
    assert server.asked[0][:2] == ("GET", "/checkpoint")


def test_what_is_larger_than_asked_for_is_refused(
    server: Server, client: Client
) -> None:
    server.then(200, b"x" * 100_000)
    with pytest.raises(TransportError, match="more than 99999 bytes"):
        client("checkpoint", 99_999)


@pytest.mark.parametrize("status", [429, 502, 503, 504, 0])
def test_what_may_pass_is_asked_again(
    server: Server, client: Client, status: int
) -> None:
    server.then(status, Retry_After="1")
    server.then(200, b"note")
    assert client("checkpoint", 10) == b"note"


def test_three_times_are_enough(server: Server, client: Client) -> None:
    for _ in range(3):
        server.then(503, {"title": "Not now", "advice": "Try later."})
    with pytest.raises(TransportError, match=r"Not now\. Try later"):
        client("checkpoint", 10)
    assert len(server.asked) == 3


def test_nothing_there_is_an_error_of_its_own(server: Server, client: Client) -> None:
    server.then(404, {"title": "No such entry", "detail": "entry 7"})
    with pytest.raises(AbsentError, match="entry 7"):
        client("api/v1/entries/7", 10)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"title":7}'])
def test_a_refusal_without_a_problem_is_told_by_its_status(
    server: Server, client: Client, body: bytes
) -> None:
    server.then(400, body)
    with pytest.raises(RefusedError, match="answered 400"):
        client("api/v1/bundle?product=x", 10)


def test_a_server_error_could_not_be_checked(server: Server, client: Client) -> None:
    server.then(500)
    with pytest.raises(TransportError) as caught:
        client("checkpoint", 10)
    assert caught.value.exit_code == 3


def test_a_tile_may_be_served_from_elsewhere(server: Server, client: Client) -> None:
    server.then(302, Location="/cdn/tile")
    server.then(200, b"tile")
    assert client("tile/0/000", 10) == b"tile"


def test_nobody_there_is_said_in_few_words() -> None:
    with pytest.raises(TransportError, match=r"could not ask http://127\.0\.0\.1:9: "):
        Client("http://127.0.0.1:9")("checkpoint", 10)


@pytest.mark.parametrize("url", ["", "log.example", "ftp://log.example", "file:///etc"])
def test_a_log_has_a_url(url: str) -> None:
    with pytest.raises(UsageError):
        Client(url)


# --- submitting ----------------------------------------------------------------------

PLACED = {"index": 7, "sha256": "ab" * 32, "size": 9, "proof": "proof"}


def test_a_log_may_take_as_long_as_it_was_given(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", 0.1)
    server.thinks = 0.6
    server.then(202, {"sha256": "ab" * 32, "envelope_sha256": "cd" * 32})
    placed = Client(server.url).submit(b"{}", wait=1)
    assert isinstance(placed, Promised)


@pytest.mark.parametrize("status", [200, 201])
def test_a_submission_is_placed(server: Server, client: Client, status: int) -> None:
    server.then(status, PLACED)
    found = client.submit(b"{}", wait=3)
    assert found == Placed(7, "ab" * 32, 9, "proof")
    method, path, body, kind = server.asked[0]
    assert (method, path) == ("POST", "/api/v1/entries?wait=3")
    assert (body, kind) == (b"{}", "application/json")


def test_a_submission_is_promised(server: Server, client: Client) -> None:
    promise = {"sha256": "ab" * 32, "envelope_sha256": "cd" * 32, "status_url": "x"}
    server.then(202, promise)
    assert client.submit(b"{}") == Promised("ab" * 32, "cd" * 32)


def test_a_conflict_that_is_meant_says_so(server: Server, client: Client) -> None:
    server.then(201, PLACED)
    client.submit(b"{}", accept_conflict=True)
    assert server.asked[0][1].endswith("&conflict=accept")


def test_a_refusal_has_its_kind(server: Server, client: Client) -> None:
    kind = "urn:pcrlog:problem:conflict"
    server.then(409, {"type": kind, "title": "Conflict", "detail": "entry 3"})
    with pytest.raises(RefusedError) as caught:
        client.submit(b"{}")
    error = caught.value
    assert (error.kind, error.detail, error.status) == (kind, "entry 3", 409)
    assert error.exit_code == 4


def test_a_submission_follows_no_redirect(server: Server, client: Client) -> None:
    server.then(307, Location="http://127.0.0.1:9/elsewhere")
    with pytest.raises(TransportError):
        client.submit(b"{}")
    assert len(server.asked) == 1


def test_a_submission_is_made_again_where_no_answer_came(
    server: Server, client: Client
) -> None:
    server.then(0)
    server.then(200, PLACED)
    assert isinstance(client.submit(b"{}"), Placed)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"index":"7"}', b"[" * 2000])
def test_an_answer_that_is_none_could_not_be_checked(
    server: Server, client: Client, body: bytes
) -> None:
    server.then(201, body)
    with pytest.raises(TransportError, match="interface"):
        client.submit(b"{}")


@pytest.mark.parametrize(
    ("state", "index"),
    [
        ({"state": "waiting"}, None),
        ({"state": "sequenced", "index": 7}, None),
        ({"state": "published", "index": 7}, 7),
    ],
)
def test_a_submission_is_asked_after(
    server: Server, client: Client, state: object, index: int | None
) -> None:
    server.then(200, state)
    assert client.submission("ab" * 32) == index


@pytest.mark.parametrize("status", [400, 404, 500])
def test_no_log_decides_how_long_its_refusal_is(
    server: Server, client: Client, status: int
) -> None:
    words = dict.fromkeys(("title", "detail", "advice"), "A" * 30_000)
    server.then(status, words)
    with pytest.raises(PcrlogError) as caught:
        client("checkpoint", 10)
    assert str(caught.value) == "A" * 1_000


def test_a_submission_that_was_refused_says_why(server: Server, client: Client) -> None:
    problem = {"type": "x", "title": "No", "detail": "key"}
    server.then(200, {"state": "refused", "problem": problem})
    with pytest.raises(RefusedError, match=r"No\. key"):
        client.submission("ab" * 32)


# --- batches -------------------------------------------------------------------------


def lines(*answers: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in answers)


def test_each_envelope_of_a_batch_has_its_answer(
    server: Server, client: Client
) -> None:
    busy = {"type": "urn:pcrlog:problem:busy", "status": 429, "title": "Busy"}
    no = {"type": "urn:pcrlog:problem:conflict", "status": 409, "detail": "release 4"}
    waiting = {"sha256": "cd" * 32, "envelope_sha256": "ef" * 32, "state": "waiting"}
    placed = {"index": 7, "sha256": "ab" * 32}
    server.then(200, lines(placed, waiting, no, busy))
    first, second, third, fourth = client.submit_many(
        [b"{1}", b"{2}", b"{3}", b"{4}"], wait=2, accept_conflict=True
    )
    assert first == Placed(7, "ab" * 32)
    assert second == Promised("cd" * 32, "ef" * 32)
    assert isinstance(third, RefusedError)
    assert (third.kind, third.status) == (no["type"], 409)
    assert isinstance(fourth, TransportError)
    method, path, body, kind = server.asked[0]
    assert (method, path) == ("POST", "/api/v1/entries?wait=2&conflict=accept")
    assert (body, kind) == (b"{1}\n{2}\n{3}\n{4}\n", "application/x-ndjson")


def test_many_envelopes_are_several_batches(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BATCH_LINES", 2)
    monkeypatch.setattr(transport, "BATCH_BYTES", 10)
    placed = {"index": 7, "sha256": "ab" * 32}
    for number in (2, 1, 1):
        server.then(200, lines(*[placed] * number))
    assert len(client.submit_many([b"1", b"2", b"3", b"4" * 12])) == 4
    assert [asked[2] for asked in server.asked] == [
        b"1\n2\n",
        b"3\n",
        b"4" * 12 + b"\n",
    ]
    assert client.submit_many([]) == []


@pytest.mark.parametrize(
    "answer", [b"", lines({"index": 1}), lines({"index": 1}) * 3, b"{}\n{}", b"x\ny\n"]
)
def test_a_batch_that_is_not_answered_line_by_line_is_an_error(
    server: Server, client: Client, answer: bytes
) -> None:
    server.then(200, answer)
    with pytest.raises(TransportError):
        client.submit_many([b"1", b"2"])


def test_a_log_that_takes_no_batches_refuses(server: Server, client: Client) -> None:
    server.then(415, {"title": "No", "type": "media-type"})
    with pytest.raises(RefusedError, match="No"):
        client.submit_many([b"1"])


# --- files ---------------------------------------------------------------------------


def test_a_recipe_is_fetched_by_https_alone() -> None:
    for url in ("http://git.example/recipe", "git+https://git.example/r", "recipe"):
        with pytest.raises(UsageError, match="sha256"):
            transport.fetch_file(url, 10)


def test_a_compressed_answer_is_what_was_compressed(server: Server) -> None:
    server.then(200, gzip.compress(b"x" * 5000), Content_Encoding="gzip")
    assert Client(server.url)("api/v1/bundle", 5000) == b"x" * 5000


def test_a_compressed_answer_is_bounded_by_what_it_becomes(server: Server) -> None:
    server.then(200, gzip.compress(bytes(32 << 20)), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(TransportError, match="more than 5000 bytes"):
            Client(server.url)("api/v1/bundle", 5000)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_recipe_is_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(
        self: Client, method: str, path: str, *_: object
    ) -> tuple[int, bytes, int]:
        assert f"{self.url}/{path}" == "https://git.example/a/recipe"
        return 200, b"recipe", 0

    monkeypatch.setattr(Client, "_once", once)
    found = transport.fetch_file("https://git.example/a/recipe", 10)
    assert found == sha256(b"recipe").hexdigest()


# --- enclaves ------------------------------------------------------------------------


def test_an_enclave_is_asked_with_the_nonce(server: Server) -> None:
    server.then(200, b"document")
    found = fetch_attestation(f"{server.url}/attest", NONCE)
    assert (found.document, found.binding) == (b"document", None)
    assert server.asked[0][1] == f"/attest?nonce={NONCE.hex()}"


@pytest.mark.parametrize(
    ("path", "asked"), [("", "/?nonce="), ("/a?b=c", "/a?b=c&nonce=")]
)
def test_the_nonce_is_appended(server: Server, path: str, asked: str) -> None:
    server.then(200, b"document")
    fetch_attestation(server.url + path, NONCE)
    assert server.asked[0][1].startswith(asked)


@pytest.mark.parametrize(
    "url",
    [
        "http://enclave.example/attest",
        "http://10.0.0.1/attest",
        "ftp://127.0.0.1/attest",
        "enclave.example",
        "https://",
    ],
)
def test_an_enclave_elsewhere_is_asked_over_tls(url: str) -> None:
    with pytest.raises(UsageError):
        fetch_attestation(url, NONCE)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_enclave_answers_200_or_not_at_all(server: Server, status: int) -> None:
    server.then(status, Location=f"{server.url}/other")
    with pytest.raises(TransportError, match=f"answered {status}"):
        fetch_attestation(server.url, NONCE)
    assert len(server.asked) == 1


def test_an_enclave_says_64_kib_at_most(server: Server) -> None:
    server.then(200, b"x" * 65_536)
    assert len(fetch_attestation(server.url, NONCE).document) == 65_536
    server.then(200, b"x" * 65_537)
    with pytest.raises(TransportError, match="more than 65536 bytes"):
        fetch_attestation(server.url, NONCE)


def test_an_enclave_that_is_slow_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 1000.0])
    monkeypatch.setattr("pcrlog.connection.time.monotonic", lambda: next(times))
    server.then(200, b"document")
    with pytest.raises(TransportError):
        fetch_attestation(server.url, NONCE)


def test_an_enclave_that_is_not_there_could_not_be_asked() -> None:
    with pytest.raises(TransportError, match="could not ask the enclave"):
        fetch_attestation("http://127.0.0.1:9", NONCE)


def test_an_answer_that_is_no_http_could_not_be_read(server: Server) -> None:
    server.then(0)
    with pytest.raises(TransportError):
        fetch_attestation(server.url, NONCE)


def certificate(folder: Path) -> tuple[x509.Certificate, Path]:
    """A certificate that no authority has seen."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enclave")])
    now = datetime(2026, 11, 23, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    path = folder / "pair.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return made, path


@pytest.fixture
def over_tls(server: Server, tmp_path: Path) -> Callable[[], x509.Certificate]:
    def wrap() -> x509.Certificate:
        made, pair = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return made

    return wrap


def test_the_channel_is_what_the_connection_shows(
    server: Server, over_tls: Callable[[], x509.Certificate]
) -> None:
    made = over_tls()
    server.then(200, b"document")
    url = server.url.replace("http:", "https:")
    found = fetch_attestation(url, NONCE)
    spki = made.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert found.binding == {
        "tls-spki-sha256": sha256(spki).digest(),
        "tls-cert-sha256": sha256(made.public_bytes(Encoding.DER)).digest(),
    }
