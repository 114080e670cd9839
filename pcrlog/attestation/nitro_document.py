r"""The document that AWS's Nitro hardware signs, strictly (ATTEST.md 1, 3).

Enclaves (aws_nitro.py) and the TPMs of instances (aws_nitrotpm.py) have one envelope
and one chain: a COSE_Sign1 (cose.py) by the leaf of a chain (chain.py) over a CBOR map:

    module_id    text, not empty    i-<17 hex>-enc<16 hex>
    digest       text               "SHA384"
    timestamp    1..                milliseconds since 1970, UTC
    pcrs         map, 1..32         0..31: 32, 48 or 64 bytes, all of one length
    certificate  1..1024 bytes      DER, the leaf
    cabundle     array, 1..         1..1024 bytes each: DER, the root first
    public_key   0..1024 bytes      any that the enclave chose; or null, or absent
    user_data    0..1024 bytes      likewise; empty is not the same as absent
    nonce        0..1024 bytes      likewise

The registers of a TPM are in `nitrotpm_pcrs` instead, of which there are 24; a document
with both is refused, and so is one of the other platform. Null counts as absent for the
last three alone. Members that are not in this table are noted and else ignored, since
AWS may add some.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation import (
    Document,
    Platform,
    Step,
    Trust,
    cbor,
    chain,
    cose,
)
from pcrlog.encoding import format_time, shown
from pcrlog.errors import MalformedError

ROOT = """\
-----BEGIN CERTIFICATE-----
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL
MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD
VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4
MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL
DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG
BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb
48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE
h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF
R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC
MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW
rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N
IwLz3/Y=
-----END CERTIFICATE-----
"""
"""The AWS Nitro Enclaves root G1, of both platforms. SHA-256 of its DER:

    641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b

The figure that AWS's page shows, 8cf60e2b..., is of the ZIP file it comes in (ATTEST.md
1.3).
"""

_ALGORITHMS = {32: "sha256", 48: "sha384", 64: "sha512"}
_MEMBERS = frozenset({"pcrs", "nitrotpm_pcrs"})
_FIELDS = frozenset(
    {"module_id", "digest", "timestamp", "certificate", "cabundle"}
    | {"public_key", "user_data", "nonce"}
)
_FIELD = 1024
"""Bytes of a certificate or free field. AWS gives 512 and 1024 for two of them, in two
places of one text (ATTEST.md 1.1)."""
_YEAR_10000 = 253_402_300_800_000
"""In milliseconds; no calendar that we write times in goes further."""

_Payload = Mapping[int | str, cbor.Value]


class Kind(Struct, frozen=True):
    """What documents of one of the platforms are like, and what their registers say."""

    name: str
    member: str
    """Which holds the registers."""
    registers: int
    """How many there are, numbered from 0."""
    required: tuple[str, ...]
    """AWS lets any be absent. Without these nothing could be matched, nor told whether
    anything was measured."""
    debug: Callable[[Mapping[str, str]], str]
    """Why registers mean that nothing was measured; empty if they do not."""
    notes: Callable[["Claims"], Iterator[str]]
    """What is unusual about claims of this platform."""


class Claims(Struct, frozen=True):
    """What the payload says, without the certificates."""

    module_id: str
    time: int
    registers: Mapping[str, str]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    unknown: tuple[str, ...]


class Signed(Struct, frozen=True):
    """A document whose signature fits the certificate that came with it."""

    _kind: Kind
    _claims: Claims
    _chain: chain.Chain

    def verify_chain(self, roots: Collection[bytes]) -> Document:
        """The document, if its certificate descends from one of `roots` (DER).

        Raises:
            VerificationError: it does not, or did not when the document was signed.
            UsageError: the root it descends from is not a usable certificate.
        """
        claims = self._claims
        leaf = chain.verify(self._chain, roots, claims.time // 1000)
        return Document(
            platform=self._kind.name,
            registers=claims.registers,
            time=claims.time,
            nonce=claims.nonce,
            user_data=claims.user_data,
            public_key=claims.public_key,
            module_id=claims.module_id,
            debug=self._kind.debug(claims.registers),
            leaf_not_before=leaf.not_before,
            leaf_not_after=leaf.not_after,
            root_sha256=leaf.root_sha256,
            notes=(*_notes(claims, leaf), *self._kind.notes(claims)),
        )


class Unverified(Struct, frozen=True):
    """A document of the right form. Nothing it says is known to be true."""

    kind: Kind
    claims: Claims
    _sign1: cose.Sign1
    _chain: chain.Chain

    def verify_signature(self) -> Signed:
        """The same, signed by the key in its own certificate.

        Raises:
            VerificationError: it is not.
        """
        cose.verify(self._sign1, chain.key_of(self._chain.leaf))
        return Signed(self.kind, self.claims, self._chain)


def parse(data: bytes, kind: Kind) -> Unverified:
    """A document of the module's form; nothing of it is verified.

    Raises:
        MalformedError: it is not, or longer than a document may be.
    """
    if len(data) > limits.ATTESTATION:
        message = (
            f"attestation document: expected at most {limits.ATTESTATION} bytes, found"
            f" {len(data)}"
        )
        raise MalformedError(message)
    sign1 = cose.parse(data)
    payload = cbor.decode(sign1.payload)
    if not isinstance(payload, dict):
        raise _malformed(payload, "payload", "a map")
    if payload.get("digest") != "SHA384":
        raise _malformed(payload.get("digest"), "digest", '"SHA384"')
    known = _FIELDS | {kind.member}
    claims = Claims(
        module_id=_module_id(payload),
        time=_timestamp(payload),
        registers=_registers(payload, kind),
        public_key=_optional(payload, "public_key"),
        user_data=_optional(payload, "user_data"),
        nonce=_optional(payload, "nonce"),
        unknown=tuple(shown(str(key)) for key in payload if key not in known),
    )
    return Unverified(kind, claims, sign1, _load_chain(payload))


def claims(stage: Unverified) -> Iterator[tuple[str, str]]:
    """What the document says, for people to read; see `attestation.Platform.claims`."""
    said = stage.claims
    yield "signed", format_time(said.time // 1000)
    yield "by", shown(said.module_id)
    yield from said.registers.items()
    for name in ("nonce", "user_data", "public_key"):
        value = getattr(said, name)
        yield name, "none" if value is None else value.hex()
    if why := stage.kind.debug(said.registers):
        yield "debug", why
    for field in said.unknown:
        yield "unknown", f"a field unknown to pcrlog: {field}"


def _take_signature(stage: Unverified, _: Trust) -> tuple[Signed, str]:
    return stage.verify_signature(), "verifies"


def _take_chain(stage: Signed, trust: Trust) -> tuple[Document, str]:
    document = stage.verify_chain(trust.roots)
    return document, f"root {document.root_sha256[:16]}…"


_STEPS = (
    Step(
        "document.signature",
        "signed (ES384) by the key of its certificate",
        _take_signature,
    ),
    Step(
        "document.chain",
        "a certificate chain to a root of the policy",
        _take_chain,
    ),
)


def platform(kind: Kind) -> Platform:
    """The platform whose documents are of this kind."""
    return Platform(
        name=kind.name,
        roots=(ROOT,),
        parse=partial(parse, kind=kind),
        claims=claims,
        steps=_STEPS,
    )


def _module_id(payload: _Payload) -> str:
    value = payload.get("module_id")
    if not isinstance(value, str) or not value:
        raise _malformed(value, "module_id", "text, not empty")
    return value


def _timestamp(payload: _Payload) -> int:
    value = payload.get("timestamp")
    # Not isinstance: True is an int to it, and would be the first millisecond of 1970.
    if type(value) is not int or not 0 < value < _YEAR_10000:
        raise _malformed(value, "timestamp", "milliseconds from 1970 to 9999")
    return value


def _registers(payload: _Payload, kind: Kind) -> Mapping[str, str]:
    [other] = _MEMBERS - {kind.member}
    if other in payload:
        raise _malformed(payload[other], other, f"{kind.member}, of {kind.name}")
    pcrs = payload.get(kind.member)
    if not isinstance(pcrs, dict) or not 0 < len(pcrs) <= kind.registers:
        expected = f"a map of 1..{kind.registers} registers"
        raise _malformed(pcrs, kind.member, expected)
    digests: dict[int, bytes] = {}
    for number, digest in pcrs.items():
        if not isinstance(number, int) or not 0 <= number < kind.registers:
            raise _malformed(number, kind.member, f"numbers 0..{kind.registers - 1}")
        if not isinstance(digest, bytes) or len(digest) not in _ALGORITHMS:
            expected = "32, 48 or 64 bytes"
            raise _malformed(digest, f"{kind.member}[{number}]", expected)
        digests[number] = digest
    if len(set(map(len, digests.values()))) > 1:
        raise _malformed(pcrs, kind.member, "registers of one length")
    registers = {
        f"PCR{number}": f"{_ALGORITHMS[len(digest)]}:{digest.hex()}"
        for number, digest in sorted(digests.items())
    }
    if not registers.keys() >= set(kind.required):
        expected = f"{', '.join(kind.required)} among the registers"
        raise _malformed(pcrs, kind.member, expected)
    return registers


def _optional(payload: _Payload, field: str) -> bytes | None:
    value = payload.get(field)
    return None if value is None else _bytes(field, value, smallest=0)


def _load_chain(payload: _Payload) -> chain.Chain:
    bundle = payload.get("cabundle")
    if not isinstance(bundle, tuple) or not bundle:
        raise _malformed(bundle, "cabundle", "an array of certificates")
    cabundle = [_bytes(f"cabundle[{i}]", der) for i, der in enumerate(bundle)]
    return chain.load(cabundle, _bytes("certificate", payload.get("certificate")))


def _bytes(field: str, value: cbor.Value, *, smallest: int = 1) -> bytes:
    if not isinstance(value, bytes) or not smallest <= len(value) <= _FIELD:
        raise _malformed(value, field, f"{smallest}..{_FIELD} bytes")
    return value


def _malformed(found: cbor.Value, field: str, expected: str) -> MalformedError:
    match found:
        case None:
            what = "nothing"
        case bytes() | tuple() | dict():
            what = f"{type(found).__name__} of {len(found)}"
        case _:
            what = shown(str(found))
    return MalformedError(
        f"attestation document, {field}: expected {expected}, found {what}"
    )


def _notes(claims: Claims, leaf: chain.VerifiedLeaf) -> Iterator[str]:
    """What holds in every genuine document seen, but is promised nowhere."""
    for field in claims.unknown:
        yield f"the document has a field unknown to pcrlog: {field}"
    if not leaf.common_name.startswith(f"{claims.module_id}."):
        yield f"its certificate is for {shown(leaf.common_name)}, not for its module_id"
