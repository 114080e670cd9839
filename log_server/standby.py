"""`standby`: follows a log, and holds all that another machine needs to go on with it.

Each look asks for /checkpoint, holds its signature and its tree against what is here,
and takes what is new. Nothing that the source gives is believed: leaves count when they
make the root that is signed, behind the leaves that are here. What does not lead there
is not taken, and asked for again; two roots that cannot both be end it (4), with
evidence in DIR/evidence. A checkpoint that is larger is kept in run/following before it
is built from, so that whoever promotes can finish what was copied.

It may be killed at any moment: files are put in place whole, batches are transactions.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from log_server.config import Config
from log_server.contradictions import Signed, keep_evidence, proof_of_fork
from log_server.databases import log_database
from log_server.folder import FolderShelf
from log_server.ledger import Ledger
from log_server.publisher import Publisher
from log_server.rebuilding import (
    Copying,
    Rebuilding,
    RootError,
    is_unsigned,
    unsigned,
)
from log_server.repair import place
from log_server.standby_folder import following
from log_server.store import CheckpointRow, Decision
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import InconsistencyError, UsageError, VerificationError
from pcrlog.evidence import bare_note
from pcrlog.merkle import Node, Proof, prove_prefix, range_root
from pcrlog.note import UnverifiedNote
from pcrlog.reader import Fetch

_ROWS = 500
Told = Callable[[str, int, int], None]
"""Is told what is done, and how many leaves of how many; may raise to end it."""


NEW_STANDBY = (
    "it is of no more use if another machine went on; make a new standby in another"
    " folder"
)


class BehindError(VerificationError):
    """The source shows less than it has shown: an old copy, or a slow mirror."""


class _Shown:
    """The `publisher.Cosign` of a standby: the lines of others that stand there."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, _note: bytes, _node: Node, /) -> list[str]:
        return self.lines

    def heed(self) -> None:
        """Nobody is asked here."""


class Standby:
    """A standby that is followed with; whoever makes one holds the folder's lock.

    Args:
        config: of `load_standby`.
        told: how far it is.
    """

    def __init__(
        self, config: Config, told: Told = lambda _what, _done, _size: None
    ) -> None:
        self._config = config
        self._told = told
        self._vkey = config.vkey()
        self._ledger = Ledger(log_database(config), self._vkey)
        self._shown = _Shown()
        self._publisher = Publisher(
            self._ledger, FolderShelf(config.public), self._vkey, self._shown
        )
        self._rebuilding: Rebuilding | None = None
        # What the last checkpoint was, in the bytes that came: mostly it is the same.
        self._last = b""

    @property
    def held(self) -> CheckpointRow | None:
        """The newest checkpoint that is in log.db."""
        return self._ledger.snapshot().checkpoint()

    def look(self, fetch: Fetch, *, shown: bool = True) -> Checkpoint:
        """Ask the source once, and take what is new; the checkpoint that it shows.

        Args:
            fetch: the source.
            shown: whether its checkpoint was shown to everybody; if not, it is held
                here, and `promote` has it cosigned.

        Raises:
            InconsistencyError: it is of another history; there is evidence.
            BehindError: it has fewer leaves than are here.
            VerificationError: what came is not what was signed; nothing was taken.
            TransportError: nothing came.
            UsageError: it was promoted half-way, and follows nobody any more.
        """
        if has_own_seal(self._config, self.held):
            message = (
                "this standby was promoted half-way, and has a seal that the log has"
                f" not shown: {NEW_STANDBY}; or, if no other machine went on, promote"
                " this one again"
            )
            raise UsageError(message)
        note = fetch("checkpoint", limits.NOTE)
        checkpoint = open_checkpoint(UnverifiedNote.parse(note), self._vkey)
        if note == self._last:
            return checkpoint
        held = self.held
        size = 0 if held is None else held.size
        if checkpoint.size > size:
            self._copy(fetch, checkpoint, note)
            self._build(checkpoint, note)
        else:
            self._compare(checkpoint, note)
        if shown and checkpoint.size > self._ledger.snapshot().published_size():
            self._publish(note)
        self._last = note
        return checkpoint

    def finish(self) -> None:
        """Build what was copied and verified, and not built when it was killed."""
        path = following(self._config)
        if path.is_file():
            note = path.read_bytes()
            checkpoint = open_checkpoint(UnverifiedNote.parse(note), self._vkey)
            held = self.held
            if held is None or checkpoint.size > held.size:
                self._build(checkpoint, note)

    def adopt(self, refusals: Iterable[Decision]) -> None:
        """Take over what a dead machine has refused, from its log.db."""
        todo = iter(refusals)
        while group := list(islice(todo, _ROWS)):
            self._ledger.adopt(group)

    def rest(self) -> None:
        """Move what was written into log.db: when nothing is new."""
        self._ledger.tidy()

    def close(self) -> None:
        """Close what is open."""
        self._publisher.close()
        self._ledger.close()

    # --- taking ----------------------------------------------------------------------

    def _rebuild(self) -> Rebuilding:
        if self._rebuilding is None:
            self._rebuilding = Rebuilding(self._ledger)
        return self._rebuilding

    def _copy(self, fetch: Fetch, checkpoint: Checkpoint, note: bytes) -> None:
        """Copy and verify the leaves up to a checkpoint, and keep it then."""
        tree = self._rebuild().progress.tree
        copying = Copying(self._config.public, fetch, self._copied, reuse=True)
        try:
            try:
                copying.run(checkpoint, tree)
            except RootError:
                # Perhaps it is what an earlier run left that is wrong.
                copying.reuse = False
                copying.run(checkpoint, tree)
        except RootError:
            self._accuse(fetch, Signed(checkpoint, note))
            raise
        place(following(self._config), note)

    def _build(self, checkpoint: Checkpoint, note: bytes) -> None:
        ours = bare_note(note, self._vkey)[1].encode()

        def sign(one: Checkpoint) -> bytes:
            return ours if one == checkpoint else unsigned(one)

        rebuilding = self._rebuild()
        # Whatever ends it, the authority in memory may be ahead of log.db.
        self._rebuilding = None
        rebuilding.run(self._config.public, checkpoint, sign, self._built)
        self._rebuilding = rebuilding

    def _copied(self, done: int, size: int) -> None:
        self._told("copied and verified", done, size)

    def _built(self, done: int, size: int) -> None:
        self._told("in log.db", done, size)

    def _publish(self, note: bytes) -> None:
        key = self._vkey
        self._shown.lines = [
            str(line)
            for line in UnverifiedNote.parse(note).lines
            if (line.name, line.key_hash) != (key.name, key.key_hash)
        ]
        self._publisher.publish(lambda _step: None)

    # --- what cannot be --------------------------------------------------------------

    def _kept(self) -> Signed | None:
        """The newest checkpoint that was verified here, as the log signed it.

        Somebody may have removed run/; log.db has it as well, once it is built.
        """
        try:
            note = following(self._config).read_bytes()
        except FileNotFoundError:
            held = self.held
            if held is None or is_unsigned(held.note):
                return None
            note = held.note
        return Signed(open_checkpoint(UnverifiedNote.parse(note), self._vkey), note)

    def _compare(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Hold a checkpoint that is not larger against the leaves that are here."""
        kept, snapshot = self._kept(), self._ledger.snapshot()
        if kept is not None and checkpoint == kept.checkpoint:
            return
        size = snapshot.size if kept is None else kept.checkpoint.size
        node = snapshot.node
        if checkpoint.size and checkpoint.root != range_root(0, checkpoint.size, node):
            if kept is None:
                message = f"the source shows another tree of {checkpoint.size} leaves"
                raise RootError(message)
            proof: Proof = ()
            if checkpoint.size < size:
                proof = prove_prefix(checkpoint.size, size, node)
            raise self._convicted(Signed(checkpoint, note), kept, proof)
        if checkpoint.size < size:
            message = (
                f"the source shows {checkpoint.size} leaves, and {size} are here: it is"
                " an old copy, or a mirror that is slow. Nothing was changed"
            )
            raise BehindError(message)

    def _accuse(self, fetch: Fetch, new: Signed) -> None:
        """Entries do not make a larger root: is it another history, or damage?

        Raises:
            InconsistencyError: the source's own hashes lead to the root, and not from
                the one that was verified here.
        """
        kept = self._kept()
        if kept is not None:
            proof = proof_of_fork(kept.checkpoint, new.checkpoint, fetch)
            if proof:
                raise self._convicted(kept, new, proof)

    def _convicted(self, old: Signed, new: Signed, proof: Proof) -> InconsistencyError:
        folder = self._config.directory / "evidence"
        path, found = keep_evidence(folder, self._vkey, (old, new), proof)
        message = (
            f"{found}. {path} proves it to anybody. Nothing was taken: find out which"
            " of the two is the log, before anything else"
        )
        return InconsistencyError(message, ours=old.note, theirs=new.note)


def has_own_seal(config: Config, held: CheckpointRow | None) -> bool:
    """Whether `promote` has sealed here, and did not come to its end.

    All that a standby takes is kept in run/following before it is built.
    """
    path = following(config)
    if held is None or not path.is_file():
        return False
    kept = Checkpoint.parse(UnverifiedNote.parse(path.read_bytes()).text)
    return held.size > kept.size
