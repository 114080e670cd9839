"""/verify: the page that checks in the browser (web/page, web/verifier).

It is served as the file that a person can keep, byte for byte, so that its SHA-256 is
the same wherever it came from; nothing of this log stands in it. In a wheel it lies
beside this module, made with the wheel; in a working copy it is made of the sources.
"""

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from flask import Response, request

from log_server.headers import NO_CACHE
from log_server.pages.assembly import assemble, policy_of

NAME = "verify.html"
_LEVEL = 9


@cache
def whole() -> bytes:
    """The file."""
    made = files("log_server.pages").joinpath(NAME)
    if made.is_file():
        return made.read_bytes()
    return assemble(Path(__file__).parents[2])


@cache
def _compressed() -> bytes:
    return gzip.compress(whole(), _LEVEL, mtime=0)


def page() -> Response:
    """The answer, with the file's own policy once more, in a header."""
    answer = Response(whole(), content_type="text/html; charset=utf-8")
    policy = policy_of(whole())
    answer.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
    # Whoever opened it keeps no hold of its window, to put another page there.
    answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    answer.headers["Cache-Control"] = NO_CACHE
    answer.headers["Vary"] = "Accept-Encoding"
    answer.set_etag(sha256(whole()).hexdigest())
    if request.accept_encodings["gzip"] > 0:
        answer.set_data(_compressed())
        answer.headers["Content-Encoding"] = "gzip"
        answer.set_etag(f"{sha256(whole()).hexdigest()}-gzip")
    answer.make_conditional(request)
    return answer
