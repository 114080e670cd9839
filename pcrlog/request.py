"""Requests to the registrar: who asks to be enrolled, or to have a change co-signed.

    {"format": "pcrlog-request/v1",
     "keys": [{"key": base64 SPKI, "sig": base64}, ...],
     "log": origin, "name": name,
     "rotation": {"payload": base64, "signatures": [{"keyid": …, "sig": …}]}}

Canonical JSON. Each key proves that somebody holds it: `sig` is over the line
`pcrlog/request/v1`, the log, the name and the payload of the rotation (empty if there
is none), each ended by LF. A first enrolment has no `rotation`: the registrar writes
the identity. A rotation is an identity statement that lacks the registrar's signature
alone.

>>> from pcrlog.keys import SigningKey
>>> key = SigningKey.from_seed(bytes(32))
>>> Request.parse(encode("log.example/pcr", "acme.example", [key])).name
'acme.example'
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from pcrlog import limits
from pcrlog.encoding import decode_json, encode_json, prepare
from pcrlog.envelope import Signature, read_signatures
from pcrlog.errors import MalformedError
from pcrlog.keys import PublicKey, Signer
from pcrlog.predicates import Name, Origin

_MOST = 2 * limits.ENVELOPE


class _Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class _Key(_Part, frozen=True):
    key: bytes
    sig: bytes


class _Rotation(_Part, frozen=True):
    payload: bytes
    signatures: tuple[Signature, ...]


class _Request(_Part, frozen=True):
    format: Literal["pcrlog-request/v1"]
    log: Origin
    name: Name
    keys: Annotated[tuple[_Key, ...], Meta(max_length=limits.KEYS_OF_IDENTITY)]
    rotation: _Rotation | None = None


prepare(_Request)


class Rotation(Struct, frozen=True):
    """An identity's `payload` and the `signatures` it has so far, by keyid."""

    payload: bytes
    signatures: dict[str, bytes]


class Request(Struct, frozen=True):
    """A request: whoever made it holds the keys of each of `spki`.

    A first enrolment has at least one key; a rotation those that it adds.
    """

    log: str
    name: str
    spki: tuple[bytes, ...]
    rotation: Rotation | None

    @classmethod
    def parse(cls, data: bytes) -> "Request":
        """Read a request and check each proof of possession.

        Raises:
            MalformedError: not a request.
            VerificationError: a key's signature does not verify.
            UncheckedError: a key of an unknown algorithm.
        """
        if len(data) > _MOST:
            message = f"request has {len(data)} bytes, at most {_MOST}"
            raise MalformedError(message)
        raw = decode_json(data.rstrip(b"\n"), _Request)
        rotation = None
        if raw.rotation is not None:
            signatures = read_signatures(raw.rotation.signatures)
            rotation = Rotation(raw.rotation.payload, signatures)
        if not raw.keys and rotation is None:
            message = "request: expected at least one key"
            raise MalformedError(message)
        message_signed = _signed(raw.log, raw.name, rotation)
        for one in raw.keys:
            PublicKey.from_spki(one.key).verify(one.sig, message_signed)
        return cls(raw.log, raw.name, tuple(one.key for one in raw.keys), rotation)


def encode(
    log: str,
    name: str,
    keys: Sequence[Signer],
    rotation: Rotation | None = None,
) -> bytes:
    """A request for `name`, in which each of `keys` proves that it is held."""
    signed = _signed(log, name, rotation)
    rows = tuple(_Key(key.public.spki, key.sign(signed)) for key in keys)
    raw = None
    if rotation is not None:
        signatures = sorted(rotation.signatures.items())
        raw = _Rotation(rotation.payload, tuple(Signature(*row) for row in signatures))
    return encode_json(_Request("pcrlog-request/v1", log, name, rows, raw))


def _signed(log: str, name: str, rotation: Rotation | None) -> bytes:
    payload = b"" if rotation is None else rotation.payload
    return f"pcrlog/request/v1\n{log}\n{name}\n".encode() + payload + b"\n"
