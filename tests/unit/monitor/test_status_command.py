"""`status`: the same for people and programs, and an exit status for scripts."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from monitor.alerts import Alert
from monitor.config import Config
from monitor.ledger import Ledger
from monitor.state import State, Verified
from monitor.status_command import status_command
from pcrlog.encoding import printable
from pcrlog.errors import UncheckedError
from tests.unit.monitor.delivering import HOSTILE, LOG, NOW, configure, smtp, stdout


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configure(tmp_path, smtp("127.0.0.1:25") + stdout())


def watch(config: Config, *, lied: bool = False) -> None:
    state = State(config.state / "monitor.db")
    state.begin("vkey", b"first", NOW)
    state.advance(Verified(5, (bytes(32),) * 2, b"note", NOW, frozen=False), [])
    state.add_round(time=NOW, took_ms=7, size=5, outcome="clean", found="5 verified")
    state.raise_alert(
        Alert.of("fork", LOG, HOSTILE, "two", time=NOW, evidence="fork-9.pcrevidence")
    )
    state.set_condition(Alert.of("stale", LOG, "since", "old", time=NOW))
    if lied:
        state.remember("follow", "tainted", "fork")
    state.close()
    ledger = Ledger(config.state / "delivery.db")
    ledger.enrol(["mail", "stdout"], 0)
    ledger.keep_refused("mail", NOW, "not now")
    ledger.keep_taken("stdout", 2, None)
    ledger.close()


def status(config: Config, *words: str) -> tuple[Result, object]:
    runner = CliRunner()
    path = str(config.folder / "monitor.toml")
    result = runner.invoke(
        status_command, ["--config", path, *words], standalone_mode=False
    )
    return result, result.return_value


def test_before_the_first_start_there_is_nothing_to_say(config: Config) -> None:
    result, _ = status(config)
    assert isinstance(result.exception, UncheckedError)
    assert "run it first" in str(result.exception)


def test_a_state_before_the_first_round_is_shown(config: Config) -> None:
    State(config.state / "monitor.db").close()
    result, code = status(config)
    assert code == 0
    assert result.output.startswith("PeterNeumann: 0 leaves verified\n")


def test_people_see_all_of_it_in_harmless_lines(config: Config) -> None:
    watch(config)
    result, code = status(config)
    assert code == 0
    assert result.output.splitlines() == [
        "PeterNeumann: 5 leaves verified, sealed 2026-11-25T07:00:00Z",
        "  stale since 2026-11-25T07:00:00Z",
        "  last round  2026-11-25T07:00:00Z, 7 ms: 5 verified",
        "  sink mail: 2 waiting, refuses since 2026-11-25T07:00:00Z: not now",
        "  sink stdout: 0 waiting",
        "  2026-11-25T07:00:00Z  WARNING stale: since: old",
        "  2026-11-25T07:00:00Z  ALARM fork: " + printable(HOSTILE) + ": two",
        f"    evidence: {config.state / 'evidence' / 'fork-9.pcrevidence'}",
    ]


def test_programs_get_the_same_as_json(config: Config) -> None:
    watch(config)
    result, code = status(config, "--json")
    assert code == 0
    found = msgspec.json.decode(result.output)
    assert found["size"] == 5
    assert found["conditions"] == [{"kind": "stale", "since": NOW}]
    assert [one["evidence"] for one in found["alerts"]] == [None, "fork-9.pcrevidence"]
    assert found["sinks"][0] == {
        "delivered": 0,
        "failing": NOW,
        "kind": "smtp",
        "name": "mail",
        "pending": 2,
        "problem": "not now",
    }


def test_a_log_that_lied_is_4(config: Config) -> None:
    watch(config, lied=True)
    result, code = status(config)
    assert code == 4
    assert "it has lied: fork" in result.output
