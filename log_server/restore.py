"""`restore`: rebuilds log.db from what a log has published.

    checkpoint      signed by the log's key, or nothing is done
    entry bundles   copied, from the log's own files or a mirror's, and held to the root
                    that is signed, before anything is built
    log.db          each leaf judged and appended again as the sequencer did it, each
                    batch sealed again: the seal that comes out has to be the one that
                    stands in the log, byte for byte, so the index is what it was
    checkpoints     of each seal, signed again: Ed25519 signs one text in one way, so
                    these are the notes that the log has signed, and no new ones
    public/         cut from log.db; /checkpoint as it was shown, with its cosignatures

So what is restored is what was written, but for what was never published: refusals,
envelopes that said again what stood in the log, and what waited in intake.db.

It needs the log's key: without it there is nobody to go on, and the files alone are
enough to read. The checkpoint that it began from may be an old one. Nothing here can
tell; witnesses can, when the log starts (docs/operations.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from log_server.config import SETTINGS, Config, Settings
from log_server.creation import (
    create_databases,
    make_folders,
    write_new,
    write_secret,
)
from log_server.direct import exclusively
from log_server.intake import Waiting
from log_server.ledger import Ledger
from log_server.progress import Progress
from log_server.publisher import kinds_of, tiles_to_serve
from log_server.repair import place, write_tiles
from log_server.sequencer import sequence
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import sha256
from pcrlog.errors import TransportError, UsageError, VerificationError
from pcrlog.merkle import Range, leaf_hash
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.reader import AbsentError, Fetch
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, MAX_ENTRY, Tile, encode_bundle, parse_bundle

_BUNDLE = FULL * (MAX_ENTRY + 2)
_TIDY_AFTER = 128
"""Batches, as in the sequencer."""


@dataclass(frozen=True, slots=True)
class Told:
    """Is told how far it is: leaves copied and verified, then leaves in log.db."""

    copied: Callable[[int, int], None] = lambda _done, _size: None
    built: Callable[[int, int], None] = lambda _done, _size: None


class Folder:
    """The files of a log in a folder, as a `Fetch`: `public` itself, or what has it."""

    def __init__(self, folder: Path) -> None:
        public = folder / "public"
        self._folder = public if (public / "checkpoint").is_file() else folder

    def __call__(self, path: str, most: int, /) -> bytes:
        """The bytes of a file."""
        try:
            with (self._folder / path).open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError as error:
            message = f"{self._folder / path} is missing"
            raise AbsentError(message) from error
        except OSError as error:
            message = f"{self._folder / path}: {error.strerror}"
            raise TransportError(message) from error
        if len(data) > most:
            message = f"{self._folder / path} has over {most} bytes"
            raise TransportError(message)
        return data


def restore(
    directory: Path,
    fetch: Fetch,
    signer: NoteSigner,
    settings: Settings | None = None,
    told: Told = Told(),
) -> Config:
    """Rebuild a log in `directory`, which must be new or empty.

    Args:
        directory: where to.
        fetch: the files of the log; nothing that it gives is believed.
        signer: the log's key.
        settings: of the log; by default those of a new one, which asks no witnesses.
        told: how far it is.

    Raises:
        UsageError: the folder is not empty, or settings and key are of two logs.
        VerificationError: the files are not what the key has signed, or hold what this
            version would not have taken.
        TransportError: a file is missing, or cannot be had.
    """
    origin = signer.public.name
    settings = settings or Settings(origin)
    if settings.origin != origin:
        message = f"the key is of {origin}, the settings are of {settings.origin}"
        raise UsageError(message)
    if directory.exists() and any(directory.iterdir()):
        message = f"{directory} is not empty; restore into a folder of its own"
        raise UsageError(message)
    note = fetch("checkpoint", limits.NOTE)
    checkpoint = open_checkpoint(UnverifiedNote.parse(note), signer.public)
    config = Config(directory, settings)
    make_folders(config)
    with exclusively(config):
        _copy_entries(fetch, checkpoint, config.public, told.copied)
        write_new(directory / "log.vkey", f"{signer.public}\n".encode())
        write_secret(config.log_key, f"{signer.skey()}\n".encode())
        create_databases(config, signer)
        _build(config, checkpoint, note, signer, told.built)
        # Last, as `init` does it: a folder without settings is no log.
        write_new(directory / SETTINGS, settings.toml())
    return config


# --- the files ------------------------------------------------------------------------


def _copy_entries(
    fetch: Fetch,
    checkpoint: Checkpoint,
    public: Path,
    told: Callable[[int, int], None],
) -> None:
    """Copy all entry bundles of a checkpoint, and hold them to its root.

    Before anything is signed: what a key signs must be of the log's one history.
    """
    tree = Range()
    for tile in _bundles(checkpoint.size):
        entries = _entries(fetch, tile)
        for entry in entries:
            tree.append(leaf_hash(entry))
        place(public / tile.path(), encode_bundle(entries))
        told(tree.size, checkpoint.size)
    if tree.root() != checkpoint.root:
        message = (
            f"the entries do not make the tree of {checkpoint.size} leaves that the log"
            " has signed: these files are damaged, or of another log. Take others"
        )
        raise VerificationError(message)


def _bundles(size: int) -> Iterator[Tile]:
    for start in range(0, size, FULL):
        yield Tile(None, start // FULL, min(FULL, size - start))


def _entries(fetch: Fetch, tile: Tile) -> tuple[bytes, ...]:
    try:
        return parse_bundle(fetch(tile.path(), _BUNDLE), tile.width)
    except AbsentError:
        # A partial one may be dropped once the full one is there.
        if tile.width == FULL:
            raise
    full = Tile(None, tile.index)
    return parse_bundle(fetch(full.path(), _BUNDLE), FULL)[: tile.width]


# --- log.db ---------------------------------------------------------------------------


def _build(
    config: Config,
    checkpoint: Checkpoint,
    note: bytes,
    signer: NoteSigner,
    told: Callable[[int, int], None],
) -> None:
    """Append all leaves, batch by batch, and cut all files."""
    ledger = Ledger(config.log_db, signer.public)
    try:
        _Rebuilding(ledger, signer).run(config.public, checkpoint, told)
        snapshot = ledger.snapshot()
        row = snapshot.checkpoint_of_size(checkpoint.size)
        if row is None or row.root != checkpoint.root or not note.startswith(row.note):
            message = (
                f"log.db came out with another checkpoint of {checkpoint.size} leaves"
                " than the one that is shown"
            )
            raise VerificationError(message)
        tiles = (
            kind
            for tile, needed in tiles_to_serve(snapshot, row.size)
            for kind in kinds_of(tile)
            if needed
        )
        write_tiles(snapshot, config.public, tiles)
        place(config.public / "checkpoint", note)
        ledger.mark_published(row, note)
    finally:
        ledger.close()


class _Rebuilding:
    """Goes through the leaves as the sequencer did, one batch a seal."""

    def __init__(self, ledger: Ledger, signer: NoteSigner) -> None:
        self._ledger = ledger
        self._signer = signer
        self._progress = Progress.load(ledger.snapshot())
        # As if all had come through intake.db: what comes there next is counted on.
        self._ids = count(1)

    def run(
        self, public: Path, checkpoint: Checkpoint, told: Callable[[int, int], None]
    ) -> None:
        """Append the leaves whose bundles lie in `public`."""
        rows: list[Waiting] = []
        for tile in _bundles(checkpoint.size):
            data = (public / tile.path()).read_bytes()
            for leaf in parse_bundle(data, tile.width):
                if leaf.startswith(b"p"):
                    self._append(rows, leaf)
                    rows = []
                else:
                    # Whether a conflict was meant is not on record; it was taken.
                    row = Waiting(next(self._ids), leaf, sha256(leaf), True)  # noqa: FBT003 - a row
                    rows.append(row)
            told(self._progress.tree.size, checkpoint.size)
        if rows:
            message = "the last leaf is not a seal: this is no checkpoint of a log"
            raise VerificationError(message)

    def _append(self, rows: list[Waiting], leaf: bytes) -> None:
        progress, seal = self._progress, Seal.parse(leaf)
        first = progress.tree.size
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
        text = batch.sealed.checkpoint.text()
        self._ledger.append(batch, bytes(self._signer.sign(text)))
        progress.advance(batch)
        if progress.batch % _TIDY_AFTER == 0:
            self._ledger.tidy()
