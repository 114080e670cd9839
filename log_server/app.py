"""The web process: wires the parts together, and turns every error into an answer."""

import functools
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
from log_server.disk import Trouble, fault_of
from log_server.files import Files
from log_server.problems import BY_SLUG, problem_of, problem_of_status, retry_after
from log_server.rates import Rates
from log_server.responses import SECURITY, respond_problem
from log_server.store import Store
from log_server.submissions import Submissions
from pcrlog.errors import PcrlogError

_log = logging.getLogger(__name__)
_WRITTEN = frozenset({201, 202})
_NOT_NOW = "it does not take what is written, or give what is read, at the moment"


@dataclass(frozen=True, slots=True)
class Services:
    """What an app holds open; `close` it when it is of no more use."""

    store: Store
    submissions: Submissions
    files: Files
    registry: CollectorRegistry

    def close(self) -> None:
        """End the threads and close the files."""
        self.submissions.close()
        self.store.close()


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
    store = Store(config.log_db)
    registry = CollectorRegistry()
    rates = Rates(config.settings, time.monotonic, registry)
    submissions = Submissions(config, store, rates, clock)
    files = Files(config.public, app.wsgi_app)
    app.extensions["pcrlog"] = Services(store, submissions, files, registry)
    app.register_blueprint(submit_api.blueprint(submissions, store, rates, registry))
    app.register_blueprint(read_api.blueprint(store))
    status_api.Requests(registry, time.perf_counter).watch(app)
    status = status_api.Status(config, store, submissions, clock, trouble)
    app.register_blueprint(status_api.blueprint(config, store, status, registry))
    app.register_error_handler(PcrlogError, functools.partial(_refused, trouble))
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, functools.partial(_failed, trouble))
    app.after_request(_secure)
    app.after_request(functools.partial(_heal, trouble))
    app.wsgi_app = files  # type: ignore[method-assign] # Flask's way
    return app


def _refused(trouble: Trouble, error: PcrlogError) -> Response:
    problem = problem_of(error)
    if problem.slug in {"internal", "storage"}:
        return _failed(trouble, error)
    seconds = retry_after(error)
    headers = None if seconds is None else {"Retry-After": str(seconds)}
    return respond_problem(problem, str(error), headers)


def _not_served(error: HTTPException) -> Response:
    status = error.code or 500
    # Allow and the like, but not the page's own type and length.
    wanted = {"Allow", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in wanted}
    detail = f"{current.method} {current.path}: {error.name}"
    return respond_problem(problem_of_status(status), detail, headers)


def _failed(trouble: Trouble, error: Exception) -> Response:
    """A fault of the disk, said once a minute; or a mistake of ours.

    Of a mistake the log has the traceback, the client an id to name it by.
    """
    fault = fault_of(error)
    if fault is not None:
        if trouble.note(fault):
            _log.error("%s", fault)
        return respond_problem(problem_of(fault), _NOT_NOW, {"Retry-After": "2"})
    number = secrets.token_hex(8)
    _log.error("request %s failed", number, exc_info=error)
    return respond_problem(BY_SLUG["internal"], f"id {number}")


def _heal(trouble: Trouble, response: Response) -> Response:
    if current.method == "POST" and response.status_code in _WRITTEN:
        trouble.heal()
    return response


def _secure(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if current.method in {"GET", "HEAD"}:
        # All that can be read here is public; nothing is sent with credentials.
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
    return response
