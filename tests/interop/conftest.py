"""Fixtures of the interop tests: one log that all of them read, and spoil in copies."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.interop.published import Published

SECONDS = 30


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The log. Nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        # No test of it loses power, and a disk is slow.
        patch.setattr("log_server.sqlite_engine.DURABLE", "off")
        patch.setattr(os, "fsync", lambda _descriptor: None)
        return Published.create(tmp_path_factory.mktemp("published") / "log")


@pytest.fixture(scope="session")
def url(published: Published) -> Iterator[str]:
    """The log, served by `pcrlog-server serve` on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = str(published.log.config.directory)
    with subprocess.Popen(
        [sys.executable, "-m", "log_server", "serve", folder, "--listen", address],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert select.select([server.stdout], [], [], SECONDS)[0]
            assert address in server.stdout.readline()
            yield f"http://{address}/"
            server.terminate()
            assert server.wait(SECONDS) == 0
        finally:
            if server.poll() is None:
                server.kill()
