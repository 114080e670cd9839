"""The guard against tests that leave this machine."""

import contextlib
import socket

import pytest

from tests.support.offline import Guard, OfflineError

# TEST-NET-1 (RFC 5737): nobody is there, should the guard fail.
ELSEWHERE = "192.0.2.1"


def test_looking_up_another_machine_is_refused() -> None:
    with pytest.raises(OfflineError, match="mark it online"):
        socket.getaddrinfo("log.example", 443)


def test_connecting_to_another_machine_is_refused() -> None:
    with (
        contextlib.closing(socket.socket()) as client,
        pytest.raises(OfflineError, match="mark it online"),
    ):
        client.connect((ELSEWHERE, 443))


def test_loopback_is_free() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        with contextlib.closing(
            socket.create_connection(("localhost", port))
        ) as client:
            assert client.getpeername()[1] == port


@pytest.mark.parametrize("host", [ELSEWHERE, "2001:db8::1", "log.example", b"a.test"])
def test_hosts_beyond_loopback_are_refused(host: object) -> None:
    guard = Guard(active=True)
    with pytest.raises(OfflineError):
        guard.hear("socket.getaddrinfo", (host, 443))
    with pytest.raises(OfflineError):
        guard.hear("socket.connect", (None, (host, 443)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "", None])
def test_hosts_on_this_machine_pass(host: object) -> None:
    guard = Guard(active=True)
    guard.hear("socket.getaddrinfo", (host, 443))
    guard.hear("socket.connect", (None, (host, 443)))


def test_socket_files_and_other_events_pass() -> None:
    guard = Guard(active=True)
    guard.hear("socket.connect", (None, "server.sock"))
    guard.hear("open", (ELSEWHERE, "r", 0))


def test_a_test_that_is_marked_online_is_not_guarded() -> None:
    Guard(active=False).hear("socket.connect", (None, (ELSEWHERE, 443)))
