"""`pcrlog-monitor run`, going on: rounds in a thread, pages and witness beside them.

With `listen` everything lives in one worker (serving.py): the rounds, the pages, and
for an index monitor the witness endpoints, whose every cosignature waits for a round
of its own (cosigning.py). Without it there are the rounds alone, in this process.
"""

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from monitor.config import Config
from monitor.cosigning import open_cosigner, read_signer
from monitor.handed import desk
from monitor.pages import create_pages
from monitor.running import open_monitor
from monitor.serving import Address, Served, serve, start_in_background
from monitor.state import State
from monitor.streams import output
from monitor.telling import Teller
from monitor.witness_app import App, create_witness_app
from pcrlog.limits import BUNDLE

_END_SECONDS = 15.0
"""For the round that is going on when the end comes: it ends between two runs."""
Clock = Callable[[], int]


def run(path: Path, config: Config, clock: Clock) -> int:
    """Watch until SIGTERM or SIGINT; the exit status.

    Args:
        path: of the monitor.toml.
        config: what it says.
        clock: unix seconds; a function that a new process can import.

    Raises:
        PcrlogError: see `open_monitor` and `serving.serve`.
    """
    origin = config.log.key.name
    if config.settings.listen is None:
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: ending.set())
        hooks = Teller(origin).hooks()
        with open_monitor(config, clock, output(), hooks) as monitor:
            monitor.run(ending)
        return 0
    read_signer(config)  # said here, before a process is started
    address = Address.parse(config.settings.listen)
    serve(address, partial(make, path.resolve(), clock), f"monitor of {origin}")
    return 0


def make(path: Path, clock: Clock) -> Served:
    """Start the rounds, and make what is served beside them; in the worker."""
    config = Config.load(path)
    signer, ending = read_signer(config), threading.Event()
    hooks = Teller(config.log.key.name).hooks()
    with ExitStack() as stack:
        monitor = stack.enter_context(open_monitor(config, clock, output(), hooks))
        state = State(config.state / "monitor.db")
        stack.callback(state.close)
        check = desk(state, monitor.views.comparer, clock)
        registry = CollectorRegistry()
        app: App = create_pages(config, clock, check, registry).wsgi_app
        if signer is not None:
            witness = stack.enter_context(open_cosigner(config, signer, monitor, clock))
            app = create_witness_app(witness, registry, "", app)
        rounds = start_in_background(partial(monitor.run, ending), "rounds")
        kept = stack.pop_all()

    def close() -> None:
        ending.set()
        rounds.join(_END_SECONDS)
        # What a round uses is never closed under it. The process ends next: what the
        # round did not commit is gone then, and done again.
        if not rounds.is_alive():
            kept.close()

    return Served(app, close, most=BUNDLE + 1)
