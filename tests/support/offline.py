"""A guard: no test of this process talks to another machine by mistake.

Python tells an audit hook of each connection and look-up before it is made. A hook
cannot be taken away again, hence the switch. Processes that a test starts are not
guarded.
"""

import ipaddress
import sys
from dataclasses import dataclass


class OfflineError(Exception):
    """A test that is not marked `online` tried to leave this machine."""


@dataclass
class Guard:
    """Refuses addresses beyond loopback while `active`."""

    active: bool = False

    def install(self) -> None:
        """Begin to listen, for as long as this process lives."""
        sys.addaudithook(self.hear)
        self.active = True

    def hear(self, event: str, args: tuple[object, ...]) -> None:
        """Refuse an event that leads off this machine (Python calls this)."""
        if not self.active:
            return
        if event == "socket.getaddrinfo":
            _refuse_beyond_loopback(args[0])
        elif event in {"socket.connect", "socket.sendto"}:
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
