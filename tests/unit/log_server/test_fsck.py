"""fsck: a whole log is right, and every way in which it is not is found."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from log_server.fsck import check
from pcrlog.checkpoint import Checkpoint
from tests.unit.log_server.parties import Log, Party


@pytest.fixture
def whole(log: Log, acme: Party, lab: Party) -> Log:
    """A log with a bit of everything: nine entries and their seals."""
    log.accept(acme.release(1))
    log.accept(lab.reproduction(1))
    log.accept(lab.reproduction(2, "fail"))
    log.queue(acme.release(2, "2.0.0"), acme.release(3, "3.0.0"), b"junk")
    log.sequence()
    log.accept(acme.revocation(1))
    log.clock.now += 3600
    log.sequence(idle_seal=True)
    return log


def edit(log: Log, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(log.config.log_db)) as database, database:
        assert database.execute(sql, parameters).rowcount != 0, "nothing was changed"


def test_a_log_as_it_was_made_is_right(whole: Log) -> None:
    findings = check(whole.config)
    assert findings.wrong == []
    with whole.snapshot() as snapshot:
        assert findings.leaves == snapshot.size


def test_it_tells_how_far_it_is(whole: Log) -> None:
    seen: list[int] = []
    check(whole.config, seen.append)
    assert seen == list(range(1, len(seen) + 1))


def test_a_frozen_log_is_right(whole: Log) -> None:
    whole.sequence(freeze=True)
    assert check(whole.config).wrong == []


def test_the_largest_of_small_trees_is_right(log: Log, acme: Party) -> None:
    with log.sequencer() as sequencer:
        for i in range(11):
            log.queue(*(acme.release(j, f"{i}.{j}.0") for j in range(25)))
            sequencer.round()
    assert check(log.config).wrong == []


EDITS = {
    "leaf": (
        (
            "update entry set leaf = cast(replace(cast(leaf as text), 'sig', 'sjg')"
            " as blob) where idx = 4"
        ),
        "entry 4",
    ),
    "gap": ("delete from entry where idx = 6", "gap"),
    "kind": ("update entry set kind = 'fail' where idx = 6", "entry 6 is filed"),
    "hash of a statement": (
        "update entry set statement = zeroblob(32) where idx = 6",
        "entry 6 is filed",
    ),
    "seal": (
        (
            "update entry set leaf = cast(replace(cast(leaf as text), '1795', '1794')"
            " as blob) where idx = 5"
        ),
        "time goes back",
    ),
    "count of a seal": (
        (
            "update entry set leaf = cast(replace(cast(leaf as text), char(10) || '5'"
            " || char(10), char(10) || '6' || char(10)) as blob) where idx = 5"
        ),
        "its count is 6",
    ),
    "root of a checkpoint": (
        "update checkpoint set root = zeroblob(32) where size = 6",
        "seal 5: root",
    ),
    "time of a checkpoint": (
        "update checkpoint set time = 1 where size = 6",
        "filed wrongly",
    ),
    "note": (
        (
            "update checkpoint set note = replace(note, 'log.example', 'log.exampel')"
            " where size = 6"
        ),
        "seal 5",
    ),
    "lost checkpoint": ("delete from checkpoint where size = 6", "no checkpoint"),
    "tile": ("update tile set hashes = zeroblob(32) where level = 0", "tile 0/0"),
    "lost tile": ("delete from tile where level = 0", "tile 0/0"),
    "index": (
        (
            "delete from index_entry where (key_hash, idx) in"
            " (select key_hash, idx from index_entry limit 1)"
        ),
        "index of key",
    ),
    "more in the index": (
        "insert into index_entry values (zeroblob(32), 4, null)",
        "index of key " + "00" * 32,
    ),
    "count of what is given": ("update given set statements = 9", "`given`"),
    "decision": ("update decision set idx = 5 where idx = 4", "names no statement"),
    "trie": ("update trie_page set hashes = zeroblob(256)", "trie page 1 differs"),
    "less of the trie": ("delete from trie_page", "trie page 1 is missing"),
    "more of the trie": (
        "insert into trie_page values (65, zeroblob(256))",
        "trie page 65 differs",
    ),
    "lost key": (
        (
            "delete from index_entry where key_hash ="
            " (select key_hash from index_entry group by 1 having count(*) = 1)"
        ),
        "is missing",
    ),
    "value of a short list": (
        "update index_entry set value = zeroblob(32)",
        "value of key",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_changed_in_the_database_is_found(whole: Log, name: str) -> None:
    sql, words = EDITS[name]
    edit(whole, sql)
    wrong = check(whole.config).wrong
    assert any(words in line for line in wrong), wrong


@pytest.mark.parametrize(
    ("value", "words"),
    [("null", "has no value"), ("zeroblob(32)", "at 43 differs")],
)
def test_the_value_of_a_long_list_is_checked(
    log: Log, acme: Party, value: str, words: str
) -> None:
    log.queue(*(acme.release(1, f"1.0.{i}") for i in range(40)))
    log.sequence()
    log.accept(acme.release(1, "1.1.0"))
    assert check(log.config).wrong == []
    edit(log, f"update index_entry set value = {value} where value not null")  # noqa: S608 - one of the two above
    assert any(words in line for line in check(log.config).wrong)


def lose(path: str) -> Callable[[Log], None]:
    return lambda log: (log.config.public / path).unlink()


def spoil(path: str) -> Callable[[Log], None]:
    def change(log: Log) -> None:
        file = log.config.public / path
        data = bytearray(file.read_bytes())
        data[10] ^= 1
        file.write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lose("checkpoint"), "public/checkpoint"),
        (spoil("checkpoint"), "public/checkpoint"),
        (lose("tile/0/000.p/6"), "public/tile/0/000.p/6 is missing"),
        (spoil("tile/0/000.p/6"), "public/tile/0/000.p/6 differs"),
        (lose("tile/entries/000.p/8"), "public/tile/entries/000.p/8 is missing"),
        (spoil("tile/entries/000.p/8"), "public/tile/entries/000.p/8 differs"),
    ],
)
def test_what_is_changed_in_the_files_is_found(
    whole: Log, change: Callable[[Log], None], words: str
) -> None:
    change(whole)
    wrong = check(whole.config).wrong
    assert any(words in line for line in wrong), wrong


def test_a_statement_that_nobody_could_make_is_found(log: Log, acme: Party) -> None:
    # The log itself breaks its rule: it lets a stranger in, and seals that.
    stranger = Party("acme.example")
    log.queue(stranger.release())
    with log.sequencer() as sequencer:
        sequencer.progress.authority.judge_unverified = lambda entry: ()  # type: ignore[method-assign] # noqa: ARG005 - the log's own fault
        sequencer.round()
    [line] = check(log.config).wrong
    assert "is not an active key" in line


def test_a_leaf_after_the_end_is_found(log: Log, acme: Party) -> None:
    log.sequence(freeze=True)
    with log.sequencer() as sequencer:
        sequencer.progress.frozen = False
        sequencer.round(idle_seal=True)
    assert any("after the log was frozen" in line for line in check(log.config).wrong)


def test_a_checkpoint_that_the_database_does_not_know_is_found(log: Log) -> None:
    from log_server.direct import read_log_key  # noqa: PLC0415 - the attacker's part

    text = Checkpoint(log.config.origin, 2, bytes(32)).text()
    note = bytes(read_log_key(log.config).sign(text))
    (log.config.public / "checkpoint").write_bytes(note)
    assert check(log.config).wrong == ["public/checkpoint is not one of log.db's"]
