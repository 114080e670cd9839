"""The forward pass: who may say what (docs/protocol.md 2.2)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.model.statements import FIRST_KIND, REGISTRAR, SECOND_KIND, Entry, Json


@dataclass(frozen=True)
class State:
    """What a name has at an index: its active keys with their uses, and its roles."""

    keys: dict[str, str | None] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()

    def of_use(self, use: str) -> set[str]:
        return {keyid for keyid, its in self.keys.items() if its == use}


@dataclass(frozen=True)
class Accepted:
    """An accepted identity; `kinds` says what each of its signers counted as."""

    entry: Entry
    kinds: dict[str, str]  # "root" for the registrar's own, else "R", "A" or "B"

    @property
    def index(self) -> int:
        return self.entry.index

    @property
    def name(self) -> str:
        return str(self.entry.predicate["name"])

    def active(self) -> dict[str, str | None]:
        return active_keys(self.entry)

    def declared(self) -> dict[str, int]:
        return declared_keys(self.entry)


def active_keys(entry: Entry) -> dict[str, str | None]:
    """Keyid to use, of the keys that an identity lists as active."""
    listed = entry.predicate["keys"]
    return {key["keyid"]: key.get("use") for key in listed if key["status"] == "active"}


def declared_keys(entry: Entry) -> dict[str, int]:
    """Keyid to s, of those it declares compromised: 0 if absent, at most its index."""
    return {
        key["keyid"]: min(key.get("since", 0), entry.index)
        for key in entry.predicate["keys"]
        if key["status"] == "compromised"
    }


class View:
    """What is known of all names once these identities were accepted."""

    def __init__(self, identities: Iterable[Accepted]) -> None:
        self.identities = sorted(identities, key=lambda one: one.index)
        self.void: set[int] = set()
        for one in self.identities:
            if self._void(one):
                self.void.add(one.index)

    def chain(self, name: str) -> list[Accepted]:
        return [one for one in self.identities if one.name == name]

    def owner(self, keyid: str) -> str | None:
        """The name that the key first appeared under."""
        for one in self.identities:
            if any(key["keyid"] == keyid for key in one.entry.predicate["keys"]):
                return one.name
        return None

    def declarations(self, keyid: str) -> list[int]:
        """Each s of the key, whoever declared it, void or not."""
        return [
            one.declared()[keyid] for one in self.identities if keyid in one.declared()
        ]

    def state(self, name: str, index: int) -> State:
        """2.2, State. Identities before the index, as all declarations leave them."""
        before = [one for one in self.chain(name) if one.index < index]
        standing = [one for one in before if one.index not in self.void]
        if not standing:
            return State()
        base = standing[-1]
        keys, roles = base.active(), set(base.entry.predicate["roles"])
        for later in before:
            if later.index > base.index:
                active = later.active()
                keys = {
                    keyid: use
                    for keyid, use in keys.items()
                    if keyid in active and active[keyid] == use
                }
                roles &= set(later.entry.predicate["roles"])
        return State(keys, frozenset(roles))

    def _void(self, one: Accepted) -> bool:
        """2.2, Void, of an identity; those before it have been looked at."""
        for keyid in one.kinds:
            own = one.declared().get(keyid)
            for s in self.declarations(keyid):
                if s <= one.index and (own is None or s < own):
                    return True
        if one.index == 0:
            return False
        ours = self.state(one.name, one.index)
        registrar = self.state(REGISTRAR, one.index)
        lets = {
            "root": registrar.of_use("root"),
            "R": registrar.of_use("enrol"),
            "A": set(ours.keys),
        }
        return any(
            keyid not in lets[kind] for keyid, kind in one.kinds.items() if kind in lets
        )

    def is_void(self, entry: Entry) -> bool:
        """2.2, Void, of an accepted release, audit or revocation."""
        return bool(self.may_not_speak(entry))

    def may_not_speak(self, entry: Entry) -> str | None:
        """Why this key may not make this release, audit or revocation at its index."""
        keyid = entry.signers[0]
        state = self.state(entry.issuer, entry.index)
        if keyid not in state.keys:
            return "key is not active"
        if any(s <= entry.index for s in self.declarations(keyid)):
            return "key is compromised"
        role = {"release": "provider", "audit": "auditor"}.get(entry.kind or "")
        if role and role not in state.roles:
            return "issuer lacks the role"
        if entry.issuer == REGISTRAR and state.keys[keyid] != "enrol":
            return "not an enrol key"
        return None

    def pinned(self, name: str, pins: Iterable[str]) -> set[str]:
        """2.2, Pins: the set that grows from the pins of the policy."""
        out = set(pins)
        for one in self.chain(name):
            by_pinned = any(k == "A" and keyid in out for keyid, k in one.kinds.items())
            if one.index not in self.void and by_pinned:
                out |= set(one.active()) - set(self.state(name, one.index).keys)
        return out


class Pass:
    """The judgement of entries one by one, ascending."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.identities: list[Accepted] = []
        self.accepted: list[Entry] = []
        self.refused: dict[int, str] = {}
        self.seen: set[str] = set()

    def view(self) -> View:
        return View(self.identities)

    def feed(self, entry: Entry) -> str | None:
        """Judge an entry, and remember it; why it is refused, if it is."""
        repeats = entry.sha256 in self.seen
        self.seen.add(entry.sha256)
        refusal, kinds = self.judge(entry)
        if refusal:
            self.refused[entry.index] = refusal
            return refusal
        if repeats:  # 2.1: it counts for nothing, either way
            return None
        self.accepted.append(entry)
        if entry.kind == "identity":
            self.identities.append(Accepted(entry, kinds))
        return None

    def judge(self, entry: Entry) -> tuple[str | None, dict[str, str]]:
        """Why it is refused, and what its signers count as if it is an identity."""
        view = self.view()
        if entry.predicate["log"] != self.origin:
            return "another log", {}
        if entry.kind == "identity":
            return self._judge_identity(entry, view)
        refusal = view.may_not_speak(entry)
        if refusal is None and not entry.genuine:
            refusal = "signature"
        if refusal is None and entry.kind == "revocation":
            refusal = self._judge_revocation(entry)
        return refusal, {}

    def _judge_revocation(self, entry: Entry) -> str | None:
        """2.1, Revocation, and the table of 2.2."""
        said = entry.predicate
        if entry.issuer == REGISTRAR and said["reason"] not in FIRST_KIND:
            return "not the registrar's reason"
        if said["reason"] in SECOND_KIND or "statement" in said:
            named = [
                one
                for one in self.accepted
                if one.sha256 == said["statement"]
                and one.kind in {"release", "audit"}
                and one.issuer == entry.issuer
            ]
            if not named:
                return "no such statement"
            same = ("platform", "identity")
            if named[0].statement["subject"] != entry.statement["subject"] or any(
                named[0].predicate[member] != said[member] for member in same
            ):
                return "another subject"
        return None

    def _judge_identity(
        self, entry: Entry, view: View
    ) -> tuple[str | None, dict[str, str]]:
        """2.2, Accepting an identity; the numbers are those of the rules."""
        said, name = entry.predicate, entry.predicate["name"]
        chain = view.chain(name)
        # 2
        if said.get("previous") != (chain[-1].entry.sha256 if chain else None):
            return "previous", {}
        # 3
        kinds = self._kinds(entry, view)
        refusal = self._who_signs(entry, kinds)
        # 4
        if refusal is None and list(kinds.values()) == ["A"]:
            refusal = self._alone(entry, view)
        # 5
        for key in said["keys"]:
            refusal = refusal or self._listed(entry, key, view, kinds)
        # 6
        if refusal is None and not entry.genuine:
            refusal = "signature"
        return refusal, kinds

    def _kinds(self, entry: Entry, view: View) -> dict[str, str]:
        name, signers = entry.predicate["name"], entry.signers
        registrar = view.state(REGISTRAR, entry.index)
        if entry.index == 0:
            registrar = State(active_keys(entry))
        if name == REGISTRAR:
            return {k: "root" if k in registrar.of_use("root") else "" for k in signers}
        kinds = {}
        for keyid in signers:
            kinds[keyid] = ""
            if keyid in registrar.of_use("enrol"):
                kinds[keyid] = "R"
            elif keyid in view.state(name, entry.index).keys:
                kinds[keyid] = "A"
            elif view.owner(keyid) == name and not view.declarations(keyid):
                kinds[keyid] = "B"
        return kinds

    def _who_signs(self, entry: Entry, kinds: dict[str, str]) -> str | None:
        said, counted = entry.predicate, sorted(kinds.values())
        if entry.index == 0 and said["name"] != REGISTRAR:
            return "entry 0 is the registrar's"
        if said["name"] == REGISTRAR:
            registrars = counted == ["root"]
            alone = False
        else:
            registrars = counted in (["R"], ["A", "R"], ["B", "R"])
            alone = counted == ["A"]
        if not registrars and not alone:
            return "signers"
        if said["issuer"] != (REGISTRAR if registrars else said["name"]):
            return "issuer"
        return None

    def _alone(self, entry: Entry, view: View) -> str | None:
        """Rule 4: what a key of the name may do by itself."""
        (signer,) = entry.signers
        state = view.state(entry.predicate["name"], entry.index)
        active = set(active_keys(entry))
        if active - set(state.keys):
            return "adds a key alone"
        if not set(state.keys) - active:
            return "takes nothing away alone"
        if set(entry.predicate["roles"]) != state.roles:
            return "changes roles alone"
        for keyid, s in declared_keys(entry).items():
            before = view.declarations(keyid)
            itself = keyid == signer and s == entry.index
            if not itself and not (before and s >= min(before)):
                return "declares a compromise alone"
        return None

    def _listed(
        self, entry: Entry, key: Json, view: View, kinds: dict[str, str]
    ) -> str | None:
        """Rule 5, for one key."""
        keyid, name = key["keyid"], entry.predicate["name"]
        owner, active = view.owner(keyid), key["status"] == "active"
        if owner not in (None, name):
            return "key of another name"
        if owner is None and not active:
            return "first appearance is not active"
        if view.declarations(keyid) and key["status"] != "compromised":
            return "compromise is final"
        known = keyid in view.state(name, entry.index).keys
        if active and owner == name and not known and kinds.get(keyid) != "B":
            return "returns without its signature"
        return None
