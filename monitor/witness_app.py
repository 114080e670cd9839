"""A witness over HTTP (C2SP tlog-witness): a small WSGI application.

    POST      <prefix>/add-checkpoint                     pcrlog/witness.py
    GET HEAD  <prefix>/<hex SHA-256 of the origin>/checkpoint

A body over `witness.REQUEST` bytes is 413, whether its length was announced or not; no
Content-Type is asked for, as the format asks for none. Other paths are those of
`beside`: the pages of an index monitor, or the health and metrics of a plain witness.
"""

import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from monitor.witness import TEXT, Reply, Witness
from pcrlog.witness import ADD_CHECKPOINT, REQUEST

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
"""A WSGI application."""

_STATUS = {one.value: f"{one.value} {one.phrase}" for one in HTTPStatus}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SAFE = ("X-Content-Type-Options", "nosniff")


def respond(
    environ: Environ,
    start_response: StartResponse,
    reply: Reply,
    *more: tuple[str, str],
) -> list[bytes]:
    """Answer with these bytes, or for HEAD with none; `more` headers."""
    headers = [
        ("Content-Type", reply.content_type),
        ("Content-Length", str(len(reply.body))),
        _SAFE,
        *more,
    ]
    if reply.retry_after is not None:
        headers.append(("Retry-After", str(reply.retry_after)))
    start_response(_STATUS[reply.status], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def not_found(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """There is nothing at this path."""
    return respond(environ, start_response, Reply.refusal(404, "no such path"))


def create_witness_app(
    witness: Witness,
    registry: CollectorRegistry,
    prefix: str = "",
    beside: App = not_found,
) -> App:
    """The application of a witness.

    Args:
        witness: answers add-checkpoint.
        registry: gets `pcrlog_witness_requests_total` by status, and
            `pcrlog_witness_seconds`.
        prefix: "" or "/path".
        beside: answers at all other paths.
    """
    return _WitnessApp(_Submissions(witness, registry), witness, prefix, beside)


class _Submissions:
    """Answers add-checkpoint, and counts."""

    def __init__(self, witness: Witness, registry: CollectorRegistry) -> None:
        self._witness = witness
        self._requests = Counter(
            "pcrlog_witness_requests",
            "add-checkpoints answered",
            ["status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pcrlog_witness_seconds",
            "How long they took",
            buckets=_BUCKETS,
            registry=registry,
        )

    def answer(self, environ: Environ) -> Reply:
        began = time.perf_counter()
        body = environ["wsgi.input"].read(REQUEST + 1)
        if len(body) > REQUEST:
            reply = Reply.refusal(413, f"a body of more than {REQUEST} bytes")
        else:
            reply = self._witness.add_checkpoint(body)
        self._requests.labels(reply.status).inc()
        self._seconds.observe(time.perf_counter() - began)
        return reply


class _WitnessApp:
    def __init__(
        self, submissions: _Submissions, witness: Witness, prefix: str, beside: App
    ) -> None:
        self._submissions = submissions
        self._witness = witness
        self._submit = f"{prefix}/{ADD_CHECKPOINT}"
        self._shown = re.compile(f"{re.escape(prefix)}/([0-9a-f]{{64}})/checkpoint")
        self._beside = beside

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == self._submit:
            if method != "POST":
                return _not_allowed(environ, start_response, "POST")
            reply = self._submissions.answer(environ)
            return respond(environ, start_response, reply)
        shown = self._shown.fullmatch(path)
        if shown is None:
            return self._beside(environ, start_response)
        if method not in ("GET", "HEAD"):
            return _not_allowed(environ, start_response, "GET, HEAD")
        reply, fresh = self._latest(shown[1]), ("Cache-Control", "no-cache")
        return respond(environ, start_response, reply, fresh)

    def _latest(self, digest: str) -> Reply:
        note = self._witness.latest(digest)
        if note is None:
            return Reply.refusal(404, "nothing was cosigned of a log with this digest")
        return Reply(200, TEXT, note)


def _not_allowed(
    environ: Environ, start_response: StartResponse, allowed: str
) -> list[bytes]:
    message = f"{environ['REQUEST_METHOD']} is not for this path; {allowed} is"
    reply = Reply.refusal(405, message)
    return respond(environ, start_response, reply, ("Allow", allowed))
