"""Fixtures of the end-to-end tests: a log, who speaks in it, and its server."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.served import Served, is_running, open_files
from tests.unit.log_server.parties import Log, Party


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log", int(time.time()))


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@pytest.fixture
def start(log: Log) -> Iterator[Callable[..., Served]]:
    """Starts servers; whatever is left of them is killed afterwards, by its id."""
    started: list[Served] = []
    pids: set[int] = set()

    def start(*, crash: str = "", ready: bool = True, port: int = 0) -> Served:
        served = Served.start(log, crash, port)
        started.append(served)
        if ready:
            served.wait_until_served()
            pids.update(served.children)
        return served

    yield start
    for served in started:
        if served.process.poll() is None:
            pids.update(served.children)
        served.close()
    for pid in pids:
        if is_running(pid) and "log.db" in open_files(pid):
            os.kill(pid, signal.SIGKILL)
