"""The sequencer's process: rounds, whenever it is woken or a heartbeat is due.

It ends with its parent: the lifeline is a pipe whose other end only the parent holds.
It takes no signals meant for a terminal or a service: a batch in flight is finished
first. Only for witnesses it does not wait then: what is committed and lacks their
quorum is published by the next start.
"""

import functools
import math
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

from log_server.config import Config
from log_server.direct import open_sequencer
from log_server.sequencer import Sequencer, Step
from log_server.wake import Bell
from log_server.witnesses import EndedError, Patience
from pcrlog.errors import PcrlogError

_LONGEST_SLEEP = 60
"""Seconds until the clock is looked at again: it may have been set meanwhile."""
_SILENCE = 0.2
"""Seconds without a ring until it is time for `Sequencer.rest`: whoever submits one
statement after the other, each when the last is published, must not meet it."""


def run_sequencer(
    config: Config, clock: Callable[[], int], lifeline: Connection
) -> None:
    """Sequence until the lifeline ends (the target of the process)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Held from the first call on: to have the bell is to be alive (wake.is_heard). That
    # is when there is nothing to finish any more, or only witnesses to wait for: the
    # web process may take statements in meanwhile.
    bell = functools.cache(lambda: Bell(config.wake))
    patience = Patience(math.inf, ended=lifeline.poll, waiting=bell)
    try:
        with open_sequencer(config, clock, _crash_for_tests(), patience) as sequencer:
            _sequence_until(lifeline, bell(), sequencer, config, clock)
    except EndedError:
        return
    except PcrlogError as error:
        sys.stderr.write(f"sequencer: {error}\n")
        sys.exit(error.exit_code)


def _sequence_until(
    lifeline: Connection,
    bell: Bell,
    sequencer: Sequencer,
    config: Config,
    clock: Callable[[], int],
) -> None:
    settings, progress = config.settings, sequencer.progress
    sleep: float = 0
    while not bell.wait(sleep, [lifeline.fileno()]):
        heartbeat = progress.time + settings.heartbeat - clock()
        busy = sequencer.round() > 0
        if not busy and heartbeat <= 0 and not progress.frozen:
            sequencer.round(idle_seal=True)
            busy = True
        if busy:
            # More may wait already; it may have to gather for a while, unheard.
            sleep = 0
            if lifeline.poll(settings.min_publish_interval):
                break
        elif sleep == 0:
            sleep = _SILENCE
        else:
            sequencer.rest()
            sleep = (
                _LONGEST_SLEEP if progress.frozen else min(heartbeat, _LONGEST_SLEEP)
            )


def _crash_for_tests() -> Step:
    """A step that kills this process at the point that PCRLOG_TEST_CRASH names."""
    point = os.environ.get("PCRLOG_TEST_CRASH")

    def step(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return step
