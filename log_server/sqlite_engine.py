"""SQLite behind the interface of `engine`: a file, read and written by this machine.

Every connection is made here: WAL, synchronous=FULL, transactions begun and ended by
hand. A writer takes the one write lock at once (`begin immediate`), so that it never
fails half-way for a lock, and so rows are seen in the order of their numbers.
"""

import json
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from log_server.engine import Execute, Row
from log_server.schema import VERSION, require_version
from pcrlog.errors import UsageError

_BUSY_SECONDS = 10
DURABLE = "full"
"""`pragma synchronous`: a commit that returns is on disk. Unit tests waive it."""
_WAL_PAGES = 16_000
_RESTART_SECONDS = 1
"""How long a WAL that is longer waits for whoever reads it to end; a question takes
milliseconds. In vain, it is tried again at the next tidying."""
_CACHE_KIB = 64 << 10
"""Of memory for pages of log.db: keys are hashes, so each lies on another page, and a
batch finds many of those that the last one has read."""


class SqliteDatabase:
    """One connection to a file (an `engine.Database`)."""

    in_numbers = "in (select value from json_each(?))"
    alive = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.execute: Execute = connection.execute

    @staticmethod
    def numbers(numbers: Iterable[int]) -> object:
        """As JSON: SQLite has no lists."""
        return json.dumps(list(numbers))

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Rows are read as they are asked for."""
        yield from self.execute(sql, parameters)

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """The same statement again and again: nothing is sent anywhere."""
        self.connection.executemany(sql, rows)

    def numbered(self, sql: str, rows: Sequence[Sequence[object]]) -> list[int]:
        """Each row's number is its rowid."""
        execute = self.connection.execute
        return [int(execute(sql, row).lastrowid or 0) for row in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """With the one write lock from its first moment on."""
        with self._transaction("begin immediate"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One moment of the file, from the first question on."""
        with self._transaction("begin"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.execute("commit")

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """In the WAL, which the next commit syncs."""
        self.execute("pragma synchronous = normal")
        try:
            with self.transaction():
                yield
        finally:
            self.execute(f"pragma synchronous = {DURABLE}")

    def one_at_a_time(self, table: str) -> None:
        """Whoever writes is alone already."""

    def never_reuse(self, table: str, last: int) -> None:
        """Move on the number that `autoincrement` keeps."""
        changed = self.execute(
            "update sqlite_sequence set seq = max(seq, ?) where name = ?", (last, table)
        )
        if changed.rowcount == 0:
            self.execute(
                "insert into sqlite_sequence (name, seq) values (?, ?)", (table, last)
            )

    def ring(self, table: str) -> None:
        """Nobody listens here."""

    def listen(self, table: str) -> int | None:
        """It never rings."""

    def rung(self) -> bool:
        """Never."""
        return False

    def tidy(self) -> None:
        """Move the WAL into the file.

        A snapshot that still reads older pages keeps what it reads: SQLite sees to it.
        The next commit then begins the WAL anew, but only if nobody reads it at that
        moment. Under load somebody always does, and it would grow for ever: when it is
        long, those are waited for; who comes meanwhile reads the file alone.
        """
        [_, pages, _] = self.execute("pragma wal_checkpoint(passive)").fetchone()
        if pages > _WAL_PAGES:
            self.execute(f"pragma busy_timeout = {1000 * _RESTART_SECONDS}")
            self.execute("pragma wal_checkpoint(restart)").fetchall()
            self.execute(f"pragma busy_timeout = {1000 * _BUSY_SECONDS}")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def version_of(connection: sqlite3.Connection) -> int:
    """The schema that a file is of; nothing was written before there was a second."""
    [version] = connection.execute("pragma user_version").fetchone()
    return int(version) or 1


class SqliteEngine:
    """One file (an `engine.Engine`).

    Connections wait in a pool for the next question. They do not belong to threads: a
    web server ends idle ones and starts others, and would leave theirs open for ever.
    """

    pause = 0.001  # small beside the two commits that a submission takes

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[SqliteDatabase] = deque()
        # For `version`, which compares what one connection has seen: one thread's.
        self._watching: SqliteDatabase | None = None

    def connect(self, *, read_only: bool, large: bool = False) -> SqliteDatabase:
        """Open the file.

        `query_only`, not `mode=ro`: a reader must be able to make the shared-memory
        file of the WAL when it comes first.

        Raises:
            UsageError: there is no such file; it is never made silently.
        """
        if not self._path.is_file():
            message = (
                f"{self._path.name} is missing: restore the folder, or make a log by"
                " `init`"
            )
            raise UsageError(message)
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        database = SqliteDatabase(connection)
        try:
            require_version(self._path.name, version_of(connection))
        except BaseException:
            connection.close()
            raise
        if read_only:
            database.execute("pragma query_only = on")
        database.execute(f"pragma synchronous = {DURABLE}")
        if large:
            # Not in the middle of a commit that somebody waits for, but in `tidy`.
            database.execute(f"pragma wal_autocheckpoint = {_WAL_PAGES}")
            database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        return database

    @contextmanager
    def snapshot(self) -> Iterator[SqliteDatabase]:
        """SQLite shows it one state of the file, however long it takes."""
        try:
            database = self._idle.pop()
        except IndexError:
            database = self.connect(read_only=True)
        try:
            with database.reading():
                yield database
        finally:
            if not database.connection.in_transaction:
                self._idle.append(database)

    def version(self) -> object:
        """SQLite counts the commits of others; looking costs microseconds."""
        if self._watching is None:
            self._watching = self.connect(read_only=True)
        return self._watching.execute("pragma data_version").fetchone()

    def create(self, schema: str) -> None:
        """Make the file."""
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute(f"pragma synchronous = {DURABLE}")
            connection.execute("pragma journal_mode = wal")
            stated = f"pragma user_version = {VERSION};"
            connection.executescript(f"begin;{schema}{stated}commit;")

    def close(self) -> None:
        """Close what is open; no question may be under way."""
        while self._idle:
            self._idle.pop().close()
        if self._watching is not None:
            self._watching.close()
            self._watching = None
