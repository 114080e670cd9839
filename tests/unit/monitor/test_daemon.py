"""`run`, going on: real processes without streams, and how each comes to its end."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import daemon
from monitor.config import Config
from monitor.cosigning import create
from monitor.overview import Overview
from pcrlog.witness import AddCheckpoint
from tests.support.log_simulator import LogSimulator, Reply, refused
from tests.support.witness_process import SECONDS, free_port
from tests.unit.monitor.followed import SETTINGS, log_of
from tests.unit.monitor.test_running import STDOUT, asked, clock, wait_until, written

e2e = pytest.mark.e2e


def settings(port: int = 0, poll: str = "50ms", *, cosigns: bool = False) -> str:
    listen = f'listen = "127.0.0.1:{port}"\n' * bool(port)
    cosign = '[cosign]\nkey = "k"\n' * cosigns
    head = f'poll = "{poll}"\n{listen}{cosign}[watch]'
    return SETTINGS.replace("[watch]", head) + STDOUT


@contextmanager
def running(
    path: Path, redirected: str = "", stderr: int | None = subprocess.PIPE
) -> Iterator["subprocess.Popen[str]"]:
    """`run` in a process, by a shell that may close a stream of it before."""
    command = 'exec "$0" -m monitor run --config "$1"'
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"{command} {redirected}", sys.executable, str(path)],
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=SECONDS)


def ask(port: int, method: str, path: str, body: bytes = b"") -> int | None:
    """The status of an answer; None if nobody answers."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    with (
        contextlib.closing(line),
        contextlib.suppress(OSError, http.client.HTTPException),
    ):
        line.request(method, path, body)
        return line.getresponse().status
    return None


def rounds(path: Path) -> int:
    with contextlib.suppress(Exception):
        return Overview.read(Config.load(path)).rounds[0].number
    return 0


def refusal(path: Path) -> str:
    """Why the sink does not take alerts; empty if it does."""
    with contextlib.suppress(Exception):
        return Overview.read(Config.load(path)).sinks[0].problem or ""
    return ""


@e2e
@pytest.mark.parametrize("port", [0, free_port()], ids=["alone", "served"])
def test_a_reader_of_stderr_that_has_gone_does_not_end_the_rounds(
    tmp_path: Path, port: int
) -> None:
    with LogSimulator(log_of(now=clock())) as simulator:
        path = written(tmp_path, simulator, settings(port))
        reading, writing = os.pipe()
        with running(path, stderr=writing) as process:
            os.close(writing)
            wait_until(lambda: rounds(path) > 0)
            os.close(reading)
            # Something else to say, which nobody reads.
            simulator.twist = lambda _path, _reply: refused(404, "x", "gone")
            before = rounds(path)
            wait_until(lambda: rounds(path) > before + 5)
            assert process.poll() is None
            process.terminate()
            assert process.wait(SECONDS) == 0


@e2e
@pytest.mark.parametrize("port", [0, free_port()], ids=["alone", "served"])
def test_without_standard_streams_the_rounds_go_on(tmp_path: Path, port: int) -> None:
    with LogSimulator(log_of(now=clock())) as simulator:
        path = written(tmp_path, simulator, settings(port))
        with running(path, ">&- 2>&-") as process:
            wait_until(lambda: rounds(path) > 5)
            process.terminate()
            assert process.wait(SECONDS) == 0


@e2e
@pytest.mark.parametrize("port", [0, free_port()], ids=["alone", "served"])
def test_an_alert_is_not_delivered_to_a_standard_output_that_is_closed(
    tmp_path: Path, port: int
) -> None:
    (tmp_path / "builds").mkdir()
    with LogSimulator(log_of(now=clock())) as simulator:
        text = settings(port).replace(STDOUT, 'expected = ["builds"]\n' + STDOUT)
        path = written(tmp_path, simulator, text)
        with running(path, "<&- >&-") as process:
            wait_until(lambda: "cannot write to standard output" in refusal(path))
            process.terminate()
            assert process.wait(SECONDS) == 0
        [sink] = Overview.read(Config.load(path)).sinks
        assert sink.pending == 1


@e2e
def test_an_index_that_died_while_a_checkpoint_is_judged_ends_the_monitor(
    tmp_path: Path,
) -> None:
    port = free_port()
    with LogSimulator(log_of(now=clock())) as simulator:
        # One round, and no other one for an hour.
        path = written(tmp_path, simulator, settings(port, "1h", cosigns=True))
        create(Config.load(path), "m1.example/m", clock())
        with running(path) as process:
            wait_until(lambda: ask(port, "GET", "/healthz") == 200)
            os.kill(index_of(tmp_path), signal.SIGKILL)
            with simulator.change() as log:
                log.append(log.leaves[3], force=True)
                log.seal()
            body = bytes(AddCheckpoint(0, (), log.note))
            assert ask(port, "POST", "/add-checkpoint", body) != 200
            _, said = process.communicate(timeout=SECONDS)
            assert process.returncode == 1
            assert "cosigning: the index process is gone" in said


def index_of(folder: Path) -> int:
    """The process that has the index of this folder."""
    [found] = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"monitor.indexing\0{folder}/".encode() in read(path)
    ]
    return found


def read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_a_state_is_not_closed_under_a_round_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_END_SECONDS", 0.1)
    begun, release = threading.Event(), threading.Event()

    def hang(_path: str, reply: Reply) -> Reply:
        begun.set()
        release.wait(SECONDS)
        return reply

    with LogSimulator(log_of(now=clock())) as simulator:
        simulator.twist = hang
        served = daemon.make(written(tmp_path, simulator, settings(1)), clock)
        try:
            assert begun.wait(SECONDS)
            served.close()
            # What it stands on is open: the round comes to its end, and is kept.
            release.set()
            wait_until(lambda: rounds(tmp_path / "monitor.toml") == 1)
            assert asked(served, "POST", "/check", simulator.log.note)[0] == 200
            wait_until(
                lambda: all(one.name != "rounds" for one in threading.enumerate())
            )
        finally:
            release.set()
            served.close()
