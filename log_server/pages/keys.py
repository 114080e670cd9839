"""The keys of a name: which there ever were, and what each may do today."""

from collections.abc import Iterable

from msgspec import Struct

from log_server.pages.reading import Reading
from pcrlog.authority import Authority
from pcrlog.errors import PcrlogError
from pcrlog.index_keys import of_identity
from pcrlog.keys import PublicKey
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey

_NAMES = {"ed25519": "Ed25519", "ecdsa-p256": "ECDSA P-256"}


class Key(Struct, frozen=True):
    """A key: `status` today in words; first listed by entry `first`."""

    keyid: str
    owner: str
    algorithm: str
    status: str
    active: bool
    first: int
    use: str


class Keyring(Struct, frozen=True):
    """The keys of some names, by keyid, and who may say what."""

    authority: Authority
    keys: dict[str, Key]

    @classmethod
    def read(cls, reading: Reading, names: Iterable[str]) -> "Keyring":
        """The keys of these names and of the registrar."""
        asked = tuple(dict.fromkeys((*names, REGISTRAR)))
        authority = reading.authority(asked)
        found: dict[str, Key] = {}
        for name in asked:
            first: dict[str, int] = {}
            newest: dict[str, IdentityKey] = {}
            for entry in reading.under(of_identity(name)):
                if not isinstance(entry.predicate, Identity):
                    continue
                for key in entry.predicate.keys:
                    first.setdefault(key.keyid, entry.index)
                    newest[key.keyid] = key
            active = authority.state(name, reading.size).keys
            for keyid, key in newest.items():
                found[keyid] = Key(
                    keyid,
                    name,
                    _algorithm(key.key),
                    _status(key, authority, active=keyid in active),
                    keyid in active,
                    first[keyid],
                    key.use or "",
                )
        return cls(authority, found)

    def of(self, name: str) -> list[Key]:
        """A name's own, the active ones first, then as they came."""
        own = [key for key in self.keys.values() if key.owner == name]
        return sorted(own, key=lambda key: (not key.active, key.first))


def _algorithm(spki: bytes) -> str:
    try:
        name = PublicKey.from_spki(spki).algorithm
    except PcrlogError:
        return "an algorithm that this version does not know"
    return _NAMES.get(name, name)


def _status(key: IdentityKey, authority: Authority, *, active: bool) -> str:
    if active:
        added = authority.added_by_registrar(key.keyid)
        return "active, added by the registrar alone" if added else "active"
    if key.status == "compromised":
        return f"compromised since entry {key.since or 0}"
    return "retired" if key.status == "retired" else "not active any more"
