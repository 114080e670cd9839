"""The audit finds what it is there for: each promise, broken once."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from log_server.config import Config
from log_server.direct import read_log_key
from log_server.fsck import check
from pcrlog.checkpoint import Checkpoint
from pcrlog.tiles import Tile
from tests.support.audit import AuditError, Told, audit, check_shown
from tests.unit.log_server.parties import Log, Party


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log")


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@pytest.fixture
def told(log: Log, acme: Party) -> Told:
    """Two receipts, a promise that was kept, one that ended in a refusal."""
    told = Told()
    told.show((log.config.public / "checkpoint").read_bytes())
    for number in range(2):
        envelope = acme.release(1, f"1.0.{number}")
        told.receipt(envelope, log.accept(envelope))
        told.show((log.config.public / "checkpoint").read_bytes())
    kept, refused = acme.release(1, "2.0.0"), acme.release(2, "1.0.0")
    log.queue(kept, refused)
    log.sequence()
    for envelope in (kept, refused):
        told.promise(envelope)
    told.receipt(kept, 8)
    told.refusal(refused, "conflict")
    return told


def test_a_log_that_kept_its_word_passes(log: Log, told: Told) -> None:
    found = audit(log.config, told)
    assert (found.leaves, found.receipts, found.checkpoints) == (10, 3, 4)
    assert (found.decided, found.refused) == (1, 1)
    assert check_shown(log.config)[-1].startswith(b"p")


def one_of(told: Told) -> bytes:
    return min(told.indices)


Break = Callable[[Log, Told, Party], object]
BREAKS: dict[str, tuple[Break, str]] = {
    "another index": (lambda _, t, __: t.receipt(one_of(t), 0), "told"),
    "a lost receipt": (lambda _, t, a: t.receipt(a.release(7, "7.0.0"), 4), "told"),
    "a lost promise": (lambda _, t, a: t.promise(a.release(7, "7.0.0")), "not decided"),
    "two decisions": (
        lambda _, t, __: t.refusal(max(t.promised & set(t.indices)), "conflict"),
        "decided 8",
    ),
    "two refusals": (
        lambda _, t, __: t.refusal(min(t.refusals), "expired"),
        "told otherwise",
    ),
    "what waits": (lambda log, _, a: log.queue(a.release(7, "7.0.0")), "waits"),
    "a forged checkpoint": (lambda _, t, __: t.show(b"nothing\n"), "a checkpoint"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_promise_is_found(
    log: Log, told: Told, acme: Party, name: str
) -> None:
    broken, words = BREAKS[name]
    broken(log, told, acme)
    with pytest.raises(AuditError, match=words):
        audit(log.config, told)


@pytest.mark.parametrize(
    ("size", "words"), [(6, "two checkpoints of 6"), (5, "checkpoints of 5 and 6")]
)
def test_a_second_history_is_found(log: Log, told: Told, size: int, words: str) -> None:
    text = Checkpoint(log.config.origin, size, bytes(32)).text()
    told.show(bytes(read_log_key(log.config).sign(text)))
    with pytest.raises(AuditError, match=words):
        audit(log.config, told)


def test_what_fsck_finds_is_found(log: Log, told: Told) -> None:
    with closing(sqlite3.connect(log.config.log_db)) as database, database:
        database.execute("update given set statements = 99")
    assert check(log.config).wrong
    with pytest.raises(AuditError, match=r"fsck: log\.db: `given` differs"):
        audit(log.config, told)


def test_leaves_of_another_tree_are_found(log: Log, tmp_path: Path) -> None:
    other = Log.create(tmp_path / "other")
    path = Tile(None, 0, 2).path()
    shutil.copy(other.config.public / path, log.config.public / path)
    with pytest.raises(AuditError, match="not those of 2"):
        check_shown(log.config)


def test_an_index_that_no_seal_names_is_found(log: Log, told: Told) -> None:
    """Both the files and log.db are of one log, and still one seal lies."""
    seal = b"pcrlog/seal/v1\n"
    path = log.config.public / Tile(None, 0, 10).path()
    data = path.read_bytes()
    place = data.rindex(seal)
    path.write_bytes(data[: place + 40] + b"A" * 8 + data[place + 48 :])
    with pytest.raises(AuditError, match="seal 9: it names another index"):
        audit(Config.load(log.config.directory), told)
