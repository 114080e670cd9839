"""Public and private keys of identities, and the two signature algorithms.

A key is a DER SubjectPublicKeyInfo; its keyid is the lower-case hex SHA-256 of it.
Ed25519 signs the message itself; ECDSA is on P-256 with SHA-256, its signature DER. An
Ed25519 point of small order or in a second encoding is refused (PROTOCOL.md 2.1). So is
an ECDSA point that is not in the uncompressed form. Of a key of another algorithm only
the frame is read, so that all readers tell the same keys from malformed ones.

>>> signer = SigningKey.from_seed(bytes(32))
>>> signer.public.verify(signer.sign(b"message"), b"message")
>>> signer.public.keyid[:8]
'339e2ff9'
"""

import functools
import hashlib
from typing import Protocol

from cryptography.exceptions import (
    InternalError,
    InvalidSignature,
    UnsupportedAlgorithm,
)
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct

from pcrlog import limits
from pcrlog.errors import MalformedError, UncheckedError, UsageError, VerificationError
from pcrlog.points import check_point

ED25519 = "ed25519"
ECDSA_P256 = "ecdsa-p256"
_P256 = "secp256r1"

_ED25519_OID = bytes.fromhex("06032b6570")
_P256_ALGORITHM = bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")
_ED25519_SIZE, _P256_SIZE = 32, 65
_SEQUENCE, _BIT_STRING, _OID = 0x30, 0x03, 0x06
_UNCOMPRESSED = b"\x04"
_LONG = 0x80
"""Lengths from here on are spelt in more than one byte."""


def keyid_of(spki: bytes) -> str:
    """The keyid of a DER SubjectPublicKeyInfo."""
    return hashlib.sha256(spki).hexdigest()


class PublicKey(Struct, frozen=True):
    """A usable public key: `keyid`, `algorithm`, DER `spki`."""

    keyid: str
    algorithm: str
    spki: bytes
    _key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def from_spki(cls, spki: bytes) -> "PublicKey":
        """Load a DER SubjectPublicKeyInfo.

        Raises:
            MalformedError: not DER, not its one encoding, or an unsafe point.
            UncheckedError: an algorithm that this version does not know.
        """
        if len(spki) > limits.SPKI:
            message = f"public key has {len(spki)} bytes, at most {limits.SPKI}"
            raise MalformedError(message)
        algorithm, point = _split(spki)
        if algorithm.startswith(_ED25519_OID):
            if algorithm != _ED25519_OID or len(point) != _ED25519_SIZE:
                message = "public key: not an Ed25519 key in its one DER form"
                raise MalformedError(message)
            check_point(point)
            key = ed25519.Ed25519PublicKey.from_public_bytes(point)
            return cls(keyid_of(spki), ED25519, spki, key)
        if algorithm.startswith(_P256_ALGORITHM):
            if algorithm != _P256_ALGORITHM:
                message = "public key: not a P-256 key in its one DER form"
                raise MalformedError(message)
            return cls(keyid_of(spki), ECDSA_P256, spki, _p256(point))
        raise UncheckedError(_UNKNOWN)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature over `message`.

        Raises:
            VerificationError: it does not verify.
        """
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            text = f"signature by key {self.keyid} does not verify"
            raise VerificationError(text) from error


class Owed(Struct, frozen=True):
    """A signature that is still to be verified; until then nothing rests on it."""

    key: PublicKey
    signature: bytes
    message: bytes

    def verify(self) -> None:
        """Check it; any number of threads may, at once.

        Raises:
            VerificationError: it does not verify.
        """
        self.key.verify(self.signature, self.message)


_UNKNOWN = "unknown key algorithm: expected Ed25519 or ECDSA P-256; upgrade pcrlog?"


def _split(spki: bytes) -> tuple[bytes, bytes]:
    """The content of the AlgorithmIdentifier, and the bits of the key."""
    whole, end = _element(spki, 0, _SEQUENCE)
    algorithm, bits_start = _element(whole, 0, _SEQUENCE)
    _element(algorithm, 0, _OID)
    bits, bits_end = _element(whole, bits_start, _BIT_STRING)
    if end != len(spki) or bits_end != len(whole) or not bits.startswith(b"\0"):
        raise MalformedError(_FRAME)
    return algorithm, bits[1:]


_FRAME = (
    "public key is not a DER SubjectPublicKeyInfo: a SEQUENCE of an AlgorithmIdentifier"
    " and a BIT STRING without unused bits, and nothing after it"
)


def _element(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """The content of the DER element at `at`, which has this tag, and where it ends."""
    head = data[at : at + 4]
    match [*head]:
        case [found, length, *_] if found == tag and length < _LONG:
            start = at + 2
        case [found, 0x81, length, *_] if found == tag and length >= _LONG:
            start = at + 3
        case [found, 0x82, high, low] if found == tag and high:
            start, length = at + 4, high << 8 | low
        case _:
            raise MalformedError(_FRAME)
    if start + length > len(data):
        raise MalformedError(_FRAME)
    return data[start : start + length], start + length


def _p256(point: bytes) -> ec.EllipticCurvePublicKey:
    if len(point) != _P256_SIZE or not point.startswith(_UNCOMPRESSED):
        message = "public key: not a P-256 key in its one DER form (compressed point?)"
        raise MalformedError(message)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        message = "public key: not a point of P-256"
        raise MalformedError(message) from error


class Signer(Protocol):
    """Whatever can sign for a keyid: a file's key, a KMS, a command."""

    @property
    def public(self) -> PublicKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, in the encoding of the key's algorithm."""
        ...


class SigningKey:
    """A private key held in memory; its file is a PKCS #8 PEM."""

    def __init__(
        self, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    ) -> None:
        self._key = key
        self.public = PublicKey.from_spki(
            key.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        )

    @classmethod
    def generate(cls, algorithm: str = ED25519) -> "SigningKey":
        """A new key from the system's randomness."""
        if algorithm == ECDSA_P256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """The Ed25519 key of a 32-byte seed (RFC 8032)."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, data: bytes) -> "SigningKey":
        """Load what `to_pem` wrote.

        Raises:
            UsageError: not an unencrypted PKCS #8 key of an algorithm known here.
        """
        try:
            key = load_pem_private_key(data[: limits.KEY_FILE], None)
        except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
            message = "not an unencrypted PEM private key; make one: pcrlog keys new"
            raise UsageError(message) from error
        if isinstance(key, ed25519.Ed25519PrivateKey) or (
            isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _P256
        ):
            return cls(key)
        message = "private key is neither Ed25519 nor ECDSA P-256: pcrlog keys new"
        raise UsageError(message)

    def to_pem(self) -> bytes:
        """The private key as PKCS #8 PEM, not encrypted."""
        return self._key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
