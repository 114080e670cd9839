"""Reads log.db: what the log holds, at one moment, up to one size.

A `Snapshot` is one read transaction. SQLite shows it one state of the file however long
it takes; what it returns lies below its `size`, so that a web process that looks at the
published log never lets out a leaf or an index that no checkpoint covers yet. ledger.py
writes what is read here.

Every connection is made here or in intake.py: WAL, synchronous=FULL, transactions begun
and ended by hand.
"""

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from sqlite_utils import Database

from log_server.index_rows import IndexRows
from pcrlog.errors import UsageError
from pcrlog.index_keys import key_hash
from pcrlog.merkle import Node
from pcrlog.seal import Seal
from pcrlog.tiles import node_reader

_BUSY_SECONDS = 10
DURABLE = "full"
"""`pragma synchronous`: a commit that returns is on disk. Unit tests waive it."""


def connect(path: Path, *, read_only: bool) -> Database:
    """Open one of the two databases.

    `query_only`, not `mode=ro`: a reader must be able to make the shared-memory file of
    the WAL when it comes first.

    Raises:
        UsageError: there is no such file; it is never made silently.
    """
    if not path.is_file():
        message = f"{path.name} is missing: restore the folder, or make a log by `init`"
        raise UsageError(message)
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    database = Database(connection, execute_plugins=False)
    if read_only:
        database.execute("pragma query_only = on")
    database.execute(f"pragma synchronous = {DURABLE}")
    return database


def create(path: Path, schema: str) -> None:
    """Make a database from its part of schema.sql."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"pragma synchronous = {DURABLE}")
        connection.execute("pragma journal_mode = wal")
        connection.executescript(f"begin;{schema}commit;")
    connection.close()


@contextmanager
def transaction(database: Database, begin: str = "begin immediate") -> Iterator[None]:
    """All of it or nothing; `immediate`, so that it never fails half-way for a lock."""
    database.execute(begin)
    try:
        yield
    except BaseException:
        database.rollback()
        raise
    database.execute("commit")


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One checkpoint that the log signed: `note` has the log's signature alone."""

    batch: int
    size: int
    root: bytes
    index_root: bytes
    time: int
    frozen: bool
    note: bytes

    @property
    def seal(self) -> Seal:
        """The seal that is its last leaf."""
        return Seal(self.size - 1, self.time, self.index_root, self.frozen)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an envelope: its statement's index, or `problem`, `detail`."""

    envelope_sha256: bytes
    index: int | None
    problem: str | None = None
    detail: str | None = None


_CHECKPOINT = "batch, size, root, index_root, time, frozen, note from checkpoint"


class Snapshot:
    """The log up to `size` leaves, in the transaction of a connection."""

    def __init__(self, database: Database, size: int) -> None:
        self._database = database
        self.size = size

    def _one(self, sql: str, *parameters: object) -> tuple[object, ...] | None:
        row: tuple[object, ...] | None = self._database.execute(
            sql, parameters
        ).fetchone()
        return row

    # --- leaves ----------------------------------------------------------------------

    def leaf(self, index: int) -> bytes | None:
        """The bytes of leaf `index`, or None where there is none."""
        if index >= self.size:
            return None
        row = self._one("select leaf from entry where idx = ?", index)
        return None if row is None else _blob(row[0])

    def leaves(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """(index, leaf) for start <= index < stop, ascending."""
        yield from self._database.execute(
            "select idx, leaf from entry where idx >= ? and idx < ? order by idx",
            (start, min(stop, self.size)),
        )

    def identities(self, start: int) -> list[tuple[int, bytes]]:
        """(index, leaf) of the identities from `start` on: what authority rests on."""
        return self._database.execute(
            "select idx, leaf from entry where kind = 'identity' and idx >= ?"
            " and idx < ? order by idx",
            (start, self.size),
        ).fetchall()

    def index_of(self, statement: bytes) -> int | None:
        """The index of the statement whose payload has this SHA-256."""
        row = self._one(
            "select idx from entry where statement = ? and idx < ?",
            statement,
            self.size,
        )
        return None if row is None else _int(row[0])

    # --- index -----------------------------------------------------------------------

    def indices(self, hashed_key: bytes, most: int = -1) -> tuple[int, ...]:
        """The entries under a key, ascending; the first `most` if that is not -1."""
        rows = self._database.execute(
            "select idx from index_entry where key_hash = ? and idx < ?"
            " order by idx limit ?",
            (hashed_key, self.size, most),
        )
        return tuple(index for (index,) in rows)

    def newest(self, key: str) -> Iterator[int]:
        """The entries under a key string, newest first."""
        rows = self._database.execute(
            "select idx from index_entry where key_hash = ? and idx < ?"
            " order by idx desc",
            (key_hash(key), self.size),
        )
        yield from (index for (index,) in rows)

    def given(self, key: str) -> int:
        """How many releases and passes stand under a key `v1/by/...`."""
        row = self._one(
            "select statements from given where key_hash = ?", key_hash(key)
        )
        return 0 if row is None else _int(row[0])

    def index_at(self, checkpoint: CheckpointRow | None) -> IndexRows:
        """The index as it is in the seal of a checkpoint; None: before there was one.

        Raises:
            LookupError: the checkpoint is older than what is kept.
        """
        newest = self.checkpoint()
        if newest is None or checkpoint is None:
            return IndexRows(self._database, 0, range(0))
        later = range(checkpoint.batch + 1, newest.batch + 1)
        return IndexRows(self._database, checkpoint.size, later)

    def search(self, word: str, most: int, seen: int) -> tuple[list[int], bool]:
        """Entries with a word that begins with `word`, newest first.

        At most `most`, chosen among the first `seen` places at which such a word
        stands; the second value tells whether that was all.
        """
        rows = self._database.execute(
            "select idx from word where word >= ? and word < ? and idx < ? limit ?",
            (word, word + "\x7f", self.size, seen + 1),
        ).fetchall()
        found = sorted({index for (index,) in rows[:seen]}, reverse=True)
        return found[:most], len(rows) <= seen and len(found) <= most

    # --- tree ------------------------------------------------------------------------

    def tile(self, level: int, index: int) -> bytes:
        """A tile's hashes, as wide as it has grown; none if it has not begun."""
        row = self._one(
            "select hashes from tile where level = ? and idx = ?", level, index
        )
        return b"" if row is None else _blob(row[0])

    @cached_property
    def node(self) -> Node:
        """The tree's complete subtrees, for proofs."""
        return lru_cache(maxsize=4096)(node_reader(lru_cache(maxsize=64)(self.tile)))

    # --- whole tables, for fsck
    # --------------------------------------------------------

    def entries(self) -> Iterator[tuple[int, bytes, bytes | None, str]]:
        """(index, leaf, statement, kind) of every row of `entry`, ascending."""
        yield from self._database.execute(
            "select idx, leaf, statement, kind from entry order by idx"
        )

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """(level, index, hashes) of every tile."""
        yield from self._database.execute(
            "select level, idx, hashes from tile order by level, idx"
        )

    def index_rows(self) -> Iterator[tuple[bytes, int, bytes | None]]:
        """(key hash, index, value if there is one) of the whole index, ascending."""
        yield from self._database.execute(
            "select key_hash, idx, value from index_entry order by key_hash, idx"
        )

    def trie_pages(self) -> Iterator[tuple[int, bytes]]:
        """(number, hashes) of every page of the newest index trie."""
        yield from self._database.execute("select number, hashes from trie_page")

    def given_rows(self) -> Iterator[tuple[bytes, int]]:
        """(key hash, number of releases and passes)."""
        yield from self._database.execute("select key_hash, statements from given")

    def decided(self) -> Iterator[tuple[bytes, int]]:
        """(envelope hash, index) of every decision that is no refusal."""
        yield from self._database.execute(
            "select envelope_sha256, idx from decision where idx is not null"
        )

    # --- progress --------------------------------------------------------------------

    def checkpoint(self, batch: int | None = None) -> CheckpointRow | None:
        """The checkpoint of a batch, by default the newest."""
        if batch is None:
            row = self._one(f"select {_CHECKPOINT} order by batch desc limit 1")
        else:
            row = self._one(f"select {_CHECKPOINT} where batch = ?", batch)
        return None if row is None else _checkpoint(row)

    def checkpoint_of_size(self, size: int) -> CheckpointRow | None:
        """The checkpoint of so many leaves."""
        row = self._one(f"select {_CHECKPOINT} where size = ?", size)
        return None if row is None else _checkpoint(row)

    def checkpoints(self, after: int = 0) -> Iterator[CheckpointRow]:
        """Every checkpoint of more than `after` leaves, ascending."""
        sql = f"select {_CHECKPOINT} where size > ? order by size"
        for row in self._database.execute(sql, (after,)):
            yield _checkpoint(row)

    def published(self) -> tuple[CheckpointRow, bytes] | None:
        """The checkpoint that /checkpoint shows, and its cosigned note."""
        row = self._one("select batch, note from published")
        if row is None:
            return None
        checkpoint = self.checkpoint(_int(row[0]))
        if checkpoint is None:
            message = "log.db: the published checkpoint is missing; run fsck"
            raise LookupError(message)
        return checkpoint, str(row[1]).encode()

    def published_size(self) -> int:
        """The size of /checkpoint."""
        row = self._one("select size from checkpoint join published using (batch)")
        return 0 if row is None else _int(row[0])

    @property
    def frozen(self) -> bool:
        """Whether the newest seal is the last."""
        newest = self.checkpoint()
        return newest is not None and newest.frozen

    def decision(self, envelope_sha256: bytes) -> Decision | None:
        """What became of an envelope."""
        row = self._one(
            "select idx, problem, detail from decision where envelope_sha256 = ?",
            envelope_sha256,
        )
        if row is None:
            return None
        index, problem, detail = row
        if index is not None:
            return Decision(envelope_sha256, _int(index))
        return Decision(envelope_sha256, None, str(problem), str(detail))

    def taken(self) -> int:
        """The last row of intake.db that is decided."""
        row = self._one("select taken from log")
        return 0 if row is None else _int(row[0])

    def name(self) -> tuple[str, str]:
        """The log's origin and vkey."""
        row = self._one("select origin, vkey from log")
        if row is None:
            message = "log.db: the row of `log` is missing; run fsck"
            raise LookupError(message)
        return str(row[0]), str(row[1])


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        message = f"log.db: expected a blob, found {type(value).__name__}"
        raise TypeError(message)
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        message = f"log.db: expected an integer, found {type(value).__name__}"
        raise TypeError(message)
    return value


def _checkpoint(row: tuple[object, ...]) -> CheckpointRow:
    batch, size, root, index_root, time, frozen, note = row
    return CheckpointRow(
        _int(batch),
        _int(size),
        _blob(root),
        _blob(index_root),
        _int(time),
        bool(frozen),
        str(note).encode(),
    )


class Store:
    """log.db for readers: a snapshot a question, for any number of threads.

    Connections wait in a pool for the next question. They do not belong to threads: a
    web server ends idle ones and starts others, and would leave theirs open for ever.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[Database] = deque()
        # For `version`, which compares what one connection has seen: one thread's.
        self._watching: Database | None = None

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        try:
            database = self._idle.pop()
        except IndexError:
            database = connect(self._path, read_only=True)
        try:
            with transaction(database, "begin"):
                yield database
        finally:
            if not database.conn.in_transaction:
                self._idle.append(database)

    @contextmanager
    def committed(self) -> Iterator[Snapshot]:
        """All that the sequencer has committed, published or not: for admission."""
        with self._transaction() as database:
            yield Snapshot(database, size_of(database))

    @contextmanager
    def published(self) -> Iterator[Snapshot]:
        """What everybody may see: up to the size of /checkpoint."""
        with self._transaction() as database:
            yield Snapshot(database, Snapshot(database, 0).published_size())

    def version(self) -> int:
        """A number that changes with each commit of the sequencer; for one thread."""
        if self._watching is None:
            self._watching = connect(self._path, read_only=True)
        row = self._watching.execute("pragma data_version").fetchone()
        return _int(row[0])

    def close(self) -> None:
        """Close what is open; no question may be under way."""
        while self._idle:
            self._idle.pop().close()
        if self._watching is not None:
            self._watching.close()


def size_of(database: Database) -> int:
    """The number of leaves committed."""
    row = database.execute("select coalesce(max(idx) + 1, 0) from entry").fetchone()
    return _int(row[0])
