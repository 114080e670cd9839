"""A standby holds what the log has published, leaf by leaf, and believes nobody."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from log_server.config import Config
from log_server.rebuilding import RootError
from log_server.sources import Database, Folder
from log_server.standby import BehindError, Standby
from log_server.standby_folder import load_standby, make_standby
from pcrlog.errors import (
    InconsistencyError,
    PcrlogError,
    TransportError,
    UsageError,
    VerificationError,
)
from pcrlog.evidence import verify_evidence
from pcrlog.note import NoteSigner
from pcrlog.reader import AbsentError
from pcrlog.tiles import encode_bundle, parse_bundle
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import (
    TABLES,
    accepted,
    following,
    look,
    rows,
    standby_of,
)
from tests.unit.log_server.test_publisher import public


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
def standby(whole: Log, tmp_path: Path) -> Config:
    """One that holds all of it."""
    config = standby_of(whole, tmp_path / "standby")
    look(config, whole.config.public)
    return config


def require_same(log: Log, config: Config) -> None:
    for table in TABLES:
        assert rows(config, table) == rows(log.config, table), table
    assert accepted(config) == accepted(log.config)
    assert [r[:-1] for r in rows(config, "checkpoint")] == [
        r[:-1] for r in rows(log.config, "checkpoint")
    ]
    assert rows(config, "published") == rows(log.config, "published")
    ours = public(Log(config, log.new, log.clock, log.registrar))
    theirs = public(log)
    assert all(theirs[path] == ours[path] for path in theirs.keys() & ours.keys())
    # But for partial tiles that may go, since the full one stands.
    assert all(is_outgrown(path, ours) for path in theirs.keys() ^ ours.keys())


def is_outgrown(path: str, files: dict[str, bytes]) -> bool:
    return ".p/" in path and path.partition(".p/")[0] in files


def fill(log: Log, acme: Party, number: int) -> None:
    """More leaves than one bundle has."""
    for i in range(number, number + 7):
        log.queue(*(acme.release(i, f"{i}.{j}.0") for j in range(40)))
    log.sequence()


def test_it_holds_what_the_log_has_published(whole: Log, standby: Config) -> None:
    require_same(whole, standby)


def test_it_goes_on_checkpoint_by_checkpoint_and_after_each_start(
    whole: Log, acme: Party, standby: Config
) -> None:
    with following(standby) as one:
        for i in range(3):
            whole.accept(acme.release(10 + i, f"5.{i}.0"))
            one.look(Folder(whole.config.public))
            require_same(whole, standby)
        fill(whole, acme, 20)
        one.look(Folder(whole.config.public))
        require_same(whole, standby)
    fill(whole, acme, 30)
    look(standby, whole.config.public)
    require_same(whole, standby)


def test_it_signs_nothing_and_has_no_key(whole: Log, standby: Config) -> None:
    assert list(standby.keys.iterdir()) == []
    with pytest.raises(UsageError, match="is a standby: pcrlog-server promote"):
        Config.load(standby.directory)
    notes = [row[-1] for row in rows(standby, "checkpoint")]
    assert notes[-1] == rows(whole.config, "checkpoint")[-1][-1]
    assert all(str(note).endswith("\n\n") for note in notes[:-1])


def test_a_frozen_log_is_frozen_here(whole: Log, standby: Config) -> None:
    whole.sequence(freeze=True)
    look(standby, whole.config.public)
    with following(standby) as one:
        assert one.held is not None
        assert one.held.frozen


def test_a_folder_is_made_whole_or_not_at_all(
    whole: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "standby"
    with monkeypatch.context() as patch:
        patch.setattr("log_server.standby_folder.create_databases", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            standby_of(whole, folder)
    assert not folder.exists()
    assert (
        load_standby(standby_of(whole, folder).directory).origin
        == whole.new.vkey[: len("log.example/pcr")]
    )
    with pytest.raises(UsageError, match="not empty"):
        standby_of(whole, folder)
    with pytest.raises(UsageError, match="no standby in"):
        load_standby(tmp_path)


def test_it_may_be_made_in_the_folder_where_one_is(
    whole: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = standby_of(whole, Path())
    assert load_standby(tmp_path / "here").origin == config.origin


def test_settings_of_another_log_are_refused(whole: Log, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"settings are of other\.example"):
        make_standby(
            tmp_path / "one", whole.config.vkey(), b'origin = "other.example/a"\n'
        )


def test_a_database_elsewhere_has_standbys_of_its_own(
    whole: Log, tmp_path: Path
) -> None:
    settings = b'origin = "log.example/pcr"\ndatabase = "postgresql://db.example/log"\n'
    with pytest.raises(UsageError, match="PostgreSQL"):
        make_standby(tmp_path / "one", whole.config.vkey(), settings)


# --- what is not taken ----------------------------------------------------------------


def spoil(path: Path) -> None:
    """Change a leaf so that its bundle has its form still."""
    width = int(path.name) if path.parent.suffix == ".p" else 256
    leaves = list(parse_bundle(path.read_bytes(), width))
    leaves[-2] = leaves[-2].replace(b"payload", b"pAyload")
    path.write_bytes(encode_bundle(leaves))


def newest_bundle(folder: Path) -> Path:
    found = (folder / "tile" / "entries" / "000.p").iterdir()
    return max(found, key=lambda path: int(path.name))


DAMAGES: dict[str, tuple[Callable[[Path], object], type[PcrlogError]]] = {
    "a leaf": (lambda public: spoil(newest_bundle(public)), RootError),
    "a bundle cut off": (
        lambda public: newest_bundle(public).write_bytes(b"\0\5ab"),
        PcrlogError,
    ),
    "a lost bundle": (
        lambda public: newest_bundle(public).unlink(),
        TransportError,
    ),
    "no checkpoint": (
        lambda public: (public / "checkpoint").unlink(),
        TransportError,
    ),
    "a checkpoint of another key": (
        lambda public: (public / "checkpoint").write_bytes(
            bytes(
                NoteSigner("log.example/pcr", bytes(32)).sign(
                    (public / "checkpoint").read_text("utf-8").partition("\n\n")[0]
                    + "\n"
                )
            )
        ),
        VerificationError,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_not_taken_and_taken_when_it_is_whole(
    whole: Log, acme: Party, standby: Config, tmp_path: Path, name: str
) -> None:
    before = rows(standby, "entry")
    whole.accept(acme.release(9, "9.0.0"))
    copy = tmp_path / "copy"
    shutil.copytree(whole.config.public, copy)
    damage, error = DAMAGES[name]
    damage(copy)
    with pytest.raises(error):
        look(standby, copy)
    assert rows(standby, "entry") == before
    assert not (standby.directory / "evidence").exists()
    look(standby, whole.config.public)
    require_same(whole, standby)


def test_a_wrong_bundle_of_an_earlier_run_is_copied_again(
    whole: Log, acme: Party, tmp_path: Path
) -> None:
    fill(whole, acme, 20)
    config = standby_of(whole, tmp_path / "standby")
    full = config.public / "tile" / "entries" / "000"
    full.parent.mkdir(parents=True)
    shutil.copy(whole.config.public / "tile" / "entries" / "000", full)
    spoil(full)
    look(config, whole.config.public)
    require_same(whole, config)


def test_what_this_version_would_not_have_taken_ends_there(
    log: Log, acme: Party, tmp_path: Path
) -> None:
    config = standby_of(log, tmp_path / "standby")
    before = look(config, log.config.public)
    log.queue(Party(acme.name).release())
    with log.sequencer() as sequencer:
        sequencer.progress.authority.judge_unverified = lambda _entry: ()  # type: ignore[assignment,method-assign] # the log's own fault
        sequencer.round()
    with pytest.raises(VerificationError, match="would not have been taken"):
        look(config, log.config.public)
    with following(config, finish=False) as standby:
        assert standby.held is not None
        assert standby.held.size == before


# --- what cannot be -------------------------------------------------------------------


@pytest.fixture
def other(whole: Log, standby: Config, tmp_path: Path) -> Log:
    """The same log on another disk, where it goes another way."""
    ignore = shutil.ignore_patterns("run")
    shutil.copytree(whole.config.directory, tmp_path / "other", ignore=ignore)
    config = Config(tmp_path / "other", whole.config.settings)
    return Log(config, whole.new, whole.clock, whole.registrar)


def evidence(config: Config) -> str:
    [path] = (config.directory / "evidence").iterdir()
    return verify_evidence(path.read_bytes(), config.vkey()).found


@pytest.mark.parametrize("more", [0, 1, 3])
@pytest.mark.parametrize("theirs_is_larger", [False, True])
def test_another_history_is_refused_with_evidence(
    whole: Log,
    other: Log,
    acme: Party,
    standby: Config,
    more: int,
    theirs_is_larger: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    whole.accept(acme.release(9, "9.0.0"))
    other.accept(acme.release(9, "9.0.1"))
    longer = other if theirs_is_larger else whole
    for i in range(more):
        longer.accept(acme.release(10 + i, f"10.{i}.0"))
    look(standby, whole.config.public)
    before = rows(standby, "entry"), rows(standby, "published")
    with pytest.raises(InconsistencyError, match="proves it to anybody"):
        look(standby, other.config.public)
    assert (rows(standby, "entry"), rows(standby, "published")) == before
    assert "the log signed" in evidence(standby)
    look(standby, whole.config.public)


def test_hashes_that_lead_nowhere_convict_nobody(
    whole: Log, other: Log, acme: Party, standby: Config
) -> None:
    whole.accept(acme.release(9, "9.0.0"))
    look(standby, whole.config.public)
    other.accept(acme.release(9, "9.0.1"))
    other.accept(acme.release(10, "10.0.0"))
    shutil.rmtree(other.config.public / "tile" / "0")
    with pytest.raises(RootError):
        look(standby, other.config.public)
    assert not (standby.directory / "evidence").exists()


def test_of_a_log_db_only_what_is_there_can_be_read(
    whole: Log, standby: Config
) -> None:
    with whole.snapshot() as snapshot:
        files = Database(snapshot)
        size = snapshot.size
        assert look(standby, files) == size
        shown = (whole.config.public / "checkpoint").read_bytes()
        assert files("checkpoint", 65_536) == shown
        for path in (f"tile/entries/000.p/{size + 1}", "tile/0/001", "healthz"):
            with pytest.raises(AbsentError):
                files(path, 65_536)
        with pytest.raises(TransportError, match="would have over"):
            files("checkpoint", 10)
    empty = standby_of(whole, standby.directory.with_name("empty"))
    with following(empty) as one, pytest.raises(AbsentError, match="no checkpoint"):
        Database(one._ledger.snapshot())("checkpoint", 65_536)


def test_fewer_leaves_are_an_old_copy_and_change_nothing(
    whole: Log, other: Log, acme: Party, standby: Config
) -> None:
    whole.accept(acme.release(9, "9.0.0"))
    look(standby, whole.config.public)
    with pytest.raises(BehindError, match="is an old copy"):
        look(standby, other.config.public)
    require_same(whole, standby)


# --- crashes --------------------------------------------------------------------------


class Killed(BaseException):
    """The end of a process, as far as this one can end."""


STEPS = (
    *("log_server.ledger.Ledger.append", "log_server.ledger.Ledger.mark_published"),
    *("log_server.placing.Placer.write", "log_server.placing.Placer.name"),
    "log_server.folder.FolderShelf.show",
)


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_in_any_step_is_harmless(
    whole: Log,
    acme: Party,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    persisted: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """Each time it comes there, until it comes through."""
    config = standby_of(whole, tmp_path / "standby")
    for number in range(60):
        with monkeypatch.context() as patch:
            _strike(patch, step, number, persisted=persisted)
            try:
                look(config, whole.config.public)
                break
            except Killed:
                continue
    else:
        raise AssertionError(step)
    require_same(whole, config)
    whole.accept(acme.release(9, "9.0.0"))
    look(config, whole.config.public)
    require_same(whole, config)


def _strike(
    patch: pytest.MonkeyPatch, step: str, number: int, *, persisted: bool
) -> None:
    module, owner, name = step.rsplit(".", 2)
    found = getattr(__import__(module, fromlist=[owner]), owner)
    original = getattr(found, name)
    left = [number]

    def wrapped(*arguments: object, **named: object) -> object:
        left[0] -= 1
        if left[0] == -1 and not persisted:
            raise Killed
        answer: object = original(*arguments, **named)
        if left[0] == -1:
            raise Killed
        return answer

    patch.setattr(found, name, wrapped)


def test_what_was_copied_is_built_without_the_source(
    whole: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = standby_of(whole, tmp_path / "standby")
    with monkeypatch.context() as patch:
        _strike(patch, STEPS[0], 2, persisted=True)
        with pytest.raises(Killed):
            look(config, whole.config.public)
    standby = Standby(config)
    assert standby.held is not None
    with whole.snapshot() as snapshot:
        assert standby.held.size < snapshot.size
        standby.finish()
        assert standby.held.size == snapshot.size
    standby.close()
