"""How long a statement takes to be durable, integrated and published, under load.

    durable       on disk in intake.db: 202 is answered
    integrated    in the tree and the index, committed to log.db, its checkpoint signed
    published     /checkpoint shows it: what 201 waits for

Someone in a process of its own submits one statement after the other and looks at
log.db, while the load goes on.
"""

import multiprocessing
import sqlite3
import time
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

_LOOK = 0.0005
_LONGEST = 30.0
_ACCEPTED = 202
_DECIDED = "select idx from decision where envelope_sha256 = ?"
_PUBLISHED = "select size from checkpoint join published using (batch)"


class Stages(NamedTuple):
    """Seconds from the request to each stage, ascending."""

    durable: list[float]
    integrated: list[float]
    published: list[float]


def watch(folder: Path, port: int, bodies: list[bytes], pause: float) -> "Watching":
    """Begin to submit `bodies`, with a `pause` between them, in seconds."""
    return Watching(folder, port, bodies, pause)


class Watching:
    """A process that submits and looks."""

    def __init__(
        self, folder: Path, port: int, bodies: list[bytes], pause: float
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._found, theirs = context.Pipe(duplex=False)
        words = (folder / "log.db", port, bodies, pause, theirs)
        self._process = context.Process(target=_watch, args=words)
        self._process.start()
        theirs.close()

    def end(self) -> Stages:
        """Wait for its end; what it found."""
        rows = self._found.recv()
        self._process.join()
        return Stages(*(sorted(column) for column in zip(*rows, strict=True)))


def _watch(
    database: Path, port: int, bodies: list[bytes], pause: float, found: Connection
) -> None:
    rows = []
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as log,
        closing(HTTPConnection("127.0.0.1", port)) as connection,
    ):
        for body in bodies:
            rows.append(_one(log, connection, body))
            time.sleep(pause)
    found.send(rows)


def _one(
    log: sqlite3.Connection, connection: HTTPConnection, body: bytes
) -> tuple[float, float, float]:
    began = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/v1/entries?wait=0", body, headers)
    answer = connection.getresponse()
    words = answer.read()
    durable = time.perf_counter()
    if answer.status != _ACCEPTED:
        message = f"{answer.status}: {words.decode()}"
        raise RuntimeError(message)
    digest = sha256(body).digest()
    while (row := log.execute(_DECIDED, (digest,)).fetchone()) is None:
        _wait(began)
    integrated = time.perf_counter()
    while log.execute(_PUBLISHED).fetchone()[0] <= row[0]:
        _wait(began)
    return durable - began, integrated - began, time.perf_counter() - began


def _wait(began: float) -> None:
    if time.perf_counter() - began > _LONGEST:
        message = "a statement was not decided"
        raise RuntimeError(message)
    time.sleep(_LOOK)
