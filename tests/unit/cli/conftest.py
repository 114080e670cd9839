"""Fixtures for tests of the command line."""

from pathlib import Path

import pytest

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
