"""Fixtures for tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lies import honest
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import START
from tests.unit.cli.mirroring import AT_ONCE, Keeper
from tests.unit.cli.world import World, connect


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    """A folder with keys and a policy, and a log that answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "88")
    for name in ("PCRLOG_POLICY", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    made = World(tmp_path, capsys)
    connect(made, monkeypatch)
    return made


@pytest.fixture
def keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Keeper]:
    """Whoever keeps a mirror of an honest log, and has none yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(AT_ONCE, 1)
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", 0.3)
    monkeypatch.setattr("pcrlog.transport._PAUSES", (0.0, 0.0))
    with LogSimulator(honest(START)) as simulator:
        made = Keeper(simulator, tmp_path, capsys)
        made.write_policy()
        yield made
