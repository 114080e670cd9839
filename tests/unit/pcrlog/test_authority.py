"""Who may say what at index i: every sentence of PROTOCOL.md 2.2, for log and verifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import limits
from pcrlog.authority import Authority, check_target
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.entry import Entry, parse_entry
from pcrlog.envelope import Envelope, assemble, sign_envelope
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.keys import ECDSA_P256, SigningKey, keyid_of
from pcrlog.predicates import REGISTRAR, IdentityKey, Revocation
from pcrlog.statement import encode
from tests.support.memory_log import ORIGIN, MemoryLog, active, key, registers

ACME, LAB = "acme.example", "lab.example"
WALLET = f"{ACME}/wallet"
GOOD, BAD = registers("good"), registers("bad")
COMMIT = {"commit": "gitCommit:" + "ab" * 20}
K1, K2, K3, K4 = (key(f"{ACME}/{n}") for n in (1, 2, 3, 4))
THIEF = key("thief")
NOW = limits.INTEGER
"""As `since`: from the index of the declaration on, which is not known before."""


@pytest.fixture
def log() -> MemoryLog:
    """A log with a provider of two keys at index 1, and an auditor at index 2."""
    made = MemoryLog()
    made.enroll(ACME, "provider", keys=[K1, K2])
    made.enroll(LAB, "auditor")
    return made


def row(one: SigningKey, status: str, since: int | None = None) -> IdentityKey:
    return IdentityKey(
        keyid=one.public.keyid,
        key=encode_base64(one.public.spki),
        status=status,  # type: ignore[arg-type] # one of the three words
        since=since,
    )


def retired(one: SigningKey) -> IdentityKey:
    return row(one, "retired")


def compromised(one: SigningKey, since: int | None = None) -> IdentityKey:
    return row(one, "compromised", since)


def root_rows(log: MemoryLog, *roots: SigningKey) -> list[IdentityKey]:
    """The registrar's keys: these roots, and its enrol key."""
    return [*active(*roots, use="root"), *active(log.enrol, use="enrol")]


def used(one: SigningKey, status: str, use: str, since: int | None) -> IdentityKey:
    return IdentityKey(
        keyid=one.public.keyid,
        key=encode_base64(one.public.spki),
        status=status,  # type: ignore[arg-type] # one of the three words
        since=since,
        use=use,  # type: ignore[arg-type] # one of the two words
    )


@dataclass
class Name:
    """Changes of acme's identity, by whom the method says."""

    log: MemoryLog
    name: str = ACME
    roles: tuple[str, ...] = ("provider",)

    def both(self, signer: SigningKey, *keys: IdentityKey, **members: object) -> int:
        return self._identify(keys, [self.log.enrol, signer], REGISTRAR, members)

    def registrar(self, *keys: IdentityKey, **members: object) -> int:
        return self._identify(keys, [self.log.enrol], REGISTRAR, members)

    def alone(self, signer: SigningKey, *keys: IdentityKey, **members: object) -> int:
        return self._identify(keys, [signer], self.name, members)

    def _identify(
        self,
        keys: Sequence[IdentityKey],
        signers: Sequence[SigningKey],
        issuer: str,
        members: dict[str, object],
    ) -> int:
        roles = members.pop("roles", self.roles)
        return self.log.identify(
            self.name,
            keys,
            signers,
            issuer=str(members.pop("issuer", issuer)),
            roles=roles,  # type: ignore[arg-type] # a tuple of words
        )


@pytest.fixture
def acme(log: MemoryLog) -> Name:
    return Name(log)


def keys_of(log: MemoryLog, name: str = ACME, at: int | None = None) -> set[str]:
    """Keyids active just before an index, or now."""
    index = len(log.leaves) if at is None else at
    return set(log.authority.state(name, index).keys)


def ids(*keys: SigningKey) -> set[str]:
    return {one.public.keyid for one in keys}


def void(log: MemoryLog, index: int) -> bool:
    return log.authority.is_void(log.entries[index])


def refused(match: str) -> pytest.RaisesExc[VerificationError]:
    return pytest.RaisesExc(VerificationError, match=match)


def release(log: MemoryLog, by: SigningKey, version: str = "1.0.0") -> int:
    return log.release(WALLET, version, GOOD, by=by)


# --- entry 0 and the registrar --------------------------------------------------------


def test_entry_0_is_the_registrars_and_makes_its_keys_known(log: MemoryLog) -> None:
    assert log.entries[0].predicate.issuer == REGISTRAR
    state = log.authority.state(REGISTRAR, 1)
    assert state.keys == {
        log.root.public.keyid: "root",
        log.enrol.public.keyid: "enrol",
    }
    assert state.roles == frozenset()
    assert log.authority.state(REGISTRAR, 0).keys == {}


def test_no_other_name_can_have_entry_0(log: MemoryLog) -> None:
    entry = parse_entry(0, log.leaves[1])
    with refused("signed by neither an enrol key"):
        Authority(ORIGIN).accept(entry)


def test_a_release_cannot_be_entry_0(log: MemoryLog) -> None:
    index = release(log, K1)
    with refused("is not an active key"):
        Authority(ORIGIN).accept(parse_entry(0, log.leaves[index]))


def test_nobody_becomes_registrar_later(log: MemoryLog) -> None:
    authority = Authority(ORIGIN)
    with refused("one active root key"):
        authority.accept(parse_entry(7, log.leaves[0]))
    assert authority.root_keys() == frozenset()


def signed_zero(log: MemoryLog, *signers: SigningKey) -> Entry:
    """Entry 0 of a log of its own, signed by these of the registrar's keys."""
    predicate = log.entries[0].predicate
    changed = replace_identity(predicate, signers)
    payload = encode(changed, dict(log.entries[0].statement.registers))
    return parse_entry(0, sign_envelope(payload, signers))


def replace_identity(predicate: object, signers: Sequence[SigningKey]) -> object:
    import msgspec  # noqa: PLC0415 - only here

    ordered = tuple(sorted(one.public.keyid for one in signers))
    return msgspec.structs.replace(predicate, signers=ordered)  # type: ignore[type-var] # a Struct
