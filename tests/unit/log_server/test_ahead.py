"""Verified ahead, judged in turn: a head start decides nothing that a turn does not."""

from collections.abc import Sequence

import pytest

from log_server import ahead
from log_server.ahead import look_ahead
from log_server.intake import Waiting
from log_server.progress import Progress
from log_server.sequencer import sequence
from log_server.signatures import Signatures
from log_server.store import Decision
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import VerificationError
from pcrlog.keys import PublicKey, SigningKey
from tests.unit.log_server.parties import NOW, Log, Party, statement_sha256


def decisions(
    log: Log, envelopes: Sequence[bytes], *, head_start: bool
) -> list[Decision]:
    """What becomes of envelopes that come in one batch."""
    rows = [
        Waiting(i, envelope, sha256(envelope), conflict_accepted=False)
        for i, envelope in enumerate(envelopes, 1)
    ]
    with log.snapshot() as snapshot:
        progress = Progress.load(snapshot)
        progress.taken = 0
        signatures, known = Signatures(), list[ahead.Ahead]()
        if head_start:
            known = look_ahead(rows, snapshot.size, progress.authority, signatures)
        signatures.close()
        return list(sequence(snapshot, progress, rows, NOW, ahead=known).decisions)


def forged(envelope: bytes) -> bytes:
    """The same statement with a signature of zeros."""
    read = Envelope.parse(envelope)
    return assemble(read.payload, [(keyid, bytes(64)) for keyid in read.signatures])


def rotated(log: Log, acme: Party, enrolment: bytes) -> tuple[bytes, Party]:
    """An identity that gives acme another key, and acme with it."""
    new = Party(acme.name, SigningKey.generate())
    previous = statement_sha256(enrolment)
    return log.identity(new, "provider", previous=previous), new


def test_it_is_decided_as_without(log: Log, acme: Party, lab: Party) -> None:
    release = acme.release(1)
    some = [
        release,
        forged(acme.release(2, "2.0.0")),
        b"junk",
        lab.reproduction(1),
        Party("nobody.example").release(3),
        release,
        acme.release(4),
    ]
    found = decisions(log, some, head_start=True)
    assert found == decisions(log, some, head_start=False)
    assert [one.index for one in found] == [6, None, None, 7, None, 6, None]


def test_who_is_enrolled_in_a_batch_may_speak_in_it(log: Log) -> None:
    party = Party("new.example")
    some = [log.identity(party, "provider"), party.release(), forged(party.release(2))]
    found = decisions(log, some, head_start=True)
    assert [one.index for one in found] == [2, 3, None]
    assert "does not verify" in str(found[2].detail)


def test_who_loses_a_key_in_a_batch_may_not_speak_with_it(log: Log) -> None:
    acme = Party("acme.example")
    enrolment = log.identity(acme, "provider")
    log.accept(enrolment)
    identity, new = rotated(log, acme, enrolment)
    some = [
        acme.release(1),
        identity,
        acme.release(2, "2.0.0"),
        new.release(3, "3.0.0"),
    ]
    found = decisions(log, some, head_start=True)
    assert found == decisions(log, some, head_start=False)
    assert [found[0].index is None, found[2].index is None] == [False, True]


def test_each_signature_is_checked_once(
    log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify, checked = PublicKey.verify, list[bytes]()

    def count(key: PublicKey, signature: bytes, message: bytes) -> None:
        checked.append(signature)
        verify(key, signature, message)

    some = [acme.release(1, f"1.0.{n}") for n in range(20)]
    monkeypatch.setattr(PublicKey, "verify", count)
    assert all(one.index for one in decisions(log, some, head_start=True))
    [*ours] = (one for e in some for one in Envelope.parse(e).signatures.values())
    assert sorted(one for one in checked if one in ours) == sorted(ours)


def test_other_bytes_than_those_that_were_checked_are_checked_again(
    acme: Party,
) -> None:
    from pcrlog.keys import Owed  # noqa: PLC0415 - used here alone

    key, message = acme.key.public, b"message"
    good = Owed(key, acme.key.sign(message), message)
    known = ahead.Ahead(owed=(good,))
    known.verify((good,))
    for wrong in (
        Owed(key, good.signature, b"another"),
        Owed(key, bytes(64), message),
        Owed(SigningKey.generate().public, good.signature, message),
    ):
        with pytest.raises(VerificationError):
            known.verify((wrong,))
        with pytest.raises(VerificationError):
            known.verify((good, wrong))
