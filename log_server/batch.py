"""A batch: all that one transaction of the sequencer writes to log.db."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from log_server.index_pages import Update
from log_server.store import Decision
from pcrlog.checkpoint import Checkpoint
from pcrlog.merkle import Range
from pcrlog.seal import Seal

if TYPE_CHECKING:
    import hashlib


@dataclass(frozen=True, slots=True)
class Leaf:
    """A row of `entry`: `statement` is the payload's SHA-256, None in a seal."""

    index: int
    leaf: bytes
    statement: bytes | None
    kind: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a batch that adds leaves ends in: its seal, and the checkpoint to sign."""

    seal: Seal
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcome of `sequencer.sequence`.

    Attributes:
        number: of the newest checkpoint after this batch.
        taken_before, taken: the last decided row of intake.db, before and after.
        tree: the compact range after this batch.
        leaves: what is appended; empty if every row was refused or known.
        tiles: (level, index) to a tile's hashes, as wide as it has grown now.
        update: how the index and its trie change.
        grown: key hash to the running hash of its list.
        given_more: key string to the number of releases and passes it gains.
        words: for plain search.
        sealed: None exactly if `leaves` is empty; then there is no new checkpoint.
    """

    number: int
    taken_before: int
    taken: int
    decisions: tuple[Decision, ...]
    tree: Range
    leaves: tuple[Leaf, ...]
    tiles: dict[tuple[int, int], bytes]
    update: Update
    grown: "dict[bytes, hashlib._Hash]"
    given_more: dict[str, int]
    words: frozenset[tuple[str, int]]
    sealed: Sealed | None

    @property
    def first(self) -> int:
        """The index of the first leaf appended; the size before, in any case."""
        return self.tree.size - len(self.leaves)
