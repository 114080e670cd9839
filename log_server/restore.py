"""`restore`: rebuilds log.db from what a log has published.

    checkpoint      signed by the log's key, or nothing is done
    entry bundles   copied, from the log's own files or a mirror's, and held to the root
                    that is signed; then log.db, leaf by leaf (`rebuilding`)
    checkpoints     of each seal, signed again: Ed25519 signs one text in one way, so
                    these are the notes that the log has signed, and no new ones
    public/         cut from log.db; /checkpoint as it was shown, with its cosignatures

So what is restored is what was written, but for what was never published: refusals,
envelopes that said again what stood in the log, and what waited in intake.db.

It needs the log's key: without it there is nobody to go on, and the files alone are
enough to read. The checkpoint that it began from may be an old one. Nothing here can
tell; witnesses can, when the log starts (docs/operations.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from log_server.config import Config, Settings
from log_server.creation import (
    create_databases,
    make_folders,
    write_new,
    write_secret,
    write_settings,
)
from log_server.cutting import kinds_of, tiles_to_serve
from log_server.databases import log_database
from log_server.direct import exclusively
from log_server.ledger import Ledger
from log_server.rebuilding import Copying, Rebuilding
from log_server.repair import place, write_tiles
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import UsageError, VerificationError
from pcrlog.merkle import Range
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.reader import Fetch


@dataclass(frozen=True, slots=True)
class Told:
    """Is told how far it is: leaves copied and verified, then leaves in log.db."""

    copied: Callable[[int, int], None] = lambda _done, _size: None
    built: Callable[[int, int], None] = lambda _done, _size: None


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
        # Before anything is signed: what a key signs must be of the log's one history.
        Copying(config.public, fetch, told.copied).run(checkpoint, Range())
        write_new(directory / "log.vkey", f"{signer.public}\n".encode())
        write_secret(config.log_key, f"{signer.skey()}\n".encode())
        create_databases(config, signer.public)
        _build(config, checkpoint, note, signer, told.built)
        # Last, as `init` does it: a folder without settings is no log.
        write_settings(config)
    return config


# --- log.db ---------------------------------------------------------------------------


def _build(
    config: Config,
    checkpoint: Checkpoint,
    note: bytes,
    signer: NoteSigner,
    told: Callable[[int, int], None],
) -> None:
    """Append all leaves, batch by batch, and cut all files."""
    ledger = Ledger(log_database(config), signer.public)

    def sign(one: Checkpoint) -> bytes:
        return bytes(signer.sign(one.text()))

    try:
        Rebuilding(ledger).run(config.public, checkpoint, sign, told)
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
