"""Writes log.db: one batch, one transaction.

Only the sequencer makes a `Ledger`. Each append compares before it swaps: the batch was
made for the leaves and the rows that log.db has at this moment, or nothing is written.
"""

from collections.abc import Iterable
from pathlib import Path

from log_server import store
from log_server.batch import Batch, Sealed
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
KEPT_BATCHES = 64
"""Nodes of the index trie stay for so many batches after they were replaced: whoever
answers from an older root can go on."""


class Ledger:
    """log.db for its one writer.

    Raises:
        UsageError: log.db is of another log than the key `vkey`.
    """

    def __init__(self, path: Path, vkey: VerifierKey) -> None:
        self._database = connect(path, read_only=False)
        # Not in the middle of a commit that somebody waits for, but in `tidy`.
        self._database.execute(f"pragma wal_autocheckpoint = {_WAL_PAGES}")
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
        many(
            "insert into index_entry (key_hash, idx) values (?, ?)",
            [(key, index) for key, found in batch.index.items() for index in found],
        )
        # A leaf that moves down is born again, unchanged.
        many(
            "insert into trie_node (hash, node) values (?, ?) on conflict do nothing",
            sorted(batch.update.born.items()),
        )
        many(
            "insert into dead_node (batch, hash) values (?, ?)",
            [(batch.number, name) for name in sorted(batch.update.died)],
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

    def tidy(self, batch: int) -> None:
        """Drop trie nodes that died long before `batch`; move the WAL into the file.

        A snapshot that still reads older pages keeps what it reads: SQLite sees to it.
        """
        dead = (batch - KEPT_BATCHES,)
        with transaction(self._database):
            self._database.execute(
                "delete from trie_node where hash in"
                " (select hash from dead_node where batch <= ?)",
                dead,
            )
            self._database.execute("delete from dead_node where batch <= ?", dead)
        self._database.execute("pragma wal_checkpoint(passive)").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
