"""enroll: what the registrar signs, and what it refuses to sign."""

import msgspec
import pytest

from log_server import enrolment
from log_server.creation import identity_key
from log_server.enrolment import Enrolment, prepare, submit
from log_server.fsck import check
from pcrlog.envelope import pre_authentication_encoding
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.keys import SigningKey
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey
from pcrlog.request import Request, Rotation, encode
from pcrlog.statement import encode as encode_statement
from pcrlog.transport import Client, Promised
from tests.unit.log_server.parties import (
    ISSUED,
    ORIGIN,
    Log,
    Party,
    statement_sha256,
)


def first(log: Log, name: str, *keys: SigningKey, roles: str = "provider") -> Enrolment:
    request = Request.parse(encode(ORIGIN, name, keys))
    return prepare(log.config, name, [roles] if roles else [], request, log.clock)


def rotation(
    log: Log, party: Party, keys: list[IdentityKey], proven: list[SigningKey]
) -> Request:
    """A request to change a party's keys, signed by its own key."""
    with log.snapshot() as snapshot:
        previous = snapshot.identities(0)[-1]
    signers = sorted([log.registrar.key.public.keyid, party.key.public.keyid])
    ordered = tuple(sorted(keys, key=IdentityKey.order))
    identity = Identity(
        log=ORIGIN,
        issuer=REGISTRAR,
        issued=ISSUED,
        name=party.name,
        previous=statement_sha256(previous[1]),
        signers=tuple(signers),
        roles=("provider",),
        keys=ordered,
    )
    payload = encode_statement(
        identity, {key.keyid: f"sha256:{key.keyid}" for key in ordered}
    )
    signature = party.key.sign(pre_authentication_encoding(payload))
    half = Rotation(payload, {party.key.public.keyid: signature})
    return Request.parse(encode(ORIGIN, party.name, proven, half))


def test_a_first_enrolment_is_made_by_the_registrar_and_accepted(log: Log) -> None:
    key = SigningKey.generate()
    enrolment = first(log, "acme.example", key)
    assert enrolment.changes == (
        "enrols acme.example",
        "roles: provider",
        f"adds key {key.public.keyid}",
    )
    assert submit(log.config, enrolment.envelope, log.clock) == 2
    assert check(log.config).wrong == []
    assert log.accept(Party("acme.example", key).release()) == 4


def test_the_same_enrolment_again_is_the_index_of_the_first(log: Log) -> None:
    key = SigningKey.generate()
    submit(log.config, first(log, "acme.example", key).envelope, log.clock)
    log.clock.now += 60
    again = first(log, "acme.example", key)
    assert (again.index, again.envelope) == (2, b"")


def test_another_key_of_an_enrolled_name_needs_a_rotation(log: Log) -> None:
    submit(
        log.config,
        first(log, "acme.example", SigningKey.generate()).envelope,
        log.clock,
    )
    with pytest.raises(UsageError, match="rotate"):
        first(log, "acme.example", SigningKey.generate())


def test_a_first_enrolment_needs_a_role(log: Log) -> None:
    with pytest.raises(UsageError, match="--role"):
        first(log, "acme.example", SigningKey.generate(), roles="")


@pytest.mark.parametrize(
    ("origin", "name"),
    [("other.example/pcr", "acme.example"), (ORIGIN, "evil.example")],
)
def test_a_request_for_another_log_or_name_is_refused(
    log: Log, origin: str, name: str
) -> None:
    request = Request.parse(encode(origin, name, [SigningKey.generate()]))
    with pytest.raises(UsageError, match=r"want acme\.example for log\.example"):
        prepare(log.config, "acme.example", ["provider"], request, log.clock)


def test_a_rotation_that_the_name_signed_is_co_signed(log: Log, acme: Party) -> None:
    new = SigningKey.generate()
    keys = [identity_key(acme.key.public), identity_key(new.public)]
    request = rotation(log, acme, keys, [new])
    enrolment = prepare(log.config, acme.name, [], request, log.clock)
    assert enrolment.changes == (f"adds key {new.public.keyid}",)
    index = submit(log.config, enrolment.envelope, log.clock)
    assert log.accept(Party(acme.name, new).release()) == index + 2
    assert check(log.config).wrong == []


def test_a_rotation_tells_what_it_takes_away(log: Log, acme: Party) -> None:
    new = SigningKey.generate()
    old = acme.key.public
    retired = IdentityKey(keyid=old.keyid, key=old.spki, status="retired")
    request = rotation(log, acme, [retired, identity_key(new.public)], [new])
    changes = prepare(log.config, acme.name, [], request, log.clock).changes
    assert set(changes) == {
        f"makes key {old.keyid} retired",
        f"adds key {new.public.keyid}",
    }
    request = rotation(log, acme, [identity_key(new.public)], [new])
    changes = prepare(log.config, acme.name, [], request, log.clock).changes
    assert f"leaves out key {old.keyid}: retired" in changes


def test_a_new_key_that_nobody_proved_to_hold_is_refused(log: Log, acme: Party) -> None:
    theirs = SigningKey.generate()
    keys = [identity_key(acme.key.public), identity_key(theirs.public)]
    request = rotation(log, acme, keys, [])
    with pytest.raises(VerificationError, match="proven to hold"):
        prepare(log.config, acme.name, [], request, log.clock)


def test_a_rotation_is_not_given_other_roles_than_it_asks_for(
    log: Log, acme: Party
) -> None:
    new = SigningKey.generate()
    keys = [identity_key(acme.key.public), identity_key(new.public)]
    request = rotation(log, acme, keys, [new])
    with pytest.raises(UsageError, match="roles"):
        prepare(log.config, acme.name, ["auditor"], request, log.clock)


def test_a_rotation_of_a_name_that_is_not_enrolled_is_refused(log: Log) -> None:
    stranger = Party("stranger.example")
    request = rotation(
        log, stranger, [identity_key(stranger.key.public)], [stranger.key]
    )
    with pytest.raises(UsageError, match="not enrolled"):
        prepare(log.config, stranger.name, [], request, log.clock)


def test_what_the_log_refuses_is_told(log: Log, acme: Party) -> None:
    with pytest.raises(VerificationError, match="previous"):
        submit(log.config, log.identity(acme, "auditor"), log.clock)


def test_a_folder_in_use_by_no_server_is_said(log: Log) -> None:
    from log_server.direct import exclusively  # noqa: PLC0415 - used here alone

    envelope = first(log, "acme.example", SigningKey.generate()).envelope
    with exclusively(log.config), pytest.raises(UncheckedError, match="in use"):
        submit(log.config, envelope, log.clock)


def test_an_enrol_key_that_is_kept_elsewhere_is_said(log: Log) -> None:
    log.config.enrol_key.unlink()
    with pytest.raises(UsageError, match=r"kept elsewhere\? Enrolling needs it at"):
        first(log, "new.example", SigningKey.generate())


def retire_all(log: Log, party: Party) -> None:
    """The name's one key puts itself out of use."""
    with log.snapshot() as snapshot:
        previous = snapshot.identities(0)[-1]
    row = identity_key(party.key.public)
    identity = Identity(
        log=ORIGIN,
        issuer=party.name,
        issued=ISSUED,
        name=party.name,
        previous=statement_sha256(previous[1]),
        signers=(row.keyid,),
        roles=("provider",),
        keys=(msgspec.structs.replace(row, status="retired"),),
    )
    log.accept(party.sign(identity, {row.keyid: f"sha256:{row.keyid}"}))


def test_a_name_that_has_lost_all_its_keys_is_enrolled_again(log: Log) -> None:
    lost, new = SigningKey.generate(), SigningKey.generate()
    submit(log.config, first(log, "acme.example", lost).envelope, log.clock)
    party = Party("acme.example", lost)
    with pytest.raises(UsageError, match="enrolled already"):
        first(log, "acme.example", new)
    retire_all(log, party)
    again = first(log, "acme.example", new)
    assert again.changes == (
        f"adds key {new.public.keyid}",
        f"leaves out key {lost.public.keyid}: retired",
    )
    submit(log.config, again.envelope, log.clock)
    log.accept(Party("acme.example", new).release())
    assert check(log.config).wrong == []


def test_a_key_that_was_retired_does_not_come_back_that_way(log: Log) -> None:
    lost = SigningKey.generate()
    submit(log.config, first(log, "acme.example", lost).envelope, log.clock)
    retire_all(log, Party("acme.example", lost))
    again = first(log, "acme.example", lost)
    with pytest.raises(VerificationError, match="was retired"):
        submit(log.config, again.envelope, log.clock)


def test_what_a_server_only_promises_is_not_published_yet(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.config.serving.parent.mkdir(exist_ok=True)
    log.config.serving.write_text('{"url":"https://log.example"}')
    promised = Promised("ab" * 32, "cd" * 32)
    monkeypatch.setattr(Client, "submit", lambda *_one, **_more: promised)
    with pytest.raises(UncheckedError, match="pcrlog wait cdcd"):
        enrolment._submit_to_server(log.config, b"{}")
