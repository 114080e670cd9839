"""The bell, and those who wait for publication."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from log_server.store import Store
from log_server.wake import Bell, is_heard, ring
from log_server.watcher import Watcher
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
        store = Store(log.config.log_db)
        yield store
        store.close()

    def test_what_comes_while_waiting_is_seen(
        self, log: Log, acme: Party, store: Store
    ) -> None:
        watcher = Watcher(store, lambda: True)
        log.queue(acme.release())
        threading.Timer(0.1, log.sequence).start()
        assert watcher.wait(lambda now: now.published == 6, 10)
        watcher.close()

    def test_what_is_there_already_is_seen_at_once(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)
        begun = time.monotonic()
        assert watcher.wait(lambda now: now.snapshot.size == 2, 10)
        assert time.monotonic() - begun < 5
        watcher.close()

    def test_waiting_has_an_end(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)
        assert not watcher.wait(lambda now: now.snapshot.size == 99, 0.05)
        watcher.close()

    def test_nobody_waits_for_a_sequencer_that_is_gone(self, store: Store) -> None:
        watcher = Watcher(store, lambda: False)
        begun = time.monotonic()
        assert not watcher.wait(lambda now: now.snapshot.size == 99, 30)
        assert time.monotonic() - begun < 10
        watcher.close()

    def test_a_question_that_fails_fails_for_whoever_asked(self, store: Store) -> None:
        watcher = Watcher(store, lambda: True)

        def fail(_now: object) -> bool:
            raise LookupError

        with pytest.raises(LookupError):
            watcher.wait(fail, 5)
        assert watcher.wait(lambda now: now.snapshot.size == 2, 5), (
            "others are not affected"
        )
        watcher.close()
