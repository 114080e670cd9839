"""add-checkpoints a second: the witness as it runs, on disk before each answer.

A thousand logs grow by turns, each with a consistency proof as a log of some million
entries has it. The clients are in this process, 64 connections that are kept; the
witness is `pcrlog-monitor witness run`. Beside it, on the same machine and in the same
run: the signature that has to be checked and the one that has to be made, alone; and
Granian with an application that reads the body and answers the same bytes.
"""

import contextlib
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.server.mp import MPServer

from bench.load import CONNECTIONS, load, post
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import sha256
from pcrlog.merkle import EMPTY_ROOT, node_hash, prove_consistency
from pcrlog.note import NoteSigner
from pcrlog.witness import AddCheckpoint

LOGS, STEPS = 1000, 6
_FIRST, _GROWTH = 0xAAAAB, 37
_LEVELS = 40
_LINE = b"\xe2\x80\x94 w1.example/bench " + b"A" * 104 + b"\n"
_PATIENCE = 60


@dataclass(frozen=True)
class Found:
    """Requests a second; latencies in seconds, ascending; what is beside them."""

    rate: float
    latencies: list[float]
    signatures: float
    bare: float

    def latency(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        return self.latencies[
            min(len(self.latencies) - 1, int(share * len(self.latencies)))
        ]


def _equal_leaves() -> tuple[bytes, ...]:
    nodes = [sha256(b"\0leaf")]
    while len(nodes) < _LEVELS:
        nodes.append(node_hash(nodes[-1], nodes[-1]))
    return tuple(nodes)


class _Log:
    """A log of equal leaves: as deep as a real one, and made of 40 hashes."""

    _nodes = _equal_leaves()

    def __init__(self, number: int) -> None:
        origin = f"log{number}.example/bench"
        self.signer = NoteSigner(origin, sha256(origin.encode()))

    def root(self, size: int) -> bytes:
        found = None
        for level in range(_LEVELS):
            if size >> level & 1:
                left = self._nodes[level]
                found = left if found is None else node_hash(left, found)
        return found or EMPTY_ROOT

    def request(self, old: int, size: int) -> bytes:
        checkpoint = Checkpoint(self.signer.public.name, size, self.root(size))
        proof = (
            prove_consistency(old, size, lambda level, _: self._nodes[level])
            if old
            else ()
        )
        note = bytes(self.signer.sign(checkpoint.text()))
        body = bytes(AddCheckpoint(old, proof, note))
        return post("/add-checkpoint", body)


def _measure(port: int, requests: list[bytes]) -> tuple[float, list[float]]:
    found = load(port, requests)
    assert set(found.statuses) == {HTTPStatus.OK}, found.statuses
    return found.rate, found.latencies


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.02)
    raise TimeoutError


@contextmanager
def _witness(folder: Path, logs: list[_Log]) -> Iterator[int]:
    command = [sys.executable, "-m", "monitor", "witness"]
    subprocess.run(
        [*command, "init", folder, "--name", "w1.example/bench"],
        check=True,
        capture_output=True,
    )
    rows = "".join(f"{log.signer.public} 1000000000\n" for log in logs)
    (folder / "logs").write_text(rows, "ascii")
    port = _free_port()
    with subprocess.Popen(
        [*command, "run", folder, "--listen", f"127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()


def _bare(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> list[bytes]:
    environ["wsgi.input"].read()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(_LINE)))]
    start_response("200 OK", headers)
    return [_LINE]


def _load_bare() -> Callable[..., list[bytes]]:
    return _bare


def _serve_bare(port: int) -> None:
    MPServer(
        "bench.witness",
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        blocking_threads=CONNECTIONS,
        backpressure=2 * CONNECTIONS,
        log_enabled=False,
    ).serve(target_loader=_load_bare, wrap_loader=False)


@contextmanager
def _granian() -> Iterator[int]:
    port = _free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve_bare, args=(port,)
    )
    process.start()
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.join()


def _signatures(log: _Log, number: int = 3000) -> float:
    """Pairs of one check and one signature, a second, in one thread."""
    text = b"x" * 130
    signature = log.signer.raw(text)
    began = time.perf_counter()
    for _ in range(number):
        log.signer.public.check(signature, text)
        log.signer.raw(text)
    return number / (time.perf_counter() - began)


def measure(number: int = LOGS, steps: int = STEPS) -> Found:
    """Let `number` logs grow `steps` times."""
    logs = [_Log(each) for each in range(number)]
    sizes = [0, *(_FIRST + step * _GROWTH for step in range(steps + 1))]
    rounds = [[log.request(old, size) for log in logs] for old, size in pairwise(sizes)]
    growth = [request for one in rounds[1:] for request in one]
    with (
        tempfile.TemporaryDirectory() as folder,
        _witness(Path(folder) / "witness", logs) as port,
    ):
        # What was never seen comes without a proof: warms up.
        _measure(port, rounds[0])
        # Before and after: a machine is not equally fast all the time.
        alone = [_signatures(logs[0])]
        rate, latencies = _measure(port, growth)
        alone.append(_signatures(logs[0]))
    with _granian() as port:
        _measure(port, rounds[0])
        bare, _ = _measure(port, growth)
    return Found(rate, latencies, sum(alone) / len(alone), bare)


def main() -> None:
    """Measure, and print."""
    found = measure()
    print(
        f"{found.rate:,.0f} a second, p50 {found.latency(0.5) * 1e3:.1f} ms,"
        f" p99 {found.latency(0.99) * 1e3:.1f} ms;"
        f" {found.rate / found.signatures:.0%} of {found.signatures:,.0f} checks and"
        f" signatures alone, {found.rate / found.bare:.0%} of {found.bare:,.0f} of bare"
        " Granian"
    )


if __name__ == "__main__":
    main()
