"""The fault table: each step x (persisted | not) x (crash | error | hang) x restart.

In each row a log that a witness cosigns is struck at one step while it works. If a
start comes to this step as well, it is started again and struck there. Then it is
started once more and let live. After each strike, what is shown is whole;
while it hangs, statements are taken in and no second sequencer comes up; at the end the
whole-log audit: all that was ever answered is still true.
"""

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from log_server.app import create_app
from log_server.config import Config
from log_server.direct import open_sequencer
from log_server.lease import LockedError
from pcrlog.witness import AddCheckpoint
from tests.fault.log_lives import (
    EFFECTS,
    ENDED,
    HANGS,
    KINDS,
    Answer,
    Kind,
    Life,
    begin,
    go_through,
    live,
    sequence,
    submit,
)
from tests.support.audit import Told, audit, check_shown
from tests.support.plain_witness import PlainWitness
from tests.unit.log_server.parties import NOW, Log, Party
from tests.unit.log_server.witnessing import demand

_PROMISED, _DONE, _FAILED = 202, {200, 201}, {500, 503}
_SECONDS = 30


@dataclass
class World:
    """A log as it was made, its witness, and who speaks."""

    log: Log
    acme: Party
    witness: PlainWitness

    def copy(self, folder: Path) -> Config:
        """The log anew; the witness as it was then."""
        ignore = shutil.ignore_patterns("wake")
        shutil.copytree(self.log.config.directory, folder, ignore=ignore)
        self.witness.latest = dict(self._latest)
        self.witness.asked.clear()
        return Config.load(folder)

    def __post_init__(self) -> None:
        self._latest = dict(self.witness.latest)

    def envelopes(self, life: int) -> tuple[bytes, ...]:
        """Two releases, one that is refused in the same batch, and an identity."""
        release = self.acme.release
        new = Party(f"lab{life}.example", self.acme.key)
        return (
            release(1, f"1.{life}.0"),
            release(1, f"2.{life}.0"),
            release(2, f"2.{life}.0"),
            self.log.identity(replace(new, key=Party("").key), "auditor"),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults") / "log"
    log = Log.create(folder)
    acme = log.enrol("acme.example", "provider")
    with PlainWitness("w1.example/a", [log.new.vkey], clock=lambda: NOW) as witness:
        demand(log, [witness])
        log.sequence(idle_seal=True)
        yield World(log, acme, witness)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("log_server.sqlite_engine.DURABLE", "off")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr("log_server.direct._FINISH_SECONDS", 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("persisted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("effect", EFFECTS)
def test_no_fault_at_any_step_breaks_a_promise(
    world: World, tmp_path: Path, effect: str, kind: Kind, *, persisted: bool
) -> None:
    config, told = world.copy(tmp_path / "log"), Told()
    answers: list[Answer] = []
    sent: list[bytes] = []
    for number, early in enumerate((False, True)[: 1 + EFFECTS[effect].at_start]):
        envelopes = world.envelopes(number)
        sent += envelopes
        life = Life(config, envelopes, effect, persisted, kind, early=early)
        answers += struck(world, life)
        note(world, config, told)
    # What was promised comes by itself.
    with open_sequencer(config, lambda: NOW) as sequencer:
        sequence(sequencer)
    for answer in answers:
        hear(told, answer)
    note(world, config, told)
    audit(config, told)
    # Whoever got no answer asks again: that is always safe.
    go_through(Life(config, tuple(sent)), answers.append, lambda: None)
    for answer in answers:
        hear(told, answer)
    note(world, config, told)
    found = audit(config, told)
    assert found.receipts >= len(sent) * 3 / 4, "all but one of each life"
    assert found.refused + found.decided == len(told.promised) > 0


def struck(world: World, life: Life) -> list[Answer]:
    """A life with its fault; what was answered, before it and while it hung."""
    said: list[object] = []
    if life.kind == "error":
        live(life, said.append)
        # An error at the door is answered, and the life goes on to its end.
        at_the_door = life.effect in {"intake", "bell"}
        failed = {a.status for a in said if isinstance(a, Answer)} & _FAILED
        assert failed if at_the_door else said[-1] == ENDED
    else:
        killed(world, life, said)
        assert (HANGS in said) == (life.kind == "hang")
    check_shown(life.config)
    return [answer for answer in said if isinstance(answer, Answer)]


def killed(world: World, life: Life, said: list[object]) -> None:
    """A life that ends by SIGKILL: its own, or that of whoever saw it hang."""
    process, pipe = begin(life)
    try:
        while pipe.poll(_SECONDS):
            said.append(pipe.recv())
            if said[-1] == HANGS:
                said += while_it_hangs(life, world)
                process.kill()
    except EOFError:
        pass
    finally:
        process.kill()
        process.join(_SECONDS)
        pipe.close()
    assert process.exitcode == -signal.SIGKILL, "it was not struck"


def while_it_hangs(life: Life, world: World) -> list[Answer]:
    """What is shown is whole, statements are taken in, nobody else sequences."""
    check_shown(life.config)
    with pytest.raises(LockedError), open_sequencer(life.config, lambda: NOW):
        pass
    app = create_app(life.config, clock=lambda: NOW)
    answer = submit(app.test_client(), world.acme.release(1, f"3.{life.early:d}.0"))
    app.extensions["pcrlog"].close()
    assert answer.status == _PROMISED
    return [answer]


def hear(told: Told, answer: Answer) -> None:
    """What an answer promised."""
    if answer.status == _PROMISED:
        told.promise(answer.envelope)
    elif answer.status in _DONE:
        assert answer.index is not None
        told.receipt(answer.envelope, answer.index)


def note(world: World, config: Config, told: Told) -> None:
    """All checkpoints that left the process."""
    told.show((config.public / "checkpoint").read_bytes())
    for asked in world.witness.posts():
        told.show(AddCheckpoint.parse(asked.body).note)
