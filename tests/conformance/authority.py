"""Who may say what at index i (section 2.2): logs of a few entries, each judged.

A case is a whole log. Its builders append one entry each and say what becomes of it:
accepted, refused, or void once all is known.
"""

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import limits
from pcrlog.envelope import assemble, sign_envelope
from pcrlog.keys import PublicKey, SigningKey, keyid_of
from pcrlog.predicates import REGISTRAR, IdentityKey
from tests.conformance.family import Family
from tests.support.memory_log import ORIGIN, MemoryLog, active, key, registers

ACME, LAB = "acme.example", "lab.example"
WALLET = f"{ACME}/wallet"
GOOD = registers("good")
COMMIT = {"commit": "gitCommit:" + "ab" * 20}
K1, K2, K3, K4 = (key(f"{ACME}/{n}") for n in (1, 2, 3, 4))
ROOT_2, ENROL_2, THIEF = key("root 2"), key("enrol 2"), key("thief")
YES, NO, VOID, UNKNOWN = "accepted", "refused", "void", "unchecked"
FROM_NOW_ON = limits.INTEGER


def row(
    one: SigningKey, status: str, since: int | None = None, use: str | None = None
) -> IdentityKey:
    """One key of an identity."""
    return IdentityKey(
        keyid=one.public.keyid,
        key=one.public.spki,
        status=status,  # type: ignore[arg-type] # one of the three words
        since=since,
        use=use,  # type: ignore[arg-type] # one of the two words
    )


def retired(one: SigningKey) -> IdentityKey:
    """A key put out of use."""
    return row(one, "retired")


def lost(one: SigningKey, since: int | None = None) -> IdentityKey:
    """A key declared compromised."""
    return row(one, "compromised", since)


class Story:
    """A log with a provider of two keys at index 1 and an auditor at index 2."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.words = [YES]
        self.enroll(YES, ACME, "provider", keys=[K1, K2])
        self.enroll(YES, LAB, "auditor")

    def _told(self, word: str, index: int) -> int:
        self.words.append(word)
        assert len(self.words) == index + 1
        return index

    def enroll(
        self, word: str, name: str, *roles: str, keys: Sequence[SigningKey] = ()
    ) -> int:
        """The first identity of a name, by the registrar."""
        rows = active(*(keys or [key(name)]))
        return self.identify(word, name, rows, [self.log.enrol], roles=roles)

    def identify(
        self,
        word: str,
        name: str,
        rows: Sequence[IdentityKey],
        signers: Sequence[SigningKey],
        *,
        issuer: str = REGISTRAR,
        roles: Sequence[str] = (),
    ) -> int:
        """Any identity."""
        at = self.log.identify(
            name, rows, signers, issuer=issuer, roles=roles, force=True
        )
        return self._told(word, at)

    def both(
        self, word: str, signer: SigningKey, *rows: IdentityKey, roles: str = "provider"
    ) -> int:
        """A change of the provider by the registrar and another key."""
        signers = [self.log.enrol, signer]
        return self.identify(word, ACME, rows, signers, roles=roles.split())

    def registrar(self, word: str, *rows: IdentityKey, roles: str = "provider") -> int:
        """The same by the registrar alone."""
        return self.identify(word, ACME, rows, [self.log.enrol], roles=roles.split())

    def alone(
        self, word: str, signer: SigningKey, *rows: IdentityKey, roles: str = "provider"
    ) -> int:
        """The same by another key alone."""
        return self.identify(
            word, ACME, rows, [signer], issuer=ACME, roles=roles.split()
        )

    def own(self, word: str, signer: SigningKey, *rows: IdentityKey) -> int:
        """A change of the registrar: its two keys of entry 0, and these."""
        base = [
            one
            for one in (
                *active(self.log.root, use="root"),
                *active(self.log.enrol, use="enrol"),
            )
            if one.keyid not in {other.keyid for other in rows}
        ]
        return self.identify(word, REGISTRAR, [*base, *rows], [signer])

    def release(
        self, word: str, by: SigningKey = K1, version: str = "1.0.0", name: str = ACME
    ) -> int:
        """A release."""
        at = self.log.release(f"{name}/wallet", version, GOOD, by=by, force=True)
        return self._told(word, at)

    def audit(self, word: str, name: str = LAB, by: SigningKey | None = None) -> int:
        """A source review."""
        at = self.log.audit(name, "source-review", COMMIT, by=by, force=True)
        return self._told(word, at)

    def revoke(
        self, word: str, name: str, reason: str, target: int, by: SigningKey
    ) -> int:
        """A revocation."""
        at = self.log.revoke(name, reason, target, by=by, force=True)
        return self._told(word, at)

    def again(self, word: str, index: int) -> int:
        """The bytes of an earlier entry, once more."""
        return self._told(word, self.log.append(self.log.leaves[index], force=True))

    def raw(self, word: str, leaf: bytes) -> int:
        """Any leaf."""
        return self._told(word, self.log.append(leaf, force=True))

    def void(self, *indices: int) -> None:
        """What was accepted there does not speak any more."""
        for index in indices:
            assert self.words[index] == YES
            self.words[index] = VOID


class _Ecdsa:
    """A P-256 key that signs without chance (RFC 6979)."""

    def __init__(self) -> None:
        self._key = ec.derive_private_key(1, ec.SECP256R1())
        spki = self._key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        self.public = PublicKey.from_spki(spki)

    def sign(self, message: bytes) -> bytes:
        """DER, as statements have it."""
        algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
        return self._key.sign(message, algorithm)


_CASES: list[tuple[str, Callable[[Story], None]]] = []


def _case(why: str) -> Callable[[Callable[[Story], None]], Callable[[Story], None]]:
    def keep(tell: Callable[[Story], None]) -> Callable[[Story], None]:
        _CASES.append((why, tell))
        return tell

    return keep


# --- the registrar --------------------------------------------------------------------


@_case("one active root key signs the registrar's own identities; nothing else does")
def registrar_changed_by_root(s: Story) -> None:
    s.own(NO, s.log.enrol, row(ROOT_2, "active", use="root"))
    s.own(NO, K1, row(ROOT_2, "active", use="root"))
    s.own(YES, s.log.root, row(ROOT_2, "active", use="root"))
    s.own(YES, ROOT_2, row(ROOT_2, "active", use="root"), retired_as(s.log.root))
    s.own(NO, s.log.root, row(ROOT_2, "active", use="root"))


def retired_as(one: SigningKey, use: str = "root") -> IdentityKey:
    """A key of the registrar put out of use."""
    return row(one, "retired", use=use)


@_case("two root keys are one signer too many")
def registrar_changed_by_two(s: Story) -> None:
    s.own(YES, s.log.root, row(ROOT_2, "active", use="root"))
    rows = [
        *active(s.log.root, ROOT_2, use="root"),
        *active(s.log.enrol, use="enrol"),
    ]
    s.identify(NO, REGISTRAR, rows, [s.log.root, ROOT_2])


@_case("a root key enrols nobody, and cosigns no change of a name")
def root_enrols_nobody(s: Story) -> None:
    s.identify(NO, "late.example", active(K3), [s.log.root], roles=["provider"])
    s.identify(NO, ACME, active(K1, K2, K3), [s.log.root, K1], roles=["provider"])


@_case("an enrol key enrols from its identity on, and until it is retired")
def enrol_key_comes_and_goes(s: Story) -> None:
    s.identify(NO, "late.example", active(K3), [ENROL_2])
    s.own(YES, s.log.root, row(ENROL_2, "active", use="enrol"))
    s.identify(YES, "late.example", active(K3), [ENROL_2])
    s.own(YES, s.log.root, retired_as(ENROL_2, "enrol"))
    s.identify(NO, "later.example", active(K4), [ENROL_2])


@_case("the registrar revokes measurements, with an enrol key, for two reasons alone")
def registrar_revokes(s: Story) -> None:
    at = s.release(YES)
    s.revoke(YES, REGISTRAR, "compromised", at, s.log.enrol)
    s.revoke(YES, REGISTRAR, "vulnerable", at, s.log.enrol)
    s.revoke(NO, REGISTRAR, "vulnerable", at, s.log.root)
    s.revoke(NO, REGISTRAR, "withdrawn", at, s.log.enrol)


@_case("the registrar can take trust away, never give it")
def registrar_gives_nothing(s: Story) -> None:
    s.release(NO, s.log.enrol, name=REGISTRAR)
    s.audit(NO, REGISTRAR, s.log.enrol)
    s.release(NO, s.log.enrol)


@_case("nobody becomes registrar later")
def no_second_registrar(s: Story) -> None:
    rows = [*active(THIEF, use="root")]
    s.identify(NO, REGISTRAR, rows, [THIEF])


# --- the chain ------------------------------------------------------------------------


@_case("the first identity of a name is signed by the registrar, or nobody")
def first_identity(s: Story) -> None:
    s.identify(NO, "late.example", active(K3), [K3], issuer="late.example")
    s.identify(NO, "late.example", active(K3), [s.log.enrol, K3])
    s.identify(YES, "late.example", active(K3), [s.log.enrol])


@_case("an identity cannot be replayed: previous is the newest of its name")
def identity_replayed(s: Story) -> None:
    s.both(YES, K1, *active(K1, K2, K3))
    s.again(NO, 1)
    s.again(NO, 3)


@_case("of two changes made for one state, the second is too late")
def identity_overtaken(s: Story) -> None:
    at = s.both(YES, K1, *active(K1))
    leaf = s.log.leaves[at]
    s.both(YES, K1, *active(K1, K3))
    s.raw(NO, leaf)


@_case("a void identity keeps its place in the chain")
def void_keeps_its_place(s: Story) -> None:
    at = s.both(YES, K1, *active(K1, K2, K3))
    s.both(YES, K2, lost(K1, at), *active(K2))
    s.both(YES, K2, *active(K2, K4), lost(K1, at))
    s.void(at)
    s.release(YES, K4)


@_case("each entry is judged by what stands before it")
def judged_at_its_index(s: Story) -> None:
    s.release(NO, K3, name="late.example")
    s.enroll(YES, "late.example", "provider", keys=[K3])
    s.release(YES, K3, "1.0.1", name="late.example")


# --- who signs ------------------------------------------------------------------------


@_case("the registrar and an active key of the name may change anything")
def both_change_anything(s: Story) -> None:
    s.both(YES, K1, *active(K1, K3), lost(K2), roles="auditor provider")
    s.audit(YES, ACME, K3)
    s.release(YES, K1)
    s.release(NO, K2, "1.0.1")


@_case("the second signer is a key of the name")
def second_signer(s: Story) -> None:
    s.both(NO, K3, *active(K1, K2, K3))
    s.both(NO, key(LAB), *active(K1, K2))


@_case("the registrar alone adds keys, takes keys and changes roles")
def registrar_alone(s: Story) -> None:
    s.registrar(YES, *active(K1, K3), roles="auditor")
    s.release(NO, K1)
    s.audit(YES, ACME, K3)


@_case("an active key of the name alone retires keys, itself too")
def alone_retires(s: Story) -> None:
    s.alone(YES, K1, *active(K1), retired(K2))
    s.release(NO, K2)
    s.alone(YES, K1, retired(K1), retired(K2))
    s.release(NO, K1, "1.0.1")


@_case("a key left out is retired")
def left_out(s: Story) -> None:
    s.alone(YES, K1, *active(K1))
    s.release(NO, K2)


@_case("a key alone declares itself compromised, from its own index on")
def alone_compromised(s: Story) -> None:
    at = s.release(YES, K1)
    s.alone(YES, K1, *active(K2), lost(K1, FROM_NOW_ON))
    s.release(NO, K1, "1.0.1")
    s.revoke(YES, ACME, "withdrawn", at, K2)


@_case("to date back, or to declare another key, needs the registrar")
def alone_dates_back(s: Story) -> None:
    s.alone(NO, K1, *active(K2), lost(K1))
    s.alone(NO, K1, *active(K2), lost(K1, 2))
    s.alone(NO, K1, *active(K1), lost(K2, FROM_NOW_ON))


@_case("a key alone adds nothing, changes no roles, and takes something away")
def alone_adds_nothing(s: Story) -> None:
    s.alone(NO, K1, *active(K1, K3))
    s.alone(NO, K1, *active(K1), roles="auditor provider")
    s.alone(NO, K1, *active(K1), roles="")
    s.alone(NO, K1, *active(K1, K2))


@_case("two keys of the name are not more than one")
def two_keys_of_the_name(s: Story) -> None:
    s.identify(NO, ACME, active(K1), [K1, K2], issuer=ACME, roles=["provider"])


@_case("issuer is registrar where a key of the registrar signs, else the name")
def issuer_is_who_signs(s: Story) -> None:
    s.identify(NO, ACME, active(K1), [K1], issuer=REGISTRAR, roles=["provider"])
    s.identify(NO, ACME, active(K1), [s.log.enrol, K1], issuer=ACME, roles=["provider"])


@_case("each signature verifies with the key that its keyid has in the log")
def signatures_verify(s: Story) -> None:
    at = s.release(YES)
    entry = s.log.entries[at]
    s.raw(NO, assemble(entry.envelope.payload, [(K1.public.keyid, bytes(64))]))
    made = s.log.entries[1].envelope
    wrong = [(keyid, bytes(64)) for keyid in made.signatures]
    s.raw(NO, assemble(made.payload, wrong))


# --- keys that come back, and keys of others -----------------------------------------


@_case("a retired key returns by the registrar and itself, and in no other way")
def retired_key_returns(s: Story) -> None:
    s.alone(YES, K1, *active(K1), retired(K2))
    s.registrar(NO, *active(K1, K2))
    s.both(NO, K1, *active(K1, K2))
    s.alone(NO, K2, *active(K1, K2))
    s.both(YES, K2, *active(K1, K2))
    s.release(YES, K2)


@_case("a compromised key never returns, and stays listed as compromised or left out")
def compromised_is_final(s: Story) -> None:
    s.both(YES, K1, *active(K1), lost(K2))
    s.both(NO, K2, *active(K1, K2))
    s.both(NO, K1, *active(K1, K2))
    s.both(NO, K1, *active(K1), retired(K2))
    s.both(YES, K1, *active(K1, K3))
    s.both(YES, K1, *active(K1, K3), lost(K2))


@_case("a keyid belongs for ever to the name that it first appeared under")
def keyid_of_another(s: Story) -> None:
    s.enroll(NO, "late.example", "provider", keys=[K1])
    s.alone(YES, K1, *active(K1))
    s.enroll(NO, "late.example", "provider", keys=[K2])
    s.enroll(NO, "late.example", "provider", keys=[s.log.enrol])


@_case("a keyid first appears as active")
def first_appearance(s: Story) -> None:
    s.both(NO, K1, *active(K1, K2), retired(K3))
    s.both(NO, K1, *active(K1, K2), lost(K3))


# --- what a compromise takes ---------------------------------------------------------


@_case("a compromise voids what the key said in favour, from since on")
def compromise_from_since(s: Story) -> None:
    s.release(YES, K1)
    at = s.release(YES, K1, "1.0.1")
    s.both(YES, K2, *active(K2), lost(K1, at))
    s.void(at)


@_case("since absent means from the beginning")
def compromise_from_the_beginning(s: Story) -> None:
    at = s.release(YES, K1)
    s.both(YES, K2, *active(K2), lost(K1))
    s.void(at)


@_case("the smallest since ever declared counts")
def compromise_twice(s: Story) -> None:
    first = s.release(YES, K1)
    second = s.release(YES, K1, "1.0.1")
    s.both(YES, K2, *active(K2), lost(K1, second))
    s.both(YES, K2, *active(K2, K3), lost(K1, first))
    s.both(YES, K2, *active(K2, K4), lost(K1, second))
    s.void(first, second)


@_case("retirement voids nothing")
def retirement_voids_nothing(s: Story) -> None:
    s.release(YES, K2)
    s.alone(YES, K1, *active(K1), retired(K2))


@_case("a compromise does not void the identity that declares it")
def declarer_stands(s: Story) -> None:
    s.both(YES, K1, *active(K2, K3), lost(K1))
    s.release(YES, K3)


@_case("to list a compromised key again does not void its declarer")
def declared_again(s: Story) -> None:
    s.both(YES, K1, *active(K2, K3), lost(K1, 3))
    s.both(YES, K2, *active(K2, K3, K4), lost(K1, 3))
    s.release(YES, K3)


@_case("a later declaration from an earlier index does void it")
def declared_earlier(s: Story) -> None:
    at = s.both(YES, K1, *active(K2, K3), lost(K1, FROM_NOW_ON))
    made = s.release(YES, K3)
    s.both(YES, K2, *active(K2), lost(K1, at - 1))
    s.void(at, made)


@_case("what a void identity gave is void; what it took stays taken")
def void_gives_nothing(s: Story) -> None:
    at = s.both(YES, K1, *active(K1, K3), retired(K2))
    made = s.release(YES, K3)
    s.registrar(YES, *active(K4), lost(K1, at))
    s.registrar(NO, *active(K2, K4), lost(K1, at))
    s.void(at, made)


@_case("chains of void identities fall with the first")
def void_chain(s: Story) -> None:
    at = s.both(YES, K1, *active(K1, K3), retired(K2))
    second = s.both(YES, K3, *active(K3, K4), retired(K1))
    made = s.release(YES, K4)
    third = s.alone(YES, K4, *active(K4), retired(K3))
    s.registrar(YES, lost(K1, at), *active(key("fresh")))
    s.void(at, second, made, third)


@_case("roles that a void identity gave are void")
def void_roles_given(s: Story) -> None:
    at = s.both(YES, K1, *active(K1, K2), roles="auditor provider")
    made = s.audit(YES, ACME, K2)
    s.release(YES, K2)
    s.registrar(YES, *active(K2), lost(K1, at))
    s.void(at, made)


@_case("roles that a void identity took stay taken")
def void_roles_taken(s: Story) -> None:
    at = s.both(YES, K1, *active(K1, K2), roles="auditor")
    second = s.both(YES, K1, *active(K1, K2))
    made = s.release(YES, K2)
    s.registrar(YES, *active(K2), lost(K1, at))
    s.void(at, second, made)


@_case("a compromised enrol key voids what it enrolled since, and what that said")
def enrol_key_lost(s: Story) -> None:
    at = s.enroll(YES, "late.example", "provider")
    made = s.release(YES, key("late.example"), name="late.example")
    s.release(YES, K1)
    gone = row(s.log.enrol, "compromised", since=at, use="enrol")
    s.own(YES, s.log.root, gone, row(ENROL_2, "active", use="enrol"))
    s.void(at, made)


@_case("a compromised root key voids what it changed since")
def root_key_lost(s: Story) -> None:
    s.own(YES, s.log.root, row(ROOT_2, "active", use="root"))
    at = s.own(
        YES,
        s.log.root,
        row(ROOT_2, "active", use="root"),
        row(ENROL_2, "active", use="enrol"),
    )
    evil = s.identify(YES, "evil.example", active(THIEF), [ENROL_2], roles=["provider"])
    gone = row(s.log.root, "compromised", since=at, use="root")
    s.own(YES, ROOT_2, row(ROOT_2, "active", use="root"), gone)
    s.void(at, evil)


@_case("a revocation is void as other statements are: it lifts nothing any more")
def revocation_void(s: Story) -> None:
    at = s.release(YES, K1)
    revoked = s.revoke(YES, ACME, "withdrawn", at, K1)
    s.both(YES, K2, *active(K2), lost(K1, revoked))
    s.void(revoked)


# --- statements -----------------------------------------------------------------------


@_case("a release needs the role provider, an audit the role auditor")
def roles_needed(s: Story) -> None:
    s.release(NO, key(LAB), name=LAB)
    s.audit(NO, ACME, K1)
    s.release(YES, K1)
    s.audit(YES)


@_case("revocations need no role: whoever lost one must still be able to warn")
def revocation_without_role(s: Story) -> None:
    at = s.release(YES, K1)
    s.registrar(YES, *active(K1), roles="")
    s.release(NO, K1, "1.0.1")
    s.revoke(YES, ACME, "withdrawn", at, K1)


@_case("nobody speaks for another name")
def another_name(s: Story) -> None:
    s.release(NO, key(LAB))
    s.audit(NO, LAB, K1)


@_case("a statement made for another log is refused")
def another_log(s: Story) -> None:
    other = MemoryLog(origin="other.example/log")
    other.enroll(ACME, "provider", keys=[K1, K2])
    at = other.release(WALLET, "1.0.0", GOOD, by=K1)
    s.raw(NO, other.leaves[at])


@_case("a revocation names an earlier release or audit of its own issuer")
def revocation_target(s: Story) -> None:
    at = s.release(YES, K1)
    later = MemoryLog()
    later.enroll(ACME, "provider", keys=[K1, K2])
    unseen = later.release(WALLET, "2.0.0", GOOD, by=K1)
    leaf = later.leaves[later.revoke(ACME, "withdrawn", unseen, by=K1)]
    s.raw(NO, leaf)
    s.revoke(YES, ACME, "withdrawn", at, K1)


@_case("a key of an unknown algorithm is unusable: its statements are not checked")
def unknown_algorithm(s: Story) -> None:
    private = ed448.Ed448PrivateKey.from_private_bytes(bytes(57))
    spki = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    later = IdentityKey(keyid=keyid_of(spki), key=spki, status="active")
    s.both(YES, K1, *active(K1), later)
    at = s.release(YES, K1)
    payload = s.log.entries[at].envelope.payload.replace(b"1.0.0", b"1.0.1")
    s.raw(UNKNOWN, assemble(payload, [(later.keyid, bytes(114))]))


@_case("a statement may be signed with ECDSA on P-256")
def ecdsa_speaks(s: Story) -> None:
    one = _Ecdsa()
    row_of_it = IdentityKey(
        keyid=one.public.keyid, key=one.public.spki, status="active"
    )
    s.both(YES, K1, *active(K1), row_of_it)
    at = s.release(YES, K1)
    payload = s.log.entries[at].envelope.payload.replace(b"1.0.0", b"1.0.1")
    s.raw(YES, sign_envelope(payload, [one]))


def authority() -> Family:
    """The family."""
    about = (
        "Who may say what at index i (section 2.2): a log in, each entry's fate out."
    )
    family = Family("authority", about)
    for why, tell in _CASES:
        story = Story()
        tell(story)
        entries = [
            {"index": index, "leaf": leaf}
            for index, leaf in enumerate(story.log.leaves)
        ]
        family.case(
            tell.__name__.replace("_", "-"),
            why,
            "authority",
            {"entries": story.words},
            origin=ORIGIN,
            entries=entries,
        )
    return family


MAKERS = (authority,)
