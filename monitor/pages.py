"""What a monitor shows over HTTP: a page for people, and the same for programs.

    /                   the status page; no script, nothing from elsewhere
    /feed.atom          the newest alerts (feed.py)
    /metrics            for Prometheus (metrics.py)
    /healthz            JSON: whether this monitor looks, and is heard; 200 or 503
    /checkpoint         the last verified checkpoint: what other monitors compare with
    /evidence/<name>    pcrlog-evidence/v1 files
    POST /check         compares a checkpoint or bundle with what is verified

All of it can be read by whoever reaches the port; what a log or a sink said is quoted,
never believed. The state is read by connections of a request's own.
"""

import hashlib
import logging
import math
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from flask import Flask, Response, render_template, request
from msgspec import Struct
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from monitor import feed
from monitor.alerts import KINDS
from monitor.config import Config
from monitor.evidence_files import SUFFIX
from monitor.metrics import CONTENT_TYPE, Metrics
from monitor.overview import Overview
from monitor.state import Round
from pcrlog import limits
from pcrlog.encoding import encode_json, format_time, printable

Check: TypeAlias = Callable[[bytes], tuple[int, Mapping[str, object]]]
"""Compares what was handed in: to an HTTP status and what to say as JSON."""

_log = logging.getLogger(__name__)
_EVIDENCE = re.compile(r"[0-9a-z-]{1,100}" + re.escape(SUFFIX))
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"
_BAD_REQUEST, _NOT_FOUND, _TOO_LARGE = 400, 404, 413
_PLOTTED = 120
_HEIGHT, _LOWEST = 56, 3
_LONGEST_MS = 60_000
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
_HEADLINES = {
    "verified": ("Verified", "Every leaf, every seal and the whole index are checked."),
    "wrong": ("Something is wrong", "The history is whole; see what is wrong below."),
    "blind": ("Not watching", "Nobody here sees what the log does now."),
    "lied": ("This log has lied", "Do not rely on it; the evidence is below."),
}


class Bar(Struct, frozen=True):
    """A round as the plot shows it."""

    x: int
    y: float
    height: float
    outcome: str
    words: str


def create_pages(
    config: Config,
    clock: Callable[[], int],
    check: Check | None = None,
    registry: CollectorRegistry | None = None,
) -> Flask:
    """The WSGI application.

    Args:
        config: whose state to show.
        clock: unix seconds.
        check: what answers `POST /check`; without it there is none.
        registry: has the metrics of whatever is served beside it.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a path has one spelling
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"utc": format_time, "span": span, "plain": printable}
    _add_page(app, config, clock, can_check=check is not None)
    _add_files(app, config)
    _add_numbers(app, config, Metrics(config, clock, registry), clock)
    if check is not None:
        _add_check(app, check)
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, _failed)
    app.after_request(_secure)
    return app


def span(seconds: float) -> str:
    """A time in words as short as people take them.

    >>> [span(s) for s in (-4, 59, 60, 7300, 200_000)]
    ['0 s', '59 s', '1 min', '2 h', '2 d']
    """
    for size, name in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{max(0, int(seconds))} s"


def _add_page(
    app: Flask, config: Config, clock: Callable[[], int], *, can_check: bool
) -> None:
    style = (Path(__file__).parent / "templates" / "status.css").read_bytes()
    # Its name changes with it: a browser may keep it.
    version = hashlib.sha256(style).hexdigest()[:12]

    @app.get("/")
    def page() -> str:
        seen, now = Overview.read(config), clock()
        word = seen.word(now)
        title, words = _HEADLINES[word]
        return render_template(
            "status.html",
            seen=seen,
            now=now,
            word=word,
            title=title,
            words=words,
            kinds=KINDS,
            clean=seen.clean_age(now),
            bars=plot(seen.rounds[:_PLOTTED]),
            counts=Overview(log="", rounds=seen.rounds[:_PLOTTED]).outcomes(),
            version=version,
            can_check=can_check,
        )

    @app.get(f"/status-{version}.css")
    def stylesheet() -> Response:
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(style, headers=kept, content_type="text/css; charset=utf-8")


def plot(rounds: tuple[Round, ...]) -> list[Bar]:
    """The bars of the rounds, newest last, at the right: how long each one took.

    Heights are logarithmic: a millisecond is the lowest, a minute the whole height.
    """
    bars = []
    for place, one in enumerate(reversed(rounds), _PLOTTED - len(rounds)):
        part = math.log(max(one.took_ms, 1)) / math.log(_LONGEST_MS)
        height = _LOWEST + (_HEIGHT - _LOWEST) * min(part, 1.0)
        words = f"{format_time(one.time)}, {one.took_ms} ms: {printable(one.found)}"
        bars.append(
            Bar(
                place * 6,
                round(_HEIGHT - height, 1),
                round(height, 1),
                one.outcome,
                words,
            )
        )
    return bars


def _add_files(app: Flask, config: Config) -> None:
    @app.get("/feed.atom")
    def atom() -> Response:
        seen = Overview.read(config)
        made = Response(
            feed.feed(seen.log, seen.alerts), content_type=feed.CONTENT_TYPE
        )
        made.add_etag()
        made.make_conditional(request)
        return made

    @app.get("/checkpoint")
    def checkpoint() -> Response:
        note = Overview.read(config, alerts=0).verified.note
        if not note:
            words = "no checkpoint of this log is verified yet\n"
            return Response(words, _NOT_FOUND, content_type=_TEXT)
        # Other monitors' pages may fetch it as well.
        shared = {"Access-Control-Allow-Origin": "*"}
        return Response(note, headers=shared, content_type=_TEXT)

    @app.get("/evidence/<name>")
    def evidence(name: str) -> Response:
        path = config.state / "evidence" / name
        if not _EVIDENCE.fullmatch(name) or path.is_symlink() or not path.is_file():
            words = "no evidence of this name\n"
            return Response(words, _NOT_FOUND, content_type=_TEXT)
        return Response(path.read_bytes(), content_type=_JSON)


def _add_numbers(
    app: Flask, config: Config, metrics: Metrics, clock: Callable[[], int]
) -> None:

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/healthz")
    def healthz() -> Response:
        seen, now = Overview.read(config, alerts=0), clock()
        failing = [one.name for one in seen.sinks if one.failing is not None]
        last = seen.rounds[0] if seen.rounds else None
        ok = seen.looks(now) and not failing
        shown: dict[str, Any] = {
            "ok": ok,
            "log": seen.log,
            "size": seen.verified.size,
            "sealed": seen.verified.sealed,
            "state": seen.word(now),
            "round": None if last is None else last.time,
            "found": None if last is None else last.found,
            "conditions": [one.kind for one in seen.conditions],
            "sinks_failing": failing,
        }
        return Response(encode_json(shown), 200 if ok else 503, content_type=_JSON)


def _add_check(app: Flask, check: Check) -> None:
    @app.post("/check")
    def compare() -> Response:
        # Werkzeug cuts a chunked body off at its limit without a word, so it is given
        # one byte more than we take.
        request.max_content_length = limits.BUNDLE + 1
        try:
            data = request.stream.read(limits.BUNDLE + 1)
        except RequestEntityTooLarge:
            data = bytes(limits.BUNDLE + 1)
        if len(data) > limits.BUNDLE:
            words = f"expected at most {limits.BUNDLE} bytes"
            return _answer(_TOO_LARGE, {"error": words})
        if not data:
            words = "expected a checkpoint or a bundle as the body"
            return _answer(_BAD_REQUEST, {"error": words})
        return _answer(*check(data))


def _answer(status: int, shown: Mapping[str, object]) -> Response:
    return Response(encode_json(shown), status, content_type=_JSON)


def _not_served(error: HTTPException) -> Response:
    wanted = {"Allow", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in wanted}
    words = f"{error.name}\n"
    return Response(words, error.code or 500, headers, content_type=_TEXT)


def _failed(error: Exception) -> Response:
    """A mistake of ours: the log has the traceback, the client an id to name it by."""
    number = secrets.token_hex(8)
    _log.error("request %s failed", number, exc_info=error)
    return Response(f"internal error, id {number}\n", 500, content_type=_TEXT)


def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
