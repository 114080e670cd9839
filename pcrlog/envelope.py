"""DSSE envelopes: what a statement travels and is stored in, byte for byte.

    {"payload": base64 of the statement,
     "payloadType": "application/vnd.in-toto+json",
     "signatures": [{"keyid": hex, "sig": base64}, ...]}

Canonical JSON of exactly these members, at most 32,768 bytes, one or two signatures
ascending by keyid (PROTOCOL.md 2.1). Signed is DSSE's pre-authentication encoding,
`DSSEv1 <length> <type> <length> <payload>`.

>>> pre_authentication_encoding(b"{}")
b'DSSEv1 28 application/vnd.in-toto+json 2 {}'
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated

from msgspec import Meta, Struct, field

from pcrlog import limits
from pcrlog.encoding import decode_json, encode_json, prepare
from pcrlog.errors import MalformedError
from pcrlog.keys import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
FIRST_BYTE = b"{"
_MOST_SIGNATURES = 2

KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature: `keyid` and the bytes `sig`; JSON spells them in base64."""

    keyid: KeyId
    sig: bytes


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    payload: bytes
    payload_type: str = field(name="payloadType")
    signatures: tuple[Signature, ...] = ()


prepare(_Envelope)


class Envelope(Struct, frozen=True, dict=True):
    """An envelope's bytes `raw`, its decoded `payload`, and its signatures, unverified.

    `signatures` maps keyid to signature, ascending.
    """

    raw: bytes
    payload: bytes
    signatures: dict[str, bytes]

    @classmethod
    def parse(cls, raw: bytes) -> "Envelope":
        """Read an envelope.

        Raises:
            MalformedError: too large, not canonical, another payload type, no or more
                than two signatures, or these not ascending by keyid.
        """
        if len(raw) > limits.ENVELOPE:
            message = f"envelope has {len(raw)} bytes, at most {limits.ENVELOPE}"
            raise MalformedError(message)
        envelope = decode_json(raw, _Envelope)
        if envelope.payload_type != PAYLOAD_TYPE:
            message = f"envelope: expected payloadType {PAYLOAD_TYPE}"
            raise MalformedError(message)
        signatures = read_signatures(envelope.signatures)
        return cls(raw, envelope.payload, signatures)

    @classmethod
    def rebuild(cls, payload: bytes, rows: Sequence[Signature]) -> "Envelope":
        """The one envelope of a payload and its signatures.

        Raises:
            MalformedError: as `parse`.
        """
        signatures = read_signatures(rows)
        raw = encode_json(_Envelope(payload, PAYLOAD_TYPE, tuple(rows)))
        if len(raw) > limits.ENVELOPE:
            message = f"envelope has {len(raw)} bytes, at most {limits.ENVELOPE}"
            raise MalformedError(message)
        return cls(raw, payload, signatures)

    @property
    def rows(self) -> tuple[Signature, ...]:
        """The signatures as they stand in the envelope."""
        return tuple(Signature(*row) for row in self.signatures.items())

    @cached_property
    def signed(self) -> bytes:
        """The bytes under each signature."""
        return pre_authentication_encoding(self.payload)


def read_signatures(rows: Sequence[Signature]) -> dict[str, bytes]:
    """One or two signatures by keyid, ascending.

    Raises:
        MalformedError: none, more, or in another order.
    """
    signatures = {one.keyid: one.sig for one in rows}
    order = [one.keyid for one in rows]
    if not 0 < len(order) <= _MOST_SIGNATURES or order != sorted(signatures):
        message = "envelope: expected one or two signatures, ascending by keyid"
        raise MalformedError(message)
    return signatures


def pre_authentication_encoding(payload: bytes) -> bytes:
    """DSSE's PAE of a payload of our one payload type."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def assemble(payload: bytes, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    """The envelope of `payload` with signatures (keyid, signature), in order."""
    rows = tuple(Signature(*row) for row in sorted(signatures))
    return encode_json(_Envelope(payload, PAYLOAD_TYPE, rows))


def sign_envelope(payload: bytes, signers: Iterable[Signer]) -> bytes:
    """The envelope of `payload` signed by each of `signers`."""
    signed = pre_authentication_encoding(payload)
    return assemble(
        payload, [(signer.public.keyid, signer.sign(signed)) for signer in signers]
    )
