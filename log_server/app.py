"""The web process: wires the parts together, and turns every error into an answer."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response
from flask import request as current
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from log_server import read_api, status_api, submit_api
from log_server.config import Config
from log_server.files import Files
from log_server.problems import BY_SLUG, problem_of, problem_of_status
from log_server.responses import respond_problem
from log_server.store import Store
from log_server.submissions import Submissions
from pcrlog.errors import PcrlogError

_log = logging.getLogger(__name__)
_TOO_MANY = 429
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Services:
    """What an app holds open; `close` it when it is of no more use."""

    store: Store
    submissions: Submissions

    def close(self) -> None:
        """End the threads and close the files."""
        self.submissions.close()
        self.store.close()


def create_app(config: Config, *, clock: Callable[[], int]) -> Flask:
    """The WSGI application of a log; its `Services` are in `extensions["pcrlog"]`.

    Args:
        config: which log.
        clock: unix seconds.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a path has one spelling
    store = Store(config.log_db)
    submissions = Submissions(config, store, clock)
    app.extensions["pcrlog"] = Services(store, submissions)
    app.register_blueprint(
        submit_api.blueprint(submissions, store, config.settings.threads)
    )
    app.register_blueprint(read_api.blueprint(store))
    registry = CollectorRegistry()
    status_api.Requests(registry, time.perf_counter).watch(app)
    status = status_api.Status(config, store, submissions, clock)
    app.register_blueprint(status_api.blueprint(config, store, status, registry))
    app.register_error_handler(PcrlogError, _refused)
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, _failed)
    app.after_request(_secure)
    app.wsgi_app = Files(config.public, app.wsgi_app)  # type: ignore[method-assign] # Flask's way
    return app


def _refused(error: PcrlogError) -> Response:
    problem = problem_of(error)
    if problem.slug == "internal":
        return _failed(error)
    headers = {"Retry-After": "1"} if problem.status == _TOO_MANY else None
    return respond_problem(problem, str(error), headers)


def _not_served(error: HTTPException) -> Response:
    status = error.code or 500
    # Allow and the like, but not the page's own type and length.
    wanted = {"Allow", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in wanted}
    detail = f"{current.method} {current.path}: {error.name}"
    return respond_problem(problem_of_status(status), detail, headers)


def _failed(error: Exception) -> Response:
    """A mistake of ours: the log has the traceback, the client an id to name it by."""
    number = secrets.token_hex(8)
    _log.error("request %s failed", number, exc_info=error)
    return respond_problem(BY_SLUG["internal"], f"id {number}")


def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if current.method in {"GET", "HEAD"}:
        # All that can be read here is public; nothing is sent with credentials.
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
    return response
