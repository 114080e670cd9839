"""promote: a standby becomes the log if nobody is ahead of it, and nobody else then."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from log_server.config import Config
from log_server.direct import open_sequencer
from log_server.fsck import check
from log_server.promotion import promote
from log_server.publisher import Publisher
from log_server.requeueing import Requeued, requeue
from log_server.standby_folder import load_standby
from log_server.witnesses import ContradictedError, Patience, QuorumError
from pcrlog.errors import InconsistencyError, UsageError
from pcrlog.note import NoteSigner
from tests.support.audit import Told, audit
from tests.support.plain_witness import PlainWitness
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import (
    bring_key,
    look,
    promoted,
    rows,
    standby_of,
    take_disk,
)
from tests.unit.log_server.witnessing import (
    ahead,
    demand,
    sequencing,
    shown,
    shown_size,
)

LONG = Patience(seconds=10)


@pytest.fixture
def witnesses(log: Log, acme: Party) -> Iterator[list[PlainWitness]]:
    """Three that know the log; acme is enrolled."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                PlainWitness(f"w{n}.example/a", [log.new.vkey], clock=log.clock)
            )
            for n in (1, 2, 3)
        ]


@pytest.fixture
def standby(
    log: Log, acme: Party, witnesses: list[PlainWitness], tmp_path: Path
) -> Config:
    """Of a log that demands two of three, with one release; it holds all."""
    demand(log, witnesses, 2)
    log.accept(acme.release(1))
    config = standby_of(log, tmp_path / "standby")
    look(config, log.config.public)
    return config


def sizes(witnesses: Sequence[PlainWitness], log: Log) -> list[int]:
    """What each has seen."""
    return [one.latest[log.config.origin].size for one in witnesses]


def test_a_promoted_standby_goes_on_where_the_log_was(
    log: Log, acme: Party, standby: Config
) -> None:
    told = Told()
    told.show(shown(log))
    log.accept(acme.release(2, "2.0.0"))
    told.show(shown(log))
    look(standby, log.config.public)
    notes = rows(log.config, "checkpoint")
    new, done = promoted(log, standby)
    # The seal of the fence is the newest; nothing else is new.
    assert rows(new.config, "checkpoint")[:-1] == notes
    assert done.leaves == done.published + 1 == len(rows(log.config, "entry")) + 1
    assert len(done.witnesses) >= 2
    assert new.accept(acme.release(3, "3.0.0")) == done.leaves
    assert new.accept(acme.release(2, "2.0.0")) == notes[-1][1] - 2  # type: ignore[operator] # a size
    assert check(new.config).wrong == []
    assert audit(new.config, told).checkpoints == 3


def test_the_old_one_finds_no_quorum_and_signs_nothing(
    log: Log, acme: Party, standby: Config, witnesses: list[PlainWitness]
) -> None:
    new, _ = promoted(log, standby)
    # The slowest witness may cosign the fence after all others.
    before = rows(log.config, "checkpoint"), shown(log), max(sizes(witnesses, log))
    log.queue(acme.release(7, "7.0.0"))
    with pytest.raises(ContradictedError, match="old copy"), sequencing(log, LONG):
        pass
    after = rows(log.config, "checkpoint"), shown(log), max(sizes(witnesses, log))
    assert after == before
    assert new.accept(acme.release(8, "8.0.0")) > 0


def test_an_old_one_that_runs_on_is_shut_out(
    log: Log, acme: Party, standby: Config, witnesses: list[PlainWitness]
) -> None:
    """It was cut off, not dead: what it signs after the promotion nobody cosigns."""
    told = Told()
    with sequencing(log, Patience(1)) as sequencer:
        new, _ = promoted(log, standby)
        log.queue(acme.release(7, "7.0.0"))
        before = shown(log)
        # To sign is to be seen by its witnesses: the operator has to turn it off.
        with pytest.raises(QuorumError, match="ours does not continue"):
            sequencer.round()
        assert shown(log) == before
    told.show(before)
    new.accept(acme.release(8, "8.0.0"))
    audit(new.config, told)


@pytest.fixture
def dead(
    log: Log, acme: Party, standby: Config, monkeypatch: pytest.MonkeyPatch
) -> bytes:
    """The log died between the cosignatures and /checkpoint; what it had decided."""
    envelope = acme.release(2, "2.0.0")
    log.queue(envelope)
    real = Publisher.publish

    class Died(BaseException):
        pass

    def publish(self: Publisher, step: object) -> None:
        def stop(name: str) -> None:
            if name == "cosigned":
                raise Died

        assert step
        real(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "publish", publish)
        with pytest.raises(Died), sequencing(log, LONG) as sequencer:
            sequencer.round()
    return envelope


def test_what_witnesses_saw_and_the_standby_did_not_has_to_be_brought(
    log: Log, standby: Config, dead: bytes
) -> None:
    look(standby, log.config.public)
    bring_key(log, standby)
    before = rows(standby, "checkpoint")[-1], rows(standby, "entry")
    with pytest.raises(ContradictedError, match="2 are missing"):
        promote(standby, log.clock)
    assert (rows(standby, "checkpoint")[-1], rows(standby, "entry")) == before
    # The disk of the dead machine is brought.
    take_disk(standby, log.config.directory)
    # It is held, and shown to nobody before it is published.
    ours = Log(standby, log.new, log.clock, log.registrar)
    assert shown_size(ours) == shown_size(log) < len(rows(standby, "entry"))
    new, done = promoted(log, standby)
    assert done.leaves == done.published + 3
    with new.snapshot() as snapshot:
        assert new.submit(dead).index == snapshot.size - 3
    assert check(new.config).wrong == []


def test_what_the_dead_machine_committed_and_nobody_saw_may_be_left(
    log: Log, acme: Party, standby: Config, witnesses: list[PlainWitness]
) -> None:
    """Committed, not cosigned: the witnesses say that nobody was shown it."""
    for one in witnesses:
        one.misbehave.down = True
    log.queue(acme.release(2, "2.0.0"))
    with pytest.raises(QuorumError), sequencing(log, Patience(0.3)):
        pass
    for one in witnesses:
        one.misbehave.down = False
    new, _ = promoted(log, standby)
    assert new.accept(acme.release(3, "3.0.0")) > 0
    assert check(new.config).wrong == []


@pytest.mark.parametrize("least", [1, 2, 3])
def test_so_many_must_be_heard_that_no_quorum_can_have_seen_more(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    tmp_path: Path,
    least: int,
) -> None:
    demand(log, witnesses, least)
    log.accept(acme.release(1))
    config = standby_of(log, tmp_path / "standby")
    look(config, log.config.public)
    bring_key(log, config)
    need = max(least, 4 - least)
    for one in witnesses[need - 1 :]:
        one.misbehave.down = True
    with pytest.raises(QuorumError, match=f"and {need} are needed"):
        promote(config, log.clock)
    assert load_standby(config.directory) == config
    witnesses[need - 1].misbehave.down = False
    assert len(promote(config, log.clock).witnesses) == need


def test_one_that_is_ahead_or_of_another_history_stops_it(
    log: Log, standby: Config, witnesses: list[PlainWitness]
) -> None:
    bring_key(log, standby)
    before = rows(standby, "checkpoint")[-1]
    ahead(log, witnesses[2])
    with pytest.raises(ContradictedError, match=r"w3\.example/a has seen 1000 leaves"):
        promote(standby, log.clock)
    ahead(log, witnesses[2], before[1])  # type: ignore[arg-type] # a size
    with pytest.raises(ContradictedError, match="does not continue"):
        promote(standby, log.clock)
    assert rows(standby, "checkpoint")[-1] == before


def test_it_may_be_killed_and_run_again(
    log: Log, acme: Party, standby: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_key(log, standby)
    for step in ("Ledger.sign", "sequence", "Ledger.append", "Cosigners.__call__"):
        with monkeypatch.context() as patch:
            patch.setattr(f"log_server.promotion.{step}", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                promote(standby, log.clock)
        with pytest.raises(UsageError, match="is a standby"):
            Config.load(standby.directory)
    new, done = promoted(log, standby)
    assert done.leaves > done.published
    assert new.accept(acme.release(8, "8.0.0")) == done.leaves
    assert check(new.config).wrong == []


def test_without_its_key_or_with_another_one_it_is_refused(
    log: Log, standby: Config
) -> None:
    with pytest.raises(UsageError, match="bring the log's key"):
        promote(standby, log.clock)
    other = NoteSigner(log.config.origin, bytes(32))
    standby.log_key.write_text(f"{other.skey()}\n", "ascii")
    with pytest.raises(UsageError, match="this standby is of"):
        promote(standby, log.clock)


def test_one_that_has_followed_nothing_is_refused(
    log: Log, witnesses: list[PlainWitness], tmp_path: Path
) -> None:
    demand(log, witnesses, 2)
    config = standby_of(log, tmp_path / "empty")
    bring_key(log, config)
    with pytest.raises(UsageError, match="has followed nothing yet"):
        promote(config, log.clock)


def test_a_witness_that_hangs_is_not_waited_for(
    log: Log, standby: Config, witnesses: list[PlainWitness]
) -> None:
    for one in witnesses[1:]:
        one.misbehave.slow = 60
    demand(log, witnesses, 2, timeout=1)
    bring_key(log, standby)
    settings = (log.config.directory / "log.toml").read_bytes()
    with pytest.raises(QuorumError, match="1 of 3 witnesses say"):
        promote(standby, log.clock, settings=settings)


def test_a_frozen_log_is_promoted_and_stays_frozen(
    log: Log, acme: Party, standby: Config
) -> None:
    log.sequence(freeze=True)
    look(standby, log.config.public)
    new, done = promoted(log, standby)
    assert done.leaves == done.published
    assert new.submit(acme.release(9, "9.0.0")).problem == "frozen"


# --- without witnesses ----------------------------------------------------------------


@pytest.fixture
def alone(log: Log, acme: Party, tmp_path: Path) -> Config:
    """A standby of a log that asks nobody."""
    log.accept(acme.release(1))
    config = standby_of(log, tmp_path / "standby")
    look(config, log.config.public)
    return config


def test_without_witnesses_an_operator_has_to_say_that_the_other_is_off(
    log: Log, acme: Party, alone: Config
) -> None:
    bring_key(log, alone)
    with pytest.raises(UsageError, match="two that sign fork the log"):
        promote(alone, log.clock)
    new, done = promoted(log, alone, fence=False)
    assert (done.leaves, done.witnesses) == (done.published, ())
    assert rows(new.config, "checkpoint") == rows(log.config, "checkpoint")
    assert new.accept(acme.release(3, "3.0.0")) == done.leaves


def test_a_database_cannot_be_named_then(log: Log, alone: Config) -> None:
    bring_key(log, alone)
    settings = (log.config.directory / "log.toml").read_bytes()
    settings = b'database = "postgresql://db.example/log"\n' + settings
    with pytest.raises(UsageError, match="PostgreSQL"):
        promote(alone, log.clock, settings=settings)
    with pytest.raises(UsageError, match="is a standby"):
        Config.load(alone.directory)


def test_witnesses_may_be_named_when_it_is_promoted(
    log: Log, alone: Config, witnesses: list[PlainWitness]
) -> None:
    bring_key(log, alone)
    demand(log, witnesses, 2)
    log.sequence()
    settings = (log.config.directory / "log.toml").read_bytes()
    assert len(promote(alone, log.clock, settings=settings).witnesses) >= 2
    assert (alone.directory / "log.toml").read_bytes() == settings


# --- what waited ----------------------------------------------------------------------


def test_what_waited_is_queued_again_if_it_is_brought(
    log: Log, acme: Party, standby: Config
) -> None:
    known, waits = acme.release(1), acme.release(5, "5.0.0")
    log.queue(known, waits, Party("acme.example").release(6, "6.0.0"))
    bring_key(log, standby)
    done = promote(standby, log.clock, intake=log.config.intake_db)
    assert done.requeued == Requeued(waiting=2, known=1)
    new = Log(Config.load(standby.directory), log.new, log.clock, log.registrar)
    new.sequence()
    told = Told()
    told.promise(waits)
    found = audit(new.config, told)
    assert (found.decided, found.refused) == (1, 0)


def test_refusals_of_the_dead_machine_hold_if_its_log_db_is_there(
    log: Log, acme: Party, standby: Config
) -> None:
    """Its row may not be deleted yet: it is not judged, and not decided, twice."""
    refused, waits = Party(acme.name).release(6, "6.0.0"), acme.release(5, "5.0.0")
    before = log.submit(refused)
    log.queue(waits)
    assert before.problem == "not-authorised"
    take_disk(standby, log.config.directory)
    bring_key(log, standby)
    done = promote(standby, log.clock, intake=log.config.intake_db)
    new = Log(Config.load(standby.directory), log.new, log.clock, log.registrar)
    assert done.requeued.waiting == 1
    new.sequence()
    with new.snapshot() as snapshot:
        assert snapshot.decision(before.envelope_sha256) == before
    told = Told()
    for one in (refused, waits):
        told.promise(one)
    told.refusal(refused, "not-authorised")
    audit(new.config, told)


def test_it_may_be_brought_later(log: Log, acme: Party, standby: Config) -> None:
    waits = acme.release(5, "5.0.0")
    log.queue(waits)
    new, _ = promoted(log, standby)
    for _ in range(2):
        # Killed half-way and run again.
        assert requeue(new.config, log.config.intake_db, log.clock).waiting == 1
    new.sequence()
    assert requeue(new.config, log.config.intake_db, log.clock) == Requeued(0, 1)
    with new.snapshot() as snapshot:
        indices = [leaf for _, leaf in snapshot.leaves(0, snapshot.size)].count(waits)
    assert indices == 1


def test_a_copy_of_the_old_folder_is_refused_beside_the_new_files(
    log: Log, acme: Party, standby: Config
) -> None:
    new, _ = promoted(log, standby)
    new.accept(acme.release(8, "8.0.0"))
    shutil.copy(new.config.public / "checkpoint", log.config.public / "checkpoint")
    with (
        pytest.raises(InconsistencyError, match="old copy"),
        open_sequencer(log.config, log.clock),
    ):
        pass
