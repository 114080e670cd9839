"""Writes the files that everybody reads: tiles, entry bundles, and /checkpoint last.

Whatever is written here is cut from log.db after the commit, and can be cut again byte
for byte (only cosignatures are other people's). The order is the promise to readers: a
checkpoint is shown when all that it covers can be read.

    tiles, entry bundles -> cosignatures -> /checkpoint -> row `published`

A crash after any of these steps leaves files that nobody asks for yet, or that are
right; `recover` goes through all steps again. Only if /checkpoint is ahead of log.db,
or differs, does it refuse: then log.db is an old copy, and going on would sign a second
tree of one size, a fork.

If witnesses are to cosign, `cosign` comes back when a quorum of them has, or not at
all: then nothing was shown, and the same checkpoint is published another time.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from log_server.ledger import Ledger
from log_server.placing import Placer
from log_server.store import CheckpointRow, Snapshot
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import InconsistencyError, PcrlogError, VerificationError
from pcrlog.merkle import HASH_SIZE, Node
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.tiles import FULL, HEIGHT, Tile, encode_bundle, tiles_of

_REMOVED_AT_ONCE = 8
_GROUP = 64
"""Tiles written at once: a whole log is written anew in bounded memory."""


class Cosign(Protocol):
    """Has checkpoints cosigned; `witnesses.Cosigners` is one."""

    def __call__(self, note: bytes, node: Node, /) -> Sequence[str]:
        """The signature lines (without LF) of a quorum, for a signed note."""

    def heed(self) -> None:
        """Raise if a witness has said since that log.db is an old copy."""


class Publisher:
    """The one writer of the folder `public`.

    Args:
        ledger: log.db, of which all is made.
        public: the folder.
        vkey: the log's key.
        cosign: asks witnesses and index monitors; None while the log has none.
    """

    def __init__(
        self,
        ledger: Ledger,
        public: Path,
        vkey: VerifierKey,
        cosign: Cosign | None = None,
    ) -> None:
        self._ledger = ledger
        self._public = public
        self._vkey = vkey
        self._cosign = cosign
        self._placer = Placer()
        # Folders of partial tiles whose full tile stands. A crash leaves them, which
        # costs space alone: nobody asks for those files.
        self._outgrown: list[Path] = []

    def recover(self) -> None:
        """Finish what was committed and not published; do it again to be sure.

        Raises:
            InconsistencyError: what is published is not what log.db says.
        """
        snapshot = self._ledger.snapshot()
        newest = snapshot.checkpoint()
        shown = self._shown()
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
            self._ledger.mark_published(row, shown)
        # The tiles of the last two checkpoints, since files may be lost with the power.
        before = snapshot.checkpoint(row.batch - 1)
        previous = 0 if before is None else before.size
        if row.batch == newest.batch:
            self._write_tiles(snapshot, row.size, previous)
            self._note_outgrown(row.size, previous)
            self._refresh(snapshot, row)
        else:
            self._publish(snapshot, newest, previous, lambda _step: None)
        while self._outgrown:
            self._remove_some()

    def _refresh(self, snapshot: Snapshot, row: CheckpointRow) -> None:
        """Ask the witnesses before anything new is signed: this may be an old copy.

        What they answer is shown: it is fresher, and there may be new ones among them.
        """
        if self._cosign is not None:
            note = self._write_cosigned(snapshot, row)
            self._placer.name([self._public / "checkpoint"])
            self._ledger.mark_published(row, note)

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
        shown = self._public / "checkpoint"
        note = row.note
        # If nobody is to be asked, it goes to disk with the tiles: two files take as
        # long as one. It gets its name after them in any case.
        early = {shown: note} if self._cosign is None else {}
        self._write_tiles(snapshot, row.size, previous, early)
        step("tiles-written")
        if self._cosign is not None:
            note = self._write_cosigned(snapshot, row)
        step("cosigned")
        self._placer.name([shown])
        step("checkpoint-written")
        self._ledger.mark_published(row, note)
        step("published")
        self._note_outgrown(row.size, previous)
        self._remove_some()

    def _write_cosigned(self, snapshot: Snapshot, row: CheckpointRow) -> bytes:
        """Have a checkpoint cosigned; its note is on disk then, under no name yet."""
        cosign = self._cosign
        lines = [] if cosign is None else cosign(row.note, snapshot.node)
        note = row.note + "".join(f"{line}\n" for line in lines).encode()
        self._placer.write({self._public / "checkpoint": note})
        return note

    def close(self) -> None:
        """End what helps to write."""
        self._placer.close()

    def _shown(self) -> bytes | None:
        try:
            return (self._public / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None

    def _open(self, shown: bytes) -> Checkpoint:
        try:
            return open_checkpoint(UnverifiedNote.parse(shown), self._vkey)
        except PcrlogError as error:
            message = (
                f"public/checkpoint is not this log's: {error}. If a disk spoiled it,"
                " put back a copy: clients and mirrors have one. Without any, remove it"
                " and it is made anew; then nothing tells if log.db is the newest"
            )
            raise VerificationError(message) from error

    def _refuse(self, shown: bytes, ours: bytes, why: str) -> None:
        message = (
            f"public/checkpoint shows what was published, but {why}: log.db is an old"
            " copy, and going on would fork the log. Bring back the newest log.db"
        )
        raise InconsistencyError(message, ours=ours, theirs=shown)

    # --- files -----------------------------------------------------------------------

    def _write_tiles(
        self,
        snapshot: Snapshot,
        size: int,
        previous: int,
        beside: Mapping[Path, bytes] = MappingProxyType({}),
    ) -> None:
        """Put the tiles in place that readers of a checkpoint up to `size` may ask for.

        The files `beside` them are written with the last ones, and get no name yet.
        """
        needed = [
            kind
            for tile, is_needed in tiles_to_serve(snapshot, size, previous)
            for kind in kinds_of(tile)
            if is_needed
        ]
        for start in range(0, len(needed), _GROUP):
            group = needed[start : start + _GROUP]
            files = {self._public / t.path(): cut(snapshot, t) for t in group}
            last = start + _GROUP >= len(needed)
            self._placer.write({**files, **beside} if last else files)
            self._placer.name(files)

    def _note_outgrown(self, size: int, previous: int) -> None:
        full = [tile for tile in tiles_of(size, previous) if tile.width == FULL]
        for kind in (kind for tile in full for kind in kinds_of(tile)):
            self._outgrown.append(self._public / f"{kind.path()}.p")

    def _remove_some(self) -> None:
        """Remove a few of the partial tiles of tiles that have become full.

        All at once, up to 510 files, would hold up the next batch. A reader that still
        wants one falls back to the full tile (C2SP tlog-tiles).
        """
        left = _REMOVED_AT_ONCE
        while left and self._outgrown:
            folder = self._outgrown[0]
            found = list(islice(folder.iterdir(), left)) if folder.is_dir() else []
            for path in found:
                path.unlink()
            left -= len(found)
            if left:
                shutil.rmtree(folder, ignore_errors=True)
                del self._outgrown[0]


def tiles_to_serve(
    snapshot: Snapshot, size: int, previous: int = 0
) -> Iterator[tuple[Tile, bool]]:
    """Every hash tile of the checkpoints above `previous` and up to `size` leaves.

    And whether it must be served still: a partial tile may go when the full one stands.
    """
    for checkpoint in snapshot.checkpoints(previous):
        if checkpoint.size > size:
            return
        for tile in tiles_of(checkpoint.size, previous):
            full_tiles = size >> HEIGHT * ((tile.level or 0) + 1)
            yield tile, tile.width == FULL or tile.index >= full_tiles
        previous = checkpoint.size


def kinds_of(tile: Tile) -> tuple[Tile, ...]:
    """A hash tile and, for one of level 0, the entry bundle beside it."""
    if tile.level == 0:
        return tile, Tile(None, tile.index, tile.width)
    return (tile,)


def cut(snapshot: Snapshot, tile: Tile) -> bytes:
    """The bytes of a hash tile or an entry bundle, from log.db."""
    if tile.level is not None:
        return snapshot.tile(tile.level, tile.index)[: tile.width * HASH_SIZE]
    start = tile.index * FULL
    leaves = snapshot.leaves(start, start + tile.width)
    return encode_bundle([leaf for _, leaf in leaves])


def _row_of(snapshot: Snapshot, checkpoint: Checkpoint) -> CheckpointRow | None:
    """The row of a checkpoint, if it is one that log.db has signed."""
    row = snapshot.checkpoint_of_size(checkpoint.size)
    return row if row is not None and row.root == checkpoint.root else None
