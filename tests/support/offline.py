"""A guard: no test of this process talks to another machine by mistake.

It stands before each connection and look-up of Python's own sockets. Not an audit hook:
with one, and coverage measured, two threads that start at the same moment fail ("Cannot
install a trace function while another trace function is being installed", Python 3.11).
Processes that a test starts are not guarded.
"""

import functools
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class OfflineError(Exception):
    """A test that is not marked `online` tried to leave this machine."""


@dataclass
class Guard:
    """Refuses addresses beyond loopback while `active`."""

    active: bool = False

    def install(self) -> None:
        """Stand there, for as long as this process lives."""
        for name in ("connect", "connect_ex", "sendto"):
            plain = getattr(socket.socket, name)
            # The address comes last, in each of them.
            guarded = self._before(
                plain, lambda args: self.hear("socket.connect", (args[0], args[-1]))
            )
            setattr(socket.socket, name, guarded)
        socket.getaddrinfo = self._before(
            socket.getaddrinfo, lambda args: self.hear("socket.getaddrinfo", args)
        )
        self.active = True

    def _before(
        self, plain: Callable[..., Any], look: Callable[[tuple[Any, ...]], None]
    ) -> Callable[..., Any]:
        @functools.wraps(plain)
        def guarded(*args: Any, **more: Any) -> Any:
            look(args)
            return plain(*args, **more)

        return guarded

    def hear(self, event: str, args: tuple[object, ...]) -> None:
        """Refuse an event that leads off this machine."""
        if not self.active:
            return
        if event == "socket.getaddrinfo":
            _refuse_beyond_loopback(args[0])
        elif event == "socket.connect":
            address = args[1]
            if isinstance(address, tuple):  # a path, else: a socket file
                _refuse_beyond_loopback(address[0])


def _refuse_beyond_loopback(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in {"", "localhost"}:
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass  # a name: looking it up would already ask another machine
    message = f"this test talks to {name}: mark it online, or serve it on loopback"
    raise OfflineError(message)
