"""What is remembered between runs: per log key and quorum, the newest checkpoint.

A log that shows one history today and another one tomorrow is caught by whoever kept
the old checkpoint (PROTOCOL.md section 4, Memory). Trusted for nothing else: whoever
can write here can make a run forget, or make `log.memory` unchecked, never verify.

    <state>/checkpoints/<hash>.json   {"frozen": false, "note": "…", "origin": "…"}
    <state>/evidence/<kind>-<hash>.pcrevidence
    <state>/collateral/<kind of machine>.json       what a maker publishes, verified

The hash is over the log's vkey and the quorums, so that another policy's laxer quorum
never writes what a stricter one reads. Of a frozen checkpoint, `seal` is there too: its
last leaf, and the proof that it is one ({"leaf": …, "proof": […]}, base64). With it, a
log that goes on is convicted (pcrlog/evidence/file.py).
"""

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from cli import files
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import encode_json, sha256
from pcrlog.errors import PcrlogError, UsageError, VerificationError
from pcrlog.merkle import Proof, consistency_roots
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Quorum
from pcrlog.verification.evidence import Memory

if TYPE_CHECKING:
    from pcrlog.evidence import File

_SECRET_FOLDER = 0o700


class Ending(Struct, frozen=True):
    """The last leaf of a checkpoint, and its inclusion proof."""

    leaf: bytes
    proof: tuple[bytes, ...]


class _Remembered(Struct, frozen=True, omit_defaults=True):
    origin: str
    note: str
    frozen: bool
    seal: Ending | None = None


class State:
    """The state directory; made when something is first written to it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def recall(self, log: Log) -> Memory | None:
        """The checkpoint remembered of a log; None if there is none that is usable."""
        found = self._read(log)
        if found is None:
            return None
        return Memory(found.note.encode(), frozen=found.frozen)

    def _read(self, log: Log) -> _Remembered | None:
        try:
            data = files.read(self._path(log), 4 * limits.NOTE)
            found = msgspec.json.decode(data, type=_Remembered)
            open_checkpoint(UnverifiedNote.parse(found.note.encode()), log.key)
        except (ValueError, PcrlogError):
            return None
        return found

    def remember(self, log: Log, note: bytes, *, frozen: Ending | None = None) -> None:
        """Keep a checkpoint, unless a larger one is kept already.

        Two runs at once may each miss what the other writes; either checkpoint will do.

        Args:
            log: whose it is.
            note: the checkpoint.
            frozen: its last leaf, if that is a seal that says so.
        """
        new = open_checkpoint(UnverifiedNote.parse(note), log.key)
        known = self.recall(log)
        if known is not None:
            old = open_checkpoint(UnverifiedNote.parse(known.note), log.key)
            if old.size >= new.size:
                return
        kept = _Remembered(log.key.name, note.decode(), frozen is not None, frozen)
        self._write(self._path(log), encode_json(kept) + b"\n")

    def keep_evidence(
        self, log: Log, note: bytes, ending: Ending, proof: Proof = ()
    ) -> str:
        """Write what proves that the log signed this, and what is remembered; its path.

        Args:
            log: whose checkpoint it is.
            note: it contradicts the one remembered.
            ending: its last leaf.
            proof: what the memory had, if they are of two sizes.

        Raises:
            PcrlogError: it cannot be proven: something else is remembered now, or a
                frozen checkpoint without its seal.
        """
        from pcrlog import evidence

        known = self._read(log)
        both = [(evidence.bare_note(note, log.key), ending)]
        if known is not None:
            remembered = evidence.bare_note(known.note.encode(), log.key)
            both.append((remembered, known.seal or Ending(b"", ())))
        both.sort(key=lambda one: (one[0][0].size, one[0][0].root))
        ((old, first), seal), ((new, second), _) = both[0], both[-1]
        notes = (first, second)
        file: evidence.File = evidence.TwoCheckpoints(checkpoints=notes, proof=proof)
        if old.size != new.size and not _is_fork(old, new, proof):
            entry = evidence.Leaves(old.size - 1, (seal.leaf,), seal.proof)
            file = evidence.BeyondFrozen(checkpoints=notes, entry=entry)
        return self.keep(log, file)

    def keep(self, log: Log, file: "File") -> str:
        """Write evidence that convicts a log; its path.

        Raises:
            PcrlogError: it does not convict it.
        """
        from pcrlog import evidence

        data = evidence.encode(file)
        kind = evidence.verify_evidence(data, log.key).kind
        name = f"{kind}-{sha256(data).hex()[:16]}.pcrevidence"
        path = f"{self._directory}/evidence/{name}"
        self._write(path, data)
        return path

    def recall_collateral(self, name: str) -> bytes | None:
        """What was kept of a kind of machine by `remember_collateral`; else None."""
        try:
            path = f"{self._directory}/collateral/{name}"
            return files.read(path, limits.COLLATERAL)
        except PcrlogError:
            return None

    def remember_collateral(self, name: str, data: bytes) -> None:
        """Keep what a maker publishes of a kind of machine.

        Raises:
            UsageError: it cannot be written.
        """
        self._write(f"{self._directory}/collateral/{name}", data)

    def _path(self, log: Log) -> str:
        parts = [str(log.key), _spell(log.witnesses), _spell(log.index_monitors)]
        name = sha256("\n".join(parts).encode()).hex()[:16]
        return f"{self._directory}/checkpoints/{name}.json"

    def _write(self, path: str, data: bytes) -> None:
        from pathlib import Path

        folder = Path(path).parent
        try:
            folder.mkdir(mode=_SECRET_FOLDER, parents=True, exist_ok=True)
            files.replace(path, data)
        except OSError as error:
            message = f"cannot remember {path}: {error.strerror}"
            raise UsageError(message) from error


def _is_fork(old: Checkpoint, new: Checkpoint, proof: Proof) -> bool:
    """Whether the hashes show the first leaves of the larger tree to be others."""
    try:
        was, now = consistency_roots(old.size, new.size, proof)
    except VerificationError:
        return False
    return now == new.root and was != old.root


def _spell(quorum: Quorum | None) -> str:
    if quorum is None:
        return "none"
    return f"{quorum.least} " + " ".join(sorted(str(key) for key in quorum.keys))
