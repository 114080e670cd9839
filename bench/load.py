"""Load for benches: HTTP requests over connections that are kept, as fast as answered.

The client must cost little, since it shares the machine with what it measures: requests
are made before, answers are read as far as is needed to know where they end.

    closed loop    each connection sends the next request when it has its answer
    open loop      requests begin at their times, answered or not: latencies under load
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

CONNECTIONS = 64


@dataclass(frozen=True)
class Loaded:
    """Answers a second, latencies in seconds, ascending, how many of which status."""

    rate: float
    latencies: list[float]
    statuses: dict[int, int]

    def latency(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        last = len(self.latencies) - 1
        return self.latencies[min(last, int(share * len(self.latencies)))]


def post(path: str, body: bytes, kind: str = "application/json") -> bytes:
    """A request's bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str, *headers: str) -> bytes:
    """A request's bytes."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{lines}\r\n".encode()


class _Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered."""

    def __init__(
        self, requests: Iterator[tuple[float, bytes]], found: list[tuple[float, int]]
    ) -> None:
        self._requests = requests
        self._found = found
        self._data = b""
        self._began = 0.0
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        when, request = next(self._requests, (0.0, b""))
        if not request:
            self._transport.close()
            self.done.set_result(None)
            return
        wait = when - time.perf_counter() if when else 0.0
        if wait > 0:
            self._loop.call_later(wait, self._send, when, request)
        else:
            # Late: it counts from when it should have been sent.
            self._send(when or time.perf_counter(), request)

    def _send(self, began: float, request: bytes) -> None:
        self._began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        if not blank or not _is_whole(head.lower(), body):
            return
        taken = time.perf_counter() - self._began
        self._found.append((taken, int(head[9:12])))
        self._data = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("closed too early"))


def _is_whole(head: bytes, body: bytes) -> bool:
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        return len(body) >= int(length)
    return body.endswith(b"0\r\n\r\n")


async def _drive(
    port: int, requests: Iterable[tuple[float, bytes]], connections: int
) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = []
    loop, left = asyncio.get_running_loop(), iter(requests)
    made = [
        await loop.create_connection(
            lambda: _Connection(left, found), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    return found


def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int = CONNECTIONS,
    rate: float | None = None,
) -> Loaded:
    """Send requests; with `rate`, so many a second, whatever comes back."""
    began = time.perf_counter()
    if rate is None:
        timed: Iterable[tuple[float, bytes]] = ((0.0, one) for one in requests)
    else:
        gap = 1 / rate
        timed = ((began + n * gap, one) for n, one in enumerate(requests))
    found = asyncio.run(_drive(port, timed, connections))
    took = time.perf_counter() - began
    statuses: dict[int, int] = {}
    for _, status in found:
        statuses[status] = statuses.get(status, 0) + 1
    return Loaded(len(found) / took, sorted(each for each, _ in found), statuses)
