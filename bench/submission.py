"""Submission: from POST to a published proof, on an idle log without witnesses.

A real server with its two processes, on loopback, in a temporary folder; one client,
one statement at a time. The client is the standard library's, which takes less of the
time than the others do: it is the log that is measured.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha384
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import Release
from pcrlog.request import encode as encode_request
from pcrlog.statement import encode

_ORIGIN = "log.example/pcr"
_SERVER = "import sys; from log_server.commands import main; sys.exit(main())"
_START_SECONDS = 20


class Running(NamedTuple):
    """A log that is served: its folder, its port, and its provider's key."""

    folder: Path
    port: int
    key: SigningKey

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


def latencies(number: int) -> list[float]:
    """Seconds from sending a release to holding its proof, ascending."""
    with running() as log:
        return sorted(submit(log, number))


@contextmanager
def running() -> Iterator[Running]:
    """A log with one provider, acme.example, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        key = SigningKey.generate()
        server(folder, "init", "log", "--origin", _ORIGIN)
        request = encode_request(_ORIGIN, "acme.example", [key])
        (folder / "request").write_bytes(request)
        words = ["enroll", "log", "--name", "acme.example", "--role", "provider"]
        server(folder, *words, "--request", "request")
        port = free_port()
        listen = ["--listen", f"127.0.0.1:{port}"]
        with started(folder, _SERVER, "serve", "log", *listen):
            wait_for(port)
            yield Running(folder, port, key)


@contextmanager
def started(folder: Path, program: str, *words: str) -> Iterator[None]:
    """A process of ours, for as long as it is needed."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def server(folder: Path, *words: str) -> None:
    """Run a command of the server's."""
    command = [sys.executable, "-c", _SERVER, *words]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)


def submit(
    log: Running, number: int, published: Callable[[int], None] = lambda _index: None
) -> list[float]:
    """Release `number` builds, one after another; the seconds that each took.

    Args:
        log: where.
        number: after five that do not count.
        published: told the index of each, as soon as it is known.
    """
    headers = {"Content-Type": "application/json"}
    found = []
    with closing(HTTPConnection("127.0.0.1", log.port)) as connection:
        for n in range(number + 5):
            envelope = _release(log.key, n)
            began = time.perf_counter()
            connection.request("POST", "/api/v1/entries", envelope, headers)
            answer = connection.getresponse()
            body = answer.read()
            took = time.perf_counter() - began
            if answer.status != HTTPStatus.CREATED:
                message = f"{answer.status}: {body.decode()}"
                raise RuntimeError(message)
            placed = json.loads(body)
            placed["proof"]
            published(placed["index"])
            found.append(took)
    return found[5:]


def _release(key: SigningKey, number: int) -> bytes:
    registers = {
        f"PCR{n}": "sha384:" + sha384(f"{number}/{n}".encode()).hexdigest()
        for n in range(3)
    }
    release = Release(
        log=_ORIGIN,
        issuer="acme.example",
        issued=format_time(int(time.time())),
        platform="aws-nitro",
        identity=(("PCR0",),),
        product="acme.example/wallet",
        version=f"1.0.{number}",
    )
    return sign_envelope(encode(release, registers), [key])


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens there."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = "the server did not start"
    raise RuntimeError(message)
