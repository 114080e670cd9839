"""Writes log.db: one batch, one transaction.

Only the sequencer makes a `Ledger`. Each append compares before it swaps: the batch was
made for the leaves and the rows that log.db has at this moment, or nothing is written.
"""

from collections.abc import Iterable
from pathlib import Path

from log_server import store
from log_server.batch import Batch, Sealed
from log_server.index_rows import KEPT_BATCHES
from log_server.store import (
    CheckpointRow,
    Decision,
    Snapshot,
    connect,
    size_of,
    transaction,
)
from pcrlog.errors import UsageError
from pcrlog.index_keys import key_hash
from pcrlog.note import VerifierKey

_WAL_PAGES = 16_000
_CACHE_KIB = 64 << 10
"""Of memory for pages of log.db: keys are hashes, so each lies on another page, and a
batch finds many of those that the last one has read."""


class Ledger:
    """log.db for its one writer.

    Raises:
        UsageError: log.db is of another log than the key `vkey`.
    """

    def __init__(self, path: Path, vkey: VerifierKey) -> None:
        self._database = connect(path, read_only=False)
        # Not in the middle of a commit that somebody waits for, but in `tidy`.
        self._database.execute(f"pragma wal_autocheckpoint = {_WAL_PAGES}")
        self._database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        found = self.snapshot().name()
        if found != (vkey.name, str(vkey)):
            message = f"log.db is of {found[1]}, but the key is {vkey}"
            raise UsageError(message)

    def snapshot(self) -> Snapshot:
        """All that is committed: with no other writer, it needs no transaction."""
        return Snapshot(self._database, size_of(self._database))

    def append(self, batch: Batch, note: bytes) -> None:
        """Commit a batch, with the signed checkpoint if it has one.

        Raises:
            RuntimeError: log.db is not where the batch begins.
        """
        with transaction(self._database):
            self._take(batch)
            self._write_decisions(batch.decisions)
            if batch.sealed is not None:
                self._write_leaves(batch)
                self._write_index(batch)
                self._write_checkpoint(batch, batch.sealed, note)

    def _take(self, batch: Batch) -> None:
        taken = self._database.execute(
            "update log set taken = ? where taken = ?",
            (batch.taken, batch.taken_before),
        )
        if taken.rowcount != 1 or size_of(self._database) != batch.first:
            message = (
                f"log.db is not at leaf {batch.first} and row {batch.taken_before}:"
                " somebody else writes it"
            )
            raise RuntimeError(message)

    def _write_decisions(self, decisions: Iterable[Decision]) -> None:
        # An index is never taken back; a refusal gives way to what is said later.
        self._database.conn.executemany(
            "insert into decision (envelope_sha256, idx, problem, detail)"
            " values (?, ?, ?, ?) on conflict (envelope_sha256) do update set"
            " idx = excluded.idx, problem = excluded.problem, detail = excluded.detail"
            " where decision.idx is null",
            [(d.envelope_sha256, d.index, d.problem, d.detail) for d in decisions],
        )

    def _write_leaves(self, batch: Batch) -> None:
        many = self._database.conn.executemany
        many(
            "insert into entry (idx, leaf, statement, kind) values (?, ?, ?, ?)",
            [(one.index, one.leaf, one.statement, one.kind) for one in batch.leaves],
        )
        many(
            "insert into tile (level, idx, hashes) values (?, ?, ?)"
            " on conflict (level, idx) do update set hashes = excluded.hashes",
            [(*place, hashes) for place, hashes in batch.tiles.items()],
        )

    def _write_index(self, batch: Batch) -> None:
        many = self._database.conn.executemany
        update = batch.update
        many(
            "insert into index_entry (key_hash, idx, value) values (?, ?, ?)",
            [
                (key, index, update.values.get(key) if index == found[-1] else None)
                for key, found in sorted(update.lists.items())
                for index in found
            ],
        )
        # In order: neighbours share pages of the file.
        many(
            "insert into trie_page_before (batch, number, hashes) values (?, ?, ?)",
            [(batch.number, *row) for row in sorted(update.before.items())],
        )
        many(
            "insert into trie_page (number, hashes) values (?, ?)"
            " on conflict (number) do update set hashes = excluded.hashes",
            sorted(update.pages.items()),
        )
        self._database.execute(
            "delete from trie_page_before where batch <= ?",
            (batch.number - KEPT_BATCHES,),
        )
        many(
            "insert into given (key_hash, statements) values (?, ?)"
            " on conflict (key_hash) do update set"
            " statements = statements + excluded.statements",
            [(key_hash(key), more) for key, more in batch.given_more.items()],
        )
        many("insert into word (word, idx) values (?, ?)", sorted(batch.words))

    def _write_checkpoint(self, batch: Batch, sealed: Sealed, note: bytes) -> None:
        checkpoint, seal = sealed.checkpoint, sealed.seal
        self._database.execute(
            "insert into checkpoint (batch, size, root, index_root, time, frozen, note)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            (
                batch.number,
                checkpoint.size,
                checkpoint.root,
                seal.root,
                seal.time,
                int(seal.frozen),
                note.decode(),
            ),
        )

    def mark_published(self, checkpoint: CheckpointRow, note: bytes) -> None:
        """Say that /checkpoint now shows `checkpoint`, cosigned as in `note`.

        Not synced to disk: should the power fail, the next start finds the file.
        """
        self._database.execute("pragma synchronous = normal")
        self._database.execute(
            "insert into published (id, batch, note) values (1, ?, ?)"
            " on conflict (id) do update set batch = excluded.batch,"
            " note = excluded.note",
            (checkpoint.batch, note.decode()),
        )
        self._database.execute(f"pragma synchronous = {store.DURABLE}")

    def tidy(self) -> None:
        """Move the WAL into the file.

        A snapshot that still reads older pages keeps what it reads: SQLite sees to it.
        """
        self._database.execute("pragma wal_checkpoint(passive)").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
