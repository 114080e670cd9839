"""The parts of a witness as it runs, in this process; tests/e2e has them in theirs."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor import witness_serving
from monitor.locking import LockedError
from monitor.serving import Served
from monitor.witness_config import Settings
from monitor.witness_making import make_witness_folder
from monitor.witness_serving import LogList, crash_for_tests, make_witness
from monitor.witness_store import WitnessStore
from pcrlog.errors import UsageError
from pcrlog.witness import REQUEST
from tests.unit.monitor.witnessed import NOW, Clock, Log

ONE, TWO = Log(1), Log(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_witness_folder(tmp_path / "w", "w1.example", NOW)
    (tmp_path / "w" / "logs").write_text(f"{ONE.key} 24\n", "ascii")
    return tmp_path / "w"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def logs(folder: Path, said: list[str]) -> LogList:
    return LogList(folder, Settings.load(folder), said.append)


def test_a_list_is_read_again_only_if_it_changed_or_somebody_asks(
    logs: LogList, folder: Path
) -> None:
    assert not logs.refresh()
    assert logs.refresh(always=True)
    (folder / "logs").write_text(f"{TWO.key}\n", "ascii")
    assert logs.refresh()
    assert not logs.refresh()
    assert (logs.key(ONE.origin), logs.key(TWO.origin)) == (None, TWO.key)
    assert (logs.qpd(TWO.origin), logs.qpd(ONE.origin)) == (86_400, 86_400)


def problem(logs: LogList) -> str | None:
    return logs.problem


def test_a_broken_list_is_refused_once_and_the_old_one_stays(
    logs: LogList, folder: Path, said: list[str]
) -> None:
    (folder / "logs").write_text("nonsense\n", "ascii")
    assert logs.refresh()
    assert not logs.refresh()
    assert logs.key(ONE.origin) == ONE.key
    assert "line 1" in str(problem(logs))
    (folder / "logs").unlink()
    assert logs.refresh()
    assert "cannot read" in str(problem(logs))
    (folder / "logs").write_text(f"{ONE.key} 24\n", "ascii")
    assert logs.refresh()
    assert problem(logs) is None
    assert [line.split(":")[0] for line in said] == [
        "cosigns for 1 logs",
        "the list of logs stays as it was",
        "the list of logs stays as it was",
        "cosigns for 1 logs",
    ]


def test_at_the_start_a_broken_list_is_the_end(folder: Path) -> None:
    (folder / "logs").write_text("nonsense\n", "ascii")
    with pytest.raises(UsageError, match="line 1"):
        LogList(folder, Settings.load(folder), print)


def test_new_lists_in_the_settings_count_and_a_new_name_does_not(
    logs: LogList, folder: Path, said: list[str]
) -> None:
    toml = folder / "witness.toml"
    text = toml.read_text("ascii")
    (folder / "more").write_text("logs/v0\nvkey w+00000000+BAAA\n", "ascii")
    toml.write_text(text.replace('["logs"]', '["logs", "more"]'), "ascii")
    assert logs.refresh()
    assert "skipped: w: a key of another type" in said
    (folder / "more").write_text(f"{TWO.key}\n", "ascii")
    assert logs.refresh()
    assert logs.key(TWO.origin) == TWO.key
    toml.write_text(text.replace("w1.example", "w2.example"), "ascii")
    assert logs.refresh()
    assert "witness.toml: name, listen and prefix need a new start" in said


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    before = signal.getsignal(signal.SIGHUP)
    served = make_witness(folder, Clock())
    try:
        yield served
    finally:
        served.close()
        signal.signal(signal.SIGHUP, before)


def ask(served: Served, method: str, path: str) -> tuple[str, dict[str, str], bytes]:
    started: list[Any] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path}
    body = b"".join(served.app(environ, lambda *words: started.append(words)))
    [(status, headers)] = started
    return status, dict(headers), body


def test_health_and_metrics_are_beside_the_witness(served: Served) -> None:
    status, headers, body = ask(served, "GET", "/healthz")
    assert (status, headers["Content-Type"]) == ("200 OK", "application/json")
    assert json.loads(body) == {
        "forks": 0,
        "list_refused": False,
        "logs": 1,
        "ok": True,
    }
    _, headers, body = ask(served, "GET", "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        b"pcrlog_witness_logs 1.0",
        b"pcrlog_witness_list_refused 0.0",
        b"pcrlog_witness_store_failing 0.0",
        b"pcrlog_witness_forks_total 0.0",
    ):
        assert line in body
    assert ask(served, "HEAD", "/metrics")[2] == b""
    assert ask(served, "GET", "/other")[0] == "404 Not Found"
    status, headers, _ = ask(served, "POST", "/healthz")
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_a_witness_that_cannot_store_is_not_healthy(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = property(lambda _self: "disk full")
    monkeypatch.setattr(WitnessStore, "failure", full)
    status, _, body = ask(served, "GET", "/healthz")
    assert status.startswith("503 ")
    assert not json.loads(body)["ok"]
    assert b"disk full" not in body
    assert b"pcrlog_witness_store_failing 1.0" in ask(served, "GET", "/metrics")[2]


def test_a_hang_up_reads_the_list_again(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    text = ""
    for _ in range(200):
        text += capsys.readouterr().err
        if text:
            break
        time.sleep(0.02)
    assert text == "cosigns for 1 logs\n"


def test_a_folder_is_held_until_it_is_closed(
    served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_serving, "_PREDECESSOR_SECONDS", 0)
    with pytest.raises(LockedError):
        make_witness(folder, Clock())
    served.close()
    make_witness(folder, Clock()).close()


def test_a_crash_is_made_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: killed.append(number))
    crash_for_tests()("stored")
    monkeypatch.setenv("PCRLOG_TEST_CRASH", "stored:2")
    step = crash_for_tests()
    for name in ("stored", "compared"):
        step(name)
    assert killed == []
    step("stored")
    assert killed == [signal.SIGKILL]


def test_the_page_about_witnesses_has_our_limits() -> None:
    page = Path(__file__).parents[3] / "docs" / "witness.md"
    assert f"{REQUEST:,} bytes" in page.read_text("utf-8")
