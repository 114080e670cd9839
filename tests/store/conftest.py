"""Fixtures for what both databases have to do alike.

A test that asks for `log` or `engines` runs twice, once with SQLite and once with
PostgreSQL; whoever adds a third adds it here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server.engine import Engine
from log_server.postgres_engine import PostgresEngine
from log_server.schema import schema_of
from log_server.sqlite_engine import SqliteEngine
from tests.support import postgres as support
from tests.unit.log_server.parties import Log, Party


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here loses power."""
    monkeypatch.setattr("log_server.sqlite_engine.DURABLE", "off")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[support.Postgres]:
    """A server for all tests; skips without one, and fails without it in CI."""
    reason = support.absent()
    if reason and os.environ.get("CI") != "true":
        pytest.skip(reason)
    with support.running(durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The URI of an empty PostgreSQL database; None: SQLite, in the log's folder."""
    if request.param == "sqlite":
        return None
    server: support.Postgres = request.getfixturevalue("postgres")
    return server.schema()


@pytest.fixture
def log(tmp_path: Path, database: str | None) -> Log:
    return Log.create(tmp_path / "log", database=database)


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@dataclass
class Engines:
    """Makes engines of one database, all of which are closed in the end."""

    path: Path
    url: str | None
    made: list[Engine]

    def __call__(self) -> Engine:
        new = SqliteEngine(self.path) if self.url is None else PostgresEngine(self.url)
        self.made.append(new)
        return new


@pytest.fixture
def intakes(tmp_path: Path, database: str | None) -> Iterator[Engines]:
    """Of an empty intake."""
    engines = Engines(tmp_path / "intake.db", database, [])
    log = "" if database is None else schema_of("log.db")
    engines().create(schema_of("intake.db") + log)
    yield engines
    for engine in engines.made:
        engine.close()
