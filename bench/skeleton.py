"""Servers with no log behind them: what the log's own is held against.

statements   the same Granian, the same parsing of an envelope, the same check by a
             key that is known, the same group commit to SQLite with
             synchronous=FULL. It promises nothing: no index, no tree, no seal.
files        a WSGI function that reads a file and answers it with the right
             headers, and answers any POST with the same bytes
"""

import functools
import json
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from granian.constants import Interfaces
from granian.server.mp import MPServer

from pcrlog import statement
from pcrlog.encoding import decode_base64, sha256
from pcrlog.envelope import Envelope
from pcrlog.keys import PublicKey

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_MOST = 32_768
_GROUP = 512
_THREADS = 128
_FEW_THREADS = 1
_TABLE = "create table row (id integer primary key, envelope blob, sha256 blob)"
_RECEIPT = b'{"index":0,"proof":"' + b"x" * 1200 + b'"}'
_IMMUTABLE = "public, max-age=31536000, immutable"


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


def statements(folder: Path) -> Flask:
    """Takes statements; keys.json in `folder` has the base64 SPKI of each key."""
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


def files(folder: Path) -> "WSGIApplication":
    """Answers with files below `folder`, and to any POST the same bytes."""

    def answer(
        environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            environ["wsgi.input"].read()
            body, kind = _RECEIPT, "application/json"
            headers = [("Cache-Control", "no-store")]
        else:
            path = environ["PATH_INFO"]
            with open(f"{folder}{path}", "rb", 0) as file:  # noqa: PTH123 - the quickest
                state = os.fstat(file.fileno())
                body = file.read()
            shown = path == "/checkpoint"
            kind = "text/plain; charset=utf-8" if shown else "application/octet-stream"
            headers = [
                ("Cache-Control", "no-cache" if shown else _IMMUTABLE),
                ("ETag", f'"{state.st_mtime_ns:x}-{state.st_size:x}"'),
                ("Access-Control-Allow-Origin", "*"),
                ("X-Content-Type-Options", "nosniff"),
            ]
        length = ("Content-Length", str(len(body)))
        start_response("200 OK", [*headers, ("Content-Type", kind), length])
        return [body]

    return answer


_APPS: dict[str, tuple[Callable[[Path], Callable[..., Any]], int]] = {
    "statements": (statements, _THREADS),
    "files": (files, _FEW_THREADS),
}


def serve(what: str, folder: Path, port: int) -> None:
    """Serve one of the two until SIGTERM."""
    make, threads = _APPS[what]
    MPServer(
        "bench.skeleton",
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        blocking_threads=threads,
        backpressure=2 * _THREADS,
        log_enabled=False,
    ).serve(target_loader=functools.partial(make, folder), wrap_loader=False)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
