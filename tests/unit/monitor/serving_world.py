"""Factories for the tests of serving: a new process imports them from here.

`python -m tests.unit.monitor.serving_world PORT FACTORY` serves what FACTORY makes.
"""

import signal
import sys
import threading
import time
from typing import Any

from monitor.serving import Address, Served, serve, start_in_background
from pcrlog.errors import PcrlogError, UncheckedError, UsageError

MOST = 1000


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Echoes; some paths do more."""
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise ValueError
    if path == "/slow":
        time.sleep(1)
    if path == "/die":
        start_in_background(_break, "follower")
    if path == "/refuse":
        start_in_background(_refuse, "follower")
    body = environ["wsgi.input"].read()
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_WORDS")
    shown = "|".join(str(environ.get(name)) for name in names).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Two", "2")])
    return [shown, b"|", body]


def _idle() -> None:
    threading.Event().wait()


def _break() -> None:
    raise ZeroDivisionError


def _refuse() -> None:
    message = "the log cannot be read"
    raise UncheckedError(message)


def echo() -> Served:
    signal.signal(signal.SIGHUP, lambda _number, _frame: say("hung up"))
    start_in_background(_idle, "idle")
    return Served(app, lambda: say("closed"), most=MOST, threads=2, seconds=2)


def refused() -> Served:
    message = "no such folder"
    raise UsageError(message)


def broken() -> Served:
    raise ZeroDivisionError


def main() -> None:
    """Serve, and end as a command would."""
    factory = {"echo": echo, "refused": refused, "broken": broken}[sys.argv[2]]
    try:
        serve(Address("127.0.0.1", int(sys.argv[1])), factory, "echo")
    except PcrlogError as error:
        say(f"ended: {error}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    # By its name, so that the new process finds the factories.
    from tests.unit.monitor.serving_world import main as named

    named()
