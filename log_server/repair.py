"""`fsck --repair`: makes published files anew from log.db, and nothing else.

It signs nothing and changes no database. Before it writes, log.db is checked from its
leaves alone: what is wrong there would only spread. Tiles and entry bundles are put in
place one by one, so that may be done beside a running `serve`; /checkpoint is the
sequencer's, so it is written only while no `serve` runs.

It refuses to put an older checkpoint in the place of a newer one, which is all that
tells on this disk that log.db is an old copy.
"""

import functools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from log_server.comparison import Comparison
from log_server.config import Config
from log_server.cutting import cut
from log_server.databases import log_database
from log_server.direct import alone
from log_server.fsck import check_database, note_of
from log_server.lease import LockedError
from log_server.placing import Placer
from log_server.shelf import CHECKPOINT, Shelf
from log_server.shelves import open_shelf
from log_server.store import CheckpointRow, Snapshot, Store
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import printable
from pcrlog.errors import InconsistencyError, PcrlogError
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.tiles import Tile

_GROUP = 64
"""Tiles written at once: a whole log is written anew in bounded memory."""


@dataclass
class Repaired:
    """What was done: `files`, by their paths below `where`; `left` is what was not.

    `wrong` is what is wrong with log.db: then nothing was done.
    """

    where: str
    leaves: int = 0
    files: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def repair(
    config: Config, progress: Callable[[int], None] = lambda _done: None
) -> Repaired:
    """Make anew what is missing or damaged in public/, or in the bucket.

    Args:
        config: which log.
        progress: is told how many leaves of log.db are checked.

    Raises:
        InconsistencyError: /checkpoint shows what log.db does not have.
        OSError: a file cannot be written.
    """
    vkey = config.vkey()
    with ExitStack() as stack:
        store = Store(log_database(config))
        stack.callback(store.close)
        note = functools.partial(note_of, store)
        shelf = open_shelf(config, note, repairing=True)
        stack.callback(shelf.close)
        # Before the database, since a running `serve` moves both on.
        shown = shelf.shown() or b""
        with store.committed() as snapshot:
            findings = check_database(snapshot, vkey, progress)
            done = Repaired(shelf.where, findings.leaves, wrong=findings.wrong)
            if not done.wrong and shelf.is_apart:
                row = _row_shown(snapshot, vkey, shown, f"{shelf.where}{CHECKPOINT}")
                _repair_files(config, snapshot, shelf, row, shown, done)
    return done


def _repair_files(
    config: Config,
    snapshot: Snapshot,
    shelf: Shelf,
    row: CheckpointRow | None,
    shown: bytes,
    done: Repaired,
) -> None:
    where = f"{shelf.where}{CHECKPOINT}"
    published = snapshot.published()
    if row is None and published is None:
        done.left.append(f"{where}: nothing was published yet; start `serve`")
        return
    size = row.size if row is not None else 0
    if published is not None:
        size = max(size, published[0].size)
    wrong = [tile for tile, _ in Comparison(snapshot, shelf).wrong_tiles(size)]
    shelf.put((tile, cut(snapshot, tile)) for tile in wrong)
    done.files += [tile.path() for tile in wrong]
    if row is None and published is not None:
        try:
            with alone(config):
                _show(shelf, shown, published[1], done)
        except LockedError:
            done.left.append(
                f"{where}: a `serve` runs, and writes it with the next"
                " checkpoint; or stop it, and repair again"
            )


def _show(shelf: Shelf, seen: bytes, note: bytes, done: Repaired) -> None:
    """Show a checkpoint in the place of what was `seen`, if that is still there."""
    if (shelf.shown() or b"") == seen:
        shelf.show(note)
        done.files.append(CHECKPOINT)
    else:
        where = f"{shelf.where}{CHECKPOINT}"
        done.left.append(f"{where}: it was written meanwhile; repair again")


def write_tiles(snapshot: Snapshot, public: Path, tiles: Iterable[Tile]) -> list[str]:
    """Put tiles and entry bundles in place, cut from log.db; their paths."""
    placer, todo, paths = Placer("repaired"), iter(tiles), list[str]()
    try:
        while group := list(islice(todo, _GROUP)):
            files = {public / tile.path(): cut(snapshot, tile) for tile in group}
            placer.write(files)
            placer.name(files)
            paths += [tile.path() for tile in group]
    finally:
        placer.close()
    return paths


def place(path: Path, data: bytes) -> None:
    """Put one file in place."""
    placer = Placer("repaired")
    placer.write({path: data})
    placer.name([path])
    placer.close()


def _row_shown(
    snapshot: Snapshot, vkey: VerifierKey, shown: bytes, where: str
) -> CheckpointRow | None:
    """The row of the checkpoint that is shown `where`; None: it is missing, or spoiled.

    Raises:
        InconsistencyError: it is newer than log.db, or of another history or log. What
            it says counts although its signature may be spoiled: to refuse too often
            costs a look, to refuse too seldom the log.
    """
    newest = snapshot.checkpoint()
    ours = b"" if newest is None else newest.note
    try:
        note = UnverifiedNote.parse(shown)
        said = Checkpoint.parse(note.text)
    except PcrlogError:
        return None
    # Of a note that was spoiled one of the two is right.
    if said.origin != vkey.name and all(line.name != vkey.name for line in note.lines):
        message = (
            f"{where} is of {printable(said.origin)}, not of {vkey.name}: two logs"
            " publish there. Let each have a place of its own; nothing was repaired"
        )
        raise InconsistencyError(message, ours=ours, theirs=shown)
    row = snapshot.checkpoint_of_size(said.size)
    try:
        open_checkpoint(note, vkey)
    except PcrlogError:
        if row is not None:
            return None
    if row is None or row.root != said.root:
        message = (
            f"{where} shows {said.size} leaves, and log.db does not have that"
            " checkpoint: log.db is an old copy. Bring back the newest log.db; nothing"
            " was repaired"
        )
        raise InconsistencyError(message, ours=ours, theirs=shown)
    return row
