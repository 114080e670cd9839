"""Who lives in the storm: submitters, a reader, and the wire between log and witness.

They are threads of the storm's own process, which nobody kills: what they were told is
known for certain, whatever happens to those who told it. What cannot be true at any
moment, however many processes are dead, goes into `World.broken`.
"""

import contextlib
import http.client
import json
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import sha256
from pcrlog.errors import PcrlogError
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import FULL, Tile, parse_bundle
from pcrlog.witness import AddCheckpoint
from tests.support.audit import Told
from tests.unit.log_server.parties import Party

SECONDS = 40
"""Longer than any answer may take."""
_PAUSE, _LOOK = 0.02, 0.005
"""Seconds between two submissions of one thread, and two looks of the reader."""
_BUILDS = 500
_OK, _CREATED, _PROMISED, _NOT_FOUND = 200, 201, 202, 404
_REFUSED = {409, 410, 429}
_FAILED = (OSError, http.client.HTTPException)


@dataclass
class World:
    """What all share: the log's port and folder, what it told, what cannot be."""

    port: int
    public: Path
    told: Told = field(default_factory=Told)
    broken: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    answers: int = 0
    unanswered: int = 0

    def ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """One request to the log.

        Raises:
            OSError, HTTPException: nobody answered.
        """
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(line):
            headers = {"Content-Type": "application/json"} if body else {}
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, answer.read()

    def decided(self, envelope: bytes) -> bool:
        """Ask what became of a promise; whether it is published, or refused."""
        path = f"/api/v1/submissions/{sha256(envelope).hex()}"
        status, body = self.ask("GET", path)
        state = json.loads(body)
        if status != _OK:
            self.broken.append(f"a promise is not known: {status} {body!r}")
        elif state["state"] == "refused":
            slug = state["problem"]["type"].rpartition(":")[2]
            self.told.refusal(envelope, slug)
            return True
        elif "index" in state:
            self.told.receipt(envelope, state["index"])
            return bool(state["state"] == "published")
        return False


# --- submitters ----------------------------------------------------------------------


class Provider:
    """Makes the releases of one provider, for any number of threads."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self._lock = threading.Lock()
        self._count = 0

    def release(self, chance: random.Random) -> tuple[bytes, bool]:
        """A release, and whether its conflict is meant.

        One of five speaks of the newest version again, and of another build.
        """
        with self._lock:
            conflicts = self._count > 0 and chance.random() < 0.2
            self._count += not conflicts
            version = f"{self._count}.0.0"
        envelope = self._party.release(chance.randrange(_BUILDS), version)
        return envelope, chance.random() < 0.1


class Guarded(threading.Thread):
    """A thread whose error is a broken promise of its own, not a line on stderr."""

    def __init__(self, world: World, work: Callable[[], object]) -> None:
        super().__init__()
        self._broken = world.broken
        self._work = work

    def run(self) -> None:
        """Do the work."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - of whatever kind it is
            self._broken.append("".join(traceback.format_exception(error)))


class Submitter:
    """Submits, repeats, and asks what became of what it was promised."""

    def __init__(self, world: World, provider: Provider, seed: int) -> None:
        self._world = world
        self._provider = provider
        self._chance = random.Random(seed)
        self._sent: list[tuple[bytes, bool]] = []
        self._promised: list[bytes] = []

    def work(self) -> None:
        """Until the storm ends."""
        while not self._world.ended.wait(self._chance.random() * 2 * _PAUSE):
            try:
                self._once()
                self._world.answers += 1
            except _FAILED:
                self._world.unanswered += 1
                # Nobody is there: it takes a while.
                self._world.ended.wait(0.1)

    def _once(self) -> None:
        what = self._chance.random()
        if what < 0.15 and self._promised:
            self._world.decided(self._chance.choice(self._promised))
        elif what < 0.25 and self._sent:
            self._submit(*self._chance.choice(self._sent[-20:]))
        else:
            self._sent.append(self._provider.release(self._chance))
            self._submit(*self._sent[-1])

    def _submit(self, envelope: bytes, conflict: bool) -> None:  # noqa: FBT001 - of a pair
        wait = self._chance.choice((0, 0, 1, 5))
        query = f"?wait={wait}" + ("&conflict=accept" if conflict else "")
        status, body = self._world.ask("POST", f"/api/v1/entries{query}", envelope)
        if status in {_OK, _CREATED}:
            self._world.told.receipt(envelope, json.loads(body)["index"])
        elif status == _PROMISED:
            self._world.told.promise(envelope)
            self._promised.append(envelope)
        elif status not in _REFUSED:
            self._world.broken.append(f"a submission was answered {status} {body!r}")


# --- reader --------------------------------------------------------------------------


class Reader:
    """Records every checkpoint it ever sees, over HTTP and as the file that it is.

    What a checkpoint covers can be read at that moment: it tries the newest entries.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: set[bytes] = set()

    def work(self) -> None:
        """Until the storm ends."""
        while not self._world.ended.wait(_LOOK):
            self._look((self._world.public / "checkpoint").read_bytes(), self._file)
            with contextlib.suppress(*_FAILED):
                self._look(self._page("checkpoint"), self._page)

    def _look(self, note: bytes, read: Callable[[str], bytes]) -> None:
        self._world.told.show(note)
        if note in self._seen:
            return
        self._seen.add(note)
        size = Checkpoint.parse(UnverifiedNote.parse(note).text).size
        last = Tile(None, (size - 1) // FULL, (size - 1) % FULL + 1)
        try:
            entries = parse_bundle(read(last.path()), last.width)
        except FileNotFoundError:
            # The full one stands by now, and partial ones may go.
            full = Tile(None, last.index)
            entries = parse_bundle(read(full.path()), FULL)[: last.width]
        except PcrlogError as error:
            self._world.broken.append(f"entries of {size} leaves: {error}")
            return
        if not entries[-1].startswith(b"pcrlog/seal/v1\n"):
            self._world.broken.append(f"{size} leaves do not end in a seal")

    def _file(self, path: str) -> bytes:
        return (self._world.public / path).read_bytes()

    def _page(self, path: str) -> bytes:
        status, body = self._world.ask("GET", f"/{path}")
        if status == _NOT_FOUND:
            raise FileNotFoundError(path)
        if status != _OK:
            self._world.broken.append(f"{path} was answered {status} {body!r}")
        return body


# --- the wire ------------------------------------------------------------------------


class Wire(ThreadingHTTPServer):
    """Stands between the log and its witness, and records what the log asks.

    The witness may be anywhere, and elsewhere each time, or nowhere.
    """

    daemon_threads = True

    def __init__(self, told: Told, address: str) -> None:
        super().__init__((address, 0), _Handler)
        self.told = told
        self.witness = 0

    def handle_error(self, *_: object) -> None:
        """Whoever asked was killed meanwhile."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        wire = self.server
        assert isinstance(wire, Wire)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        wire.told.show(AddCheckpoint.parse(body).note)
        try:
            answer, found = self._forward(wire.witness, body)
        except _FAILED:
            # As if nobody had listened: no answer at all.
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name in ("Content-Type", "Retry-After"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def _forward(
        self, port: int, body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        with contextlib.closing(line):
            line.request("POST", self.path, body)
            answer = line.getresponse()
            return answer, answer.read()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def wired(told: Told, address: str = "127.0.0.1") -> Iterator[tuple[Wire, str]]:
    """The wire, and where a log on this machine finds it."""
    wire = Wire(told, address)
    thread = threading.Thread(target=wire.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield wire, f"http://127.0.0.1:{wire.server_port}"
    finally:
        wire.shutdown()
        thread.join()
        wire.server_close()


def until(condition: Callable[[], object], what: str, world: World) -> None:
    """Wait for what has to come; what fails meanwhile is tried again."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(*_FAILED):
            if condition():
                return
        time.sleep(0.02)
    world.broken.append(f"never came: {what}")
