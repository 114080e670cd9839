"""The pages' paths. None of them collides with what programs read.

    /                                  home
    /search?q=…                        leads on, or lists
    /entries                           all statements, newest first
    /entry/<index>                     one entry
    /compare/<older>/<newer>           two releases, by index
    /product/<provider>/<name>         and feed.atom below it
    /measurement/<platform>/<M>
    /component/<sha256>                a measurement, of platform `artifact`
    /identity/<name>                   and feed.atom below it
    /status
    /verify                            checks in the browser; the same file everywhere
    /feed.atom                         of the whole log
    /badge/<provider>/<name>.svg
    /icon.svg

Lists go on with ?before=<index>.

Parameters are strict, as everywhere: one spelling, known, and once.
"""

import re
from collections.abc import Callable

from flask import Blueprint, Response, abort, request
from prometheus_client import CollectorRegistry

from log_server.pages import (
    badge,
    entry,
    feeds,
    finding,
    home,
    identity,
    measured,
    product,
    status,
    verifying,
)
from log_server.pages.desk import Desk
from log_server.problems import BY_SLUG, NoEntryError, ParameterError, problem_of
from log_server.responses import decimal, parameters
from log_server.status_api import Health
from pcrlog.encoding import shown
from pcrlog.errors import PcrlogError
from pcrlog.gather import ARTIFACT
from pcrlog.measurement import parse_measurement
from pcrlog.predicates import NAME, PRODUCT

_DAY = 86_400
_LONGEST = 160
"""Characters of a name or product, and more: neither pattern reads longer ones."""


def blueprint(
    desk: Desk, health: Callable[[], Health], registry: CollectorRegistry
) -> Blueprint:
    """The routes.

    Args:
        desk: what pages are made with.
        health: how the server is now.
        registry: its metrics.
    """
    routes = Blueprint("pages", __name__)
    routes.before_request(_require_one_slash)
    _add_ways_in(routes, desk)
    _add_things(routes, desk)
    _add_feeds(routes, desk)

    @routes.get("/status")
    def server() -> Response:
        parameters(request, ())
        found = health()
        with desk.read() as reading:
            return status.page(desk, reading, found, registry)

    routes.register_error_handler(PcrlogError, lambda error: _refused(desk, error))
    return routes


def _add_ways_in(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/")
    def first() -> Response:
        parameters(request, ())
        with desk.read() as reading:
            return home.page(desk, reading)

    @routes.get("/entries")
    def all_entries() -> Response:
        with desk.read() as reading:
            return home.entries(desk, reading, before())

    @routes.get("/entry/<index>")
    def one_entry(index: str) -> Response:
        parameters(request, ())
        with desk.read() as reading:
            return entry.page(desk, reading, decimal("index", index))

    @routes.get("/search")
    def search() -> Response:
        [asked] = parameters(request, ("q",)).get("q", [""])
        if len(asked) > finding.LONGEST:
            message = f"q has {len(asked)} characters, at most {finding.LONGEST}"
            raise ParameterError(message)
        with desk.read() as reading:
            return finding.page(desk, reading, asked)

    @routes.get("/verify")
    def verify() -> Response:
        parameters(request, ())
        return verifying.page()

    @routes.get("/icon.svg")
    def icon() -> Response:
        parameters(request, ())
        return desk.render.picture("icon", _DAY)


def _add_things(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/product/<provider>/<name>")
    def one_product(provider: str, name: str) -> Response:
        found = _product(provider, name)
        with desk.read() as reading:
            return product.page(desk, reading, found, before())

    @routes.get("/compare/<older>/<newer>")
    def two_releases(older: str, newer: str) -> Response:
        parameters(request, ())
        pair = decimal("older", older), decimal("newer", newer)
        with desk.read() as reading:
            return product.compare(desk, reading, *pair)

    @routes.get("/measurement/<platform>/<measurement>")
    def one_measurement(platform: str, measurement: str) -> Response:
        parameters(request, ())
        found = parse_measurement(f"{platform}/{measurement}")
        with desk.read() as reading:
            return measured.page(desk, reading, *found)

    @routes.get("/component/<digest>")
    def one_component(digest: str) -> Response:
        parameters(request, ())
        found = parse_measurement(f"{ARTIFACT}/digest=sha256:{digest}")
        with desk.read() as reading:
            return measured.page(desk, reading, *found)

    @routes.get("/identity/<name>")
    def one_identity(name: str) -> Response:
        _require(NAME, name)
        with desk.read() as reading:
            return identity.page(desk, reading, name, before())


def _add_feeds(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/feed.atom")
    def feed() -> Response:
        parameters(request, ())
        with desk.read() as reading:
            return feeds.of_log(desk, reading)

    @routes.get("/product/<provider>/<name>/feed.atom")
    def product_feed(provider: str, name: str) -> Response:
        parameters(request, ())
        found = _product(provider, name)
        with desk.read() as reading:
            return feeds.of_product(desk, reading, found)

    @routes.get("/identity/<name>/feed.atom")
    def identity_feed(name: str) -> Response:
        parameters(request, ())
        _require(NAME, name)
        with desk.read() as reading:
            return feeds.of_name(desk, reading, name)

    @routes.get("/badge/<provider>/<name>.svg")
    def product_badge(provider: str, name: str) -> Response:
        parameters(request, ())
        found = _product(provider, name)
        with desk.read() as reading:
            return badge.page(desk, reading, found)


def _product(provider: str, name: str) -> str:
    found = f"{provider}/{name}"
    _require(PRODUCT, found)
    return found


def _require(shape: str, text: str) -> None:
    """Refuse what can be no name, before it is looked for."""
    if len(text) > _LONGEST or not re.fullmatch(shape, text):
        message = f"{shown(text)} is of no form that is published"
        raise NoEntryError(message)


def _require_one_slash() -> None:
    """Werkzeug takes any number of them at the beginning: a path has one spelling."""
    if request.environ["PATH_INFO"].startswith("//"):
        abort(404)


def before() -> int | None:
    """Where the page of a list begins, of the request's only parameter."""
    [text] = parameters(request, ("before",)).get("before", [""])
    return decimal("before", text) if text else None


def _refused(desk: Desk, error: PcrlogError) -> Response:
    """A refusal, for people. What the disk says is answered as everywhere."""
    problem = problem_of(error)
    if problem in (BY_SLUG["internal"], BY_SLUG["storage"]):
        raise error
    words = f"{str(error)[:1].upper()}{str(error)[1:]}."
    return desk.render.page(
        "problem", problem.status, heading=problem.title, words=words
    )
