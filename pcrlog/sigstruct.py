"""SIGSTRUCT: what the signer of an SGX enclave says of it, 1808 bytes beside each one.

The processor holds it against what was loaded, so that its ENCLAVEHASH is the MRENCLAVE
of every quote, and the SHA-256 of its MODULUS the MRSIGNER. All is little-endian (Intel
SDM vol. 3D, "Enclave Signature Structure", and EINIT for what is refused):

    offset  bytes  field
         0     16  HEADER         06000000e10000000000010000000000
        16      4  VENDOR         0, or 0x8086: Intel
        20      4  DATE           its digits are the hexadecimal ones: 0x20261123
        24     16  HEADER2        01010000600000006000000001000000
        40      4  SWDEFINED      the software's own
        44     84  -              zero
       128    384  MODULUS        RSA-3072
       512      4  EXPONENT       3
       516    384  SIGNATURE      PKCS #1 v1.5 with SHA-256, of bytes 0-127 and 900-1027
       900      8  MISCSELECT     and its mask
       908      2  CET_ATTRIBUTES and their mask
       910      2  -              zero
       912     16  ISVFAMILYID
       928     16  ATTRIBUTES     8 bytes of flags, 2 of them DEBUG; 8 of XFRM
       944     16  ATTRIBUTEMASK  which of these the processor compares
       960     32  ENCLAVEHASH
       992     16  -              zero
      1008     16  ISVEXTPRODID
      1024      4  ISVPRODID      and ISVSVN, 2 bytes each
      1028     12  -              zero
      1040    384  Q1             floor(SIGNATURE^2 / MODULUS)
      1424    384  Q2             floor((SIGNATURE^3 - Q1 SIGNATURE MODULUS) / MODULUS)

Q1 and Q2 spare the processor divisions. It refuses wrong ones, and so does this.
"""

import hashlib
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from pcrlog.errors import MalformedError, VerificationError

SIZE = 1808
HEADER = bytes.fromhex("06000000e10000000000010000000000")
HEADER2 = bytes.fromhex("01010000600000006000000001000000")
EXPONENT = 3
DEBUG = 0x2
"""Of the flags in ATTRIBUTES."""
_VENDORS = (0, 0x8086)
_BITS = 3072
_MODULUS, _EXPONENT, _SIGNATURE = slice(128, 512), slice(512, 516), slice(516, 900)
_HEAD, _BODY = slice(0, 128), slice(900, 1028)
_Q1, _Q2 = slice(1040, 1424), slice(1424, 1808)
_RESERVED = (slice(44, 128), slice(910, 912), slice(992, 1008), slice(1028, 1040))


class Sigstruct(Struct, frozen=True):
    """What a signer says, once the signature holds.

    `mrenclave` and `mrsigner` are 64 hex digits, `date` is 8 digits as they stand
    there, `flags` and `flags_mask` are those of ATTRIBUTES and of ATTRIBUTEMASK.
    """

    mrenclave: str
    mrsigner: str
    isvprodid: int
    isvsvn: int
    flags: int
    flags_mask: int
    vendor: int
    date: str

    @property
    def debug(self) -> bool:
        """Whether it is signed to be debugged.

        Whatever the mask says: tools that sign for debugging clear the bit there, so
        that the enclave runs in both modes (Open Enclave, Fortanix).
        """
        return bool(self.flags & DEBUG)


def verify(data: bytes) -> Sigstruct:
    """Read a SIGSTRUCT, and check that it is signed by the key in it.

    Raises:
        MalformedError: another size, or a field that has to be another.
        VerificationError: its signature does not hold, or its Q1 or Q2 is not that of
            the signature.
    """
    if len(data) != SIZE:
        message = f"SIGSTRUCT: expected {SIZE} bytes, found {len(data)}"
        raise MalformedError(message)
    _check_form(data)
    _check_signature(data)
    vendor, date = struct.unpack_from("<II", data, 16)
    flags, _, flags_mask = struct.unpack_from("<QQQ", data, 928)
    isvprodid, isvsvn = struct.unpack_from("<HH", data, 1024)
    return Sigstruct(
        mrenclave=data[960:992].hex(),
        mrsigner=hashlib.sha256(data[_MODULUS]).hexdigest(),
        isvprodid=isvprodid,
        isvsvn=isvsvn,
        flags=flags,
        flags_mask=flags_mask,
        vendor=vendor,
        date=f"{date:08x}",
    )


def _check_form(data: bytes) -> None:
    for name, start, wanted in (("HEADER", 0, HEADER), ("HEADER2", 24, HEADER2)):
        found = data[start : start + len(wanted)]
        if found != wanted:
            message = f"SIGSTRUCT: {name}: expected {wanted.hex()}, found {found.hex()}"
            raise MalformedError(message)
    [vendor] = struct.unpack_from("<I", data, 16)
    if vendor not in _VENDORS:
        message = f"SIGSTRUCT: VENDOR: expected 0 or 0x8086, found {vendor:#x}"
        raise MalformedError(message)
    for part in _RESERVED:
        if data[part].strip(b"\0"):
            where = f"bytes {part.start} to {part.stop - 1}"
            message = f"SIGSTRUCT: {where}: expected zeros"
            raise MalformedError(message)
    exponent, bits = _number(data, _EXPONENT), _number(data, _MODULUS).bit_length()
    if (exponent, bits) != (EXPONENT, _BITS):
        message = (
            f"SIGSTRUCT: expected a key of {_BITS} bits with exponent {EXPONENT}, found"
            f" {bits} bits and {exponent}"
        )
        raise MalformedError(message)


def _check_signature(data: bytes) -> None:
    modulus, signature = _number(data, _MODULUS), _number(data, _SIGNATURE)
    try:
        key = rsa.RSAPublicNumbers(EXPONENT, modulus).public_key()
        key.verify(
            data[_SIGNATURE][::-1],
            data[_HEAD] + data[_BODY],
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
    except (InvalidSignature, ValueError) as error:
        message = "SIGSTRUCT: its signature does not hold: sign the enclave again"
        raise VerificationError(message) from error
    q1, rest = divmod(signature * signature, modulus)
    q2 = signature * rest // modulus
    if (_number(data, _Q1), _number(data, _Q2)) != (q1, q2):
        message = "SIGSTRUCT: Q1 or Q2 is not of its signature: no processor runs it"
        raise VerificationError(message)


def _number(data: bytes, part: slice) -> int:
    return int.from_bytes(data[part], "little")
