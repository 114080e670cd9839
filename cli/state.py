"""What is remembered between runs: per log key and quorum, the newest checkpoint.

A log that shows one history today and another one tomorrow is caught by whoever kept
the old checkpoint (PROTOCOL.md section 4, Memory). Trusted for nothing else: whoever
can write here can make a run forget, or make `log.memory` unchecked, never verify.

    <state>/checkpoints/<hash>.json   {"frozen": false, "note": "…", "origin": "…"}
    <state>/forks/<hash>.json         {"note": …, "origin": …, "remembered": …}

The hash is over the log's vkey and the quorums, so that another policy's laxer quorum
never writes what a stricter one reads.
"""

import msgspec
from msgspec import Struct

from cli import files
from pcrlog import limits
from pcrlog.checkpoint import open_checkpoint
from pcrlog.encoding import encode_json, sha256
from pcrlog.errors import PcrlogError, UsageError
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Quorum
from pcrlog.verification.evidence import Memory

_SECRET_FOLDER = 0o700


class _Remembered(Struct, frozen=True):
    origin: str
    note: str
    frozen: bool


class State:
    """The state directory; made when something is first written to it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def recall(self, log: Log) -> Memory | None:
        """The checkpoint remembered of a log; None if there is none that is usable."""
        try:
            data = files.read(self._path(log), 4 * limits.NOTE)
            found = msgspec.json.decode(data, type=_Remembered)
            open_checkpoint(UnverifiedNote.parse(found.note.encode()), log.key)
        except (ValueError, PcrlogError):
            return None
        return Memory(found.note.encode(), frozen=found.frozen)

    def remember(self, log: Log, note: bytes, *, frozen: bool) -> None:
        """Keep a checkpoint, unless a larger one is kept already.

        Two runs at once may each miss what the other writes; either checkpoint will do.
        """
        new = open_checkpoint(UnverifiedNote.parse(note), log.key)
        known = self.recall(log)
        if known is not None:
            old = open_checkpoint(UnverifiedNote.parse(known.note), log.key)
            if old.size >= new.size:
                return
        kept = _Remembered(log.key.name, note.decode(), frozen)
        self._write(self._path(log), encode_json(kept))

    def keep_evidence(self, log: Log, remembered: bytes, note: bytes) -> str:
        """Write both notes of a fork to a file; its path."""
        evidence = {
            "format": "pcrlog-fork/v1",
            "origin": log.key.name,
            "remembered": remembered.decode(),
            "note": note.decode(),
        }
        data = encode_json(evidence)
        path = f"{self._directory}/forks/{sha256(data).hex()[:16]}.json"
        self._write(path, data)
        return path

    def _path(self, log: Log) -> str:
        parts = [str(log.key), _spell(log.witnesses), _spell(log.index_monitors)]
        name = sha256("\n".join(parts).encode()).hex()[:16]
        return f"{self._directory}/checkpoints/{name}.json"

    def _write(self, path: str, data: bytes) -> None:
        from pathlib import Path

        folder = Path(path).parent
        try:
            folder.mkdir(mode=_SECRET_FOLDER, parents=True, exist_ok=True)
            files.replace(path, data + b"\n")
        except OSError as error:
            message = f"cannot remember the checkpoint: {path}: {error.strerror}"
            raise UsageError(message) from error


def _spell(quorum: Quorum | None) -> str:
    if quorum is None:
        return "none"
    return f"{quorum.least} " + " ".join(sorted(str(key) for key in quorum.keys))
