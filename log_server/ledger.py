"""Writes log.db: one batch, one transaction.

Only the sequencer makes a `Ledger`. Each append compares before it swaps: the batch was
made for the leaves and the rows that log.db has at this moment, or nothing is written.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from log_server.batch import Batch, Sealed
from log_server.engine import Database, Engine
from log_server.index_rows import KEPT_BATCHES
from log_server.store import CheckpointRow, Decision, Snapshot, size_of
from pcrlog.errors import UsageError
from pcrlog.index_keys import key_hash
from pcrlog.note import VerifierKey


class Ledger:
    """log.db for its one writer.

    Raises:
        UsageError: log.db is of another log than the key `vkey`.
    """

    def __init__(self, engine: Engine, vkey: VerifierKey) -> None:
        self._database = engine.connect(read_only=False, large=True)
        try:
            self._require(vkey)
        except BaseException:
            self._database.close()
            raise

    def _require(self, vkey: VerifierKey) -> None:
        found = self.snapshot().name()
        if found != (vkey.name, str(vkey)):
            message = f"log.db is of {found[1]}, but the key is {vkey}"
            raise UsageError(message)

    @property
    def database(self) -> Database:
        """Its connection, the only one: without it, it writes nothing any more."""
        return self._database

    def snapshot(self) -> Snapshot:
        """All that is committed: with no other writer, it needs no transaction.

        Should there be one, a batch that was made of two moments is not appended.
        """
        return Snapshot(self._database, size_of(self._database))

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """The same, for many questions: each by itself would lock the file anew."""
        with self._database.reading():
            yield self.snapshot()

    def append(self, batch: Batch, note: bytes) -> None:
        """Commit a batch, with the signed checkpoint if it has one.

        Raises:
            RuntimeError: log.db is not where the batch begins.
        """
        with self._database.transaction():
            self._take(batch)
            self._write_decisions(batch.decisions)
            if batch.sealed is not None:
                self._write_leaves(batch)
                self._write_index(batch)
                self._write_checkpoint(batch, batch.sealed, note)

    def _take(self, batch: Batch) -> None:
        # In this order. A second writer waits for the row that the first has changed,
        # and looks at `taken`, then at the leaves, as the first has left them.
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
        # PostgreSQL has no character 0 in a text.
        self._database.many(
            "insert into decision (envelope_sha256, idx, problem, detail)"
            " values (?, ?, ?, ?) on conflict (envelope_sha256) do update set"
            " idx = excluded.idx, problem = excluded.problem, detail = excluded.detail"
            " where decision.idx is null",
            [
                (
                    d.envelope_sha256,
                    d.index,
                    d.problem,
                    d.detail and d.detail.replace("\0", "?"),
                )
                for d in decisions
            ],
        )

    def _write_leaves(self, batch: Batch) -> None:
        many = self._database.many
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
        many = self._database.many
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
            " statements = given.statements + excluded.statements",
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

    def adopt(self, refusals: Iterable[Decision]) -> None:
        """Take over what another machine has refused; an index stands as it is."""
        with self._database.transaction():
            self._write_decisions(refusals)

    def sign(self, notes: Iterable[tuple[int, bytes]]) -> None:
        """Put signed notes in the place of those that a standby left open.

        Args:
            notes: of batches by their number, in one transaction.
        """
        with self._database.transaction():
            for batch, note in notes:
                self._database.execute(
                    "update checkpoint set note = ? where batch = ? and note like ?",
                    (note.decode(), batch, "%\n\n"),
                )

    def mark_published(
        self, checkpoint: CheckpointRow, note: bytes, *, synced: bool = False
    ) -> None:
        """Say that /checkpoint now shows `checkpoint`, cosigned as in `note`.

        It never goes back: if a newer one is shown already, nothing changes. `synced`:
        not with the power either. That need not be where /checkpoint is a file, which
        the next start finds.
        """
        database = self._database
        with database.transaction() if synced else database.unsynced():
            self._database.execute(
                "insert into published (id, batch, note) values (1, ?, ?)"
                " on conflict (id) do update set batch = excluded.batch,"
                " note = excluded.note where published.batch <= excluded.batch",
                (checkpoint.batch, note.decode()),
            )

    def tidy(self) -> None:
        """Do what nobody waits for, to keep commits quick."""
        self._database.tidy()

    def close(self) -> None:
        """Close the database."""
        self._database.close()
