"""What names have: the identities accepted so far, and what they come to in hindsight.

The half of `authority` that remembers; the other judges entries and adds to it. An
identity keeps its place in its name's chain for ever; whether it is void is told by all
that is known now, also by what was declared later. The state of a name at i is its
newest identity before i that is not void, less every key and role that a later one,
void or not, took away.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence

from msgspec import Struct

from pcrlog.predicates import REGISTRAR, Identity

ROOT = "root"
ENROL = "enrol"
"""Uses of the registrar's keys."""


class State(Struct, frozen=True):
    """What a name has at some index: keyid to `use` of its active keys, and roles."""

    keys: dict[str, str | None]
    roles: frozenset[str]


class Accepted(Struct, frozen=True):
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
        """Keyid to `use` of the keys that it says are active."""
        keys = self.identity.keys
        return {key.keyid: key.use for key in keys if key.status == "active"}


_NOBODY = State({}, frozenset())


class Standing:
    """The identities of one log, and what each name has."""

    def __init__(self) -> None:
        self._chains: dict[str, list[Accepted]] = {}
        self._owners: dict[str, str] = {}
        self._keys: dict[str, bytes] = {}
        # keyid to (index of the declaring identity, since when)
        self._compromises: dict[str, list[tuple[int, int]]] = {}
        # Both known until the next compromise is declared: by index, and by name and
        # number of its identities.
        self._void: dict[int, bool] = {}
        self._states: dict[tuple[str, int], State] = {}
        self._added_by_registrar: set[str] = set()

    # --- questions -------------------------------------------------------------------

    def state(self, name: str, index: int) -> State:
        """What `name` has just before `index`, by all that is known now."""
        chain = self._chains.get(name, ())
        before = bisect_left(chain, index, key=lambda one: one.index)
        if (name, before) not in self._states:
            self._states[name, before] = self._judge_state(chain[:before])
        return self._states[name, before]

    def _judge_state(self, chain: Sequence[Accepted]) -> State:
        state = None
        taken: list[Accepted] = []
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
        return frozenset(k for k, use in chain[0].active.items() if use == ROOT)

    # --- what Authority adds ---------------------------------------------------------

    def _declared(self, new: Accepted) -> list[tuple[str, int]]:
        """Keys that an identity declares compromised, and since which index."""
        return [
            (key.keyid, min(key.since or 0, new.index))
            for key in new.identity.keys
            if key.status == "compromised"
        ]

    def _remember(self, new: Accepted) -> None:
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

    def _is_void(self, one: Accepted) -> bool:
        if one.index not in self._void:
            # Oldest first: no chain is then too long for Python's stack.
            for name in (REGISTRAR, one.identity.name):
                for earlier in self._chains.get(name, ()):
                    if earlier.index <= one.index and earlier.index not in self._void:
                        self._void[earlier.index] = self._judge_void(earlier)
        return self._void[one.index]

    def _judge_void(self, one: Accepted) -> bool:
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
