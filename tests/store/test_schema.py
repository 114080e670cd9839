"""schema.sql is one description: both databases have the tables that it names."""

import re
import sqlite3
from contextlib import closing

import psycopg
import pytest

from log_server.postgres_engine import PostgresEngine
from log_server.schema import for_postgresql, schema_of
from tests.support.postgres import Postgres

TYPES = {"integer": "bigint", "blob": "bytea", "text": "text"}
BOTH = schema_of("intake.db") + schema_of("log.db")


@pytest.fixture
def url(postgres: Postgres) -> str:
    url = postgres.schema()
    PostgresEngine(url).create(BOTH)
    return url


def columns_of_sqlite() -> dict[str, dict[str, tuple[str, bool, int]]]:
    """Table, column: type in PostgreSQL's words, whether null, place in the key."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(BOTH)
        tables = database.execute(
            "select name from sqlite_master where type = 'table'"
            " and name not like 'sqlite_%'"
        ).fetchall()
        return {
            table: {
                name: (TYPES[kind.lower()], not (required or key), key)
                for _, name, kind, required, _, key in database.execute(
                    f"pragma table_info({table})"
                )
            }
            for (table,) in tables
        }


def columns_of_postgresql(url: str) -> dict[str, dict[str, tuple[str, bool, int]]]:
    found: dict[str, dict[str, tuple[str, bool, int]]] = {}
    with psycopg.connect(url) as connection:
        for table, name, kind, required, key in connection.execute(
            "select c.relname, a.attname, format_type(a.atttypid, null), a.attnotnull,"
            " coalesce(array_position(i.indkey::int[], a.attnum::int) + 1, 0)"
            " from pg_class c join pg_attribute a on a.attrelid = c.oid"
            " left join pg_index i on i.indrelid = c.oid and i.indisprimary"
            " where c.relkind = 'r' and a.attnum > 0"
            " and c.relnamespace = current_schema()::regnamespace"
        ):
            found.setdefault(table, {})[name] = (kind, not required, key)
    return found


def test_both_have_the_same_tables_and_columns(url: str) -> None:
    ours, theirs = columns_of_sqlite(), columns_of_postgresql(url)
    assert len(ours) == 12
    assert {table: theirs[table] for table in ours} == ours
    for table in theirs.keys() - ours.keys():
        assert f"-- postgresql: create table {table} (" in BOTH


def test_texts_are_compared_by_their_bytes(url: str) -> None:
    with psycopg.connect(url) as connection:
        collations = connection.execute(
            "select distinct collation_name::text from information_schema.columns"
            " where table_schema = current_schema() and data_type = 'text'"
        ).fetchall()
    assert collations == [("C",)]


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("insert into entry values (%s, %s, %s, %s)", (0, b"", b"short", "seal")),
        ("insert into entry values (%s, %s, %s, %s)", (0, b"", bytes(32), "other")),
        ("insert into trie_page values (%s, %s)", (1, bytes(255))),
        ("insert into given values (%s, %s)", (None, 1)),
        ("insert into published values (%s, %s, %s)", (2, 1, "")),
        ("insert into decision values (%s, %s, %s, %s)", (bytes(32), 1, "both", "")),
        ("insert into decision values (%s, %s, %s, %s)", (bytes(32), None, None, "")),
    ],
)
def test_both_refuse_what_no_table_may_hold(
    url: str, statement: str, values: tuple[object, ...]
) -> None:
    with psycopg.connect(url) as connection, pytest.raises(psycopg.IntegrityError):
        connection.execute(statement.encode(), values)
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(BOTH)
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(statement.replace("%s", "?"), values)


def test_what_is_for_postgresql_alone_is_a_comment_to_sqlite() -> None:
    alone = re.findall(
        r"^-- postgresql: ((?:alter|create) table \w+)", BOTH, re.MULTILINE
    )
    assert alone
    for statement in alone:
        assert statement in for_postgresql(BOTH)
    assert "--" not in for_postgresql(BOTH)
