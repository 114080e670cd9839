"""What a sink of alerts is; the one that prints; and the heartbeat.

A sink takes one alert at a time or raises `RefusedError`. It does not try again, and it
remembers nothing: that is the queue's part (`deliver`). What a log said is in an alert,
so nothing of it may become a header, a mention in a chat, or a line of its own. The
other sinks are `webhook` and `mail`.

>>> from io import BytesIO
>>> out = BytesIO()
>>> alert = Alert.of("frozen", "log.example/pcr", "seal 9", "frozen", time=0)
>>> StdoutSink(out).deliver(alert, now=0)
>>> out.getvalue()[:24]
b'{"about":"seal 9","do":"'
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from monitor import config
from monitor.alerts import Alert
from pcrlog.encoding import encode_json, printable
from pcrlog.errors import TransportError, UsageError
from pcrlog.exchange import Exchange

_log = logging.getLogger(__name__)
ANSWER = 1 << 20
"""Nothing of it is used but a few words; a larger answer is a mistake of its own."""
TAKEN = range(200, 300)
_SECRET_FILE = 4096
_HEARD_SECONDS = 20.0
_TELLING = 4  # characters of a path that a word may not have by chance


class RefusedError(TransportError):
    """A sink did not take an alert; `retry_after`: seconds that it asks us to wait."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Sink(Protocol):
    """Takes alerts; for one thread."""

    def deliver(self, alert: Alert, now: int) -> str | None:
        """Hand over an alert; when this returns, it was taken.

        Returns:
            What to tell the operator all the same.

        Raises:
            RefusedError: it was not taken, or nobody knows.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class StdoutSink:
    """A line of canonical JSON for each alert."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def deliver(self, alert: Alert, now: int) -> None:  # noqa: ARG002 - see Sink
        """Print it."""
        try:
            self._stream.write(encode_json(alert) + b"\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            message = f"cannot write to standard output: {error}"
            raise RefusedError(message) from error

    def close(self) -> None:
        """Standard output is not ours to close."""


def read_secret(path: Path) -> bytes:
    """The bytes of a small file.

    Raises:
        UsageError: it cannot be read, or is larger than a secret.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_SECRET_FILE + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > _SECRET_FILE:
        message = f"{path} has more than {_SECRET_FILE} bytes"
        raise UsageError(message)
    return data


def without_path(words: str, url: str) -> str:
    """`words` without the path of a url in them: for many receivers it is the secret.

    >>> without_path("could not ask https://h.example/T1/x: no", "https://h.example/T1/x")
    'could not ask https://h.example/...: no'
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    words = words.replace(url, f"{scheme}://{host}/...") if path else words
    return printable(words.replace(path, "...") if len(path) >= _TELLING else words)


# --- heartbeat ------------------------------------------------------------------------


class Heartbeat:
    """Tells somebody else that this monitor lives and could look.

    Whoever is told raises the alarm when nothing comes. It is asked on a thread of its
    own, so that a round never waits for it.

    Args:
        settings: where, and how often at most.
        monotonic: seconds that only grow.
    """

    def __init__(
        self, settings: config.Heartbeat, monotonic: Callable[[], float]
    ) -> None:
        self._url = settings.url
        self._every = config.seconds(settings.every)
        self._monotonic = monotonic
        self._last: float | None = None
        self._thread: threading.Thread | None = None
        self.problem: str | None = None

    def beat(self) -> None:
        """After a round that could look: say so, unless it was said just now."""
        now = self._monotonic()
        if self._last is not None and now - self._last < self._every:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._last = now
        self._thread = threading.Thread(target=self._ask, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self, seconds: float = _HEARD_SECONDS) -> None:
        """Wait for the last one to be heard."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _ask(self) -> None:
        try:
            with contextlib.closing(Exchange(self._url)) as exchange:
                status = exchange.get("", ANSWER).status
            problem = None if status in TAKEN else f"it answered {status}"
        except TransportError as error:
            problem = without_path(str(error), self._url)
        if problem is not None and problem != self.problem:
            _log.warning("the heartbeat was not heard: %s", problem)
        self.problem = problem
