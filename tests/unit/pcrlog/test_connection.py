"""A head that does not end, over TLS; and what is taken out of an answer."""

import contextlib
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from pcrlog import connection
from pcrlog.errors import TransportError
from pcrlog.exchange import Answer, Exchange


class Server(ThreadingHTTPServer):
    """Over TLS; the head of its answer ends when it is told to."""

    daemon_threads = True

    def __init__(self, pair: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair)
        self.endless = False
        self.ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def setup(self) -> None:
        assert isinstance(self.server, Server)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: ")
        # Whoever asks goes before the end.
        with contextlib.suppress(OSError):
            while self.server.endless and not self.server.ended.wait(0.005):
                self.wfile.write(b"x")
            self.wfile.write(b"\r\n\r\nnote")


def certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "pair.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pair = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair))
    made = Server(pair)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.ended.set()
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def door(server: Server) -> Iterator[Exchange]:
    made = Exchange(f"https://127.0.0.1:{server.server_port}", timeout=5.0)
    yield made
    made.close()


def test_an_answer_over_tls_is_read(door: Exchange) -> None:
    found = replace(door.get("x", 10), headers={})
    assert found == Answer(200, "", None, b"note")


def test_a_head_over_tls_that_does_not_end_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time: without a deadline for them all, this would hang."""
    monkeypatch.setattr(connection, "TIMEOUT", 0.05)
    server.endless = True
    door = Exchange(f"https://127.0.0.1:{server.server_port}", timeout=0.5)
    with pytest.raises(TransportError, match="does not come to an end"):
        door.get("x", 10)
    door.close()


def test_a_certificate_of_no_known_authority_is_refused(
    door: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        door.get("x", 10)


@pytest.mark.parametrize("cookie", [None, "a=b"])
def test_an_answer_that_came_without_a_head_is_an_answer(cookie: str | None) -> None:
    """Of urllib3, or of whoever stands in its place: cookies come by the head alone."""
    with connection.new_session() as session:
        asked = session.prepare_request(requests.Request("GET", "http://w.example/"))
        headers = {"Set-Cookie": cookie} if cookie else {}
        came = urllib3.HTTPResponse(b"note", headers=headers, status=200)
        adapter = session.get_adapter("http://w.example/")
        assert isinstance(adapter, requests.adapters.HTTPAdapter)
        answer = adapter.build_response(asked, came)
    assert answer.status_code == 200
    assert list(answer.cookies) == []
