"""A log that publishes in a bucket: recovery, fsck and repair as with a folder."""

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pytest

from log_server.config import SETTINGS, Config, Public
from log_server.fsck import check
from log_server.promotion import promote
from log_server.repair import repair
from log_server.shelf import OvertakenError
from log_server.witnesses import ContradictedError
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import InconsistencyError, VerificationError
from pcrlog.note import UnverifiedNote
from pcrlog.reader import AbsentError
from pcrlog.tiles import tiles_of
from pcrlog.transport import Client
from tests.support.bucket_server import BucketServer, Gate, Seen
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import bring_key, look, promoted, standby_of
from tests.unit.log_server.test_publisher import STEPS, Stopped, public, stop_at


def moved(log: Log, at: Public) -> Log:
    """The same log, published elsewhere from now on."""
    settings = msgspec.structs.replace(log.config.settings, public=at)
    folder = log.config.directory
    (folder / SETTINGS).write_bytes(settings.toml())
    return dataclasses.replace(log, config=Config.load(folder))


class Bucket:
    """What lies in a bucket below a log's prefix."""

    def __init__(self, server: BucketServer, path: str) -> None:
        self.server = server
        self.path = path

    def read(self, name: str) -> bytes | None:
        status, body, _ = self.server.ask("GET", f"{self.path}/{name}", owner=True)
        return body if status == 200 else None

    def spoil(self, name: str, data: bytes | None) -> None:
        method = "DELETE" if data is None else "PUT"
        path = f"{self.path}/{name}"
        status, *_ = self.server.ask(method, path, data or b"", owner=True)
        assert status in {200, 204}


@pytest.fixture
def folder_log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log")


@pytest.fixture
def lying(bucket_server: BucketServer, bucket: str) -> Bucket:
    return Bucket(bucket_server, f"/{bucket}/a/log")


@pytest.fixture
def log(folder_log: Log, gate: Gate, bucket: str) -> Log:
    return moved(folder_log, Public(f"s3://{bucket}/a/log", gate.url, "us-east-1"))


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


def shown_size(log: Log, lying: Bucket) -> int:
    note = UnverifiedNote.parse(lying.read("checkpoint") or b"")
    return open_checkpoint(note, log.config.vkey()).size


def test_a_log_that_moves_into_a_bucket_has_all_its_files_there(
    folder_log: Log, gate: Gate, bucket: str, lying: Bucket
) -> None:
    acme = folder_log.enrol("acme.example", "provider")
    folder_log.accept(acme.release())
    log = moved(folder_log, Public(f"s3://{bucket}/a/log", gate.url, "us-east-1"))
    log.sequence()
    for name, data in public(folder_log).items():
        assert lying.read(name) == data, name
    assert check(log.config).wrong == []


def test_a_batch_costs_three_puts_and_nothing_else(
    log: Log, acme: Party, gate: Gate
) -> None:
    with log.sequencer() as sequencer:
        gate.seen.clear()
        for i in range(3):
            log.queue(acme.release(1, f"1.0.{i}"))
            sequencer.round()
    assert [one.method for one in gate.seen] == ["PUT"] * 9
    kinds = [path.split("/log/")[1].split("/000")[0] for path in gate.puts()]
    assert [sorted(kinds[i : i + 2]) for i in (0, 3, 6)] == [
        ["tile/0", "tile/entries"]
    ] * 3
    assert kinds[2::3] == ["checkpoint"] * 3


@pytest.mark.parametrize("point", STEPS)
def test_a_crash_at_any_step_loses_nothing(
    log: Log, acme: Party, lying: Bucket, point: str
) -> None:
    envelope = acme.release()
    log.queue(envelope)
    with pytest.raises(Stopped), log.sequencer(stop_at(point)) as sequencer:
        sequencer.round()
    # Whatever is shown is covered by tiles at every moment.
    for tile in tiles_of(shown_size(log, lying)):
        assert lying.read(tile.path())
    log.sequence()
    assert shown_size(log, lying) == 6
    found = check(log.config)
    assert (found.wrong, found.files) == ([], 6)
    assert log.accept(envelope) == 4, "decided once, at one index"


def test_a_tile_that_is_not_taken_leaves_the_old_checkpoint_and_is_put_later(
    log: Log, acme: Party, gate: Gate, lying: Bucket
) -> None:
    log.queue(acme.release())
    with log.sequencer() as sequencer:
        gate.rule = lambda seen: "refuse" if "entries" in seen.path else "pass"
        with pytest.raises(Exception, match="the bucket fails: s3://"):
            sequencer.round()
    assert shown_size(log, lying) == 4
    assert lying.read("tile/0/000.p/6"), "the other one stands already"
    gate.rule = lambda _seen: "pass"
    log.sequence()
    assert shown_size(log, lying) == 6
    assert check(log.config).wrong == []


def test_the_one_who_slept_before_the_checkpoint_loses(
    log: Log, acme: Party, lying: Bucket, tmp_path: Path
) -> None:
    other = tmp_path / "other"

    def overtake(step: str) -> None:
        """While this one sleeps, another machine goes on from what is committed."""
        if step == "cosigned":
            shutil.copytree(
                log.config.directory,
                other,
                ignore=lambda _folder, names: {"wake"} & set(names),
            )
            quick = dataclasses.replace(log, config=Config.load(other))
            quick.accept(acme.release(2, "2.0.0"))

    log.queue(acme.release())
    with log.sequencer(overtake) as sequencer, pytest.raises(OvertakenError):
        sequencer.round()
    assert shown_size(log, lying) == 8
    with pytest.raises(InconsistencyError, match="old copy"):
        log.sequence()
    assert check(Config.load(other)).wrong == []


def test_what_the_one_before_showed_late_gives_way(
    log: Log, acme: Party, lying: Bucket
) -> None:
    log.accept(acme.release(1, "1.0.0"))
    late = lying.read("checkpoint")
    log.accept(acme.release(2, "2.0.0"))
    with log.sequencer() as sequencer:
        lying.spoil("checkpoint", late)
        log.queue(acme.release(3, "3.0.0"))
        sequencer.round()
    assert shown_size(log, lying) == 10
    assert check(log.config).wrong == []


def test_an_old_copy_of_the_database_is_refused(
    log: Log, acme: Party, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    shutil.copy(log.config.log_db, old)
    log.accept(acme.release())
    shutil.copy(old, log.config.log_db)
    with pytest.raises(InconsistencyError, match=r"s3://.*fork"):
        log.sequence()


def test_an_old_copy_that_grew_elsewhere_overwrites_no_tile(
    log: Log, acme: Party, lying: Bucket, tmp_path: Path
) -> None:
    """Not even where nothing tells any more what was shown."""
    databases = (log.config.log_db, log.config.intake_db)
    for path in databases:
        shutil.copy(path, tmp_path / path.name)
    log.accept(acme.release())
    tile = lying.read("tile/0/000.p/6")
    for path in databases:
        shutil.copy(tmp_path / path.name, path)
    lying.spoil("checkpoint", None)
    log.queue(acme.release(2, "2.0.0"))
    with pytest.raises(VerificationError, match="two logs publish there"):
        log.sequence()
    assert lying.read("tile/0/000.p/6") == tile


def test_fsck_finds_what_is_wrong_in_the_bucket_and_repair_puts_it_right(
    log: Log, acme: Party, lying: Bucket, gate: Gate
) -> None:
    log.accept(acme.release())
    before = {name: lying.read(name) for name in ("checkpoint", "tile/0/000.p/6")}
    lying.spoil("tile/0/000.p/6", b"spoiled")
    lying.spoil("tile/entries/000.p/6", None)
    where = lying.path.replace("/", "s3://", 1)
    told = list[int]()
    assert check(log.config, compared=told.append).wrong == [
        f"{where}/tile/0/000.p/6 differs",
        f"{where}/tile/entries/000.p/6 is missing",
    ]
    assert told == [6]
    with pytest.raises(VerificationError, match="fsck --repair"):
        log.sequence()
    done = repair(log.config)
    # The one that was missing was put anew by the start.
    assert done.files == ["tile/0/000.p/6"]
    lying.spoil("checkpoint", b"spoiled")
    assert check(log.config).wrong[0].startswith(f"{where}/checkpoint: ")
    with pytest.raises(VerificationError, match="is not this log's"):
        log.sequence()
    assert repair(log.config).files == ["checkpoint"]
    assert {name: lying.read(name) for name in before} == before
    assert check(log.config).wrong == []

    def rule(seen: Seen) -> str:
        is_read = seen.method == "GET" and "entries" in seen.path
        return "refuse" if is_read else "pass"

    gate.rule = rule  # type: ignore[assignment] # a deed
    wrong = check(log.config).wrong
    assert len(wrong) == 3
    assert all("cannot be read: the bucket fails" in words for words in wrong)


def test_a_standby_that_is_behind_the_bucket_stays_one(
    log: Log, acme: Party, lying: Bucket, tmp_path: Path
) -> None:
    """Without witnesses, too: what was shown there has to be here."""
    source = f"http://127.0.0.1:{lying.server.port}{lying.path}"
    standby = standby_of(log, tmp_path / "standby")
    look(standby, Client(source))
    bring_key(log, standby)
    log.accept(acme.release())
    with pytest.raises(ContradictedError, match=r"shows 6 leaves, and 4 are here"):
        promote(standby, log.clock, fence=False)
    look(standby, Client(source))
    new, done = promoted(log, standby, fence=False)
    assert done.leaves == 6
    assert new.accept(acme.release(2, "2.0.0")) == 6
    assert shown_size(log, lying) == 8
    with pytest.raises(InconsistencyError, match="old copy"):
        log.sequence()


def test_readers_have_the_bucket_s_own_url(
    log: Log, acme: Party, lying: Bucket
) -> None:
    log.accept(acme.release())
    fetch = Client(f"http://127.0.0.1:{lying.server.port}{lying.path}")
    note = fetch("checkpoint", 10_000)
    assert open_checkpoint(UnverifiedNote.parse(note), log.config.vkey()).size == 6
    assert fetch("tile/0/000.p/6", 10_000) == lying.read("tile/0/000.p/6")
    with pytest.raises(AbsentError):
        fetch("tile/0/001", 10_000)
