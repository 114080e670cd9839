"""git, run as a program that answers questions about one directory.

With an environment of its own, so that no variable and no configuration of the user or
the machine changes what it says; without hooks, pagers, prompts, file system monitors,
locks or the network; its answers and its time are bounded. What the repository itself
configures to compare contents (filters) git does run: nothing else can tell a changed
file from a clean one.
"""

import os
import subprocess
import threading
from tempfile import TemporaryFile
from typing import IO

from pcrlog.encoding import printable
from pcrlog.errors import UsageError

SECONDS = 60.0
"""For one question."""
_ANSWER = 64 << 20
"""Bytes of git's longest answer: a list of all files of a large tree."""
LINE = 4_096
"""Bytes of an answer that is one line, such as a list of remotes."""
_WORDS = 500
"""Bytes of what git says went wrong that are told: the last ones."""
_QUIET = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
}


class Git:
    """git, in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def ask(self, *words: str, most: int = _ANSWER) -> bytes:
        """What git prints.

        Raises:
            UsageError: it is not there, fails, takes too long, or prints too much.
        """
        status, data, told = self._run(words, most)
        if status:
            message = f"git {words[0]} in {self._directory}: {told or 'failed'}"
            raise UsageError(message)
        return data

    def line(self, *words: str) -> str | None:
        """The one line that git prints; None if it fails, or prints nothing."""
        status, data, _ = self._run(words, LINE)
        found = data.decode("utf-8", "replace").strip("\n")
        return None if status or not found else found

    def _run(self, words: tuple[str, ...], most: int) -> tuple[int, bytes, str]:
        """Exit status, what git printed, and the end of what it complained of."""
        settings = [part for one in _QUIET for part in ("-c", one)]
        command = ["git", "-C", self._directory, "--no-pager", *settings, *words]
        environment = {"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT}
        with TemporaryFile() as errors:
            try:
                process = subprocess.Popen(  # noqa: S603 - git, by its name, and no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                message = f"git cannot be run: {error.strerror}"
                raise UsageError(message) from error
            data = _bounded(process, most, words[0])
            return process.returncode, data, _last(errors)


def _bounded(process: "subprocess.Popen[bytes]", most: int, what: str) -> bytes:
    """All that a process prints, of at most `most` bytes, in at most `SECONDS`."""
    over = threading.Event()

    def end() -> None:
        over.set()
        process.kill()

    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        with process:
            data = b"" if process.stdout is None else process.stdout.read(most + 1)
            if len(data) > most:
                process.kill()
    finally:
        timer.cancel()
    if over.is_set():
        message = f"git {what} took more than {SECONDS:.0f} seconds"
        raise UsageError(message)
    if len(data) > most:
        message = f"git {what} printed more than {most} bytes"
        raise UsageError(message)
    return data


def _last(errors: IO[bytes]) -> str:
    """The end of what git said, on one line."""
    errors.seek(max(errors.seek(0, os.SEEK_END) - _WORDS, 0))
    said = errors.read(_WORDS).decode("utf-8", "replace").split("\n")
    return printable("; ".join(line.strip() for line in said if line.strip()), _WORDS)
