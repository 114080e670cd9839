"""Crowds that keep a server busy: it answers others, and its memory is bounded.

A server of its own on loopback. What it may cost is said in docs/threat-model.md; the
bounds here leave room for a busy machine.
"""

import contextlib
import http.client
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server import bodies
from pcrlog import limits
from pcrlog.encoding import sha256
from tests.e2e.served import Served, set_up
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e

IDLE = 10_000
ASKED = 100
P99 = 1.0
"""Seconds in which others are answered: 10 ms where nothing else runs."""
GROWN = 256
"""MiB that no crowd here may cost."""
JSON, NDJSON = b"application/json", b"application/x-ndjson"
PATH = b"/api/v1/entries?wait=0"


@dataclass
class World:
    """A server that runs, and a provider in its log."""

    served: Served
    acme: Party
    version: int = 0

    @property
    def resident(self) -> int:
        """MiB of the web process."""
        status = Path(f"/proc/{self.served.worker}/status").read_text("ascii")
        [line] = [one for one in status.splitlines() if one.startswith("VmRSS")]
        return int(line.split()[1]) >> 10

    def release(self) -> bytes:
        """One that is new."""
        self.version += 1
        return self.acme.release(1, f"1.0.{self.version}")

    def submit(self) -> int:
        """Seconds that others wait for a promise."""
        status, _ = self.served.ask("POST", PATH.decode(), self.release())
        return status


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    log = Log.create(tmp_path_factory.mktemp("crowds") / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    set_up(log, rate_per_address=0)
    log = Log(type(log.config).load(log.config.directory), log.new, log.clock, acme)
    served = Served.start(log)
    try:
        served.wait_until_served()
        yield World(served, acme)
        status, said = served.end()
        assert status == 0
        assert "Traceback" not in said
    finally:
        served.close()


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """As many files as the system lets this process have, for the time of a test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.served.port), timeout=20)


@contextlib.contextmanager
def crowd(world: World, number: int, says: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that say this, and then nothing."""
    lines: list[socket.socket] = []
    try:
        for _ in range(number):
            lines.append(connect(world))
            if says:
                lines[-1].sendall(says)
        yield lines
    finally:
        for line in lines:
            line.close()


def head(kind: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + PATH + b" HTTP/1.1", b"Host: x", b"Content-Type: " + kind]
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n"


def p99(world: World) -> float:
    """Seconds that others wait for a checkpoint and for an entry."""
    took = []
    line = http.client.HTTPConnection("127.0.0.1", world.served.port, timeout=20)
    with contextlib.closing(line):
        for number in range(ASKED):
            begun = time.perf_counter()
            line.request("GET", ("/checkpoint", "/api/v1/entries/0")[number % 2])
            with line.getresponse() as answer:
                answer.read()
            assert answer.status == 200
            took.append(time.perf_counter() - begun)
    return sorted(took)[-1 - ASKED // 100]


def allowed() -> int:
    """Connections that this process may have, of the many that it wants."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(IDLE, most - 512)


REQUEST = b"GET /checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"
CROWDS: dict[str, tuple[int, bytes]] = {
    "idle from the first": (IDLE, b""),
    "idle after a request": (IDLE // 4, REQUEST),
    "half of a head": (IDLE // 4, REQUEST[:-10]),
    "a body that does not come": (1_000, head(JSON, b"Content-Length: 100") + b"{"),
    "a batch that does not come": (
        *(500, head(NDJSON, b"Content-Length: 8000000") + b"{" * 1_000),
    ),
    "chunks that do not come": (
        *(500, head(NDJSON, b"Transfer-Encoding: chunked") + b"10\r\n{"),
    ),
}


@pytest.mark.parametrize("name", CROWDS)
def test_a_crowd_that_waits_keeps_nobody_from_reading_or_submitting(
    world: World, name: str
) -> None:
    number, says = CROWDS[name]
    before = world.resident
    with crowd(world, min(number, allowed()), says):
        assert p99(world) < P99
        assert world.submit() == 202
        assert world.resident - before < GROWN


def at_once(number: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer_to(world: World, says: bytes, more: bytes, times: int) -> bytes:
    """What is answered to a body that goes on and on."""
    with connect(world) as line:
        with contextlib.suppress(OSError):
            line.sendall(says)
            for _ in range(times):
                line.sendall(more)
        with contextlib.suppress(OSError):
            return line.recv(65_536)
    return b""


@pytest.mark.parametrize(
    ("kind", "most"), [(JSON, limits.ENVELOPE), (NDJSON, bodies.BATCH)]
)
def test_bodies_without_end_are_cut_short(world: World, kind: bytes, most: int) -> None:
    """Sixteen at once, each of twice what is taken and more."""
    before, found = world.resident, []
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    says = head(kind, b"Transfer-Encoding: chunked")

    def send() -> None:
        found.append(answer_to(world, says, chunk, 2 * most // 65_536 + 2))

    at_once(16, send)
    # The connection may end before the answer is read.
    statuses = {one.split(b" ")[1] for one in found if one}
    assert statuses <= {b"413", b"429"}
    assert world.resident - before < GROWN
    assert p99(world) < P99


def test_a_bomb_is_not_even_read(world: World) -> None:
    sealed = head(NDJSON, b"Content-Encoding: gzip", b"Content-Length: 8000000")
    found = answer_to(world, sealed, b"\0" * 65_536, 1)
    assert found.startswith(b"HTTP/1.1 415 ")
    assert b"problem:media-type" in found


def test_a_batch_that_breaks_off_takes_nothing_in(world: World) -> None:
    """A fault in the chunks, or the end, after a line that is whole."""
    envelope = world.release()
    line = envelope + b"\n"
    whole = b"%x\r\n%s\r\n" % (len(line), line)
    chunks = head(NDJSON, b"Transfer-Encoding: chunked") + whole
    sized = head(NDJSON, b"Content-Length: %d" % (2 * len(line))) + line
    for says in (chunks, chunks + b"zz\r\n", chunks + b"5\r\n{", sized):
        with connect(world) as broken:
            broken.sendall(says)
            broken.shutdown(socket.SHUT_WR)
            found = broken.recv(65_536)
            assert b"200 OK" not in found
    path = f"/api/v1/submissions/{sha256(envelope).hex()}"
    assert world.served.ask("GET", path)[0] == 404
    with connect(world) as line_:
        line_.sendall(chunks + b"0\r\n\r\n")
        assert b'"waiting"' in line_.recv(65_536)


def test_a_thousand_lines_of_junk_cost_little(world: World) -> None:
    """And those of others come between them."""
    junk = b"\n".join([b"{" * 30_000] * 200)
    says = head(NDJSON, b"Content-Length: %d" % len(junk))
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            assert b"200 OK" in answer_to(world, says, junk, 1)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert p99(world) < P99
        assert world.submit() == 202
        assert world.resident < 400
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_came_when_all_was_full_is_refused_and_the_rest_goes_on(
    world: World,
) -> None:
    """Slow batches that fill their room: others are told to come again."""
    says = head(NDJSON, b"Content-Length: 8000000")
    with crowd(world, 12, says) as lines:
        for line in lines:
            line.settimeout(5)
            with contextlib.suppress(OSError):
                line.sendall(b"{" * 7_900_000)
        # The connection may end before the answer is read.
        assert answer_to(world, says, b"{" * 7_000_000, 1)[:13] in {
            b"HTTP/1.1 429 ",
            b"",
        }
        told = world.served.get("/metrics").decode()
        assert 'pcrlog_bodies_refused_total{problem="busy"}' in told
        assert world.submit() == 202
        assert p99(world) < P99
    assert world.resident < 400
