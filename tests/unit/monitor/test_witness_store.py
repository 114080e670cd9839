"""The memory of a witness: compared and stored in one step, and never back."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.witness_store import (
    NAME,
    Cosigned,
    Fork,
    WitnessStore,
    create,
    read,
)
from pcrlog.errors import UncheckedError, UsageError

VKEY = "w1.example+00000000+key"


def row(size: int, time: int = 1, origin: str = "log", root: int = 0) -> Cosigned:
    return Cosigned(origin, size, bytes([root]) * 32, time, f"note {size}\n".encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    create(path, VKEY, 1)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[WitnessStore]:
    store = WitnessStore(path, VKEY)
    yield store
    store.close()


def test_nothing_is_made_by_opening(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without its memory"):
        WitnessStore(tmp_path / NAME, VKEY)
    assert not (tmp_path / NAME).exists()


def test_a_memory_is_made_once(path: Path) -> None:
    with pytest.raises(UsageError, match="never forgets"):
        create(path, VKEY, 1)


def test_a_file_of_no_witness_is_none(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with pytest.raises(UsageError, match="of no witness"):
        read(tmp_path / NAME)


def test_the_memory_of_another_key_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="not of another"):
        WitnessStore(path, "another")


def test_what_was_stored_is_there_after_a_new_start(path: Path) -> None:
    for size in (0, 5, 9):
        store = WitnessStore(path, VKEY)
        try:
            assert store.advance(store.latest("log"), row(size)) is None
        finally:
            store.close()
    assert read(path).cosigned == (row(9),)
    again = WitnessStore(path, VKEY)
    try:
        assert again.latest("log") == row(9)
    finally:
        again.close()


def test_a_log_is_found_by_the_digest_of_its_origin(path: Path) -> None:
    digest = hashlib.sha256(b"log.example/pcr").hexdigest()
    for seen in (False, True):
        store = WitnessStore(path, VKEY)
        try:
            assert (store.by_digest(digest) is not None) == seen
            assert store.by_digest(digest[:-1]) is None
            if not seen:
                store.advance(None, row(5, origin="log.example/pcr"))
            assert store.by_digest(digest) == row(5, origin="log.example/pcr")
        finally:
            store.close()


def test_what_stands_there_comes_back_if_it_is_not_what_was_thought(
    store: WitnessStore,
) -> None:
    assert store.advance(None, row(5)) is None
    assert store.advance(None, row(7)) == row(5)
    assert store.advance(row(4), row(7)) == row(5)
    assert store.advance(row(5, root=1), row(7)) == row(5)
    assert store.latest("log") == row(5)


def test_a_later_line_under_the_same_state_is_no_other_state(
    store: WitnessStore,
) -> None:
    store.advance(None, row(5, time=3))
    assert store.advance(row(5, time=1), row(7, time=3)) is None
    assert store.advance(row(7), row(8, time=2)) == row(7, time=3)


def test_of_two_that_race_one_wins(store: WitnessStore) -> None:
    barrier = threading.Barrier(2)

    def go(old: Cosigned | None, new: Cosigned) -> Cosigned | None:
        barrier.wait()
        return store.advance(old, new)

    with ThreadPoolExecutor(2) as pool:
        for size in range(0, 200, 2):
            old = store.latest("log")
            new = row(size + 1), row(size + 2, root=1)
            answers = list(pool.map(go, (old, old), new))
            assert answers.count(None) == 1, answers
            assert store.latest("log") == new[answers.index(None)]


def test_many_logs_at_once_are_one_transaction_and_all_stored(path: Path) -> None:
    commits: list[str] = []
    store = WitnessStore(path, VKEY, commits.append)
    origins = [f"log{number}" for number in range(64)]
    with ThreadPoolExecutor(64) as pool:
        answers = pool.map(lambda o: store.advance(None, row(5, origin=o)), origins)
        assert set(answers) == {None}
    store.close()
    assert commits.count("compared") == 64
    assert commits.count("committed") < 64
    assert {one.origin for one in read(path).cosigned} == set(origins)


def test_what_cannot_be_stored_is_unchecked_and_changes_nothing(path: Path) -> None:
    failing = True

    def step(name: str) -> None:
        if failing and name == "stored":
            message = "disk full"
            raise OSError(message)

    store = WitnessStore(path, VKEY, step)
    try:
        with pytest.raises(UncheckedError, match="disk full"):
            store.advance(None, row(5))
        assert store.failure == "disk full"
        assert store.latest("log") is None
        failing = False
        assert store.advance(None, row(5)) is None
        assert store.failure is None
    finally:
        store.close()


def test_a_commit_that_came_to_disk_unnoticed_is_found(path: Path) -> None:
    store = WitnessStore(path, VKEY)
    try:
        with sqlite3.connect(path) as other:
            other.execute(
                "insert into cosigned values ('log', 9, zeroblob(32), 1, 'note 9\n')"
            )
        assert store.advance(None, row(5)) == row(9)
        assert store.latest("log") == row(9)
    finally:
        store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update cosigned set size = 4",
        "update cosigned set time = 1",
        "update cosigned set root = zeroblob(32)",
        "update cosigned set origin = 'other'",
        "delete from cosigned",
    ],
)
def test_the_database_itself_refuses_to_go_back(path: Path, statement: str) -> None:
    store = WitnessStore(path, VKEY)
    store.advance(None, row(5, time=2, root=1))
    store.close()
    with sqlite3.connect(path) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)


def test_a_log_that_is_gone_from_the_file_is_a_mistake(store: WitnessStore) -> None:
    with pytest.raises(UncheckedError, match="is gone"):
        store.advance(row(5), row(7))


def test_forks_are_kept_once_each_and_a_few_of_a_log(path: Path) -> None:
    store = WitnessStore(path, VKEY)
    try:
        for number in range(20):
            fork = Fork("log", 5, b"ours\n", b"theirs %d\n" % number, 1)
            kept = store.keep_fork(fork, bytes([number]) * 32)
            assert kept == (number < 16)
            assert not store.keep_fork(fork, bytes([number]) * 32)
        assert store.forks == 16
    finally:
        store.close()
    forks = read(path).forks
    assert len(forks) == 16
    assert forks[0] == Fork("log", 5, b"ours\n", b"theirs 0\n", 1)
    again = WitnessStore(path, VKEY)
    assert again.forks == 16
    again.close()
