"""A server with no log behind it: what HTTP, signature checks and commits cost alone.

The same Granian and Flask, the same parsing of an envelope, the same check by a key
that is known, the same group commit to SQLite with synchronous=FULL. It promises
nothing: no index, no tree, no seal. bench/server.py holds the log against it.
"""

import functools
import json
import queue
import sqlite3
import sys
import threading
from pathlib import Path

from flask import Flask, Response, request
from granian.constants import Interfaces
from granian.server.mp import MPServer

from pcrlog import statement
from pcrlog.encoding import decode_base64, sha256
from pcrlog.envelope import Envelope
from pcrlog.keys import PublicKey

_MOST = 32_768
_GROUP = 512
_TABLE = "create table row (id integer primary key, envelope blob, sha256 blob)"


class Rows:
    """One commit for all who wait."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = full")
        self._database.execute(_TABLE)
        self._waiting: queue.SimpleQueue[tuple[bytes, threading.Event]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, envelope: bytes) -> None:
        """Come back when it is on disk."""
        done = threading.Event()
        self._waiting.put((envelope, done))
        done.wait()

    def _write(self) -> None:
        while True:
            group = [self._waiting.get()]
            while len(group) < _GROUP and not self._waiting.empty():
                group.append(self._waiting.get())
            self._database.execute("begin immediate")
            self._database.executemany(
                "insert into row (envelope, sha256) values (?, ?)",
                [(envelope, sha256(envelope)) for envelope, _ in group],
            )
            self._database.execute("commit")
            for _, done in group:
                done.set()


def create(folder: Path) -> Flask:
    """The application; keys.json in `folder` has the base64 SPKI of each key."""
    app, rows = Flask(__name__), Rows(folder / "rows.db")
    spkis = json.loads((folder / "keys.json").read_bytes())
    found = [PublicKey.from_spki(decode_base64(one)) for one in spkis]
    keys = {key.keyid: key for key in found}

    @app.post("/api/v1/entries")
    def submit() -> Response:
        body = request.stream.read(_MOST + 1)
        envelope = Envelope.parse(body)
        statement.parse(envelope.payload)
        [(keyid, signature)] = envelope.signatures.items()
        keys[keyid].verify(signature, envelope.signed)
        rows.put(body)
        return Response(b'{"index":0}', 201, content_type="application/json")

    return app


def serve(folder: Path, port: int, threads: int) -> None:
    """Serve it until SIGTERM."""
    MPServer(
        "bench.skeleton",
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        blocking_threads=threads,
        backpressure=2 * threads,
        log_enabled=False,
    ).serve(target_loader=functools.partial(create, folder), wrap_loader=False)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
