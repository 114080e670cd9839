"""A log in memory, read in runs as a follower would, in the eyes of the rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from monitor.alerts import Alert
from monitor.config import Config, Settings, Watch, choose_log
from monitor.expected import Expected
from monitor.rules import Rules
from monitor.state import State
from pcrlog.authority import Authority
from pcrlog.entry import Entry, parse_entry
from tests.support.memory_log import MemoryLog
from tests.support.scene import PRODUCT, Scene


class Memory:
    """The history of a log as far as `size`."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.size = 0

    def under(self, key: str) -> Sequence[int]:
        """All indices under a key."""
        return [one for one in self.log.index.get(key, ()) if one < self.size]

    def entry(self, index: int) -> Entry:
        """The statement there."""
        assert index < self.size
        return parse_entry(index, self.log.leaves[index])


def config_of(
    folder: Path, scene: Scene, settings: dict[str, Any], **watch: Any
) -> Config:
    """A configuration that watches the scene's product, unless told otherwise."""
    watch.setdefault("products", (PRODUCT,))
    policy = scene.policy(product=settings.pop("product", None))
    made = Settings(
        format="pcrlog-monitor/v1",
        policy="policy.toml",
        state="state",
        watch=Watch(**watch),
        **settings,
    )
    return Config(folder, made, policy, choose_log(policy, None))


@dataclass
class Watcher:
    """Rules over a scene's log; `told` are all alerts so far, in order."""

    folder: Path
    scene: Scene
    watch: dict[str, Any] = field(default_factory=dict)
    product: dict[str, Any] | None = None
    expected: Expected | None = None
    told: list[Alert] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin before the first entry."""
        self.state = State(self.folder / "monitor.db")
        if self.state.log() is None:
            self.state.begin("vkey", b"first", 0)
        self.start()

    def start(self) -> None:
        """Begin anew, as a process does: with the state, and nothing else."""
        config = config_of(
            self.folder, self.scene, {"product": self.product}, **self.watch
        )
        self.history = Memory(self.scene.log)
        self.rules = Rules(config, self.state, self.history, self.expected)
        self.authority = Authority(self.scene.log.origin)
        self.read_to = 0

    def close(self) -> None:
        """Let go of the state."""
        self.state.close()

    def read(self, *, to: int | None = None, sealed: int | None = None) -> list[Alert]:
        """Read one run; what was told of it."""
        log = self.scene.log
        stop = len(log.leaves) if to is None else to
        self.history.size = stop
        batch = []
        for index in range(self.read_to, stop):
            if index in log.entries:
                self.authority.accept(log.entries[index])
                batch.append(log.entries[index])
        self.read_to = stop
        found = self.rules.entries(batch, self.authority, log.now, sealed)
        self.told += found
        return found

    def cut(self, cuts: Iterable[int]) -> list[Alert]:
        """Read the whole log in runs that end at these places."""
        ends = [0, *sorted(set(cuts)), len(self.scene.log.leaves)]
        return [one for _, stop in pairwise(ends) for one in self.read(to=stop)]

    def time(self, now: int | None = None) -> list[Alert]:
        """What time has brought, kept as a follower keeps it."""
        moment = self.scene.log.now if now is None else now
        self.rules.look(moment)
        with self.state.transaction():
            found = self.rules.time(moment)
            for one in found:
                self.state.raise_alert(one)
        return found


def kinds(alerts: Iterable[Alert]) -> list[str]:
    """Their kinds, in order."""
    return [one.kind for one in alerts]
