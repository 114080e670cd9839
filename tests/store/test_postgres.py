"""What PostgreSQL adds: two writers, a server that goes away, a URI with a password."""

import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from log_server import databases, postgres_engine
from log_server.config import SETTINGS, Config, Settings
from log_server.disk import DamagedError, DiskError, fault_of
from log_server.intake import IntakeReader, IntakeWriter, Submission
from log_server.ledger import Ledger
from log_server.postgres_database import PostgresDatabase
from log_server.postgres_engine import PostgresEngine
from log_server.store import Store
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError
from tests.support import postgres as support
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import NITRO, ORIGIN, PRODUCT, Log, measurement

INSERT = (
    "insert into intake (envelope, envelope_sha256, conflict_accepted, received)"
    " values (?, ?, ?, ?)"
)


@pytest.fixture(params=["postgresql"])
def database(postgres: Postgres) -> str:
    return postgres.schema()


@pytest.fixture
def engine(log: Log) -> Iterator[PostgresEngine]:
    engine = databases.log_database(log.config)
    assert isinstance(engine, PostgresEngine)
    yield engine
    engine.close()


@contextmanager
def connected(engine: PostgresEngine) -> Iterator[PostgresDatabase]:
    database = engine.connect(read_only=False)
    yield database
    database.close()


@pytest.fixture
def one(engine: PostgresEngine) -> Iterator[PostgresDatabase]:
    with connected(engine) as database:
        yield database


@pytest.fixture
def other(engine: PostgresEngine) -> Iterator[PostgresDatabase]:
    with connected(engine) as database:
        yield database


@pytest.fixture
def reader(engine: PostgresEngine) -> Iterator[IntakeReader]:
    reader = IntakeReader(engine)
    yield reader
    reader.close()


def row(text: str) -> tuple[object, ...]:
    return text.encode(), sha256(text.encode()), 0, 0


def submission(text: str) -> Submission:
    return Submission(text.encode(), sha256(text.encode()), False, 0)  # noqa: FBT003 - a row


def end_connections(engine: PostgresEngine) -> None:
    """End those of all others, as a restart of the server does."""
    with psycopg.connect(engine._conninfo, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


class TestOrder:
    """Rows are seen in the order of their ids, or one of them is lost."""

    def test_without_a_turn_a_row_would_be_lost(
        self, one: PostgresDatabase, other: PostgresDatabase, reader: IntakeReader
    ) -> None:
        taken = reader.after(0, 10)[-1].id if reader.after(0, 10) else 1
        with one.transaction():
            [first] = one.numbered(INSERT, [row("first")])
            with other.transaction():
                [second] = other.numbered(INSERT, [row("second")])
            assert first < second
            seen = reader.after(taken, 10)
            assert [waiting.id for waiting in seen] == [second]
            taken = seen[-1].id
        assert reader.after(taken, 10) == []

    def test_who_writes_waits_for_its_turn(
        self, one: PostgresDatabase, other: PostgresDatabase, reader: IntakeReader
    ) -> None:
        def write() -> None:
            with other.transaction():
                other.one_at_a_time("intake")
                other.numbered(INSERT, [row("second")])

        thread = threading.Thread(target=write)
        with one.transaction():
            one.one_at_a_time("intake")
            one.numbered(INSERT, [row("first")])
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            assert reader.rows(1) == 0
        thread.join(10)
        assert [waiting.envelope for waiting in reader.after(1, 10)] == [
            b"first",
            b"second",
        ]

    def test_of_many_web_processes_no_row_is_lost(
        self, engine: PostgresEngine, reader: IntakeReader
    ) -> None:
        taken, texts = 1, [[f"{web} {i}" for i in range(100)] for web in range(4)]
        writers = [IntakeWriter(engine, lambda: taken, lambda: None) for _ in texts]
        threads = [
            threading.Thread(target=_put, args=(writer, part))
            for writer, part in zip(writers, texts, strict=True)
        ]
        for thread in threads:
            thread.start()
        seen: list[str] = []
        end = time.monotonic() + 60
        while len(seen) < 400 and time.monotonic() < end:
            for waiting in reader.after(taken, 7):
                assert waiting.id > taken
                taken = waiting.id
                seen.append(waiting.envelope.decode())
        for thread in threads:
            thread.join(10)
        for writer in writers:
            writer.close()
        assert sorted(seen) == sorted(text for part in texts for text in part)
        for part in texts:
            mine = [text for text in seen if text.split()[0] == part[0].split()[0]]
            assert mine == part


def _put(writer: IntakeWriter, texts: list[str]) -> None:
    for start in range(0, len(texts), 5):
        writer.put_all([submission(text) for text in texts[start : start + 5]])


class TestStandingStill:
    def test_a_writer_that_stands_still_loses_its_transaction(
        self, engine: PostgresEngine, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = postgres_engine._WRITER_SESSION.replace(b"'5s'", b"'200ms'")
        monkeypatch.setattr(postgres_engine, "_WRITER_SESSION", session)
        with connected(engine) as paused:

            def write() -> None:
                with paused.transaction():
                    paused.execute("update log set taken = taken")
                    time.sleep(0.6)
                    # Another one goes on meanwhile, and is not held up.
                    log.enrol("acme.example", "provider")
                    paused.execute("update log set taken = 0")

            with pytest.raises(psycopg.Error) as ended:
                write()
            assert not paused.alive
            fault = fault_of(ended.value)
            assert isinstance(fault, DiskError)
            assert "cannot be reached" in str(fault)
        with log.snapshot() as snapshot:
            assert snapshot.taken() > 1

    def test_who_waits_for_a_row_does_not_wait_for_ever(
        self,
        engine: PostgresEngine,
        one: PostgresDatabase,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        session = postgres_engine._WRITER_SESSION.replace(b"'10s'", b"'100ms'")
        monkeypatch.setattr(postgres_engine, "_WRITER_SESSION", session)
        with one.transaction(), connected(engine) as other:
            one.execute("update log set taken = taken")

            def write() -> None:
                with other.transaction():
                    other.execute("update log set taken = taken")

            with pytest.raises(psycopg.Error) as ended:
                write()
            assert str(fault_of(ended.value)).startswith("the database cannot be")
            assert other.alive


class TestAway:
    """A server that goes away costs the questions of that moment, and no more."""

    def test_readers_and_writers_come_back(
        self, engine: PostgresEngine, reader: IntakeReader
    ) -> None:
        store, rings = Store(engine), list[int]()
        writer = IntakeWriter(engine, lambda: 1, lambda: rings.append(1))
        tries: list[Callable[[], object]] = [
            lambda: _size(store),
            store.version,
            lambda: reader.rows(1),
            lambda: writer.put(submission("one")),
        ]
        for ask in tries:
            ask()
        end_connections(engine)
        faults: list[DiskError | None] = []
        for ask in tries:
            try:
                ask()
            except psycopg.Error as error:
                faults.append(fault_of(error))
        assert len(faults) >= 3
        assert all("cannot be reached" in str(fault) for fault in faults)
        for ask in tries:
            ask()
        writer.close()
        # Whoever was told of a fault does not know whether it was written.
        waiting = reader.after(1, 9)
        assert {one.envelope for one in waiting} == {b"one"}
        assert len(waiting) in {2, 3}

    def test_a_ledger_does_not_come_back_by_itself(
        self, log: Log, engine: PostgresEngine
    ) -> None:
        ledger = Ledger(engine, log.config.vkey())
        end_connections(engine)
        for _ in range(2):
            with pytest.raises(psycopg.Error) as ended:
                ledger.snapshot()
            assert isinstance(fault_of(ended.value), DiskError)
        assert not ledger._database.alive
        ledger.close()

    def test_a_server_that_is_down_is_told_at_once_and_without_the_password(
        self,
    ) -> None:
        with support.running(durable=False) as server:
            url = server.database()
            url = url.replace("pcrlog@", "pcrlog:secret@")
            PostgresEngine(url).require_empty()
            server.stop()
            store = Store(PostgresEngine(url))
            begun = time.monotonic()
            with pytest.raises(psycopg.Error) as ended:
                _size(store)
            assert time.monotonic() - begun < 5
            words = str(fault_of(ended.value))
            assert words.startswith("the database cannot be reached: ")
            assert "secret" not in words
            store.close()
            server.start()
            with pytest.raises(UsageError, match="no tables of a log"):
                _size(store)
            store.close()


def _size(store: Store) -> int:
    with store.committed() as snapshot:
        return snapshot.size


class TestFaults:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("53100", "the disk is full"),
            ("25006", "the disk cannot be written"),
            ("58030", "the disk fails"),
            ("57P01", "the database cannot be reached"),
            ("08006", "the database cannot be reached"),
            ("53300", "the database cannot be reached"),
            ("40001", "the database cannot be reached"),
            ("25P03", "the database cannot be reached"),
        ],
    )
    def test_each_is_told_by_its_code(self, state: str, words: str) -> None:
        fault = fault_of(psycopg.errors.lookup(state)("said\nso"))
        assert type(fault) is DiskError
        assert str(fault) == f"{words}: {state}: said so"

    @pytest.mark.parametrize("state", ["XX001", "XX002", "58P01"])
    def test_damage_is_not_tried_again(self, state: str) -> None:
        fault = fault_of(psycopg.errors.lookup(state)("invalid page in block 7"))
        assert isinstance(fault, DamagedError)
        assert "fsck" in str(fault)

    @pytest.mark.parametrize("state", ["23505", "42601", "22P02"])
    def test_a_mistake_is_none(self, state: str) -> None:
        assert fault_of(psycopg.errors.lookup(state)("a mistake")) is None

    def test_neither_is_a_wrong_use(self) -> None:
        assert fault_of(psycopg.ProgrammingError("a mistake")) is None


class TestSession:
    def test_a_commit_is_on_disk_whatever_the_server_is_set_to(self, log: Log) -> None:
        url = f"{log.config.settings.database}%20-csynchronous_commit%3Doff"
        lax = PostgresEngine(url)
        shown = "select current_setting('synchronous_commit')"
        with connected(lax) as database:
            assert database.execute(shown).fetchone() == ("on",)
            with database.unsynced():
                assert database.execute(shown).fetchone() == ("off",)
            assert database.execute(shown).fetchone() == ("on",)
        reader = lax.connect(read_only=True)
        assert reader.execute(shown).fetchone() == ("off",)
        reader.close()

    def test_an_insert_of_another_form_is_a_mistake(
        self, one: PostgresDatabase
    ) -> None:
        with pytest.raises(ValueError, match="of another form"):
            one.many("update log set taken = ?", [(1,)])
        one.many(INSERT, [])
        assert one.numbered(INSERT, []) == []


class TestCreation:
    def test_a_database_that_is_not_empty_is_refused_and_nothing_made(
        self, log: Log, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="not empty: schema log"):
            Log.create(tmp_path / "second", database=log.config.settings.database)
        assert not (tmp_path / "second").exists()
        engine = PostgresEngine(str(log.config.settings.database))
        with pytest.raises(UsageError, match="not empty"):
            engine.create("create table other (id integer);")

    def test_a_database_of_another_encoding_is_refused(
        self, postgres: Postgres
    ) -> None:
        postgres.execute(
            "create database latin encoding 'LATIN1' template template0"
            " lc_collate 'C' lc_ctype 'C'"
        )
        with pytest.raises(UsageError, match="encoding is LATIN1, want UTF8"):
            PostgresEngine(postgres.url("latin")).require_empty()

    def test_a_search_path_without_a_schema_is_refused(self, database: str) -> None:
        url = database.replace("search_path%3Dlog", "search_path%3Dnone")
        with pytest.raises(UsageError, match="no schema to make tables in"):
            PostgresEngine(url).require_empty()

    def test_an_empty_database_is_no_log(self, database: str) -> None:
        with pytest.raises(UsageError, match="init --database"):
            PostgresEngine(database).connect(read_only=True)

    def test_a_database_of_another_pcrlog_is_not_touched(
        self, engine: PostgresEngine, one: PostgresDatabase
    ) -> None:
        one.execute("update log set schema = 99")
        with pytest.raises(UsageError, match="the database is of schema 99"):
            engine.connect(read_only=True)

    def test_the_settings_name_it_and_are_for_the_owner_alone(self, log: Log) -> None:
        path = log.config.directory / SETTINGS
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert Settings.parse(path.read_bytes()) == log.config.settings
        assert not log.config.log_db.exists()
        assert not log.config.intake_db.exists()

    def test_what_is_no_uri_is_refused_without_repeating_it(self) -> None:
        with pytest.raises(UsageError, match="no URI of PostgreSQL") as refused:
            PostgresEngine("postgresql://u:secret@/x?nonsense=1")
        assert "secret" not in str(refused.value)
        text = f'origin = "{ORIGIN}"\ndatabase = "mysql://u:secret@h/x"'
        with pytest.raises(UsageError, match="database") as refused:
            Settings.parse(text.encode())
        assert "secret" not in str(refused.value)


class TestWithoutPsycopg:
    def test_the_extra_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "log_server.postgres_engine")
        monkeypatch.delattr("log_server.postgres_engine", raising=False)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        config = Config(tmp_path, Settings(ORIGIN, database="postgresql:///x"))
        with pytest.raises(UsageError, match=r"pcrlog\[postgresql\]"):
            databases.log_database(config)

    def test_a_log_with_sqlite_does_not_import_it(self) -> None:
        program = (
            "import sys, log_server.serving, log_server.upkeep;"
            "sys.exit(any(name.startswith('psycopg') for name in sys.modules))"
        )
        assert (
            subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
        )


def test_two_connections_are_enough_for_all_questions(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk alone asks for a second one: else all could wait for each other."""
    from log_server.app import create_app  # noqa: PLC0415 - heavy, and used here alone

    monkeypatch.setattr(postgres_engine, "_POOLED", 2)
    monkeypatch.setattr(postgres_engine, "_POOL_SECONDS", 1)
    app = create_app(log.config, clock=log.clock)
    app.testing = False
    client = app.test_client()
    acme = log.enrol("acme.example", "provider")
    for path in (
        "/healthz",
        "/metrics",
        "/api/v1/key",
        "/api/v1/entry/2",
        "/api/v1/search?q=acme",
        f"/api/v1/bundle?product={PRODUCT}&measurement={NITRO}/{measurement(1)}",
        "/checkpoint",
    ):
        assert client.get(path).status_code in {200, 404, 503}, path
        assert "cannot be reached" not in client.get(path).text, path
    envelope = acme.release()
    answer = client.post(
        "/api/v1/entries?wait=0", data=envelope, content_type="application/json"
    )
    assert answer.status_code == 202, answer.text
    log.sequence()
    answer = client.post(
        "/api/v1/entries?wait=0", data=envelope, content_type="application/json"
    )
    assert answer.status_code == 200, answer.text
    with suppress(RuntimeError):
        app.extensions["pcrlog"].close()
