"""The index of a mirrored log, made from its entries alone.

The same map as the log's (PROTOCOL.md section 3): key to indices, and its root before
each seal. What was made once may lie in a file (mirror_table.py), which is a copy and
no evidence: an index that began with one is compared with a seal before it accuses
anybody or answers, and made anew where they differ.

All that changes is in memory, nodes and lists alike: docs/mirror.md says how much.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from cli.mirror_table import Table, write
from pcrlog import trie
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError
from pcrlog.index_keys import key_hash, keys_of_payload, payload_of
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE

_LONG = 8 * 64
"""Bytes of a list from which on its hash is kept running."""
_MUCH = 16
"""Of a table's leaves, one in so many changes much of it: then all of it is read, at 4
µs a key, since each node by itself costs 20 µs."""


class Extension(Struct, frozen=True):
    """What new leaves have brought about.

    `roots`: of each leaf that begins as a seal, its index, and the root of the index
    over all leaves before it. `repeats`: of each statement whose payload was in the log
    before, its index, and the first one. `damaged`: there is neither, since the table
    that the index began with was.
    """

    roots: tuple[tuple[int, bytes], ...] = ()
    repeats: tuple[tuple[int, int], ...] = ()
    damaged: bool = False


class Index:
    """The index over the first `size` leaves of a log.

    Args:
        table: what to begin with; nothing else is.
        expected: how many leaves are going to be added, about.
    """

    def __init__(self, table: Table | None = None, *, expected: int = 0) -> None:
        self.size = 0 if table is None else table.size
        self.root = trie.EMPTY_ROOT if table is None else table.root
        self.began = self.size
        """How many leaves it has from the table, unchecked."""
        self._table = table
        self._nodes: dict[bytes, bytes] = {}
        if table is not None and expected * _MUCH > table.size:
            self._nodes = table.nodes()
        # Of keys that were touched here: all their indices, u64 each.
        self._lists: dict[bytes, bytes | bytearray] = {}
        self._grown: set[bytes] = set()
        self._hashers: dict[bytes, hashlib._Hash] = {}
        self._said: dict[bytes, int] = {}

    # --- growing ---------------------------------------------------------------------

    def extend(self, leaves: Sequence[bytes]) -> Extension:
        """Take the next leaves, in order."""
        try:
            return self._extend(leaves)
        except MalformedError:
            return Extension(damaged=True)

    def _extend(self, leaves: Sequence[bytes]) -> Extension:
        roots: list[tuple[int, bytes]] = []
        repeats: list[tuple[int, int]] = []
        for index, leaf in enumerate(leaves, self.size):
            if leaf.startswith(SEAL_FIRST_BYTE):
                self.settle()
                roots.append((index, self.root))
            elif (payload := payload_of(leaf)) is not None:
                first = self._say(sha256(payload), index)
                if first != index:
                    repeats.append((index, first))
                for key in keys_of_payload(payload):
                    self._add(key_hash(key), index)
        self.size += len(leaves)
        return Extension(tuple(roots), tuple(repeats))

    def _say(self, digest: bytes, index: int) -> int:
        first = self.statement(digest)
        if first is None:
            first = self._said[digest] = index
        return first

    def _add(self, key: bytes, index: int) -> None:
        self._grown.add(key)
        packed = index.to_bytes(8)
        known = self._packed(key)
        if isinstance(known, bytearray):
            known += packed
        else:
            # Most keys have one entry: no need for what can grow.
            known = self._lists[key] = bytearray(known + packed) if known else packed
        hasher = self._hashers.get(key)
        if hasher is not None:
            hasher.update(packed)
        elif len(known) >= _LONG:
            self._hashers[key] = hashlib.sha256(known)

    def settle(self) -> None:
        """Set the values of all lists that have grown: `root` is right after it.

        Raises:
            MalformedError: the table is damaged.
        """
        values = {key: self._value(key) for key in self._grown}
        change = trie.update(self._node, self.root, values)
        self.root = change.root
        self._nodes.update(change.born)
        for name in change.died:
            self._nodes.pop(name, None)
        self._grown.clear()

    def _value(self, key: bytes) -> bytes:
        hasher = self._hashers.get(key)
        return sha256(bytes(self._lists[key])) if hasher is None else hasher.digest()

    def _node(self, name: bytes) -> bytes:
        node = self._nodes.get(name)
        if node is None:
            if self._table is None:
                raise KeyError(name)
            node = self._nodes[name] = self._table.node(name)
        return node

    # --- questions -------------------------------------------------------------------

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key string, ascending."""
        found = self._packed(key_hash(key))
        return tuple(int.from_bytes(found[i : i + 8]) for i in range(0, len(found), 8))

    def _packed(self, key: bytes) -> bytes | bytearray:
        found = self._lists.get(key)
        if found is None:
            return b"" if self._table is None else self._table.packed(key)
        return found

    def prove(self, key: str) -> bytes:
        """Proof that the key is in the index, or that it is not.

        Raises:
            MalformedError: the table is damaged.
        """
        self.settle()
        return trie.prove(self._node, self.root, key_hash(key))

    def statement(self, digest: bytes) -> int | None:
        """Where the statement with this SHA-256 stands first."""
        found = self._said.get(digest)
        if found is None and self._table is not None:
            found = self._table.statement(digest)
        return found

    # --- to disk ---------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write all of it.

        Raises:
            OSError: it cannot be written; what was there is as it was.
        """
        keys, said = set(self._lists), dict(self._said)
        if self._table is not None:
            keys.update(self._table.all_keys())
            said.update(self._table.said())
        write(path, self.size, sorted(keys), self._packed, sorted(said.items()))


def open_index(path: Path, most: int, expected: int) -> Index:
    """An index that begins with the file, or with nothing.

    Args:
        path: of the file.
        most: leaves that it may be of; a newer one is of no use.
        expected: leaves that the index is going to have.
    """
    with suppress(OSError, MalformedError):
        table = Table(path)
        if table.size <= most:
            return Index(table, expected=expected - table.size)
    return Index()
