"""SIGSTRUCTs as whoever signs an SGX enclave makes them, and what tools print of them.

A `Signer` has a fresh key (RSA-3072, exponent 3); `sign` takes what differs from an
ordinary production build. `raw` fields are bytes at an offset, written before it is
signed: for what no signer should say.
"""

import functools
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pcrlog.sigstruct import DEBUG, EXPONENT, HEADER, HEADER2, SIZE

MODE64 = 0x4
ALL = (1 << 64) - 1
_LEGACY = 0x3
"""XFRM: x87 and SSE."""


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=EXPONENT, key_size=3072)


@dataclass(frozen=True)
class Signer:
    """Who signs enclaves."""

    key: rsa.RSAPrivateKey = field(default_factory=_new_key)

    @property
    def modulus(self) -> bytes:
        """As it stands in a SIGSTRUCT."""
        return self.key.public_key().public_numbers().n.to_bytes(384, "little")

    @property
    def mrsigner(self) -> str:
        """What the processor calls it, in hex."""
        return hashlib.sha256(self.modulus).hexdigest()

    def sign(
        self,
        mrenclave: bytes,
        *,
        isvprodid: int = 1,
        isvsvn: int = 2,
        flags: int = MODE64,
        mask: int = ALL ^ DEBUG,
        raw: Mapping[int, bytes] | None = None,
    ) -> bytes:
        """A SIGSTRUCT; by default the mask is the one that Intel's tool sets."""
        data = bytearray(SIZE)
        data[:16], data[24:40] = HEADER, HEADER2
        struct.pack_into("<I", data, 20, 0x20261123)
        data[128:512] = self.modulus
        struct.pack_into("<I", data, 512, EXPONENT)
        struct.pack_into("<II", data, 900, 0, ALL >> 32)
        struct.pack_into("<QQQQ", data, 928, flags, _LEGACY, mask, ALL ^ 0xE4)
        data[960:992] = mrenclave
        struct.pack_into("<HH", data, 1024, isvprodid, isvsvn)
        for offset, value in (raw or {}).items():
            data[offset : offset + len(value)] = value
        signed = bytes(data[:128] + data[900:1028])
        made = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        data[516:900] = made[::-1]
        return with_quotients(bytes(data))


def with_quotients(data: bytes) -> bytes:
    """The same, with the Q1 and Q2 that belong to its signature."""
    modulus = int.from_bytes(data[128:512], "little")
    signature = int.from_bytes(data[516:900], "little")
    q1, rest = divmod(signature * signature, modulus)
    q2 = signature * rest // modulus
    return data[:1040] + q1.to_bytes(384, "little") + q2.to_bytes(384, "little")


@functools.cache
def signer() -> Signer:
    """One signer: a key takes a second."""
    return Signer()


# --- what tools print -----------------------------------------------------------------


def sgx_sign_dump(data: bytes, *, blocks: int = 1, signed_by: str = "") -> str:
    """The file that `sgx_sign dump` writes of an enclave with this SIGSTRUCT."""
    line = "=" * 29
    block = _metadata(data)
    text = f"{line}\nThe metadata information:\n{line}\n{block}"
    for number in range(1, blocks):
        text += f"\n\n\nCompatible metadata number {number}:\n{line}\n{block}"
    mrsigner = signed_by or hashlib.sha256(data[128:512]).hexdigest()
    text += f"\n\n{line}\nThe mrsigner value:\n{line}\n"
    return text + _array("mrsigner->value", bytes.fromhex(mrsigner))


def _metadata(data: bytes) -> str:
    css = "metadata->enclave_css"
    flags, xfrm, flags_mask, _ = struct.unpack_from("<QQQQ", data, 928)
    isvprodid, isvsvn = struct.unpack_from("<HH", data, 1024)
    return (
        "metadata->magic_num: 0x86a80294635d0e4c\n"
        f"metadata->attributes.flags: {flags:#x}\n"
        f"{_array(f'{css}.header.header', data[:12])}"
        f"{css}.header.type: 0x0\n"
        f"{_array(f'{css}.key.modulus', data[128:512])}"
        f"{css}.body.misc_select: 0x0\n"
        f"{css}.body.attributes.flags: {flags:#x}\n"
        f"{css}.body.attributes.xfrm: {xfrm:#x}\n"
        f"{css}.body.attribute_mask.flags: {flags_mask:#x}\n"
        f"{_array(f'{css}.body.enclave_hash.m', data[960:992])}"
        f"{css}.body.isv_prod_id: {isvprodid:#x}\n"
        f"{css}.body.isv_svn: {isvsvn:#x}\n"
        f"{_array(f'{css}.buffer.q1', data[1040:1424])}"
    )


def _array(name: str, data: bytes) -> str:
    rows = (data[start : start + 16] for start in range(0, len(data), 16))
    lines = ("".join(f"{byte:#04x} " for byte in row) for row in rows)
    return f"{name}:\n" + "\n".join(lines) + "\n"


def oesign_dump(data: bytes) -> str:
    """What `oesign dump` prints of it."""
    isvprodid, isvsvn = struct.unpack_from("<HH", data, 1024)
    debug = int(bool(data[928] & DEBUG))
    return (
        "\n=== Entry point: \nname=_start\naddress=0x0000000018e77c\n\n"
        f"=== SGX Enclave Properties:\nproduct_id={isvprodid}\n"
        f"security_version={isvsvn}\ndebug={debug}\nxfrm=0x00000000000000\n"
        "num_heap_pages=1024\nnum_stack_pages=1024\nnum_tcs=2\n"
        f"mrenclave={data[960:992].hex()}\n"
        f"mrsigner={hashlib.sha256(data[128:512]).hexdigest()}\n"
        f"signature={data[516:900].hex()}\n\n"
    )


def gramine_view(data: bytes, *, verbose: bool = False) -> dict[str, object]:
    """What `gramine-sgx-sigstruct-view` says of it, as its JSON."""
    isvprodid, isvsvn = struct.unpack_from("<HH", data, 1024)
    told: dict[str, object] = {
        "mr_signer": hashlib.sha256(data[128:512]).hexdigest(),
        "mr_enclave": data[960:992].hex(),
        "isv_prod_id": isvprodid,
        "isv_svn": isvsvn,
    }
    if verbose:
        told |= {"attribute_flags": hex(data[928]), "date": "2026-11-23"}
    return told | {"debug_enclave": bool(data[928] & DEBUG)}


def gramine_text(data: bytes) -> str:
    """The same as text."""
    rows = gramine_view(data).items()
    return "Attributes:\n" + "".join(f"    {name}: {value}\n" for name, value in rows)
