"""The quote of an SGX enclave, version 3, signed with ECDSA (ATTEST.md 6.1).

    0     48  header         2 version, 3; 2 kind of key, 2 (ECDSA, P-256); 4 zero;
                             2 SVN of QE, 2 of PCE; 16 vendor of QE; 20 user data: 16
                             the QE's ID, 4 zero
    48   384  report         of the enclave
    432    4  size           of all that follows
    436   64  signature      r || s, by the key below, over the first 432 bytes
    500   64  key            x || y: the attestation key
    564  384  report         of the quoting enclave (QE), which made that key
    948   64  signature      r || s, by the PCK, over the QE's report
    1012   2  size, and the QE's authentication data
    ...  2+4  kind, size, and the certification data: 5 is the chain of the PCK, in PEM

and a report, of either enclave:

    0     16  CPUSVN                     128   32  MRSIGNER
    16     4  MISCSELECT                 160   96  zero
    20    28  zero                       256    2  ISVPRODID
    48    16  ATTRIBUTES                 258    2  ISVSVN
    64    32  MRENCLAVE                  260   60  zero
    96    32  zero                       320   64  REPORT DATA, the enclave's to choose

Numbers are little-endian, but for those in signatures and keys. Every size fits, every
zero is one. With key separation and sharing (KSS) an enclave can have a CONFIGID at 192
and a CONFIGSVN at 260, which its host chooses and no measurement covers, and two more
names. pcrlog has no word for them, so a quote that has any is refused.

Before it there may be headers (module `wrapping`), after it whatever an application
likes to add. Neither is signed; `Quote` says what there was.
"""

import struct
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation.sgx import pem, wrapping
from pcrlog.errors import MalformedError, VerificationError

BEGINS = bytes.fromhex("03000200 00000000")
"""Version 3, ECDSA on P-256, no TEE type (SGX)."""
QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
"""Intel."""
QE_SIGNER = bytes.fromhex(
    "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff"
)
"""MRSIGNER of Intel's quoting enclaves for SGX, of all versions so far."""
QE_PROD_ID = 1
"""Their ISVPRODID."""
HEADER, REPORT, SIGNATURE = 48, 384, 64
SIGNED = HEADER + REPORT
"""Bytes that the attestation key signs."""
TRAILING = 4_096
"""Bytes after the quote, at most; 39 to 70 have been seen (ATTEST.md 6.1)."""
PCK_CHAIN = 5
"""The kind of certification data that is certificates in PEM."""

INIT, DEBUG, MODE64 = 0x01, 0x02, 0x04
PROVISION, EINITTOKEN, KSS = 0x10, 0x20, 0x80
"""Flags: the first eight bytes of ATTRIBUTES."""

_SIZE = struct.Struct("<I")
_AUTHENTICATION = struct.Struct("<H")
_CERTIFICATION = struct.Struct("<HI")
_ZERO = ((20, 48), (96, 128), (160, 256), (260, 320))
"""Where a report holds nothing, unless it has KSS."""


class Report(Struct, frozen=True):
    """What the processor says of an enclave."""

    cpusvn: bytes
    miscselect: bytes
    attributes: bytes
    """16 bytes: flags, then XFRM."""
    mrenclave: bytes
    mrsigner: bytes
    isv_prod_id: int
    isv_svn: int
    report_data: bytes
    raw: bytes
    """All 384."""

    @property
    def flags(self) -> int:
        """The first half of the attributes, as a number."""
        return int.from_bytes(self.attributes[:8], "little")


class Quote(Struct, frozen=True):
    """A quote of the right form. Nothing in it is verified."""

    signed: bytes
    """Header and report, as the attestation key signed them."""
    qe_svn: int
    qe_id: bytes
    report: Report
    signature: bytes
    attestation_key: bytes
    qe_report: Report
    qe_signature: bytes
    authentication: bytes
    certification: int
    """The kind of the certification data."""
    certificates: tuple[bytes, ...]
    """DER, as yet unread; none if the kind is not `PCK_CHAIN`."""
    wrapping: str
    """What stands before the quote, in words; empty for nothing."""
    trailing: bytes
    """What stands after it."""


def parse(data: bytes) -> Quote:
    """The quote in `data`, bare or wrapped.

    Raises:
        MalformedError: not of the module's form.
    """
    if len(data) > limits.ATTESTATION:
        found = f"{len(data)} bytes"
        _refuse(found, "quote", f"at most {limits.ATTESTATION} bytes")
    rest, size, before = wrapping.remove(data)
    header, body = rest[:HEADER], rest[HEADER:SIGNED]
    if header[:8] != BEGINS:
        expected = "version 3, ECDSA on P-256, SGX (0300020000000000)"
        _refuse(header[:8].hex(), "header", expected)
    if header[12:28] != QE_VENDOR:
        _refuse(header[12:28].hex(), "vendor of QE", QE_VENDOR.hex())
    if header[44:48] != bytes(4):
        _refuse(header[44:48].hex(), "end of header", "zero")
    parts = _Reader(rest[SIGNED:])
    signature_data = _Reader(parts.sized(_SIZE, "signature data"))
    trailing = parts.rest()
    if size < len(rest) - len(trailing):
        found = f"a size of {size}"
        _refuse(found, wrapping.REPORT_HEADER, "one that holds the quote")
    if len(trailing) > TRAILING:
        found = f"{len(trailing)} bytes"
        _refuse(found, "after the quote", f"at most {TRAILING} bytes")
    signature = signature_data.take(SIGNATURE, "signature")
    attestation_key = signature_data.take(64, "attestation key")
    public_key(attestation_key)
    qe_report = signature_data.take(REPORT, "QE report")
    qe_signature = signature_data.take(SIGNATURE, "QE signature")
    authentication = signature_data.sized(_AUTHENTICATION, "authentication data")
    kind, certification = _certification(signature_data)
    return Quote(
        signed=header + body,
        qe_svn=int.from_bytes(header[8:10], "little"),
        qe_id=header[28:44],
        report=parse_report(body, "report"),
        signature=signature,
        attestation_key=attestation_key,
        qe_report=parse_report(qe_report, "QE report"),
        qe_signature=qe_signature,
        authentication=authentication,
        certification=kind,
        certificates=_certificates(certification) if kind == PCK_CHAIN else (),
        wrapping=before,
        trailing=trailing,
    )


def parse_report(raw: bytes, what: str) -> Report:
    """A report of 384 bytes; `what` it is called in errors.

    Raises:
        MalformedError: another length, or something where nothing is to be.
    """
    if len(raw) != REPORT:
        _refuse(f"{len(raw)} bytes", what, f"{REPORT} bytes")
    for begin, end in _ZERO:
        if any(raw[begin:end]):
            expected = f"zero from byte {begin} to {end} (KSS is not supported)"
            _refuse(raw[begin:end].hex(), what, expected)
    report = Report(
        cpusvn=raw[:16],
        miscselect=raw[16:20],
        attributes=raw[48:64],
        mrenclave=raw[64:96],
        mrsigner=raw[128:160],
        isv_prod_id=int.from_bytes(raw[256:258], "little"),
        isv_svn=int.from_bytes(raw[258:260], "little"),
        report_data=raw[320:],
        raw=raw,
    )
    if not report.flags & INIT:
        expected = "the flag INIT, which every enclave that runs has"
        _refuse(f"attributes {report.attributes.hex()}", what, expected)
    return report


def public_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key whose coordinates x || y are.

    Raises:
        MalformedError: that is no point of the curve.
    """
    x, y = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        _refuse(raw.hex(), "attestation key", "a point on P-256")


def verify_signature(
    key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes, failure: str
) -> None:
    """Require that `key` (P-256) made `signature` (r || s, big-endian) over `signed`.

    Raises:
        VerificationError: it did not, or r or s is not in 1..n-1; the message is
            `failure`.
    """
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise VerificationError(failure) from error


class _Reader:
    """Takes bytes from the front, as many as a size says."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int, what: str) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            _refuse(f"{len(part)} bytes", what, f"{size} bytes")
        self._at += size
        return part

    def sized(self, size: struct.Struct, what: str) -> bytes:
        """What the number at the front says is the size of."""
        (count,) = size.unpack(self.take(size.size, f"size of {what}"))
        return self.take(count, what)

    def rest(self) -> bytes:
        return self._data[self._at :]


def _certification(parts: _Reader) -> tuple[int, bytes]:
    raw = parts.take(_CERTIFICATION.size, "size of certification data")
    kind, size = _CERTIFICATION.unpack(raw)
    data = parts.take(size, "certification data")
    left = parts.rest()
    if left:
        _refuse(f"{len(left)} bytes more", "signature data", "its end")
    return kind, data


def _certificates(data: bytes) -> tuple[bytes, ...]:
    # Intel's library counts the NUL that ends a string in C.
    text = data.removesuffix(b"\0")
    try:
        return pem.read(text.decode("ascii"))
    except UnicodeDecodeError as error:
        expected = "certificates in PEM"
        _refuse(error.reason, "certification data", expected)


def _refuse(found: str, what: str, expected: str) -> NoReturn:
    message = f"SGX quote, {what}: expected {expected}, found {found}"
    raise MalformedError(message)
