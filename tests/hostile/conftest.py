"""A log in a folder, for the tests that talk to its web process."""

from collections.abc import Iterator

import pytest
from flask import Flask

from log_server.app import create_app
from tests.unit.log_server.parties import Log, Party


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Party]]:
    """The web process of a log with one release in it, and who released."""
    with pytest.MonkeyPatch.context() as patch:
        # No test here loses power, and a disk is slow.
        patch.setattr("log_server.sqlite_engine.DURABLE", "off")
        patch.setattr("os.fsync", lambda _descriptor: None)
        log = Log.create(tmp_path_factory.mktemp("served") / "log")
        acme = log.enrol("acme.example", "provider")
        log.accept(acme.release())
        app = create_app(log.config, clock=log.clock)
        yield app, acme
        app.extensions["pcrlog"].close()
