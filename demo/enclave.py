"""A simulated enclave that answers over HTTPS, for the demo: it attests, or lies.

`GET /attestation?nonce=<hex>` gives a document under the simulator's own root, with the
nonce, and in `user_data` the SHA-256 of this server's TLS key, so that whoever connects
can tell that it is the enclave at the other end. Lies, by `--lie`:

    stale   a document recorded an hour ago
    debug   the enclave runs in debug mode
    relay   somebody in the middle asks a genuine enclave and passes its answer on

No enclave is this honest about lying, and no policy trusts the simulator's root unless
a file says so.
"""

import argparse
import json
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
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

LIES = ("stale", "debug", "relay")
_HOUR = 3600
_MAX_NONCE = 1024


class Enclave(ThreadingHTTPServer):
    """The server: what it attests to, and how it lies."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], registers: dict[str, str], lie: str | None
    ) -> None:
        super().__init__(address, Answer)
        self.simulator = Simulator(b"pcrlog demo")
        self.registers = registers
        self.lie = lie
        key = ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.channel = sha256(spki).digest()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "tls.pem")
            pem.touch(0o600)
            pem.write_bytes(self_signed(key))
            context.load_cert_chain(pem)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def document(self, nonce: bytes | None) -> bytes:
        """A document, as honest as this server is."""
        now = int(time.time())
        channel = self.channel
        if self.lie == "stale":
            now, nonce = now - _HOUR, sha256(b"somebody else's nonce").digest()
        if self.lie == "relay":
            channel = sha256(b"the genuine enclave's key").digest()
        return self.simulator.document(
            time=now * 1000,
            registers=self.registers,
            debug=self.lie == "debug",
            nonce=nonce,
            user_data=channel,
        )


class Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Enclave  # type: ignore[mutable-override] # set by Enclave itself

    def do_GET(self) -> None:
        """Answer with a document that holds the nonce asked for."""
        query = parse_qs(urlsplit(self.path).query)
        try:
            nonce = bytes.fromhex(query.get("nonce", [""])[0])[:_MAX_NONCE]
        except ValueError:
            self.send_error(400, "nonce: expected hex")
            return
        body = self.server.document(nonce or None)
        self.send_response(200)
        self.send_header("Content-Type", "application/cbor")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Say nothing: the demo's output is the client's."""


def self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A self-signed certificate and its key, in PEM: the attestation vouches for it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enclave")])
    now = datetime.now(UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(loopback, critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--measurements", type=Path, required=True)
    parser.add_argument("--lie", choices=LIES)
    options = parser.parse_args()
    measured = json.loads(options.measurements.read_bytes())["Measurements"]
    registers = {name: value for name, value in measured.items() if name[:3] == "PCR"}
    enclave = Enclave(("127.0.0.1", options.port), registers, options.lie)
    enclave.serve_forever()


if __name__ == "__main__":
    main()
