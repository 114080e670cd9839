r"""A C2SP witness for tests, written from the text of the format and nothing of ours.

It shares no line with pcrlog: notes, vkeys, checkpoints, consistency proofs and
cosignatures are read and made here a second time, from FORMATS.md sections 1, 2 and
4.2, in another way where there is one. What both sides misread alike, it would find.

    with PlainWitness("w1.example/a", [log_vkey]) as witness:
        ...  # POST <witness.url>/add-checkpoint, with <witness.vkey>
        witness.misbehave.down = True

`misbehave` (Misbehaviour) says how it is to be slow, down, broken or hostile; without
it, it is honest and complete. `latest` is what it remembers, by origin: a test may put
something else there, so that it is ahead, or shows another tree. `asked` is what it was
asked, in order.
"""

import base64
import binascii
import hashlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

LONGEST_BODY = 16_384
"""As transparency-dev's witness bounds it."""
MOST_HASHES = 63
NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
DASH = b"\xe2\x80\x94 "
SIZE_TYPE = "text/x.tlog.size"
FOREVER = 60.0
"""Seconds after which a witness that hangs gives up; no test waits for them."""


@dataclass(frozen=True)
class Reply:
    """An answer as it goes over the wire."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request: method, path, body; and the status of the answer, 0 for none."""

    method: str
    path: str
    body: bytes
    status: int


@dataclass(frozen=True)
class Latest:
    """What the witness cosigned last of one log: the size, the root, the whole note."""

    size: int
    root: bytes
    note: bytes


@dataclass
class Misbehaviour:
    """What it does wrong from now on; every part may be changed while it runs."""

    down: bool = False
    """Closes each connection without a word."""
    slow: float = 0.0
    """Seconds before it looks at a request; `release` or its end cut them short."""
    replies: list[Reply] = field(default_factory=list)
    """What it answers to the next POSTs, whatever they say, one each."""
    always: Reply | None = None
    """What it answers to every POST, after those."""
    redirect: str | None = None
    """Where it sends whoever POSTs (307, which keeps the method and the body)."""
    spoil: bool = False
    """Its cosignatures do not verify."""
    forgets: bool = False
    """Keeps nothing, and cosigns whatever the log signed: a witness that is none."""


class RefusedError(Exception):
    """Not to be cosigned; `reply` says why, as the format has it."""

    def __init__(self, status: int, body: bytes = b"", kind: str = "") -> None:
        super().__init__(status)
        headers = {"Content-Type": kind} if kind else {}
        self.reply = Reply(status, body, headers)


# --- the format ----------------------------------------------------------------------


def strict_base64(text: bytes) -> bytes:
    """Decoded; 400 unless it is spelled as encoding would spell it."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RefusedError(400) from error
    if base64.b64encode(data) != text:
        raise RefusedError(400)
    return data


def decimal(text: bytes) -> int:
    """A size; 400 for any other spelling of it."""
    if not NUMBER.fullmatch(text) or int(text) >= 2**63:
        raise RefusedError(400)
    return int(text)


def key_id(name: bytes, kind: int, public: bytes) -> bytes:
    """The four bytes that lead a signature of this key."""
    return hashlib.sha256(name + b"\n" + bytes([kind]) + public).digest()[:4]


def read_vkey(vkey: str) -> tuple[bytes, int, bytes]:
    """Name, type and public key of a vkey, its id compared."""
    name, given, rest = vkey.encode().split(b"+", 2)
    data = base64.b64decode(rest, validate=True)
    if key_id(name, data[0], data[1:]).hex().encode() != given:
        raise ValueError(vkey)
    return name, data[0], data[1:]


def read_note(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Text of a note, and name and bytes of each line; 400 if it is none."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(400) from error
    place = data.rfind(b"\n\n")
    text, block = data[: place + 1], data[place + 2 :]
    controls = any(one < 0x20 and one != 0x0A for one in data)
    if place < 0 or controls or not block.endswith(b"\n"):
        raise RefusedError(400)
    lines = []
    for row in block[:-1].split(b"\n"):
        parts = row.removeprefix(DASH).split(b" ")
        if not row.startswith(DASH) or len(parts) != 2 or not parts[0]:
            raise RefusedError(400)
        lines.append((parts[0], strict_base64(parts[1])))
    return text, lines


def read_checkpoint(text: bytes) -> tuple[bytes, int, bytes]:
    """Origin, size and root; 400 if the text is no checkpoint."""
    rows = text[:-1].split(b"\n")
    if len(rows) < 3 or b"" in rows:
        raise RefusedError(400)
    root = strict_base64(rows[2])
    if len(root) != 32:
        raise RefusedError(400)
    return rows[0], decimal(rows[1]), root


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def both_roots(
    old: int, new: int, known: bytes | None, proof: Iterator[bytes]
) -> tuple[bytes, bytes]:
    """The roots that a proof leads to: RFC 6962 2.1.2, SUBPROOF read as it stands.

    `known` is the old root while the subtree still begins the tree (b is true).
    """
    if old == new:
        root = next(proof) if known is None else known
        return root, root
    left = 1
    while left * 2 < new:
        left *= 2
    if old <= left:
        was, now = both_roots(old, left, known, proof)
        return was, node(now, next(proof))
    was, now = both_roots(old - left, new - left, None, proof)
    sibling = next(proof)
    return node(sibling, was), node(sibling, now)


def check_growth(old: Latest, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """422 unless the tree of `size` with `root` extends that of `old`."""
    empty = hashlib.sha256(b"").digest()
    if size == 0 and root != empty:
        raise RefusedError(422)
    if old.size == 0:
        if proof:
            raise RefusedError(422)
        return
    rest = iter(proof)
    try:
        was, now = both_roots(old.size, size, old.root, rest)
    except StopIteration:
        raise RefusedError(422) from None
    if next(rest, None) is not None or (was, now) != (old.root, root):
        raise RefusedError(422)


# --- the witness ---------------------------------------------------------------------


class PlainWitness:
    """A witness on loopback, in a thread of this process.

    Args:
        name: of its key.
        logs: vkeys of the logs that it knows; their names are their origins.
        seed: 32 bytes of its Ed25519 key; by default made from its name.
        clock: unix seconds.
    """

    def __init__(
        self,
        name: str,
        logs: Sequence[str] = (),
        *,
        seed: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        seed = hashlib.sha256(name.encode()).digest() if seed is None else seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._name = name.encode()
        public = self._private.public_key().public_bytes_raw()
        self._id = key_id(self._name, 4, public)
        tail = base64.b64encode(b"\x04" + public).decode()
        self.vkey = f"{name}+{self._id.hex()}+{tail}"
        self.misbehave = Misbehaviour()
        self.latest: dict[str, Latest] = {}
        self.asked: list[Asked] = []
        self.release = threading.Event()
        self._clock = clock
        self._keys: dict[bytes, list[bytes]] = {}
        for vkey in logs:
            self.add_log(vkey)
        # Compare and store are one step; so is the change of `asked`.
        self._lock = threading.Lock()
        self._ended = False
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self) -> str:
        """The prefix of both its submissions and its monitoring."""
        return f"http://127.0.0.1:{self._server.server_port}/w"

    def add_log(self, vkey: str) -> None:
        """Know one log more, by a key of type 0x01."""
        name, kind, public = read_vkey(vkey)
        if kind != 1:
            raise ValueError(vkey)
        self._keys.setdefault(name, []).append(public)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Connections that are kept open outlive the server, and answer no more.
        self._ended = True
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def posts(self) -> list[Asked]:
        """The add-checkpoints that it was asked."""
        return [one for one in self.asked if one.method == "POST"]

    def answer(self, method: str, path: str, body: bytes) -> Reply | None:
        """What it answers; None to break off."""
        self.release.wait(min(self.misbehave.slow, FOREVER))
        reply = None
        if not self.misbehave.down and not self._ended:
            reply = self._show(path) if method == "GET" else self._told(path, body)
        with self._lock:
            status = reply.status if reply else 0
            self.asked.append(Asked(method, path, body, status))
        return reply

    def _show(self, path: str) -> Reply:
        for origin, latest in self.latest.items():
            named = hashlib.sha256(origin.encode()).hexdigest()
            if path == f"/w/{named}/checkpoint":
                kind = {"Content-Type": "text/plain; charset=utf-8"}
                return Reply(200, latest.note, kind)
        return Reply(404)

    def _told(self, path: str, body: bytes) -> Reply:
        if self.misbehave.replies:
            return self.misbehave.replies.pop(0)
        if self.misbehave.redirect is not None:
            return Reply(307, headers={"Location": self.misbehave.redirect})
        if self.misbehave.always is not None:
            return self.misbehave.always
        if path != "/w/add-checkpoint":
            return Reply(404)
        try:
            return Reply(200, self._add(body))
        except RefusedError as error:
            return error.reply

    def _add(self, body: bytes) -> bytes:
        head, blank, note = body.partition(b"\n\n")
        first, *rows = head.split(b"\n")
        if len(body) > LONGEST_BODY or not blank or not first.startswith(b"old "):
            raise RefusedError(400)
        old = decimal(first[4:])
        proof = [strict_base64(row) for row in rows]
        if len(proof) > MOST_HASHES or any(len(one) != 32 for one in proof):
            raise RefusedError(400)
        text, lines = read_note(note)
        origin, size, root = read_checkpoint(text)
        signed = self._signed(origin, text, lines)
        if old > size:
            raise RefusedError(400)
        with self._lock:
            return self._cosign(signed, old, proof, Latest(size, root, text))

    def _signed(
        self, origin: bytes, text: bytes, lines: list[tuple[bytes, bytes]]
    ) -> list[bytes]:
        """The origin, and the log's own lines of a note, each verified; 404, 403."""
        if origin not in self._keys:
            raise RefusedError(404)
        kept = [origin]
        for public in self._keys[origin]:
            mine = key_id(origin, 1, public)
            for name, data in lines:
                if (name, data[:4]) != (origin, mine):
                    continue
                try:
                    key = Ed25519PublicKey.from_public_bytes(public)
                    key.verify(data[4:], text)
                except InvalidSignature:
                    raise RefusedError(403) from None
                kept.append(DASH + name + b" " + base64.b64encode(data) + b"\n")
        if len(kept) == 1:
            raise RefusedError(403)
        return kept

    def _cosign(
        self, signed: list[bytes], old: int, proof: list[bytes], new: Latest
    ) -> bytes:
        origin = signed[0].decode()
        seen = self.latest.get(origin, Latest(0, b"", b""))
        if not self.misbehave.forgets:
            if old != seen.size:
                raise RefusedError(409, b"%d\n" % seen.size, SIZE_TYPE)
            check_growth(seen, new.size, new.root, proof)
        seconds = int(self._clock())
        message = b"cosignature/v1\ntime %d\n" % seconds + new.note
        signature = bytearray(self._private.sign(message))
        signature[0] ^= self.misbehave.spoil
        data = self._id + seconds.to_bytes(8, "big") + signature
        line = DASH + self._name + b" " + base64.b64encode(data) + b"\n"
        note = new.note + b"\n" + b"".join(signed[1:]) + line
        self.latest[origin] = Latest(new.size, new.root, note)
        return line


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, witness: PlainWitness) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.witness = witness

    def handle_error(self, *_: object) -> None:
        """Whoever asked has gone: a slow witness meets that, and says nothing."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            raise error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        reply = server.witness.answer(self.command, self.path, body)
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_GET  # noqa: N815 - its name is http.server's

    def log_message(self, *_: object) -> None:
        pass
