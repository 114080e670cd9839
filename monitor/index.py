"""The index of a log, made from its entries alone, and its root before every seal.

An index monitor says that the log's index leaves nothing out (PROTOCOL.md section 3).
So it makes the map from key strings to lists of indices by itself, leaf by leaf, to
compare its root with that in each seal. It lives in index.db, and takes as much memory
for ten million entries as for ten thousand:

- `Top` (subtries.py) has a hash for each prefix of DEPTH bits, and so the root
- a row `subtrie` has the leaves below such a prefix; all of it is written when one of
  them changes
- a row that has outgrown its bound becomes sixteen, so that keys that somebody ground
  to be neighbours cost no more than others
- the hash over a long list is kept running: a key with 500,000 indices costs what one
  with two does

What was not committed is forgotten by a crash, and by `rollback`.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from monitor.index_rows import Rows, packed
from monitor.nodes import Nodes
from monitor.subtries import DEPTH, FIRST, Top
from pcrlog import subtries, trie
from pcrlog.encoding import sha256
from pcrlog.index_keys import key_hash, keys_of_payload, payload_of
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE
from pcrlog.subtries import NOTHING
from pcrlog.trie import KEY_SIZE

_BITS = 8 * KEY_SIZE
_RECORD = 2 * KEY_SIZE + 16
"""A leaf in its row: key, leaf hash, first index, count of indices (u64)."""
_SPREAD = 4
"""Bits of the next prefix over which an outgrown row is spread."""
_SPREAD_SIZE = KEY_SIZE << _SPREAD
"""Such a row is then its hashes; no number of records has this size."""
_MOST_RECORDS = 32
_DEEPEST = 62 - _SPREAD
"""The longest prefix that is spread: a row's number has to fit into 63 bits. Below, a
row takes any number of leaves; to grind two of them costs 2**31 hashes."""
_PAGE = 8
"""Hashes in a row of `prefix`."""
_HASHERS = 4096
"""Running hashes of lists that are kept. The keys beyond them share what is left of the
log, so that to read one of their lists again is cheap."""
_GROWN = 8192
"""Keys that wait for the next root at most."""


class Extension(Struct, frozen=True):
    """What new leaves have brought about; `size` is that of the index now.

    `roots`: of each leaf that begins as a seal, its index, and the root of the index
    over all leaves before it. `repeats`: of each statement whose payload was in the log
    before, its index, and the first one.
    """

    size: int
    roots: tuple[tuple[int, bytes], ...]
    repeats: tuple[tuple[int, int], ...]


class Index:
    """The index over the first `size` leaves of a log, in its file.

    If a method raises, only `rollback` and `close` are of use.
    """

    def __init__(self, path: Path) -> None:
        self._rows = Rows(path)
        self._top = Top()
        # Pages of the top that are not as they were at the last commit.
        self._pages: set[int] = set()
        self._restore(self._rows.pages())
        # Keys whose lists have grown since the last root was made.
        self._grown: dict[bytes, list[int]] = {}
        self._hashers: OrderedDict[bytes, hashlib._Hash] = OrderedDict()
        self.size = self._rows.size()

    def close(self) -> None:
        """Close the file; what is not committed is gone."""
        self._rows.close()

    # --- growing ---------------------------------------------------------------------

    def extend(self, leaves: Sequence[bytes]) -> Extension:
        """Take the next leaves, in order."""
        roots: list[tuple[int, bytes]] = []
        said: list[tuple[bytes, int]] = []
        for index, leaf in enumerate(leaves, self.size):
            if leaf.startswith(SEAL_FIRST_BYTE):
                roots.append((index, self.root()))
            elif (payload := payload_of(leaf)) is not None:
                said.append((sha256(payload), index))
                for key in keys_of_payload(payload):
                    self._grown.setdefault(key_hash(key), []).append(index)
            if len(self._grown) > _GROWN:
                self._settle()
        self.size += len(leaves)
        return Extension(self.size, tuple(roots), tuple(self._rows.say(said)))

    def commit(self) -> None:
        """Keep the index as it is: what a crash, or `rollback`, comes back to."""
        self._settle()
        pages = [(n, self._top.get(n * _PAGE, _PAGE)) for n in sorted(self._pages)]
        self._rows.commit(self.size, pages)
        self._pages.clear()

    def rollback(self) -> None:
        """Go back to the last commit."""
        self._rows.rollback()
        self._grown.clear()
        self._hashers.clear()
        nothing = NOTHING * _PAGE
        self._restore((n, self._rows.page(n) or nothing) for n in self._pages)
        self._pages.clear()
        self.size = self._rows.size()

    def _restore(self, pages: Iterable[tuple[int, bytes]]) -> None:
        changed: list[int] = []
        for page, hashes in pages:
            self._top.set(page * _PAGE, hashes)
            changed += range(page * _PAGE, (page + 1) * _PAGE)
        self._top.rise(changed)

    # --- questions -------------------------------------------------------------------

    def root(self) -> bytes:
        """The root of the index over all leaves."""
        self._settle()
        return self._top.root

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key string, ascending."""
        found = self._packed(key_hash(key))
        return tuple(int.from_bytes(found[i : i + 8]) for i in range(0, len(found), 8))

    def statement(self, sha256: bytes) -> int | None:
        """Where the statement with this SHA-256 stands first."""
        return self._rows.statement(sha256)

    def prove(self, key: str) -> bytes:
        """Proof that the key is in the index, or that it is not, under `root()`."""
        return trie.prove(self._nodes().get, self.root(), key_hash(key))

    def nodes_for(self, keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
        """The nodes, by hash, that `trie.update` reads to set these keys.

        With them, anybody who holds `root()` finds the next root. A key may also be
        given as what the trie knows it by, its hash.
        """
        nodes = self._nodes()
        hashed = (key_hash(key) if isinstance(key, str) else key for key in keys)
        values = dict.fromkeys(hashed, bytes(KEY_SIZE))
        trie.update(nodes.get, self.root(), values)
        return nodes.seen

    def _nodes(self) -> Nodes:
        self._settle()
        return Nodes(
            self._top,
            lambda prefix: [
                (record[:KEY_SIZE], record[KEY_SIZE : 2 * KEY_SIZE])
                for record in self._records(FIRST + prefix)
            ],
            lambda key: sha256(self._packed(key)),
        )

    def _records(self, number: int) -> Iterator[bytes]:
        row = self._rows.read_subtrie(number)
        if len(row) == _SPREAD_SIZE:
            for part in range(1 << _SPREAD):
                yield from self._records(number << _SPREAD | part)
        else:
            yield from _split(row, _RECORD)

    def _packed(self, key: bytes) -> bytes:
        self._settle()
        number = FIRST + _prefix(key)
        for record in self._records(number):
            if record.startswith(key):
                first, count = record[-16:-8], int.from_bytes(record[-8:])
                return first + b"".join(self._rows.more(key, count - 1))
        return b""

    # --- the trie --------------------------------------------------------------------

    def _settle(self) -> None:
        """Set the values of all lists that have grown."""
        prefixes: dict[int, list[bytes]] = {}
        for key in sorted(self._grown):
            prefixes.setdefault(_prefix(key), []).append(key)
        self._rows.fetch(FIRST + prefix for prefix in prefixes)
        for prefix, keys in prefixes.items():
            self._top.set(prefix, self._put(FIRST + prefix, DEPTH, keys))
            self._pages.add(prefix // _PAGE)
        self._top.rise(prefixes)
        self._grown.clear()
        self._rows.flush_if_full()

    def _put(self, number: int, depth: int, keys: Sequence[bytes]) -> bytes:
        """Set keys that share a prefix; the new hash of its subtrie."""
        row = self._rows.subtrie(number)
        if len(row) == _SPREAD_SIZE:
            return self._put_spread(number, depth, keys)
        records = {record[:KEY_SIZE]: record for record in _split(row, _RECORD)}
        for key in keys:
            records[key] = self._record(key, records.get(key))
        if len(records) > _MOST_RECORDS and depth <= _DEEPEST:
            return self._spread(number, depth, records)
        return self._put_records(number, [records[key] for key in sorted(records)])

    def _put_records(self, number: int, records: Sequence[bytes]) -> bytes:
        self._rows.put_subtrie(number, b"".join(records))
        return subtries.subtrie(
            [(one[:KEY_SIZE], one[KEY_SIZE : 2 * KEY_SIZE]) for one in records]
        )

    def _spread(self, number: int, depth: int, records: Mapping[bytes, bytes]) -> bytes:
        """Spread an outgrown row."""
        hashes = [NOTHING] * (1 << _SPREAD)
        for part, keys in _by_next_bits(sorted(records), depth).items():
            below = number << _SPREAD | part
            hashes[part] = self._put_records(below, [records[key] for key in keys])
        self._rows.put_subtrie(number, b"".join(hashes))
        return subtries.join(hashes, depth)

    def _put_spread(self, number: int, depth: int, keys: Sequence[bytes]) -> bytes:
        hashes = list(_split(self._rows.subtrie(number), KEY_SIZE))
        parts = _by_next_bits(keys, depth)
        self._rows.fetch(number << _SPREAD | part for part in parts)
        for part, below in parts.items():
            number_below = number << _SPREAD | part
            hashes[part] = self._put(number_below, depth + _SPREAD, below)
        self._rows.put_subtrie(number, b"".join(hashes))
        return subtries.join(hashes, depth)

    def _record(self, key: bytes, old: bytes | None) -> bytes:
        """A leaf's row with the new indices of its key."""
        new = self._grown[key]
        if old is None:
            first, count = new[0].to_bytes(8), 0
            self._rows.append(key, 0, new[1:])
        else:
            first, count = old[-16:-8], int.from_bytes(old[-8:])
        if len(new) + count == 1:
            value = sha256(first)
        else:
            hasher = self._hasher(key, first, count)
            hasher.update(packed(new))
            value = hasher.digest()
        if old is not None:
            self._rows.append(key, count - 1, new)
        count += len(new)
        return key + subtries.leaf_hash(key, value) + first + count.to_bytes(8)

    def _hasher(self, key: bytes, first: bytes, count: int) -> "hashlib._Hash":
        """The running hash over the first `count` indices of a key."""
        hasher = self._hashers.get(key)
        if hasher is None:
            hasher = self._hashers[key] = hashlib.sha256(first if count else b"")
            for part in self._rows.more(key, count - 1):
                hasher.update(part)
            if len(self._hashers) > _HASHERS:
                self._hashers.popitem(last=False)
        self._hashers.move_to_end(key)
        return hasher


def _prefix(key: bytes) -> int:
    return int.from_bytes(key[:4]) >> 32 - DEPTH


def _by_next_bits(keys: Iterable[bytes], depth: int) -> dict[int, list[bytes]]:
    """Keys by the bits after the first `depth`."""
    parts: dict[int, list[bytes]] = {}
    for key in keys:
        part = int.from_bytes(key) >> _BITS - depth - _SPREAD & (1 << _SPREAD) - 1
        parts.setdefault(part, []).append(key)
    return parts


def _split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))
