"""A real log, big enough that its tiles have two levels, for others to read.

It is sequenced in this process, by the code that `pcrlog-server serve` runs: batches of
1, 2, 3 … statements, so that many sizes are published and many tiles are partial ones.
Providers with keys of both algorithms release, revoke, and an auditor reproduces.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from log_server.store import CheckpointRow
from pcrlog.keys import ECDSA_P256, SigningKey
from tests.unit.log_server.parties import Log, Party

BATCHES = [*range(1, 30), 5, 90]
"""Statements before each seal: their sum, and the seals, are beyond two full tiles."""


@dataclass(frozen=True)
class Published:
    """A log and all that it published: each checkpoint, each leaf."""

    log: Log
    checkpoints: tuple[CheckpointRow, ...]
    leaves: tuple[bytes, ...]

    @classmethod
    def create(cls, folder: Path) -> "Published":
        """Make the log in `folder`, which is new. Its time is now: it may be served."""
        log = Log.create(folder, int(time.time()))
        acme = log.enrol("acme.example", "provider")
        corp = _enrol_p256(log, "corp.example")
        lab = log.enrol("lab.example", "auditor")
        number = 0
        with log.sequencer() as sequencer:
            for size in BATCHES:
                batch = [
                    _statement(n, acme, corp, lab) for n in range(number, number + size)
                ]
                number += size
                log.queue(*batch)
                while sequencer.round():
                    pass
        with log.snapshot() as snapshot:
            rows = tuple(snapshot.checkpoints())
            leaves = tuple(leaf for _, leaf in snapshot.leaves(0, rows[-1].size))
        return cls(log, rows, leaves)

    @property
    def vkey(self) -> str:
        """The log's key."""
        return self.log.new.vkey

    @property
    def public(self) -> Path:
        """The folder that everybody reads."""
        return self.log.config.public

    @property
    def size(self) -> int:
        """Leaves in the newest checkpoint."""
        return self.checkpoints[-1].size

    def copy(self, folder: Path) -> Path:
        """A copy of the public folder, to be spoiled."""
        return shutil.copytree(self.public, folder)

    def write_checkpoints(self, folder: Path) -> Path:
        """Put each checkpoint ever published into a new folder, named by its size."""
        folder.mkdir()
        for row in self.checkpoints:
            (folder / str(row.size)).write_bytes(row.note)
        return folder


def _enrol_p256(log: Log, name: str) -> Party:
    party = Party(name, SigningKey.generate(ECDSA_P256))
    log.accept(log.identity(party, "provider"))
    return party


def _statement(number: int, acme: Party, corp: Party, lab: Party) -> bytes:
    """One of several kinds, each of a measurement of its own."""
    version = f"1.0.{number}"
    kinds = [
        lambda: acme.release(number, version),
        lambda: corp.release(number, version),
        lambda: lab.reproduction(number),
        lambda: acme.revocation(number),
    ]
    return kinds[number % len(kinds)]()


def spoil(path: Path, offset: int = -1) -> None:
    """Change one byte of a file, in the middle unless told where."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset < 0 else offset] ^= 1
    path.write_bytes(data)
