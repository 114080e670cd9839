"""A log for benches of the server: made, served, stopped and served again.

Two processes as `pcrlog-server serve` has them, durable, without rate limits, in a
folder that goes when the bench ends.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.made import ORIGIN, PROVIDERS, Keys
from bench.submission import free_port, server
from log_server.config import Config
from pcrlog.keys import SigningKey
from pcrlog.request import encode as encode_request

_SERVER = "import sys; from log_server.commands import main; sys.exit(main())"
_UNLIMITED = {"rate_per_address": 0, "rate_per_identity": 0, "most_waiting": 1_000_000}
_START_SECONDS = 60
_LOOK = 0.002
_TICKS = os.sysconf("SC_CLK_TCK")
_WEB, _SEQUENCER = "web", "sequencer"


class Log:
    """A log's folder, its providers, and while it is served, where and by whom."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder = folder
        self.keys = keys
        self.port = 0
        self.started = 0.0
        """Seconds from the start of `serve` to its first answer."""
        self._process = 0

    @property
    def config(self) -> Config:
        """Its folder and settings."""
        return Config.load(self.folder)

    @property
    def size(self) -> int:
        """Leaves that are published."""
        note = (self.folder / "public" / "checkpoint").read_text()
        return int(note.splitlines()[1])

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve it until the end of a `with`."""
        self.port = free_port()
        listen = ["--listen", f"127.0.0.1:{self.port}"]
        command = [sys.executable, "-c", _SERVER, "serve", str(self.folder), *listen]
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                self._process = process.pid
                self._wait_until_answered()
                self.started = time.perf_counter() - began
                yield
            finally:
                process.terminate()

    def _wait_until_answered(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)
            try:
                connection.request("GET", "/checkpoint")
                connection.getresponse().read()
            except (OSError, HTTPException):
                time.sleep(_LOOK)
            else:
                return
            finally:
                connection.close()
        message = "the server did not start"
        raise RuntimeError(message)

    def processes(self) -> dict[str, int]:
        """Its two processes that work, by what they do."""
        children = f"/proc/{self._process}/task/{self._process}/children"
        found = {}
        for word in Path(children).read_text().split():
            names = set(_open_files(int(word)))
            if str(self.folder / "run" / "sequencer.lock") in names:
                found[_SEQUENCER] = int(word)
            elif any(name.endswith("intake.db") for name in names):
                found[_WEB] = int(word)
        return found

    def busy(self) -> dict[str, float]:
        """Seconds of a core that each of them has used."""
        found = {}
        for name, pid in self.processes().items():
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(words[11]) + int(words[12])) / _TICKS
        return found

    def resident(self) -> int:
        """Bytes of memory of all its processes; what they share counts for each."""
        pids = [self._process, *self.processes().values()]
        return sum(_resident(pid) for pid in pids)


def _open_files(pid: int) -> Iterator[str]:
    """Names of what a process has open; what it closes meanwhile is left out."""
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(one.readlink())


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


@contextmanager
def made_log() -> Iterator[Log]:
    """A log with its providers, not served yet."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        keys = {provider: SigningKey.generate() for provider in PROVIDERS}
        server(folder, "init", "log", "--origin", ORIGIN)
        settings = folder / "log" / "log.toml"
        rows = (
            row
            for row in settings.read_text().splitlines()
            if row.partition(" =")[0] not in _UNLIMITED
        )
        more = [f"{name} = {value}" for name, value in _UNLIMITED.items()]
        settings.write_text("\n".join([*more, *rows]) + "\n")
        for provider, key in keys.items():
            (folder / "request").write_bytes(encode_request(ORIGIN, provider, [key]))
            words = ["enroll", "log", "--name", provider, "--role", "provider"]
            server(folder, *words, "--request", "request")
        yield Log(folder / "log", keys)


@contextmanager
def running() -> Iterator[Log]:
    """A log with its providers, served."""
    with made_log() as log, log.served():
        yield log
