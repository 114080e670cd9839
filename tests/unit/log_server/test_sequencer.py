"""Sequencing: batches, seals, the index, and what a restart makes of them."""

import dataclasses
from collections.abc import Iterator

import pytest

from log_server.index_pages import prove
from log_server.intake import Waiting
from log_server.progress import Progress
from log_server.sequencer import Sequencer, sequence
from log_server.store import Snapshot
from pcrlog import merkle, trie
from pcrlog.checkpoint import open_checkpoint
from pcrlog.encoding import sha256
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.note import UnverifiedNote
from pcrlog.seal import Seal
from tests.unit.log_server.parties import NOW, Log, Party, statement_sha256


def leaves_of(log: Log) -> list[bytes]:
    with log.snapshot() as snapshot:
        return [leaf for _, leaf in snapshot.leaves(0, snapshot.size)]


def rows(*envelopes: bytes) -> list[Waiting]:
    return [
        Waiting(i + 1, envelope, sha256(envelope), conflict_accepted=False)
        for i, envelope in enumerate(envelopes)
    ]


@pytest.fixture
def loaded(log: Log, acme: Party) -> Iterator[tuple[Snapshot, Progress]]:
    with log.snapshot() as snapshot:
        yield snapshot, dataclasses.replace(Progress.load(snapshot), taken=0)


class TestSequence:
    def test_it_is_a_pure_function(
        self, loaded: tuple[Snapshot, Progress], acme: Party
    ) -> None:
        snapshot, progress = loaded
        waiting = rows(acme.release(1), acme.release(1, "1.0.1"), b"junk")
        one = sequence(snapshot, progress, waiting, NOW)
        other = sequence(snapshot, progress, waiting, NOW)
        assert one.leaves == other.leaves
        assert one.sealed == other.sealed
        assert one.update == other.update
        assert [d.index for d in one.decisions] == [4, 5, None]

    def test_refusals_alone_make_no_checkpoint(
        self, loaded: tuple[Snapshot, Progress]
    ) -> None:
        batch = sequence(*loaded, rows(b"junk"), NOW)
        assert (batch.leaves, batch.sealed, batch.number) == ((), None, 2)
        assert batch.taken == 1

    def test_a_statement_twice_in_one_batch_stands_once(
        self, loaded: tuple[Snapshot, Progress], acme: Party
    ) -> None:
        envelope = acme.release()
        batch = sequence(*loaded, rows(envelope, envelope), NOW)
        assert [d.index for d in batch.decisions] == [4, 4]
        assert len(batch.leaves) == 2, "the statement and the seal"

    def test_the_seals_time_never_goes_back(
        self, loaded: tuple[Snapshot, Progress]
    ) -> None:
        batch = sequence(*loaded, [], NOW - 1000, idle_seal=True)
        assert batch.sealed is not None
        assert batch.sealed.seal.time == NOW

    def test_the_seal_counts_the_leaves_before_it_and_is_the_last(
        self, loaded: tuple[Snapshot, Progress], acme: Party
    ) -> None:
        batch = sequence(*loaded, rows(acme.release()), NOW + 5)
        assert batch.sealed is not None
        seal, checkpoint = batch.sealed.seal, batch.sealed.checkpoint
        assert batch.leaves[-1].leaf == seal.encode()
        assert (seal.count, seal.time, checkpoint.size) == (5, NOW + 5, 6)

    def test_an_enrolment_counts_for_the_next_row_of_its_batch(
        self, log: Log, loaded: tuple[Snapshot, Progress]
    ) -> None:
        other = Party("other.example")
        waiting = rows(
            other.release(), log.identity(other, "provider"), other.release()
        )
        batch = sequence(*loaded, waiting, NOW)
        assert [d.index for d in batch.decisions] == [None, 4, 5]
        assert batch.decisions[0].problem == "not-authorised"


def test_index_and_tree_are_those_of_a_naive_reader(log: Log, acme: Party) -> None:
    for i in range(7):
        log.queue(*(acme.release(i, f"{i}.{j}.0") for j in range(i + 1)))
        log.sequence()
    leaves = leaves_of(log)
    lists: dict[str, list[int]] = {}
    naive = trie.MemoryTrie()
    for index, leaf in enumerate(leaves):
        if leaf.startswith(b"p"):
            naive.update({key_hash(k): trie.value_of(v) for k, v in lists.items()})
            assert Seal.parse(leaf).root == naive.root
            assert Seal.parse(leaf).count == index
        for key in index_keys(leaf):
            lists.setdefault(key, []).append(index)
    with log.snapshot() as snapshot:
        newest = snapshot.checkpoint()
        assert newest is not None
        assert newest.root == merkle.root([merkle.leaf_hash(leaf) for leaf in leaves])
        for key, indices in lists.items():
            assert snapshot.indices(key_hash(key)) == tuple(indices)


def test_every_checkpoint_is_signed_by_the_log_alone(log: Log, acme: Party) -> None:
    log.accept(acme.release())
    with log.snapshot() as snapshot:
        rows = list(snapshot.checkpoints())
    assert [row.size for row in rows] == [2, 4, 6]
    for row in rows:
        note = UnverifiedNote.parse(row.note)
        assert open_checkpoint(note, log.config.vkey()).root == row.root
        assert len(note.lines) == 1


def test_a_restart_stands_where_the_last_run_stood(log: Log, acme: Party) -> None:
    with log.sequencer() as sequencer:
        for i in range(5):
            log.queue(acme.release(i, f"{i}.0.0"))
            sequencer.round()
        before = sequencer.progress
    with log.sequencer() as sequencer:
        after = sequencer.progress
    for name in ("batch", "index_root", "time", "frozen", "taken"):
        assert getattr(before, name) == getattr(after, name), name
    assert before.tree.size == after.tree.size
    assert before.tree.subtrees == after.tree.subtrees
    assert before.authority.newest(acme.name) == after.authority.newest(acme.name)


def test_no_rows_make_no_round(log: Log) -> None:
    size = len(leaves_of(log))
    with log.sequencer() as sequencer:
        assert sequencer.round() == 0
    assert len(leaves_of(log)) == size


def test_an_idle_log_seals_that_nothing_was_added(log: Log) -> None:
    log.clock.now += 3600
    log.sequence(idle_seal=True)
    leaves = leaves_of(log)
    assert Seal.parse(leaves[-1]).time == NOW + 3600
    assert Seal.parse(leaves[-1]).root == Seal.parse(leaves[-2]).root


def test_a_frozen_seal_is_the_last_leaf(log: Log) -> None:
    log.sequence(freeze=True)
    assert Seal.parse(leaves_of(log)[-1]).frozen
    with log.sequencer() as sequencer:
        assert sequencer.progress.frozen


def test_rows_are_decided_in_order_and_once(log: Log, acme: Party) -> None:
    envelopes = [acme.release(1, f"1.0.{i}") for i in range(5)]
    log.queue(*envelopes)
    log.sequence()
    log.sequence()
    leaves = leaves_of(log)
    assert [leaf for leaf in leaves if leaf in envelopes] == envelopes


def test_long_lists_are_hashed_alike_by_old_and_new_runs(log: Log, acme: Party) -> None:
    # A running sequencer knows each list's hash so far; a new one reads the list.
    with log.sequencer() as sequencer:
        for i in range(3):
            log.queue(acme.release(1, f"1.0.{i}"))
            sequencer.round()
        known = sequencer.progress.index_root
    log.accept(acme.release(1, "1.0.3"))
    with log.snapshot() as snapshot:
        newest = snapshot.checkpoint()
        assert newest is not None
        assert newest.index_root != known
        key = key_hash(f"v1/issuer/{acme.name}")
        indices = snapshot.indices(key)
        proof = prove(snapshot.index_at(newest), key)
        trie.check_presence(newest.index_root, key, trie.value_of(indices), proof)


def test_an_error_that_is_no_refusal_ends_the_round_and_writes_nothing(
    log: Log, acme: Party
) -> None:
    log.queue(acme.release())

    def fail(name: str) -> None:
        if name == "batch-made":
            raise OSError(name)

    with pytest.raises(OSError, match="batch-made"), log.sequencer(fail) as sequencer:
        sequencer.round()
    assert len(leaves_of(log)) == 4
    log.sequence()
    assert len(leaves_of(log)) == 6


def test_two_sequencers_cannot_both_commit(log: Log, acme: Party) -> None:
    with log.sequencer() as sequencer:
        stale = Progress.load(sequencer._ledger.snapshot())
        log.queue(acme.release(1))
        sequencer.round()
        log.queue(acme.release(2, "2.0.0"))
        sequencer.progress = stale
        with pytest.raises(RuntimeError, match="somebody else writes it"):
            sequencer.round()


def test_decisions_are_kept_under_the_envelopes_hash(log: Log, acme: Party) -> None:
    envelope = acme.release()
    index = log.accept(envelope)
    with log.snapshot() as snapshot:
        decision = snapshot.decision(sha256(envelope))
        assert decision is not None
        assert decision.index == index
        assert snapshot.index_of(bytes.fromhex(statement_sha256(envelope))) == index


def test_a_sequencer_takes_no_key_of_another_log(log: Log) -> None:
    other = Log.create(log.config.directory.parent / "other")
    log.config.log_key.write_bytes(other.config.log_key.read_bytes())
    with pytest.raises(Exception, match="but the key is"), log.sequencer() as sequencer:
        assert isinstance(sequencer, Sequencer)
