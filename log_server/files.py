"""The log itself over HTTP: /checkpoint and /tile/..., straight from the folder.

In front of Flask, since these are most of all requests and need nothing that Flask has:
asked by `bridge`, or as a WSGI function. Only a tile's one spelling is a path here, so
there is no way out of the folder and no second name for a file. A full tile never
changes and a partial one has its width in its name: both may be kept for ever; the
checkpoint never without asking.
"""

import gzip
import os
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from log_server.problems import BY_SLUG, CONTENT_TYPE
from log_server.responses import IMMUTABLE, NO_CACHE, NO_STORE, TEXT
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.tiles import parse_path

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_CHECKPOINT = "/checkpoint"
_TILES = "/tile/"
_BUNDLES = "/tile/entries/"
_BINARY = "application/octet-stream"
PUBLIC_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
)
_GZIP_LEVEL = 5
_REMEMBERED = 16_384
"""ETags: some MiB."""

Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class Files:
    """Answers for the files in `public`; as a WSGI function, hands on everything else.

    Args:
        public: the folder.
        rest: the WSGI application behind.
    """

    def __init__(self, public: Path, rest: "WSGIApplication") -> None:
        self._public = str(public)
        # Of each path: when it was written and its size, and what that hashed to.
        self._digests: dict[str, tuple[tuple[int, int], str]] = {}
        self._rest = rest

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if not self.has(path):
            return self._rest(environ, start_response)
        status, headers, body = self.answer(
            environ["REQUEST_METHOD"],
            path,
            environ.get("HTTP_ACCEPT_ENCODING", ""),
            environ.get("HTTP_IF_NONE_MATCH", ""),
        )
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is answered here, with a file or a refusal."""
        return path == _CHECKPOINT or path.startswith(_TILES)

    def is_quick(self, path: str) -> bool:
        """Whether an answer takes microseconds: some KiB, nothing to compress."""
        return self.has(path) and not path.startswith(_BUNDLES)

    def answer(self, method: str, path: str, accepted: str, had: str) -> Answer:
        """Answer for a path that is answered here.

        Args:
            method: of the request.
            path: decoded.
            accepted: its Accept-Encoding, or "".
            had: its If-None-Match, or "".
        """
        if method not in {"GET", "HEAD"}:
            return _refuse("method", f"{method} of a file")
        try:
            is_bundle = path != _CHECKPOINT and parse_path(path[1:]).level is None
            data, written = _read(self._public + path)
        except (MalformedError, OSError):
            return _refuse("no-such-path", f"no file {shown(path)}")
        digest = self._digest(path, written, data)
        compress = is_bundle and "gzip" in accepted
        tag = f'"{digest}{"-gzip" if compress else ""}"'
        headers = [
            ("Cache-Control", NO_CACHE if path == _CHECKPOINT else IMMUTABLE),
            ("ETag", tag),
            *PUBLIC_HEADERS,
        ]
        if is_bundle:
            headers.append(("Vary", "Accept-Encoding"))
        if tag in had:
            return 304, headers, b""
        if compress:
            data = gzip.compress(data, _GZIP_LEVEL, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        headers += [
            ("Content-Type", TEXT if path == _CHECKPOINT else _BINARY),
            ("Content-Length", str(len(data))),
        ]
        return 200, headers, b"" if method == "HEAD" else data

    def _digest(self, path: str, written: int, data: bytes) -> str:
        """What an ETag says of a file; of a tile it is remembered.

        A checkpoint may change twice in one tick of the file system's clock.
        """
        if path == _CHECKPOINT:
            return sha256(data).hexdigest()[:32]
        known = self._digests.get(path)
        if known is None or known[0] != (written, len(data)):
            if len(self._digests) >= _REMEMBERED:
                self._digests.clear()
            known = (written, len(data)), sha256(data).hexdigest()[:32]
            self._digests[path] = known
        return known[1]


def _read(path: str) -> tuple[bytes, int]:
    """A file, and when it was written (nanoseconds)."""
    # pathlib takes longer than all the rest of an answer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        state = os.fstat(descriptor)
        # Files are moved into place when they are whole; none grows.
        return os.read(descriptor, state.st_size), state.st_mtime_ns
    finally:
        os.close(descriptor)


def _refuse(slug: str, detail: str) -> Answer:
    problem = BY_SLUG[slug]
    body = problem.body(detail)
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", NO_STORE),
        *PUBLIC_HEADERS,
    ]
    if slug == "method":
        headers.append(("Allow", "GET, HEAD"))
    return problem.status, headers, body
