"""Enclaves over TLS that can lie, and note every byte that reached them.

What a client of an enclave is tried with: `seen` is the plaintext of each connection,
so that a test can say that not one byte of a body left. `certificate` makes the
self-signed certificates that attestation documents name.
"""

import contextlib
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.enclave import self_signed
from pcrlog.encoding import sha256
from tests.support.machines import quote
from tests.support.scene import GOOD, document


class Certificate(NamedTuple):
    """A certificate, its key (PEM, both), and what documents name of it."""

    pem: bytes
    spki_sha256: bytes
    cert_sha256: bytes


def certificate() -> Certificate:
    """A new one for 127.0.0.1, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = self_signed(key)
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return Certificate(pem, sha256(spki), sha256(der))


class Enclave(ThreadingHTTPServer):
    """One on loopback, between `__enter__` and `__exit__`.

    `fields` are what its documents carry beside the nonce; `document` may be replaced
    by what takes the nonce asked for and gives any bytes. `answers` maps a path to
    status and headers that it is answered with. `drips`: instead of a document, chunks
    begin with the one, and the other comes again and again. One on other hardware is
    given `document`: `on_sgx` is one with SGX, which names its key as `public_key`.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float],
        *,
        own: Certificate | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.own = own or certificate()
        self.clock = clock
        self.registers: Mapping[str, str] = GOOD
        self.fields: dict[str, Any] = {"user_data": self.own.spki_sha256}
        self.document: Callable[[bytes], bytes] = self.honest
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.closes = False
        self.drips: tuple[bytes, bytes] | None = None
        self.seen: list[bytearray] = []
        self._open: list[socket.socket] = []
        self._show(folder, self.own)
        self._plain, self._folder = self.socket, folder
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def _show(self, folder: Path, shown: Certificate) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = folder / f"{self.server_port}.pem"
        path.write_bytes(shown.pem)
        context.load_cert_chain(path)
        self.context = context

    def show(self, other: Certificate) -> None:
        """Show another certificate from the next connection on."""
        self._show(self._folder, other)

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, with TLS; its handshake is that of its own thread."""
        plain, address = super().get_request()
        wrapped = self.context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        self._open.append(wrapped)
        return wrapped, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are the point of many tests."""

    def honest(self, nonce: bytes) -> bytes:
        """A document as it should be."""
        now = int(self.clock())
        return document(self.registers, time=now, nonce=nonce, **self.fields)

    def on_sgx(self, nonce: bytes) -> bytes:
        """A quote, instead of a document of AWS."""
        return quote(nonce=nonce, public_key=self.own.spki_sha256)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.server_port}"

    @property
    def heard(self) -> bytes:
        """All that ever reached it."""
        return b"".join(map(bytes, self.seen))

    @property
    def paths(self) -> list[str]:
        """What was asked, in order, without queries."""
        asked = re.findall(rb"([A-Z]+) (/[^ ?]*)[^ ]* HTTP/1\.1\r\n", self.heard)
        return [f"{method.decode()} {path.decode()}" for method, path in asked]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        value: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        for one in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)
        self.server_close()


class _Noting:
    """A file that notes what is read of it."""

    def __init__(self, file: BufferedIOBase, seen: bytearray) -> None:
        self._file, self._seen = file, seen

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(size)
        self._seen += line
        return line

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._seen += data
        return data

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: two wait 40 ms for each other
    server: Enclave  # type: ignore[mutable-override] # set by Enclave itself

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()
        seen = bytearray()
        self.server.seen.append(seen)
        self.rfile: Any = _Noting(self.rfile, seen)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/attestation" or self.command != "GET":
            self._answer()
            return
        if self.server.drips is not None:
            self._drip(*self.server.drips)
            return
        nonce = bytes.fromhex(parse_qs(parts.query).get("nonce", [""])[0])
        status, headers = self.server.answers.get(parts.path, (200, {}))
        data = self.server.document(nonce)
        if self.server.closes:
            headers = {**headers, "Connection": "close"}
        self._send(status, headers, data)

    def do_POST(self) -> None:
        self.do_GET()

    def _drip(self, first: bytes, again: bytes) -> None:
        self.close_connection = True
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        with contextlib.suppress(OSError):
            self.connection.sendall(head + first)
            while True:
                time.sleep(0.01)
                self.connection.sendall(again)

    def _answer(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status, headers = self.server.answers.get(self.path, (200, {}))
        self._send(status, headers, b"thanks")

    def _send(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Proxy:
    """Passes connections on by CONNECT; or opens them, with a certificate of its own.

    `seen` is what went through: ciphertext, unless it opens them.
    """

    def __init__(self, opened: Certificate | None, folder: Path) -> None:
        self._opened: ssl.SSLContext | None = None
        if opened is not None:
            path = folder / "proxy.pem"
            path.write_bytes(opened.pem)
            self._opened = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._opened.load_cert_chain(path)
        self.seen = bytearray()
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, job: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=job, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._start(self._pass_on, near)

    def _pass_on(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += near.recv(1)
            self.asked.append(head.decode().splitlines()[0])
            host, _, port = head.split()[1].decode().partition(":")
            far = socket.create_connection((host, int(port)))
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if self._opened is not None:
                near = self._opened.wrap_socket(near, server_side=True)
                inner = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                inner.check_hostname, inner.verify_mode = False, ssl.CERT_NONE
                far = inner.wrap_socket(far)
            self._ends += [near, far]
            self._pump(near, far)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([near, far], [], [], 10)
            if not ready:
                return
            for one in ready:
                data = one.recv(65_536)
                if not data:
                    return
                if one is near:
                    self.seen += data
                (far if one is near else near).sendall(data)
