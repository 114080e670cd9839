"""Envelopes: DSSE in one spelling, with one or two signatures."""

import json
from hashlib import sha256

import pytest

from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.envelope import (
    PAYLOAD_TYPE,
    Envelope,
    assemble,
    pre_authentication_encoding,
    sign_envelope,
)
from pcrlog.errors import MalformedError
from tests.support.memory_log import key

PAYLOAD = b'{"a":1}'
LOW, HIGH = "0" * 64, "f" * 64


def row(keyid: str = LOW, sig: object = "c2ln") -> dict[str, object]:
    return {"keyid": keyid, "sig": sig}


def envelope(*rows: object, **members: object) -> bytes:
    """Canonical bytes of an envelope with these signatures and other members."""
    table: dict[str, object] = {
        "payload": encode_base64(PAYLOAD),
        "payloadType": PAYLOAD_TYPE,
        "signatures": rows,
        **members,
    }
    present = {name: value for name, value in table.items() if value is not None}
    return json.dumps(present, sort_keys=True, separators=(",", ":")).encode()


def test_what_is_signed_is_dsses_encoding() -> None:
    """The example of the DSSE specification, with our payload type."""
    assert pre_authentication_encoding(b"hello world") == (
        b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
    )
    assert pre_authentication_encoding(b"").endswith(b" 0 ")
    assert pre_authentication_encoding("é".encode()).endswith(b" 2 \xc3\xa9")


def test_an_envelope_is_read_and_kept_byte_for_byte() -> None:
    raw = envelope(row(LOW), row(HIGH))
    parsed = Envelope.parse(raw)
    assert parsed.raw == raw
    assert parsed.payload == PAYLOAD
    assert parsed.signatures == {LOW: b"sig", HIGH: b"sig"}
    assert parsed.signed == pre_authentication_encoding(PAYLOAD)
    assert assemble(parsed.payload, parsed.signatures.items()) == raw


def test_signatures_are_put_in_order() -> None:
    assert assemble(PAYLOAD, [(HIGH, b"sig"), (LOW, b"sig")]) == envelope(
        row(LOW), row(HIGH)
    )


def test_a_signed_envelope_verifies_with_each_key() -> None:
    one, other = key("one"), key("other")
    parsed = Envelope.parse(sign_envelope(PAYLOAD, [one, other]))
    assert list(parsed.signatures) == sorted([one.public.keyid, other.public.keyid])
    for signer in (one, other):
        signer.public.verify(parsed.signatures[signer.public.keyid], parsed.signed)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no-members"),
        pytest.param(envelope(row(), payload=None), id="no-payload"),
        pytest.param(envelope(row(), payloadType=None), id="no-payload-type"),
        pytest.param(envelope(signatures=None), id="no-signatures-member"),
        pytest.param(envelope(), id="no-signature"),
        pytest.param(
            envelope(row("1" * 64), row("2" * 64), row("3" * 64)), id="three-signatures"
        ),
        pytest.param(envelope(row(HIGH), row(LOW)), id="not-ascending"),
        pytest.param(envelope(row(), row()), id="signature-twice"),
        pytest.param(envelope(row(), row(sig="c2lm")), id="keyid-twice"),
        pytest.param(envelope(row(), payloadType="text/plain"), id="payload-type"),
        pytest.param(
            envelope(row(), payloadType=PAYLOAD_TYPE.upper()), id="payload-type-case"
        ),
        pytest.param(envelope(row(), payload="e30"), id="payload-without-padding"),
        pytest.param(envelope(row(), payload="e31="), id="payload-with-more-bits"),
        pytest.param(envelope(row(), payload="e3-="), id="payload-in-url-alphabet"),
        pytest.param(envelope(row(), payload={}), id="payload-not-in-base64"),
        pytest.param(envelope(row("0" * 63)), id="short-keyid"),
        pytest.param(envelope(row("A" * 64)), id="upper-case-keyid"),
        pytest.param(envelope(row("0" * 64 + "\n")), id="keyid-and-newline"),
        pytest.param(envelope(row(sig="c2l")), id="sig-without-padding"),
        pytest.param(envelope(row(sig=None)), id="null-sig"),
        pytest.param(envelope({"keyid": LOW}), id="no-sig"),
        pytest.param(envelope({"sig": "c2ln"}), id="no-keyid"),
        pytest.param(envelope({**row(), "cert": "x"}), id="another-member-of-one"),
        pytest.param(envelope(row(), extra="x"), id="another-member"),
        pytest.param(envelope(row()) + b"\n", id="newline-at-the-end"),
        pytest.param(b" " + envelope(row()), id="leading-space"),
        pytest.param(
            json.dumps(json.loads(envelope(row()))).encode(), id="spaces-as-json-dumps"
        ),
        pytest.param(
            envelope(row()).replace(b'{"payload"', b'{"payload":"","payload"'),
            id="payload-twice",
        ),
        pytest.param(b"[" * 30_000, id="depth"),
        pytest.param(b'{"payload":"\xff"}', id="not-utf-8"),
    ],
)
def test_what_is_almost_an_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Envelope.parse(raw)


def test_an_envelope_has_at_most_32_kib() -> None:
    fixed = len(assemble(b"", [(LOW, b"s")]))
    room = (limits.ENVELOPE - fixed) // 4 * 3
    largest = assemble(b"x" * room, [(LOW, b"s")])
    assert limits.ENVELOPE - 4 < len(largest) <= limits.ENVELOPE
    assert len(Envelope.parse(largest).payload) == room
    rows = Envelope.parse(largest).rows
    assert Envelope.rebuild(b"x" * room, rows).raw == largest
    with pytest.raises(MalformedError, match="at most 32768"):
        Envelope.rebuild(b"x" * (room + 3), rows)
    with pytest.raises(MalformedError, match="at most 32768"):
        Envelope.parse(assemble(b"x" * (room + 3), [(LOW, b"s")]))


def test_a_keyid_is_the_hash_of_the_key() -> None:
    public = key("one").public
    assert public.keyid == sha256(public.spki).hexdigest()
    raw = json.loads(sign_envelope(PAYLOAD, [key("one")]))
    assert raw["signatures"][0]["keyid"] == public.keyid
