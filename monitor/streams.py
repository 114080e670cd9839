"""Standard output and error of a process that goes on when nobody reads them any more.

What a monitor says on standard error is for whoever looks. If that pipe is broken, its
disk full, or there is none (`2>&-`), the words are lost, and nothing else: rounds and
cosignatures go on. An alert is not lost: without a standard output (`>&-`), the sink
that prints there refuses it, and it waits.
"""

import os
import sys
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO, NoReturn

_STANDARD = 2


def say(text: str) -> None:
    """Write to standard error, now."""
    # Looked up each time; without a standard error it is None, whatever its type says.
    stream = getattr(sys, "stderr", None)
    if stream is not None:
        with suppress(OSError):
            try:
                stream.write(text)
                stream.flush()
            except BrokenPipeError:
                # It will not come back. What is left in the buffer would make Python
                # end with a status of its own.
                _open_nothing(stream.fileno())
                raise


def _open_nothing(number: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)


def keep_places() -> None:
    """Take the places of closed standard streams: nothing can be written there.

    Whatever is opened next would get them. A process that is started with such a pipe
    would take it for its standard output, and alerts printed there for delivered.
    """
    while (number := os.open(os.devnull, os.O_RDONLY)) <= _STANDARD:
        os.set_inheritable(number, True)  # noqa: FBT003 - that function's own
    os.close(number)


def is_terminal() -> bool:
    """Whether people read standard error as it is written."""
    stream = getattr(sys, "stderr", None)
    return stream is not None and stream.isatty()


def output() -> BinaryIO:
    """Standard output; if there is none, a stream that refuses what is written."""
    stream = getattr(sys, "stdout", None)
    if stream is None:
        return _Closed()
    found: BinaryIO = stream.buffer
    return found


class _Closed(BytesIO):
    def write(self, _data: object) -> NoReturn:
        message = "it is closed"
        raise OSError(message)
