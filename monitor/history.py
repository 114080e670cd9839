"""What a run of leaves is held against: the index over all before, and entries of it.

What the log serves is believed where it leads to a root that the log signed, or not at
all; and what is read to convict it is read in a hurry.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from monitor.index import Extension
from monitor.source import Source
from pcrlog.checkpoint import Checkpoint
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import MalformedError, TransportError, VerificationError
from pcrlog.merkle import Node

if TYPE_CHECKING:
    from pcrlog.reader import Reader

_EVIDENCE_SECONDS = 5.0
"""For the evidence of one run: what is not proven by then is told without."""


class IndexOver(Protocol):
    """The index over all leaves read; `indexing.IndexProcess` is one."""

    @property
    def size(self) -> int:
        """Leaves in it."""
        ...

    def begin(self, leaves: Sequence[bytes]) -> None:
        """Take the next leaves, and come back at once."""

    def extension(self) -> Extension:
        """What the leaves of `begin` have brought about."""
        ...

    def commit(self) -> None:
        """Keep it as it is."""

    def rollback(self) -> None:
        """Go back to the last commit."""

    def root(self) -> bytes:
        """Its root."""
        ...

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key string."""
        ...

    def statement(self, sha256: bytes) -> int | None:
        """Where a statement stands first."""
        ...

    def prove(self, key: str) -> bytes:
        """Proof of presence or absence."""
        ...

    def nodes_for(self, keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
        """The nodes that setting these keys would visit."""
        ...


class Hurried:
    """What the log serves, for some seconds: to make evidence must not delay alerts.

    A log that is asked for what convicts it answers as slowly as it can.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ends = time.monotonic() + _EVIDENCE_SECONDS
        self._nodes: dict[int, Node] = {}

    def leaves(self, start: int, end: int, size: int) -> list[bytes]:
        """See `Source.leaves`."""
        self._check()
        return self._source.leaves(start, end, size)

    def node(self, size: int) -> Node:
        """See `Source.node`."""
        node = self._nodes.setdefault(size, self._source.node(size))

        def hurried(level: int, index: int) -> bytes:
            self._check()
            return node(level, index)

        return hurried

    def _check(self) -> None:
        if time.monotonic() > self._ends:
            message = "no more time for evidence"
            raise TransportError(message)


class History:
    """Entries of before, proven to be in the tree whose leaves are being judged."""

    def __init__(self, source: Source, index: IndexOver) -> None:
        self._source = source
        self._index = index
        self._tree: Checkpoint | None = None
        self._start = 0
        self._leaves: Sequence[bytes] = ()
        self._reader: Reader | None = None

    def at(
        self,
        tree: Checkpoint | None,
        start: int = 0,
        leaves: Sequence[bytes] = (),
    ) -> None:
        """Read from `tree`, which the log signed; `leaves` from `start` are at hand."""
        self._tree, self._start, self._leaves = tree, start, leaves
        self._reader = None

    def under(self, key: str) -> tuple[int, ...]:
        """All indices under an index key, ascending."""
        return self._index.indices(key)

    def entry(self, index: int) -> Entry:
        """The statement at an index.

        Raises:
            MalformedError, UncheckedError: none that this version can read.
            TransportError, VerificationError: it could not be had.
        """
        return parse_entry(index, self._leaf(index))

    def find(self, sha256: str) -> tuple[int, bytes] | None:
        """Where a statement stands first, and its leaf."""
        index = self._index.statement(bytes.fromhex(sha256))
        return None if index is None else (index, self._leaf(index))

    def _leaf(self, index: int) -> bytes:
        at = index - self._start
        if 0 <= at < len(self._leaves):
            return self._leaves[at]
        if self._tree is None:
            message = f"entry {index}: no checkpoint is verified yet"
            raise TransportError(message)
        if self._reader is None:
            self._reader = self._source.reader()
        try:
            return self._reader.entry(index, self._tree)
        except MalformedError as error:
            # A file of another form, which says nothing of the leaf.
            message = f"entry {index} cannot be read: {error}"
            raise VerificationError(message) from error
