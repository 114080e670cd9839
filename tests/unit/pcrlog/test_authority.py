"""Who may say what at index i: every sentence of PROTOCOL.md 2.2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import limits
from pcrlog.authority import Authority, check_target
from pcrlog.entry import Entry, parse_entry
from pcrlog.envelope import assemble, sign_envelope
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.keys import ECDSA_P256, SigningKey, keyid_of
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey, Revocation
from pcrlog.statement import encode
from tests.support.memory_log import ORIGIN, MemoryLog, active, key, registers

ACME, LAB = "acme.example", "lab.example"
WALLET = f"{ACME}/wallet"
GOOD, BAD = registers("good"), registers("bad")
COMMIT = {"commit": "gitCommit:" + "ab" * 20}
K1, K2, K3, K4 = (key(f"{ACME}/{n}") for n in (1, 2, 3, 4))
NEW_ROOT, NEW_ENROL = key("root 2"), key("enrol 2")
THIEF = key("thief")
NOW = limits.INTEGER
"""As `since`: from the index of the declaration on, which is not known before."""


def row(
    one: SigningKey, status: str, since: int | None = None, use: str | None = None
) -> IdentityKey:
    return IdentityKey(
        keyid=one.public.keyid,
        key=one.public.spki,
        status=status,  # type: ignore[arg-type] # one of the three words
        since=since,
        use=use,  # type: ignore[arg-type] # one of the two words
    )


def retired(one: SigningKey) -> IdentityKey:
    return row(one, "retired")


def compromised(one: SigningKey, since: int | None = None) -> IdentityKey:
    return row(one, "compromised", since)


@dataclass
class Acme:
    """Changes of the provider's identity, by whom the method says."""

    log: MemoryLog

    def both(
        self, signer: SigningKey, *keys: IdentityKey, roles: str = "provider"
    ) -> int:
        """By the registrar and a key of the name (or any other)."""
        signers = [self.log.enrol, signer]
        return self.log.identify(ACME, keys, signers, roles=roles.split())

    def registrar(self, *keys: IdentityKey, roles: str = "provider") -> int:
        """By the registrar alone."""
        return self.log.identify(ACME, keys, [self.log.enrol], roles=roles.split())

    def alone(
        self, signer: SigningKey, *keys: IdentityKey, roles: str = "provider"
    ) -> int:
        """By a key of the name (or any other) alone."""
        return self.log.identify(ACME, keys, [signer], issuer=ACME, roles=roles.split())

    def release(self, by: SigningKey = K1, version: str = "1.0.0") -> int:
        return self.log.release(WALLET, version, GOOD, by=by)

    def keys(self, at: int | None = None) -> set[str]:
        """Keyids active just before an index, or now."""
        index = len(self.log.leaves) if at is None else at
        return set(self.log.authority.state(ACME, index).keys)

    def void(self, index: int) -> bool:
        return self.log.authority.is_void(self.log.entries[index])


@pytest.fixture
def log() -> MemoryLog:
    """A log with a provider of two keys at index 1, and an auditor at index 2."""
    made = MemoryLog()
    made.enroll(ACME, "provider", keys=[K1, K2])
    made.enroll(LAB, "auditor")
    return made


@pytest.fixture
def acme(log: MemoryLog) -> Acme:
    return Acme(log)


def ids(*keys: SigningKey) -> set[str]:
    return {one.public.keyid for one in keys}


def refused(match: str) -> pytest.RaisesExc[VerificationError]:
    return pytest.RaisesExc(VerificationError, match=match)


def as_registrar(
    log: MemoryLog, keys: Sequence[IdentityKey], *signers: SigningKey
) -> int:
    return log.identify(REGISTRAR, keys, signers, issuer=REGISTRAR)


def with_enrol(log: MemoryLog, *rows: IdentityKey) -> list[IdentityKey]:
    """The registrar's keys as they are in entry 0, and more."""
    return [
        *active(log.root, use="root"),
        *active(log.enrol, use="enrol"),
        *rows,
    ]


# --- entry 0 --------------------------------------------------------------------------


def test_entry_0_gives_the_registrar_its_keys_and_no_roles(log: MemoryLog) -> None:
    state = log.authority.state(REGISTRAR, 1)
    assert state.keys == {
        log.root.public.keyid: "root",
        log.enrol.public.keyid: "enrol",
    }
    assert state.roles == frozenset()
    assert log.authority.state(REGISTRAR, 0).keys == {}


def test_the_registrar_cannot_have_roles(log: MemoryLog) -> None:
    with pytest.raises(MalformedError, match="the registrar has no roles"):
        log.identify(
            REGISTRAR,
            with_enrol(log),
            [log.root],
            issuer=REGISTRAR,
            roles=["provider"],
        )


@pytest.mark.parametrize("index", [1, 2])
def test_entry_0_is_nobody_elses_identity(log: MemoryLog, index: int) -> None:
    with refused("signed by neither an enrol key"):
        Authority(ORIGIN).accept(parse_entry(0, log.leaves[index]))


def test_entry_0_is_no_release(acme: Acme) -> None:
    leaf = acme.log.leaves[acme.release()]
    with refused("is not an active key"):
        Authority(ORIGIN).accept(parse_entry(0, leaf))


@pytest.mark.parametrize("index", [1, 7])
def test_nobody_becomes_registrar_later(log: MemoryLog, index: int) -> None:
    authority = Authority(ORIGIN)
    with refused("one active root key"):
        authority.accept(parse_entry(index, log.leaves[0]))
    assert authority.root_keys() == frozenset()


@pytest.mark.parametrize("who", ["enrol", "enrol and root", "a stranger"])
def test_entry_0_is_signed_by_one_root_key(log: MemoryLog, who: str) -> None:
    signers = {
        "enrol": [log.enrol],
        "enrol and root": [log.enrol, log.root],
        "a stranger": [THIEF],
    }[who]
    first = log.entries[0].predicate
    assert isinstance(first, Identity)
    changed = msgspec.structs.replace(
        first, signers=tuple(sorted(one.public.keyid for one in signers))
    )
    payload = encode(changed, log.entries[0].statement.registers)
    with refused("one active root key"):
        Authority(ORIGIN).accept(parse_entry(0, sign_envelope(payload, signers)))


def test_entry_0_proves_that_its_key_is_held(log: MemoryLog) -> None:
    payload = log.entries[0].envelope.payload
    leaf = assemble(payload, [(log.root.public.keyid, THIEF.sign(b"another message"))])
    authority = Authority(ORIGIN)
    with refused("does not verify"):
        authority.accept(parse_entry(0, leaf))
    assert authority.root_keys() == frozenset()


def test_a_policy_pins_a_root_key_of_entry_0_alone(log: MemoryLog) -> None:
    assert log.authority.root_keys() == ids(log.root)
    as_registrar(log, with_enrol(log, row(NEW_ROOT, "active", use="root")), log.root)
    assert log.authority.root_keys() == ids(log.root)


# --- the registrar's keys -------------------------------------------------------------


def test_an_enrol_key_may_enroll_from_its_identity_on(log: MemoryLog) -> None:
    other = key("other")

    def enroll() -> int:
        return log.identify("other.example", active(other), [NEW_ENROL])

    with refused("signed by neither an enrol key"):
        enroll()
    as_registrar(log, with_enrol(log, row(NEW_ENROL, "active", use="enrol")), log.root)
    index = enroll()
    assert log.authority.state("other.example", index + 1).keys == {
        other.public.keyid: None
    }


@pytest.mark.parametrize(
    "who", ["enrol", "a name's key", "two roots", "root and enrol"]
)
def test_nothing_but_one_root_key_signs_the_registrars_changes(
    log: MemoryLog, who: str
) -> None:
    rows = with_enrol(log, row(NEW_ROOT, "active", use="root"))
    as_registrar(log, rows, log.root)
    signers = {
        "enrol": [log.enrol],
        "a name's key": [K1],
        "two roots": [log.root, NEW_ROOT],
        "root and enrol": [log.root, log.enrol],
    }[who]
    with refused("one active root key signs"):
        as_registrar(log, with_enrol(log), *signers)


def test_a_retired_root_key_signs_nothing(log: MemoryLog) -> None:
    enrol = active(log.enrol, use="enrol")
    rows = [*enrol, row(NEW_ROOT, "active", use="root")]
    as_registrar(log, rows, log.root)
    with refused("one active root key signs"):
        as_registrar(log, rows, log.root)
    as_registrar(log, enrol + rows[1:], NEW_ROOT)


def test_a_retired_key_of_the_registrar_never_returns(log: MemoryLog) -> None:
    new = row(NEW_ENROL, "active", use="enrol")
    root = active(log.root, use="root")
    as_registrar(log, [*root, new], log.root)
    with refused("was retired"):
        as_registrar(log, with_enrol(log, new), log.root)


def test_a_root_key_enrolls_nobody(log: MemoryLog) -> None:
    with refused("signed by neither an enrol key"):
        log.identify("other.example", active(K3), [log.root])


def test_a_root_key_cosigns_no_change_of_a_name(acme: Acme) -> None:
    with refused("signed by neither"):
        acme.log.identify(ACME, active(K1, K2, K3), [acme.log.root, K1])


def test_a_retired_enrol_key_enrolls_nobody(log: MemoryLog) -> None:
    root = active(log.root, use="root")
    as_registrar(log, [*root, row(NEW_ENROL, "active", use="enrol")], log.root)
    with refused("signed by neither an enrol key"):
        log.enroll("other.example", "provider")


@pytest.mark.parametrize("reason", ["compromised", "vulnerable"])
def test_an_enrol_key_revokes_a_measurement(acme: Acme, reason: str) -> None:
    index = acme.release()
    at = acme.log.revoke(REGISTRAR, reason, index, by=acme.log.enrol)
    assert acme.log.entries[at].predicate.issuer == REGISTRAR


def test_a_root_key_revokes_nothing(acme: Acme) -> None:
    index = acme.release()
    with refused("may not make this revocation"):
        acme.log.revoke(REGISTRAR, "compromised", index, by=acme.log.root)


@pytest.mark.parametrize("reason", ["withdrawn", "erroneous", "superseded", "unheard"])
def test_the_registrar_revokes_for_no_other_reason(acme: Acme, reason: str) -> None:
    index = acme.release()
    with refused("may not make this revocation"):
        acme.log.revoke(REGISTRAR, reason, index, by=acme.log.enrol)


def test_the_registrar_can_take_trust_away_but_never_give_it(log: MemoryLog) -> None:
    enrol = log.enrol
    with refused("registrar may not make this release"):
        log.release(f"{REGISTRAR}/wallet", "1.0.0", GOOD, by=enrol)
    with refused("registrar may not make this audit"):
        log.audit(REGISTRAR, "source-review", COMMIT, by=enrol)
    with refused("is not an active key of acme.example"):
        log.release(WALLET, "1.0.0", GOOD, by=enrol)


# --- the chain of a name's identities -------------------------------------------------


def test_the_first_identity_of_a_name_is_the_registrars_alone(log: MemoryLog) -> None:
    rows = active(K3)
    with refused("signed by neither"):
        log.identify("other.example", rows, [K3], issuer="other.example")
    with refused("signed by neither"):
        log.identify("other.example", rows, [log.enrol, K3])
    with refused("signed by neither"):
        log.identify("other.example", rows, [log.enrol, K1])
    log.identify("other.example", rows, [log.enrol])


def test_an_identity_cannot_be_replayed(acme: Acme) -> None:
    acme.both(K1, *active(K1, K2, K3))
    for index in (1, 3):
        with refused("previous is"):
            acme.log.append(acme.log.leaves[index])


def with_previous(log: MemoryLog, previous: str | None) -> bytes:
    rows = tuple(sorted(active(K1), key=lambda one: one.keyid))
    predicate = Identity(
        log=ORIGIN,
        issuer=ACME,
        issued=log.stamp(),
        name=ACME,
        signers=(K1.public.keyid,),
        roles=("provider",),
        keys=rows,
        previous=previous,
    )
    return sign_envelope(
        encode(predicate, {one.keyid: f"sha256:{one.keyid}" for one in rows}), [K1]
    )


def test_previous_names_the_newest_of_that_name_and_nothing_else(acme: Acme) -> None:
    log = acme.log
    acme.both(K1, *active(K1, K2, K3))
    for previous in (None, "0" * 64, log.entries[1].sha256, log.entries[2].sha256):
        with refused("previous is"):
            log.append(with_previous(log, previous))
    log.append(with_previous(log, log.entries[3].sha256))
    assert log.authority.newest(ACME) == log.entries[4].sha256


def test_of_two_changes_in_one_batch_the_second_is_too_late(acme: Acme) -> None:
    leaf = with_previous(acme.log, acme.log.authority.newest(ACME))
    acme.both(K1, *active(K1, K2, K3))
    with refused("previous is"):
        acme.log.append(leaf)


def test_a_void_identity_keeps_its_place_in_the_chain(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K2, K3))
    acme.both(K2, compromised(K1, since=index), *active(K2))
    assert acme.void(index)
    acme.both(K2, *active(K2, K4), compromised(K1, since=index))
    assert acme.keys() == ids(K2, K4)


def test_newest_identity_is_the_newest_accepted_void_or_not(acme: Acme) -> None:
    assert acme.log.authority.newest("nobody.example") is None
    assert acme.log.authority.newest_identity("nobody.example") is None
    assert acme.log.authority.newest_identity(ACME) == acme.log.entries[1].predicate
    index = acme.alone(K1, *active(K1))
    assert acme.log.authority.newest_identity(ACME) == acme.log.entries[index].predicate


def test_each_entry_is_judged_by_what_stands_before_it(acme: Acme) -> None:
    """Also inside one batch: entry i uses entries below i, and only those."""
    log = acme.log
    index = log.enroll("late.example", "provider")
    made = log.release("late.example/app", "1.0.0", GOOD)
    early = Authority(ORIGIN)
    for place in range(index):
        early.accept(log.entries[place])
    with refused("is not an active key of late.example"):
        early.accept(parse_entry(index, log.leaves[made]))
    early.accept(parse_entry(index + 1, log.leaves[index]))
    with refused("is not an active key of late.example"):
        early.accept(parse_entry(index + 1, log.leaves[made]))
    early.accept(parse_entry(index + 2, log.leaves[made]))


def test_to_judge_is_not_to_remember(acme: Acme) -> None:
    leaf = with_previous(acme.log, acme.log.authority.newest(ACME))
    entry = parse_entry(9, leaf)
    acme.log.authority.judge(entry)
    acme.log.authority.judge(entry)
    assert acme.keys() == ids(K1, K2)


def test_all_but_signatures_can_be_judged_and_these_be_owed(acme: Acme) -> None:
    authority = acme.log.authority
    entry = parse_entry(9, with_previous(acme.log, authority.newest(ACME)))
    owed = authority.judge_unverified(entry)
    assert [one.key.keyid for one in owed] == list(entry.envelope.signatures)
    for one in owed:
        one.verify()
    forged = dict.fromkeys(entry.envelope.signatures, b"\x00" * 64)
    envelope = msgspec.structs.replace(entry.envelope, signatures=forged)
    for one in authority.judge_unverified(
        msgspec.structs.replace(entry, envelope=envelope)
    ):
        with refused("does not verify"):
            one.verify()


# --- by the registrar and a key of the name: anything ---------------------------------


def test_the_registrar_and_a_key_of_the_name_may_change_anything(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K3), compromised(K2), roles="auditor provider")
    state = acme.log.authority.state(ACME, index + 1)
    assert set(state.keys) == ids(K1, K3)
    assert state.roles == {"auditor", "provider"}


@pytest.mark.parametrize(
    "second", [K3, key(LAB), NEW_ENROL], ids=["unknown", "another name's", "no enrol"]
)
def test_the_second_signer_is_a_key_of_the_name(acme: Acme, second: SigningKey) -> None:
    with refused("signed by neither"):
        acme.both(second, *active(K1, K2, K3))


def test_two_enrol_keys_are_not_registrar_and_name(log: MemoryLog, acme: Acme) -> None:
    as_registrar(log, with_enrol(log, row(NEW_ENROL, "active", use="enrol")), log.root)
    with refused("signed by neither"):
        acme.both(NEW_ENROL, *active(K1))


def test_both_signatures_have_to_verify(acme: Acme) -> None:
    index = acme.both(K1, *active(K1))
    envelope = acme.log.entries[index].envelope
    for forged in envelope.signatures:
        other = [
            (k, s if k != forged else bytes(64)) for k, s in envelope.signatures.items()
        ]
        fresh = MemoryLog()
        fresh.enroll(ACME, "provider", keys=[K1, K2])
        fresh.enroll(LAB, "auditor")
        with refused("does not verify"):
            fresh.append(assemble(envelope.payload, other))


# --- by the registrar alone -----------------------------------------------------------


def test_the_registrar_alone_may_take_away(acme: Acme) -> None:
    acme.registrar(*active(K1), compromised(K2))
    assert acme.keys() == ids(K1)
    acme.registrar(retired(K1), compromised(K2), roles="")
    state = acme.log.authority.state(ACME, len(acme.log.leaves))
    assert (state.keys, state.roles) == ({}, frozenset())


def test_keys_that_the_registrar_alone_adds_are_flagged(acme: Acme) -> None:
    authority = acme.log.authority
    acme.registrar(*active(K1, K2, K3))
    acme.both(K1, *active(K1, K2, K3, K4))
    assert acme.keys() == ids(K1, K2, K3, K4)
    flagged = {
        one
        for one in (K1, K2, K3, K4)
        if authority.added_by_registrar(one.public.keyid)
    }
    assert flagged == {K3}
    acme.release(K3)


def test_the_keys_of_a_first_identity_are_not_flagged(log: MemoryLog) -> None:
    log.enroll("other.example", "provider")
    keyid = key("other.example").public.keyid
    assert not log.authority.added_by_registrar(keyid)


# --- by a key of the name alone -------------------------------------------------------


def test_a_key_of_the_name_alone_retires_others_and_itself(acme: Acme) -> None:
    acme.alone(K1, *active(K1), retired(K2))
    assert acme.keys() == ids(K1)
    acme.alone(K1, retired(K1), retired(K2))
    assert acme.keys() == set()
    with refused("is not an active key"):
        acme.release(K1)


def test_a_key_left_out_is_retired(acme: Acme) -> None:
    acme.alone(K1, *active(K1))
    with refused("is not an active key"):
        acme.release(K2)


def test_at_night_a_key_puts_itself_out_of_use_and_needs_nobody(acme: Acme) -> None:
    good = acme.release()
    index = acme.alone(K1, compromised(K1, since=NOW), *active(K2))
    assert acme.keys() == ids(K2)
    assert not acme.void(good)
    assert not acme.void(index)


@pytest.mark.parametrize("since", [None, 0, 1, 2])
def test_to_date_back_alone_is_refused(acme: Acme, since: int | None) -> None:
    with refused("to date back, needs the registrar"):
        acme.alone(K1, compromised(K1, since=since), *active(K2))
    index = len(acme.log.leaves)
    acme.alone(K1, compromised(K1, since=index), *active(K2))


@pytest.mark.parametrize("since", [None, NOW])
def test_to_declare_another_key_compromised_alone_is_refused(
    acme: Acme, since: int | None
) -> None:
    with refused("declare another key compromised"):
        acme.alone(K1, *active(K1), compromised(K2, since=since))
    acme.both(K1, *active(K1), compromised(K2, since=since))


def test_a_retired_key_is_declared_compromised_by_the_registrar(acme: Acme) -> None:
    acme.alone(K1, *active(K1), retired(K2))
    with refused("may only retire keys"):
        acme.alone(K1, *active(K1), compromised(K2, since=NOW))
    acme.both(K1, *active(K1), compromised(K2, since=NOW))


def test_what_is_compromised_already_may_be_listed_so_again(acme: Acme) -> None:
    acme.both(K1, *active(K1, K3), compromised(K2, since=2))
    acme.alone(K1, *active(K1), compromised(K2, since=2))
    with refused("to date back, needs the registrar"):
        acme.alone(K1, retired(K1), compromised(K2, since=1))


@pytest.mark.parametrize(
    ("keys", "roles"),
    [
        (active(K1, K2), "provider"),
        ([*active(K1), retired(K2), *active(K3)], "provider"),
        (active(K1, K2, K3), "provider"),
        (active(K1), "auditor provider"),
        (active(K1), ""),
        (active(K1, K2), ""),
    ],
    ids=["nothing", "swap", "add", "add a role", "drop a role too", "drop a role"],
)
def test_a_key_of_the_name_alone_may_only_retire(
    acme: Acme, keys: list[IdentityKey], roles: str
) -> None:
    with refused("may only retire keys or declare itself compromised"):
        acme.alone(K1, *keys, roles=roles)
    assert acme.keys() == ids(K1, K2)


def test_two_keys_of_the_name_are_not_more_than_one(acme: Acme) -> None:
    with refused("signed by neither"):
        acme.log.identify(ACME, active(K1), [K1, K2], issuer=ACME, roles=["provider"])


@pytest.mark.parametrize(
    "signer", [K3, key(LAB), THIEF], ids=["not yet", "another name's", "stranger"]
)
def test_nobody_elses_key_retires_anything(acme: Acme, signer: SigningKey) -> None:
    with refused("signed by neither"):
        acme.alone(signer, *active(K1))


def test_a_retired_key_retires_nothing(acme: Acme) -> None:
    acme.alone(K1, *active(K1), retired(K2))
    with refused("signed by neither"):
        acme.alone(K2, retired(K1), *active(K2))


def test_the_issuer_is_who_signs(acme: Acme) -> None:
    log = acme.log
    with refused("issuer is not who signs it"):
        log.identify(ACME, active(K1), [K1], issuer=REGISTRAR, roles=["provider"])
    for signers in ([log.enrol], [log.enrol, K1]):
        with refused("issuer is not who signs it"):
            log.identify(ACME, active(K1), signers, issuer=ACME, roles=["provider"])


# --- return ---------------------------------------------------------------------------


@pytest.fixture
def without_k2(acme: Acme) -> Acme:
    acme.alone(K1, *active(K1), retired(K2))
    return acme


def test_a_retired_key_returns_by_the_registrar_and_itself(without_k2: Acme) -> None:
    without_k2.both(K2, *active(K1, K2))
    assert without_k2.keys() == ids(K1, K2)
    assert not without_k2.log.authority.added_by_registrar(K2.public.keyid)
    without_k2.release(K2)


def test_a_key_that_was_left_out_returns_the_same_way(acme: Acme) -> None:
    acme.alone(K1, *active(K1))
    with refused("was retired"):
        acme.both(K1, *active(K1, K2))
    acme.both(K2, *active(K1, K2))


def test_a_retired_key_does_not_return_without_itself(without_k2: Acme) -> None:
    with refused("was retired"):
        without_k2.registrar(*active(K1, K2))
    with refused("was retired"):
        without_k2.both(K1, *active(K1, K2))


def test_a_retired_key_does_not_return_without_the_registrar(without_k2: Acme) -> None:
    with refused("signed by neither"):
        without_k2.alone(K2, *active(K1, K2))
    with refused("signed by neither"):
        without_k2.log.identify(
            ACME, active(K1, K2), [K1, K2], issuer=ACME, roles=["provider"]
        )


def test_a_compromised_key_never_returns(acme: Acme) -> None:
    acme.alone(K1, *active(K2), compromised(K1, since=NOW))
    with refused("signed by neither"):
        acme.both(K1, *active(K1, K2))
    with refused("is compromised, for ever"):
        acme.both(K2, *active(K1, K2))
    with refused("is compromised, for ever"):
        acme.both(K2, *active(K2), retired(K1))


def test_a_key_that_returns_adds_others_as_the_registrar_alone_would(
    without_k2: Acme,
) -> None:
    authority = without_k2.log.authority
    without_k2.both(K2, *active(K1, K2, K3))
    assert authority.added_by_registrar(K3.public.keyid)
    assert authority.pinned(ACME, ids(K2)) == ids(K2)


# --- a keyid belongs to one name for ever ---------------------------------------------


@pytest.mark.parametrize("state", ["active", "retired", "left out", "compromised"])
def test_a_keyid_belongs_to_one_name_whatever_becomes_of_it(
    acme: Acme, state: str
) -> None:
    log = acme.log
    rows = {
        "active": active(K2),
        "retired": [retired(K2)],
        "left out": [],
        "compromised": [compromised(K2)],
    }[state]
    acme.both(K1, *active(K1, K3), *rows)
    with refused("belongs to acme.example, for ever"):
        log.identify("other.example", active(K2, K4), [log.enrol])
    assert log.authority.owner(K2.public.keyid) == ACME
    assert log.authority.owner(K4.public.keyid) is None


def test_a_key_of_the_registrar_is_nobody_elses(log: MemoryLog) -> None:
    for one in (log.root, log.enrol):
        with refused("belongs to registrar, for ever"):
            log.identify("other.example", active(one), [log.enrol])
    with refused("belongs to acme.example, for ever"):
        as_registrar(log, with_enrol(log, row(K1, "active", use="enrol")), log.root)


def test_a_keyid_of_a_void_identity_stays_taken(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K2, K3))
    acme.both(K2, *active(K2), compromised(K1, since=index))
    assert acme.void(index)
    with refused("belongs to acme.example, for ever"):
        acme.log.identify("other.example", active(K3), [acme.log.enrol])


@pytest.mark.parametrize("status", ["retired", "compromised"])
def test_an_unknown_key_can_only_be_active(acme: Acme, status: str) -> None:
    with refused("not yet known, so it can only be active"):
        acme.both(K1, *active(K1, K2), row(THIEF, status))


# --- compromise -----------------------------------------------------------------------


def test_a_compromise_voids_from_since_on_and_not_before(acme: Acme) -> None:
    releases = [acme.release(version=f"1.0.{n}") for n in range(4)]
    acme.both(K2, *active(K2), compromised(K1, since=releases[2]))
    assert [acme.void(index) for index in releases] == [False, False, True, True]


def test_since_absent_means_from_the_beginning(acme: Acme) -> None:
    index = acme.release()
    acme.both(K2, *active(K2), compromised(K1))
    assert acme.void(index)


def test_the_smallest_since_ever_declared_counts(acme: Acme) -> None:
    releases = [acme.release(version=f"1.0.{n}") for n in range(4)]
    for since in (releases[2], releases[3], releases[1], NOW):
        acme.both(K2, *active(K2), compromised(K1, since=since))
    assert [acme.void(index) for index in releases] == [False, True, True, True]


def test_a_compromised_key_that_is_left_out_stays_compromised(acme: Acme) -> None:
    index = acme.release()
    acme.both(K2, *active(K2), compromised(K1))
    acme.both(K2, *active(K2))
    assert acme.void(index)
    with refused("is not an active key"):
        acme.release(K1)
    with refused("is compromised, for ever"):
        acme.both(K2, *active(K1, K2))


def test_after_its_declaration_a_compromised_key_says_nothing(acme: Acme) -> None:
    index = acme.release()
    acme.both(K2, *active(K2), compromised(K1, since=NOW))
    with refused("is not an active key"):
        acme.release(K1, "2.0.0")
    with refused("is not an active key"):
        acme.log.revoke(ACME, "compromised", index, by=K1)


def test_retirement_voids_nothing(acme: Acme) -> None:
    index = acme.release(K2)
    acme.alone(K1, *active(K1), retired(K2))
    assert not acme.void(index)


def test_a_compromise_does_not_void_the_identity_that_declares_it(acme: Acme) -> None:
    index = acme.both(K1, *active(K2, K3), compromised(K1))
    assert not acme.void(index)
    assert acme.keys() == ids(K2, K3)
    assert not acme.void(acme.release(K3))


def test_to_list_a_compromised_key_again_does_not_void_its_declarer(acme: Acme) -> None:
    """Later identities list all keys; saying the same again adds nothing."""
    index = acme.both(K1, *active(K2, K3), compromised(K1, since=2))
    made = acme.release(K3)
    acme.both(K2, *active(K2, K3, K4), compromised(K1, since=2))
    assert not acme.void(index)
    assert not acme.void(made)


def test_a_later_compromise_from_an_earlier_index_voids_the_declarer(
    acme: Acme,
) -> None:
    index = acme.both(K1, *active(K2, K3), compromised(K1, since=NOW))
    made = acme.release(K3)
    assert not acme.void(made)
    acme.both(K2, *active(K2), compromised(K1, since=index - 1))
    assert acme.void(index)
    assert acme.void(made)


# --- void identities ------------------------------------------------------------------


@dataclass
class Stolen:
    """A thief had K1: at `index` it retired K2 and added K3, then K3 released."""

    acme: Acme
    index: int
    made: int

    def declare(self, *keys: IdentityKey) -> int:
        """The registrar says so, and adds a fresh key for the name."""
        rows = [*active(K4), compromised(K1, since=self.index), *keys]
        return self.acme.registrar(*rows)


@pytest.fixture
def stolen(acme: Acme) -> Stolen:
    index = acme.both(K1, *active(K1, K3), retired(K2))
    return Stolen(acme, index, acme.release(K3))


def test_what_a_void_identity_gave_is_void(stolen: Stolen) -> None:
    assert not stolen.acme.void(stolen.made)
    stolen.declare()
    assert stolen.acme.void(stolen.index)
    assert stolen.acme.void(stolen.made)


def test_what_a_void_identity_took_stays_taken(stolen: Stolen) -> None:
    stolen.declare()
    # The identity before had K1 and K2: K2 was retired by the void one all the same.
    assert stolen.acme.keys(at=stolen.made + 1) == ids(K1)
    with refused("was retired"):
        stolen.acme.registrar(*active(K2, K4))
    with refused("signed by neither"):
        stolen.acme.alone(K2, *active(K2))


def test_chains_of_void_identities_fall_with_the_first(stolen: Stolen) -> None:
    acme = stolen.acme
    second = acme.both(K3, *active(K3, K4), retired(K1))
    made = acme.release(K4, "6.6.6")
    third = acme.alone(K4, *active(K4), retired(K3))
    assert not acme.void(made)
    acme.registrar(compromised(K1, since=stolen.index), *active(key("fresh")))
    assert [acme.void(index) for index in (second, made, third)] == [True] * 3
    assert acme.keys(at=third + 1) == set()


def test_state_falls_back_over_several_void_identities(acme: Acme) -> None:
    first = acme.both(K1, *active(K1, K2, K3))
    acme.both(K1, *active(K1, K2, K3, K4), roles="auditor provider")
    acme.alone(K1, *active(K1, K2, K4), roles="auditor provider")
    last = acme.registrar(*active(K2, K4), compromised(K1, since=first))
    # Not void: the first of all, with K1 and K2; nothing later took one of these.
    state = acme.log.authority.state(ACME, last)
    assert set(state.keys) == ids(K1, K2)
    assert state.roles == {"provider"}


def test_roles_that_a_void_identity_gave_are_void(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K2), roles="auditor provider")
    made = acme.log.audit(ACME, "source-review", COMMIT, by=K2)
    released = acme.release(K2)
    acme.registrar(*active(K2), compromised(K1, since=index))
    assert acme.void(made)
    assert not acme.void(released)


def test_roles_that_a_void_identity_took_stay_taken(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K2), roles="auditor")
    acme.both(K1, *active(K1, K2), roles="auditor provider")
    made = acme.release(K2)
    acme.registrar(*active(K2), compromised(K1, since=index))
    state = acme.log.authority.state(ACME, made)
    assert (set(state.keys), state.roles) == (ids(K1, K2), frozenset())
    assert acme.void(made)


def test_an_identity_is_void_if_any_of_its_signers_is(acme: Acme) -> None:
    by_name = acme.both(K1, *active(K1, K2, K3))
    acme.registrar(*active(K2), compromised(K1, since=by_name))
    assert acme.void(by_name)
    log = acme.log
    by_registrar = acme.both(K2, *active(K2, K4), compromised(K1, since=by_name))
    new = row(NEW_ENROL, "active", use="enrol")
    lost = row(log.enrol, "compromised", since=by_registrar, use="enrol")
    as_registrar(log, [*active(log.root, use="root"), new, lost], log.root)
    assert acme.void(by_registrar)
    assert not acme.void(1)


def test_a_key_that_returned_and_was_compromised_by_then_voids_its_return(
    without_k2: Acme,
) -> None:
    index = without_k2.both(K2, *active(K1, K2, K3))
    without_k2.registrar(*active(K1), compromised(K2, since=index))
    assert without_k2.void(index)


# --- a lost key of the registrar ------------------------------------------------------


def lose(log: MemoryLog, since: int | None) -> int:
    """The root key declares the enrol key compromised, and makes a new one."""
    root = active(log.root, use="root")
    rows = [row(NEW_ENROL, "active", use="enrol")]
    lost = row(log.enrol, "compromised", since=since, use="enrol")
    return as_registrar(log, [*root, *rows, lost], log.root)


def test_a_compromised_enrol_key_voids_what_it_enrolled_since(log: MemoryLog) -> None:
    index = log.enroll("late.example", "provider")
    made = log.release("late.example/app", "1.0.0", GOOD)
    old = log.release(WALLET, "1.0.0", GOOD, by=K1)
    lose(log, index)
    void = log.authority.is_void
    assert void(log.entries[index])
    assert void(log.entries[made])
    assert not void(log.entries[old])


def test_a_compromised_enrol_key_voids_its_revocations_since(acme: Acme) -> None:
    log = acme.log
    index = acme.release()
    revoked = [
        log.revoke(REGISTRAR, reason, index, by=log.enrol)
        for reason in ("compromised", "vulnerable")
    ]
    lose(log, revoked[1])
    assert [acme.void(at) for at in revoked] == [False, True]


def test_a_compromised_root_key_voids_what_it_changed_since(log: MemoryLog) -> None:
    first = as_registrar(
        log, with_enrol(log, row(NEW_ROOT, "active", use="root")), log.root
    )
    stolen = key("stolen enrol")
    second = as_registrar(
        log,
        [
            *with_enrol(log, row(NEW_ROOT, "active", use="root")),
            row(stolen, "active", use="enrol"),
        ],
        log.root,
    )
    enrolled = log.identify("evil.example", active(THIEF), [stolen], roles=["provider"])
    lost = row(log.root, "compromised", since=second, use="root")
    rows = [row(NEW_ROOT, "active", use="root"), *active(log.enrol, use="enrol")]
    as_registrar(log, [*rows, lost], NEW_ROOT)
    void = log.authority.is_void
    assert not void(log.entries[first])
    assert void(log.entries[second])
    assert void(log.entries[enrolled])
    log.enroll("new.example", "provider")


def test_a_root_key_compromised_from_the_first_leaves_nothing(acme: Acme) -> None:
    log = acme.log
    made = acme.release()
    as_registrar(log, with_enrol(log, row(NEW_ROOT, "active", use="root")), log.root)
    lost = row(log.root, "compromised", use="root")
    as_registrar(
        log,
        [row(NEW_ROOT, "active", use="root"), *active(log.enrol, use="enrol"), lost],
        NEW_ROOT,
    )
    assert acme.void(0)
    assert acme.void(1)
    assert acme.void(made)
    with refused("signed by neither"):
        log.enroll("new.example", "provider")


def test_a_use_that_a_void_identity_gave_is_void(log: MemoryLog) -> None:
    """A thief of the root makes an enrol key of a root key, and a name with it."""
    other = row(NEW_ROOT, "active", use="root")
    as_registrar(log, with_enrol(log, other), log.root)
    changed = as_registrar(
        log, with_enrol(log, row(NEW_ROOT, "active", use="enrol")), log.root
    )
    enrolled = log.identify("evil.example", active(THIEF), [NEW_ROOT])
    third = key("root 3")
    back = as_registrar(
        log,
        with_enrol(
            log,
            row(NEW_ROOT, "active", use="enrol"),
            row(third, "active", use="root"),
        ),
        log.root,
    )
    assert not log.authority.is_void(log.entries[enrolled])
    lost = row(log.root, "compromised", since=changed, use="root")
    as_registrar(
        log,
        [
            *active(log.enrol, use="enrol"),
            row(third, "active", use="root"),
            lost,
        ],
        third,
    )
    assert log.authority.is_void(log.entries[back])
    assert log.authority.is_void(log.entries[enrolled])
    assert NEW_ROOT.public.keyid not in log.authority.state(REGISTRAR, enrolled).keys


def test_a_chain_of_any_length_is_judged_again_after_a_compromise(acme: Acme) -> None:
    """Hindsight must not end in Python's recursion limit: that would stop the log."""
    for n in range(400):
        acme.both(K1, *active(K1, K2), roles=("provider", "auditor")[n % 2])
    index = acme.both(K1, *active(K1), compromised(K2, since=NOW))
    assert acme.keys() == ids(K1)
    assert not acme.void(index)


# --- what stands against, and what lifts ----------------------------------------------


def test_with_hindsight_a_void_revocation_no_longer_speaks_for_anything(
    acme: Acme,
) -> None:
    index = acme.release()
    at = acme.log.revoke(ACME, "withdrawn", index, by=K1)
    assert not acme.void(at)
    acme.both(K2, *active(K2), compromised(K1, since=at))
    assert acme.void(at)
    assert not acme.void(index)


# --- pins -----------------------------------------------------------------------------


def pinned(acme: Acme, *pins: SigningKey) -> set[str]:
    return set(acme.log.authority.pinned(ACME, ids(*pins)))


def test_pins_of_a_name_that_never_changed_are_these_keys(acme: Acme) -> None:
    assert pinned(acme, K1) == ids(K1)
    assert pinned(acme, THIEF) == ids(THIEF)
    assert acme.log.authority.pinned("nobody.example", ids(K1)) == ids(K1)


def test_a_pinned_key_hands_its_pin_on_to_keys_that_it_adds(acme: Acme) -> None:
    acme.both(K1, *active(K1, K2, K3))
    acme.both(K3, *active(K3, K2, K4), retired(K1))
    assert pinned(acme, K1) == ids(K1, K3, K4)
    assert pinned(acme, K2) == ids(K2)
    assert pinned(acme, K3) == ids(K3, K4)


def test_a_key_that_the_registrar_alone_adds_never_satisfies_a_pin(acme: Acme) -> None:
    acme.registrar(*active(K1, K2, K3))
    acme.both(K1, *active(K1, K2, K3), roles="auditor provider")
    acme.both(K3, *active(K1, K2, K3, K4))
    assert pinned(acme, K1, K2) == ids(K1, K2)


def test_a_key_that_an_unpinned_key_adds_does_not_satisfy_a_pin(acme: Acme) -> None:
    acme.both(K2, *active(K1, K2, K3))
    assert pinned(acme, K1) == ids(K1)


def test_a_void_identity_hands_no_pin_on(acme: Acme) -> None:
    index = acme.both(K1, *active(K1, K2, K3))
    acme.registrar(*active(K2), compromised(K1, since=index))
    assert pinned(acme, K1) == ids(K1)


# --- release, audit, revocation -------------------------------------------------------


def test_a_release_needs_the_role_of_a_provider(log: MemoryLog) -> None:
    with refused("lab.example may not make this release .roles: auditor."):
        log.release(f"{LAB}/wallet", "1.0.0", GOOD)


def test_an_audit_needs_the_role_of_an_auditor(log: MemoryLog) -> None:
    with refused("acme.example may not make this audit .roles: provider."):
        log.audit(ACME, "source-review", COMMIT, by=K1)


def test_taking_away_needs_no_role(acme: Acme) -> None:
    index = acme.release()
    acme.both(K1, *active(K1), roles="")
    with refused("may not make this release .roles: none."):
        acme.release(version="2.0.0")
    acme.log.revoke(ACME, "vulnerable", index, by=K1)


def test_key_role_and_name_are_judged_together_at_the_index(acme: Acme) -> None:
    """A role of yesterday and a key of today do not make a provider."""
    acme.both(K1, *active(K1, K3), roles="auditor")
    with refused("may not make this release"):
        acme.release(K3)
    acme.both(K1, *active(K3), roles="provider")
    with refused("is not an active key"):
        acme.release(K1)
    acme.release(K3)


def test_nobody_speaks_for_another_name(log: MemoryLog) -> None:
    with refused("is not an active key of acme.example"):
        log.release(WALLET, "1.0.0", GOOD, by=key(LAB))
    with refused("is not an active key of lab.example"):
        log.audit(LAB, "source-review", COMMIT, by=K1)


def test_nobody_revokes_what_another_name_measured(acme: Acme) -> None:
    index = acme.release()
    with refused("is not an active key of acme.example"):
        acme.log.revoke(ACME, "compromised", index, by=key(LAB))


def test_a_statement_for_another_log_is_refused(acme: Acme) -> None:
    other = MemoryLog("other.example/log")
    other.enroll(ACME, "provider", keys=[K1, K2])
    leaf = other.leaves[other.release(WALLET, "1.0.0", GOOD, by=K1)]
    with refused("is made for the log other.example/log, not for log.example/pcr"):
        acme.log.append(leaf)
    with refused("is made for the log"):
        Authority(ORIGIN).accept(parse_entry(0, other.leaves[0]))


def test_a_signature_is_checked_under_the_key_that_its_keyid_names(acme: Acme) -> None:
    index = acme.release()
    payload = acme.log.entries[index].envelope.payload
    true = acme.log.entries[index].envelope.signatures[K1.public.keyid]
    for forged in (bytes(64), b"", true[:-1], true[:-1] + bytes([true[-1] ^ 1])):
        entry = parse_entry(9, assemble(payload, [(K1.public.keyid, forged)]))
        with refused("does not verify"):
            acme.log.authority.accept(entry)
    relabelled = parse_entry(9, assemble(payload, [(K2.public.keyid, true)]))
    with refused("does not verify"):
        acme.log.authority.accept(relabelled)


def test_an_ecdsa_key_speaks_like_any_other(log: MemoryLog) -> None:
    one = SigningKey.generate(ECDSA_P256)
    log.enroll("other.example", "provider", keys=[one])
    index = log.release("other.example/app", "1.0.0", GOOD, by=one)
    assert not log.authority.is_void(log.entries[index])


# --- keys of a later algorithm --------------------------------------------------------


@dataclass
class Later:
    """A key of an algorithm that this version does not know, as signer."""

    keyid: str
    spki: bytes

    @property
    def public(self) -> "Later":
        return self

    def sign(self, message: bytes) -> bytes:
        return b"?" * len(message)


@pytest.fixture
def later() -> Later:
    private = ed448.Ed448PrivateKey.from_private_bytes(bytes(57))
    spki = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return Later(keyid_of(spki), spki)


def test_what_a_key_of_an_unknown_algorithm_signs_could_not_be_checked(
    log: MemoryLog, later: Later
) -> None:
    rows = [
        *active(K3),
        IdentityKey(keyid=later.keyid, key=later.spki, status="active"),
    ]
    log.identify("other.example", rows, [log.enrol], roles=["provider"])
    with pytest.raises(UncheckedError, match="unknown key algorithm"):
        log.release("other.example/app", "1.0.0", GOOD, by=later)  # type: ignore[arg-type] # signs
    # The name's other keys go on.
    log.release("other.example/app", "1.0.0", GOOD, by=K3)


# --- the target of a revocation -------------------------------------------------------


def revocation(log: MemoryLog, of: Entry, **changes: object) -> Entry:
    """A revocation of a statement as its issuer would make it, with these changes."""
    predicate = of.predicate
    assert not isinstance(predicate, Identity)
    registers_ = changes.pop("registers", dict(of.statement.registers))
    made = Revocation(
        log=ORIGIN,
        issuer=predicate.issuer,
        issued=log.stamp(),
        platform=predicate.platform,
        identity=predicate.identity,
        reason="withdrawn",
        statement=of.sha256,
    )
    changed = msgspec.structs.replace(made, **changes)
    payload = encode(changed, registers_)  # type: ignore[arg-type] # registers
    return parse_entry(99, sign_envelope(payload, [K1]))


@pytest.fixture
def target(acme: Acme) -> Entry:
    return acme.log.entries[acme.release()]


Change = Callable[[MemoryLog, Entry], dict[str, object]]


def test_a_revocation_of_a_release_or_audit_of_ones_own_is_right(
    acme: Acme, target: Entry
) -> None:
    check_target(revocation(acme.log, target), acme.log.by_sha)
    audit = acme.log.entries[acme.log.audit(LAB, "source-review", COMMIT)]
    check_target(revocation(acme.log, audit), acme.log.by_sha)


def test_other_statements_have_no_target(acme: Acme, target: Entry) -> None:
    log = acme.log
    check_target(target, {})
    measurement = log.revoke(ACME, "compromised", target.index, by=K1)
    check_target(log.entries[measurement], {})


def test_a_revocation_names_an_earlier_statement(acme: Acme, target: Entry) -> None:
    with refused("names no earlier release or audit"):
        check_target(revocation(acme.log, target), {})
    with refused("names no earlier release or audit"):
        acme.log.append(revocation(acme.log, target, statement="0" * 64).envelope.raw)


def test_a_revocation_names_no_identity_and_no_revocation(
    acme: Acme, target: Entry
) -> None:
    log = acme.log
    first = log.entries[log.revoke(ACME, "withdrawn", target.index, by=K1)]
    for other in (log.entries[1], first):
        with refused("names no earlier release or audit"):
            check_target(revocation(log, target, statement=other.sha256), log.by_sha)


def test_a_revocation_names_no_statement_of_another_issuer(
    acme: Acme, target: Entry
) -> None:
    with refused("names a statement of another issuer"):
        check_target(revocation(acme.log, target, issuer=LAB), acme.log.by_sha)


@pytest.mark.parametrize(
    "changes",
    [
        {"registers": BAD},
        {"registers": {**GOOD, "PCR8": GOOD["PCR0"]}},
        {
            "platform": "artifact",
            "identity": (("digest",),),
            "registers": {"digest": "sha256:" + "1" * 64},
        },
        {"platform": "other"},
        {"platform": "other", "identity": (("PCR1",),)},
    ],
    ids=["registers", "more registers", "all", "platform", "identity"],
)
def test_a_revocation_repeats_platform_identity_and_subject(
    acme: Acme, target: Entry, changes: dict[str, object]
) -> None:
    with refused("does not repeat platform, identity and subject"):
        check_target(revocation(acme.log, target, **changes), acme.log.by_sha)


def test_a_revocation_repeats_the_identity_of_a_platform_unknown_here(
    log: MemoryLog,
) -> None:
    later = {"x": "sha256:" + "1" * 64, "y": "sha256:" + "2" * 64}
    index = log.release(WALLET, "1.0.0", later, platform="later", by=K1)
    target = log.entries[index]
    check_target(revocation(log, target), log.by_sha)
    with refused("does not repeat platform, identity and subject"):
        check_target(revocation(log, target, identity=(("y",),)), log.by_sha)
