"""The log itself over HTTP: /checkpoint and /tile/..., straight from the folder.

A WSGI function in front of Flask, since these are most of all requests and need nothing
that Flask has. Only a tile's one spelling is a path here, so there is no way out of the
folder and no second name for a file. A full tile never changes and a partial one has
its width in its name: both may be kept for ever; the checkpoint never without asking.
"""

import gzip
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from log_server.problems import BY_SLUG, CONTENT_TYPE, Problem
from log_server.responses import IMMUTABLE, NO_CACHE, NO_STORE, TEXT
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.tiles import parse_path

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_CHECKPOINT = "/checkpoint"
_TILES = "/tile/"
_BINARY = "application/octet-stream"
PUBLIC_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
)
_GZIP_LEVEL = 5


class Files:
    """Answers for the files in `public`; hands on everything else."""

    def __init__(self, public: Path, rest: "WSGIApplication") -> None:
        self._public = public
        self._rest = rest

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if path != _CHECKPOINT and not path.startswith(_TILES):
            return self._rest(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            return _refuse(start_response, "method", f"{method} of a file")
        try:
            is_bundle = path != _CHECKPOINT and parse_path(path[1:]).level is None
            data = (self._public / path[1:]).read_bytes()
        except (MalformedError, OSError):
            return _refuse(start_response, "no-such-path", f"no file {shown(path)}")
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        compress = is_bundle and "gzip" in accepted
        tag = f'"{sha256(data).hexdigest()[:32]}{"-gzip" if compress else ""}"'
        headers = [
            ("Cache-Control", NO_CACHE if path == _CHECKPOINT else IMMUTABLE),
            ("ETag", tag),
            *PUBLIC_HEADERS,
        ]
        if is_bundle:
            headers.append(("Vary", "Accept-Encoding"))
        if tag in environ.get("HTTP_IF_NONE_MATCH", ""):
            start_response("304 Not Modified", headers)
            return [b""]
        if compress:
            data = gzip.compress(data, _GZIP_LEVEL, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        headers += [
            ("Content-Type", TEXT if path == _CHECKPOINT else _BINARY),
            ("Content-Length", str(len(data))),
        ]
        start_response("200 OK", headers)
        return [b"" if method == "HEAD" else data]


def _refuse(start_response: "StartResponse", slug: str, detail: str) -> list[bytes]:
    problem: Problem = BY_SLUG[slug]
    body = problem.body(detail)
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", NO_STORE),
        *PUBLIC_HEADERS,
    ]
    if slug == "method":
        headers.append(("Allow", "GET, HEAD"))
    phrase = HTTPStatus(problem.status).phrase
    start_response(f"{problem.status} {phrase}", headers)
    return [body]
