"""The lease: one has it, whoever stands still loses it, and whoever lost it is told."""

import contextlib
import errno
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest

from log_server import enrolment, lease
from log_server.config import Config, Public
from log_server.databases import log_database
from log_server.direct import exclusively, freeze_directly, open_sequencer
from log_server.engine import Database
from log_server.fsck import check
from log_server.lease import GivenUpError, Heart, LockedError, LostError, Waiting
from log_server.lease_watch import Watch, caller_of
from log_server.ledger import Ledger
from log_server.wake import Bell, Fifo
from log_server.witnesses import Patience
from tests.support import postgres as support
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import Log, Party


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_BEAT", 0.05)
    monkeypatch.setattr(lease, "_LOOK", 0.01)


@pytest.fixture
def log(tmp_path: Path, postgres: Postgres) -> Log:
    made = Log.create(tmp_path / "log", database=postgres.schema())
    return set_up(made, lease=1)


def set_up(log: Log, **settings: object) -> Log:
    new = msgspec.structs.replace(log.config.settings, **settings)
    log.config = Config(log.config.directory, new)
    return log


@contextmanager
def connected(log: Log) -> Iterator[Database]:
    database = log_database(log.config).connect(read_only=False)
    try:
        yield database
    finally:
        database.close()


def told(_why: str) -> None:
    pytest.fail("it was not lost")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def beats(log: Log) -> tuple[int, int]:
    with connected(log) as database:
        row = database.execute("select term, beat from lease").fetchone()
        return int(row[0]), int(row[1])


# --- who has it -----------------------------------------------------------------------


def test_of_two_who_want_it_one_has_it_and_the_other_goes_on_when_it_ends(
    log: Log,
) -> None:
    order: SimpleQueue[str] = SimpleQueue()
    ends = {name: threading.Event() for name in "ab"}
    asked = threading.Event()
    waiting = Waiting(waiting=asked.set, forever=True)

    def sequence(name: str) -> None:
        with (
            connected(log) as database,
            lease.leased(log.config, database, waiting, told),
        ):
            order.put(name)
            ends[name].wait(10)

    threads = [threading.Thread(target=sequence, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    first = order.get(timeout=10)
    assert asked.wait(10)
    # For longer than a holder may be silent: this one is not.
    time.sleep(log.config.settings.lease + 0.5)
    assert order.empty()
    ends[first].set()
    assert order.get(timeout=10) == ({"a", "b"} - {first}).pop()
    for name, thread in zip("ab", threads, strict=True):
        ends[name].set()
        thread.join(10)


def test_whose_count_stands_still_loses_its_connection_and_can_write_no_more(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    with connected(log) as silent:
        [took] = silent.execute(
            f"select pg_try_advisory_lock({lease._LOCK})"
        ).fetchone()
        assert took
        term, _ = beats(log)
        begun = time.monotonic()
        with (
            connected(log) as database,
            lease.leased(log.config, database, Waiting(forever=True), told),
        ):
            assert time.monotonic() - begun >= log.config.settings.lease
            assert beats(log)[0] == term + 1
            with pytest.raises(Exception, match="terminating connection"):
                silent.execute("update log set taken = taken")
    assert "gave no sign of life" in capsys.readouterr().err


def test_who_may_not_end_the_connection_of_another_says_so_and_waits(
    log: Log, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    postgres.execute("create role stranger login in role pg_read_all_data")
    url = log.config.settings.database or ""
    said: list[str] = []

    def has_been_said() -> bool:
        said.append(capsys.readouterr().err)
        return "is another role's" in said[-1]

    set_up(log, lease=0.3)
    with connected(log) as silent:
        silent.execute(f"select pg_try_advisory_lock({lease._LOCK})")
        set_up(log, database=url.replace("//pcrlog@", "//stranger@"))
        waiting = Waiting(ended=has_been_said, forever=True)
        with (
            connected(log) as mine,
            pytest.raises(GivenUpError),
            lease.leased(log.config, mine, waiting, told),
        ):
            pytest.fail("it was taken")
    assert "gave no sign of life for 0." in said[-1]


def test_a_command_takes_it_from_nobody_who_works(log: Log) -> None:
    other = elsewhere(log)
    with log.sequencer():
        with pytest.raises(LockedError, match="sequences this log: stop it first"):
            freeze_directly(other, log.clock)
        with log.snapshot() as snapshot:
            newest = snapshot.checkpoint()
            assert newest is not None
            assert not newest.frozen


def elsewhere(log: Log) -> Config:
    """Another folder of the same log."""
    other = Config(log.config.directory.parent / "other", log.config.settings)
    (other.directory / "keys").mkdir(parents=True)
    (other.directory / "run").mkdir()
    other.log_key.write_bytes(log.config.log_key.read_bytes())
    return other


@pytest.mark.parametrize("folder", ["the same", "another"])
def test_what_is_enrolled_is_decided_by_whoever_has_it(log: Log, folder: str) -> None:
    config = log.config if folder == "the same" else elsewhere(log)
    identity = log.identity(Party("acme.example"), "provider")
    ended = threading.Event()

    def sequence() -> None:
        with log.sequencer() as sequencer:
            begun.set()
            while not ended.wait(0.01):
                sequencer.round()

    begun = threading.Event()
    thread = threading.Thread(target=sequence)
    thread.start()
    try:
        assert begun.wait(10)
        with exclusively(log.config):
            assert enrolment.submit(config, identity, log.clock) == 2
    finally:
        ended.set()
        thread.join(10)


def test_who_may_not_wait_for_ever_is_a_log_that_is_read_from_its_folder(
    log: Log,
) -> None:
    set_up(log, public=Public("folder"))
    other = elsewhere(log)
    forever = Patience(math.inf)
    with (
        log.sequencer(),
        pytest.raises(LockedError),
        open_sequencer(other, log.clock, patience=forever),
    ):
        pytest.fail("two folders, of which each shows the log")


def test_who_waits_gives_up_when_its_parent_has_ended(log: Log) -> None:
    waiting = Waiting(ended=lambda: True, forever=True)
    with (
        connected(log) as one,
        connected(log) as other,
        lease.leased(log.config, one, waiting, told),
        pytest.raises(GivenUpError),
        lease.leased(log.config, other, waiting, told),
    ):
        pytest.fail("it was to be had twice")


# --- the heart ------------------------------------------------------------------------


def test_a_heart_beats_while_its_thread_works_and_stops_when_that_stands_still(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_STUCK", 0.5)
    stuck = threading.Event()
    works = threading.Event()

    def sequence() -> None:
        with connected(log) as mine:
            heart = Heart(mine, beats(log)[0], told)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                pass
            works.set()
            stuck.wait(10)
            heart.close()

    thread = threading.Thread(target=sequence)
    before = beats(log)[1]
    thread.start()
    assert works.wait(10)
    assert beats(log)[1] > before + 3
    time.sleep(1)
    still = beats(log)
    time.sleep(0.3)
    assert beats(log) == still
    stuck.set()
    thread.join(10)


def test_who_has_lost_it_is_told_and_what_fails_then_is_no_fault_of_the_log(
    log: Log,
) -> None:
    why: SimpleQueue[str] = SimpleQueue()

    def lose_it() -> None:
        with connected(log) as mine, lease.leased(log.config, mine, Waiting(), why.put):
            with connected(log) as database:
                database.execute("update lease set term = term + 1")
            message = "a witness has seen more"
            raise RuntimeError(message)

    with pytest.raises(LostError, match="witness"):
        lose_it()
    with connected(log) as mine, lease.leased(log.config, mine, Waiting(), why.put):
        with connected(log) as database:
            database.execute("update lease set term = term + 1")
        assert why.get(timeout=10) == "another sequencer has taken it"


def test_what_fails_while_it_is_held_is_what_it_is(log: Log) -> None:
    with (
        connected(log) as mine,
        pytest.raises(ZeroDivisionError),
        lease.leased(log.config, mine, Waiting(), told),
    ):
        raise ZeroDivisionError


def test_what_fails_while_nobody_can_say_who_has_it_is_taken_for_its_loss(
    tmp_path: Path, postgres: Postgres
) -> None:
    # But what the database itself says of that is its own fault.
    with support.running(durable=False) as server:
        log = Log.create(tmp_path / "log", database=server.database())
        for error, expected in (
            (ZeroDivisionError(), LostError),
            (OSError(errno.EIO, "EIO"), OSError),
        ):
            with pytest.raises(expected):
                fail_without(log, server, error)
            server.start()


def fail_without(log: Log, server: Postgres, error: Exception) -> None:
    with (
        connected(log) as mine,
        lease.leased(log.config, mine, Waiting(), lambda _why: None),
    ):
        server.stop()
        raise error


def test_a_heart_without_its_database_is_lost(log: Log, postgres: Postgres) -> None:
    why: SimpleQueue[str] = SimpleQueue()
    with connected(log) as mine:
        heart = Heart(mine, beats(log)[0], why.put)
        [pid] = mine.execute("select pg_backend_pid()").fetchone()
        postgres.execute(f"select pg_terminate_backend({pid})")
        assert "the database cannot be reached" in why.get(timeout=10)
        heart.close()


# --- who is overtaken -----------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "rows-read",
        "batch-made",
        "signed",
        "committed",
        "tiles-written",
        "cosigned",
        "checkpoint-written",
        "published",
    ],
)
def test_who_stands_still_in_a_batch_and_is_overtaken_publishes_nothing_any_more(
    log: Log, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(lease, "_STUCK", 0.1)
    set_up(log, lease=0.3)
    acme = log.enrol("acme.example", "provider")
    stands, goes_on = threading.Event(), threading.Event()
    failed: SimpleQueue[Exception] = SimpleQueue()

    def stand(name: str) -> None:
        if name == step and not stands.is_set():
            stands.set()
            goes_on.wait(20)

    def sequence() -> None:
        try:
            with open_sequencer(log.config, log.clock, stand) as sequencer:
                while sequencer.round():
                    pass
                # It may have been done with this one; not with another.
                sequencer.round(idle_seal=True)
        except Exception as error:  # noqa: BLE001 - whatever it says
            failed.put(error)

    log.queue(acme.release(1))
    thread = threading.Thread(target=sequence)
    thread.start()
    assert stands.wait(10)
    forever = Patience(math.inf)
    with open_sequencer(elsewhere(log), log.clock, patience=forever) as sequencer:
        while sequencer.round():
            pass
        log.queue(acme.release(2, "2.0.0"))
        assert sequencer.round() == 1
        with log.snapshot() as snapshot:
            shown = snapshot.published()
            assert snapshot.published_size() == snapshot.size == 8
        goes_on.set()
        thread.join(10)
        assert isinstance(failed.get(timeout=1), LostError)
        with log.snapshot() as snapshot:
            assert snapshot.published() == shown
        # Whoever has it goes on.
        assert sequencer.round(idle_seal=True) == 0
    assert check(log.config).wrong == []


# --- who looks on ---------------------------------------------------------------------


def test_a_web_process_knows_who_sequences_and_that_nobody_does(log: Log) -> None:
    watch = Watch(log_database(log.config), 0.5)
    assert (watch.is_heard(), watch.holder()) == (False, "")
    with log.sequencer():
        until(watch.is_heard)
        assert watch.holder() == f"{os.uname().nodename}, process {os.getpid()}"
        # However seldom it looks.
        time.sleep(1)
        assert watch.is_heard()
    until(lambda: not watch.is_heard())
    watch.close()


def test_a_web_process_that_cannot_ask_knows_of_nobody(
    log: Log, postgres: Postgres
) -> None:
    watch = Watch(log_database(log.config), 2)
    with log.sequencer():
        until(watch.is_heard)
        [pid] = watch._database.execute("select pg_backend_pid()").fetchone()  # type: ignore[union-attr] # it has looked
        postgres.execute(f"select pg_terminate_backend({pid})")
        assert not watch.is_heard()
        assert watch.is_heard()
    watch.close()


def test_a_log_in_a_folder_has_no_lease(tmp_path: Path) -> None:
    caller = caller_of(Log.create(tmp_path / "log").config)
    assert isinstance(caller, Fifo)
    caller.ring()
    assert (caller.is_heard(), caller.holder()) == (False, "")
    caller.close()


# --- the bell -------------------------------------------------------------------------


def test_it_rings_with_the_commit_and_not_without(tmp_path: Path, log: Log) -> None:
    bell = Bell(tmp_path / "bell")
    bell.listen(log_database(log.config).connect(read_only=True))
    idle, writer = os.pipe()

    def seconds() -> float:
        begun = time.monotonic()
        assert bell.wait(0.4, [idle]) == frozenset()
        return time.monotonic() - begun

    with connected(log) as database:
        with contextlib.suppress(ZeroDivisionError), database.transaction():
            database.ring("intake")
            raise ZeroDivisionError
        assert seconds() >= 0.4
        with database.transaction():
            database.ring("intake")
        assert seconds() < 0.3
        assert seconds() >= 0.4
    bell.close()
    os.close(idle)
    os.close(writer)


def test_a_ledger_writes_by_the_connection_that_holds_the_lease(log: Log) -> None:
    ledger = Ledger(log_database(log.config), log.config.vkey())
    assert ledger.database is ledger.snapshot()._database
    ledger.close()
