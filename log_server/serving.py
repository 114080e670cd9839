"""`serve`: one web process and one sequencer, which live and die together.

A log in PostgreSQL may have several of these, or of their halves (`Part`), on any
machines; then one of the sequencers sequences, and the others wait (`lease`).

    serve (this process: the lock, Granian's main loop)
     ├── web worker: HTTP, intake.db
     └── sequencer: the log's key, log.db, public/

Each child holds one end of a pipe, its lifeline; the other end is in this process
alone, and closes with it, whatever ends it. If the web worker dies, Granian ends; if
the sequencer dies, a thread here ends Granian; then what is left is stopped, in the
order that loses nothing: first who takes statements in, then who decides them. Only a
sequencer that its disk has failed is started again (`tending`), and the web worker goes
on meanwhile: it is told over its lifeline what is wrong.
"""

import asyncio
import contextlib
import functools
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import TYPE_CHECKING, Any, Literal

from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from log_server.app import create_app
from log_server.bridge import Bridge, Scope, Transport
from log_server.config import Config
from log_server.direct import exclusively
from log_server.disk import DamagedError, Trouble, fault_of
from log_server.tending import Tended, telling
from pcrlog.errors import UncheckedError, UsageError, VerificationError

if TYPE_CHECKING:
    from log_server.services import Services

Clock = Callable[[], int]
Part = Literal["web", "sequencer"]

_MEANT = frozenset({UsageError.exit_code, VerificationError.exit_code})
_DISK_SECONDS = 1
"""Until a database that cannot be opened is tried again."""
_STOP_SECONDS = 40
"""Longer than any request may wait (submit_api.LONGEST_WAIT)."""
_CONNECTIONS, _OTHER_FILES = 16_384, 512
"""Open at once, idle or not, if the system allows so many files; and files beside."""
_BACKLOG = 4096
_HEAD_BYTES = 32_768
_HEAD_MILLISECONDS = 30_000
"""A head has so much room and time; so long, too, may a connection be idle."""
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


def serve(
    config: Config, host: str, port: int, clock: Clock, only: Part | None = None
) -> None:
    """Serve a log until SIGTERM or SIGINT.

    Args:
        config: which log.
        host: an address of this machine.
        port: a free port.
        clock: unix seconds; a function that a new process can import.
        only: half of it; the other runs elsewhere.

    Raises:
        UsageError: the folder or the port is in use, or there can be no elsewhere.
        DiedError: a child died.
    """
    if only is not None:
        _require_shared(config, only)
    with exclusively(config):
        if only != "sequencer":
            # Granian would share the port of another server (SO_REUSEPORT).
            asyncio.run(_require_free(host, port))
        multiprocessing.set_start_method("spawn", force=True)
        context = multiprocessing.get_context("spawn")
        if only == "web":
            _serve_web(config, host, port, clock, (None, context))
            return
        sequencer = Tended(context, config, clock)
        try:
            if not sequencer.start():
                _raise_died("the sequencer did not start", sequencer.status)
            if only is None:
                _serve_web(config, host, port, clock, (sequencer, context))
            else:
                _sequence_alone(config, sequencer)
        finally:
            sequencer.close(_STOP_SECONDS)


def _require_shared(config: Config, only: Part) -> None:
    why = ""
    if config.settings.database is None:
        why = "its database is in this folder"
    elif config.publishing.at == "folder":
        why = "it is published in this folder"
    if why:
        message = (
            f"--only {only}: no other machine can have the other half of"
            f" {config.origin}, since {why}; see More than one machine in"
            " docs/operations.md"
        )
        raise UsageError(message)


def _sequence_alone(config: Config, sequencer: Tended) -> None:
    """Tend a sequencer until a signal or its death."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    sequencer.follow(lambda _words: None, ended.set)
    _tell(f"sequencing {config.origin}, whenever it is ours to do")
    ended.wait()
    if sequencer.status is not None:
        _raise_died("the sequencer died", sequencer.status)


def _raise_died(what: str, exit_code: object) -> None:
    message = f"{what} (exit status {exit_code}); see the lines above"
    raise DiedError(message, exit_code)


def _serve_web(
    config: Config,
    host: str,
    port: int,
    clock: Clock,
    beside: tuple[Tended | None, SpawnContext],
) -> None:
    """Run Granian until a signal or a death, beside a sequencer if there is one."""
    sequencer, context = beside
    lifeline, line = context.Pipe(duplex=False)
    server = MPServer(
        "log_server.app",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_connections(),
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEAD_MILLISECONDS, max_buffer_size=_HEAD_BYTES
        ),
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
    )
    end = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
    # From a hook: before it, Granian does not heed a signal yet.
    if sequencer is not None:
        server.on_startup(functools.partial(sequencer.follow, telling(line), end))
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
        line.close()
        with contextlib.suppress(OSError):
            config.serving.unlink()
    if sequencer is not None and sequencer.status is not None:
        _raise_died("the sequencer died", sequencer.status)


def _connections() -> int:
    """How many connections may be open at once: as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, _CONNECTIONS + _OTHER_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(_OTHER_FILES, min(most, _CONNECTIONS + _OTHER_FILES) - _OTHER_FILES)


class _Worker:
    """What Granian serves: it calls these three by their names."""

    def __init__(self, config: Config, app: Flask) -> None:
        self._services: Services = app.extensions["pcrlog"]
        self._bridge = Bridge(app, self._services, config.settings.threads)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge.pass_by(loop)

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        await self._bridge.answer(scope, transport)

    def __rsgi_del__(self, _loop: object) -> None:
        self._bridge.close()
        self._services.close()
        # All is answered and on disk. Threads of Granian's may still want the
        # interpreter, and panic if it is ending meanwhile.
        sys.stderr.flush()
        os._exit(0)


def _load_app(config: Config, clock: Clock, lifeline: Connection) -> Any:  # noqa: ANN401 - an RSGI application, for Granian
    """Make the application, in the web worker."""
    trouble = Trouble(clock)

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                trouble.sequencer = lifeline.recv_bytes().decode()
        # Nobody is left who could stop this process in order. What was answered is on
        # disk; what was not, was not promised.
        os._exit(1)

    threading.Thread(target=listen, name="lifeline", daemon=True).start()
    return _Worker(config, _make_app(config, clock, trouble))


def _make_app(config: Config, clock: Clock, trouble: Trouble) -> Flask:
    """The application, as soon as the disk lets it open its databases.

    Whoever asks meanwhile has to wait. A disk that fails later is answered for.
    """
    while True:
        try:
            return create_app(config, clock=clock, trouble=trouble)
        except Exception as error:
            fault = fault_of(error)
            if fault is None or isinstance(fault, DamagedError):
                raise
        time.sleep(_DISK_SECONDS)


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
    _tell(f"serving {config.origin} at {url}")


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def _wait_until_answered(host: str, port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(0.01)
