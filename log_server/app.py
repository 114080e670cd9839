"""The web process: wires the parts together, and turns every error into an answer."""

import functools
import time
from collections.abc import Callable

from flask import Flask, Response
from flask import request as current
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from log_server import pages, read_api, status_api, submit_api
from log_server.config import Config
from log_server.database_files import open_files
from log_server.databases import log_database
from log_server.disk import Trouble
from log_server.files import Files
from log_server.problems import problem_of_status
from log_server.rates import Rates
from log_server.refusals import Refusals
from log_server.remembering import Remembering
from log_server.responses import SECURITY, respond_problem
from log_server.services import Services
from log_server.store import Store
from log_server.submissions import Submissions
from log_server.submit_api import Entries


def create_app(
    config: Config, *, clock: Callable[[], int], trouble: Trouble | None = None
) -> Flask:
    """The WSGI application of a log; its `Services` are in `extensions["pcrlog"]`.

    Args:
        config: which log.
        clock: unix seconds.
        trouble: what is wrong with the disk, as `serve` is told.
    """
    trouble = Trouble(clock) if trouble is None else trouble
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a path has one spelling
    store = Store(log_database(config))
    registry = CollectorRegistry()
    rates = Rates(config.settings, time.monotonic, registry)
    submissions = Submissions(config, store, rates, clock)
    refusals = Refusals(trouble)
    entries = Entries(submissions, rates, refusals, trouble, registry)
    requests = status_api.Requests(registry, time.perf_counter)
    bundles = Remembering(store, app.wsgi_app, requests.begin, requests.count)
    files = Files(open_files(config, store), bundles)
    services = Services(store, submissions, files, entries, requests, registry)
    app.extensions["pcrlog"] = services
    app.register_blueprint(submit_api.blueprint(entries, submissions))
    app.register_blueprint(read_api.blueprint(store))
    requests.watch(app)
    status = status_api.Status(config, store, submissions, clock, trouble)
    app.register_blueprint(status_api.blueprint(config, store, status, registry))
    desk = pages.Desk(config, store, clock)
    app.register_blueprint(pages.blueprint(desk, status.health, registry))
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, functools.partial(_refused, refusals))
    app.after_request(_secure)
    app.wsgi_app = files  # type: ignore[method-assign] # Flask's way
    return app


def _refused(refusals: Refusals, error: Exception) -> Response:
    status, headers, body = refusals.answer(error)
    return Response(body, status, headers)


def _not_served(error: HTTPException) -> Response:
    status = error.code or 500
    # Allow and the like, but not the page's own type and length.
    wanted = {"Allow", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in wanted}
    detail = f"{current.method} {current.path}: {error.name}"
    return respond_problem(problem_of_status(status), detail, headers)


def _secure(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if current.method in {"GET", "HEAD"}:
        # All that can be read here is public; nothing is sent with credentials.
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
    return response
