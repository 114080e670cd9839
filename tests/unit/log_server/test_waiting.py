"""The bell, and those who wait for publication."""

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from log_server.databases import log_database
from log_server.store import Store
from log_server.wake import Bell, is_heard, ring
from log_server.watcher import Moment, Watcher
from tests.unit.log_server.parties import Log, Party


class TestBell:
    def test_a_ring_ends_the_wait_and_many_are_one(self, tmp_path: Path) -> None:
        bell = Bell(tmp_path / "run" / "wake")
        for _ in range(3):
            ring(tmp_path / "run" / "wake")
        begun = time.monotonic()
        assert bell.wait(10) == frozenset()
        assert time.monotonic() - begun < 5
        assert bell.wait(0) == frozenset()
        bell.close()

    def test_a_ring_that_nobody_hears_does_nothing(self, tmp_path: Path) -> None:
        ring(tmp_path / "wake")
        Bell(tmp_path / "wake").close()
        ring(tmp_path / "wake")

    def test_a_full_bell_does_not_hold_up_whoever_rings(self, tmp_path: Path) -> None:
        bell = Bell(tmp_path / "wake")
        full = os.open(tmp_path / "wake", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while os.write(full, b"." * 4096):
                pass
        os.close(full)
        ring(tmp_path / "wake")
        bell.wait(0)
        ring(tmp_path / "wake")
        begun = time.monotonic()
        bell.wait(10)
        assert time.monotonic() - begun < 5, "it rings again"
        bell.close()

    def test_whether_somebody_listens_is_known(self, tmp_path: Path) -> None:
        path = tmp_path / "wake"
        assert not is_heard(path)
        bell = Bell(path)
        assert is_heard(path)
        bell.close()
        assert not is_heard(path)


class TestWatcher:
    @pytest.fixture
    def store(self, log: Log) -> Iterator[Store]:
        store = Store(log_database(log.config))
        yield store
        store.close()

    def test_what_comes_while_waiting_is_seen(
        self, log: Log, acme: Party, store: Store
    ) -> None:
        asked = Asked(Watcher(store, lambda: True))
        log.queue(acme.release())
        threading.Timer(0.1, log.sequence).start()
        assert asked(lambda now: now.shown.size == 6, 10)

    def test_what_is_there_already_is_seen_at_once(self, store: Store) -> None:
        begun = time.monotonic()
        assert Asked(Watcher(store, lambda: True))(lambda now: now.shown.size == 2, 10)
        assert time.monotonic() - begun < 5

    def test_waiting_has_an_end(self, store: Store) -> None:
        asked = Asked(Watcher(store, lambda: True))
        assert not asked(lambda now: now.shown.size == 99, 0.05)

    def test_nobody_waits_for_a_sequencer_that_is_gone(self, store: Store) -> None:
        begun = time.monotonic()
        asked = Asked(Watcher(store, lambda: False))
        assert not asked(lambda now: now.shown.size == 99, 30)
        assert time.monotonic() - begun < 10

    def test_a_question_that_fails_fails_for_whoever_asked(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)

        def fail(_now: object) -> bool:
            raise LookupError

        with pytest.raises(LookupError):
            Asked(watcher, close=False)(fail, 5)
        assert Asked(watcher)(lambda now: now.committed.size == 2, 5), (
            "others are not affected"
        )

    def test_a_log_that_cannot_be_read_fails_for_all_and_then_goes_on(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watcher = Watcher(store, lambda: True)

        def fail(_store: Store) -> int:
            message = "database disk image is malformed"
            raise sqlite3.DatabaseError(message)

        monkeypatch.setattr(Store, "version", fail)
        with pytest.raises(sqlite3.DatabaseError):
            Asked(watcher, close=False)(lambda _now: False, 5)
        monkeypatch.undo()
        assert Asked(watcher)(lambda now: now.committed.size == 2, 5)

    def test_a_sequencer_of_which_nothing_can_be_known_ends_the_waiting_not_the_thread(
        self, store: Store
    ) -> None:
        asked: list[bool] = []

        def is_alive() -> bool:
            asked.append(True)
            if len(asked) == 1:
                raise LookupError
            return True

        watcher = Watcher(store, is_alive)
        with pytest.raises(LookupError):
            Asked(watcher, close=False)(lambda _now: False, 30)
        assert Asked(watcher)(lambda now: now.committed.size == 2, 5)

    def test_whoever_cannot_be_told_is_passed_over(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)

        def fail(*_what: object) -> bool:
            raise LookupError

        watcher.ask(fail, fail, 5)  # type: ignore[arg-type] # it never returns
        for _ in range(3):
            asked = Asked(watcher, close=False)
            assert asked(lambda now: now.committed.size == 2, 5)
        watcher.close()

    def test_whoever_waits_is_told_though_the_last_look_fails(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watcher = Watcher(store, lambda: True)
        began, came = threading.Event(), queue.SimpleQueue[Exception]()

        def question(_now: Moment, _last: bool) -> bool:  # noqa: FBT001 - as it is asked
            began.set()
            return False

        def fail(_store: Store) -> object:
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)

        watcher.ask(question, came.put, 30)
        assert began.wait(10)
        monkeypatch.setattr(Store, "committed", fail)
        watcher.close()
        assert isinstance(came.get(timeout=10), sqlite3.OperationalError)

    def test_whoever_waits_at_the_end_is_asked_once_more(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)
        lasts: list[bool] = []

        def question(_now: Moment, last: bool) -> bool:  # noqa: FBT001 - as it is asked
            lasts.append(last)
            return False

        watcher.ask(question, lasts.append, 30)  # type: ignore[arg-type] # never called
        while not lasts:
            time.sleep(0.001)
        watcher.close()
        assert lasts[-1]
        assert not any(lasts[:-1])


class Asked:
    """Asks a watcher one question, and waits for the end of it."""

    def __init__(self, watcher: Watcher, *, close: bool = True) -> None:
        self._watcher = watcher
        self._close = close

    def __call__(self, ready: Callable[[Moment], bool], seconds: float) -> bool:
        came: queue.SimpleQueue[bool | Exception] = queue.SimpleQueue()

        def question(now: Moment, last: bool) -> bool:  # noqa: FBT001 - as it is asked
            found = ready(now)
            if found or last:
                came.put(found)
            return found

        self._watcher.ask(question, came.put, seconds)
        try:
            found = came.get(timeout=60)
        finally:
            if self._close:
                self._watcher.close()
        if isinstance(found, Exception):
            raise found
        return found
