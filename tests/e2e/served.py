"""`pcrlog-server serve` as it runs, in processes of its own on loopback, for tests."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pcrlog.encoding import sha256
from tests.unit.log_server.parties import ORIGIN, Log

SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what has to come."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = status.read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                found.append(int(status.parent.name))
    return found


def open_files(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(link.readlink().name)
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@dataclass
class Served:
    """A `pcrlog-server serve` of a log."""

    log: Log
    port: int
    process: "subprocess.Popen[str]"
    output: list[str] = field(default_factory=list)

    @classmethod
    def start(
        cls, log: Log, crash: str = "", port: int = 0, *, stop: str = "", only: str = ""
    ) -> "Served":
        port = port or free_port()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "log_server", "serve"),
                *(str(log.config.directory), "--listen", f"127.0.0.1:{port}"),
                *(("--only", only) if only else ()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PCRLOG_TEST_CRASH": crash,
                "PCRLOG_TEST_STOP": stop,
            },
        )
        return cls(log, port, process)

    def wait_until_served(self) -> "Served":
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"serving {ORIGIN} at http://127.0.0.1:{self.port}\n", self.end()
        return self

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; its exit status and what it said."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, err

    def close(self) -> None:
        """Kill it, if it runs still."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def sequencer(self) -> int:
        [pid] = [p for p in self.children if "sequencer.lock" in open_files(p)]
        return pid

    @property
    def worker(self) -> int:
        found = [(pid, open_files(pid)) for pid in self.children]
        [pid] = [
            pid
            for pid, files in found
            if "intake.db" in files and "sequencer.lock" not in files
        ]
        return pid

    @property
    def children(self) -> list[int]:
        return children_of(self.process.pid)

    def ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def get(self, path: str) -> bytes:
        status, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body

    def submit(self, envelope: bytes, query: str = "") -> tuple[int, dict[str, object]]:
        status, body = self.ask("POST", f"/api/v1/entries{query}", envelope)
        return status, json.loads(body)

    def state(self, envelope: bytes) -> dict[str, object]:
        path = f"/api/v1/submissions/{sha256(envelope).hex()}"
        found: dict[str, object] = json.loads(self.get(path))
        return found


def set_up(log: Log, **settings: int) -> None:
    """Change the settings of a log."""
    new = msgspec.structs.replace(log.config.settings, **settings)
    (log.config.directory / "log.toml").write_bytes(new.toml())
