"""restore: what a log has published is enough to make log.db anew, byte for byte."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from log_server.config import Config, Member, Quorum
from log_server.direct import read_log_key
from log_server.fsck import check
from log_server.restore import Told, restore
from log_server.sources import Folder
from pcrlog.errors import (
    InconsistencyError,
    PcrlogError,
    TransportError,
    UsageError,
    VerificationError,
)
from pcrlog.note import NoteSigner
from pcrlog.reader import AbsentError
from pcrlog.seal import Seal
from pcrlog.tiles import encode_bundle, parse_bundle
from tests.support.memory_log import witness
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.test_publisher import public

TABLES = (
    *("log", "entry", "tile", "index_entry", "checkpoint", "published", "given"),
    *("word", "decision"),
)


@pytest.fixture
def whole(log: Log, acme: Party, lab: Party) -> Log:
    """A log with a bit of everything."""
    log.accept(acme.release(1))
    log.accept(lab.reproduction(1))
    log.queue(
        acme.release(1, subject={f"PCR{i}": f"sha384:{'e' * 96}" for i in range(3)}),
        conflict_accepted=True,
    )
    log.sequence()
    log.clock.now += 3600
    log.sequence(idle_seal=True)
    log.accept(acme.revocation(1))
    return log


@pytest.fixture
def large(whole: Log, acme: Party) -> Log:
    """More leaves than one bundle has."""
    for i in range(10):
        whole.queue(*(acme.release(2 + i, f"2.{i}.{j}") for j in range(26)))
    whole.sequence()
    return whole


def restored(log: Log, folder: Path, source: Path | None = None) -> Config:
    key = read_log_key(log.config)
    return restore(folder, Folder(source or log.config.public), key)


def rows(config: Config, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(config.log_db)) as database:
        return sorted(database.execute(f"select * from {table}"))  # noqa: S608 - a name


def test_what_is_restored_is_what_was_written(large: Log, tmp_path: Path) -> None:
    config = restored(large, tmp_path / "new")
    assert check(config).wrong == []
    for table in TABLES:
        assert rows(config, table) == rows(large.config, table), table
    again = Log(config, large.new, large.clock, large.registrar)
    # But for partial tiles that go, since the full one stands.
    assert public(again).items() <= public(large).items()
    assert Config.load(config.directory) == config
    assert oct(config.log_key.stat().st_mode & 0o777) == "0o600"


def test_a_restored_log_goes_on_and_refuses_what_it_has_already(
    whole: Log, acme: Party, tmp_path: Path
) -> None:
    config = restored(whole, tmp_path / "new")
    log = Log(config, whole.new, whole.clock, whole.registrar)
    known = acme.release(1)
    with whole.snapshot() as snapshot:
        size = snapshot.size
    assert log.accept(known) == log.accept(known) < size
    assert log.accept(acme.release(3, "9.0.0")) == size
    assert check(config).wrong == []


def test_a_frozen_log_stays_frozen(whole: Log, tmp_path: Path) -> None:
    whole.sequence(freeze=True)
    config = restored(whole, tmp_path / "new")
    assert rows(config, "checkpoint") == rows(whole.config, "checkpoint")


def test_cosignatures_are_kept(whole: Log, tmp_path: Path) -> None:
    from pcrlog.checkpoint import cosign  # noqa: PLC0415 - the witness's part
    from pcrlog.note import UnverifiedNote  # noqa: PLC0415 - the same

    shown = whole.config.public / "checkpoint"
    note = UnverifiedNote.parse(shown.read_bytes())
    line = cosign(note.text, witness("w.example/a"), 7)
    shown.write_bytes(shown.read_bytes() + f"{line}\n".encode())
    config = restored(whole, tmp_path / "new")
    assert (config.public / "checkpoint").read_bytes() == shown.read_bytes()
    assert rows(config, "published")[0][2] == shown.read_text("utf-8")


def test_a_folder_of_a_log_or_a_mirror_of_its_files_will_do(
    whole: Log, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(whole.config.public, mirror)
    # A mirror has no need of what is not of the newest checkpoint.
    shutil.rmtree(mirror / "tile" / "0")
    for source in (whole.config.directory, mirror):
        config = restored(whole, tmp_path / f"from-{source.name}", source)
        assert rows(config, "entry") == rows(whole.config, "entry")


def test_a_partial_bundle_may_be_gone_when_the_full_one_is_there(
    whole: Log, acme: Party, tmp_path: Path
) -> None:
    old = tmp_path / "old-checkpoint"
    shutil.copy(whole.config.public / "checkpoint", old)
    for i in range(7):
        whole.queue(*(acme.release(20 + i, f"3.{i}.{j}") for j in range(40)))
    whole.sequence()
    shutil.copy(old, whole.config.public / "checkpoint")
    # As the sequencer removes it, a few files with each batch.
    shutil.rmtree(whole.config.public / "tile" / "entries" / "000.p")
    config = restored(whole, tmp_path / "new")
    assert check(config).wrong == []


def test_it_tells_how_far_it_is(large: Log, tmp_path: Path) -> None:
    copied: list[tuple[int, int]] = []
    built: list[tuple[int, int]] = []
    told = Told(
        lambda done, size: copied.append((done, size)),
        lambda done, size: built.append((done, size)),
    )
    fetch = Folder(large.config.public)
    restore(tmp_path / "new", fetch, read_log_key(large.config), None, told)
    with large.snapshot() as snapshot:
        size = snapshot.size
    assert copied == [(256, size), (size, size)]
    assert built[-1] == (size, size)


def test_settings_are_those_that_are_given(whole: Log, tmp_path: Path) -> None:
    asked = Quorum(1, (Member(str(witness("w.example/a").public), "http://w"),))
    settings = msgspec.structs.replace(whole.config.settings, witnesses=asked)
    fetch, key = Folder(whole.config.public), read_log_key(whole.config)
    config = restore(tmp_path / "new", fetch, key, settings)
    assert Config.load(config.directory).settings == settings


# --- what is refused ------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_left_as_it_is(
    whole: Log, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="not empty"):
        restored(whole, whole.config.directory)
    assert check(whole.config).wrong == []


def test_settings_of_another_log_are_refused(whole: Log, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(whole.config.settings, origin="other.example/a")
    key = read_log_key(whole.config)
    with pytest.raises(UsageError, match=r"settings are of other\.example"):
        restore(tmp_path / "new", Folder(whole.config.public), key, settings)


def test_files_of_another_key_are_refused(whole: Log, tmp_path: Path) -> None:
    key = NoteSigner(whole.config.origin, bytes(32))
    with pytest.raises(VerificationError, match="no signature line"):
        restore(tmp_path / "new", Folder(whole.config.public), key)
    assert not (tmp_path / "new").exists()


def spoil(path: Path) -> None:
    """Change a leaf so that its bundle has its form still."""
    width = int(path.name) if path.parent.suffix == ".p" else 256
    leaves = list(parse_bundle(path.read_bytes(), width))
    leaves[4] = leaves[4].replace(b"payload", b"pAyload")
    path.write_bytes(encode_bundle(leaves))


def bundle(public: Path) -> Path:
    """The newest entry bundle."""
    found = (public / "tile" / "entries" / "000.p").iterdir()
    return max(found, key=lambda path: int(path.name))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, tuple[Callable[[Path], object], type[PcrlogError], str]] = {
    "a leaf": (
        lambda public: spoil(bundle(public)),
        VerificationError,
        "do not make the tree",
    ),
    "a bundle cut off": (
        lambda public: bundle(public).write_bytes(b"\0\5ab"),
        PcrlogError,
        "entry bundle ends",
    ),
    "a lost bundle": (
        lambda public: bundle(public).unlink(),
        AbsentError,
        "is missing",
    ),
    "no checkpoint": (
        lambda public: (public / "checkpoint").unlink(),
        AbsentError,
        "is missing",
    ),
    "a folder in its place": (
        lambda public: make_folder(bundle(public)),
        TransportError,
        "directory",
    ),
    "a huge file": (
        lambda public: (public / "checkpoint").write_bytes(bytes(70_000)),
        TransportError,
        "has over",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_files_that_are_not_what_was_signed_are_refused(
    whole: Log, tmp_path: Path, name: str
) -> None:
    change, error, words = CHANGES[name]
    change(whole.config.public)
    with pytest.raises(error, match=words):
        restored(whole, tmp_path / "new")
    # Nothing was signed, and what is left is no log.
    assert not (tmp_path / "new" / "log.toml").exists()
    assert not (tmp_path / "new" / "log.db").exists()


def test_what_the_log_should_not_have_taken_is_not_taken_again(
    log: Log, acme: Party, tmp_path: Path
) -> None:
    stranger = Party("acme.example")
    log.queue(stranger.release())
    with log.sequencer() as sequencer:
        sequencer.progress.authority.judge_unverified = lambda _entry: ()  # type: ignore[assignment,method-assign] # the log's own fault
        sequencer.round()
    with pytest.raises(VerificationError, match="entry 4 would not have been taken"):
        restored(log, tmp_path / "new")


def test_an_index_that_is_not_the_one_that_was_sealed_is_refused(
    log: Log, acme: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(count: int, time: int, _root: bytes, frozen: bool) -> Seal:  # noqa: FBT001 - as Seal
        return Seal(count, time, bytes(32), frozen)

    log.queue(acme.release())
    with monkeypatch.context() as patch:
        patch.setattr("log_server.sequencer.Seal", lie)
        log.sequence()
    with pytest.raises(VerificationError, match="the seal is not the one"):
        restored(log, tmp_path / "new")


def test_a_restored_old_copy_is_refused_beside_the_newest_checkpoint(
    whole: Log, acme: Party, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(whole.config.public, mirror)
    whole.accept(acme.release(9, "9.0.0"))
    newest = (whole.config.public / "checkpoint").read_bytes()
    config = restored(whole, tmp_path / "new", mirror)
    (config.public / "checkpoint").write_bytes(newest)
    with pytest.raises(InconsistencyError, match="old copy"):
        Log(config, whole.new, whole.clock, whole.registrar).sequence()
