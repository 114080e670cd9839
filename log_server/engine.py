"""What the log asks of a database: one interface, SQLite and PostgreSQL behind it.

The SQL itself is the same for both and stands in store.py, ledger.py, intake.py and
index_rows.py, in words that both understand, with `?` for a parameter. Only what
differs is here: how a transaction begins, how many rows are written at once, how rows
get their numbers, what is synced.

An `Engine` is one database of a log. SQLite has two of them, intake.db and log.db, so
that two processes never fight for one write lock; PostgreSQL has one for both.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]


class Rows(Protocol):
    """What a statement gives back."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a row of any columns, or None
        """The next row; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left."""
        ...


class Execute(Protocol):
    """Runs one statement."""

    def __call__(self, sql: str, parameters: Sequence[object] = (), /) -> Rows:
        """Run it; outside a transaction it is one of its own."""
        ...


class Database(Protocol):
    """One connection; for one thread at a time."""

    @property
    def execute(self) -> Execute:
        """Runs one statement, of which few rows come."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it can still be used; if not, the engine makes another."""
        ...

    @property
    def in_numbers(self) -> str:
        """`in ...` with one parameter: whether a column is one of `numbers`."""
        ...

    def numbers(self, numbers: Iterable[int]) -> object:
        """The parameter for `in_numbers`."""
        ...

    def stream(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a statement, however many: they are never all in memory."""
        ...

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run an `insert ... values (?, ...)` for each row, as if one after the other.

        In a transaction; the text is one line per statement of this project, and the
        table is named without a schema.
        """
        ...

    def numbered(self, sql: str, rows: Sequence[Sequence[object]]) -> list[int]:
        """`many`, for a table that numbers its rows; their numbers, ascending."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All of it or nothing; when it ends well, it is on disk."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """One moment, whatever is committed meanwhile; nothing is written in it."""
        ...

    def unsynced(self) -> AbstractContextManager[None]:
        """A transaction that may be lost with the power, whole."""
        ...

    def one_at_a_time(self, table: str) -> None:
        """In a transaction: until its end, nobody else gets past this line.

        Whoever reads numbers of rows "up to here" relies on it: numbers are drawn when
        a row is written and seen when it is committed, and with two writers those are
        two orders.
        """
        ...

    def never_reuse(self, table: str, last: int) -> None:
        """In a transaction: no new row of `table` gets a number up to `last`."""
        ...

    def ring(self, table: str) -> None:
        """In a transaction: wake who listens for `table`, once it is committed.

        Nobody does in SQLite: there the bell is a file (`wake`).
        """
        ...

    def listen(self, table: str) -> int | None:
        """Be woken from now on; what can be read, or fails, when it rings."""
        ...

    def rung(self) -> bool:
        """Whether it rang since this was asked last."""
        ...

    def tidy(self) -> None:
        """Do what nobody waits for, to keep commits quick."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Engine(Protocol):
    """One database of a log; for any number of threads."""

    @property
    def pause(self) -> float:
        """Seconds between two looks at `version`, so that looking costs little."""
        ...

    def connect(self, *, read_only: bool, large: bool = False) -> Database:
        """A connection of one's own.

        Args:
            read_only: it refuses to write.
            large: its transactions touch thousands of pages (the ledger's).

        Raises:
            UsageError: there is no such database; it is never made silently.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Database]:
        """A connection from the pool, in a transaction that sees one moment."""
        ...

    def version(self) -> object:
        """Something that changes with each commit to the log; for one thread."""
        ...

    def create(self, schema: str) -> None:
        """Make the tables, from (a part of) schema.sql.

        Raises:
            UsageError: there is something already.
        """
        ...

    def close(self) -> None:
        """Close what waits in the pool; no question may be under way."""
        ...
