"""fsck --repair: files are made anew from log.db, and from nothing that is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from log_server.direct import exclusively, read_log_key
from log_server.fsck import check
from log_server.repair import repair
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import InconsistencyError
from pcrlog.note import NoteSigner
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.test_fsck import edit, lose, spoil
from tests.unit.log_server.test_publisher import public


@pytest.fixture
def whole(log: Log, acme: Party) -> Log:
    for i in range(3):
        log.accept(acme.release(1, f"1.0.{i}"))
    return log


def make_folder(path: str) -> Callable[[Log], None]:
    def change(log: Log) -> None:
        file = log.config.public / path
        file.unlink()
        file.mkdir()

    return change


def empty(path: str) -> Callable[[Log], None]:
    def change(log: Log) -> None:
        (log.config.public / path).write_bytes(b"")

    return change


TILE, BUNDLE = "tile/0/000.p/10", "tile/entries/000.p/10"
FAULTS: dict[str, tuple[Callable[[Log], None], list[str]]] = {
    "nothing": (lambda _log: None, []),
    "a lost tile": (lose(TILE), [TILE]),
    "a spoiled tile": (spoil(TILE), [TILE]),
    "an old width": (spoil("tile/0/000.p/2"), ["tile/0/000.p/2"]),
    "a lost bundle": (lose(BUNDLE), [BUNDLE]),
    "a spoiled bundle": (spoil(BUNDLE), [BUNDLE]),
    "a lost checkpoint": (lose("checkpoint"), ["checkpoint"]),
    "a spoiled checkpoint": (spoil("checkpoint"), ["checkpoint"]),
    "an empty checkpoint": (empty("checkpoint"), ["checkpoint"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_made_anew_byte_for_byte(whole: Log, name: str) -> None:
    change, files = FAULTS[name]
    before = public(whole)
    change(whole)
    done = repair(whole.config)
    assert (done.files, done.left, done.wrong) == (files, [], [])
    assert done.leaves == 10
    assert public(whole) == before
    assert check(whole.config).wrong == []


def test_a_whole_folder_is_made_anew(whole: Log) -> None:
    before = public(whole)
    shutil.rmtree(whole.config.public)
    done = repair(whole.config)
    assert sorted(done.files) == sorted(before)
    assert public(whole) == before


def test_it_makes_nothing_from_a_database_that_is_wrong(whole: Log) -> None:
    lose(TILE)(whole)
    edit(whole, "update tile set hashes = zeroblob(320) where level = 0")
    done = repair(whole.config)
    assert done.files == []
    assert done.wrong == ["log.db: tile 0/0 differs"]
    assert not (whole.config.public / TILE).exists()


@pytest.mark.parametrize("signed", [True, False])
def test_it_refuses_while_a_newer_checkpoint_is_shown(
    whole: Log,
    acme: Party,
    tmp_path: Path,
    signed: bool,  # noqa: FBT001 - a case
) -> None:
    old = tmp_path / "old.db"
    shutil.copy(whole.config.log_db, old)
    whole.accept(acme.release(1, "2.0.0"))
    shutil.copy(old, whole.config.log_db)
    lose(TILE)(whole)
    shown = whole.config.public / "checkpoint"
    if not signed:
        # Spoiled as well: what can be read of it says still that there was more.
        shown.write_bytes(shown.read_bytes()[:-20] + b"A" * 18 + b"=\n")
    before = public(whole)
    with pytest.raises(InconsistencyError, match=r"log\.db is an old copy"):
        repair(whole.config)
    assert public(whole) == before


def test_it_refuses_while_another_history_is_shown(whole: Log) -> None:
    text = Checkpoint(whole.config.origin, 10, bytes(32)).text()
    note = bytes(read_log_key(whole.config).sign(text))
    (whole.config.public / "checkpoint").write_bytes(note)
    with pytest.raises(InconsistencyError):
        repair(whole.config)


def test_it_leaves_the_checkpoint_of_another_log_alone(
    whole: Log, tmp_path: Path
) -> None:
    """Two logs were told to publish in one place: the other one is there."""
    other = Checkpoint("other.example/a", 10, bytes(32)).text()
    note = bytes(NoteSigner("other.example/a", bytes(32)).sign(other))
    shown = whole.config.public / "checkpoint"
    shown.write_bytes(note)
    before = public(whole)
    with pytest.raises(InconsistencyError, match=r"is of other\.example/a"):
        repair(whole.config)
    assert public(whole) == before


def test_beside_a_server_it_leaves_the_checkpoint_to_it(whole: Log) -> None:
    lose(TILE)(whole)
    lose("checkpoint")(whole)
    with exclusively(whole.config):
        done = repair(whole.config)
    assert done.files == [TILE]
    assert len(done.left) == 1
    assert "a `serve` runs" in done.left[0]
    assert repair(whole.config).files == ["checkpoint"]


def test_what_was_never_published_is_left_to_the_sequencer(whole: Log) -> None:
    edit(whole, "delete from published")
    lose("checkpoint")(whole)
    done = repair(whole.config)
    assert (done.files, len(done.left)) == ([], 1)
    assert "start `serve`" in done.left[0]


def test_a_file_that_cannot_be_read_is_found(whole: Log) -> None:
    make_folder(TILE)(whole)
    assert check(whole.config).wrong == [
        f"public/{TILE} cannot be read: Is a directory"
    ]
