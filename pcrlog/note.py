r"""C2SP signed-note: a text and the signature lines under it.

    <text, ending in LF>
    LF
    — <name> <base64 of 4-byte key hash || signature> LF     (one or more)

The note is UTF-8 without control characters but LF. A verifier key (vkey) is
`<name>+<key hash, 8 hex>+<base64 of type || public key>`, the key hash the first four
bytes of SHA-256(name || LF || type || public key). Types used here: 0x01, Ed25519 over
the text, for logs; 0x04, a timestamped Ed25519 cosignature, for witnesses and index
monitors (checkpoint.py).

Name and key hash choose the key. A line of a known key that does not verify condemns
the whole note; lines of unknown keys are ignored (FORMATS.md section 1).

>>> key = VerifierKey.parse(
...     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
>>> note = UnverifiedNote.parse(
...     "If you think cryptography is the answer to your problem,\n"
...     "then you don't know what your problem is.\n\n"
...     "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSN"
...     "XgKvqfqdngotpRZb6KE6RyyBwJnAM=\n".encode())
>>> note.verify(key)[:12]
'If you think'
"""

import re
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from msgspec import Struct

from pcrlog import limits
from pcrlog.encoding import decode_base64, decode_hex, encode_base64, sha256, shown
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.points import check_point

ED25519 = 0x01
COSIGNATURE = 0x04

_DASH = "\u2014 "
_KEY_SIZE = 32
_HASH_SIZE = 4
_MAX_NAME = 255
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE = re.compile(rf"{_DASH}([^+\s]+) ([0-9A-Za-z+/]+={{0,2}})")


def _check_name(name: str) -> None:
    # Lone surrogates, which argv may hold, are no UTF-8: refused before encoding.
    strange = re.search(r"[+\s\ud800-\udfff]", name)
    if not name or strange or len(name.encode()) > _MAX_NAME:
        message = f"expected a key name without spaces and plus, found {shown(name)}"
        raise MalformedError(message)


class VerifierKey(Struct, frozen=True):
    """A public key as notes name it: `name`, `kind` (0x01 or 0x04), 32 raw bytes."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """The key that a vkey spells.

        Raises:
            MalformedError: not a vkey, a key hash that is not this key's, a type other
                than 0x01 and 0x04, or a point that is no key.
        """
        # The base64 may hold a plus: only the first two separate.
        parts = vkey.split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, hash, key
            message = f"expected a vkey <name>+<hash>+<key>, found {shown(vkey)}"
            raise MalformedError(message)
        _check_name(parts[0])
        data = decode_base64(parts[2])
        if len(data) != 1 + _KEY_SIZE or data[0] not in (ED25519, COSIGNATURE):
            message = "vkey: expected type 0x01 or 0x04 and 32 bytes of Ed25519 key"
            raise MalformedError(message)
        check_point(data[1:])
        key = cls(parts[0], data[0], data[1:])
        if decode_hex(parts[1], _HASH_SIZE) != key.key_hash:
            message = f"vkey: its hash is {parts[1]}, want {key.key_hash.hex()}"
            raise MalformedError(message)
        return key

    @property
    def key_hash(self) -> bytes:
        """The four bytes that lead this key's signatures."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return sha256(named)[:_HASH_SIZE]

    def __str__(self) -> str:
        """The vkey."""
        encoded = encode_base64(bytes([self.kind]) + self.public)
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"

    def check(self, signature: bytes, message: bytes) -> None:
        """Check a raw Ed25519 signature.

        Raises:
            VerificationError: it does not verify.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            text = f"signature line of {self.name} does not verify"
            raise VerificationError(text) from error


class SignatureLine(Struct, frozen=True):
    """One signature line: `name`, `key_hash` (4 bytes), `signature`."""

    name: str
    key_hash: bytes
    signature: bytes

    def __str__(self) -> str:
        """The line, without its LF."""
        return f"{_DASH}{self.name} {encode_base64(self.key_hash + self.signature)}"


class UnverifiedNote(Struct, frozen=True):
    """A note's `text` (ends in LF) and its lines; nobody has checked a signature."""

    text: str
    lines: tuple[SignatureLine, ...]

    @classmethod
    def parse(cls, data: bytes) -> "UnverifiedNote":
        """Split a note's bytes.

        Raises:
            MalformedError: too large, not UTF-8, control characters, no text, no
                signature lines, or a line that is none.
        """
        if len(data) > limits.NOTE:
            message = f"note has {len(data)} bytes, at most {limits.NOTE}"
            raise MalformedError(message)
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            message = "note is not UTF-8"
            raise MalformedError(message) from error
        text, blank, block = whole.rpartition("\n\n")
        if _CONTROL.search(whole) or not blank or not block.endswith("\n"):
            message = "expected a note: text, a blank line, signature lines, LF at last"
            raise MalformedError(message)
        rows = block[:-1].split("\n")
        if len(rows) > limits.NOTE_SIGNATURES:
            message = f"note has {len(rows)} signatures, at most 64"
            raise MalformedError(message)
        return cls(text + "\n", tuple(_parse_line(row) for row in rows))

    def __bytes__(self) -> bytes:
        """The note's bytes."""
        lines = "".join(f"{line}\n" for line in self.lines)
        return f"{self.text}\n{lines}".encode()

    def of(self, key: VerifierKey) -> tuple[bytes, ...]:
        """The distinct signatures that claim to be by `key`."""
        found = (
            line.signature
            for line in self.lines
            if line.name == key.name and line.key_hash == key.key_hash
        )
        return tuple(dict.fromkeys(found))

    def verify(self, key: VerifierKey) -> str:
        """The text, if `key` (type 0x01) signed it and no line of it is wrong.

        Raises:
            VerificationError: no line of this key, or one that does not verify.
        """
        signatures = self.of(key)
        if key.kind != ED25519 or not signatures:
            message = f"note has no signature line of {key}"
            raise VerificationError(message)
        for signature in signatures:
            key.check(signature, self.text.encode())
        return self.text


def _parse_line(row: str) -> SignatureLine:
    match = _LINE.fullmatch(row)
    if match:
        data = decode_base64(match[2])
        if len(data) > _HASH_SIZE and len(match[1].encode()) <= _MAX_NAME:
            return SignatureLine(match[1], data[:_HASH_SIZE], data[_HASH_SIZE:])
    message = f"expected a signature line '— name base64', found {shown(row)}"
    raise MalformedError(message)


class NoteSigner:
    """The private half of a `VerifierKey`, kept as Go's skey, or held elsewhere.

    An skey is `PRIVATE+KEY+<name>+<key hash>+<base64 of type || seed>`.
    """

    def __init__(self, name: str, seed: bytes, kind: int = ED25519) -> None:
        _check_name(name)
        key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = VerifierKey(name, kind, key.public_key().public_bytes_raw())
        self._sign = key.sign
        encoded = encode_base64(bytes([kind]) + seed)
        self._text = f"PRIVATE+KEY+{name}+{self.public.key_hash.hex()}+{encoded}"

    @classmethod
    def held(
        cls, public: VerifierKey, sign: Callable[[bytes], bytes], text: str
    ) -> "NoteSigner":
        """A key that is elsewhere: what signs with it, and the text that names it."""
        signer = cls.__new__(cls)
        signer.__dict__.update(public=public, _sign=sign, _text=text)
        return signer

    @classmethod
    def parse(cls, skey: str) -> "NoteSigner":
        """The signer that an skey spells.

        Raises:
            UsageError: not an skey of a type known here.
        """
        try:
            _, _, name, _, encoded = skey.split("+", 4)
            data = decode_base64(encoded)
            signer = cls(name, data[1:], data[0])
        except (ValueError, IndexError, MalformedError) as error:
            message = "not a note signing key (PRIVATE+KEY+name+hash+key)"
            raise UsageError(message) from error
        known = signer.public.kind in (ED25519, COSIGNATURE)
        if not known or signer.skey() != skey:
            message = "note signing key: unknown type, or another spelling or key hash"
            raise UsageError(message)
        return signer

    def skey(self) -> str:
        """The private key as text, to be kept secret, or what names it."""
        return self._text

    def raw(self, message: bytes) -> bytes:
        """The 64 bytes of Ed25519 over `message`."""
        return self._sign(message)

    def sign(self, text: str) -> UnverifiedNote:
        """A note of `text` with this key's signature alone (type 0x01)."""
        return UnverifiedNote(text, (self.line(self.raw(text.encode())),))

    def line(self, signature: bytes) -> SignatureLine:
        """`signature` as a line of this key."""
        return SignatureLine(self.public.name, self.public.key_hash, signature)
