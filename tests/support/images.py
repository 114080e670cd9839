"""Builds enclave images and ramdisks: right ones, and wrong ones a byte at a time.

Written from the format alone, apart from workbench, so that neither can hide the
other's mistake: what a section goes into is computed here in the plainest way.

    image = build(sections("kernel", b"…", [ramdisk([file("etc/host", b"a")])]))
"""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from struct import pack

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA = range(1, 6)
HEADER = 548
METADATA_JSON = (
    b'{"ImageName":"wallet","ImageVersion":"1.4.2","BuildMetadata":{"BuildTime":'
    b'"2026-11-23T07:00:00+00:00","BuildTool":"nitro-cli","BuildToolVersion":"1.4.4",'
    b'"OperatingSystem":"Linux","KernelVersion":"6.1.112"},"DockerInfo":{"Os":"linux"},'
    b'"CustomMetadata":{"Team":"wallets"}}'
)
CURVES: dict[str, tuple[ec.EllipticCurve, int, int, SHA256 | SHA384 | SHA512]] = {
    "ES256": (ec.SECP256R1(), -7, 32, SHA256()),
    "ES384": (ec.SECP384R1(), -35, 48, SHA384()),
    "ES512": (ec.SECP521R1(), -36, 66, SHA512()),
}


# --- ramdisks -------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """An entry of a ramdisk."""

    name: bytes
    data: bytes = b""
    mode: int = 0o100644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    ino: int = 1
    nlink: int = 1
    magic: bytes = b"070701"
    check: int = 0

    def encode(self) -> bytes:
        """As newc has it."""
        name = self.name + b"\0"
        numbers = [self.ino, self.mode, self.uid, self.gid, self.nlink, self.mtime]
        numbers += [len(self.data), 0, 0, 0, 0, len(name), self.check]
        head = self.magic + b"".join(b"%08X" % one for one in numbers) + name
        return _padded(head) + _padded(self.data)


def file(name: str, data: bytes = b"", **members: int) -> File:
    """A regular file, or what `mode` says."""
    return File(name.encode(), data, **members)  # type: ignore[arg-type] # all integers


def ramdisk(files: Iterable[File]) -> bytes:
    """An archive with these entries, in this order."""
    entries = [*files, File(b"TRAILER!!!", mode=0, ino=0)]
    return b"".join(entry.encode() for entry in entries)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# --- images ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """One section, and what its head says if it lies."""

    kind: int
    data: bytes
    flags: int = 0
    told: int | None = None

    def encode(self) -> bytes:
        """Head and data."""
        size = len(self.data) if self.told is None else self.told
        return pack(">HHQ", self.kind, self.flags, size) + self.data


@dataclass(frozen=True)
class Layout:
    """All of an image; `over` is written over the header at these bytes."""

    sections: Sequence[Section]
    version: int = 4
    flags: int = 0
    memory: int = 1 << 30
    cpus: int = 2
    over: dict[int, bytes] = field(default_factory=dict)
    after: bytes = b""
    crc: int | None = None

    def encode(self) -> bytes:
        """The file, with a CRC that is right unless it is given."""
        body = b"".join(section.encode() for section in self.sections) + self.after
        return with_crc(self._header() + bytes(4) + body, self.crc)

    def _header(self) -> bytes:
        offsets, sizes, at = [0] * 32, [0] * 32, HEADER
        for number, section in enumerate(self.sections[:32]):
            offsets[number], sizes[number] = at, len(section.data)
            at += 12 + len(section.data)
        header = pack(
            ">4sHHQQHH64QI",
            b".eif",
            self.version,
            self.flags,
            self.memory,
            self.cpus,
            0,
            len(self.sections),
            *offsets,
            *sizes,
            0,
        )
        for place, data in self.over.items():
            header = header[:place] + data + header[place + len(data) :]
        return header


def with_crc(image: bytes, crc: int | None = None) -> bytes:
    """The same bytes, with the CRC that they have, or another."""
    found = zlib.crc32(image[: HEADER - 4] + image[HEADER:]) if crc is None else crc
    return image[: HEADER - 4] + pack(">I", found) + image[HEADER:]


def layout(
    *ramdisks: bytes,
    kernel: bytes = b"KERNEL" * 20,
    cmdline: bytes = b"reboot=k panic=30 pci=off nomodules console=ttyS0",
    version: int = 4,
    metadata: bytes = METADATA_JSON,
    flags: int = 0,
) -> Layout:
    """An image as nitro-cli lays it out, not signed."""
    sections = [Section(KERNEL, kernel), Section(CMDLINE, cmdline)]
    sections += [Section(METADATA, metadata)] if version > 3 else []
    sections += [Section(RAMDISK, one) for one in ramdisks]
    return Layout(sections, version=version, flags=flags)


def image(*ramdisks: bytes, algorithm: str = "", **members: object) -> bytes:
    """The same as bytes; signed if an algorithm is named."""
    made = layout(*ramdisks, **members)  # type: ignore[arg-type] # as layout takes them
    return (signed(made, algorithm) if algorithm else made).encode()


# --- registers ------------------------------------------------------------------------


def registers(made: Layout) -> dict[str, str]:
    """PCR0 to PCR2, computed as the formulas stand in AWS's text."""
    data = {kind: [s.data for s in made.sections if s.kind == kind] for kind in (1, 2)}
    ramdisks = [section.data for section in made.sections if section.kind == RAMDISK]
    boot = [*data[1], *data[2]]
    return {
        "PCR0": register(b"".join(boot + ramdisks)),
        "PCR1": register(b"".join(boot + ramdisks[:1])),
        "PCR2": register(b"".join(ramdisks[1:])),
    }


def register(data: bytes) -> str:
    """A register that this was measured into."""
    inner = hashlib.sha384(data).digest()
    return "sha384:" + hashlib.sha384(bytes(48) + inner).hexdigest()


# --- signatures -----------------------------------------------------------------------


@cache
def key(algorithm: str) -> ec.EllipticCurvePrivateKey:
    """The key for an algorithm: always the same one."""
    return ec.derive_private_key(7, CURVES[algorithm][0])


@cache
def certificate(algorithm: str) -> x509.Certificate:
    """A certificate that has signed itself, always with the same bytes."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "acme.example"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        ]
    )
    builder = x509.CertificateBuilder(
        name,
        name,
        key(algorithm).public_key(),
        serial_number=7,
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2036, 1, 1, tzinfo=UTC),
    )
    return builder.sign(key(algorithm), CURVES[algorithm][3], ecdsa_deterministic=True)


def pem(algorithm: str) -> bytes:
    """That certificate, as openssl writes it."""
    return certificate(algorithm).public_bytes(Encoding.PEM)


def payload(pcr0: str, index: int = 0) -> bytes:
    """What is signed of an image."""
    value = list(bytes.fromhex(pcr0.partition(":")[2]))
    return cbor2.dumps({"register_index": index, "register_value": value})


def cose(
    algorithm: str,
    signs: bytes,
    *,
    alg: int | None = None,
    unprotected: dict[int, bytes] | None = None,
) -> bytes:
    """A COSE_Sign1, signed whatever it says."""
    _, number, half, digest = CURVES[algorithm]
    protected = cbor2.dumps({1: number if alg is None else alg})
    structure = cbor2.dumps(["Signature1", protected, b"", signs])
    proof = key(algorithm).sign(structure, ec.ECDSA(digest, deterministic_signing=True))
    r, s = decode_dss_signature(proof)
    raw = r.to_bytes(half) + s.to_bytes(half)
    return cbor2.dumps([protected, unprotected or {}, signs, raw])


def entry(certificate: bytes, signature: bytes) -> dict[str, list[int]]:
    """One entry of a signature section."""
    return {"signing_certificate": list(certificate), "signature": list(signature)}


def signed(made: Layout, algorithm: str, section: bytes | None = None) -> Layout:
    """An image with a signature section: a right one, or any bytes."""
    if section is None:
        proof = cose(algorithm, payload(registers(made)["PCR0"]))
        section = cbor2.dumps([entry(pem(algorithm), proof)])
    return replace(made, sections=[*made.sections, Section(SIGNATURE, section)])
