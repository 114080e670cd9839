"""The stage of the demo: runs commands as a person would type them, and shows them.

Each command is printed, run as a process of its own, its output shown, and its exit
status compared with what the story expects: a surprise ends the demo with status 1, so
that the demo is also a test.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_BIN = Path(sys.executable).parent
_START_SECONDS = 20
_END_SECONDS = 10
_MEANING = {0: "", 2: "usage", 3: "could not check", 4: "refused"}


class SurpriseError(Exception):
    """A command ended otherwise than the story says."""


class Stage:
    """A folder, the processes started in it, and what the audience sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._env = os.environ | {
            "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "PCRLOG_STATE": str(folder / "state"),
        }
        # The commands write to a pipe, and the pipe to this terminal, two columns in.
        # Into a file it is the same story for everybody: readline, which pytest loads,
        # exports the size of a terminal that need not be there.
        self._env.pop("COLUMNS", None)
        if sys.stdout.isatty():
            self._env["COLUMNS"] = str(
                os.get_terminal_size(sys.stdout.fileno()).columns - 2
            )
        if self._colour:
            self._env["FORCE_COLOR"] = "1"

    def say(self, text: str) -> None:
        """A heading, and what it means."""
        head, _, rest = text.partition("\n")
        print(f"\n{self._paint('1;36', head)}")
        if rest:
            print(rest)

    def run(self, command: str, *, expect: int = 0) -> str:
        """Run a command line; its output, if it ends with the status expected."""
        print(self._paint("2", f"\n$ {command}"), flush=True)
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        for line in done.stdout.rstrip("\n").splitlines():
            print(f"  {line}")
        if done.returncode != expect:
            message = f"exit {done.returncode}, expected {expect}: {command}"
            raise SurpriseError(message)
        if expect:
            print(self._paint("33", f"  exit {expect}: {_MEANING[expect]}"))
        return done.stdout

    def show(self, line: str) -> None:
        """A line of what came of it."""
        print(f"  {line}", flush=True)

    def quietly(self, command: str) -> None:
        """Run a command line of which nobody needs to see more than that it was run."""
        subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            timeout=60,
            check=True,
        )

    def start(self, command: str, port: int) -> subprocess.Popen[bytes]:
        """Start a server, shown as a person would; it listens when this returns."""
        print(self._paint("2", f"\n$ {command} &"), flush=True)
        with (self.folder / f"server-{port}.txt").open("wb") as output:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self._env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.02)
        output_text = (self.folder / f"server-{port}.txt").read_text()
        message = f"did not start: {command}\n{output_text}"
        raise SurpriseError(message)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one server."""
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._started.remove(process)

    def require_all(self) -> None:
        """See to it that whatever was started still runs.

        Raises:
            SurpriseError: something does not.
        """
        for process in self._started:
            if process.poll() is not None:
                message = f"ended by itself: {process.args!s}"
                raise SurpriseError(message)

    def close(self) -> None:
        """End whatever was started."""
        for process in list(self._started):
            self.stop(process)

    def write(self, name: str, content: str) -> None:
        """A file of the story."""
        (self.folder / name).write_text(content)

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def free_ports(number: int) -> Sequence[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
