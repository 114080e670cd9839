"""An index by its definition alone, to hold the monitor's against, and leaves for it.

The lists stand in a dict, and `pcrlog.trie` makes the whole trie anew for every root.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from monitor.index import Extension
from pcrlog import trie
from pcrlog.encoding import encode_base64
from pcrlog.index_keys import index_keys, key_hash, payload_of

SEAL = b"pcrlog/seal/v1\n0\n0\n\n"
"""What begins as a seal is one: nothing of it is read here."""


def statement(name: str, issuer: str | None = None, serial: int = 0) -> bytes:
    """A leaf whose keys are those of an identity of `name`, and of its issuer."""
    predicate = {"name": name, "serial": serial}
    if issuer is not None:
        predicate["issuer"] = issuer
    payload = {"predicateType": "urn:pcrlog:identity:v1", "predicate": predicate}
    raw = json.dumps(payload).encode()
    return json.dumps({"payload": encode_base64(raw)}).encode()


def statements(number: int, names: int, first: int = 0) -> list[bytes]:
    """Leaves, all different, of so many names by one issuer."""
    return [
        statement(f"n{serial * 7919 % names}.example", "acme.example", serial)
        for serial in range(first, first + number)
    ]


class PlainIndex:
    """The index over the leaves that were given."""

    def __init__(
        self, leaves: Iterable[bytes], hashed: Callable[[str], bytes] = key_hash
    ) -> None:
        self.lists: dict[str, list[int]] = {}
        self.firsts: dict[bytes, int] = {}
        self.hashed = hashed
        roots: list[tuple[int, bytes]] = []
        repeats: list[tuple[int, int]] = []
        size = 0
        for index, leaf in enumerate(leaves):
            if leaf.startswith(b"p"):
                roots.append((index, self.trie().root))
            for key in index_keys(leaf):
                self.lists.setdefault(key, []).append(index)
            if (payload := payload_of(leaf)) is not None:
                first = self.firsts.setdefault(sha256(payload).digest(), index)
                repeats += [(index, first)] * (first != index)
            size = index + 1
        self.extension = Extension(size, tuple(roots), tuple(repeats))

    def trie(self) -> trie.MemoryTrie:
        """The trie over all lists."""
        made = trie.MemoryTrie()
        made.update(
            {
                self.hashed(key): trie.value_of(found)
                for key, found in self.lists.items()
            }
        )
        return made


def joined(extensions: Sequence[Extension]) -> Extension:
    """What leaves have brought about that came in several pieces."""
    return Extension(
        extensions[-1].size,
        tuple(root for one in extensions for root in one.roots),
        tuple(repeat for one in extensions for repeat in one.repeats),
    )
