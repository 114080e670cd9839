"""One connection to PostgreSQL behind the interface of `engine`, through psycopg 3.

It is in autocommit: transactions are begun and ended by statements, with the isolation
that each needs:

    reading   repeatable read, read only: one moment, however long it takes
    writing   read committed: what is compared is what is committed once the row is
              locked, not what was when the transaction began
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from log_server.engine import Row, Rows
from pcrlog.errors import UsageError

Connection: TypeAlias = psycopg.Connection[TupleRow]

_AT_ONCE = 1000
"""Rows fetched at once of a table that is read as a whole."""

_INSERT = re.compile(r"insert into (\w+) \(([\w, ]+)\) values \([?, ]+\)(.*)")
_CONFLICT = re.compile(r" on conflict \(([\w, ]+)\)")


@lru_cache
def _translated(sql: str) -> bytes:
    """A statement with psycopg's spelling of a parameter."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


class PostgresDatabase:
    """One connection (an `engine.Database`)."""

    in_numbers = "= any(?::bigint[])"
    # Of all connections: a stream that is closed late must not close another's.
    _names = itertools.count()

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._types: dict[str, dict[str, str]] = {}

    @property
    def alive(self) -> bool:
        """Whether the server still knows it, as far as was noticed."""
        return not self.connection.closed

    @staticmethod
    def numbers(numbers: Iterable[int]) -> object:
        """As a list."""
        return list(numbers)

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Rows:
        """Run it, and have all its rows."""
        return self.connection.execute(_translated(sql), parameters, binary=True)

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Through a cursor of the server; in a transaction."""
        name = f"stream_{next(self._names)}"
        with self.connection.cursor(name) as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(_translated(sql), parameters, binary=True)
            yield from cursor

    # --- writing ---------------------------------------------------------------------

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """One statement, with the columns as arrays."""
        if not rows:
            return
        table, columns, rest = _parts(sql)
        conflict = _CONFLICT.match(rest)
        if conflict is not None:
            places = [columns.index(name) for name in conflict[1].split(", ")]
            if len({tuple(row[at] for at in places) for row in rows}) < len(rows):
                # One statement may not touch a row twice; one after the other may.
                with self.connection.cursor() as cursor:
                    cursor.executemany(_translated(sql), rows)
                return
        statement = (
            f"insert into {table} ({', '.join(columns)}) select *"  # noqa: S608 - names of our own schema
            f" from unnest({self._arrays(table, columns)}){rest}"
        )
        self.connection.execute(_translated(statement), _transposed(rows))

    def numbered(self, sql: str, rows: Sequence[Sequence[object]]) -> list[int]:
        """Numbers are drawn in the order of the rows."""
        if not rows:
            return []
        table, columns, _ = _parts(sql)
        names = ", ".join(columns)
        statement = (
            f"insert into {table} ({names}) select {names}"  # noqa: S608 - names of our own schema
            f" from unnest({self._arrays(table, columns)}) with ordinality"
            f" as one ({names}, place) order by place returning id"
        )
        found = self.connection.execute(_translated(statement), _transposed(rows))
        return sorted(number for (number,) in found)

    def _arrays(self, table: str, columns: Sequence[str]) -> str:
        if table not in self._types:
            self._types[table] = dict(
                self.connection.execute(
                    b"select attname, format_type(atttypid, null) from pg_attribute"
                    b" where attrelid = %s::regclass and attnum > 0",
                    (table,),
                )
            )
        return ", ".join(f"?::{self._types[table][name]}[]" for name in columns)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Each statement of it sees what is committed when it begins."""
        with self._transaction(b"begin isolation level read committed read write"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One moment, from the first question on."""
        with self._transaction(b"begin isolation level repeatable read read only"):
            yield

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Its commit is not waited for."""
        with self.transaction():
            self.connection.execute(b"set local synchronous_commit = off")
            yield

    @contextmanager
    def _transaction(self, begin: bytes) -> Iterator[None]:
        self.connection.execute(begin)
        try:
            yield
        except BaseException:
            # Without a connection there is nothing left to take back.
            with suppress(psycopg.Error):
                self.connection.execute(b"rollback")
            raise
        self.connection.execute(b"commit")

    def one_at_a_time(self, table: str) -> None:
        """A lock that ends with the transaction, after its rows can be seen.

        On a number, not on the table: that would keep out the vacuum, which a table
        of which every row is deleted needs.
        """
        self.connection.execute(
            b"select pg_advisory_xact_lock(%s::regclass::oid::int, 0)", (table,)
        )

    def never_reuse(self, table: str, last: int) -> None:
        """Move on the sequence; it never goes back."""
        self.connection.execute(
            f"select setval(%s::regclass, %s) from {table}_id_seq"  # noqa: S608 - a name of our own schema
            " where last_value <= %s".encode(),
            (f"{table}_id_seq", last, last),
        )

    def ring(self, table: str) -> None:
        """By the server, which tells it with the commit."""
        self.connection.execute(
            b"select pg_notify('pcrlog_' || %s::regclass::oid, '')", (table,)
        )

    def listen(self, table: str) -> int | None:
        """Tables of one name in two schemas are two."""
        [number] = self.execute("select ?::regclass::oid::bigint", (table,)).fetchone()
        self.connection.execute(f"listen pcrlog_{number}".encode())
        return self.connection.fileno()

    def rung(self) -> bool:
        """Take what has come; it raises if the server is gone."""
        return len(list(self.connection.notifies(timeout=0))) > 0

    def tidy(self) -> None:
        """The server looks after itself."""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _parts(sql: str) -> tuple[str, list[str], str]:
    """Table, columns and what follows the values, of an insert."""
    found = _INSERT.fullmatch(sql)
    if found is None:
        message = f"a statement of another form than is understood here: {sql}"
        raise ValueError(message)
    return found[1], found[2].split(", "), found[3]


def _transposed(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def require_tables(database: PostgresDatabase) -> None:
    """Refuse a database without a log.

    Raises:
        UsageError: it has no tables of one.
    """
    if database.execute("select to_regclass('log')").fetchone() == (None,):
        message = (
            "the database has no tables of a log: make one by `init --database`, or"
            " name the one that has"
        )
        raise UsageError(message)


def require_empty(database: PostgresDatabase) -> None:
    """Refuse a database in which no log can begin.

    Raises:
        UsageError: it is not empty, or the encoding is not UTF-8.
    """
    [encoding, schema] = database.execute(
        "select current_setting('server_encoding'), current_schema()::text"
    ).fetchone()
    if encoding != "UTF8":
        message = f"the database's encoding is {encoding}, want UTF8"
        raise UsageError(message)
    if schema is None:
        message = "the database has no schema to make tables in (search_path)"
        raise UsageError(message)
    found = database.execute(
        "select relname::text from pg_class where relnamespace ="
        " current_schema()::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')"
        " order by relname limit 1"
    ).fetchone()
    if found is not None:
        message = (
            f"the database is not empty: schema {schema} has {found[0]}; a log begins"
            " in a database, or a schema, of its own"
        )
        raise UsageError(message)
