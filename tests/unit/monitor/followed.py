"""A log in memory, and a monitor that follows it in a folder of the test's."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from monitor.alerts import Alert
from monitor.config import Config
from monitor.evidence_files import EvidenceFiles
from monitor.follow import Follower
from monitor.index import Extension, Index
from monitor.source import Source
from monitor.standing import Standing
from monitor.state import State
from pcrlog.evidence import Proven, verify_evidence
from tests.support.files import Files
from tests.support.memory_log import MemoryLog, registers

PRODUCT = "acme.example/wallet"
GOOD, BAD = registers("good"), registers("bad")
SETTINGS = """
format = "pcrlog-monitor/v1"
policy = "policy.toml"
state = "state"
[watch]
products = ["acme.example/wallet"]
"""


def log_of(**members: object) -> MemoryLog:
    """A provider, an auditor, a release, sealed."""
    log = MemoryLog(**members)  # type: ignore[arg-type] # a dict of members
    log.enroll("acme.example", "provider")
    log.enroll("lab.example", "auditor")
    log.release(PRODUCT, "1.4.2", GOOD)
    log.seal()
    return log


class Here:
    """The index in this process, as `IndexProcess` has it in another one."""

    def __init__(self, path: Path) -> None:
        self._index = Index(path)
        self._extension: Extension | None = None

    @property
    def size(self) -> int:
        return self._index.size

    def begin(self, leaves: Sequence[bytes]) -> None:
        self._extension = self._index.extend(leaves)

    def extension(self) -> Extension:
        assert self._extension is not None
        return self._extension

    def commit(self) -> None:
        self._index.commit()

    def rollback(self) -> None:
        self._index.rollback()

    def root(self) -> bytes:
        return self._index.root()

    def indices(self, key: str) -> tuple[int, ...]:
        return self._index.indices(key)

    def statement(self, sha256: bytes) -> int | None:
        return self._index.statement(sha256)

    def prove(self, key: str) -> bytes:
        return self._index.prove(key)

    def nodes_for(self, keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
        return self._index.nodes_for(keys)

    def close(self) -> None:
        self._index.close()


@dataclass
class Followed:
    """A monitor, and the log that it sees; `log` may be another one from now on."""

    folder: Path
    config: Config
    files: Files
    state: State
    index: Here
    follower: Follower
    steps: list[str] = field(default_factory=list)

    @property
    def log(self) -> MemoryLog:
        return self.files.log

    @log.setter
    def log(self, other: MemoryLog) -> None:
        self.files.log = other

    def kinds(self) -> list[str]:
        """Kinds of all alerts so far, in order."""
        return [alert.kind for alert in self.alerts()]

    def alerts(self) -> list[Alert]:
        return [alert for _, alert in self.state.alerts_after(0, 10_000)]

    def proven(self, alert: Alert) -> Proven:
        """What the evidence of an alert proves to somebody who has the key alone."""
        assert alert.evidence is not None
        data = (self.folder / "state" / "evidence" / alert.evidence).read_bytes()
        return verify_evidence(data, self.log.signer.public)


@contextmanager
def following(
    folder: Path,
    log: MemoryLog,
    settings: str = SETTINGS,
    *,
    step: Callable[[str], None] = lambda _name: None,
    policy: str | None = None,
    files: Files | None = None,
) -> Iterator[Followed]:
    """A monitor on `log`, with its state in `folder`, new or not."""
    (folder / "monitor.toml").write_text(settings)
    (folder / "policy.toml").write_text(policy or log.policy(products=PRODUCTS))
    config = Config.load(folder / "monitor.toml")
    config.state.mkdir(exist_ok=True)
    files = files or Files(log)
    clock: Callable[[], int] = lambda: files.log.now  # noqa: E731 - one line, one word
    state = State(config.state / "monitor.db")
    source = Source(lambda: files, config.log, clock)
    index = Here(config.state / "index.db")
    evidence = EvidenceFiles(config.state / "evidence", config.log.key)
    standing = Standing(config, state, source, index, evidence)
    try:
        follower = Follower(config, state, source, standing, clock=clock, step=step)
        yield Followed(folder, config, files, state, index, follower)
    finally:
        index.close()
        source.close()
        state.close()


PRODUCTS = """
[platforms.aws-nitro]
roots = ["builtin"]
max_age = "5m"
nonce = "required"
operator = "aws"

[products."acme.example/wallet"]
platforms = ["aws-nitro"]
auditors = [{ name = "lab.example", scopes = ["reproduction", "source-review"] }]
"""
