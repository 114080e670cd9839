"""The log as it will be: what is committed, and what this batch adds to it.

The sequencer judges each statement of a batch at its own index, so the second must see
what the first one changed before anything is committed. A `Draft` is that view, and it
gathers all that the transaction will write.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from log_server.admission import kind_of, measured_keys, speaks_for
from log_server.batch import Leaf
from log_server.index_pages import Update, grow
from log_server.progress import Progress
from log_server.store import Snapshot
from pcrlog import merkle, tiles
from pcrlog.entry import Entry
from pcrlog.index_keys import key_hash, keys_of_payload
from pcrlog.measurement import registers_in
from pcrlog.predicates import Identity, Release

if TYPE_CHECKING:
    import hashlib


class Draft:
    """A batch in the making; a `View` for admission."""

    def __init__(self, snapshot: Snapshot, progress: Progress) -> None:
        self._snapshot = snapshot
        self._progress = progress
        self._statements: dict[bytes, int] = {}
        self.first = progress.tree.size
        self.tree = merkle.Range(self.first, progress.tree.subtrees)
        self.leaves: list[Leaf] = []
        self.keys: dict[str, list[int]] = {}
        self.given_more: dict[str, int] = {}
        self.words: set[tuple[str, int]] = set()
        self.tiles: dict[tuple[int, int], bytearray] = {}

    # --- what admission asks ---------------------------------------------------------

    @property
    def size(self) -> int:
        """The next entry's index."""
        return self.tree.size

    @property
    def frozen(self) -> bool:
        """Whether the log has sealed for the last time."""
        return self._progress.frozen

    def index_of(self, statement: bytes) -> int | None:
        """The index of a statement."""
        index = self._statements.get(statement)
        return self._snapshot.index_of(statement) if index is None else index

    def leaf(self, index: int) -> bytes | None:
        """The bytes of an entry."""
        if self.first <= index < self.size:
            return self.leaves[index - self.first].leaf
        return self._snapshot.leaf(index)

    def newest(self, key: str) -> Iterator[int]:
        """The entries under a key, newest first."""
        yield from reversed(self.keys.get(key, []))
        yield from self._snapshot.newest(key)

    def given(self, key: str) -> int:
        """How many releases and passes stand under a key."""
        return self._snapshot.given(key) + self.given_more.get(key, 0)

    # --- what the sequencer adds -----------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Append a statement that was admitted."""
        leaf, statement = entry.envelope.raw, bytes.fromhex(entry.sha256)
        if speaks_for(entry):
            for key in measured_keys(entry):
                self.given_more[key] = self.given_more.get(key, 0) + 1
        self.words |= {(word, entry.index) for word in words_of(entry)}
        self._statements[statement] = entry.index
        row = Leaf(entry.index, leaf, statement, kind_of(entry))
        self.add_leaf(row, keys_of_payload(entry.envelope.payload))

    def add_leaf(self, leaf: Leaf, keys: Iterable[str]) -> None:
        """Append a leaf as it is, and its index under these keys."""
        for key in keys:
            self.keys.setdefault(key, []).append(leaf.index)
        self._append(leaf)

    def add_seal(self, seal: bytes) -> None:
        """Append the seal that ends the batch."""
        self._append(Leaf(self.size, seal, None, "seal"))

    def _append(self, leaf: Leaf) -> None:
        self.leaves.append(leaf)
        for level, index, node in self.tree.append(merkle.leaf_hash(leaf.leaf)):
            tile_level, rest = divmod(level, tiles.HEIGHT)
            if rest == 0:
                place = (tile_level, index // tiles.FULL)
                if place not in self.tiles:
                    self.tiles[place] = bytearray(self._snapshot.tile(*place))
                self.tiles[place] += node

    def grow_index(self) -> "tuple[Update, dict[bytes, hashlib._Hash]]":
        """The index over all leaves so far: trie update and hashes of the lists."""
        grown: dict[bytes, hashlib._Hash] = {}
        lists = {key_hash(key): indices for key, indices in self.keys.items()}
        if not lists:
            return Update(self._progress.index_root, {}, {}, {}, {}), grown

        def extend(key: bytes, indices: Sequence[int]) -> bytes:
            hashing = self._progress.hashing
            grown[key] = hashing.extended(self._snapshot, key, indices)
            return grown[key].digest()

        rows = self._snapshot.index_at(self._snapshot.checkpoint())
        return grow(rows, lists, extend), grown


def words_of(entry: Entry) -> set[str]:
    """Under which words plain search finds an entry, in lower case."""
    predicate = entry.predicate
    words = {predicate.issuer, entry.sha256, *entry.envelope.signatures}
    if isinstance(predicate, Identity):
        return words | {predicate.name, *(key.keyid for key in predicate.keys)}
    if isinstance(predicate, Release):
        segment = predicate.product.partition("/")[2]
        words |= {predicate.product, segment, predicate.version}
    for measurement in entry.statement.measurements:
        digests = registers_in(measurement).values()
        words |= {digest.partition(":")[2] for digest in digests}
    return {word.lower() for word in words}
