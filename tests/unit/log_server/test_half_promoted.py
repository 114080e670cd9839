"""A promotion that did not come to its end: whatever is done next, no second log."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from log_server import fencing
from log_server.config import Config, Settings
from log_server.fsck import check
from log_server.promotion import promote
from log_server.standby import BehindError
from log_server.standby_folder import load_standby
from log_server.witnesses import ContradictedError, Patience
from pcrlog.errors import InconsistencyError, UsageError
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
from tests.unit.log_server.witnessing import demand, sequencing


class Killed(BaseException):
    """The end of a process, as far as this one can end."""


STEPS = [
    *("Ledger.sign", "sequence", "Ledger.append", "Cosigners.__call__"),
    *("Cosigners.close", "Path.unlink", "Path.replace"),
]


@pytest.fixture
def witnesses(log: Log, acme: Party) -> Iterator[list[PlainWitness]]:
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
    """Of a log that demands two of three; it holds all, and has the key."""
    demand(log, witnesses, 2)
    log.accept(acme.release(1))
    config = standby_of(log, tmp_path / "standby")
    look(config, log.config.public)
    bring_key(log, config)
    return config


def killed(
    patch: pytest.MonkeyPatch, log: Log, config: Config, step: str, *, after: bool
) -> None:
    """Promote, until the process ends at a step of the promotion's own."""
    owner: object = __import__("log_server.promotion", fromlist=["promote"])
    *owners, name = step.split(".")
    for one in owners:
        owner = getattr(owner, one)
    original = getattr(owner, name)

    def strike(*arguments: object, **named: object) -> object:
        path = arguments[0]
        if isinstance(path, Path) and path.name not in {"standby.toml", "following"}:
            return original(*arguments, **named)
        if after:
            original(*arguments, **named)
        raise Killed

    with patch.context() as context:
        context.setattr(owner, name, strike)
        with pytest.raises(Killed):
            promote(config, log.clock)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_it_is_promoted_again_or_it_is_the_log(
    log: Log,
    acme: Party,
    standby: Config,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,  # noqa: FBT001 - a case
) -> None:
    killed(monkeypatch, log, standby, step, after=after)
    if (standby.directory / "log.toml").exists():
        new = Log(Config.load(standby.directory), log.new, log.clock, log.registrar)
        with pytest.raises(UsageError, match="no standby"):
            load_standby(standby.directory)
    else:
        with pytest.raises(UsageError, match="is a standby"):
            Config.load(standby.directory)
        new, _ = promoted(log, standby)
    assert new.accept(acme.release(8, "8.0.0")) > 0
    assert check(new.config).wrong == []


@pytest.mark.parametrize("step", STEPS[3:-1])
def test_one_that_has_a_seal_of_its_own_follows_nobody_any_more(
    log: Log,
    acme: Party,
    standby: Config,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """The other machine ran still: what it says is no damage, and is not taken."""
    killed(monkeypatch, log, standby, step, after=False)
    before = rows(standby, "checkpoint"), (standby.public / "checkpoint").read_bytes()
    with pytest.raises(UsageError, match="a seal that the log has not shown"):
        look(standby, log.config.public)
    with pytest.raises(UsageError, match="a seal that the log has not shown"):
        take_disk(standby, log.config.directory)
    assert before == (
        rows(standby, "checkpoint"),
        (standby.public / "checkpoint").read_bytes(),
    )


def test_its_own_seal_is_not_shown_before_it_is_the_log(
    log: Log, acme: Party, standby: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held more than was shown, when it was promoted half-way."""

    def stop(step: str) -> None:
        if step == "cosigned":
            raise Killed

    log.queue(acme.release(2, "2.0.0"))
    with pytest.raises(Killed), sequencing(log, Patience(5), stop) as sequencer:
        sequencer.round()
    take_disk(standby, log.config.directory)
    killed(monkeypatch, log, standby, "Cosigners.__call__", after=False)
    log.sequence()
    before = (standby.public / "checkpoint").read_bytes()
    with pytest.raises(UsageError):
        look(standby, log.config.public)
    assert (standby.public / "checkpoint").read_bytes() == before


def test_whoever_lost_the_race_is_told_to_begin_anew(
    log: Log,
    acme: Party,
    standby: Config,
    witnesses: list[PlainWitness],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the question and the fence, the machine that was not off went on."""

    def hear(*arguments: object) -> object:
        heard = fencing.hear(*arguments)  # type: ignore[arg-type] # as they came
        log.accept(acme.release(2, "2.0.0"))
        return heard

    with monkeypatch.context() as patch:
        patch.setattr("log_server.promotion.hear", hear)
        with pytest.raises(ContradictedError, match="make a new standby"):
            promote(standby, log.clock)
    with pytest.raises(ContradictedError, match="make a new standby"):
        promote(standby, log.clock)
    # The log goes on, and so does a new standby.
    log.accept(acme.release(3, "3.0.0"))
    config = standby_of(log, standby.directory.with_name("next"))
    look(config, log.config.public)
    new, _ = promoted(log, config)
    assert new.accept(acme.release(4, "4.0.0")) > 0


def test_who_was_promoted_meanwhile_is_not_promoted_or_followed_with(
    log: Log, acme: Party, standby: Config
) -> None:
    """Two commands began at once: the second one had read what it was before."""
    from log_server.following import follow  # noqa: PLC0415 - used here alone

    new, done = promoted(log, standby)
    for again in (
        lambda: promote(standby, log.clock),
        lambda: follow(standby, str(log.config.public), lambda _state: None, poll=None),
    ):
        with pytest.raises(UsageError, match="no standby"):
            again()
    with new.snapshot() as snapshot:
        assert snapshot.size == done.leaves


# --- run/ is lost ---------------------------------------------------------------------


def test_without_run_it_still_knows_another_history(
    log: Log, acme: Party, standby: Config, tmp_path: Path
) -> None:
    """run/ is what anybody may remove; it holds the checkpoint that was kept."""
    ignore = shutil.ignore_patterns("run")
    shutil.copytree(log.config.directory, tmp_path / "other", ignore=ignore)
    alone = Config(tmp_path / "other", Settings(log.config.origin))
    other = Log(alone, log.new, log.clock, log.registrar)
    log.accept(acme.release(2, "2.0.0"))
    other.accept(acme.release(2, "2.0.1"))
    look(standby, log.config.public)
    shutil.rmtree(standby.directory / "run", ignore_errors=True)
    with pytest.raises(InconsistencyError, match="proves it to anybody"):
        look(standby, other.config.public)
    shutil.rmtree(standby.directory / "run", ignore_errors=True)
    shutil.copytree(log.config.public, tmp_path / "copy")
    log.accept(acme.release(3, "3.0.0"))
    look(standby, log.config.public)
    shutil.rmtree(standby.directory / "run", ignore_errors=True)
    with pytest.raises(BehindError, match="old copy"):
        look(standby, tmp_path / "copy")
    log.accept(acme.release(4, "4.0.0"))
    look(standby, log.config.public)


def test_of_two_that_are_promoted_at_once_one_is_shown(
    log: Log, acme: Party, standby: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same second both make the same seal: the next one tells them apart."""
    other = standby_of(log, standby.directory.with_name("other"))
    look(other, log.config.public)
    won = list[Log]()

    def hear(*arguments: object) -> object:
        heard = fencing.hear(*arguments)  # type: ignore[arg-type] # as they came
        if not won:
            won.append(log)
            won[0] = promoted(log, other)[0]
        return heard

    with monkeypatch.context() as patch:
        patch.setattr("log_server.promotion.hear", hear)
        promote(standby, log.clock)
    late = Log(Config.load(standby.directory), log.new, log.clock, log.registrar)
    assert rows(late.config, "checkpoint") == rows(won[0].config, "checkpoint")
    won[0].accept(acme.release(2, "2.0.0"))
    shown = late.config.public / "checkpoint"
    before = rows(late.config, "checkpoint"), shown.read_bytes()
    late.queue(acme.release(3, "3.0.0"))
    with pytest.raises(ContradictedError), sequencing(late, Patience(5)) as sequencer:
        sequencer.round()
    assert (rows(late.config, "checkpoint"), shown.read_bytes()) == before
    assert check(won[0].config).wrong == []
