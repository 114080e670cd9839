"""Reading the log: one moment a snapshot, and no more connections than questions."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from log_server.databases import intake_database, log_database
from log_server.ledger import Ledger
from log_server.postgres_database import PostgresDatabase
from log_server.postgres_engine import PostgresEngine
from log_server.sqlite_engine import SqliteEngine
from log_server.store import Snapshot, Store
from pcrlog.encoding import sha256
from pcrlog.index_keys import key_hash
from tests.unit.log_server.parties import Log, Party


@pytest.fixture
def store(log: Log) -> Iterator[Store]:
    store = Store(log_database(log.config))
    yield store
    store.close()


def test_a_snapshot_stays_what_it_was(log: Log, acme: Party, store: Store) -> None:
    with store.published() as before:
        assert before.published_size() == 4
        log.accept(acme.release())
        assert before.published_size() == 4
        assert before.leaf(4) is None
        assert before.size == 4
        with store.published() as after:
            assert after.size == 6
            assert after.leaf(4) is not None


def pooled(store: Store) -> int:
    """How many connections wait: one, or the first of the pool's own beside it."""
    engine = store._engine
    if isinstance(engine, SqliteEngine):
        return len(engine._idle)
    assert isinstance(engine, PostgresEngine)
    assert engine._pool is not None
    return engine._pool.get_stats()["pool_available"]


def test_what_is_published_hides_what_is_only_committed(
    log: Log, acme: Party, store: Store
) -> None:
    envelope = acme.release()
    log.queue(envelope)

    def stop(name: str) -> None:
        if name == "tiles-written":
            raise InterruptedError

    with pytest.raises(InterruptedError), log.sequencer(stop) as sequencer:
        sequencer.round()
    issuer = "v1/issuer/acme.example"
    with store.published() as published, store.committed() as committed:
        assert (published.size, committed.size) == (4, 6)
        assert published.indices(key_hash(issuer)) == ()
        assert committed.indices(key_hash(issuer)) == (4,)
        assert list(published.newest(issuer)) == []
        assert list(published.leaves(3, 9)) == [(3, published.leaf(3))]
        decision = published.decision(sha256(envelope))
        assert decision is not None
        assert decision.index == 4


def test_connections_are_used_again_by_whichever_thread(store: Store) -> None:
    def ask() -> None:
        for _ in range(10):
            with store.published() as snapshot:
                assert snapshot.size == 2

    for _ in range(5):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert pooled(store) <= 2


def test_a_question_that_fails_does_not_cost_a_connection(store: Store) -> None:
    for _ in range(5):
        with pytest.raises(KeyError), store.published():
            raise KeyError
    assert pooled(store) <= 2
    with store.published() as snapshot:
        assert snapshot.size == 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_commit_is_on_disk_when_it_returns(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of what makes unit tests quick
    full, wal = (2,), ("wal",)
    for engine in (log_database(log.config), intake_database(log.config)):
        database = engine.connect(read_only=False)
        assert database.execute("pragma synchronous").fetchone() == full
        assert database.execute("pragma journal_mode").fetchone() == wal
        database.close()
    ledger = Ledger(log_database(log.config), log.config.vkey())
    newest, note = ledger.snapshot().published() or (None, b"")
    assert newest is not None
    ledger.mark_published(newest, note)
    assert ledger._database.execute("pragma synchronous").fetchone() == full
    ledger.close()


def test_readers_cannot_write(log: Log, store: Store) -> None:
    with (
        store.committed() as snapshot,
        pytest.raises(Exception, match=r"readonly database|read-only transaction"),
    ):
        snapshot._database.execute("delete from entry")


def test_the_version_changes_with_each_commit(
    log: Log, acme: Party, store: Store
) -> None:
    before = store.version()
    assert store.version() == before
    log.accept(acme.release())
    assert store.version() != before


def test_a_database_that_is_not_a_logs_is_an_error_and_not_believed(
    log: Log, store: Store
) -> None:
    with log.sequencer() as sequencer:
        database = sequencer._ledger._database
        database.execute("delete from log")
        with pytest.raises(LookupError, match="fsck"):
            Snapshot(database, 2).name()
        if isinstance(database, PostgresDatabase):
            database.execute(
                "alter table published drop constraint published_batch_fkey"
            )
        database.execute("delete from checkpoint")
        with pytest.raises(LookupError, match="fsck"):
            Snapshot(database, 2).published()


def test_the_wal_does_not_grow_for_ever_though_somebody_always_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("log_server.sqlite_engine._WAL_PAGES", 200)
    engine = SqliteEngine(tmp_path / "some.db")
    engine.create("create table one (id integer primary key, text blob);")
    database = engine.connect(read_only=False, large=True)
    end = threading.Event()

    def read(number: int) -> None:
        # One after the other, each while another reads.
        time.sleep(0.005 * number)
        while not end.is_set():
            with engine.snapshot() as reader:
                reader.execute("select count(*) from one").fetchone()
                time.sleep(0.015)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            for _ in range(5):
                with database.transaction():
                    database.execute(
                        "insert into one (text) values (?)", (b"x" * 40_000,)
                    )
            database.tidy()
    finally:
        end.set()
        for thread in threads:
            thread.join()
    wal = (tmp_path / "some.db-wal").stat().st_size
    database.close()
    engine.close()
    assert wal < 4 << 20, "all that was written is 8 MB"
