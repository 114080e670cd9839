"""A log over HTTP that can lie: what readers of logs are tried with.

It speaks what log_server speaks for reading (/checkpoint, /tile/…, /api/v1/bundle,
lookup, entries), from a `MemoryLog`, with the same content types and gzip. It is honest
until a test makes it lie, in one of three places:

    log       the history that is shown: replace it, or let it sign what is false
    other     another history, shown to whoever asks at `elsewhere`
    twist     what becomes of an answer on its way: other bytes, or none, or no end

    with LogSimulator(honest(now)) as simulator:
        ...                                    # a reader asks simulator.url
        with simulator.change() as log:        # what is asked meanwhile waits
            log.release(...)
            log.seal()

tests/support/lies.py has the lies by name.
"""

import gzip
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from pcrlog.encoding import encode_json
from pcrlog.errors import MalformedError
from pcrlog.measurement import parse_measurement
from pcrlog.proof import Proof
from pcrlog.tiles import FULL, Tile, encode_bundle, parse_path
from tests.support.memory_log import MemoryLog

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
BINARY, PROBLEM = "application/octet-stream", "application/problem+json"
Manner = Literal["whole", "hangs", "drips", "endless"]
"""whole: as it should be. hangs: no answer before `release`. drips: the head, and then
a byte now and then. endless: the body, over and over."""

_FOREVER = 60.0
"""Seconds after which whoever still hangs or drips is let go; no test waits for it."""
_DRIP = 0.1
_ENDLESS = 1 << 26
"""Bytes after which an endless body ends all the same."""


@dataclass(frozen=True)
class Reply:
    """An answer: `encoding` is what its Content-Encoding says."""

    status: int
    body: bytes
    kind: str
    encoding: str = ""
    manner: Manner = "whole"
    location: str = ""


Twist = Callable[[str, Reply], Reply]
"""Path below the log's URL, without the query, and the honest answer to it: what is
answered instead."""


def refused(status: int, slug: str, detail: str) -> Reply:
    """A problem (RFC 9457), as log_server words it."""
    body = {
        "type": f"urn:pcrlog:problem:{slug}",
        "title": slug,
        "status": status,
        "detail": detail,
        "advice": "",
    }
    return Reply(status, encode_json(body), PROBLEM)


class LogSimulator:
    """A log on loopback, between `__enter__` and `__exit__`.

    `asked` is what was asked: method and path with its query, in order.
    """

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.other: MemoryLog | None = None
        self.twist: Twist | None = None
        self.asked: list[str] = []
        self.release = threading.Event()
        self._lock = threading.RLock()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the log is."""
        return f"http://127.0.0.1:{self._server.server_port}/pcr"

    @property
    def elsewhere(self) -> str:
        """Where others are sent: the same log, or `other`."""
        return f"http://127.0.0.1:{self._server.server_port}/elsewhere"

    @contextmanager
    def change(self) -> Iterator[MemoryLog]:
        """The log, to be changed: nobody sees half of it."""
        with self._lock:
            yield self.log

    # --- what is answered ------------------------------------------------------------

    def answer(self, target: str) -> Reply:
        """The answer to a GET."""
        parts = urlsplit(target)
        prefix, _, path = parts.path.lstrip("/").partition("/")
        with self._lock:
            self.asked.append(target)
            shown = {"pcr": self.log, "elsewhere": self.other or self.log}.get(prefix)
            if shown is None:
                return refused(404, "no-such-path", parts.path)
            reply = _honest(shown, path, parse_qs(parts.query))
            return self.twist(path, reply) if self.twist is not None else reply


def _honest(log: MemoryLog, path: str, query: dict[str, list[str]]) -> Reply:
    if path == "checkpoint":
        return Reply(200, log.note, TEXT)
    if path.startswith("tile/"):
        return _tile(log, path)
    word, _, rest = path.removeprefix("api/v1/").partition("/")
    routes: dict[str, Callable[[], Reply]] = {
        "bundle": lambda: Reply(200, _bundle(log, query), JSON),
        "lookup": lambda: Reply(200, _lookup(log, query), JSON),
        "entries": lambda: _entry(log, rest),
    }
    if word not in routes:
        return refused(404, "no-such-path", path)
    try:
        return routes[word]()
    except (KeyError, ValueError, MalformedError) as error:
        return refused(400, "parameter", str(error))


def _tile(log: MemoryLog, path: str) -> Reply:
    try:
        tile = parse_path(path)
        return Reply(200, tile_bytes(log, tile), BINARY)
    except (MalformedError, KeyError):
        return refused(404, "no-such-path", path)


def tile_bytes(log: MemoryLog, tile: Tile) -> bytes:
    """A file of the log; it may be narrower than the log has it.

    Raises:
        KeyError: it is not there.
    """
    start, stop = tile.index * FULL, tile.index * FULL + tile.width
    if tile.level is not None:
        return b"".join(log.node(8 * tile.level, place) for place in range(start, stop))
    if stop > len(log.leaves):
        raise KeyError(stop)
    return encode_bundle(log.leaves[start:stop])


def _bundle(log: MemoryLog, query: dict[str, list[str]]) -> bytes:
    measured = [parse_measurement(text) for text in query["measurement"]]
    [product], auditors = query["product"], query.get("auditor", ())
    names = tuple(measurement for _, measurement in measured)
    return log.bundle_about(product, measured[0][0], names, *auditors).encode()


def _lookup(log: MemoryLog, query: dict[str, list[str]]) -> bytes:
    [(kind, [value])] = query.items()
    name = f"v1/{kind}/{value}"
    return log.assemble({name: log.answer(name)}).encode()


def _entry(log: MemoryLog, rest: str) -> Reply:
    number, _, of = rest.partition("/")
    index = int(number)
    if not 0 <= index < len(log.leaves) or of not in {"", "proof"}:
        return refused(404, "no-such-entry", f"no entry {index}")
    if not of:
        leaf = log.leaves[index]
        return Reply(200, leaf, JSON if leaf.startswith(b"{") else TEXT)
    proof = Proof(index, log.path_of(index), log.note)
    return Reply(200, proof.encode(), TEXT)


def compressed(reply: Reply) -> Reply:
    """The same, gzipped."""
    return replace(reply, body=gzip.compress(reply.body, mtime=0), encoding="gzip")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, simulator: LogSimulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator

    def handle_error(self, *_: object) -> None:
        """Whoever asked has gone: a log that hangs meets that, and says nothing."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            raise error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server  # type: ignore[mutable-override] # the one that makes it

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        reply = self.server.simulator.answer(self.path)
        wanted = "gzip" in self.headers.get("Accept-Encoding", "")
        worth = reply.kind == JSON or "/tile/entries/" in self.path
        if wanted and worth and not reply.encoding and reply.manner == "whole":
            reply = compressed(reply)
        if reply.manner == "hangs":
            self.server.simulator.release.wait(_FOREVER)
            self.close_connection = True
            return
        self._begin(reply)
        if reply.manner == "whole":
            self.wfile.write(reply.body)
        elif reply.manner == "drips":
            self._drip(reply.body)
        else:
            for _ in range(_ENDLESS // max(1, len(reply.body))):
                self.wfile.write(reply.body)

    def _begin(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Access-Control-Allow-Origin", "*")
        if reply.encoding:
            self.send_header("Content-Encoding", reply.encoding)
        if reply.location:
            self.send_header("Location", reply.location)
        if reply.manner == "endless":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def _drip(self, body: bytes) -> None:
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
            if self.server.simulator.release.wait(_DRIP):
                return
