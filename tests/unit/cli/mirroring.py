"""For tests of mirrors: a log over real HTTP that can lie, and whoever mirrors it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from pcrlog.tiles import Tile, tiles_of
from tests.support.log_simulator import LogSimulator, tile_bytes
from tests.support.memory_log import START, MemoryLog
from tests.support.scene import Scene

OWN = ".pcrlog-mirror"
AT_ONCE = "cli.mirror_copy.AT_ONCE"
"""To be set to 1 where coverage is measured: threads that start at the same moment may
find its trace function half installed (CPython 3.11, with an audit hook)."""
WAIVED = {"witnesses": "none", "index_monitors": "none"}


def files_of(log: MemoryLog) -> dict[str, bytes]:
    """All files of a log's newest tree, as C2SP tlog-tiles has them."""
    hashes = list(tiles_of(len(log.leaves)))
    entries = [Tile(None, t.index, t.width) for t in hashes if t.level == 0]
    found = {tile.path(): tile_bytes(log, tile) for tile in (*hashes, *entries)}
    return {"checkpoint": log.note, **found}


def read_all(folder: Path) -> dict[str, bytes]:
    """What a web server would serve of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and OWN not in path.parts
    }


@dataclass
class Keeper:
    """Whoever keeps a mirror, in a folder of his own."""

    simulator: LogSimulator
    folder: Path
    capture: pytest.CaptureFixture[str]
    now: int = START

    @property
    def mirror(self) -> Path:
        """The mirror."""
        return self.folder / "mirror"

    @property
    def evidence(self) -> list[str]:
        """Kinds of the evidence that was kept."""
        found = (self.folder / "state" / "evidence").glob("*.pcrevidence")
        return sorted(path.name.partition("-")[0] for path in found)

    def write_policy(self, **log: Any) -> None:
        """A policy for the log, whose quorums are waived unless told otherwise."""
        members = {"url": self.simulator.url, **WAIVED, **log}
        text = Scene(self.simulator.log).policy_text(log=members)
        (self.folder / "policy.toml").write_text(text)

    def run(self, words: str) -> tuple[int, str, str]:
        """A command with the policy; its exit status, and what it said."""
        return self.run_without(f"{words} --policy policy.toml")

    def run_without(self, words: str) -> tuple[int, str, str]:
        """A command, as it is."""
        self.capture.readouterr()
        status = main(words.split(), clock=lambda: float(self.now))
        return status, *self.capture.readouterr()

    def copy(self, url: str | None = None) -> tuple[int, dict[str, Any]]:
        """`pcrlog mirror`; its exit status and result."""
        status, out, err = self.run(f"mirror {url or self.simulator.url} mirror --json")
        return status, json.loads(out or "{}") or {"error": err}

    def copied(self) -> dict[str, Any]:
        """The same, which has to succeed and to leave the log's own files."""
        status, found = self.copy()
        assert status == 0, found
        expected = files_of(self.simulator.log)
        assert {name: read_all(self.mirror)[name] for name in expected} == expected
        return found

    def forget(self) -> None:
        """Remove the mirror."""
        shutil.rmtree(self.mirror, ignore_errors=True)


def grow(log: MemoryLog, number: int, name: str = "grown") -> None:
    """So many more releases, sealed once."""
    for n in range(number):
        digest = f"{name}-{n}".encode().hex().ljust(96, "0")[:96]
        subject = {f"PCR{i}": f"sha384:{digest}" for i in range(3)}
        log.release("acme.example/other", f"{name}.{n}", subject)
    log.seal()
