"""The sequencer's loop: rows when it is woken, seals when it is idle, an end."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from log_server.config import Config
from log_server.direct import exclusively, open_sequencer
from log_server.lease import LockedError
from log_server.sequencing import _sequence_until, _step_for_tests
from log_server.wake import Bell, is_heard, ring
from tests.unit.log_server.parties import Log, Party


@contextmanager
def looping(log: Log, **settings: int) -> Iterator[None]:
    """The loop, in a thread, until the lifeline ends."""
    new = msgspec.structs.replace(log.config.settings, **settings)
    config = Config(log.config.directory, new)
    lifeline, parent = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        with open_sequencer(config, log.clock) as sequencer:
            bell = Bell(config.wake)
            _sequence_until(lifeline, bell, sequencer, config)
            bell.close()

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: is_heard(config.wake))
    try:
        yield
    finally:
        parent.close()
        thread.join(10)
        lifeline.close()
        assert not thread.is_alive(), "the loop ends with its parent"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sizes(log: Log) -> list[int]:
    with log.snapshot() as snapshot:
        return [row.size for row in snapshot.checkpoints()]


def test_what_waits_is_taken_when_it_is_woken(log: Log, acme: Party) -> None:
    with looping(log):
        for i in range(3):
            log.queue(acme.release(1, f"1.0.{i}"))
            ring(log.config.wake)
            until(lambda i=i: sizes(log)[-1] == 6 + 2 * i)  # type: ignore[misc] # bound


def test_what_waited_before_it_began_is_taken_without_a_ring(
    log: Log, acme: Party
) -> None:
    log.queue(acme.release())
    with looping(log):
        until(lambda: sizes(log)[-1] == 6)


def test_an_idle_log_is_sealed_when_a_heartbeat_is_due(log: Log) -> None:
    with looping(log):
        time.sleep(0.1)
        assert sizes(log) == [2]
    log.clock.now += 3600
    with looping(log):
        until(lambda: sizes(log) == [2, 3])
        time.sleep(0.1)
        assert sizes(log) == [2, 3]


def test_the_seal_of_an_idle_log_keeps_its_distance_too(log: Log, acme: Party) -> None:
    log.clock.now += 3600
    with looping(log, min_publish_interval=1):
        until(lambda: sizes(log)[-1] == 5)
        log.queue(acme.release())
        ring(log.config.wake)
        time.sleep(0.2)
        assert sizes(log)[-1] == 5
        until(lambda: sizes(log)[-1] == 7)


def test_a_frozen_log_is_not(log: Log) -> None:
    log.sequence(freeze=True)
    log.clock.now += 3600
    with looping(log):
        ring(log.config.wake)
        time.sleep(0.2)
        assert sizes(log) == [2, 3]


def test_statements_gather_while_a_checkpoint_may_not_come_yet(
    log: Log, acme: Party
) -> None:
    with looping(log, min_publish_interval=1):
        log.queue(acme.release(1, "1.0.0"))
        ring(log.config.wake)
        until(lambda: sizes(log)[-1] == 6)
        for i in range(1, 4):
            log.queue(acme.release(1, f"1.0.{i}"))
            ring(log.config.wake)
        time.sleep(0.2)
        assert sizes(log)[-1] == 6
        until(lambda: sizes(log)[-1] == 10)
    assert sizes(log) == [2, 4, 6, 10]


def test_a_second_sequencer_waits_for_the_first_and_gives_up(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("log_server.direct._FINISH_SECONDS", 0.05)
    with log.sequencer(), pytest.raises(LockedError), log.sequencer():
        pass
    with log.sequencer():
        pass


def test_a_folder_is_used_by_one_at_a_time(log: Log) -> None:
    with (
        exclusively(log.config),
        pytest.raises(LockedError, match="serve"),
        exclusively(log.config),
    ):
        pass


def test_no_step_kills_unless_a_test_says_so() -> None:
    step = _step_for_tests()
    for name in ("", "committed"):
        step(name)
