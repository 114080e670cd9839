"""An enclave's server, as short as can be: what it has to do so that clients know it.

1. It makes a TLS key inside the enclave, which never leaves it, and a certificate for
   it, self-signed: no authority has to vouch for it.
2. `GET /attestation?nonce=<hex>` answers with a document that holds the nonce, and in
   `user_data` the SHA-256 of that key. The release says so, so that clients look there:
   pcrlog release … --binding user_data:tls-spki-sha256
3. Everything else is HTTP, over the same connection, which it keeps open (HTTP/1.1).

Here a simulator takes the place of /dev/nsm, so that it runs anywhere; `--root` writes
the root that a policy has to name for that. In an enclave, `document` asks the NSM.

    python docs/examples/enclave.py --measurements build.json --root root.pem
"""

import argparse
import json
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

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

from pcrlog.attestation.simulator import Simulator

_NONCE = 512
"""Bytes that a document of AWS can hold as a nonce."""
_BODY = 1_048_576


class Enclave(ThreadingHTTPServer):
    """The server, its TLS key, and what attests to both."""

    daemon_threads = True

    def __init__(self, port: int, registers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.simulator = Simulator(b"docs/examples")
        self.registers = registers
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.spki_sha256 = sha256(spki).digest()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "tls.pem")
            pem.touch(0o600)
            pem.write_bytes(certificate(key))
            self.context.load_cert_chain(pem)
        # TLS is agreed on in each connection's own thread: a slow one keeps nobody.
        self.socket = self.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def document(self, nonce: bytes) -> bytes:
        """What the hardware signs: these registers, this nonce, this TLS key."""
        return self.simulator.document(
            time=time.time_ns() // 1_000_000,
            registers=self.registers,
            nonce=nonce,
            user_data=self.spki_sha256,
        )


class Answer(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # type: ignore[mutable-override] # seconds; typeshed has None alone
    wbufsize = -1  # an answer in one piece: two wait 40 ms for each other
    server: Enclave  # type: ignore[mutable-override] # set by Enclave itself

    def do_GET(self) -> None:
        """`/attestation?nonce=<hex>`."""
        parts = urlsplit(self.path)
        if parts.path != "/attestation":
            self.send_error(404)
            return
        try:
            nonce = bytes.fromhex(parse_qs(parts.query)["nonce"][0])
        except (KeyError, ValueError):
            self.send_error(400, "nonce: expected hex")
            return
        if len(nonce) > _NONCE:
            self.send_error(400, f"nonce: at most {_NONCE} bytes")
            return
        self.answer(self.server.document(nonce))

    def do_POST(self) -> None:
        """`/secret`: says how long it was."""
        size = int(self.headers.get("Content-Length", "0"))
        if self.path != "/secret" or not 0 <= size <= _BODY:
            self.send_error(404)
            return
        secret = self.rfile.read(size)
        self.answer(f"{len(secret)} bytes are safe here\n".encode())

    def answer(self, body: bytes) -> None:
        """A whole answer; the connection stays open."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: who asks what is nobody's business."""


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A self-signed certificate and its key, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enclave")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.public_bytes(Encoding.PEM)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--measurements", type=Path, required=True)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    measured = json.loads(options.measurements.read_bytes())["Measurements"]
    registers = {name: value for name, value in measured.items() if name[:3] == "PCR"}
    enclave = Enclave(options.port, registers)
    if options.root is not None:
        root = ssl.DER_cert_to_PEM_cert(enclave.simulator.root_der)
        options.root.write_text(root)
    print(f"an enclave at https://127.0.0.1:{enclave.server_port}", flush=True)
    enclave.serve_forever()


if __name__ == "__main__":
    main()
