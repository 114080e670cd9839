"""The fence of a promotion: it counts only who can shut the old machine out."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from log_server import fencing
from log_server.config import Config
from log_server.promotion import promote
from log_server.witnesses import Patience, QuorumError
from pcrlog.errors import UsageError
from tests.support.plain_witness import PlainWitness, Reply
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import bring_key, look, rows, standby_of
from tests.unit.log_server.witnessing import at, demand, shown_size


@pytest.fixture
def witnesses(log: Log, acme: Party) -> Iterator[list[PlainWitness]]:
    """Six that know the log; acme is enrolled."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                PlainWitness(f"w{n}.example/a", [log.new.vkey], clock=log.clock)
            )
            for n in range(1, 7)
        ]


def standby(log: Log, acme: Party, folder: Path) -> Config:
    """One that holds all, with the key."""
    log.accept(acme.release(1))
    config = standby_of(log, folder)
    look(config, log.config.public)
    bring_key(log, config)
    return config


@pytest.mark.parametrize(("first", "kept"), [(3, 0), (3, 1), (4, 0)])
def test_witnesses_that_the_log_does_not_ask_any_more_are_no_fence(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    tmp_path: Path,
    first: int,
    kept: int,
) -> None:
    """The settings of the standby are older than those of the log, which runs on."""
    demand(log, witnesses[:3], 2)
    config = standby(log, acme, tmp_path / "standby")
    demand(log, [*witnesses[:kept], *witnesses[first:]], 2)
    log.accept(acme.release(2, "2.0.0"))
    look(config, log.config.public)
    before = rows(config, "checkpoint")
    with pytest.raises(UsageError, match="not the witnesses that the log asks"):
        promote(config, log.clock)
    # Nothing was signed that the log may not sign as well: both would have a quorum.
    assert [row[:-1] for row in rows(config, "checkpoint")] == [
        row[:-1] for row in before
    ]
    log.accept(acme.release(3, "3.0.0"))
    look(config, log.config.public)
    settings = (log.config.directory / "log.toml").read_bytes()
    assert len(promote(config, log.clock, settings=settings).witnesses) >= 2


def test_witnesses_that_never_saw_the_log_are_no_fence(
    log: Log, acme: Party, witnesses: list[PlainWitness], tmp_path: Path
) -> None:
    config = standby(log, acme, tmp_path / "standby")
    demand(log, witnesses[:3], 2)
    settings = (log.config.directory / "log.toml").read_bytes()
    with pytest.raises(UsageError, match="not the witnesses that the log asks"):
        promote(config, log.clock, settings=settings)


def test_the_word_of_one_under_two_names_fences_nobody(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """409 is not signed: whoever is asked under another's url may say it."""
    monkeypatch.setattr("log_server.promotion.Patience", lambda: Patience(0.3))
    demand(log, witnesses[:3], 2)
    config = standby(log, acme, tmp_path / "standby")
    size = shown_size(log)
    for one in witnesses[1:3]:
        one.misbehave.always = at(size)
    with pytest.raises(QuorumError):
        promote(config, log.clock)
    assert not (config.directory / "log.toml").exists()


def test_only_who_cosigned_the_seal_is_said_to_stand_behind_the_fence(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demand(log, witnesses[:3], 2)
    config = standby(log, acme, tmp_path / "standby")

    def hear(*arguments: object) -> object:
        heard = fencing.hear(*arguments)  # type: ignore[arg-type] # as they came
        witnesses[1].misbehave.down = True
        return heard

    monkeypatch.setattr("log_server.promotion.hear", hear)
    names = promote(config, log.clock).witnesses
    assert set(names) == {"w1.example/a", "w3.example/a"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"rubbish"),
        Reply(200, b"\xff" * 60_000),
        Reply(409, b"7 leaves\n", {"Content-Type": "text/x.tlog.size"}),
        Reply(302, headers={"Location": "http://127.0.0.1:9/"}),
        Reply(500),
    ],
)
def test_rubbish_is_nobodys_word(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    tmp_path: Path,
    reply: Reply,
) -> None:
    demand(log, witnesses[:3], 2)
    config = standby(log, acme, tmp_path / "standby")
    for one in witnesses[1:3]:
        one.misbehave.always = reply
    before = rows(config, "entry")
    with pytest.raises(QuorumError, match="1 of 3 witnesses say"):
        promote(config, log.clock)
    assert rows(config, "entry") == before
