"""`upgrade`: takes the databases of a log from one schema to another, and back.

A log is served by a pcrlog of its schema alone (`schema.require_version`). A step leads
from one version to the next or, if the new one is taken back, to the one before. For
each file it is one transaction, which ends in the number of the version; before it, the
file is copied, so that even a step that was wrong can be undone by hand.

    copy intake.db -> change it -> ... -> copy log.db -> change it -> ...

Killed at any moment, it is run again: a file that states its version has been changed,
one that does not has not. log.db comes last, and a folder whose files are of two
versions is served by nobody.

SQLite alone: PostgreSQL came with schema 2, and there is no other yet.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from log_server import sqlite_engine
from log_server.config import Config
from log_server.direct import alone
from log_server.disk import fault_of
from log_server.schema import VERSION
from log_server.sqlite_engine import version_of
from pcrlog.errors import UsageError

_PAGES = 4096
"""Copied at once, between two words of progress."""
Told = Callable[[str, int, int], None]
"""Is told what is copied, and how many pages of how many."""


@dataclass(frozen=True, slots=True)
class Step:
    """What leads to a version, and what leads back from it: statements, by file."""

    version: int
    there: dict[str, tuple[str, ...]]
    back: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a file; `copy` is what it was before."""

    name: str
    before: int
    after: int
    copy: Path


STEPS = (
    Step(
        2,
        {
            "log.db": (
                """\
create table new_log (
  id integer primary key check (id = 1),
  origin text not null,
  vkey text not null,
  taken integer not null,
  schema integer not null
) strict""",
                "insert into new_log select id, origin, vkey, taken, 2 from log",
                "drop table log",
                "alter table new_log rename to log",
            )
        },
        {
            "log.db": (
                """\
create table new_log (
  id integer primary key check (id = 1),
  origin text not null,
  vkey text not null,
  taken integer not null
) strict""",
                "insert into new_log select id, origin, vkey, taken from log",
                "drop table log",
                "alter table new_log rename to log",
            )
        },
    ),
)
_FILES = ("intake.db", "log.db")


def upgrade(
    config: Config,
    to: int = VERSION,
    told: Told = lambda _what, _done, _size: None,
) -> list[Change]:
    """Take a log's databases to a schema; what was done, nothing if they are of it.

    Args:
        config: which log; nothing may serve it.
        to: the version.
        told: how far a copy is.

    Raises:
        UsageError: this pcrlog does not know a version, or the database is PostgreSQL.
        LockedError: somebody else writes it.
        DiskError: there is no room for the copies; the files are as they were.
    """
    if config.settings.database is not None:
        message = f"a log in PostgreSQL is of schema {VERSION}: there is no other yet"
        raise UsageError(message)
    if not 1 <= to <= VERSION:
        message = f"this pcrlog knows the schemas 1 to {VERSION}, not {to}"
        raise UsageError(message)
    changes: list[Change] = []
    with alone(config):
        found = {name: _stated(config.directory / name) for name in _FILES}
        for name, version in found.items():
            if version > VERSION:
                message = (
                    f"{name} is of schema {version}, and this pcrlog knows {VERSION}:"
                    " go back with the pcrlog that it is of"
                )
                raise UsageError(message)
        for name, version in found.items():
            if version == to:
                continue
            onward = 1 if to > version else -1
            changes += [
                _change(config.directory / name, after, told)
                for after in range(version + onward, to + onward, onward)
            ]
    return changes


def _stated(path: Path) -> int:
    with closing(_open(path)) as connection:
        sql = "select count(*) from sqlite_schema where type = 'table' and name = ?"
        if connection.execute(sql, (path.stem,)).fetchone() != (1,):
            message = f"{path} is no {path.name} of a log: it has no table {path.stem}"
            raise UsageError(message)
        return version_of(connection)


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        message = f"{path} is missing"
        raise UsageError(message)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"pragma synchronous = {sqlite_engine.DURABLE}")
    return connection


def _change(path: Path, after: int, told: Told) -> Change:
    """Copy a file, then change it in one transaction."""
    with closing(_open(path)) as connection:
        before = version_of(connection)
        copy = path.with_name(f"{path.name}.schema-{before}")
        _copy(connection, copy, told)
        _run(connection, path.name, before, after)
        # What is in the WAL goes into the file, so that it can be copied alone.
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    return Change(path.name, before, after, copy)


def _copy(connection: sqlite3.Connection, copy: Path, told: Told) -> None:
    """Copy the file as it is now; a copy that is not whole has another name."""
    new = copy.with_name(f".{copy.name}.new")
    new.unlink(missing_ok=True)

    def say(_status: int, remaining: int, total: int) -> None:
        told(f"pages of {copy.name} copied", total - remaining, total)

    try:
        with closing(sqlite3.connect(new)) as target:
            connection.backup(target, pages=_PAGES, progress=say)
        new.replace(copy)
    except (OSError, sqlite3.Error) as error:
        new.unlink(missing_ok=True)
        fault = fault_of(error)
        if fault is not None:
            raise fault from error
        raise


def _run(connection: sqlite3.Connection, name: str, before: int, after: int) -> None:
    step = next(one for one in STEPS if one.version == max(before, after))
    statements = (step.there if after > before else step.back).get(name, ())
    connection.execute("begin immediate")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {after}")
        connection.execute("commit")
    except BaseException:
        # A full disk has made SQLite do it already.
        if connection.in_transaction:
            connection.execute("rollback")
        raise
