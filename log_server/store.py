"""Reads log.db: what the log holds, at one moment, up to one size.

A `Snapshot` is one read transaction: it sees one state of the database however long it
takes. What it returns lies below its `size`, so that a web process that looks at the
published log never lets out a leaf or an index that no checkpoint covers yet. ledger.py
writes what is read here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache

from log_server.engine import Database, Engine
from log_server.index_rows import IndexRows
from pcrlog.index_keys import key_hash
from pcrlog.merkle import Node
from pcrlog.seal import Seal
from pcrlog.tiles import node_reader

_ALL = (1 << 63) - 1
"""A `limit` that is none, in words of both databases."""
_PAGE = 256
"""Rows read at once where whoever asks may stop, or goes through the whole log."""
_NEWEST = 32
"""The same, of a list of which the first few are wanted as a rule."""


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


Nodes = dict[tuple[int, int], bytes]
_NODES = 65_536
"""Hashes of complete subtrees that are remembered, by level and index: some 10 MB."""


class Snapshot:
    """The log up to `size` leaves, in the transaction of a connection.

    `nodes` is what other snapshots of this log have found out of complete subtrees,
    which never change.
    """

    def __init__(
        self, database: Database, size: int, nodes: Nodes | None = None
    ) -> None:
        self._database = database
        self._nodes = {} if nodes is None else nodes
        self.size = size

    def up_to(self, size: int) -> "Snapshot":
        """The same moment, of fewer leaves."""
        return Snapshot(self._database, size, self._nodes)

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
        end = min(stop, self.size)
        for low in range(start, end, _PAGE):
            yield from self._database.execute(
                "select idx, leaf from entry where idx >= ? and idx < ? order by idx",
                (low, min(low + _PAGE, end)),
            ).fetchall()

    def statements(self, start: int, stop: int, most: int) -> list[tuple[int, bytes]]:
        """(index, leaf) of the newest that are no seals, start <= index < stop."""
        return self._database.execute(
            "select idx, leaf from entry where idx >= ? and idx < ? and kind <> 'seal'"
            " order by idx desc limit ?",
            (start, min(stop, self.size), most),
        ).fetchall()

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

    def indices(self, hashed_key: bytes, most: int = _ALL) -> tuple[int, ...]:
        """The entries under a key, ascending; at most the first `most`."""
        rows = self._database.execute(
            "select idx from index_entry where key_hash = ? and idx < ?"
            " order by idx limit ?",
            (hashed_key, self.size, most),
        )
        return tuple(index for (index,) in rows)

    def newest(self, key: str) -> Iterator[int]:
        """The entries under a key string, newest first."""
        hashed, end = key_hash(key), self.size
        while True:
            rows = self._database.execute(
                "select idx from index_entry where key_hash = ? and idx < ?"
                " order by idx desc limit ?",
                (hashed, end, _NEWEST),
            ).fetchall()
            yield from (index for (index,) in rows)
            if len(rows) < _NEWEST:
                return
            end = rows[-1][0]

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
            "select idx from word where word >= ? and word < ? and idx < ?"
            " order by word, idx limit ?",
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
        read, known = node_reader(lru_cache(maxsize=64)(self.tile)), self._nodes

        def node(level: int, index: int) -> bytes:
            found = known.get((level, index))
            if found is None:
                if len(known) >= _NODES:
                    known.clear()
                found = known[level, index] = read(level, index)
            return found

        return node

    # --- whole tables, for fsck ------------------------------------------------------

    def entries(self) -> Iterator[tuple[int, bytes, bytes | None, str]]:
        """(index, leaf, statement, kind) of every row of `entry`, ascending."""
        yield from self._database.stream(
            "select idx, leaf, statement, kind from entry order by idx"
        )

    def tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """(level, index, hashes) of every tile."""
        yield from self._database.stream(
            "select level, idx, hashes from tile order by level, idx"
        )

    def index_rows(self) -> Iterator[tuple[bytes, int, bytes | None]]:
        """(key hash, index, value if there is one) of the whole index, ascending."""
        yield from self._database.stream(
            "select key_hash, idx, value from index_entry order by key_hash, idx"
        )

    def trie_pages(self) -> Iterator[tuple[int, bytes]]:
        """(number, hashes) of every page of the newest index trie."""
        yield from self._database.stream("select number, hashes from trie_page")

    def given_rows(self) -> Iterator[tuple[bytes, int]]:
        """(key hash, number of releases and passes)."""
        yield from self._database.stream("select key_hash, statements from given")

    def decided(self) -> Iterator[tuple[bytes, int]]:
        """(envelope hash, index) of every decision that is no refusal."""
        yield from self._database.stream(
            "select envelope_sha256, idx from decision where idx is not null"
        )

    def refused(self) -> Iterator[Decision]:
        """Every decision that is a refusal."""
        for row in self._database.stream(
            "select envelope_sha256, problem, detail from decision where idx is null"
        ):
            yield Decision(_blob(row[0]), None, str(row[1]), str(row[2]))

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

    def checkpoint_over(self, index: int) -> CheckpointRow | None:
        """The first checkpoint that has leaf `index`."""
        sql = f"select {_CHECKPOINT} where size > ? order by size limit 1"
        row = self._one(sql, index)
        return None if row is None else _checkpoint(row)

    def checkpoints(self, after: int = 0) -> Iterator[CheckpointRow]:
        """Every checkpoint of more than `after` leaves, ascending."""
        sql = f"select {_CHECKPOINT} where size > ? order by size limit ?"
        while True:
            rows = self._database.execute(sql, (after, _PAGE)).fetchall()
            yield from map(_checkpoint, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1][1]

    def unsigned(self, after: int, most: int) -> list[CheckpointRow]:
        """Checkpoints that the log's key has still to sign, of a standby.

        At most `most`, behind the batch `after`.
        """
        rows = self._database.execute(
            f"select {_CHECKPOINT} where batch > ? and note like ?"
            " order by batch limit ?",
            (after, "%\n\n", most),
        )
        return [_checkpoint(row) for row in rows.fetchall()]

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

    def published_note(self) -> str:
        """The cosigned note that /checkpoint shows; empty before there is one."""
        row = self._one("select note from published")
        return "" if row is None else str(row[0])

    def published_size(self) -> int:
        """The size of /checkpoint."""
        row = self._one("select size from checkpoint join published using (batch)")
        return 0 if row is None else _int(row[0])

    @cached_property
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
    """log.db for readers: a snapshot a question, for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._nodes: Nodes = {}

    @contextmanager
    def committed(self) -> Iterator[Snapshot]:
        """All that the sequencer has committed, published or not: for admission."""
        with self._engine.snapshot() as database:
            yield Snapshot(database, size_of(database), self._nodes)

    @contextmanager
    def published(self) -> Iterator[Snapshot]:
        """What everybody may see: up to the size of /checkpoint."""
        with self._engine.snapshot() as database:
            size = Snapshot(database, 0).published_size()
            yield Snapshot(database, size, self._nodes)

    @property
    def pause(self) -> float:
        """Seconds between two looks at `version`, so that looking costs little."""
        return self._engine.pause

    def version(self) -> object:
        """Something that changes when the sequencer commits; for one thread."""
        return self._engine.version()

    def close(self) -> None:
        """Close what is open; no question may be under way."""
        self._engine.close()


def size_of(database: Database) -> int:
    """The number of leaves committed."""
    row = database.execute("select coalesce(max(idx) + 1, 0) from entry").fetchone()
    return _int(row[0])
