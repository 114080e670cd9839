r"""COSE_Sign1 (RFC 9052 section 4.2) with ES384: the envelope of Nitro documents.

    [protected: bytes, unprotected: map, payload: bytes, signature: bytes]

AWS writes the array untagged; tag 18 (one byte, d2) may stand before it. `protected`
holds exactly {1: -35}, which is to say that alg is ES384. `unprotected` is not signed:
it must be a map and is then ignored. `signature` is r || s, each 48 bytes, big-endian,
made with SHA-384 and a P-384 key over

    ["Signature1", protected, b"", payload]

in definite lengths. About half of AWS's signatures have a high s. Both are valid, so
a document has more than one spelling, and its hash does not identify it (ATTEST.md 1.1,
1.4). The documents seen so far begin with these eight bytes:

>>> payload, signature = b"\x59\x01\x00" + bytes(256), b"\x58\x60" + bytes(96)
>>> data = bytes.fromhex("84 44 a1013822 a0") + payload + signature
>>> data[:8].hex(" "), parse(data).protected.hex()
('84 44 a1 01 38 22 a0 59', 'a1013822')
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from msgspec import Struct

from pcrlog.attestation import cbor
from pcrlog.errors import MalformedError, VerificationError

HEADER: dict[int | str, cbor.Value] = {1: -35}
"""alg (1) is ES384 (-35): RFC 9053 section 2.1."""
TAG = b"\xd2"
"""Tag 18, COSE_Sign1."""
_HALF = 48


class Sign1(Struct, frozen=True):
    """The parts of a COSE_Sign1 that count; nothing about them is verified."""

    protected: bytes
    payload: bytes
    signature: bytes


def parse(data: bytes) -> Sign1:
    """Take a COSE_Sign1 apart.

    Raises:
        MalformedError: not a COSE_Sign1, or not one made for ES384.
    """
    match cbor.decode(data, start=len(TAG) if data.startswith(TAG) else 0):
        case (bytes(protected), dict(), bytes(payload), bytes(signature)):
            pass
        case _:
            message = "COSE_Sign1: expected an array of bytes, map, bytes, bytes"
            raise MalformedError(message)
    if cbor.decode(protected) != HEADER:
        message = f"COSE protected header: expected {HEADER}, found {protected.hex()}"
        raise MalformedError(message)
    if len(signature) != 2 * _HALF:
        message = f"COSE signature: expected {2 * _HALF} bytes, found {len(signature)}"
        raise MalformedError(message)
    return Sign1(protected, payload, signature)


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """The bytes that are signed (RFC 9052 section 4.4)."""
    return cbor.encode(("Signature1", protected, b"", payload))


def p384(key: PublicKeyTypes) -> ec.EllipticCurvePublicKey:
    """`key`, if it is one for ES384.

    Others let the certificate's curve choose the hash, and so accepted what is no ES384
    signature (ATTEST.md 1.6: nitrite, chainlink-common). Here the curve is given.

    Raises:
        VerificationError: not an elliptic curve key, or on another curve than P-384.
    """
    if not isinstance(key, ec.EllipticCurvePublicKey):
        found = type(key).__name__
    elif isinstance(key.curve, ec.SECP384R1):
        return key
    else:
        found = key.curve.name
    message = f"expected a P-384 key, found {found}"
    raise VerificationError(message)


def verify(sign1: Sign1, key: PublicKeyTypes) -> bytes:
    """The payload, now known to be signed by the holder of `key`.

    Raises:
        VerificationError: it is not, or the key is not a P-384 key. With r or s outside
            1..n-1 it is not.
    """
    signer = p384(key)
    r = int.from_bytes(sign1.signature[:_HALF])
    s = int.from_bytes(sign1.signature[_HALF:])
    signed = sig_structure(sign1.protected, sign1.payload)
    try:
        signer.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        message = "the COSE signature is not by the key of the document's certificate"
        raise VerificationError(message) from error
    return sign1.payload
