"""The process of a standby: looks again and again, and says what has changed.

    catching-up   more is to be copied than a look or two bring
    following     all that the source shows is here
    unreachable   no answer, or none that is usable: asked again
    refused       what came is not what was signed: nothing was taken, asked again
    behind        the source shows less than is here; borne for a while, since
                  a machine whose power failed may show the last checkpoint but one
    frozen        the log has ended, and all of it is here

A source that contradicts what is here ends it, with evidence. SIGTERM and SIGINT end it
between two transactions.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from log_server.config import Config
from log_server.direct import exclusively
from log_server.sources import Database, source
from log_server.standby import BehindError, Standby, Told
from log_server.standby_folder import load_standby
from pcrlog.errors import (
    InconsistencyError,
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
)
from pcrlog.reader import Fetch
from pcrlog.tiles import FULL

PATIENCE = 60
"""Seconds for which a source may show less than is here."""
_MANY = 16 * FULL
"""Leaves: to copy more of them at once is to catch up."""
_TIDY_AFTER = 64
"""Looks that brought something; then log.db is tidied when one brings nothing."""


class State(Struct, frozen=True):
    """What a standby says: `size` leaves are here, sealed at `time` (unix seconds)."""

    state: str
    size: int
    time: int
    detail: str = ""


Say = Callable[[State], object]


class _Ended(Exception):  # noqa: N818 - it is no error
    """A signal asks for the end."""


class _Ending:
    """Whether a signal has asked for the end."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT, if this is the thread that can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(n, lambda *_: self._asked.set()) for n in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            _Ended: a signal came.
        """
        if self._asked.wait(seconds):
            raise _Ended


class _Following:
    """Looks at one source with one standby."""

    def __init__(self, config: Config, say: Say, told: Told, ending: _Ending) -> None:
        self._say = say
        self._told = told
        self._ending = ending
        self._said = ""
        self._behind_since: float | None = None
        self._untidy = 0
        self.standby = Standby(config, self._tell)

    def _tell(self, what: str, done: int, size: int) -> None:
        """Between two transactions, or two bundles."""
        self._ending.wait(0)
        held = self.standby.held
        if size - (0 if held is None else held.size) > _MANY:
            self._change("catching-up", f"{size} leaves are there")
        self._told(what, done, size)

    def _change(self, state: str, detail: str = "") -> None:
        if state != self._said:
            self._said = state
            held = self.standby.held
            size, at = (0, 0) if held is None else (held.size, held.time)
            self._say(State(state, size, at, detail))

    def take(self, fetch: Fetch) -> None:
        """Look once, and take what there is.

        Raises:
            PcrlogError: see `Standby.look`.
        """
        before = self.standby.held
        if isinstance(fetch, Database):
            self.standby.look(fetch, shown=fetch.is_shown)
            self.standby.adopt(fetch.refused())
        else:
            self.standby.look(fetch)
        held = self.standby.held
        self._untidy += held != before
        if held == before and self._untidy >= _TIDY_AFTER:
            self.standby.rest()
            self._untidy = 0
        self._behind_since = None
        frozen = held is not None and held.frozen
        self._change("frozen" if frozen else "following")

    def look(self, fetch: Fetch) -> None:
        """Look once, and bear what may pass.

        Raises:
            InconsistencyError: the log contradicts itself.
            BehindError: the source has shown less for too long.
            UsageError: it was promoted half-way.
        """
        try:
            self.take(fetch)
        except (InconsistencyError, UsageError):
            raise
        except BehindError as error:
            now = time.monotonic()
            self._behind_since = self._behind_since or now
            if now - self._behind_since >= PATIENCE:
                raise
            self._change("behind", str(error))
        except (TransportError, UncheckedError) as error:
            self._change("unreachable", str(error))
        except PcrlogError as error:
            self._change("refused", str(error))


def follow(
    config: Config,
    where: str,
    say: Say,
    told: Told = lambda _what, _done, _size: None,
    *,
    poll: float | None = 1.0,
) -> State:
    """Follow a log until SIGTERM or SIGINT; where it stands then.

    Args:
        config: of the standby.
        where: see `sources.source`.
        say: told each change of state.
        told: told how far a copy is.
        poll: seconds between two looks; None: look once, and end.

    Raises:
        InconsistencyError: the log contradicts itself.
        BehindError: the source shows less than is here.
        UsageError: it is no standby any more.
        PcrlogError: with one look only: it brought nothing.
    """
    ending = _Ending()
    with ending.listening(), exclusively(config), source(where) as fetch:
        # It may have been promoted before the lock was ours.
        load_standby(config.directory)
        following = _Following(config, say, told, ending)
        try:
            following.standby.finish()
            if poll is None:
                following.take(fetch)
            while poll is not None:
                following.look(fetch)
                ending.wait(poll)
        except _Ended:
            pass
        finally:
            held = following.standby.held
            following.standby.close()
    size, at = (0, 0) if held is None else (held.size, held.time)
    return State("ended", size, at)
