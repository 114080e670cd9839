"""Serves a WSGI application from a process of its own, which lives as long as this one.

    serve (this process: signals, Granian's main loop)
     └── worker: the factory is called here; event loop, threads, all state

One worker, so that whoever works in the background beside HTTP shares its memory. The
two hold the ends of a pipe. If this process ends, whatever ends it, the worker ends at
once: what it answered is on disk, what it did not was not promised. If the worker ends,
so does `serve`, with what the worker said last and its exit status.

SIGTERM and SIGINT end both in order. SIGHUP goes to the worker, which may reload.
"""

import asyncio
import contextlib
import functools
import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from monitor.bridge import App, Bridge, Scope, Transport
from monitor.streams import keep_places, say
from pcrlog.encoding import parse_decimal
from pcrlog.errors import MalformedError, PcrlogError, UncheckedError, UsageError

_log = logging.getLogger(__name__)

_STOP_SECONDS = 30
"""For requests in flight: longer than a body may take, or an approval."""
_HEAD_MILLISECONDS = 10_000
_CONNECTIONS = 512
_PORTS = 65_535
_CRASHED = 1
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


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """An ADDRESS:PORT; a port 0 is none.

        Raises:
            UsageError: it is not of this form.
        """
        host, _, port = text.rpartition(":")
        try:
            number = parse_decimal(port, _PORTS)
        except MalformedError:
            number = 0
        if not host or not number:
            message = f"expected ADDRESS:PORT to listen on, found {text!a}"
            raise UsageError(message)
        return cls(host.strip("[]"), number)

    @property
    def url(self) -> str:
        """Where it is found."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Served(NamedTuple):
    """What a factory makes: a WSGI application, and how to end what is behind it."""

    app: App
    close: Callable[[], None] = lambda: None
    most: int = 1 << 20
    """Bytes of a request's body."""
    threads: int = 64
    seconds: float = 10
    """Within which a body has to come."""


class DiedError(UncheckedError):
    """The worker ended by itself; what it meant by its exit status is ours as well."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc] # of this one error


Factory = Callable[[], Served]
"""Something that a new process can import: a function of a module, or a partial."""


def serve(address: Address, factory: Factory, what: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        address: a free port of this machine.
        factory: called in the worker, once, in its main thread.
        what: is said on stderr, with the URL, once it is served.

    Raises:
        UsageError: the port is in use.
        DiedError: the factory failed, the worker died or said `end_worker`.
    """
    keep_places()
    # Granian would share the port of another server (SO_REUSEPORT).
    asyncio.run(_require_free(address))
    multiprocessing.set_start_method("spawn", force=True)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = MPServer(
        "monitor.serving",
        address=address.host,
        port=address.port,
        interface=Interfaces.RSGI,
        websockets=False,
        backpressure=_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MILLISECONDS),
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
    )

    def hang_up(_number: int, _frame: object) -> None:
        # Granian would start a second worker beside the first.
        for worker in server.wrks:
            os.kill(worker.inner.pid, signal.SIGHUP)

    def begin() -> None:
        signal.signal(signal.SIGHUP, hang_up)
        target = functools.partial(_announce, address, what)
        threading.Thread(target=target, daemon=True).start()

    server.on_startup(begin)
    loader = functools.partial(_load, factory, theirs)
    with ours, theirs:
        try:
            server.serve(target_loader=loader, wrap_loader=False)
        except SystemExit as error:
            if not server.interrupt_signal:
                _raise_died(ours, error.code)


def _raise_died(ours: Connection, code: object) -> None:
    status, said = _CRASHED, f"the worker died ({code}); see the lines above"
    if ours.poll():
        status, said = json.loads(ours.recv_bytes())
    raise DiedError(said, status)


async def _require_free(address: Address) -> None:
    try:
        server = await asyncio.start_server(lambda _reader, _writer: None, *address)
    except OSError as error:
        message = f"cannot listen on {address.url}: {error.strerror or error}"
        raise UsageError(message) from error
    server.close()
    await server.wait_closed()


def _announce(address: Address, what: str) -> None:
    asyncio.run(_wait_until_answered(address))
    say(f"{what} at {address.url}\n")


async def _wait_until_answered(address: Address) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*address)
            writer.close()
            return
        await asyncio.sleep(0.01)


# --- the worker -----------------------------------------------------------------------

# The worker's end of the pipe; set once, before anything else runs there.
_parent: list[Connection] = []


class _Worker:
    """What Granian serves: it calls these three by their names."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._bridge = Bridge(served.app, served.threads, served.most, served.seconds)

    async def __rsgi__(self, scope: Scope, transport: Transport) -> None:
        await self._bridge.__rsgi__(scope, transport)

    def __rsgi_del__(self, _loop: object) -> None:
        self._bridge.close()
        self._served.close()
        # All is answered and on disk. Threads of Granian's may still want the
        # interpreter, and panic if it is ending meanwhile.
        say("")
        os._exit(0)


def _load(factory: Factory, theirs: Connection) -> Any:  # noqa: ANN401 - an RSGI application, for Granian
    """Make the application, in the worker."""
    _parent.append(theirs)
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    try:
        return _Worker(factory())
    except PcrlogError as error:
        end_worker(str(error), error.exit_code)
    except Exception:  # noqa: BLE001 - logged, and the end
        _log.exception("it could not be made")
        end_worker("it could not be made; see the lines above", _CRASHED)
    raise AssertionError  # the process has ended


def _end_with_parent() -> None:
    with contextlib.suppress(EOFError, OSError):
        _parent[0].recv_bytes()
    os._exit(_CRASHED)


def end_worker(why: str, status: int) -> None:
    """End this worker now, and with it `serve`, which then says why.

    What was answered is on disk. Outside a worker, only this process ends.
    """
    say("")
    with contextlib.suppress(OSError, IndexError):
        _parent[0].send_bytes(json.dumps([status, why]).encode())
    os._exit(status)


def start_in_background(work: Callable[[], None], name: str) -> threading.Thread:
    """Run `work` in a thread without which the worker is of no use.

    If it raises, the worker ends, and `serve` with it. It may return: then it was asked
    to.
    """

    def run() -> None:
        try:
            work()
        except PcrlogError as error:
            end_worker(f"{name}: {error}", error.exit_code)
        except BaseException:  # noqa: BLE001 - logged, and the end
            _log.exception("%s died", name)
            end_worker(f"{name} died; see the lines above", _CRASHED)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
