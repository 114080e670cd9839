"""upgrade: a log of schema 1 goes to 2 and back, and nothing in it has changed."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from log_server import schema
from log_server.app import create_app
from log_server.config import Config
from log_server.disk import DiskError, fault_of
from log_server.fsck import check
from log_server.schema import VERSION, schema_of
from log_server.upgrade import STEPS, upgrade
from pcrlog.errors import UsageError
from tests.unit.log_server.parties import Log, Party

FIRST = (Path(__file__).parent / "schema-1.sql").read_text("utf-8")
FILES = ("intake.db", "log.db")


@contextmanager
def opened(config: Config, name: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(config.directory / name)) as database, database:
        yield database


def tables(config: Config) -> dict[str, list[tuple[object, ...]]]:
    """All rows of both files."""
    found = {}
    for name in FILES:
        with opened(config, name) as database:
            for (table,) in database.execute(
                "select name from sqlite_schema where type = 'table'"
            ).fetchall():
                rows = database.execute(f'select * from "{table}"')  # noqa: S608 - a name
                found[f"{name}: {table}"] = sorted(rows, key=repr)
    return found


def columns(config: Config) -> dict[str, list[tuple[object, ...]]]:
    """What each table and index is made of."""
    found = {}
    for name in FILES:
        with opened(config, name) as database:
            for kind, one in database.execute(
                "select type, name from sqlite_schema where name not like 'sqlite%'"
            ).fetchall():
                word = "table_xinfo" if kind == "table" else "index_xinfo"
                found[f"{name}: {one}"] = database.execute(
                    f'pragma {word}("{one}")'
                ).fetchall()
    return found


def made_by(text: str, folder: Path) -> Config:
    """Databases as a schema.sql makes them."""
    folder.mkdir()
    for part in text.split("-- database: ")[1:]:
        name, _, statements = part.partition("\n")
        with closing(sqlite3.connect(folder / name)) as database:
            database.executescript(statements)
    return Config(folder, None)  # type: ignore[arg-type] # only its folder is read


def stated(config: Config) -> list[int]:
    found = []
    for name in FILES:
        with opened(config, name) as database:
            found.append(database.execute("pragma user_version").fetchone()[0])
    return found


@pytest.fixture
def old(log: Log, acme: Party) -> Log:
    """A log of schema 1 with entries, and a statement that waits."""
    log.accept(acme.release(1))
    log.queue(acme.release(2, "2.0.0"))
    for name in FILES:
        path = log.config.directory / name
        new = path.rename(path.with_name(f"{name}.new"))
        with closing(sqlite3.connect(path)) as database:
            database.execute("pragma journal_mode = wal")
            [part] = [p for p in FIRST.split("-- database: ") if p.startswith(name)]
            database.executescript(part.partition("\n")[2])
            database.execute("attach ? as new", (str(new),))
            for table, columns in database.execute(
                "select t.name, group_concat(c.name) from sqlite_schema t,"
                " pragma_table_info(t.name) c where t.type = 'table' group by t.name"
            ).fetchall():
                database.execute(f"delete from {table}")  # noqa: S608 - a name
                database.execute(
                    f"insert into {table} ({columns}) select {columns} from new.{table}"  # noqa: S608 - names
                )
            database.commit()
        new.unlink()
    assert stated(log.config) == [0, 0]
    return log


def test_a_log_goes_to_the_next_schema_and_grows_there_and_goes_back(
    old: Log, acme: Party
) -> None:
    before = tables(old.config), columns(old.config)
    changes = upgrade(old.config)
    assert [(one.name, one.before, one.after) for one in changes] == [
        ("intake.db", 1, 2),
        ("log.db", 1, 2),
    ]
    assert check(old.config).wrong == []
    app = create_app(old.config, clock=old.clock)
    assert app.test_client().get("/api/v1/entries/4").status_code == 200
    app.extensions["pcrlog"].close()
    old.sequence()
    assert old.accept(acme.release(3, "3.0.0")) == 8
    assert check(old.config).wrong == []
    grown = tables(old.config)
    upgrade(old.config, 1)
    after = tables(old.config)
    assert columns(old.config) == before[1]
    assert [row[:4] for row in grown.pop("log.db: log")] == after.pop("log.db: log")
    assert after == grown
    assert len(after["log.db: entry"]) > len(before[0]["log.db: entry"])


def test_there_and_back_at_once_is_as_it_was(old: Log) -> None:
    before = tables(old.config), columns(old.config)
    upgrade(old.config)
    upgrade(old.config, 1)
    assert (tables(old.config), columns(old.config)) == before
    assert stated(old.config) == [1, 1]
    upgrade(old.config)
    assert stated(old.config) == [2, 2]


def test_each_schema_is_what_its_schema_sql_makes(old: Log, tmp_path: Path) -> None:
    first = made_by(FIRST, tmp_path / "first")
    assert columns(old.config) == columns(first)
    upgrade(old.config)
    newest = made_by(schema.schema_text(), tmp_path / "newest")
    assert columns(old.config) == columns(newest)
    with opened(old.config, "log.db") as ours, opened(newest, "log.db") as theirs:
        query = "select sql from sqlite_schema where name = 'log'"
        for one in (ours, theirs):
            assert one.execute(query).fetchone()[0].endswith("strict")
    upgrade(old.config, 1)
    assert columns(old.config) == columns(first)


def test_steps_lead_to_each_version_and_files_are_those_of_schema_sql() -> None:
    assert [step.version for step in STEPS] == list(range(2, VERSION + 1))
    for step in STEPS:
        assert {*step.there, *step.back} <= set(FILES)
    assert all(schema_of(name) for name in FILES)


def test_each_file_is_copied_before_it_is_changed(old: Log) -> None:
    before = tables(old.config)
    copies = {one.name: one.copy for one in upgrade(old.config)}
    for name, copy in copies.items():
        copy.replace(old.config.directory / name)
    assert tables(old.config) == before
    assert stated(old.config) == [0, 0]


class Killed(BaseException):
    """The end of a process, as far as this one can end."""


@pytest.mark.parametrize("to", [1, 2])
@pytest.mark.parametrize("strike", range(8))
def test_it_may_be_killed_anywhere_and_run_again(
    old: Log, monkeypatch: pytest.MonkeyPatch, to: int, strike: int
) -> None:
    """After the first statement, the second, ..., in the copy and between two files."""
    before = tables(old.config)
    upgrade(old.config, 3 - to)
    left = [strike]

    class Struck(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            left[0] -= "pragma synchronous" not in str(arguments[0])
            if left[0] < 0 and "rollback" not in arguments:
                raise Killed
            return super().execute(*arguments)  # type: ignore[arg-type] # as they came

    real = sqlite3.connect

    def connect(*arguments: object, **named: object) -> sqlite3.Connection:
        return real(*arguments, factory=Struck, **named)  # type: ignore[call-overload,no-any-return] # as they came

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(Killed):
            upgrade(old.config, to)
    upgrade(old.config, to)
    upgrade(old.config, 1)
    assert tables(old.config) == before


def test_a_disk_without_room_for_the_copy_changes_nothing(
    old: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(old.config)

    class Full(sqlite3.Connection):
        def backup(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    def connect(path: object, **named: object) -> sqlite3.Connection:
        return Full(path, **named)  # type: ignore[arg-type] # as they came

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(DiskError, match="the disk is full"):
            upgrade(old.config)
    assert tables(old.config) == before
    assert not list(old.config.directory.glob("*schema-1*"))


def test_it_waits_for_a_sequencer_that_finishes_its_batch(
    old: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve` was killed, and its lock is free: its sequencer writes still."""
    monkeypatch.setattr("log_server.direct._FINISH_SECONDS", 0.1)
    before = tables(old.config), columns(old.config)
    descriptor = os.open(old.config.sequencing, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="is locked"):
        upgrade(old.config)
    assert (tables(old.config), columns(old.config)) == before
    os.close(descriptor)
    upgrade(old.config)
    assert stated(old.config) == [2, 2]


def test_a_disk_that_fills_in_the_change_is_said_and_changes_nothing(
    old: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has rolled back by itself then; there is nothing to roll back any more."""
    before = tables(old.config), columns(old.config)

    class Full(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            if arguments[0] == "commit":
                super().execute("rollback")
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                error.sqlite_errorname = "SQLITE_FULL"
                raise error
            return super().execute(*arguments)  # type: ignore[arg-type] # as they came

    real = sqlite3.connect

    def connect(*arguments: object, **named: object) -> sqlite3.Connection:
        return real(*arguments, factory=Full, **named)  # type: ignore[call-overload,no-any-return] # as they came

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(sqlite3.OperationalError) as caught:
            upgrade(old.config)
    assert "the disk is full" in str(fault_of(caught.value))
    assert (tables(old.config), columns(old.config)) == before


@pytest.mark.parametrize("data", [b"", b"rubbish" * 1000])
def test_what_is_no_database_of_a_log_is_said_and_left_alone(
    old: Log, data: bytes
) -> None:
    path = old.config.log_db
    path.with_name("log.db-wal").unlink(missing_ok=True)
    path.write_bytes(data)
    with pytest.raises((UsageError, sqlite3.DatabaseError)) as caught:
        upgrade(old.config)
    assert isinstance(caught.value, UsageError) or fault_of(caught.value)
    assert path.read_bytes() == data
    assert stated(old.config)[0] == 0 if data == b"" else True


# --- who serves what ------------------------------------------------------------------


def test_a_log_of_another_schema_is_not_served_and_says_what_to_do(
    old: Log, log: Log
) -> None:
    for what in (log.sequence, lambda: check(log.config)):
        with pytest.raises(UsageError, match="pcrlog-server upgrade DIR"):
            what()
    with pytest.raises(UsageError, match="schema 1, and this pcrlog wants 2"):
        create_app(old.config, clock=old.clock)
    upgrade(old.config)
    with opened(old.config, "log.db") as database:
        database.execute("pragma user_version = 3")
    with pytest.raises(UsageError, match=r"schema 3.*knows 2.*--to 2"):
        old.sequence()
    with pytest.raises(UsageError, match="go back with the pcrlog that it is of"):
        upgrade(old.config)


@pytest.mark.parametrize("to", [0, 3])
def test_versions_that_nobody_knows_are_refused(log: Log, to: int) -> None:
    with pytest.raises(UsageError, match="knows the schemas 1 to 2"):
        upgrade(log.config, to)


def test_a_log_that_is_of_it_is_left_alone(log: Log) -> None:
    assert upgrade(log.config) == []
    assert not list(log.config.directory.glob("*schema-*"))
