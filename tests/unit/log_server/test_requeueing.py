"""requeue: what waited elsewhere is decided once, whatever is brought with it."""

import shutil
from pathlib import Path

import pytest

from log_server.config import Config
from log_server.promotion import promote
from log_server.requeueing import Requeued, requeue
from pcrlog.errors import UsageError
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import bring_key, look, rows, standby_of


@pytest.fixture
def standby(log: Log, acme: Party, tmp_path: Path) -> Config:
    """Of a log that asks nobody; the key is there."""
    log.accept(acme.release(1))
    config = standby_of(log, tmp_path / "standby")
    look(config, log.config.public)
    bring_key(log, config)
    return config


def promoted(log: Log, config: Config) -> Log:
    return Log(Config.load(config.directory), log.new, log.clock, log.registrar)


def test_the_logs_own_intake_is_not_queued_behind_itself(log: Log, acme: Party) -> None:
    """Somebody copied the old one to where it lies: that never came to an end."""
    log.queue(acme.release(2, "2.0.0"))
    before = rows(log.config, "log")
    link = log.config.directory / "link.db"
    link.symlink_to(log.config.intake_db)
    for path in (log.config.intake_db, link):
        with pytest.raises(UsageError, match="is this log's own"):
            requeue(log.config, path, log.clock)
    assert rows(log.config, "log") == before


def test_a_refusal_stands_though_the_standby_had_never_heard_of_it(
    log: Log, acme: Party, standby: Config
) -> None:
    """It was final, and told; by now the name is enrolled, and it would be taken."""
    early = Party("early.example")
    refused = log.submit(early.release(6, "6.0.0"))
    assert refused.problem is not None
    log.queue(early.release(6, "6.0.0"))
    log.accept(log.identity(early, "provider"))
    look(standby, log.config.public)
    done = promote(standby, log.clock, fence=False, intake=log.config.intake_db)
    new = promoted(log, standby)
    new.sequence()
    assert done.requeued == Requeued(waiting=0, known=2)
    with new.snapshot() as snapshot:
        assert snapshot.decision(refused.envelope_sha256) == refused


def test_what_it_had_taken_and_the_promoted_log_lacks_is_queued(
    log: Log, acme: Party, standby: Config
) -> None:
    """Decided there, and lost with its checkpoint: by no means known here."""
    lost = acme.release(7, "7.0.0")
    log.accept(lost)
    done = promote(standby, log.clock, fence=False, intake=log.config.intake_db)
    assert done.requeued == Requeued(waiting=1, known=0)
    new = promoted(log, standby)
    new.sequence()
    with new.snapshot() as snapshot:
        assert snapshot.leaf(snapshot.size - 2) == lost


def test_our_own_log_db_says_nothing_of_what_another_machine_had_decided(
    log: Log, acme: Party, standby: Config
) -> None:
    """Its numbers are ours, and count other rows."""
    early = Party("early.example")
    waits = early.release(6, "6.0.0")
    log.queue(waits)
    done = promote(standby, log.clock, fence=False)
    new = promoted(log, standby)
    assert new.submit(waits).problem is not None
    new.accept(new.identity(early, "provider"))
    brought = new.config.directory / "old-intake.db"
    for path in log.config.directory.glob("intake.db*"):
        shutil.copy(path, brought.with_name(path.name.replace("intake", "old-intake")))
    assert done.requeued == Requeued()
    assert requeue(new.config, brought, log.clock) == Requeued(waiting=1, known=0)
    new.sequence()
    assert new.submit(waits).index is not None


@pytest.mark.parametrize("name", ["intake.db", "log.db"])
@pytest.mark.parametrize("data", [b"rubbish" * 1000, b""])
def test_what_cannot_be_read_is_said_before_anything_is_done(
    log: Log,
    acme: Party,
    standby: Config,
    tmp_path: Path,
    name: str,
    data: bytes,
) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    for path in log.config.directory.glob("*.db*"):
        shutil.copy(path, brought / path.name)
    (brought / f"{name}-wal").unlink(missing_ok=True)
    (brought / name).write_bytes(data)
    with pytest.raises(UsageError, match=f"{name} cannot be read"):
        promote(standby, log.clock, fence=False, intake=brought / "intake.db")
    assert not (standby.directory / "log.toml").exists()
    if name == "log.db":
        (brought / name).unlink()
        promote(standby, log.clock, fence=False, intake=brought / "intake.db")
