"""The clock before a seal: what is borne, what is refused, and who lifts it."""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server.app import create_app
from log_server.clock_check import (
    CONFIRMED,
    DAY,
    SKEW,
    ClockCheck,
    ClockError,
    Refusal,
    boot_seconds,
)
from log_server.direct import freeze_directly, open_sequencer
from log_server.sequencing import _sequence_until
from log_server.wake import Bell, is_heard, ring
from tests.support.plain_witness import PlainWitness
from tests.unit.log_server.parties import NOW, Log, Party
from tests.unit.log_server.witnessing import demand, sequencing


@dataclass
class Machine:
    """Two clocks, one of which nobody sets; and the last seal of a log."""

    folder: Path
    now: int = NOW
    steady: float = 1000.0
    last: int = NOW

    def check(self, *, vouched: bool = False) -> ClockCheck:
        return ClockCheck(
            lambda: self.now,
            self.confirmed,
            vouched=vouched,
            steady=lambda: self.steady,
        )

    @property
    def confirmed(self) -> Path:
        return self.folder / "clock-is-right"

    def run(self, seconds: int) -> None:
        self.now += seconds
        self.steady += seconds

    def confirm(self) -> None:
        self.confirmed.touch()
        os.utime(self.confirmed, (self.now, self.now))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_seal_of_a_log_may_have_any_time(machine: Machine) -> None:
    assert machine.check()(0) == NOW


@pytest.mark.parametrize(
    ("behind", "borne"), [(1, True), (SKEW, True), (SKEW + 1, False)]
)
def test_a_little_behind_the_last_seal_is_borne(
    machine: Machine, behind: int, *, borne: bool
) -> None:
    check = machine.check()
    if borne:
        assert check(NOW + behind) == NOW
    else:
        with pytest.raises(ClockError, match="301 s behind the last seal"):
            check(NOW + behind)


def test_no_word_of_an_operator_lifts_a_clock_that_is_behind(machine: Machine) -> None:
    machine.confirm()
    with pytest.raises(ClockError, match="behind"):
        machine.check()(NOW + DAY)


@pytest.mark.parametrize(("ahead", "borne"), [(DAY, True), (DAY + 1, False)])
def test_at_a_start_a_day_after_the_last_seal_is_borne(
    machine: Machine, ahead: int, *, borne: bool
) -> None:
    machine.now += ahead
    if borne:
        assert machine.check()(NOW) == NOW + ahead
        return
    with pytest.raises(ClockError, match="is over a day"):
        machine.check()(NOW)
    machine.confirm()
    assert machine.check()(NOW) == NOW + ahead


def test_whom_witnesses_have_vouched_for_needs_no_operator(machine: Machine) -> None:
    machine.now += 7 * DAY
    check = machine.check(vouched=True)
    assert check(NOW) == machine.now
    machine.now += SKEW + 1
    with pytest.raises(ClockError, match="leapt ahead by 301 s"):
        check(NOW)


def test_a_leap_is_told_from_time_that_passed(machine: Machine) -> None:
    check = machine.check()
    check(NOW)
    machine.run(30 * DAY)
    assert check(NOW) == machine.now
    machine.now += SKEW
    assert check(NOW) == machine.now
    machine.now += SKEW + 1
    with pytest.raises(ClockError, match="leapt"):
        check(NOW)
    machine.now -= SKEW + 1
    assert check(NOW) == machine.now, "and is forgotten when it is set right"


def test_a_confirmed_leap_is_the_time_from_then_on(machine: Machine) -> None:
    check = machine.check()
    check(NOW)
    machine.now += 3600
    machine.confirm()
    assert check(NOW) == machine.now
    machine.run(2 * CONFIRMED)
    assert check(NOW) == machine.now
    machine.now += 3600
    with pytest.raises(ClockError, match="leapt"):
        check(NOW)


def test_a_word_holds_for_ten_minutes_of_the_clock_that_it_was_given_for(
    machine: Machine,
) -> None:
    machine.confirm()
    machine.now += 2 * DAY
    with pytest.raises(ClockError, match=r"say so: touch .*clock-is-right"):
        machine.check()(NOW)


def test_a_clock_that_was_set_back_may_be_set_right_again(machine: Machine) -> None:
    check = machine.check()
    machine.run(3600)
    check(NOW)
    machine.now -= 1800
    assert check(NOW) == machine.now
    machine.run(60)
    assert check(NOW) == machine.now
    machine.now += 1800
    assert check(NOW) == machine.now


def test_the_steady_clock_is_steady() -> None:
    before = boot_seconds()
    time.sleep(0.01)
    assert 0.01 <= boot_seconds() - before < 60


def test_a_refusal_is_said_once_and_taken_back_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clock-refused"
    path.write_text("of a process that was killed\n")
    refusal = Refusal(path)
    refusal.withdraw()
    assert Refusal.read(path) == ""
    for seconds in (400, 401):
        refusal.tell(ClockError(f"the clock is {seconds} s behind"))
    assert Refusal.read(path) == "the clock is 400 s behind"
    refusal.withdraw()
    refusal.withdraw()
    assert Refusal.read(path) == ""
    assert capsys.readouterr().err.splitlines() == [
        "sequencer: the clock is 400 s behind",
        "sequencer: the clock is right again",
    ]


# --- a log ---------------------------------------------------------------------------


def times(log: Log) -> list[int]:
    with log.snapshot() as snapshot:
        return [row.time for row in snapshot.checkpoints()]


@pytest.mark.parametrize("leap", [-SKEW - 1, 365 * DAY])
def test_a_round_at_a_wrong_time_decides_nothing_and_the_next_one_does(
    log: Log, acme: Party, leap: int
) -> None:
    log.queue(acme.release())
    with log.sequencer() as sequencer:
        sequencer.now()
        log.clock.now += leap
        with pytest.raises(ClockError):
            sequencer.round()
        assert times(log) == [NOW, NOW]
        log.clock.now -= leap
        assert sequencer.round() == 1
    assert times(log) == [NOW, NOW, NOW]


def test_small_steps_back_repeat_the_last_time(log: Log, acme: Party) -> None:
    with log.sequencer() as sequencer:
        for step in (50, -100, 20, -200, 300):
            log.clock.now += step
            log.queue(acme.release(1, f"1.0.{len(times(log))}"))
            sequencer.round()
    assert times(log)[2:] == [NOW + 50, NOW + 50, NOW + 50, NOW + 50, NOW + 70]


def test_a_year_ahead_and_back_leaves_no_trace(log: Log, acme: Party) -> None:
    log.clock.now += 365 * DAY
    log.queue(acme.release())
    with pytest.raises(ClockError, match="over a day"):
        log.sequence()
    with pytest.raises(ClockError, match="over a day"):
        freeze_directly(log.config, log.clock)
    log.clock.now = NOW + 1
    log.sequence()
    assert times(log) == [NOW, NOW, NOW + 1]


def test_a_log_that_stood_still_goes_on_at_an_operators_word(log: Log) -> None:
    log.clock.now += 365 * DAY
    log.config.clock_confirmed.touch()
    os.utime(log.config.clock_confirmed, (log.clock.now, log.clock.now))
    log.sequence(idle_seal=True)
    assert times(log) == [NOW, NOW + 365 * DAY]


def test_a_log_that_stood_still_goes_on_when_witnesses_agree(
    log: Log, acme: Party
) -> None:
    with PlainWitness("w1.example/a", [log.new.vkey], clock=log.clock) as one:
        demand(log, [one])
        log.clock.now += 7 * DAY
        log.queue(acme.release())
        with sequencing(log) as sequencer:
            sequencer.round()
    assert times(log) == [NOW, NOW, NOW + 7 * DAY]


def test_a_frozen_log_needs_no_clock(log: Log) -> None:
    log.sequence(freeze=True)
    log.clock.now += 365 * DAY
    with log.sequencer() as sequencer:
        assert sequencer.now() == log.clock.now


def test_the_loop_waits_for_the_clock_and_healthz_says_so(
    log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("log_server.sequencing._REFUSED", 0.01)
    app = create_app(log.config, clock=lambda: NOW)
    lifeline, parent = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        with open_sequencer(log.config, log.clock) as sequencer:
            bell = Bell(log.config.wake)
            _sequence_until(lifeline, bell, sequencer, log.config)
            bell.close()

    def health() -> tuple[int, str]:
        answer = app.test_client().get("/healthz")
        return answer.status_code, json.loads(answer.data)["clock"]

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: is_heard(log.config.wake))
    until(lambda: health() == (200, ""))
    log.clock.now -= 3600
    log.queue(acme.release())
    ring(log.config.wake)
    until(lambda: "3600 s behind the last seal" in health()[1])
    assert health()[0] == 503
    assert "pcrlog_clock_refused 1.0" in app.test_client().get("/metrics").text
    assert times(log) == [NOW, NOW]
    log.clock.now += 3601
    until(lambda: health() == (200, ""))
    until(lambda: times(log) == [NOW, NOW, NOW + 1])
    parent.close()
    thread.join(10)
    lifeline.close()
    app.extensions["pcrlog"].close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
