"""The index in log.db: the newest one, and those of the last few batches."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from log_server import index_pages
from log_server.bundles import lookup
from log_server.databases import intake_database, log_database
from log_server.engine import Database
from log_server.index_pages import LONG
from log_server.index_rows import KEPT_BATCHES
from log_server.intake import IntakeWriter, Submission
from log_server.store import Snapshot, Store
from pcrlog import trie
from pcrlog.bundle import Bundle
from pcrlog.encoding import sha256
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.seal import Seal
from tests.unit.log_server.parties import NITRO, Log, Party, measurement

SAME = f"v1/measurement/{NITRO}/{measurement(0)}"
ABSENT = [sha256(b"absent %d" % number) for number in range(50)]


@pytest.fixture
def grown(log: Log, acme: Party) -> Log:
    """A dozen batches; some lists grow to be long in them, keys get pages."""
    with log.sequencer() as sequencer:
        engine = intake_database(log.config)
        writer = IntakeWriter(engine, lambda: sequencer.progress.taken, lambda: None)
        for batch in range(12):
            new = [acme.release(9 * batch + i, f"{batch}.{i}.0") for i in range(1, 9)]
            same = [acme.release(0, f"{batch}.0.{i}") for i in range(4)]
            writer.put_all([Submission(x, sha256(x), False, 0) for x in new + same])  # noqa: FBT003 - a row
            sequencer.round()
        writer.close()
    return log


@pytest.fixture
def plain(grown: Log) -> list[trie.MemoryTrie]:
    """The trie in each seal, made from the leaves alone."""
    made: list[trie.MemoryTrie] = []
    lists: dict[bytes, list[int]] = {}
    with grown.snapshot() as snapshot:
        for index, leaf in snapshot.leaves(0, snapshot.size):
            if leaf.startswith(b"p"):
                made.append(trie.MemoryTrie())
                made[-1].update({key: trie.value_of(v) for key, v in lists.items()})
                assert made[-1].root == Seal.parse(leaf).root
            for key in index_keys(leaf):
                lists.setdefault(key_hash(key), []).append(index)
    return made


def test_each_index_that_is_kept_is_proven_as_it_was(
    grown: Log, plain: list[trie.MemoryTrie]
) -> None:
    with grown.snapshot() as snapshot:
        rows = list(snapshot.checkpoints())
        keys = {key for key, _, _ in snapshot.index_rows()}
        assert len(snapshot.indices(key_hash(SAME))) > LONG
        for row, then in list(zip(rows, plain, strict=True))[-KEPT_BATCHES - 1 :]:
            index = snapshot.index_at(row)
            for key in [*keys, *ABSENT]:
                assert index_pages.prove(index, key) == then.prove(key)


def test_what_is_older_is_gone_and_said_to_be(grown: Log) -> None:
    with grown.snapshot() as snapshot:
        rows = list(snapshot.checkpoints())
        with pytest.raises(LookupError, match="9 batches ago is not kept"):
            snapshot.index_at(rows[-KEPT_BATCHES - 2])
    with raw(grown) as database:
        [oldest] = database.execute(
            "select min(batch) from trie_page_before"
        ).fetchone()
    assert oldest == rows[-1].batch - KEPT_BATCHES + 1


def test_before_the_first_checkpoint_there_are_no_keys(grown: Log) -> None:
    with grown.snapshot() as snapshot:
        index = snapshot.index_at(None)
        assert index.pages([index_pages.ROOT]) != {}, "the newest ones are"
        assert index.leaves(bytes(32), b"\xff" * 33) == {}


def test_a_restart_goes_on_where_it_stood(
    grown: Log, acme: Party, plain: list[trie.MemoryTrie]
) -> None:
    release = acme.release(0, "13.0.0")
    index = grown.accept(release)
    with grown.snapshot() as snapshot:
        changed = {
            key_hash(key): trie.value_of(snapshot.indices(key_hash(key)))
            for key in index_keys(release)
        }
        plain[-1].update(changed)
        newest = snapshot.checkpoint()
        assert newest is not None
        assert newest.size == index + 2
        assert newest.index_root == plain[-1].root


def test_answers_are_under_the_published_root_while_a_batch_waits(
    grown: Log, acme: Party
) -> None:
    with grown.sequencer(step=fail_when_committed) as sequencer:
        grown.queue(acme.release(0, "13.0.0"), acme.release(1000, "13.0.1"))
        with pytest.raises(RuntimeError, match="not published"):
            sequencer.round()
    store = Store(log_database(grown.config))
    with store.published() as snapshot:
        assert behind(snapshot) == 1
        for key in (SAME, f"v1/measurement/{NITRO}/{measurement(1000)}"):
            bundle = Bundle.parse(lookup(snapshot, key))
            [answer] = bundle.answers.values()
            root, hashed = Seal.parse(bundle.seal).root, key_hash(key)
            if answer.indices:
                value = trie.value_of(answer.indices)
                trie.check_presence(root, hashed, value, answer.proof)
            else:
                trie.check_absence(root, hashed, answer.proof)
    store.close()


def test_a_long_list_without_its_value_is_not_guessed(grown: Log) -> None:
    with raw(grown) as database:
        database.execute("update index_entry set value = null")
    with grown.snapshot() as snapshot:
        index = snapshot.index_at(snapshot.checkpoint())
        with pytest.raises(LookupError, match="has no value; run fsck"):
            index_pages.prove(index, key_hash(SAME))


def fail_when_committed(name: str) -> None:
    if name == "committed":
        message = "not published"
        raise RuntimeError(message)


def behind(snapshot: Snapshot) -> int:
    newest, published = snapshot.checkpoint(), snapshot.published()
    assert newest is not None
    assert published is not None
    return newest.batch - published[0].batch


@contextmanager
def raw(log: Log) -> Iterator[Database]:
    database = log_database(log.config).connect(read_only=False)
    yield database
    database.close()
