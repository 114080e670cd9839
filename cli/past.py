"""What `verify` remembers of a log, from one run to the next (PROTOCOL.md section 4).

The last checkpoint that held is kept, and the next one has to extend it. If it does
not, the log shows two histories, and both are kept: that is evidence.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from cli.session import Session
from cli.state import Ending, State
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import PcrlogError
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Policy
from pcrlog.seal import Seal
from pcrlog.verification import Memory, Report

_HELD = ("log.signature", "log.witnesses", "log.index-monitors", "log.freshness")
"""What a run must have passed to be remembered (PROTOCOL.md section 4, Memory)."""


class _Sealed(Struct):
    leaf: str


class _Head(Struct):
    """As much of a bundle as tells which log it is of. Nothing of it is proven."""

    checkpoint: str
    seal: _Sealed


class Asked(Protocol):
    """The options that say where the bundle comes from."""

    @property
    def bundle(self) -> str | None:
        """A file: nothing is then fetched."""
        ...

    @property
    def mirror(self) -> str | None:
        """A folder, or an address, instead of the log."""
        ...


class Past:
    """The checkpoint remembered of the bundle's log, before and after a run.

    `memory`: what `pcrlog.verify` is given of it; None if there is none.
    """

    def __init__(
        self, session: Session, asked: Asked, policy: Policy, data: bytes | None
    ) -> None:
        self._session = session
        self._state = State(session.state_directory)
        self._head: _Head | None = None
        self._log: Log | None = None
        self._data = data or b""
        self._mirror = asked.mirror
        self.memory: Memory | None = None
        if data is None:
            return
        try:
            self._head = msgspec.json.decode(data, type=_Head)
        except (ValueError, RecursionError):
            return
        origin = self._head.checkpoint.partition("\n")[0]
        self._log = policy.logs.get(origin)
        if self._log is None:
            return
        self.memory = self._state.recall(self._log)
        if self.memory is not None and asked.bundle is None:
            self.memory = self._proven(self.memory, self._log, self._head.checkpoint)

    def _proven(self, memory: Memory, log: Log, note: str) -> Memory:
        """The memory, with the hashes between the checkpoints if the log gives them."""
        from cli.mirror_answers import Mirror
        from pcrlog.reader import Reader
        from pcrlog.transport import Client

        try:
            source = Client(log.url) if self._mirror is None else Mirror(self._mirror)
            reader = Reader(source, log, self._session.now)
            old = open_checkpoint(UnverifiedNote.parse(memory.note), log.key)
            new = open_checkpoint(UnverifiedNote.parse(note.encode()), log.key)
            if old.size == new.size:
                return memory
            first, second = sorted((old.size, new.size))
            with self._session.output.progress(f"asking {source.url}"):
                proof = reader.prefix(first, second)
        except PcrlogError:
            return memory  # `log.memory` then says that there is no proof.
        return Memory(memory.note, proof, memory.frozen)

    def conclude(self, report: Report, *, live: bool) -> None:
        """Remember the checkpoint, or keep the evidence of a fork."""
        seen, log = report.checkpoint, self._log
        if seen is None or log is None or self._head is None:
            return
        try:
            note = seen.note.encode()
            if self.memory is not None and _failed(report, "log.memory"):
                last, proof = self._ending(), self.memory.proof or ()
                path = self._state.keep_evidence(log, note, last, proof)
                self._session.output.remark(
                    f"two histories of {log.key.name}: the evidence is in {path}. Show"
                    " it to the log's witnesses and to other users; they verify it by"
                    " pcrlog-monitor evidence verify"
                )
            elif live and all(_held(report, check) for check in _HELD):
                frozen = Seal.parse(self._head.seal.leaf.encode()).frozen
                ending = self._ending() if frozen else None
                self._state.remember(log, note, frozen=ending)
        except PcrlogError as error:
            self._session.output.remark(str(error))

    def _ending(self) -> Ending:
        """The last leaf of the bundle's checkpoint."""
        from pcrlog.bundle import Bundle

        bundle = Bundle.parse(self._data)
        return Ending(bundle.seal, bundle.seal_proof)


def _statuses(report: Report) -> Mapping[str, tuple[str, bool]]:
    return {check.id: (check.status, check.required) for check in report.checks}


def _failed(report: Report, check: str) -> bool:
    return _statuses(report)[check][0] == "fail"


def _held(report: Report, check: str) -> bool:
    """Whether a check passed, or the policy waives it."""
    status, required = _statuses(report)[check]
    return status == "pass" or not required
