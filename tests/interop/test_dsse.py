"""A real log's statements read by securesystemslib, and its statements in a log.

How single keys and signatures fare with securesystemslib is told in
tests/unit/pcrlog/test_keys.py. Here whole envelopes go out of a log, and into one.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError as TheirVerificationError
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import Key, SSlibKey

from log_server.fsck import check
from pcrlog.envelope import Envelope
from pcrlog.keys import ECDSA_P256, ED25519, SigningKey
from tests.interop.published import Published
from tests.unit.log_server.parties import Log, Party

IN_TOTO = "application/vnd.in-toto+json"


def their_key(spki: bytes, keyid: str) -> SSlibKey:
    """Their form of a key."""
    public = load_der_public_key(spki)
    assert isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
    return SSlibKey.from_crypto(public, keyid=keyid)


@dataclass(frozen=True)
class TheirLog:
    """A log's envelopes, and the keys of its identities, read without our code."""

    envelopes: list[bytes]
    keys: list[Key]

    @classmethod
    def read(cls, leaves: tuple[bytes, ...]) -> "TheirLog":
        envelopes = [leaf for leaf in leaves if leaf.startswith(b"{")]
        keys: dict[str, Key] = {}
        for envelope in envelopes:
            statement = json.loads(theirs(envelope).payload)
            for row in statement["predicate"].get("keys", ()):
                spki = base64.b64decode(row["key"], validate=True)
                keys[row["keyid"]] = their_key(spki, row["keyid"])
        return cls(envelopes, list(keys.values()))


def theirs(envelope: bytes) -> TheirEnvelope:
    """An envelope as they read it."""
    return TheirEnvelope.from_dict(json.loads(envelope))


@pytest.fixture(scope="module")
def their_log(published: Published) -> TheirLog:
    return TheirLog.read(published.leaves)


# --- ours, for them ------------------------------------------------------------------


def test_they_verify_every_statement_of_a_log(
    their_log: TheirLog, published: Published
) -> None:
    seals = len(published.checkpoints)
    assert len(their_log.envelopes) == published.size - seals > 500
    assert {key.keytype for key in their_log.keys} == {"ed25519", "ecdsa"}
    for envelope in their_log.envelopes:
        found = theirs(envelope)
        assert found.payload_type == IN_TOTO
        accepted = found.verify(their_log.keys, 1)
        assert set(accepted) == set(found.signatures)


def test_they_refuse_each_once_a_byte_of_it_is_changed(their_log: TheirLog) -> None:
    for number, envelope in enumerate(their_log.envelopes):
        found = theirs(envelope)
        payload = bytearray(found.payload)
        payload[number % len(payload)] ^= 1
        found.payload = bytes(payload)
        with pytest.raises(TheirVerificationError):
            found.verify(their_log.keys, 1)


def test_they_refuse_each_under_the_signature_of_the_next(their_log: TheirLog) -> None:
    read = [theirs(envelope) for envelope in their_log.envelopes]
    for found, other in zip(read, [*read[1:], read[0]], strict=True):
        found.signatures = other.signatures
        with pytest.raises(TheirVerificationError):
            found.verify(their_log.keys, 1)


def test_they_write_every_envelope_and_statement_as_it_is(their_log: TheirLog) -> None:
    for envelope in their_log.envelopes:
        found = theirs(envelope)
        assert rfc8785.dumps(found.to_dict()) == envelope
        assert rfc8785.dumps(json.loads(found.payload)) == found.payload


# --- theirs, for us ------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr("log_server.sqlite_engine.DURABLE", "off")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    return Log.create(tmp_path / "log")


@pytest.fixture(params=[ED25519, ECDSA_P256])
def party(log: Log, request: pytest.FixtureRequest) -> Party:
    """A provider with a key of either algorithm."""
    party = Party("acme.example", SigningKey.generate(request.param))
    log.accept(log.identity(party, "provider"))
    return party


def sign(payload: bytes, party: Party, payload_type: str = IN_TOTO) -> TheirEnvelope:
    """An envelope that they made and signed."""
    public = party.key.public
    made = TheirEnvelope(payload, payload_type, {})
    key = their_key(public.spki, public.keyid)
    made.sign(CryptoSigner(party.key._key, key))
    return made


def written(envelope: TheirEnvelope) -> bytes:
    return rfc8785.dumps(envelope.to_dict())


def test_a_log_takes_what_they_signed(log: Log, party: Party) -> None:
    payloads = [Envelope.parse(party.release(n, f"1.0.{n}")).payload for n in range(5)]
    made = [written(sign(payload, party)) for payload in payloads]
    indices = [log.accept(envelope) for envelope in made]
    with log.snapshot() as snapshot:
        assert [snapshot.leaf(index) for index in indices] == made
    assert check(log.config).wrong == []


def test_a_log_refuses_what_they_signed_once_a_byte_is_changed(
    log: Log, party: Party
) -> None:
    made = sign(Envelope.parse(party.release(1)).payload, party)
    [signature] = made.signatures.values()
    honest = signature.signature
    for place in range(0, len(honest), 24):
        digit = "0" if honest[place] != "0" else "1"
        signature.signature = honest[:place] + digit + honest[place + 1 :]
        assert log.submit(written(made)).index is None, place
    signature.signature = honest
    payload = made.payload
    for place in range(0, len(payload), 64):
        made.payload = payload[:place] + b"~" + payload[place + 1 :]
        assert log.submit(written(made)).index is None, place
    made.payload = payload
    assert log.submit(written(made)).index is not None


def test_a_log_refuses_what_they_signed_as_something_else(
    log: Log, party: Party
) -> None:
    payload = Envelope.parse(party.release(1)).payload
    other = sign(payload, party, "application/json")
    assert log.submit(written(other)).index is None
    # The right type at last, but the signature is over the other one.
    other.payload_type = IN_TOTO
    assert log.submit(written(other)).index is None
    stranger = sign(payload, Party(party.name))
    assert log.submit(written(stranger)).index is None
