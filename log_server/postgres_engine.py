"""PostgreSQL behind the interface of `engine`: sessions, the pool, the tables.

Optional: this module and `postgres_database` alone import psycopg, and `databases`
imports them when log.toml names a database.

A writer must not hold a row for ever: one that is paused in a transaction loses it, and
its connection, after a few seconds (`idle_in_transaction_session_timeout`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from log_server.postgres_database import (
    Connection,
    PostgresDatabase,
    require_empty,
    require_tables,
)
from log_server.schema import for_postgresql, require_version
from pcrlog.errors import UsageError

_POOLED = 16
"""Connections for questions, at most; a server has 100 for all processes as a rule."""
_POOL_SECONDS = 10
_DEFAULTS = {
    "application_name": "pcrlog",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    # A machine that is cut off is noticed within seconds, not hours.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_PLAIN_SESSION = b"set jit = off"
_READ_ONLY = b"set default_transaction_read_only = on"
_WRITER_SESSION = b"""
set idle_in_transaction_session_timeout = '5s';
set lock_timeout = '10s';
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') = 'off'
"""
"""Whatever the server's own are: what was answered is on disk."""


class PostgresEngine:
    """One database (an `engine.Engine`), intake and log in one.

    Args:
        url: a connection URI of libpq; what it leaves open, its environment, service
            file and passfile say.

    Raises:
        UsageError: it is none.
    """

    pause = 0.005  # each look is a question over the network

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Its words would repeat what may hold a password.
            message = "log.toml: database is no URI of PostgreSQL (postgresql://...)"
            raise UsageError(message) from None
        self._conninfo = make_conninfo("", **(_DEFAULTS | given))
        # Guards the pool's making.
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        # For `version`: one thread's.
        self._watching: PostgresDatabase | None = None

    def connect(
        self,
        *,
        read_only: bool,
        large: bool = False,  # noqa: ARG002 - nothing differs here
    ) -> PostgresDatabase:
        """Connect.

        Raises:
            UsageError: there are no tables of a log, which are never made silently, or
                those of another pcrlog.
        """
        database = self._connect()
        try:
            database.connection.execute(_READ_ONLY if read_only else _WRITER_SESSION)
            require_tables(database)
            # `init` connects before there is the row.
            for (version,) in database.execute("select schema from log"):
                require_version("the database", version)
        except BaseException:
            database.close()
            raise
        return database

    def _connect(self) -> PostgresDatabase:
        connection = psycopg.connect(self._conninfo, autocommit=True)
        connection.execute(_PLAIN_SESSION)
        return PostgresDatabase(connection)

    @contextmanager
    def snapshot(self) -> Iterator[PostgresDatabase]:
        """A transaction that sees what was committed when it began."""
        pool = self._opened()
        try:
            with self._pooled(pool) as connection:
                database = PostgresDatabase(connection)
                with database.reading():
                    yield database
        except (psycopg.OperationalError, psycopg.InterfaceError):
            # If the server was away, none of the others is of use any more either.
            pool.check()
            raise

    @contextmanager
    def _pooled(self, pool: ConnectionPool[Connection]) -> Iterator[Connection]:
        try:
            connection = pool.getconn()
        except PoolTimeout:
            # Whoever tries by hand is told why.
            self._connect().close()
            raise
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None:
                # First by hand: a pool would try for long, and not say why in vain.
                self.connect(read_only=True).close()
                self._pool = ConnectionPool(
                    self._conninfo,
                    kwargs={"autocommit": True},
                    min_size=1,
                    max_size=_POOLED,
                    timeout=_POOL_SECONDS,
                    configure=_configure,
                    name="pcrlog",
                    open=True,
                )
            return self._pool

    def version(self) -> object:
        """How far the log has come: decided, and published."""
        if self._watching is None or not self._watching.alive:
            self._watching = self.connect(read_only=True)
        return self._watching.execute(
            "select taken, (select batch from published) from log"
        ).fetchone()

    def create(self, schema: str) -> None:
        """Make the tables, in the first schema of the search path.

        Raises:
            UsageError: it is not empty, or the encoding is not UTF-8.
        """
        database = self._connect()
        try:
            with database.transaction():
                require_empty(database)
                database.connection.execute(for_postgresql(schema).encode())
        finally:
            database.close()

    def require_empty(self) -> None:
        """Find out whether `create` would find the database as it should be.

        Raises:
            UsageError: it is not empty, or the encoding is not UTF-8.
        """
        database = self._connect()
        try:
            require_empty(database)
        finally:
            database.close()

    def close(self) -> None:
        """Close what is open; no question may be under way."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
        if self._watching is not None:
            self._watching.close()
            self._watching = None


def _configure(connection: Connection) -> None:
    connection.execute(_PLAIN_SESSION)
