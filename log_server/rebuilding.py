"""Makes log.db from what a log has published, leaf by leaf: for restore and standby.

    entry bundles   copied into public/, and held to the root that is signed, before
                    anything is built from them
    log.db          each leaf judged and appended again as the sequencer did it, each
                    batch sealed again: the seal that comes out has to be the one that
                    stands in the log, byte for byte, so the index is what it was

A log.db that has leaves already goes on behind them: that the leaves which it has and
those that are copied make the signed root proves that both are of one history. A crash
leaves whole batches, and bundles, which the next run takes up or copies again.

Each batch has a checkpoint, and what is signed of it is for the caller to say: who has
the log's key signs again, who has not leaves it open (`unsigned`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from log_server.intake import Waiting
from log_server.ledger import Ledger
from log_server.placing import Placer
from log_server.progress import Progress
from log_server.sequencer import sequence
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.merkle import Range, leaf_hash
from pcrlog.reader import AbsentError, Fetch
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, MAX_ENTRY, Tile, encode_bundle, parse_bundle

_BUNDLE = FULL * (MAX_ENTRY + 2)
_GROUP, _GROUP_BYTES = 64, 32 << 20
"""Bundles written at once, and so many bytes: a source may send full ones."""
_TIDY_AFTER = 128
"""Batches, as in the sequencer."""

Told = Callable[[int, int], None]
"""Is told how many leaves of how many are done; may raise to end it there."""
Sign = Callable[[Checkpoint], bytes]
"""The note of a batch's checkpoint."""


class RootError(VerificationError):
    """The entries do not make the tree that is signed."""


def unsigned(checkpoint: Checkpoint) -> bytes:
    """A checkpoint's note before the log's key is there: no signature line yet."""
    return f"{checkpoint.text()}\n".encode()


def is_unsigned(note: bytes) -> bool:
    """Whether a note is one of `unsigned`."""
    return note.endswith(b"\n\n")


# --- the files ------------------------------------------------------------------------


def bundles(size: int, start: int = 0) -> Iterator[Tile]:
    """The entry bundles of a tree of `size` leaves that have leaves from `start` on."""
    for first in range(start - start % FULL, size, FULL):
        yield Tile(None, first // FULL, min(FULL, size - first))


def read_bundle(fetch: Fetch, tile: Tile) -> tuple[bytes, ...]:
    """The entries of a bundle.

    Raises:
        AbsentError, TransportError: it cannot be had.
        MalformedError: it has another form.
    """
    try:
        return parse_bundle(fetch(tile.path(), _BUNDLE), tile.width)
    except AbsentError:
        # A partial one may be dropped once the full one is there.
        if tile.width == FULL:
            raise
    full = Tile(None, tile.index)
    return parse_bundle(fetch(full.path(), _BUNDLE), FULL)[: tile.width]


@dataclass(slots=True)
class Copying:
    """Copies entry bundles into `public`, behind the leaves of `tree`.

    Attributes:
        public: where to.
        fetch: where from; nothing that it gives is believed.
        told: how far it is.
        reuse: take full bundles that lie in `public` already: an earlier run, which was
            interrupted, copied them. They count for as little as those that come.
    """

    public: Path
    fetch: Fetch
    told: Told = lambda _done, _size: None
    reuse: bool = False

    def run(self, checkpoint: Checkpoint, tree: Range) -> None:
        """Copy what `checkpoint` has and `tree` has not, and hold both to its root.

        Raises:
            RootError: they make another tree; what was copied stays where it is.
            TransportError: a bundle is missing, or cannot be had.
        """
        tree = Range(tree.size, tree.subtrees)
        files: dict[Path, bytes] = {}
        placer = Placer("copied")
        try:
            for tile in bundles(checkpoint.size, tree.size):
                entries = self._entries(tile, files)
                for entry in entries[tree.size - FULL * tile.index :]:
                    tree.append(leaf_hash(entry))
                self.told(tree.size, checkpoint.size)
                held = sum(map(len, files.values()))
                is_last = tree.size == checkpoint.size
                if len(files) >= _GROUP or held >= _GROUP_BYTES or is_last:
                    placer.write(files)
                    placer.name(files)
                    files.clear()
        finally:
            placer.close()
        if tree.root() != checkpoint.root:
            message = (
                f"the entries do not make the tree of {checkpoint.size} leaves that"
                " the log has signed: these files are damaged, or of another log. Take"
                " others"
            )
            raise RootError(message)

    def _entries(self, tile: Tile, files: dict[Path, bytes]) -> tuple[bytes, ...]:
        path = self.public / tile.path()
        if self.reuse and tile.width == FULL and path.is_file():
            try:
                return parse_bundle(path.read_bytes(), FULL)
            except MalformedError:
                pass
        entries = read_bundle(self.fetch, tile)
        files[path] = encode_bundle(entries)
        return entries


# --- log.db ---------------------------------------------------------------------------


class Rebuilding:
    """Goes through the leaves as the sequencer did, one batch a seal.

    If a method raises, `ledger` stands where the last batch ends, and this is of no
    more use: the authority in memory may be ahead.

    Args:
        ledger: log.db.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.progress = Progress.load(ledger.snapshot())
        # As if all had come through intake.db: what comes there next is counted on.
        self._ids = count(self.progress.taken + 1)

    def run(self, public: Path, checkpoint: Checkpoint, sign: Sign, told: Told) -> None:
        """Append the leaves up to a checkpoint, whose bundles lie in `public`.

        Args:
            public: the folder.
            checkpoint: the leaves in the bundles have its root.
            sign: see `Sign`.
            told: how far it is, after each batch.

        Raises:
            VerificationError: they are not what this version would have taken.
        """
        rows: list[Waiting] = []
        start = self.progress.tree.size
        for tile in bundles(checkpoint.size, start):
            data = (public / tile.path()).read_bytes()
            leaves = parse_bundle(data, tile.width)
            for leaf in leaves[max(0, start - FULL * tile.index) :]:
                if leaf.startswith(b"p"):
                    self._append(rows, leaf, sign)
                    rows = []
                    told(self.progress.tree.size, checkpoint.size)
                else:
                    # Whether a conflict was meant is not on record; it was taken.
                    row = Waiting(next(self._ids), leaf, sha256(leaf), True)  # noqa: FBT003 - a row
                    rows.append(row)
        if rows:
            message = "the last leaf is not a seal: this is no checkpoint of a log"
            raise VerificationError(message)

    def _append(self, rows: list[Waiting], leaf: bytes, sign: Sign) -> None:
        progress, seal = self.progress, Seal.parse(leaf)
        first = progress.tree.size
        if progress.frozen:
            message = f"entry {first}: the log ended before it, and nothing follows"
            raise VerificationError(message)
        batch = sequence(
            self._ledger.snapshot(),
            progress,
            rows,
            seal.time,
            idle_seal=True,
            freeze=seal.frozen,
        )
        for index, decision in enumerate(batch.decisions, first):
            if decision.index != index:
                why = decision.detail or f"it stands at {decision.index} already"
                message = f"entry {index} would not have been taken: {why}"
                raise VerificationError(message)
        if batch.sealed is None or batch.leaves[-1].leaf != leaf:
            message = (
                f"entry {seal.count}: the seal is not the one that these leaves make:"
                " its place, its time, or its index root is another"
            )
            raise VerificationError(message)
        self._ledger.append(batch, sign(batch.sealed.checkpoint))
        progress.advance(batch)
        if progress.batch % _TIDY_AFTER == 0:
            self._ledger.tidy()
