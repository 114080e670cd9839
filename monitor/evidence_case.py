"""What evidence about an entry is made from: a signed tree, and our own index of it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.evidence import MOST, Leaves
from pcrlog.merkle import Node, prove_range
from pcrlog.seal import FIRST_BYTE, Seal
from pcrlog.tiles import FULL

_BACK = 64 * FULL
"""Leaves before an entry that are searched for seals."""


class Tree(Protocol):
    """The tree of a checkpoint, as the log serves it; `source.Source` is one."""

    def node(self, size: int) -> Node:
        """Roots of subtrees of the tree of `size`, unverified."""
        ...

    def leaves(self, start: int, end: int, size: int) -> list[bytes]:
        """Leaves [start, end) of the tree of `size`, unverified."""
        ...


class Index(Protocol):
    """The index over all leaves read, ours; `index.Index` is one."""

    @property
    def size(self) -> int:
        """Leaves in it."""
        ...

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key string, ascending."""
        ...

    def statement(self, sha256: bytes) -> int | None:
        """Where a statement stands first."""
        ...

    def prove(self, key: str) -> bytes:
        """Proof of presence or absence."""
        ...

    def root(self) -> bytes:
        """Its root."""
        ...

    def nodes_for(self, keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
        """The nodes that setting these keys, or their hashes, would visit."""
        ...


class Case(Struct, frozen=True):
    """What there is to make evidence from: a signed tree, and our index of it."""

    checkpoint: Checkpoint
    note: str
    tree: Tree
    index: Index

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end).

        Raises:
            MalformedError: the log served fewer.
            TransportError: it did not answer.
        """
        found = self.tree.leaves(start, end, self.checkpoint.size)
        if len(found) != end - start:
            message = f"expected leaves {start} to {end}, found {len(found)}"
            raise MalformedError(message)
        return found

    def leaf(self, index: int) -> bytes:
        """One leaf."""
        [found] = self.leaves(index, index + 1)
        return found

    def proven(self, start: int, leaves: Iterable[bytes]) -> Leaves:
        """Leaves from `start`, with the hashes that lead to the signed root."""
        row, size = tuple(leaves), self.checkpoint.size
        proof = prove_range(start, start + len(row), size, self.tree.node(size))
        return Leaves(start, row, proof)

    def row(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end), if they are few enough for a file."""
        row: list[bytes] = []
        room = MOST * 3 // 4
        for first in range(start, end, FULL):
            part = self.leaves(first, min(first + FULL, end))
            room -= sum(map(len, part))
            if room < 0:
                message = f"leaves {start} to {end} are too many for a file"
                raise UncheckedError(message)
            row += part
        return row

    def single(self, index: int) -> Leaves:
        """The same, of one."""
        return self.proven(index, [self.leaf(index)])

    def seals_before(self, index: int) -> Iterator[tuple[int, Seal]]:
        """Seals that can be read, backwards, as far as it is worth while."""
        for end in range(index, max(0, index - _BACK), -FULL):
            start = max(0, end - FULL)
            for at, leaf in reversed([*enumerate(self.leaves(start, end), start)]):
                if (seal := _seal(leaf)) is not None:
                    yield at, seal


def _seal(leaf: bytes) -> Seal | None:
    if not leaf.startswith(FIRST_BYTE):
        return None
    try:
        return Seal.parse(leaf)
    except (MalformedError, UncheckedError):
        return None
