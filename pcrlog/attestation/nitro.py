"""AWS Nitro Enclaves, platform `aws-nitro`: the document, strictly (ATTEST.md 1).

A COSE_Sign1 (module `cose`) by the leaf of a chain (module `chain`) over one CBOR map:

    module_id    text, not empty    i-<17 hex>-enc<16 hex>
    digest       text               "SHA384"
    timestamp    1..                milliseconds since 1970, UTC
    pcrs         map, 1..32         0..31: 32, 48 or 64 bytes, all of one length
    certificate  1..1024 bytes      DER, the leaf
    cabundle     array, 1..         1..1024 bytes each: DER, the root first
    public_key   0..1024 bytes      any that the enclave chose; or null, or absent
    user_data    0..1024 bytes      likewise; empty is not the same as absent
    nonce        0..1024 bytes      likewise

Null counts as absent for the last three alone. Members that are not in this table are
noted and else ignored, since AWS may add some. `nitrotpm_pcrs` in place of `pcrs` means
NitroTPM: envelope and chain are the same, but its registers have other meanings, so it
is another platform, and refused here.

PCR0 is the whole image, PCR1 its kernel and boot, PCR2 the application, PCR4 the
machine. A debug enclave is one whose PCR0, PCR1 and PCR2 are zero. "All registers are
zero" is not the test: PCR4 never is (ATTEST.md 0.4).

>>> zero = "sha384:" + 48 * "00"
>>> is_debug({"PCR0": zero, "PCR1": zero, "PCR2": zero, "PCR4": "sha384:7021a4..."})
True
"""

from collections.abc import Collection, Iterator, Mapping
from hashlib import sha384

from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation import Document, Platform, cbor, chain, cose
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError

NAME = "aws-nitro"

_IMAGE = ("PCR0", "PCR1", "PCR2")
_ALGORITHMS = {32: "sha256", 48: "sha384", 64: "sha512"}
_FIELDS = frozenset(
    {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"}
    | {"public_key", "user_data", "nonce"}
)
_FIELD = 1024
"""Bytes of a certificate or free field. AWS gives 512 and 1024 for two of them, in two
places of one text (ATTEST.md 1.1)."""
_REGISTERS = 32
_YEAR_10000 = 253_402_300_800_000
"""In milliseconds; no calendar that we write times in goes further."""

_Payload = Mapping[int | str, cbor.Value]


class _Claims(Struct, frozen=True):
    """What the payload says, without the certificates."""

    module_id: str
    time: int
    registers: Mapping[str, str]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    unknown: tuple[str, ...]


class _Signed(Struct, frozen=True):
    _claims: _Claims
    _chain: chain.Chain

    def verify_chain(self, roots: Collection[bytes]) -> Document:
        claims = self._claims
        leaf = chain.verify(self._chain, roots, claims.time // 1000)
        return Document(
            platform=NAME,
            registers=claims.registers,
            time=claims.time,
            nonce=claims.nonce,
            user_data=claims.user_data,
            public_key=claims.public_key,
            module_id=claims.module_id,
            debug=is_debug(claims.registers),
            leaf_not_before=leaf.not_before,
            leaf_not_after=leaf.not_after,
            root_sha256=leaf.root_sha256,
            notes=tuple(_notes(claims, leaf)),
        )


class _Unverified(Struct, frozen=True):
    _sign1: cose.Sign1
    _claims: _Claims
    _chain: chain.Chain

    def verify_signature(self) -> _Signed:
        cose.verify(self._sign1, chain.key_of(self._chain.leaf))
        return _Signed(self._claims, self._chain)


def parse(data: bytes) -> _Unverified:
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
    claims = _Claims(
        module_id=_module_id(payload),
        time=_timestamp(payload),
        registers=_registers(payload),
        public_key=_optional(payload, "public_key"),
        user_data=_optional(payload, "user_data"),
        nonce=_optional(payload, "nonce"),
        unknown=tuple(shown(str(key)) for key in payload if key not in _FIELDS),
    )
    return _Unverified(sign1, claims, _chain(payload))


def is_debug(registers: Mapping[str, str]) -> bool:
    """Whether PCR0, PCR1 and PCR2, all of them in `registers`, are all zero."""
    return all(not registers[name].partition(":")[2].strip("0") for name in _IMAGE)


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


def _registers(payload: _Payload) -> Mapping[str, str]:
    if "nitrotpm_pcrs" in payload:
        message = "a NitroTPM document: platform aws-nitrotpm is not supported yet"
        raise MalformedError(message)
    pcrs = payload.get("pcrs")
    if not isinstance(pcrs, dict) or not 0 < len(pcrs) <= _REGISTERS:
        raise _malformed(pcrs, "pcrs", f"a map of 1..{_REGISTERS} registers")
    digests: dict[int, bytes] = {}
    for number, digest in pcrs.items():
        if not isinstance(number, int) or not 0 <= number < _REGISTERS:
            raise _malformed(number, "pcrs", f"numbers 0..{_REGISTERS - 1}")
        if not isinstance(digest, bytes) or len(digest) not in _ALGORITHMS:
            raise _malformed(digest, f"pcrs[{number}]", "32, 48 or 64 bytes")
        digests[number] = digest
    if len(set(map(len, digests.values()))) > 1:
        raise _malformed(pcrs, "pcrs", "registers of one length")
    registers = {
        f"PCR{number}": f"{_ALGORITHMS[len(digest)]}:{digest.hex()}"
        for number, digest in sorted(digests.items())
    }
    # AWS lets any be absent. Without these three nothing could be matched, and whether
    # it is debug mode could not be told.
    if not registers.keys() >= set(_IMAGE):
        raise _malformed(pcrs, "pcrs", "0, 1 and 2 among the registers")
    return registers


def _optional(payload: _Payload, field: str) -> bytes | None:
    value = payload.get(field)
    return None if value is None else _bytes(field, value, smallest=0)


def _chain(payload: _Payload) -> chain.Chain:
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
        f"{NAME} document, {field}: expected {expected}, found {what}"
    )


def _notes(claims: _Claims, leaf: chain.VerifiedLeaf) -> Iterator[str]:
    """What holds in every genuine document seen, but is promised nowhere."""
    for field in claims.unknown:
        yield f"the document has a field unknown to pcrlog: {field}"
    if not leaf.common_name.startswith(f"{claims.module_id}."):
        yield f"its certificate is for {shown(leaf.common_name)}, not for its module_id"
    instance = claims.module_id.partition("-enc")[0]
    expected = sha384(bytes(48) + instance.encode()).hexdigest()
    if claims.registers.get("PCR4") != f"sha384:{expected}":
        yield "PCR4 is not the hash of the instance that module_id names"


PLATFORM = Platform(
    name=NAME,
    required_registers=_IMAGE,
    identity=(("PCR0",),),
    forbidden_registers=("PCR4",),
    digest_algorithms=tuple(_ALGORITHMS.values()),
    parse=parse,
    is_debug=is_debug,
)
