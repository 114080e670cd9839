"""A process beside this one, for work that would keep Python's one lock.

Signature checks and the index each take about as long as all else that a mirror does
with an entry, so each has a process (mirror_checking.py, mirror_indexing.py). Where
there is little to do, less than to start one, the work is done here.

What goes through the pipes is a length (u32, big-endian) and a MessagePack value, a
request or its one answer, in order. The pipe is the lifeline too: the process ends when
its other end is closed, however its parent came to its end.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self, TypeAlias, TypeVar, cast

from msgspec import msgpack

from pcrlog.errors import UncheckedError

_LENGTH = 4
_PATIENCE = 10
"""Seconds that the process has to end in."""
_PACKAGES = str(Path(__file__).parents[1])
T = TypeVar("T")


def _write(pipe: IO[bytes], message: object) -> None:
    data = msgpack.encode(message)
    pipe.write(len(data).to_bytes(_LENGTH) + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None if the other end was closed."""
    size = int.from_bytes(pipe.read(_LENGTH))
    data = pipe.read(size)
    return data if size and len(data) == size else None


Answer: TypeAlias = Callable[[bytes], object]
"""From a request, encoded, to its answer."""


class Helper:
    """The process, between `__enter__` and `__exit__`.

    Args:
        answer: what it does.
        command: a module that gives `serve` the same, and its arguments; None: no
            process, it is done here.
    """

    def __init__(self, answer: Answer, command: Sequence[str] | None) -> None:
        self._answer = answer
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # One thread waits on the pipes: both may block, and requests go in order.
        self._thread = ThreadPoolExecutor(1, "helper")
        if self._command is not None:
            self._process = self._start(self._command)
        return self

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        before = os.environ.get("PYTHONPATH")
        packages = _PACKAGES if before is None else f"{_PACKAGES}{os.pathsep}{before}"
        return subprocess.Popen(  # noqa: S603 - our own module, and no shell
            [sys.executable, "-P", "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": packages},
            # Ctrl-C may come before the process can say that it ignores it.
            process_group=0,
        )

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                cast("IO[bytes]", pipe).close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, request: object, answer: "msgpack.Decoder[T]") -> "Future[T]":
        """Ask for something; the future raises `UncheckedError` if nobody answers."""
        return self._thread.submit(self._ask, request, answer)

    def _ask(self, request: object, answer: "msgpack.Decoder[T]") -> T:
        if self._process is None:
            here = self._answer(msgpack.encode(request))
            return answer.decode(msgpack.encode(here))
        try:
            _write(cast("IO[bytes]", self._process.stdin), request)
            data = _read(cast("IO[bytes]", self._process.stdout))
        except BrokenPipeError:
            data = None
        if data is None:
            message = "a process that was started for this has ended: run this again"
            raise UncheckedError(message)
        return answer.decode(data)


def serve(answer: Answer) -> None:
    """Answer requests on standard input until the other end is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        while (data := _read(sys.stdin.buffer)) is not None:
            _write(sys.stdout.buffer, answer(data))
