"""`serve`: one web process and one sequencer, which live and die together.

    serve (this process: the lock, Granian's main loop)
     ├── web worker: HTTP, intake.db
     └── sequencer: the log's key, log.db, public/

Both children hold one end of a pipe, the lifeline; the other end is in this process
alone, and closes with it, whatever ends it. If the web worker dies, Granian ends; if
the sequencer dies, a thread here ends Granian; then what is left is stopped, in the
order that loses nothing: first who takes statements in, then who decides them.
"""

import asyncio
import contextlib
import functools
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from log_server.app import create_app
from log_server.config import Config
from log_server.direct import exclusively
from log_server.sequencing import run_sequencer
from log_server.wake import is_heard
from pcrlog.errors import UncheckedError, UsageError, VerificationError

Clock = Callable[[], int]

_MEANT = frozenset({UsageError.exit_code, VerificationError.exit_code})
_STOP_SECONDS = 40
"""Longer than any request may wait (submit_api.LONGEST_WAIT)."""
_LOGGING: dict[str, Any] = {
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "stream": "ext://sys.stderr",
        }
    },
    "loggers": {"_granian": {"level": "ERROR"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}


class DiedError(UncheckedError):
    """A child of `serve` died; what it meant by its exit status is ours as well."""

    def __init__(self, message: str, status: object) -> None:
        super().__init__(message)
        if status in _MEANT:
            self.exit_code = int(str(status))  # type: ignore[misc] # of this one error


def serve(config: Config, host: str, port: int, clock: Clock) -> None:
    """Serve a log until SIGTERM or SIGINT.

    Args:
        config: which log.
        host: an address of this machine.
        port: a free port.
        clock: unix seconds; a function that a new process can import.

    Raises:
        UsageError: the folder or the port is in use.
        DiedError: a child died.
    """
    with exclusively(config):
        # Granian would share the port of another server (SO_REUSEPORT).
        asyncio.run(_require_free(host, port))
        multiprocessing.set_start_method("spawn", force=True)
        context = multiprocessing.get_context("spawn")
        reader, writer = context.Pipe(duplex=False)
        sequencer = _start_sequencer(context, config, clock, reader)
        try:
            _serve_web(config, host, port, clock, (sequencer, reader))
        finally:
            config.serving.unlink(missing_ok=True)
            writer.close()
            sequencer.join(_STOP_SECONDS)
            if sequencer.is_alive():
                sequencer.kill()


def _start_sequencer(
    context: SpawnContext, config: Config, clock: Clock, lifeline: Connection
) -> SpawnProcess:
    sequencer = context.Process(
        target=run_sequencer, args=(config, clock, lifeline), name="sequencer"
    )
    sequencer.start()
    while not is_heard(config.wake):
        sequencer.join(0.01)
        if sequencer.exitcode is not None:
            _raise_died("the sequencer did not start", sequencer.exitcode)
    return sequencer


def _raise_died(what: str, exit_code: object) -> None:
    message = f"{what} (exit status {exit_code}); see the lines above"
    raise DiedError(message, exit_code)


def _serve_web(
    config: Config,
    host: str,
    port: int,
    clock: Clock,
    children: "tuple[SpawnProcess, Connection]",
) -> None:
    """Run Granian until a signal or a death."""
    sequencer, lifeline = children
    server = MPServer(
        "log_server.app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        blocking_threads=config.settings.threads,
        backpressure=2 * config.settings.threads,
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
    )
    ending = threading.Event()

    def follow_sequencer() -> None:
        sequencer.join()
        if not ending.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    # From a hook: before it, Granian does not heed a signal yet.
    server.on_startup(threading.Thread(target=follow_sequencer, daemon=True).start)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server.on_startup(
        threading.Thread(
            target=_announce, args=(config, host, port, url), daemon=True
        ).start
    )
    loader = functools.partial(_load_app, config, clock, lifeline)
    try:
        server.serve(target_loader=loader, wrap_loader=False)
    except SystemExit as error:
        if not server.interrupt_signal:
            _raise_died("the web process died", error.code)
    finally:
        ending.set()
    if sequencer.exitcode is not None:
        _raise_died("the sequencer died", sequencer.exitcode)


def _load_app(config: Config, clock: Clock, lifeline: Connection) -> Any:  # noqa: ANN401 - a WSGI callable, for Granian
    """Make the application, in the web worker."""

    def end_with_parent() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()
        # Nobody is left who could stop this process in order. What was answered is on
        # disk; what was not, was not promised.
        os._exit(1)

    threading.Thread(target=end_with_parent, name="lifeline", daemon=True).start()
    return create_app(config, clock=clock)


async def _require_free(host: str, port: int) -> None:
    try:
        server = await asyncio.start_server(lambda _reader, _writer: None, host, port)
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise UsageError(message) from error
    server.close()
    await server.wait_closed()


def _announce(config: Config, host: str, port: int, url: str) -> None:
    """Say where the log is served, once it is."""
    asyncio.run(_wait_until_answered(host, port))
    state = {"url": url, "pid": os.getpid()}
    config.serving.write_text(json.dumps(state) + "\n", "ascii")
    sys.stdout.write(f"serving {config.origin} at {url}\n")
    sys.stdout.flush()


async def _wait_until_answered(host: str, port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(0.01)
