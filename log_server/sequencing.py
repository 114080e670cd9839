"""The sequencer's process: rounds, whenever it is woken or a heartbeat is due.

It ends with its parent: the lifeline is a pipe whose other end only the parent holds.
It takes no signals meant for a terminal or a service: a batch in flight is finished
first. Only for witnesses it does not wait then: what is committed and lacks their
quorum is published by the next start.

A fault of the disk ends it as any error does, but is told to the parent, which starts
the next one: what is in memory may be ahead of the disk, and what is on disk is all
that counts (`tending`). So does the loss of the lease, of a log that has one: at once,
whatever it is doing, since nothing of it could be published.
"""

import functools
import gc
import math
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

from log_server.clock_check import ClockError, Refusal
from log_server.config import Config, Settings
from log_server.databases import intake_database
from log_server.direct import open_sequencer
from log_server.disk import fault_of
from log_server.lease import GivenUpError, LostError
from log_server.sequencer import Sequencer, Step
from log_server.wake import Bell
from log_server.witnesses import EndedError, Patience
from pcrlog.encoding import printable
from pcrlog.errors import PcrlogError

_WORDS = 1000
_OBJECTS = 50_000
"""More than there were: then it is looked for cycles among them."""
_LONGEST_SLEEP = 60
"""Seconds until the clock is looked at again: it may have been set meanwhile."""
_LISTENING = 2
"""The same for who is rung by a database: should a ring have been lost on its way."""
_REFUSED = 1
"""Seconds until a clock that is refused is looked at again."""
_SILENCE = 0.2
"""Seconds without a ring until it is time for `Sequencer.rest`: whoever submits one
statement after the other, each when the last is published, must not meet it."""


def run_sequencer(
    config: Config,
    clock: Callable[[], int],
    lifeline: Connection,
    telling: Connection,
    again: bool,  # noqa: FBT001 - arguments of a process have no names
) -> None:
    """Sequence until the lifeline ends (the target of the process).

    Args:
        config: which log.
        clock: unix seconds.
        lifeline: of whose other end the parent is the only holder.
        telling: takes the words for a fault of the disk, before the end by one.
        again: such a fault ended the last one.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Held from the first call on: to have the bell is to be alive (wake.is_heard). That
    # is when there is nothing to finish any more, or only witnesses to wait for: the
    # web process may take statements in meanwhile.
    bell = functools.cache(lambda: Bell(config.wake))
    patience = Patience(math.inf, ended=lifeline.poll, waiting=bell)
    _forget(config)
    try:
        with open_sequencer(
            config, clock, _step_for_tests(), patience, settle=again, lost=_end_at_once
        ) as sequencer:
            if config.settings.database is not None:
                bell().listen(intake_database(config).connect(read_only=True))
            # A batch makes tens of thousands of objects and no cycles: to look for some
            # after each 700 of them was a tenth of the work.
            gc.freeze()
            gc.set_threshold(_OBJECTS)
            _sequence_until(lifeline, bell(), sequencer, config)
    except (EndedError, GivenUpError):
        return
    except LostError as error:
        _end_at_once(str(error))
    except Exception as error:
        fault = fault_of(error)
        if fault is not None:
            telling.send_bytes(printable(str(fault), _WORDS).encode())
            sys.exit(fault.exit_code)
        if not isinstance(error, PcrlogError):
            raise
        sys.stderr.write(f"sequencer: {error}\n")
        sys.exit(error.exit_code)


def _sequence_until(
    lifeline: Connection, bell: Bell, sequencer: Sequencer, config: Config
) -> None:
    settings, progress = config.settings, sequencer.progress
    longest = _LONGEST_SLEEP if settings.database is None else _LISTENING
    refusal = Refusal(config.clock_refused)
    sleep: float = 0
    while not bell.wait(sleep, [lifeline.fileno()]):
        try:
            busy, heartbeat = _turn(sequencer, settings)
        except ClockError as error:
            # It is told and waited for: to end would be to start again without
            # anything left to compare the clock with.
            refusal.tell(error)
            sleep = _REFUSED
            continue
        refusal.withdraw()
        if busy:
            # More may wait already; it may have to gather for a while, unheard.
            sleep = 0
            if lifeline.poll(settings.min_publish_interval):
                break
        elif sleep == 0:
            sleep = _SILENCE
        else:
            sequencer.rest()
            sleep = longest if progress.frozen else min(heartbeat, longest)


def _turn(sequencer: Sequencer, settings: Settings) -> tuple[bool, int]:
    """A round if one is due: whether it was, and the seconds to the next heartbeat."""
    progress = sequencer.progress
    heartbeat = progress.time + settings.heartbeat - sequencer.now()
    busy = sequencer.round() > 0
    if not busy and heartbeat <= 0 and not progress.frozen:
        sequencer.round(idle_seal=True)
        busy = True
    return busy, heartbeat


def _forget(config: Config) -> None:
    """What a sequencer said here the last time; another one may be elsewhere by now."""
    if config.settings.database is not None:
        config.witnessing.unlink(missing_ok=True)
        config.clock_refused.unlink(missing_ok=True)


def _end_at_once(why: str) -> None:
    """Say that the lease is lost; nothing that is begun is finished."""
    sys.stderr.write(f"sequencer: lost the lease: {printable(why, _WORDS)}\n")
    sys.stderr.flush()
    os._exit(LostError.exit_code)


def _step_for_tests() -> Step:
    """A step that kills this process at the point that PCRLOG_TEST_CRASH names.

    Or stops it, at the one that PCRLOG_TEST_STOP names.
    """
    kill, stop = (os.environ.get(f"PCRLOG_TEST_{what}") for what in ("CRASH", "STOP"))

    def step(name: str) -> None:
        if name == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == stop:
            os.kill(os.getpid(), signal.SIGSTOP)

    return step
