"""Attestation documents: the one small interface behind which platforms sit.

A document is verified in the steps that a report shows. Each hands out the next one, so
that none can be left out (PROTOCOL.md section 4, Checks):

    unverified = platform("aws-nitro").parse(data)     document.form
    signed = unverified.verify_signature()             document.signature
    document = signed.verify_chain(roots)              document.chain

Only the `Document` gives anything away, and all of it is authenticated. The chain is
judged at the time at which the document was signed. Whether that time will do is for
the caller to say, as are the other checks: `document.time`, `document.nonce`,
`document.debug`, `channel`, and whether these are the registers that were expected.

A platform is one module that defines a `Platform`. It is imported, and with it the
cryptography that it needs, when it is first asked for.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from msgspec import Struct

from pcrlog import limits
from pcrlog.encoding import decode_base64, decode_hex
from pcrlog.errors import MalformedError, UsageError

_TEXT = 3 * limits.ATTESTATION
"""The longest document in hex, with line ends at every second digit even."""
_FIRST = (b"\x84", b"\x9f", b"\xd2")
"""A CBOR array of four, one of indefinite length, tag 18."""
_FIRST_IN_HEX = tuple(byte.hex() for byte in _FIRST)
_UNKNOWN = "expected an attestation document in CBOR, base64 or hex"


class Document(Struct, frozen=True):
    """What a genuine document says. It may still be old, a replay, or in debug mode."""

    platform: str
    registers: Mapping[str, str]
    """"PCR0" to "sha384:<hex>"; all that the document has, by number."""
    time: int
    """Unix milliseconds, as signed."""
    nonce: bytes | None
    user_data: bytes | None
    public_key: bytes | None
    module_id: str
    """The vendor's name of the machine or enclave that was measured."""
    debug: bool
    """The memory of what was measured is open to its host: worth nothing."""
    leaf_not_before: int
    """Unix seconds, as is `leaf_not_after`: the life of the key that signed."""
    leaf_not_after: int
    root_sha256: str
    """Of the trusted root's DER: says which partition of the vendor this is."""
    notes: tuple[str, ...]
    """What is unusual about it, for people to read; never a reason to refuse."""


class SignedDocument(Protocol):
    """A document whose signature fits the certificate that came with it."""

    def verify_chain(self, roots: Collection[bytes]) -> Document:
        """The document, if its certificate descends from one of `roots` (DER).

        Raises:
            VerificationError: it does not, or did not when the document was signed.
            UsageError: the root it descends from is not a usable certificate.
        """


class UnverifiedDocument(Protocol):
    """A document of the right form. Nothing it says is known to be true."""

    def verify_signature(self) -> SignedDocument:
        """The same, signed by the key in its own certificate.

        Raises:
            VerificationError: it is not.
        """


class Platform(Struct, frozen=True):
    """A kind of machine that attests: what its documents and registers are like."""

    name: str
    required_registers: tuple[str, ...]
    """Every document and every release has them."""
    identity: tuple[tuple[str, ...], ...]
    """Which registers, together, say what runs (PROTOCOL.md 2.1)."""
    forbidden_registers: tuple[str, ...]
    """Those of a single machine: a release that names one could match no other."""
    digest_algorithms: tuple[str, ...]
    parse: Callable[[bytes], UnverifiedDocument]
    """Raises MalformedError for bytes that are not a document of this platform."""
    is_debug: Callable[[Mapping[str, str]], bool]
    """Whether these registers, the required ones among them, mean debug mode."""


def platform(name: str) -> Platform:
    """The platform called `name`.

    Raises:
        UsageError: there is none of which pcrlog can read documents.
    """
    if name == "aws-nitro":
        from pcrlog.attestation import nitro  # noqa: PLC0415 - cryptography.x509: 50 ms

        return nitro.PLATFORM
    message = f"no attestation documents of platform {name!a}; known: aws-nitro"
    raise UsageError(message)


def decode_input(raw: bytes) -> bytes:
    """A document as people hand it over: its bytes, or these in base64 or hex.

    The three cannot be confused: no text begins with the first byte of a CBOR array,
    and what begins like one in hex is, read as base64, not a CBOR array. Newlines, as
    `base64` and `xxd -p` write them, are dropped.

    Raises:
        MalformedError: none of the three, or longer than any document is.
    """
    binary = raw.startswith(_FIRST)
    most = limits.ATTESTATION if binary else _TEXT
    if len(raw) > most:
        message = f"attestation document: expected at most {most} bytes, got {len(raw)}"
        raise MalformedError(message)
    data = raw if binary else _decode_text(raw)
    if not data.startswith(_FIRST):
        raise MalformedError(_UNKNOWN)
    return data


def _decode_text(raw: bytes) -> bytes:
    try:
        text = raw.decode("ascii").replace("\r", "").replace("\n", "")
    except UnicodeDecodeError as error:
        raise MalformedError(_UNKNOWN) from error
    return decode_hex(text) if text.startswith(_FIRST_IN_HEX) else decode_base64(text)
