"""One life of a log in which one thing goes wrong.

    accept -> intake.db -> rows -> judge -> sign -> commit -> tiles -> witness
           -> /checkpoint -> `published` -> tidy

`EFFECTS` names each of these where its effect comes about: a method of ours, which is
struck just before it does its work (nothing persisted) or just after (persisted, and
whoever called it does not come to know). A strike is

    error   EIO, as a system call would return it
    crash   SIGKILL
    hang    nothing ever again; whoever watches is told, and kills the process

A life that is to be killed has a process of its own.

The web process and the sequencer live in one process, one after the other: what each
of them does is the same, and what was answered is known to the byte. Answers leave by a
pipe, as they would by a socket: what left before the strike was promised.
"""

import errno
import importlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from flask.testing import FlaskClient

from log_server import sqlite_engine
from log_server.app import create_app
from log_server.config import Config
from log_server.direct import open_sequencer
from log_server.sequencer import Sequencer
from log_server.witnesses import Patience
from tests.support.forking import forking
from tests.unit.log_server.parties import NOW

Kind = Literal["crash", "error", "hang"]
KINDS: tuple[Kind, ...] = ("crash", "error", "hang")
HANGS = "hangs"
ENDED = "ended by an error"
_LIFE = 30

# Beside this: what the product imports when it first asks a witness.
CONTEXT = forking(__name__, "requests", "encodings.idna")


@dataclass(frozen=True)
class Effect:
    """Where something comes about: `owner` is a module, or a class in one."""

    owner: str
    attribute: str
    about: Callable[..., bool] = lambda *_: True
    """Of the arguments: whether this call is meant."""
    at_start: bool = False
    """Whether a start comes here too, when it finishes what the last life left."""


def _checkpoint(_self: object, files: Sequence[Path]) -> bool:
    return any(path.name == "checkpoint" for path in files)


def _tiles(self: object, files: Sequence[Path]) -> bool:
    return not _checkpoint(self, files)


EFFECTS = {
    "intake": Effect("log_server.intake:IntakeWriter", "_insert"),
    "bell": Effect("log_server.wake:Fifo", "ring"),
    "rows-read": Effect("log_server.intake:IntakeReader", "after"),
    "batch-made": Effect("log_server.sequencer", "sequence"),
    "signed": Effect("pcrlog.note:NoteSigner", "sign"),
    "half-committed": Effect("log_server.ledger:Ledger", "_write_index"),
    "committed": Effect("log_server.ledger:Ledger", "append"),
    "one-file": Effect("log_server.placing", "_write", at_start=True),
    "tiles-named": Effect("log_server.placing:Placer", "name", _tiles, at_start=True),
    "cosigned": Effect("log_server.witnesses:Cosigners", "__call__", at_start=True),
    "checkpoint-named": Effect(
        "log_server.placing:Placer", "name", _checkpoint, at_start=True
    ),
    "published": Effect("log_server.ledger:Ledger", "mark_published", at_start=True),
    "tidied": Effect("log_server.ledger:Ledger", "tidy"),
}


@dataclass(frozen=True)
class Life:
    """What a life is to be: of which log, who submits what, what goes wrong when.

    `early`: from the first step of the start on; else not before the start is done.
    """

    config: Config
    envelopes: tuple[bytes, ...]
    effect: str = ""
    persisted: bool = False
    kind: Kind = "crash"
    early: bool = False


@dataclass(frozen=True)
class Answer:
    """What whoever submitted was answered; `index` with 200 and 201."""

    envelope: bytes
    status: int
    index: int | None


class Strike:
    """Wraps an effect, and strikes once, when it is armed."""

    def __init__(self, life: Life, tell: Callable[[object], object]) -> None:
        self._life = life
        self._tell = tell
        self._lock = threading.Lock()
        self._armed = False
        self._effect = EFFECTS[life.effect]
        module, _, name = self._effect.owner.partition(":")
        found = importlib.import_module(module)
        self._owner: Any = getattr(found, name) if name else found
        self._original = getattr(self._owner, self._effect.attribute)
        self._wrap()

    def undo(self) -> None:
        """Nothing is wrapped any more."""
        setattr(self._owner, self._effect.attribute, self._original)

    def arm(self) -> None:
        """From now on."""
        self._armed = True

    def _wrap(self) -> None:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            meant = self._effect.about(*arguments)
            if meant and not self._life.persisted:
                self._strike()
            found = self._original(*arguments, **named)
            if meant and self._life.persisted:
                self._strike()
            return found

        setattr(self._owner, self._effect.attribute, wrapped)

    def _strike(self) -> None:
        with self._lock:
            struck, self._armed = self._armed, False
        if not struck:
            return
        if self._life.kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._life.kind == "hang":
            self._tell(HANGS)
            threading.Event().wait(_LIFE)
        raise OSError(errno.EIO, f"struck at {self._life.effect}")


def begin(life: Life) -> tuple[ForkServerProcess, Connection]:
    """Start a life; what it says comes through the connection, until it ends."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_live, args=(life, theirs))
    process.start()
    theirs.close()
    return process, ours


def _live(life: Life, told: Connection) -> None:
    # Processes die here, machines do not: nobody has to wait for the disk.
    sqlite_engine.DURABLE = "off"
    os.fsync = lambda fd: None  # noqa: ARG005 - its name is os.fsync's
    live(life, told.send)


def live(life: Life, tell: Callable[[object], object]) -> None:
    """A life with its strike; `tell` is told answers, and what became of it."""
    strike = Strike(life, tell)
    if life.early:
        strike.arm()
    try:
        go_through(life, tell, strike.arm)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        tell(ENDED)
    finally:
        strike.undo()


def go_through(
    life: Life, tell: Callable[[Answer], object], begun: Callable[[], object]
) -> None:
    """A life from start to end: take in, decide, publish, and be asked again."""
    clock = lambda: NOW  # noqa: E731 - the log's one clock
    app = create_app(life.config, clock=clock)
    client = app.test_client()
    try:
        with open_sequencer(life.config, clock, patience=Patience(_LIFE)) as sequencer:
            begun()
            for envelope in life.envelopes:
                tell(submit(client, envelope))
            sequence(sequencer)
            for envelope in life.envelopes:
                tell(submit(client, envelope))
    finally:
        app.extensions["pcrlog"].close()


def sequence(sequencer: Sequencer) -> None:
    """Decide all that waits, publish it, and tidy up."""
    while sequencer.round():
        pass
    sequencer._untidy = max(sequencer._untidy, 1_000)
    sequencer.rest()


def submit(client: FlaskClient, envelope: bytes) -> Answer:
    """POST it, without waiting."""
    answer = client.post(
        "/api/v1/entries?wait=0", data=envelope, content_type="application/json"
    )
    found = answer.get_json()
    return Answer(envelope, answer.status_code, found.get("index"))
