"""`pcrlog-monitor witness` as a process on loopback, for tests that need a real one.

    folder = make_witness(tmp_path / "w", "w1.example", [log_vkey])
    with WitnessProcess.start(folder) as witness:
        status, body, headers = witness.post(request)

Whatever is left of it is killed at the end, by its id.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.witness_making import make_witness_folder
from pcrlog.note import VerifierKey

SECONDS = 30


def make_witness(folder: Path, name: str, vkeys: Sequence[VerifierKey | str]) -> str:
    """A new witness for logs that may ask as often as they like; its vkey."""
    vkey = make_witness_folder(folder, name, int(time.time()))
    rows = "".join(f"{one} 1000000000\n" for one in vkeys)
    (folder / "logs").write_text(rows, "utf-8")
    return vkey


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Answer:
    """Status, body, headers in lower case."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class WitnessProcess:
    """A witness that runs, or ran."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @classmethod
    @contextmanager
    def start(
        cls, folder: Path, *, crash: str = "", ready: bool = True
    ) -> Iterator["WitnessProcess"]:
        """Run it; `crash` is PCRLOG_TEST_CRASH."""
        port, log = free_port(), folder.with_name(f"{folder.name}.stderr")
        command = [sys.executable, "-m", "monitor", "witness", "run", str(folder)]
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [*command, "--listen", f"127.0.0.1:{port}"],
                stderr=stderr,
                env={**os.environ, "PCRLOG_TEST_CRASH": crash},
                start_new_session=True,
            )
        found = cls(folder, port, process, log)
        try:
            if ready:
                found.wait_until_answered()
            yield found
        finally:
            # The worker ends with its parent; the group is ours alone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)

    @property
    def url(self) -> str:
        """Its submission prefix."""
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """All that was written to stderr by the witnesses of this folder."""
        return self.log.read_text("utf-8")

    def wait_until_answered(self) -> None:
        """Return once it answers."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, self.said()
            with contextlib.suppress(OSError):
                self.ask("GET", "/healthz")
                return
            time.sleep(0.02)
        raise TimeoutError(self.said())

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """One request; a body in pieces goes out in chunks."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(line):
            line.request(method, path, body, headers)
            answer = line.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer.read(), found)

    def post(self, body: bytes) -> Answer:
        """One add-checkpoint."""
        return self.ask("POST", "/add-checkpoint", body)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the process; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)
