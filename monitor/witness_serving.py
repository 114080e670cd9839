"""A plain witness as it runs: memory, list of logs, limits, HTTP; in serving's worker.

The list is read again when a file of it or witness.toml has changed, or on SIGHUP. If
what is there now is broken, the list stays as it was; stderr says so, and /metrics and
/healthz until it is whole. Name, key, address and prefix need a new start.

One process holds the folder (its lock): the worker, which another one may have to wait
for whose `serve` was killed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from monitor.locking import exclusively
from monitor.serving import Address, Served, serve, start_in_background
from monitor.streams import say
from monitor.witness import Reply, Witness
from monitor.witness_app import (
    Environ,
    StartResponse,
    create_witness_app,
    not_found,
    respond,
)
from monitor.witness_config import SETTINGS, Listed, Logs, Settings, read_signer
from monitor.witness_rate import Rates
from monitor.witness_store import NAME, WitnessStore
from pcrlog.encoding import encode_json
from pcrlog.errors import UsageError
from pcrlog.note import VerifierKey
from pcrlog.witness import REQUEST

Clock = Callable[[], int]
Say = Callable[[str], None]
_State = tuple[tuple[int, int, int] | None, ...]

_LOOK_SECONDS = 1.0
_PREDECESSOR_SECONDS = 5
_MOST = REQUEST + 1
"""Bytes of a body: of one more, the application says that it is too large."""
_THREADS = 64
_JSON = "application/json"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class LogList:
    """Whom the witness cosigns for now; for any number of threads.

    Args:
        folder: of the witness.
        settings: its witness.toml, as it was at the start.
        say: tells people.

    Raises:
        UsageError: a list is broken; at the start there is no old one that could stay.
    """

    def __init__(self, folder: Path, settings: Settings, say: Say) -> None:
        self._folder = folder
        self._settings = settings
        self._say = say
        # Owner: whoever calls `refresh`.
        self._state = self._look(settings)
        # Replaced as a whole by `refresh`; others read each once.
        self._logs = Logs.load(folder, settings)
        self._problem: str | None = None
        self._tell()

    @property
    def logs(self) -> Logs:
        """The list as it stands."""
        return self._logs

    @property
    def problem(self) -> str | None:
        """Why the newest list is not in use, if so."""
        return self._problem

    def key(self, origin: str) -> VerifierKey | None:
        """The key of a log (a `witness.Logs`)."""
        return self._logs.key(origin)

    def qpd(self, origin: str) -> int:
        """The requests a day of a log."""
        found: Listed | None = self._logs.table.get(origin)
        return self._settings.qpd if found is None else found.qpd

    def refresh(self, *, always: bool = False) -> bool:
        """Read the list again if a file of it has changed; whether it was read."""
        state = self._look(self._settings)
        if state == self._state and not always:
            return False
        self._state = state
        try:
            settings = Settings.load(self._folder)
            self._logs = Logs.load(self._folder, settings)
        except UsageError as error:
            self._problem = str(error)
            self._say(f"the list of logs stays as it was: {error}")
            return True
        self._problem = None
        if _fixed(settings) != _fixed(self._settings):
            self._say(f"{SETTINGS}: name, listen and prefix need a new start")
        self._settings = settings
        self._state = self._look(settings)
        self._tell()
        return True

    def _tell(self) -> None:
        self._say(f"cosigns for {len(self._logs.table)} logs")
        for one in self._logs.skipped:
            self._say(f"skipped: {one}")

    def _look(self, settings: Settings) -> _State:
        return tuple(_stamp(self._folder / n) for n in (SETTINGS, *settings.lists))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _fixed(settings: Settings) -> tuple[str, str, str]:
    return settings.name, settings.listen, settings.prefix


class Status:
    """/healthz and /metrics of a plain witness, which has nothing else beside it."""

    def __init__(self, store: WitnessStore, logs: LogList) -> None:
        self._store = store
        self._logs = logs
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        """Answer (WSGI)."""
        answers = {"/healthz": self._health, "/metrics": self._metrics}
        answer = answers.get(environ["PATH_INFO"])
        if answer is None:
            return not_found(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            reply = Reply.refusal(405, "GET and HEAD are for this path")
            return respond(environ, start_response, reply, ("Allow", "GET, HEAD"))
        return respond(environ, start_response, answer(), ("Cache-Control", "no-store"))

    def _health(self) -> Reply:
        # Anybody may ask: the reasons are on stderr.
        ok = self._store.failure is None
        shown = {
            "forks": self._store.forks,
            "list_refused": self._logs.problem is not None,
            "logs": len(self._logs.logs.table),
            "ok": ok,
        }
        return Reply(200 if ok else 503, _JSON, encode_json(shown))

    def _metrics(self) -> Reply:
        return Reply(200, _PROMETHEUS, generate_latest(self.registry))

    def collect(self) -> Iterator[Metric]:
        """What /metrics reads when it is asked."""
        for name, value, words in (
            ("logs", len(self._logs.logs.table), "Logs that it cosigns for"),
            (
                "list_refused",
                int(self._logs.problem is not None),
                "Whether the newest list is broken, and an older one in use",
            ),
            (
                "store_failing",
                int(self._store.failure is not None),
                "Whether the last checkpoint could not be stored",
            ),
        ):
            yield GaugeMetricFamily(f"pcrlog_witness_{name}", words, value=value)
        yield CounterMetricFamily(
            "pcrlog_witness_forks",
            "Checkpoints that a log signed beside a cosigned one of their size",
            value=self._store.forks,
        )


def serve_witness(folder: Path, listen: str | None, clock: Clock) -> None:
    """Run the witness of a folder until SIGTERM or SIGINT.

    Args:
        folder: made by `init`.
        listen: ADDRESS:PORT instead of that in witness.toml.
        clock: unix seconds; a function that a new process can import.

    Raises:
        UsageError: no such folder, or one that is in use; a broken file; no free port.
        DiedError: the worker died.
    """
    settings = Settings.load(folder)
    address = Address.parse(listen or settings.listen)
    what = f"witness {settings.name}"
    serve(address, partial(make_witness, folder.resolve(), clock), what)


def make_witness(folder: Path, clock: Clock) -> Served:
    """Make the witness, in the worker's main thread (a `serving.Factory`).

    Raises:
        UsageError: see `serve_witness`.
    """
    settings = Settings.load(folder)
    signer = read_signer(folder, settings)
    with ExitStack() as stack:
        stack.enter_context(exclusively(folder, _PREDECESSOR_SECONDS))
        logs = LogList(folder, settings, _say)
        store = WitnessStore(folder / NAME, str(signer.public), crash_for_tests())
        stack.callback(store.close)
        rates = Rates(logs.qpd, time.monotonic)
        witness = Witness(store, signer, logs.key, clock, limit=rates.wait)
        status = Status(store, logs)
        app = create_witness_app(witness, status.registry, settings.prefix, status)
        ended, asked = threading.Event(), threading.Event()
        stack.callback(ended.set)
        signal.signal(signal.SIGHUP, lambda _number, _frame: asked.set())
        start_in_background(partial(_watch, logs, ended, asked), "list of logs")
        kept = stack.pop_all()
    return Served(app, kept.close, most=_MOST, threads=_THREADS)


def _watch(logs: LogList, ended: threading.Event, asked: threading.Event) -> None:
    while not ended.is_set():
        always = asked.wait(_LOOK_SECONDS)
        asked.clear()
        logs.refresh(always=always)


def _say(text: str) -> None:
    say(f"{text}\n")


def crash_for_tests() -> Callable[[str], None]:
    """A step that kills this process at the point that PCRLOG_TEST_CRASH names.

    `stored:3` is the third time that it comes there.
    """
    point, _, number = os.environ.get("PCRLOG_TEST_CRASH", "").partition(":")
    left = int(number or 1)

    def step(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return step
