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
from contextlib import closing
from hashlib import sha384
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import Release
from pcrlog.request import encode as encode_request
from pcrlog.statement import encode

_ORIGIN = "log.example/pcr"
_SERVER = "import sys; from log_server.commands import main; sys.exit(main())"
_START_SECONDS = 20


def latencies(number: int) -> list[float]:
    """Seconds from sending a release to holding its proof, ascending."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        key = SigningKey.generate()
        _server(folder, "init", "log", "--origin", _ORIGIN)
        request = encode_request(_ORIGIN, "acme.example", [key])
        (folder / "request").write_bytes(request)
        words = ["enroll", "log", "--name", "acme.example", "--role", "provider"]
        _server(folder, *words, "--request", "request")
        port = _free_port()
        listen = ["--listen", f"127.0.0.1:{port}"]
        with subprocess.Popen(
            [sys.executable, "-c", _SERVER, "serve", "log", *listen],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                _wait(port)
                return sorted(_submit(port, key, number))
            finally:
                process.terminate()


def _server(folder: Path, *words: str) -> None:
    command = [sys.executable, "-c", _SERVER, *words]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)


def _submit(port: int, key: SigningKey, number: int) -> list[float]:
    headers = {"Content-Type": "application/json"}
    found = []
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        for n in range(number + 5):
            envelope = _release(key, n)
            began = time.perf_counter()
            connection.request("POST", "/api/v1/entries", envelope, headers)
            answer = connection.getresponse()
            body = answer.read()
            took = time.perf_counter() - began
            if answer.status != HTTPStatus.CREATED:
                message = f"{answer.status}: {body.decode()}"
                raise RuntimeError(message)
            json.loads(body)["proof"]
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = "the server did not start"
    raise RuntimeError(message)
