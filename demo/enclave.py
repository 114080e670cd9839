"""A simulated enclave that answers over HTTPS, for the demo: it attests, or lies.

`GET /attestation?nonce=<hex>` gives a document under the simulator's own root, with the
nonce, and the SHA-256 of this server's TLS key, so that whoever connects can tell that
it is the enclave at the other end. On which hardware it is, its measurements tell:

    registers            platform        the key stands in
    PCR0, PCR1, PCR2     aws-nitro       user_data
    PCR4, PCR12          aws-nitrotpm    user_data
    MRENCLAVE            intel-sgx       public_key: the second half of report data

`--root` writes the root that a policy has to name, `--collateral` what the simulated
Intel publishes of its machine. Lies, by `--lie`:

    stale   a document recorded an hour ago
    debug   the enclave runs in debug mode
    relay   somebody in the middle asks a genuine enclave and passes its answer on

No enclave is this honest about lying, and no policy trusts the simulator's root unless
a file says so.
"""

import argparse
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
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

from pcrlog.attestation.sgx import simulator as sgx
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.simulator import Simulator
from pcrlog.published import (
    MOST,
    NITROTPM,
    SGX,
    Build,
    check_build,
    collect,
    parse_pairs,
)

SEED = b"pcrlog demo"
LIES = ("stale", "debug", "relay")
_HOUR = 3600


class Machine(Protocol):
    """What attests to one build."""

    most: int
    """Bytes of the longest nonce."""

    @property
    def root_der(self) -> bytes:
        """What a policy has to trust."""
        ...

    def attest(
        self, *, time: int, nonce: bytes | None, channel: bytes, debug: bool
    ) -> bytes:
        """A document made at `time` (unix seconds) that names the key `channel`."""
        ...

    def collateral(self, now: int) -> bytes | None:
        """What its maker publishes of it, an hour old; None: nothing."""
        ...


class Nitro:
    """An enclave of AWS, or an instance with a NitroTPM."""

    most = 512

    def __init__(self, build: Build) -> None:
        self.tpm = build.platform == NITROTPM
        self.simulator = Simulator(SEED, tpm=self.tpm)
        self.registers = _digests(build)

    @property
    def root_der(self) -> bytes:
        """See `Machine`, as for all of these."""
        return self.simulator.root_der

    def attest(
        self, *, time: int, nonce: bytes | None, channel: bytes, debug: bool
    ) -> bytes:
        """A document; an instance has no debug mode, but may have measured no boot."""
        registers = self.registers
        if self.tpm and debug:
            registers = {**registers, "PCR4": bytes(48)}
        return self.simulator.document(
            time=time * 1000,
            registers=registers,
            debug=debug and not self.tpm,
            nonce=nonce,
            user_data=channel,
        )

    def collateral(self, _now: int) -> None:
        """There is none."""
        return


class Sgx:
    """An enclave of SGX: its quotes name no time."""

    most = 32

    def __init__(self, build: Build) -> None:
        self.simulator = sgx.Simulator(SEED)
        self.registers = _digests(build)
        self.numbers = build.numbers

    @property
    def root_der(self) -> bytes:
        """See `Machine`."""
        return self.simulator.root_der

    def attest(
        self, *, time: int, nonce: bytes | None, channel: bytes, debug: bool
    ) -> bytes:
        """A quote."""
        del time
        return self.simulator.document(
            registers=self.registers,
            numbers=self.numbers,
            debug=debug,
            nonce=nonce,
            public_key=channel,
        )

    def collateral(self, now: int) -> bytes:
        """All is up to date."""
        return self.simulator.collateral(Word(issued=now - _HOUR))


def _digests(build: Build) -> dict[str, bytes | str]:
    return {name: digest.partition(":")[2] for name, digest in build.registers.items()}


def machine_of(build: Build) -> Machine:
    """What attests to a build."""
    return Sgx(build) if build.platform == SGX else Nitro(build)


class Enclave(ThreadingHTTPServer):
    """The server: what it attests to, and how it lies."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], machine: Machine, lie: str | None
    ) -> None:
        super().__init__(address, Answer)
        self.machine = machine
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
        return self.machine.attest(
            time=now, nonce=nonce, channel=channel, debug=self.lie == "debug"
        )


class Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Enclave  # type: ignore[mutable-override] # set by Enclave itself

    def do_GET(self) -> None:
        """Answer with a document that holds the nonce asked for."""
        query = parse_qs(urlsplit(self.path).query)
        try:
            nonce = bytes.fromhex(query.get("nonce", [""])[0])
        except ValueError:
            self.send_error(400, "nonce: expected hex")
            return
        if len(nonce) > self.server.machine.most:
            self.send_error(400, f"nonce: at most {self.server.machine.most} bytes")
            return
        body = self.server.document(nonce or None)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
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
    parser.add_argument("--root", type=Path)
    parser.add_argument("--collateral", type=Path)
    options = parser.parse_args()
    with options.measurements.open("rb") as file:
        build = check_build(collect(parse_pairs(file.read(MOST))))
    machine = machine_of(build)
    if options.root is not None:
        options.root.write_text(ssl.DER_cert_to_PEM_cert(machine.root_der))
    if options.collateral is not None:
        published = machine.collateral(int(time.time()))
        if published is None:
            parser.error("--collateral: AWS publishes nothing of its machines")
        options.collateral.write_bytes(published)
    enclave = Enclave(("127.0.0.1", options.port), machine, options.lie)
    print(f"an enclave at https://127.0.0.1:{enclave.server_port}", flush=True)
    enclave.serve_forever()


if __name__ == "__main__":
    main()
