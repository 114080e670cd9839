"""The checkpoint that a log shows, before anything is copied because of it.

Signed by the log's key; of one history with every checkpoint that this machine has met
of this log; sealed; cosigned by the quorums that the policy demands. Two histories are
kept as evidence (pcrlog/evidence/file.py), beside what `verify` keeps.
"""

from collections.abc import Iterator

from msgspec import structs

from cli.mirror_files import MirrorFiles, Progress
from cli.mirror_pass import BadEntryError
from cli.mirror_tiles import Folder, Tiles
from cli.state import State
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import (
    InconsistencyError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.evidence import File, TwoCheckpoints, bare_note
from pcrlog.merkle import (
    Proof,
    consistency_roots,
    prove_inclusion,
    prove_prefix,
    range_root,
)
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Policy
from pcrlog.reader import Fetch
from pcrlog.verification.checks import LOG, Check, Demands, Recorder
from pcrlog.verification.evidence import open_log


class Meeting:
    """What one mirror knows of its log.

    Args:
        log: whose checkpoints are met.
        files: the mirror.
        state: what `verify` remembers; evidence goes there.
    """

    def __init__(self, log: Log, files: MirrorFiles, state: State) -> None:
        self._log = log
        self._files = files
        self._state = state
        self._own = files.checkpoint()
        self.checkpoint = None if self._own is None else self._open_own(self._own)
        """The mirror's own, if it has one."""

    def _open_own(self, note: bytes) -> Checkpoint:
        try:
            return open_checkpoint(UnverifiedNote.parse(note), self._log.key)
        except PcrlogError as error:
            message = (
                f"{self._files.directory} is no mirror of {self._log.key.name}:"
                f" {error}. Name another folder"
            )
            raise UsageError(message) from error

    def meet(self, new: Checkpoint, note: bytes, served: Fetch) -> Tiles:
        """The tree of what the log shows, proven to be of one history with all others.

        Raises:
            InconsistencyError: the log signed two histories.
            VerificationError: it shows fewer leaves than it has shown, or tiles that
                lead nowhere.
            TransportError: it does not serve them.
        """
        if new.size == 0:
            message = f"{self._log.key.name} has published nothing yet"
            raise UncheckedError(message)
        for old, known in self._known():
            if new.size < old.size:
                self._refuse_smaller(new, note, old, known)
            if new.size == old.size and new.root != old.root:
                self._refuse(new, note, old, known, ())
        tiles = Tiles(new, Folder(self._files.directory), served)
        for old, known in self._known():
            if 0 < old.size < new.size:
                proof = prove_prefix(old.size, new.size, tiles.node)
                if consistency_roots(old.size, new.size, proof)[0] != old.root:
                    self._refuse(new, note, old, known, proof)
        return tiles

    def _known(self) -> Iterator[tuple[Checkpoint, bytes]]:
        """What was met before: by this mirror, and by `verify`."""
        progress, memory = self._files.progress(), self._state.recall(self._log)
        notes = [
            self._own,
            progress.note.encode() if progress is not None else None,
            memory.note if memory is not None else None,
        ]
        for note in dict.fromkeys(filter(None, notes)):
            try:
                yield open_checkpoint(UnverifiedNote.parse(note), self._log.key), note
            except PcrlogError:
                continue  # Of another log, or damaged: it says nothing of this one.

    def _refuse_smaller(
        self, new: Checkpoint, note: bytes, old: Checkpoint, known: bytes
    ) -> None:
        """Whether it is older or of another history, the mirror's own tiles tell."""
        try:
            tiles = Tiles(old, Folder(self._files.directory))
            proof = prove_prefix(new.size, old.size, tiles.node)
            same = consistency_roots(new.size, old.size, proof)[0] == new.root
        except PcrlogError:
            same = True
            proof = ()
        if not same:
            self._refuse(new, note, old, known, proof)
        message = (
            f"{self._log.key.name} shows {new.size} leaves, and has shown {old.size}:"
            " it goes back, or this is an old copy of it"
        )
        raise VerificationError(message)

    def _refuse(
        self,
        new: Checkpoint,
        note: bytes,
        old: Checkpoint,
        known: bytes,
        proof: Proof,
    ) -> None:
        both = [bare_note(known, self._log.key), bare_note(note, self._log.key)]
        both.sort(key=lambda one: (one[0].size, one[0].root))
        notes = (both[0][1], both[1][1])
        path = self.keep(TwoCheckpoints(checkpoints=notes, proof=proof))
        message = (
            f"two histories of {self._log.key.name}: the {new.size} leaves that it"
            f" shows do not go with the {old.size} that it has shown. The evidence is"
            f" in {path}"
        )
        raise InconsistencyError(message, ours=known, theirs=note)

    def keep(self, file: File) -> str:
        """Write evidence that convicts; its path.

        Raises:
            PcrlogError: it does not convict, or cannot be written.
        """
        return self._state.keep(self._log, file)

    def progress(self, tiles: Tiles, note: bytes) -> Progress:
        """How far the mirror has come in this tree: not at all, if that is not sure."""
        key, registrar = str(self._log.key), self._log.registrar
        known = self._files.progress()
        if (
            known is not None
            and (known.vkey, known.registrar) == (key, registrar)
            and 0 < known.size <= tiles.size
            and range_root(0, known.size, tiles.node) == known.root
        ):
            return structs.replace(known, note=note.decode())
        return Progress(key, registrar, note.decode())


def check_cosigned(
    tiles: Tiles, note: bytes, policy: Policy, log: Log, now: int
) -> dict[str, Check]:
    """The checks of the log itself, as `verify` makes them; by id.

    Raises:
        BadEntryError: its last leaf is no seal over the others.
        UncheckedError: a quorum that the policy demands is missing.
    """
    last = tiles.size - 1
    proof = prove_inclusion(last, tiles.size, tiles.node)
    recorder = Recorder()
    open_log(Bundle(note, tiles.leaf(last), proof, {}, {}), policy, recorder, now)
    demands = Demands(
        nonce=False,
        channel=False,
        witnesses=log.witnesses is not None,
        index_monitors=log.index_monitors is not None,
        links=(),
        components=False,
        archived=False,
        archives=False,
    )
    checks = {one.id: one for one in recorder.checks(demands) if one.id in LOG}
    for check in checks.values():
        message = f"{check.id}: expected {check.expected}; found {check.found}"
        if check.status == "fail":
            raise BadEntryError(message, last)
        # How fresh it is, is for whoever reads the mirror to ask.
        if (
            check.status == "unchecked"
            and check.required
            and check.id != "log.freshness"
        ):
            raise UncheckedError(message)
    return checks
