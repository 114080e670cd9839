"""What the sequencer carries from batch to batch; log.db could tell it at any time."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from log_server.batch import Batch
from log_server.registrar import follow
from log_server.store import Snapshot
from pcrlog import merkle, trie
from pcrlog.authority import Authority

_CACHED_LISTS = 50_000


class Hashing:
    """The running SHA-256 of an index list, so that growing a long one costs nothing.

    The value of a key hashes all its indices; reading a million of them for each new
    statement of a busy issuer would make the log slower as it grows.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, hashlib._Hash] = OrderedDict()

    def extended(
        self, snapshot: Snapshot, hashed_key: bytes, indices: Sequence[int]
    ) -> "hashlib._Hash":
        """The hash of a list with `indices` appended; what is kept stays as it was."""
        if hashed_key in self._known:
            found = self._known[hashed_key].copy()
        else:
            found = hashlib.sha256()
            for index in snapshot.indices(hashed_key):
                found.update(index.to_bytes(8))
        for index in indices:
            found.update(index.to_bytes(8))
        return found

    def remember(self, grown: "dict[bytes, hashlib._Hash]") -> None:
        """Take over what a batch made, after its commit."""
        for hashed_key, value in grown.items():
            self._known[hashed_key] = value
            self._known.move_to_end(hashed_key)
        while len(self._known) > _CACHED_LISTS:
            self._known.popitem(last=False)


@dataclass
class Progress:
    """Where the sequencer stands: after the last committed batch.

    Owned by the sequencer. `authority` runs ahead of the commit while a batch is made:
    if that batch is not committed, the whole of this is of no use any more, and the
    sequencer ends.
    """

    origin: str
    batch: int
    tree: merkle.Range
    index_root: bytes
    time: int
    frozen: bool
    taken: int
    authority: Authority
    hashing: Hashing = field(default_factory=Hashing)

    @classmethod
    def load(cls, snapshot: Snapshot) -> "Progress":
        """Read it from log.db."""
        origin, _ = snapshot.name()
        authority = Authority(origin)
        follow(authority, snapshot, 0)
        size, node = snapshot.size, snapshot.node
        # A compact range's subtrees are the ones of its size, from the left.
        bits = [bit for bit in reversed(range(size.bit_length())) if size >> bit & 1]
        subtrees = [node(bit, (size >> bit) - 1) for bit in bits]
        newest = snapshot.checkpoint()
        return cls(
            origin=origin,
            batch=0 if newest is None else newest.batch,
            tree=merkle.Range(size, subtrees),
            index_root=trie.EMPTY_ROOT if newest is None else newest.index_root,
            time=0 if newest is None else newest.time,
            frozen=newest is not None and newest.frozen,
            taken=snapshot.taken(),
            authority=authority,
        )

    def advance(self, batch: Batch) -> None:
        """Move on after `batch` was committed."""
        self.taken = batch.taken
        self.hashing.remember(batch.grown)
        if batch.sealed is not None:
            self.batch = batch.number
            self.tree = batch.tree
            self.index_root = batch.update.root
            self.time = batch.sealed.seal.time
            self.frozen = batch.sealed.seal.frozen
