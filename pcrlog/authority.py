"""Who may say what at index i: one forward pass for log, monitor and verifier.

The order of the log is the only clock (PROTOCOL.md 2.2). Entries are fed to `accept` in
ascending order; each is judged at its own index by what came before it. Afterwards
`is_void` tells with hindsight: a compromise that was declared later takes away what a
key said in favour of something, never what it said against it.

An identity is accepted once, and keeps its place in its name's chain. The state of a
name at i is its newest identity before i that is not void, less every key and role that
a later one, void or not, took away.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from pcrlog.entry import Entry
from pcrlog.errors import VerificationError
from pcrlog.keys import Owed, PublicKey
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Identity,
    Measured,
    Release,
    Revocation,
)
from pcrlog.statement import MEASUREMENT_REASONS

_ROOT = "root"
_ENROL = "enrol"


class State(Struct, frozen=True):
    """What a name has at some index: keyid to `use` of its active keys, and roles."""

    keys: dict[str, str | None]
    roles: frozenset[str]


class _Accepted(Struct, frozen=True):
    """An accepted identity, with who it was that signed it.

    `by_registrar`: an enrol key (for the registrar's own, a root key). `by_name`: the
    active keys of the name among its signers. `returning`: a retired key that signed
    its own return.
    """

    index: int
    sha256: str
    identity: Identity
    by_registrar: tuple[str, ...]
    by_name: tuple[str, ...]
    returning: tuple[str, ...]

    @property
    def active(self) -> dict[str, str | None]:
        keys = self.identity.keys
        return {key.keyid: key.use for key in keys if key.status == "active"}


_NOBODY = State({}, frozenset())


class Authority:
    """The judgement over the entries fed so far."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._chains: dict[str, list[_Accepted]] = {}
        self._owners: dict[str, str] = {}
        self._keys: dict[str, bytes] = {}
        self._loaded: dict[str, PublicKey] = {}
        # keyid to (index of the declaring identity, since when)
        self._compromises: dict[str, list[tuple[int, int]]] = {}
        # Both known until the next compromise is declared: by index, and by name and
        # number of its identities.
        self._void: dict[int, bool] = {}
        self._states: dict[tuple[str, int], State] = {}
        self._added_by_registrar: set[str] = set()

    def accept(self, entry: Entry) -> None:
        """Judge an entry at its index, and remember it if it is an identity.

        Raises:
            VerificationError: nobody with this key may say this here.
            UncheckedError: signed by a key of an unknown algorithm.
        """
        accepted, owed = self._judge(entry)
        for one in owed:
            one.verify()
        if accepted is not None:
            self._remember(accepted)

    def judge(self, entry: Entry) -> None:
        """The same, without remembering: would `accept` take this entry?"""
        for one in self.judge_unverified(entry):
            one.verify()

    def judge_unverified(self, entry: Entry) -> tuple[Owed, ...]:
        """As `judge`, but for the signatures, which the caller owes: the dear part."""
        return self._judge(entry)[1]

    def _judge(self, entry: Entry) -> tuple[_Accepted | None, tuple[Owed, ...]]:
        predicate = entry.predicate
        if predicate.log != self.origin:
            message = (
                f"entry {entry.index} is made for the log {predicate.log}, not for"
                f" {self.origin}"
            )
            raise VerificationError(message)
        if not isinstance(predicate, Identity):
            self._check_speaker(entry, predicate)
            return None, self._owed(entry, {})
        accepted = self._judge_identity(entry, predicate)
        self._check_keys(accepted)
        # Only entry 0 is signed by a key that nobody has seen before.
        own = {key.keyid: key.key for key in predicate.keys}
        return accepted, self._owed(entry, own)

    # --- questions -------------------------------------------------------------------

    def state(self, name: str, index: int) -> State:
        """What `name` has just before `index`, by all that is known now."""
        chain = self._chains.get(name, ())
        before = bisect_left(chain, index, key=lambda one: one.index)
        if (name, before) not in self._states:
            self._states[name, before] = self._judge_state(chain[:before])
        return self._states[name, before]

    def _judge_state(self, chain: Sequence[_Accepted]) -> State:
        state = None
        taken: list[_Accepted] = []
        for one in reversed(chain):
            if not self._is_void(one):
                state = State(one.active, frozenset(one.identity.roles))
                break
            taken.append(one)
        if state is None:
            return _NOBODY
        keys, roles = state.keys, state.roles
        for one in taken:
            # A key that was given another use lost the one it had.
            left = one.active.items()
            keys = {keyid: use for keyid, use in keys.items() if (keyid, use) in left}
            roles &= frozenset(one.identity.roles)
        return State(keys, roles)

    def is_void(self, entry: Entry) -> bool:
        """Whether a statement accepted at its index no longer speaks for anything."""
        predicate = entry.predicate
        if isinstance(predicate, Identity):
            chain = self._chains[predicate.name]
            return self._is_void(next(a for a in chain if a.index == entry.index))
        try:
            self._check_speaker(entry, predicate)
        except VerificationError:
            return True
        return False

    def pinned(self, name: str, pins: Collection[str]) -> frozenset[str]:
        """The keys of `name` that a policy trusts that pins keyids `pins`.

        These, and the keys added by each identity that is accepted, not void and
        signed by an active key of the set.
        """
        pinned = set(pins)
        for one in self._chains.get(name, ()):
            if pinned.intersection(one.by_name) and not self._is_void(one):
                pinned.update(one.active.keys() - self.state(name, one.index).keys)
        return frozenset(pinned)

    def added_by_registrar(self, keyid: str) -> bool:
        """Whether the registrar alone added this key to a name that was enrolled."""
        return keyid in self._added_by_registrar

    def newest(self, name: str) -> str | None:
        """SHA-256 of the newest accepted identity of `name`: the next `previous`."""
        chain = self._chains.get(name)
        return chain[-1].sha256 if chain else None

    def newest_identity(self, name: str) -> Identity | None:
        """The newest accepted identity of `name`, void or not."""
        chain = self._chains.get(name)
        return chain[-1].identity if chain else None

    def owner(self, keyid: str) -> str | None:
        """The name that a keyid belongs to, for ever."""
        return self._owners.get(keyid)

    def root_keys(self) -> frozenset[str]:
        """The root keyids of entry 0: what a policy pins."""
        chain = self._chains.get(REGISTRAR)
        if not chain or chain[0].index != 0:
            return frozenset()
        return frozenset(k for k, use in chain[0].active.items() if use == _ROOT)

    # --- statements ------------------------------------------------------------------

    def _check_speaker(self, entry: Entry, predicate: Measured) -> None:
        state = self.state(predicate.issuer, entry.index)
        keyid = entry.keyid
        if keyid not in state.keys or self._compromised(keyid, entry.index):
            message = (
                f"entry {entry.index}: key {keyid} is not an active key of"
                f" {predicate.issuer} at this index"
            )
            raise VerificationError(message)
        if predicate.issuer == REGISTRAR:
            allowed = (
                isinstance(predicate, Revocation)
                and predicate.reason in MEASUREMENT_REASONS
                and state.keys[keyid] == _ENROL
            )
        elif isinstance(predicate, Release):
            allowed = "provider" in state.roles
        elif isinstance(predicate, Audit):
            allowed = "auditor" in state.roles
        else:
            # Taking away needs no role.
            allowed = True
        if not allowed:
            kind = type(predicate).__name__.lower()
            message = (
                f"entry {entry.index}: {predicate.issuer} may not make this {kind}"
                f" (roles: {', '.join(sorted(state.roles)) or 'none'})"
            )
            raise VerificationError(message)

    def _owed(self, entry: Entry, own: Mapping[str, bytes]) -> tuple[Owed, ...]:
        signed = entry.envelope.signed
        signatures = entry.envelope.signatures.items()
        return tuple(Owed(self._key(k, own), one, signed) for k, one in signatures)

    def _key(self, keyid: str, own: Mapping[str, bytes]) -> PublicKey:
        key = self._loaded.get(keyid)
        if key is None:
            known = self._keys.get(keyid)
            key = PublicKey.from_spki(known or own[keyid])
            if known is not None:  # what an unverified entry brings is not kept
                self._loaded[keyid] = key
        return key

    # --- identities ------------------------------------------------------------------

    def _judge_identity(self, entry: Entry, identity: Identity) -> _Accepted:
        newest = self.newest(identity.name)
        if identity.previous != newest:
            message = (
                f"entry {entry.index}: previous is {identity.previous}, but the newest"
                f" identity of {identity.name} is {newest}"
            )
            raise VerificationError(message)
        if identity.name == REGISTRAR:
            return self._judge_registrar(entry, identity)
        return self._judge_name(entry, identity)

    def _judge_registrar(self, entry: Entry, identity: Identity) -> _Accepted:
        [*signers] = identity.signers
        uses = self.state(REGISTRAR, entry.index).keys
        if entry.index == 0:
            uses = {key.keyid: key.use for key in identity.keys}
        if len(signers) != 1 or uses.get(signers[0]) != _ROOT:
            message = (
                f"entry {entry.index}: one active root key signs the registrar's"
                " identity, nothing else does"
            )
            raise VerificationError(message)
        return _Accepted(
            entry.index, entry.sha256, identity, (signers[0],), (signers[0],), ()
        )

    def _judge_name(self, entry: Entry, identity: Identity) -> _Accepted:
        name, index = identity.name, entry.index
        registrar = self.state(REGISTRAR, index).keys
        state = self.state(name, index)
        chain = self._chains.get(name)
        by_registrar = tuple(k for k in identity.signers if registrar.get(k) == _ENROL)
        by_name = tuple(k for k in identity.signers if k in state.keys)
        rest = set(identity.signers) - {*by_registrar, *by_name}
        returning = tuple(k for k in rest if self._may_return(k, name))
        accepted = _Accepted(
            index, entry.sha256, identity, by_registrar, by_name, returning
        )
        if by_registrar:
            allowed = len(by_registrar) == 1 and len(rest) == len(returning)
        else:
            allowed = chain is not None and len(by_name) == 1 and not rest
        if not allowed:
            message = (
                f"entry {index}: signed by neither an enrol key of the registrar nor"
                f" one active key of {name}"
            )
            raise VerificationError(message)
        if identity.issuer != (REGISTRAR if by_registrar else name):
            message = f"entry {index}: issuer is not who signs it"
            raise VerificationError(message)
        if not by_registrar:
            self._check_alone(accepted, state)
        return accepted

    def _may_return(self, keyid: str, name: str) -> bool:
        return self._owners.get(keyid) == name and keyid not in self._compromises

    def _check_alone(self, new: _Accepted, state: State) -> None:
        """A key of the name, alone, may only take away (and only from now on)."""
        taken = state.keys.keys() - new.active.keys()
        given = new.active.keys() - state.keys.keys()
        if given or not taken or frozenset(new.identity.roles) != state.roles:
            message = (
                f"entry {new.index}: a key of the name alone may only retire keys or"
                " declare itself compromised; for more, let the registrar co-sign"
            )
            raise VerificationError(message)
        for keyid, since in self._declared(new):
            [signer] = new.by_name
            if since < min(self._since(keyid), new.index) or (
                keyid != signer and keyid not in self._compromises
            ):
                message = (
                    f"entry {new.index}: to declare another key compromised, or to"
                    " date back, needs the registrar"
                )
                raise VerificationError(message)

    def _check_keys(self, new: _Accepted) -> None:
        """What no signature can allow: others' keys, and the return of lost ones."""
        name = new.identity.name
        active = self.state(name, new.index).keys
        for key in new.identity.keys:
            owner = self._owners.get(key.keyid)
            if owner not in (None, name):
                problem = f"belongs to {owner}, for ever"
            elif owner is None and key.status != "active":
                problem = "is not yet known, so it can only be active"
            elif key.keyid in self._compromises and key.status != "compromised":
                problem = "is compromised, for ever"
            elif (
                key.status == "active"
                and owner == name
                and key.keyid not in active
                and key.keyid not in new.returning
            ):
                problem = "was retired: the registrar and that key return it together"
            else:
                continue
            message = f"entry {new.index}: key {key.keyid} {problem}"
            raise VerificationError(message)

    def _declared(self, new: _Accepted) -> list[tuple[str, int]]:
        """Keys that an identity declares compromised, and since which index."""
        return [
            (key.keyid, min(key.since or 0, new.index))
            for key in new.identity.keys
            if key.status == "compromised"
        ]

    def _remember(self, new: _Accepted) -> None:
        name = new.identity.name
        chain = self._chains.setdefault(name, [])
        if chain and name != REGISTRAR and not new.by_name:
            before = self.state(name, new.index).keys
            added = new.active.keys() - before.keys() - set(new.returning)
            self._added_by_registrar |= added
        chain.append(new)
        for key in new.identity.keys:
            self._owners[key.keyid] = name
            self._keys[key.keyid] = key.key
        for keyid, since in self._declared(new):
            earlier = since < self._since(keyid)
            self._compromises.setdefault(keyid, []).append((new.index, since))
            if earlier:  # to say it again changes no judgement
                self._void.clear()
                self._states.clear()

    # --- hindsight -------------------------------------------------------------------

    def _since(self, keyid: str) -> int:
        """The smallest index since which a key is compromised, or no index at all."""
        declared = self._compromises.get(keyid, ())
        return min((since for _, since in declared), default=2**63)

    def _compromised(self, keyid: str, index: int, declarer: int = -1) -> bool:
        """Whether a key is compromised at `index`, but for what `declarer` says.

        Who says it again, as later identities do that list the key, adds nothing.
        """
        declared = self._compromises.get(keyid)
        if declared is None:
            return False
        own = min((since for at, since in declared if at == declarer), default=2**63)
        return any(since <= index and since < own for _, since in declared)

    def _is_void(self, one: _Accepted) -> bool:
        if one.index not in self._void:
            # Oldest first: no chain is then too long for Python's stack.
            for name in (REGISTRAR, one.identity.name):
                for earlier in self._chains.get(name, ()):
                    if earlier.index <= one.index and earlier.index not in self._void:
                        self._void[earlier.index] = self._judge_void(earlier)
        return self._void[one.index]

    def _judge_void(self, one: _Accepted) -> bool:
        # The use of a signer need not be compared: a key in the state has the use that
        # the last identity before gives it, which is the one it was accepted with.
        if any(
            self._compromised(keyid, one.index, declarer=one.index)
            for keyid in one.identity.signers
        ):
            return True
        if one.index == 0:
            return False
        registrar = self.state(REGISTRAR, one.index).keys
        if any(keyid not in registrar for keyid in one.by_registrar):
            return True
        name = self.state(one.identity.name, one.index).keys
        return any(keyid not in name for keyid in one.by_name)


def check_target(entry: Entry, known: Mapping[str, Entry]) -> None:
    """Check that a revocation of a statement repeats one of its issuer's, made before.

    Args:
        entry: any entry; all but such revocations pass.
        known: earlier entries by the SHA-256 of their statement; at least those under
            the revocation's own `v1/by` keys.

    Raises:
        VerificationError: no such release or audit, or not repeated byte for byte.
    """
    predicate = entry.predicate
    if not isinstance(predicate, Revocation) or predicate.statement is None:
        return
    target = known.get(predicate.statement)
    problem = None
    if target is None or isinstance(target.predicate, Identity | Revocation):
        problem = "names no earlier release or audit about its measurement"
    elif target.predicate.issuer != predicate.issuer:
        problem = "names a statement of another issuer"
    elif (
        target.predicate.platform != predicate.platform
        or target.predicate.identity != predicate.identity
        or target.statement.registers != entry.statement.registers
    ):
        problem = "does not repeat platform, identity and subject of its statement"
    if problem:
        message = f"entry {entry.index}: the revocation {problem}"
        raise VerificationError(message)
