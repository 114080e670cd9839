"""Simulated logs and a witness for them, for the tests of the witness."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor import witness_store
from monitor.witness import Witness
from monitor.witness_store import WitnessStore
from pcrlog import merkle
from pcrlog.checkpoint import Checkpoint, cosignatures
from pcrlog.encoding import sha256
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.witness import AddCheckpoint

NOW = 1_795_000_000
WITNESS = NoteSigner("w1.example", bytes(range(32)), COSIGNATURE)


class Log:
    """A log of made-up leaves, which can be forked; for any number of threads."""

    def __init__(self, number: int = 0, size: int = 64, fork_at: int = 1 << 62) -> None:
        self.origin = f"log{number}.example/pcr"
        self.signer = NoteSigner(self.origin, sha256(self.origin.encode()))
        self._leaves = [
            merkle.leaf_hash(b"%d" % n if n < fork_at else b"other %d" % n)
            for n in range(size)
        ]

    @property
    def key(self) -> VerifierKey:
        return self.signer.public

    @property
    def digest(self) -> str:
        return sha256(self.origin.encode()).hex()

    def _node(self, level: int, index: int) -> bytes:
        return merkle.root(self._leaves[index << level : (index + 1) << level])

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, merkle.root(self._leaves[:size]))

    def note(self, size: int) -> bytes:
        return bytes(self.signer.sign(self.checkpoint(size).text()))

    def proof(self, old: int, new: int) -> merkle.Proof:
        return merkle.prove_consistency(old, new, self._node) if 0 < old <= new else ()

    def request(self, old: int, new: int) -> bytes:
        return bytes(AddCheckpoint(old, self.proof(old, new), self.note(new)))


def times(note: bytes, lines: bytes, key: VerifierKey = WITNESS.public) -> list[int]:
    """When the witness cosigned `note`, by the lines of its answer."""
    whole = UnverifiedNote.parse(note + lines)
    return list(cosignatures(whole, [key]).values())


@dataclass
class Clock:
    """Says what it is told to say."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Scene:
    """A witness, and what stands behind it."""

    witness: Witness
    store: WitnessStore
    clock: Clock
    logs: dict[str, VerifierKey] = field(default_factory=dict)


@contextmanager
def scene(
    path: Path,
    *logs: Log,
    step: Callable[[str], None] = lambda _name: None,
    **others: Any,
) -> Iterator[Scene]:
    """A witness for `logs`, with its memory in the folder `path`, new or not."""
    file = path / witness_store.NAME
    if not file.exists():
        witness_store.create(file, str(WITNESS.public), NOW)
    clock = Clock()
    known = {log.origin: log.key for log in logs}
    store = WitnessStore(file, str(WITNESS.public), step)
    try:
        witness = Witness(store, WITNESS, known.get, clock, **others)
        yield Scene(witness, store, clock, known)
    finally:
        store.close()
