"""Appending: compare, then swap, whoever else writes; and all of a batch or nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from log_server.batch import Batch
from log_server.databases import log_database
from log_server.ledger import Ledger
from log_server.progress import Progress
from log_server.sequencer import sequence
from log_server.store import Decision
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError
from pcrlog.note import NoteSigner
from tests.unit.log_server.parties import NOW, Log, Party


@contextmanager
def opened(log: Log) -> Iterator[Ledger]:
    ledger = Ledger(log_database(log.config), log.config.vkey())
    yield ledger
    ledger.close()


@pytest.fixture
def one(log: Log) -> Iterator[Ledger]:
    with opened(log) as ledger:
        yield ledger


@pytest.fixture
def other(log: Log) -> Iterator[Ledger]:
    with opened(log) as ledger:
        yield ledger


def idle_batch(ledger: Ledger, now: int) -> Batch:
    """A batch of a seal alone: no row is taken, so only the size tells it apart."""
    progress = Progress.load(ledger.snapshot())
    return sequence(ledger.snapshot(), progress, (), now, idle_seal=True)


def test_of_two_writers_one_appends(log: Log, one: Ledger, other: Ledger) -> None:
    first, second = idle_batch(one, NOW + 1), idle_batch(other, NOW + 2)
    one.append(first, b"one\n")
    with pytest.raises(RuntimeError, match="somebody else writes it"):
        other.append(second, b"other\n")
    newest = other.snapshot().checkpoint()
    assert newest is not None
    assert newest.note == b"one\n"
    assert other.snapshot().size == first.first + 1


def test_of_many_writers_at_once_one_appends(log: Log, one: Ledger) -> None:
    size = one.snapshot().size
    together, ends = threading.Barrier(4), list[str]()

    def append(number: int) -> None:
        with opened(log) as ledger:
            batch = idle_batch(ledger, NOW + number)
            together.wait(10)
            try:
                ledger.append(batch, b"%d\n" % number)
                ends.append("appended")
            except RuntimeError:
                ends.append("refused")

    threads = [threading.Thread(target=append, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ends) == ["appended", "refused", "refused", "refused"]
    assert one.snapshot().size == size + 1


def test_a_batch_that_was_judged_by_other_rows_is_refused(
    one: Ledger, other: Ledger
) -> None:
    decision = Decision(sha256(b"x"), None, "malformed", "no")
    batch = replace(idle_batch(one, NOW), decisions=(decision,), leaves=(), sealed=None)
    batch = replace(batch, tree=Progress.load(one.snapshot()).tree)
    before = one.snapshot().taken()
    one.append(replace(batch, taken=before + 1), b"")
    with pytest.raises(RuntimeError, match="somebody else writes it"):
        other.append(replace(batch, taken=before + 1), b"")
    assert other.snapshot().taken() == before + 1


def test_a_batch_that_fails_half_way_leaves_nothing(one: Ledger, other: Ledger) -> None:
    size, taken = one.snapshot().size, one.snapshot().taken()
    batch = replace(idle_batch(one, NOW), taken=taken + 5)
    # Words come last but one; this one cannot be written.
    broken = replace(batch, words=frozenset({("word", None)}))  # type: ignore[arg-type] # what no batch has
    with pytest.raises(Exception, match=r"(?i)null"):
        one.append(broken, b"one\n")
    for ledger in (one, other):
        assert (ledger.snapshot().size, ledger.snapshot().taken()) == (size, taken)
    one.append(batch, b"one\n")
    assert other.snapshot().size == size + 1


def test_of_an_envelope_twice_in_a_batch_the_index_stands(one: Ledger) -> None:
    digests = [sha256(b"%d" % i) for i in range(3)]
    said = (
        Decision(digests[0], None, "malformed", "no"),
        Decision(digests[0], 7),
        Decision(digests[1], 8),
        Decision(digests[1], None, "malformed", "too late"),
        Decision(digests[2], None, "malformed", "once"),
        Decision(digests[2], None, "conflict", "and\0again"),
    )
    one.append(replace(idle_batch(one, NOW), decisions=said), b"one\n")
    snapshot = one.snapshot()
    assert [snapshot.decision(digest) for digest in digests] == [
        Decision(digests[0], 7),
        Decision(digests[1], 8),
        Decision(digests[2], None, "conflict", "and?again"),
    ]
    assert snapshot.decision(sha256(b"never")) is None


def test_what_is_published_never_goes_back(one: Ledger, other: Ledger) -> None:
    one.append(idle_batch(one, NOW + 1), b"one\n")
    old = one.snapshot().checkpoint()
    one.append(idle_batch(one, NOW + 2), b"two\n")
    new = one.snapshot().checkpoint()
    assert old is not None
    assert new is not None
    one.mark_published(new, b"two, shown\n")
    other.mark_published(old, b"one, shown by a writer that stood still\n")
    assert one.snapshot().published() == (new, b"two, shown\n")
    one.mark_published(new, b"two, with another witness\n")
    assert other.snapshot().published() == (new, b"two, with another witness\n")


def test_a_ledger_of_another_key_is_not_opened(log: Log) -> None:
    stranger = NoteSigner(log.config.origin, bytes(32)).public
    engine = log_database(log.config)
    with pytest.raises(UsageError, match="but the key is"):
        Ledger(engine, stranger)


def test_long_lists_are_read_in_pages(log: Log, acme: Party) -> None:
    with log.sequencer() as sequencer:
        for batch in range(3):
            log.queue(*(acme.release(1, f"{batch}.{i}.0") for i in range(30)))
            sequencer.round()
    with log.snapshot() as snapshot:
        newest = list(snapshot.newest("v1/issuer/acme.example"))
        assert len(newest) == 90
        assert newest == sorted(newest, reverse=True)
        leaves = list(snapshot.leaves(0, 10**9))
        assert [index for index, _ in leaves] == list(range(snapshot.size))
        assert len(list(snapshot.checkpoints())) == 5
