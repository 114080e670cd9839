"""Publishes what everybody reads: tiles, entry bundles, and /checkpoint last.

Whatever is put on the shelf is cut from log.db after the commit, and can be cut again
byte for byte (only cosignatures are other people's). The order is the promise to
readers: a checkpoint is shown when all that it covers can be read.

    tiles, entry bundles -> cosignatures -> /checkpoint -> row `published`

What a shelf is, a folder, a bucket or the database itself, changes nothing in this. A
crash after any of these steps leaves files that nobody asks for yet, or that are right;
`recover` goes through all steps again. Only if /checkpoint is ahead of log.db, or
differs, does it refuse: then log.db is an old copy, and going on would sign a second
tree of one size, a fork.

If witnesses are to cosign, `cosign` comes back when a quorum of them has, or not at
all: then nothing was shown, and the same checkpoint is published another time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from log_server.cutting import cut, kinds_of, tiles_to_serve
from log_server.ledger import Ledger
from log_server.shelf import CHECKPOINT, OvertakenError, Shelf
from log_server.store import CheckpointRow, Snapshot
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import InconsistencyError, PcrlogError, VerificationError
from pcrlog.merkle import Node
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.tiles import FULL, Tile, tiles_of


class Cosign(Protocol):
    """Has checkpoints cosigned; `witnesses.Cosigners` is one."""

    def __call__(self, note: bytes, node: Node, /) -> Sequence[str]:
        """The signature lines (without LF) of a quorum, for a signed note."""

    def heed(self) -> None:
        """Raise if a witness has said since that log.db is an old copy."""


class Publisher:
    """The one who publishes a log.

    Args:
        ledger: log.db, of which all is made.
        shelf: where to; it is closed with this.
        vkey: the log's key.
        cosign: asks witnesses and index monitors; None while the log has none.
    """

    def __init__(
        self,
        ledger: Ledger,
        shelf: Shelf,
        vkey: VerifierKey,
        cosign: Cosign | None = None,
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._vkey = vkey
        self._cosign = cosign

    def recover(self) -> None:
        """Finish what was committed and not published; do it again to be sure.

        Raises:
            InconsistencyError: what is published is not what log.db says.
        """
        snapshot = self._ledger.snapshot()
        newest = snapshot.checkpoint()
        shown = self._shelf.shown()
        if newest is None:
            if shown is not None:
                self._refuse(shown, b"", "log.db is empty")
            return
        if shown is None:
            self._publish(snapshot, newest, 0, lambda _step: None)
            return
        row = _row_of(snapshot, self._open(shown))
        if row is None:
            self._refuse(shown, newest.note, "log.db does not have it")
            return
        published = snapshot.published()
        if published is None or published[0].batch < row.batch:
            # The last run wrote the file and did not come to say so: it stands.
            self._mark_published(row, shown)
        # The tiles of the last two checkpoints, since files may be lost with the power.
        before = snapshot.checkpoint(row.batch - 1)
        previous = 0 if before is None else before.size
        if row.batch == newest.batch:
            self._put_tiles(snapshot, row.size, previous)
            self._outgrow(row.size, previous)
            self._refresh(snapshot, row)
        else:
            self._publish(snapshot, newest, previous, lambda _step: None)
        while self._shelf.sweep():
            pass

    def _refresh(self, snapshot: Snapshot, row: CheckpointRow) -> None:
        """Ask the witnesses before anything new is signed: this may be an old copy.

        What they answer is shown: it is fresher, and there may be new ones among them.
        """
        if self._cosign is not None:
            note = self._cosigned(snapshot, row)
            self._show(snapshot, row, note)
            self._mark_published(row, note)

    def heed(self) -> None:
        """Raise if a witness has said since that log.db is an old copy."""
        if self._cosign is not None:
            self._cosign.heed()

    def publish(self, step: Callable[[str], None]) -> None:
        """Publish the newest checkpoint; `step` is told after each step."""
        snapshot = self._ledger.snapshot()
        newest, published = snapshot.checkpoint(), snapshot.published()
        if newest is not None:
            previous = 0 if published is None else published[0].size
            self._publish(snapshot, newest, previous, step)

    def _publish(
        self,
        snapshot: Snapshot,
        row: CheckpointRow,
        previous: int,
        step: Callable[[str], None],
    ) -> None:
        # If nobody is to be asked, it is known already what is shown next.
        ahead = row.note if self._cosign is None else b""
        self._put_tiles(snapshot, row.size, previous, ahead)
        step("tiles-written")
        note = self._cosigned(snapshot, row)
        step("cosigned")
        self._show(snapshot, row, note)
        step("checkpoint-written")
        self._mark_published(row, note)
        step("published")
        self._outgrow(row.size, previous)
        self._shelf.sweep()

    def _mark_published(self, row: CheckpointRow, note: bytes) -> None:
        self._ledger.mark_published(row, note, synced=not self._shelf.is_asked)

    def _cosigned(self, snapshot: Snapshot, row: CheckpointRow) -> bytes:
        """The note of a checkpoint, with the lines of those who are to cosign it."""
        if self._cosign is None:
            return row.note
        lines = self._cosign(row.note, snapshot.node)
        return row.note + "".join(f"{line}\n" for line in lines).encode()

    def _show(self, snapshot: Snapshot, row: CheckpointRow, note: bytes) -> None:
        """Show a checkpoint; never one that is older than what is shown.

        Whoever had our place before may have shown late what it had committed: that is
        in log.db, and ours is newer.
        """
        try:
            self._shelf.show(note)
        except OvertakenError:
            earlier = self._row_shown(snapshot)
            if earlier is None or earlier.batch >= row.batch:
                raise
            self._shelf.show(note)

    def _row_shown(self, snapshot: Snapshot) -> CheckpointRow | None:
        """The row of what is shown at this moment, if log.db has it."""
        shown = self._shelf.shown()
        with suppress(VerificationError):
            return None if shown is None else _row_of(snapshot, self._open(shown))
        return None

    def close(self) -> None:
        """End what helps to publish."""
        self._shelf.close()

    def _open(self, shown: bytes) -> Checkpoint:
        try:
            return open_checkpoint(UnverifiedNote.parse(shown), self._vkey)
        except PcrlogError as error:
            message = (
                f"{self._where} is not this log's: {error}. If a disk spoiled it,"
                " put back a copy: clients and mirrors have one. Without any, remove it"
                " and it is made anew; then nothing tells if log.db is the newest"
            )
            raise VerificationError(message) from error

    def _refuse(self, shown: bytes, ours: bytes, why: str) -> None:
        message = (
            f"{self._where} shows what was published, but {why}: log.db is an old"
            " copy, and going on would fork the log. Bring back the newest log.db"
        )
        raise InconsistencyError(message, ours=ours, theirs=shown)

    @property
    def _where(self) -> str:
        return f"{self._shelf.where}{CHECKPOINT}"

    # --- tiles -----------------------------------------------------------------------

    def _put_tiles(
        self, snapshot: Snapshot, size: int, previous: int, ahead: bytes = b""
    ) -> None:
        """Put the tiles in place that readers of a checkpoint up to `size` may ask for.

        Each is cut when the shelf takes it; see there for `ahead`.
        """
        needed = (
            kind
            for tile, is_needed in tiles_to_serve(snapshot, size, previous)
            for kind in kinds_of(tile)
            if is_needed
        )
        self._shelf.put(((kind, cut(snapshot, kind)) for kind in needed), ahead)

    def _outgrow(self, size: int, previous: int) -> None:
        self._shelf.outgrow(_full_ones(size, previous))


def _full_ones(size: int, previous: int) -> Iterator[Tile]:
    """The tiles and entry bundles that have become full since `previous`."""
    for tile in tiles_of(size, previous):
        if tile.width == FULL:
            yield from kinds_of(tile)


def _row_of(snapshot: Snapshot, checkpoint: Checkpoint) -> CheckpointRow | None:
    """The row of a checkpoint, if it is one that log.db has signed."""
    row = snapshot.checkpoint_of_size(checkpoint.size)
    return row if row is not None and row.root == checkpoint.root else None
