"""A log over HTTP, what a monitor has verified of it, and what compares with that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.comparison import Comparer
from monitor.config import Config
from monitor.evidence_files import EvidenceFiles
from monitor.source import Source
from monitor.state import State, Verified
from pcrlog.checkpoint import Checkpoint
from pcrlog.evidence import Proven, verify_evidence
from pcrlog.merkle import Range, leaf_hash
from pcrlog.note import UnverifiedNote
from pcrlog.transport import Client
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import MemoryLog, registers

PRODUCT = "acme.example/wallet"


def log_of(build: str = "good", seals: int = 1) -> MemoryLog:
    """A provider and a release; logs of other builds are other histories."""
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release(PRODUCT, "1.4.2", registers(build))
    grow(log, seals)
    return log


def grow(log: MemoryLog, seals: int = 1) -> bytes:
    """Seal so many times; the last note."""
    for _ in range(seals):
        log.seal()
    return log.note


def verified(log: MemoryLog, *, frozen: bool = False) -> Verified:
    """What a monitor that has read all of a log keeps of it."""
    size = Checkpoint.parse(UnverifiedNote.parse(log.note).text).size
    tree = Range()
    for leaf in log.leaves[:size]:
        tree.append(leaf_hash(leaf))
    return Verified(size, tuple(tree.subtrees), log.note, log.now, frozen)


@dataclass
class Viewed:
    """`ours` is what is verified; `simulator` shows what the log shows now."""

    folder: Path
    config: Config
    simulator: LogSimulator
    source: Source
    evidence: EvidenceFiles
    ours: Verified

    @property
    def log(self) -> MemoryLog:
        return self.simulator.log

    @property
    def comparer(self) -> Comparer:
        return Comparer(self.config.log.key, self.source, self.evidence)

    def compare(self, note: bytes) -> str:
        """The verdict on a note."""
        return self.comparer.compare(note, self.ours.note).verdict

    def keep(self) -> None:
        """Put what is verified into monitor.db."""
        state = State(self.config.state / "monitor.db")
        with state.transaction():
            state.begin(str(self.config.log.key), self.ours.note, self.log.now)
            state.advance(self.ours, ())
        state.close()

    def proven(self, name: str | None) -> Proven:
        """What an evidence file proves to somebody who has the key alone."""
        assert name is not None
        data = (self.config.state / "evidence" / name).read_bytes()
        return verify_evidence(data, self.log.signer.public)


@contextmanager
def viewing(
    folder: Path, log: MemoryLog, *views: str, witnesses: str = '"none"'
) -> Iterator[Viewed]:
    """A monitor that has verified all of `log`; `views` are tables of monitor.toml."""
    with LogSimulator(log) as simulator:
        policy = log.policy("platforms = {}", witnesses=witnesses)
        policy = policy.replace(f"https://{log.origin}", simulator.url)
        (folder / "policy.toml").write_text(policy)
        rows = [
            'format = "pcrlog-monitor/v1"\npolicy = "policy.toml"\nstate = "state"',
            '[watch]\nidentities = ["acme.example"]',
            *views,
        ]
        (folder / "monitor.toml").write_text("\n".join(rows) + "\n")
        config = Config.load(folder / "monitor.toml")
        config.state.mkdir(exist_ok=True)
        source = Source(lambda: Client(config.log.url), config.log, lambda: log.now)
        evidence = EvidenceFiles(config.state / "evidence", config.log.key)
        try:
            yield Viewed(folder, config, simulator, source, evidence, verified(log))
        finally:
            source.close()
