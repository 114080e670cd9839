"""A store that speaks S3 on loopback, and a gate before it, for tests.

    with BucketServer.start() as server, Gate.before(server) as gate:
        gate.rule = lambda request: "refuse" if request.method == "PUT" else "pass"

The server is moto's, in a process and an environment of its own (`make` sets it up).
The gate passes requests on, or does what networks and stores do: refuse, hang, break
off before, or after it was done. It notes what it saw.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

PYTHON = Path(sys.prefix) / "cluster" / "bin" / "python"
_SECONDS = 60
_PAUSE = 0.05
_LONG = 60
KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}

_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=made-up/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=00"
)

_CONDITIONS = {"if-match", "if-none-match"}
Deed = Literal["pass", "refuse", "forbid", "hang", "cut", "lose", "careless", "weak"]
"""Refuse: 503. Cut: no answer, nothing done. Lose: done, and no answer. Careless: done
whatever its conditions say. Weak: with an ETag of which `If-Match` never holds."""


class MotoAbsentError(Exception):
    """In CI the server has to be there."""


def require_moto() -> None:
    """Skip the test where there is no server.

    Raises:
        MotoAbsentError: there is none in CI.
    """
    if PYTHON.exists():
        return
    reason = "no moto: make .venv/cluster/.installed"
    if os.environ.get("CI") == "true":
        raise MotoAbsentError(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class BucketServer:
    """moto's server, which keeps everything in memory."""

    port: int

    @classmethod
    @contextmanager
    def start(cls, log: Path) -> Iterator["BucketServer"]:
        """Start one; what it says goes to the file `log`. It is ended by its id."""
        require_moto()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        try:
            _wait_for(port, process, log)
            yield cls(port)
        finally:
            process.kill()
            process.wait()

    def make(self, bucket: str) -> None:
        """Make a bucket whose objects everybody may read, and nobody list."""
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        assert self.ask("PUT", f"/{bucket}", owner=True)[0] == 200
        data = json.dumps(policy).encode()
        assert self.ask("PUT", f"/{bucket}?policy", data, owner=True)[0] in {200, 204}

    def ask(
        self, method: str, path: str, body: bytes = b"", *, owner: bool = False
    ) -> tuple[int, bytes, dict[str, str]]:
        """Ask as anybody may who has the URL, or as the `owner` of the bucket.

        Status, body, headers in lower case.
        """
        # The server looks whether there is a signature, not at it.
        headers = {"Authorization": _SIGNED} if owner else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), found


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(_PAUSE)
        else:
            return


@dataclass(frozen=True)
class Seen:
    """A request that came to the gate; `headers` in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Gate:
    """Stands before a server; `rule` says what becomes of each request."""

    port: int = 0
    rule: Callable[[Seen], Deed] = lambda _seen: "pass"
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def puts(self) -> list[str]:
        """The paths that were put."""
        return [one.path for one in self.seen if one.method == "PUT"]

    @classmethod
    @contextmanager
    def before(cls, server: BucketServer) -> Iterator["Gate"]:
        """Put a gate before a server."""
        gate = cls()

        class Handler(_Handler):
            to, ours = server, gate

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as front:
            front.daemon_threads = True
            gate.port = front.server_port
            thread = threading.Thread(
                target=front.serve_forever, args=(0.02,), daemon=True
            )
            thread.start()
            try:
                yield gate
            finally:
                front.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    to: BucketServer
    ours: Gate
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers)
        self.ours.seen.append(seen)
        deed = self.ours.rule(seen)
        if deed in {"refuse", "forbid"}:
            self.send_response(503 if deed == "refuse" else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if deed in {"hang", "cut"}:
            time.sleep(_LONG if deed == "hang" else 0)
            self.close_connection = True
            return
        if deed == "careless":
            headers = {n: v for n, v in headers.items() if n not in _CONDITIONS}
        if deed == "weak" and headers.get("if-match", "").startswith("W/"):
            headers["if-match"] = '"never"'
        connection = http.client.HTTPConnection("127.0.0.1", self.to.port, timeout=30)
        with closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        if deed == "lose":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "date"}:
                is_weak = deed == "weak" and name.lower() == "etag"
                self.send_header(name, f"W/{value}" if is_weak else value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - http.server's names

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
