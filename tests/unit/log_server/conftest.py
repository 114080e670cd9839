"""Fixtures for tests of the server: a new log, its parties, its web process."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from log_server.app import create_app
from log_server.wake import Bell
from tests.unit.log_server.parties import Log, Party


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit test loses power, and a disk is slow; tests/e2e does wait for it."""
    monkeypatch.setattr("log_server.sqlite_engine.DURABLE", "off")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log")


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@pytest.fixture
def lab(log: Log) -> Party:
    return log.enrol("lab.example", "auditor")


@pytest.fixture
def app(log: Log) -> Iterator[Flask]:
    app = create_app(log.config, clock=log.clock)
    app.testing = False  # errors are to be answered, not raised
    yield app
    app.extensions["pcrlog"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def running(log: Log, acme: Party) -> Iterator[None]:
    """A sequencer that works whenever it is woken, in a thread; acme is enrolled."""
    end, ready = threading.Event(), threading.Event()

    def run() -> None:
        with log.sequencer() as sequencer:
            bell = Bell(log.config.wake)
            ready.set()
            while not end.is_set():
                bell.wait(0.05)
                while sequencer.round():
                    pass
            bell.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    yield
    end.set()
    thread.join(10)
