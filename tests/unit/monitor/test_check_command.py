"""`pcrlog-monitor check`: a file against the state and the log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor import clock
from monitor.check_command import check_command
from monitor.state import State
from pcrlog.errors import UncheckedError, UsageError
from tests.support.log_simulator import refused
from tests.support.memory_log import MemoryLog
from tests.unit.monitor.viewed import Viewed, log_of, viewing


@dataclass
class Desk:
    view: Viewed

    def check(self, *notes: bytes, json_lines: bool = False) -> tuple[int, str]:
        paths = []
        for number, note in enumerate(notes):
            path = self.view.folder / f"handed-{number}"
            path.write_bytes(note)
            paths.append(str(path))
        config = ["--config", str(self.view.folder / "monitor.toml")]
        options = config + ["--json"] * json_lines
        ran = CliRunner().invoke(
            check_command, [*options, *paths], standalone_mode=False
        )
        if ran.exception is not None:
            raise ran.exception
        return ran.return_value, ran.output

    def alerts(self) -> list[str]:
        state = State(self.view.config.state / "monitor.db", read_only=True)
        found = [alert.kind for _, alert in state.newest_alerts(9)]
        state.close()
        return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with viewing(tmp_path, log_of(seals=3)) as view:
        monkeypatch.setattr(clock, "clock", lambda: view.log.now)
        view.keep()
        yield Desk(view)


def test_what_fits_our_history_is_0(desk: Desk) -> None:
    status, said = desk.check(desk.view.log.note, log_of(seals=1).note)
    assert status == 0
    assert ": same: " in said
    assert ": consistent: " in said
    assert desk.alerts() == []


def test_a_lie_is_4_and_an_alert_of_the_running_monitor(desk: Desk) -> None:
    running = State(desk.view.config.state / "monitor.db")
    status, said = desk.check(log_of("evil").note)
    assert status == 4
    [(_, alert)] = running.alerts_after(0, 9)
    running.close()
    assert alert.kind == "equivocation"
    assert alert.evidence is not None
    assert alert.evidence in said
    assert desk.view.proven(alert.evidence).kind == "checkpoints"


def test_a_lie_is_4_whatever_stands_beside_it(desk: Desk) -> None:
    notes = (b"garbage", log_of("evil").note, desk.view.log.note)
    assert desk.check(*notes)[0] == 4


def test_what_cannot_be_compared_is_3(desk: Desk) -> None:
    other = MemoryLog(origin="other.example/pcr")
    other.seal()
    assert desk.check(other.note)[0] == 3
    assert desk.check(b"{}")[0] == 3
    assert desk.check(log_of(seals=9).note)[0] == 3
    assert desk.alerts() == []


def test_without_the_log_a_lie_of_our_size_is_known_all_the_same(desk: Desk) -> None:
    desk.view.simulator.twist = lambda _path, _reply: refused(404, "no", "no")
    assert desk.check(log_of("evil", seals=3).note)[0] == 4
    assert desk.check(log_of("evil", seals=2).note)[0] == 3


def test_json_is_a_line_a_file(desk: Desk) -> None:
    _, said = desk.check(desk.view.log.note, b"garbage", json_lines=True)
    rows = [json.loads(line) for line in said.splitlines()]
    assert [row["verdict"] for row in rows] == ["same", "unchecked"]


def test_without_a_state_nothing_can_be_checked(desk: Desk) -> None:
    (desk.view.config.state / "monitor.db").unlink()
    with pytest.raises(UncheckedError, match="run it first"):
        desk.check(desk.view.log.note)
    State(desk.view.config.state / "monitor.db").close()
    with pytest.raises(UncheckedError, match="run it first"):
        desk.check(desk.view.log.note)


def test_a_file_that_is_not_there_or_too_large_is_wrong_usage(desk: Desk) -> None:
    with pytest.raises(UsageError, match="more than"):
        desk.check(bytes(1 << 21))
    (desk.view.folder / "handed-0").unlink()
    config = ["--config", str(desk.view.folder / "monitor.toml")]
    ran = CliRunner().invoke(
        check_command,
        [*config, str(desk.view.folder / "handed-0")],
        standalone_mode=False,
    )
    assert isinstance(ran.exception, UsageError)
