"""One machine of a cluster: half of a `serve`, and somebody who starts it again."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from log_server.config import Config, Quorum
from tests.cluster.network import Place
from tests.e2e.served import children_of, is_running

SECONDS = 60
Part = Literal["web", "sequencer"]
_ENDS = {0, 2, 3, -signal.SIGKILL, -signal.SIGTERM}
"""How it may end here: in order; the port was not free yet; a part of it was killed, or
the database was away; it was killed; it was ended before it could listen for that."""


def copy(log: Config, folder: Path, place: Place, witnesses: Quorum | None) -> None:
    """What another machine needs of a log: settings, keys, and no data."""
    (folder / "keys").mkdir(parents=True)
    for name in ("log.vkey", "keys/log.skey"):
        shutil.copy(log.directory / name, folder / name)
    url = log.settings.database or ""
    if not place.database.startswith("postgresql:"):
        parts = urlsplit(url)
        url = f"postgresql://{parts.username}@{place.database}{parts.path}"
    settings = msgspec.structs.replace(log.settings, database=url, witnesses=witnesses)
    (folder / "log.toml").write_bytes(settings.toml())


def socket_of(url: str) -> str:
    """The folder of a server's socket."""
    return parse_qs(urlsplit(url).query)["host"][0]


@dataclass(eq=False)
class Node:
    """A machine; `broken` is told what cannot be."""

    name: str
    part: Part
    folder: Path
    place: Place
    broken: list[str]
    starts: int = 0
    # Guards the two below.
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: "subprocess.Popen[bytes] | None" = None
    _ended: bool = False
    _thread: threading.Thread | None = None

    @property
    def said(self) -> Path:
        """What it said on stderr, in all its lives."""
        return self.folder.with_suffix(".stderr")

    def begin(self) -> None:
        """Start it, and whenever it ends, again."""
        self._thread = threading.Thread(target=self._keep, name=self.name)
        self._thread.start()

    def _keep(self) -> None:
        while True:
            with self._lock:
                if self._ended:
                    return
                process = self._process = self._start()
            process.wait()
            if process.returncode not in _ENDS:
                self.broken.append(f"{self.name} ended with {process.returncode}")
            time.sleep(0.2)

    def _start(self) -> "subprocess.Popen[bytes]":
        self.starts += 1
        words = [sys.executable, "-m", "log_server", "serve", str(self.folder)]
        listen = f"{self.place.address}:{self.place.port}"
        words += ["--only", self.part, "--listen", listen]
        with self.said.open("ab") as stderr:
            return subprocess.Popen(
                self.place.command(words), stdout=subprocess.DEVNULL, stderr=stderr
            )

    def processes(self) -> list[int]:
        """The parent first, then those that do the work."""
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return []
        pids = [process.pid, *children_of(process.pid)]
        return [pid for pid in pids if is_running(pid) and not _tracks(pid)]

    def signal(self, number: signal.Signals, pids: Iterable[int]) -> None:
        """Strike some of its processes."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> int | None:
        """End it in order, for good; its exit status."""
        with self._lock:
            self._ended = True
            process = self._process
        if process is None:
            return None
        children = children_of(process.pid)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.broken.append(f"{self.name} did not end")
            self.signal(signal.SIGKILL, [process.pid, *children])
            process.wait(SECONDS)
        if self._thread is not None:
            self._thread.join(SECONDS)
        return process.returncode

    def terms(self) -> list[int]:
        """The terms for which it has had the lease."""
        text = self.said.read_text("utf-8")
        return [int(one) for one in re.findall(r"has the lease \(term (\d+)\)", text)]


def _tracks(pid: int) -> bool:
    """Whether it is Python's own, that of `multiprocessing`: it only cleans up."""
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True
