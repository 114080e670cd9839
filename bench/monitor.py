"""How fast a monitor reads a whole log: everything checked, the index recomputed.

The log is made here, as files in a folder: a registrar, providers and auditors, then
releases of new measurements and reproductions of them in equal parts, at most a
thousand releases a product, sealed every so often. The monitor reads the files, with
both of its processes, and commits as it always does. In the same run one thread checks
signatures and does nothing else: what a monitor could do at most if all else were free.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.monitor_index import peak
from bench.rates import AUDITOR, PROVIDER, statements
from monitor.config import Config
from monitor.evidence_files import EvidenceFiles
from monitor.follow import Follower
from monitor.index import Index
from monitor.indexing import IndexProcess
from monitor.source import Source
from monitor.standing import Standing
from monitor.state import State
from pcrlog.checkpoint import Checkpoint
from pcrlog.merkle import Range, leaf_hash, root
from pcrlog.note import NoteSigner
from pcrlog.reader import AbsentError
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, Tile, encode_bundle
from tests.support.memory_log import MemoryLog, key

_SEALED_EVERY = 1000
"""Statements: about as many as a busy log seals at once."""
_CHECKED = 5000
_PLATFORMS = '[platforms.aws-nitro]\nroots = ["builtin"]'
_STATEMENT = 900
"""Bytes of a signed statement, about."""


class Found(NamedTuple):
    """What a monitor did: leaves, seconds, signature checks a second of one thread.

    `resident` and `child` are the largest memory, in bytes, of its two processes.
    """

    leaves: int
    seconds: float
    checks: float
    resident: int
    child: int

    @property
    def share(self) -> float:
        """Its rate, in parts of that of bare signature checks."""
        return self.leaves / self.seconds / self.checks


class Files:
    """A log in a folder, read as over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, path: str, _most: int, /) -> bytes:
        """A file's bytes (a `reader.Fetch`)."""
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            raise AbsentError(str(error)) from error


def monitored(number: int) -> Found:
    """Let a monitor read a log of about so many leaves."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        log = write_log(folder / "log", number)
        (folder / "policy.toml").write_text(log.policy(products=_PLATFORMS))
        (folder / "monitor.toml").write_text(
            'format = "pcrlog-monitor/v1"\npolicy = "policy.toml"\nstate = "state"\n'
        )
        # In a process of its own: of this one, the memory is not a monitor's.
        command = [sys.executable, "-m", "bench.monitor", str(folder), str(log.now)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Found(*json.loads(done.stdout))


def _follow(folder: Path, now: int) -> Found:
    """Read the log in a folder, once."""
    config, checks = Config.load(folder / "monitor.toml"), _checks()
    config.state.mkdir()
    began = time.perf_counter()
    state = State(config.state / "monitor.db")
    source = Source(lambda: Files(folder / "log"), config.log, lambda: now)
    index = IndexProcess(config.state / "index.db")
    evidence = EvidenceFiles(config.state / "evidence", config.log.key)
    standing = Standing(config, state, source, index, evidence)
    follower = Follower(config, state, source, standing, clock=lambda: now)
    try:
        outcome = follower.round()
        seconds = time.perf_counter() - began
        memory = [peak(pid) for pid in (os.getpid(), index.pid)]
    finally:
        index.close()
        source.close()
        state.close()
    if outcome.outcome != "clean":
        message = f"the monitor says: {outcome.found}"
        raise RuntimeError(message)
    return Found(outcome.size, seconds, checks, *memory)


def _checks() -> float:
    """Signature checks a second of one thread that does nothing else."""
    signer, message = key("bench"), b"x" * _STATEMENT
    signature, public = signer.sign(message), signer.public
    began = time.perf_counter()
    for _ in range(_CHECKED):
        public.verify(signature, message)
    return _CHECKED / (time.perf_counter() - began)


# --- the log --------------------------------------------------------------------------


class Writer:
    """Writes a log's files, leaf by leaf; the index is computed beside it."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.size = 0
        self._folder = folder
        self._index = index
        self._bundle: list[bytes] = []
        # Of each level: the hashes of the tile that grows, and how many are before it.
        self._levels: list[tuple[list[bytes], int]] = []
        self._tree = Range()

    def push(self, leaf: bytes) -> None:
        """One more leaf."""
        self._bundle.append(leaf)
        self._tree.append(leaf_hash(leaf))
        self._index.extend([leaf])
        self._hash(0, leaf_hash(leaf))
        if len(self._bundle) == FULL:
            self._put(Tile(None, self.size // FULL), encode_bundle(self._bundle))
            self._bundle = []
        self.size += 1

    def seal(self, now: int) -> None:
        """A seal over all leaves so far."""
        self.push(Seal(self.size, now, self._index.root(), frozen=False).encode())

    def publish(self, signer: NoteSigner) -> None:
        """What is not full yet, and the checkpoint."""
        if self._bundle:
            tile = Tile(None, self.size // FULL, len(self._bundle))
            self._put(tile, encode_bundle(self._bundle))
        for level, (hashes, before) in enumerate(self._levels):
            if hashes:
                self._put(Tile(level, before, len(hashes)), b"".join(hashes))
        checkpoint = Checkpoint(signer.public.name, self.size, self._tree.root())
        note = bytes(signer.sign(checkpoint.text()))
        (self._folder / "checkpoint").write_bytes(note)

    def _hash(self, level: int, node: bytes) -> None:
        if level == len(self._levels):
            self._levels.append(([], 0))
        hashes, before = self._levels[level]
        hashes.append(node)
        if len(hashes) == FULL:
            self._put(Tile(level, before), b"".join(hashes))
            self._levels[level] = ([], before + 1)
            self._hash(level + 1, root(hashes))

    def _put(self, tile: Tile, data: bytes) -> None:
        path = self._folder / tile.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_log(folder: Path, number: int) -> MemoryLog:
    """Write a log of about so many leaves; its keys."""
    log = MemoryLog()
    log.enroll(PROVIDER, "provider")
    log.enroll(AUDITOR, "auditor")
    keys = {name: key(name) for name in (PROVIDER, AUDITOR)}
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        index = Index(Path(name) / "index.db")
        writer = Writer(folder, index)
        for leaf in log.leaves:
            writer.push(leaf)
        for done, leaf in enumerate(statements(number, keys)):
            if done % _SEALED_EVERY == 0:
                writer.seal(log.now)
                index.commit()
            writer.push(leaf)
        writer.seal(log.now)
        writer.publish(log.signer)
        index.close()
    return log


if __name__ == "__main__":
    print(json.dumps(_follow(Path(sys.argv[1]), int(sys.argv[2]))))
