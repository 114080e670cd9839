"""A foreign program, run for as long and for as much as it is allowed, and no further.

Without a shell, with nothing on its standard input, in an environment that is given
whole, and in a session of its own: what it started and left behind ends with it, in
whatever process group it is. (What starts a session of its own again, or asks a daemon
such as docker's to work for it, is out of reach.) This bounds a build that hangs or
floods; it confines nothing: the program may do whatever the user may.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pcrlog.encoding import printable
from pcrlog.errors import UncheckedError, UsageError

_PART = 65_536
_TURN = 0.2
"""Seconds between two looks at the clock."""
_DRAIN = 1.0
"""Seconds in which what a program had printed must have arrived, once it has ended."""
_LAST = 4_096
"""Bytes of the end of what was printed that are kept to be told."""
_LINES = 8
"""Lines of them."""

Told = Callable[[str], None]


class Bounds(Struct, frozen=True):
    """How long a program may run, and how much it may print."""

    seconds: float
    output: int


class Ran(Struct, frozen=True):
    """How a program ended.

    `status`: its exit status, negative if a signal ended it. `over`: which bound it
    broke, so that it was ended; empty if none. `last`: the last lines that it printed.
    """

    status: int
    over: str
    last: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it came to its end and says that all went well."""
        return self.status == 0 and not self.over

    @property
    def words(self) -> str:
        """How it ended, in a few words."""
        if self.over:
            return self.over
        if self.status < 0:
            return f"was ended by signal {-self.status}"
        return f"ended with exit status {self.status}"


@dataclass(frozen=True)
class Program:
    """What is run: words of a command line, where, and with which environment.

    `given` is its standard input (nothing, if None). What it complains of goes into
    `errors`, or, if None, to where all that it prints goes.
    """

    words: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    given: BinaryIO | None = None
    errors: BinaryIO | None = None


def run(
    program: Program, bounds: Bounds, log: BinaryIO, told: Told | None = None
) -> Ran:
    """Run a program to its end, or to a bound; all that it prints goes into `log`.

    Args:
        program: what is run.
        bounds: what it may not go beyond.
        log: an open file for what it prints, of at most `bounds.output` bytes.
        told: is handed the newest line, for people who wait.

    Raises:
        UsageError: it cannot be started.
        UncheckedError: it does not end when it is killed.
    """
    started = time.monotonic()
    try:
        with _deferred() as came:
            process = subprocess.Popen(  # noqa: S603 - the caller's own words, and no shell
                list(program.words),
                cwd=program.folder,
                env=dict(program.environment),
                stdin=program.given or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=program.errors or subprocess.STDOUT,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        message = f"{program.words[0]} cannot be run: {why}"
        raise UsageError(message) from error
    tail = _Tail(log, bounds.output, told)
    try:
        for number in came:
            signal.raise_signal(number)
        over = _follow(process, started + bounds.seconds, tail)
    finally:
        _end(process)
    if over == _LATE:
        over = f"took more than {bounds.seconds:g} s, and was ended"
    return Ran(process.returncode, over, tail.last(), time.monotonic() - started)


@contextlib.contextmanager
def _deferred() -> Iterator[list[int]]:
    """Collects the signals that come while a program is started.

    An interrupt right after the fork would leave a program that nobody knows of.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(handler := signal.getsignal(number)):  # not the system's
                before[number] = handler
                signal.signal(number, lambda one, _frame: came.append(one))
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_LATE = "late"


class _Tail:
    """What a program prints: written to a file, counted, and its end kept."""

    def __init__(self, log: BinaryIO, most: int, told: Told | None) -> None:
        self._log, self._left, self._told = log, most, told
        self._most = most
        self._kept = b""

    def take(self, part: bytes) -> str:
        """Keep what arrived; which bound it broke, if it did."""
        self._log.write(part[: self._left])
        self._kept = (self._kept + part)[-_LAST:]
        if len(part) > self._left:
            return f"printed more than {self._most} bytes, and was ended"
        self._left -= len(part)
        lines = self.last()
        if self._told is not None and lines:
            self._told(lines[-1])
        return ""

    def last(self) -> tuple[str, ...]:
        """The last lines, printable."""
        text = self._kept.decode("utf-8", "replace")
        lines = [printable(one.strip(), 200) for one in text.splitlines()]
        return tuple([one for one in lines if one][-_LINES:])


def _follow(process: "subprocess.Popen[bytes]", end: float, tail: _Tail) -> str:
    """Read until the program has ended and all is read; which bound it broke."""
    stream = process.stdout
    if stream is None:  # pragma: no cover - it was asked for
        raise OSError
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        last = end  # when reading stops, whatever holds the pipe open
        while (now := time.monotonic()) < last:
            if last == end and _has_ended(process):
                last = now + _DRAIN
            if not selector.select(_TURN):
                continue
            part = os.read(stream.fileno(), _PART)
            if not part:
                return "" if _wait(process, end) else _LATE
            if over := tail.take(part):
                return over
    return "" if _has_ended(process) else _LATE


def _wait(process: "subprocess.Popen[bytes]", end: float) -> bool:
    """Wait for the end of a program that has closed its output; whether it came."""
    while not _has_ended(process):
        if time.monotonic() >= end:
            return False
        time.sleep(_TURN / 100)
    return True


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has ended; it stays a zombie, so that its number stays its own."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None


def absolute(path: str) -> str:
    """A PATH without what depends on the folder in which a program is run.

    Here that folder is a stranger's, and may hold a `git` or a `podman` of its own.
    """
    places = path.split(os.pathsep)
    return os.pathsep.join(one for one in places if Path(one).is_absolute())


# --- its end -------------------------------------------------------------------------

_DYING = 30.0
"""Seconds that what was killed may take to end: a lot of memory, a slow disk."""
_ROUNDS = 20
"""How often what is left of a session is looked for: it may start more meanwhile."""
_STAT = 4_096
_ENDED = (b"Z", b"X")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the program and all of its session, and reap it.

    Raises:
        UncheckedError: it does not, as another user's would not.
    """
    # It is not reaped yet: its number, and that of its group and session, are its own.
    with contextlib.suppress(PermissionError):  # all of it is another user's (sudo)
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_ROUNDS):
        if not [one for one in _session(process.pid) if _killed(one, process.pid)]:
            break
    if process.stdout is not None:
        process.stdout.close()
    try:
        process.wait(_DYING)
    except subprocess.TimeoutExpired as error:
        message = f"process {process.pid} does not end: it may be another user's"
        raise UncheckedError(message) from error


def _session(leader: int) -> Iterator[int]:
    """The processes of a session that have not ended, where the system lists them."""
    with contextlib.suppress(FileNotFoundError):  # not Linux: its group has to do
        names = [one.name for one in Path("/proc").iterdir()]
        yield from (int(n) for n in names if n.isdecimal() and _is_of(int(n), leader))


def _is_of(number: int, session: int) -> bool:
    """Whether a process is one of a session, and has not ended (proc(5), stat)."""
    try:
        with Path(f"/proc/{number}/stat").open("rb") as file:
            words = file.read(_STAT).rpartition(b")")[2].split()
    except OSError:  # it has gone meanwhile
        return False
    state, _, _, found, *_ = words
    return state not in _ENDED and int(found) == session


def _killed(number: int, session: int) -> bool:
    """End one process of a session; whether there was one that could be."""
    try:
        handle = os.pidfd_open(number)
    except OSError:
        return False
    try:
        if not _is_of(number, session):  # the number may be another's by now
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    else:
        return True
    finally:
        os.close(handle)
