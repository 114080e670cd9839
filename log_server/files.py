"""The log itself over HTTP: /checkpoint and /tile/..., straight from the folder.

Or from log.db, if the log has no such folder. In front of Flask, since these are most
of all requests and need nothing that Flask has: asked by `bridge`, or as a WSGI
function. Only a tile's one spelling is a path here, so there is no way out of the
folder and no second name for a file.
"""

import gzip
import os
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from log_server.disk import fault_of
from log_server.headers import BINARY, IMMUTABLE, NO_CACHE, TEXT
from log_server.problems import BY_SLUG, CONTENT_TYPE
from log_server.responses import NO_STORE
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.tiles import Tile, parse_path

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_CHECKPOINT = "/checkpoint"
_TILES = "/tile/"
_BUNDLES = "/tile/entries/"
PUBLIC_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
)
_WITH_REFUSAL = {
    "method": (("Allow", "GET, HEAD"),),
    "storage": (("Retry-After", "2"),),
}
_GZIP_LEVEL = 5
_REMEMBERED = 16_384
"""ETags: some MiB."""

Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class Source(Protocol):
    """Where the files are read from."""

    @property
    def is_quick(self) -> bool:
        """Whether to read one takes microseconds."""

    def read(self, path: str, tile: Tile | None, /) -> tuple[bytes, int]:
        """A file's bytes, and a number that is another if a tile is made anew.

        Args:
            path: with the slash in front.
            tile: which one that is; None for the checkpoint.

        Raises:
            OSError: there is none.
        """


class FolderFiles:
    """The files in a folder; for any thread.

    Args:
        public: the folder.
    """

    is_quick = True

    def __init__(self, public: Path) -> None:
        self._public = str(public)

    def read(self, path: str, _tile: Tile | None) -> tuple[bytes, int]:
        """A file, and when it was written (nanoseconds)."""
        # pathlib takes longer than all the rest of an answer.
        descriptor = os.open(self._public + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            state = os.fstat(descriptor)
            # Files are moved into place when they are whole; none grows.
            return os.read(descriptor, state.st_size), state.st_mtime_ns
        finally:
            os.close(descriptor)


class Files:
    """Answers for the files of a log; as a WSGI function, hands on everything else.

    Args:
        source: where they are read from.
        rest: the WSGI application behind.
    """

    def __init__(self, source: Source, rest: "WSGIApplication") -> None:
        self._source = source
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
        return (
            self._source.is_quick and self.has(path) and not path.startswith(_BUNDLES)
        )

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
            tile = None if path == _CHECKPOINT else parse_path(path[1:])
            data, written = self._source.read(path, tile)
        except (MalformedError, OSError):
            return _refuse("no-such-path", f"no file {shown(path)}")
        except Exception as error:
            if fault_of(error) is None:
                raise
            return _refuse("storage", "it cannot be read at the moment")
        is_bundle = tile is not None and tile.level is None
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
            ("Content-Type", TEXT if path == _CHECKPOINT else BINARY),
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


def _refuse(slug: str, detail: str) -> Answer:
    problem = BY_SLUG[slug]
    body = problem.body(detail)
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", NO_STORE),
        *PUBLIC_HEADERS,
    ]
    headers += _WITH_REFUSAL.get(slug, ())
    return problem.status, headers, body
