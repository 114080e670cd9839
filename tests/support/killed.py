"""Witnesses that are killed: each in a process of its own, driven from within it.

A new process is forked from one that has imported everything, so that hundreds of them
take seconds. What an incarnation answers leaves by a pipe, as it would by a socket; the
clients beside the witness ask for growth, for a newer time, for less, and for a fork.
"""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from monitor.witness import Reply, Witness
from monitor.witness_store import NAME, WitnessStore
from pcrlog.note import COSIGNATURE, NoteSigner
from pcrlog.witness import SIZE_TYPE, parse_size
from tests.support.forking import forking
from tests.unit.monitor.witnessed import Log

SIGNER = NoteSigner("w1.example/killed", bytes(range(32)), COSIGNATURE)
SIZE, FORK_AT = 256, 3
LOGS = 3
CLIENTS = 2
"""For each log; one of two is that of its fork now and then."""
_SECONDS = 30
_MOST = 400
"""Requests of an incarnation that nobody kills."""

CONTEXT = forking(__name__)


@dataclass(frozen=True)
class Answered:
    """A checkpoint that was sent, and what came back."""

    note: bytes
    lines: bytes


@dataclass(frozen=True)
class Life:
    """How an incarnation goes: `point` and `number` say where it ends itself."""

    folder: Path
    seed: int
    now: int
    point: str
    number: int


@cache
def logs() -> tuple[tuple[Log, Log], ...]:
    """Each log, and its fork."""
    return tuple(
        (Log(number, SIZE), Log(number, SIZE, FORK_AT)) for number in range(LOGS)
    )


@cache
def _request(number: int, fork: int, old: int, new: int) -> bytes:
    return logs()[number][fork].request(old, new)


def live(life: Life) -> tuple[list[Answered], bool]:
    """Start an incarnation; what it answered, and whether it killed itself."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_live, args=(life, theirs))
    process.start()
    theirs.close()
    answers = []
    try:
        while ours.poll(_SECONDS):
            note = ours.recv_bytes()
            answers.append(Answered(note, ours.recv_bytes()))
    except EOFError:
        pass
    finally:
        process.join(_SECONDS)
        process.kill()
        process.join()
        ours.close()
    return answers, process.exitcode == -signal.SIGKILL


def _live(life: Life, answers: Connection) -> None:
    step = _Step(life.point, life.number)
    store = WitnessStore(life.folder / NAME, str(SIGNER.public), step)
    keys = {log.origin: log.key for log, _ in logs()}
    witness = Witness(store, SIGNER, keys.get, lambda: life.now)
    sending = threading.Lock()

    def tell(note: bytes, reply: Reply) -> None:
        step("answered")
        if reply.status == 200:
            with sending:
                answers.send_bytes(note)
                step("half-sent")
                answers.send_bytes(reply.body)
        step("sent")

    clients = [
        threading.Thread(
            target=_ask, args=(witness, number, life.seed + 100 * client, tell)
        )
        for number in range(LOGS)
        for client in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    store.close()


class _Step:
    """Kills this process when it comes to a point for the nth time."""

    def __init__(self, point: str, number: int) -> None:
        self._point = point
        self._left = number
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _ask(
    witness: Witness, number: int, seed: int, tell: Callable[[bytes, Reply], None]
) -> None:
    chance = random.Random(seed)
    known = 0
    for _ in range(_MOST // (LOGS * CLIENTS)):
        fork = int(chance.random() < 0.3)
        old = chance.choice((known, known, known, 0))
        new = min(SIZE, old + chance.choice((0, 0, 1, 1, 2, 5)))
        body = _request(number, fork, old, new)
        reply = witness.add_checkpoint(body)
        tell(body.partition(b"\n\n")[2], reply)
        if reply.content_type == SIZE_TYPE:
            known = parse_size(reply.body)
        elif reply.status == 200:
            known = new
