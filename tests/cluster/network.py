"""Machines that are none: each has a network of its own, and can be cut off.

    hub (where the tests and PostgreSQL are)
     ├── 10.77.N.1 ── 10.77.N.2   node N, to the database: may be cut
     └── 10.78.N.1 ── 10.78.N.2   node N, to its clients and witnesses

Namespaces of the kernel, without names: nothing is left of them when the processes in
them are gone. Only root may make them; whoever is not gets `Loopback`, where nothing
can be cut. A link is cut by a queue at each end that is too small for any packet: as in
a real one, nobody is told.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from tests.e2e.served import free_port

HUB = "PCRLOG_TEST_HUB"
_SECONDS = 10
_PORT = 8080
_DROPS = ("tbf", "rate", "8bit", "burst", "1", "limit", "1")


class Place(Protocol):
    """Where a node runs."""

    address: str
    port: int
    database: str
    hub: str

    def command(self, words: Sequence[str]) -> list[str]:
        """What starts a program there."""

    def cut(self) -> None:
        """From now on nothing comes from the database, or goes there."""

    def mend(self) -> None:
        """The opposite."""

    def close(self) -> None:
        """Nothing is left."""


def _run(*words: str) -> None:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        message = f"{' '.join(words)}: {done.stderr or done.stdout}"
        raise OSError(message)


def absent() -> str:
    """Why nothing can be cut here; empty if it can."""
    if os.geteuid() != 0:
        return "only root makes namespaces"
    for program in ("ip", "tc", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"there is no {program} (Debian: iproute2, util-linux)"
    # In a namespace of its own, it does no harm.
    tried = subprocess.run(
        ["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", *_DROPS],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    return tried.stderr.strip()


def enter(module: str, arguments: Sequence[str]) -> None:
    """Go on in a namespace, if there can be one: this process becomes the hub."""
    if is_hub() or absent():
        return
    sys.stdout.flush()
    os.environ[HUB] = "1"
    words = ["unshare", "-n", sys.executable, "-m", module, *arguments]
    os.execvp(words[0], words)  # noqa: S606 - it is this one, elsewhere


def is_hub() -> bool:
    """Whether this process is in a namespace of its own."""
    return bool(os.environ.get(HUB))


def place(number: int, database: str) -> Place:
    """Where node `number` runs; `database` is a URI with a Unix socket."""
    if is_hub():
        return Namespace(number)
    return Loopback(database)


def prepare() -> None:
    """Once, in the hub."""
    if is_hub():
        _run("ip", "link", "set", "lo", "up")


class Loopback:
    """All of it is this machine."""

    address = hub = "127.0.0.1"

    def __init__(self, database: str) -> None:
        self.port = free_port()
        self.database = database

    def command(self, words: Sequence[str]) -> list[str]:
        """As it is."""
        return list(words)

    def cut(self) -> None:
        """It cannot be cut."""
        message = "loopback cannot be cut"
        raise OSError(message)

    def mend(self) -> None:
        """It is whole."""

    def close(self) -> None:
        """There is nothing."""


class Namespace:
    """A network of its own, held by a process that ends with this one."""

    def __init__(self, number: int) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout is not None
        self._keeper.stdout.readline()
        self._inside = ["nsenter", f"--net=/proc/{self._keeper.pid}/ns/net", "--"]
        self._link, self._cuts = f"db{number}", 0
        for name, net in ((self._link, 77), (f"cl{number}", 78)):
            there = name[:2]
            pid = str(self._keeper.pid)
            words = ("type", "veth", "peer", "name", there, "netns", pid)
            _run("ip", "link", "add", name, *words)
            _run("ip", "addr", "add", f"10.{net}.{number}.1/30", "dev", name)
            _run("ip", "link", "set", name, "up")
            self._do("ip", "addr", "add", f"10.{net}.{number}.2/30", "dev", there)
            self._do("ip", "link", "set", there, "up")
        self._do("ip", "link", "set", "lo", "up")
        self.address, self.port = f"10.78.{number}.2", _PORT
        self.database, self.hub = f"10.77.{number}.1", f"10.78.{number}.1"

    def _do(self, *words: str) -> None:
        _run(*self._inside, *words)

    def command(self, words: Sequence[str]) -> list[str]:
        """Inside; the process that is started is the program itself."""
        return [*self._inside, *words]

    def cut(self) -> None:
        """Both ways; nobody is told. Who is cut twice is mended twice."""
        self._cuts += 1
        if self._cuts > 1:
            return
        _run("tc", "qdisc", "add", "dev", self._link, "root", *_DROPS)
        self._do("tc", "qdisc", "add", "dev", "db", "root", *_DROPS)

    def mend(self) -> None:
        """What is sent anew comes through."""
        self._cuts -= 1
        if self._cuts > 0:
            return
        _run("tc", "qdisc", "del", "dev", self._link, "root")
        self._do("tc", "qdisc", "del", "dev", "db", "root")

    def close(self) -> None:
        """The namespace goes with the last process in it."""
        self._keeper.kill()
        self._keeper.wait(_SECONDS)
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream is not None:
                stream.close()
