"""Keeps a sequencer running beside the web process, as long as that makes sense.

    it met a fault of the disk     started again, after a pause that doubles
    another one has its lease      started again, to wait until that one ends
    it found a database damaged    left alone: nothing is signed, what is sound is read
    anything else                  the end of `serve`: a contradiction must not go on,
                                   and a crash is for the service manager to see

The web process goes on meanwhile: files and published answers need nobody who writes.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess

from log_server.config import Config
from log_server.disk import DamagedError
from log_server.lease import LostError
from log_server.sequencing import run_sequencer
from log_server.wake import is_heard

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds until it is started again: doubled each time."""
_LONGEST_AWAY = 2.0
"""The longest with a database server: what is gone there is nobody's write, and who
waits for its return should not be late."""
_ALIVE = 1.0
"""Seconds after which it has worked, and its next fault is the first one again."""
_LOOK = 0.02


class Tended:
    """The sequencer of a `serve`.

    Args:
        context: makes processes.
        config: which log.
        clock: unix seconds; a function that a new process can import.
    """

    def __init__(
        self, context: SpawnContext, config: Config, clock: Callable[[], int]
    ) -> None:
        self._context = context
        self._config = config
        self._clock = clock
        shared = config.settings.database is not None
        self._longest = _LONGEST_AWAY if shared else _LONGEST_PAUSE
        self._lifeline, self._writer = context.Pipe(duplex=False)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._words: Connection
        self._process: SpawnProcess
        self._fault: str | None = None
        self.status: int | None = None
        """With which exit status it has ended for good, and `serve` is to end."""

    def start(self) -> bool:
        """Start it; whether it runs, or the disk alone is why it does not."""
        self._begin(again=False)
        while not is_heard(self._config.wake):
            self._process.join(_LOOK)
            if self._process.exitcode is not None:
                self._may_begin_again()
                if self._fault is None and not self._has_lost():
                    self.status = self._process.exitcode
                break
        return self.status is None

    def _may_begin_again(self) -> bool:
        """Whether the disk ended it, and may let it live the next time."""
        if not self._words.closed:
            try:
                self._fault = self._words.recv_bytes().decode()
            except EOFError:
                self._fault = None
            self._words.close()
        damaged = self._process.exitcode == DamagedError.exit_code
        return self._fault is not None and not damaged

    def _begin(self, *, again: bool) -> None:
        self._words, theirs = self._context.Pipe(duplex=False)
        self._process = self._context.Process(
            target=run_sequencer,
            args=(self._config, self._clock, self._lifeline, theirs, again),
            name="sequencer",
        )
        self._process.start()
        # Its end is the end of the pipe.
        theirs.close()

    def follow(self, tell: Callable[[str], None], died: Callable[[], None]) -> None:
        """Tend it in a thread of its own.

        Args:
            tell: is told what is wrong with the disk, and "" when it is right again.
            died: called if it is not to be started again, and `serve` is to end.
        """

        def run() -> None:
            if self._tend(tell):
                died()

        self._thread = threading.Thread(target=run, name="tending", daemon=True)
        self._thread.start()

    def _tend(self, tell: Callable[[str], None]) -> bool:
        """Until the end; whether that of `serve` has to come."""
        pause, said = _FIRST_PAUSE, ""
        while True:
            begun = time.monotonic()
            said = self._wait_out(said, tell)
            if self._ending.is_set():
                return False
            again = self._may_begin_again()
            if self._fault is None:
                self.status = self._process.exitcode
                return True
            tell(self._fault)
            if self._fault != said:
                _say(self._fault)
            said = self._fault
            if time.monotonic() - begun > _ALIVE:
                pause = _FIRST_PAUSE
            if self._ending.wait(pause if again else None):
                return False
            pause = min(2 * pause, self._longest)
            self._begin(again=True)

    def _wait_out(self, said: str, tell: Callable[[str], None]) -> str:
        """`_wait`, however often it has lost its lease meanwhile."""
        said = self._wait(said, tell)
        while self._has_lost() and not self._ending.wait(_FIRST_PAUSE):
            self._words.close()
            self._begin(again=False)
            said = self._wait(said, tell)
        return said

    def _has_lost(self) -> bool:
        return self._process.exitcode == LostError.exit_code

    def _wait(self, said: str, tell: Callable[[str], None]) -> str:
        """Until it has ended; what is wrong still, of what was `said`."""
        while self._process.exitcode is None:
            self._process.join(_LOOK if said else None)
            if said and is_heard(self._config.wake):
                # "the disk", "the bucket": what it was.
                _say(f"{' '.join(said.split(' ')[:2])} is right again")
                said = ""
                tell(said)
        return said

    def close(self, seconds: float) -> None:
        """Have it finish what it does; kill it if that takes longer than `seconds`."""
        self._ending.set()
        self._writer.close()
        if self._thread is not None:
            # It may start one more at this moment, which ends by the lifeline.
            self._thread.join(seconds)
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()


def telling(line: Connection) -> Callable[[str], None]:
    """Tells whoever holds the other end of a pipe, if anybody does."""

    def tell(words: str) -> None:
        with contextlib.suppress(OSError):
            line.send_bytes(words.encode())

    return tell


def _say(words: str) -> None:
    sys.stderr.write(f"sequencer: {words}\n")
    sys.stderr.flush()
