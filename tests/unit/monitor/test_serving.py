"""Real processes on loopback: what is served, and who ends with whom."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.serving import Address
from pcrlog.errors import UsageError
from tests.support.witness_process import SECONDS, free_port
from tests.unit.monitor.serving_world import MOST

e2e = pytest.mark.e2e


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("127.0.0.1:8091", "127.0.0.1", 8091, "http://127.0.0.1:8091"),
        ("[::1]:80", "::1", 80, "http://[::1]:80"),
        ("localhost:65535", "localhost", 65_535, "http://localhost:65535"),
    ],
)
def test_an_address_has_a_host_and_a_port(
    text: str, host: str, port: int, url: str
) -> None:
    found = Address.parse(text)
    assert (found.host, found.port, found.url) == (host, port, url)


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":80", "h:0", "h:080", "h:65536", "h:-1", "h:x", "h:"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected ADDRESS:PORT"):
        Address.parse(text)


@dataclass
class Process:
    port: int
    process: "subprocess.Popen[str]"

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(line):
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, answer.read()

    def raw(self, data: bytes, *, cut: bool = False) -> bytes:
        """What comes back until the server ends it, or has answered once."""
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as line:
            line.sendall(data)
            if cut:
                line.shutdown(socket.SHUT_WR)
            return line.recv(65_536)

    @property
    def worker(self) -> int:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in task.read_text().split()]
        [found] = [pid for pid in pids if b"spawn_main" in cmdline(pid)]
        return found

    def wait(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.wait()


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def started(port: int, factory: str = "echo") -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.monitor.serving_world", str(port), factory],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Process(port, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=SECONDS)


@pytest.fixture
def served() -> Iterator[Process]:
    with started(free_port()) as found:
        assert found.process.stderr is not None
        said = found.process.stderr.readline()
        assert said == f"echo at http://127.0.0.1:{found.port}\n"
        yield found


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@e2e
def test_a_request_reaches_the_application_whole(served: Process) -> None:
    path = "/a%20b?c=%20d"
    found = served.ask("POST", path, b"body", **{"X-Words": "some"})
    assert found == (200, b"POST|/a b|c=%20d|some|body")
    assert served.ask("GET", "/") == (200, b"GET|/||None|")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(w), w) for w in (b"one ", b"two"))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert served.raw(head + chunks + b"0\r\n\r\n").endswith(b"|one two")


@e2e
def test_a_body_over_the_limit_is_413_announced_or_not(served: Process) -> None:
    assert served.ask("POST", "/", bytes(MOST))[0] == 200
    status, body = served.ask("POST", "/", bytes(MOST + 1))
    assert (status, body) == (413, b"a body of more than 1000 bytes\n")
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    endless = chunked + b"200\r\n" + bytes(0x200) + b"\r\n200\r\n" + bytes(0x200)
    assert served.raw(endless).startswith(b"HTTP/1.1 413 ")
    for length in (b"1001", b"9" * 18):
        # Nobody is asked to go on with what is too large.
        asked = head + b"Expect: 100-continue\r\nContent-Length: " + length
        assert served.raw(asked + b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    asked = head + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    assert served.raw(asked).startswith(b"HTTP/1.1 100 ")


@e2e
def test_a_mistake_is_500_and_the_next_request_is_answered(served: Process) -> None:
    assert served.ask("GET", "/fail") == (500, b"a mistake of ours\n")
    assert served.ask("GET", "/")[0] == 200
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    assert served.raw(head + b"{", cut=True).startswith(b"HTTP/1.1 400 ")
    status, said = served.end()
    assert status == 0
    assert "ValueError" in said
    assert "RSGI" not in said


@e2e
def test_slow_bodies_take_no_thread_and_end_with_408(served: Process) -> None:
    lines = [
        socket.create_connection(("127.0.0.1", served.port), SECONDS) for _ in range(20)
    ]
    try:
        for line in lines:
            line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        began = time.monotonic()
        assert served.ask("POST", "/", b"quick")[0] == 200
        assert time.monotonic() - began < 5
        assert lines[0].recv(100).startswith(b"HTTP/1.1 408 ")
    finally:
        for line in lines:
            line.close()


@e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_in_order_after_what_is_in_flight(
    served: Process, number: int
) -> None:
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(served.ask("GET", "/slow")[0])
    )
    asking.start()
    time.sleep(0.3)
    worker = served.worker
    status, said = served.end(number)
    asking.join()
    assert (status, answers) == (0, [200])
    assert said == "closed\n"
    assert not Path(f"/proc/{worker}").exists()


@e2e
def test_a_hang_up_reaches_the_worker_which_stays(served: Process) -> None:
    worker = served.worker
    served.process.send_signal(signal.SIGHUP)
    assert served.process.stderr is not None
    assert served.process.stderr.readline() == "hung up\n"
    assert served.worker == worker
    assert served.ask("GET", "/")[0] == 200


@e2e
def test_a_worker_ends_with_its_parent_whatever_ends_it(served: Process) -> None:
    worker = served.worker
    served.process.kill()
    until(lambda: not cmdline(worker))


@e2e
def test_a_worker_that_is_killed_ends_serve(served: Process) -> None:
    os.kill(served.worker, signal.SIGKILL)
    status, said = served.wait()
    assert status == 1
    assert "ended: the worker died" in said


@e2e
@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/die", 1, "ended: follower died; see the lines above"),
        ("/refuse", 3, "ended: follower: the log cannot be read"),
    ],
)
def test_what_works_in_the_background_ends_all_if_it_fails(
    served: Process, path: str, status: int, words: str
) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        served.ask("GET", path)
    found, said = served.wait()
    assert found == status
    assert words in said
    assert ("ZeroDivisionError" in said) == (path == "/die")


@e2e
@pytest.mark.parametrize(
    ("factory", "status", "words"),
    [
        ("refused", 2, "ended: no such folder"),
        ("broken", 1, "ended: it could not be made; see the lines above"),
    ],
)
def test_what_cannot_be_made_ends_serve(factory: str, status: int, words: str) -> None:
    with started(free_port(), factory) as found:
        ended, said = found.wait()
    assert ended == status
    assert words in said


@e2e
def test_a_port_has_one_server(served: Process) -> None:
    with started(served.port) as second:
        status, said = second.wait()
    assert status == 2
    assert f"cannot listen on http://127.0.0.1:{served.port}" in said
