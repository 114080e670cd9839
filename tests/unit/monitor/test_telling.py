"""What `run` says on standard error: little, and only what is new."""

import pytest

from monitor.follow import Outcome
from monitor.telling import Teller

CLEAN = Outcome("clean", "5 leaves verified", 5)


def teller(*, terminal: bool = False) -> tuple[Teller, list[str]]:
    said: list[str] = []
    return Teller("log.example/pcr", said.append, terminal=terminal), said


def test_a_round_that_ends_as_the_one_before_is_not_worth_a_line() -> None:
    it, said = teller()
    it.ended(CLEAN)
    it.ended(Outcome("clean", "6 leaves verified", 6))
    assert said == ["log.example/pcr: clean: 5 leaves verified\n"]
    it.ended(Outcome("alerts", "fork", 6))
    it.ended(CLEAN)
    assert len(said) == 3


class Time:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("monitor.telling.time.monotonic", lambda: self.now)


def test_a_long_round_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    it, said = teller()
    it.progress(0, 10_000)
    time.now += 0.5
    it.progress(500, 10_000)
    assert said == []
    time.now += 1.5
    it.progress(2_000, 10_000)
    [line] = said
    assert "2,000 of 10,000 leaves verified, 1,000 a second, 8 s to go" in line
    time.now += 1.0
    it.progress(3_000, 10_000)
    assert len(said) == 1, "not more often than every ten seconds into a file"


def test_on_a_terminal_one_line_is_written_over_and_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time(monkeypatch)
    it, said = teller(terminal=True)
    it.progress(0, 10)
    for done in (1, 2, 10):
        time.now += 2
        it.progress(done, 10)
    assert [line.endswith("\n") for line in said] == [False, False, True]
    assert all(line.startswith("\r") for line in said)


def test_nothing_done_yet_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    it, said = teller()
    it.progress(0, 10)
    time.now += 2
    it.progress(0, 10)
    assert "0 of 10" in said[0]
