"""The worked example, served: one log for all tests of pages that only read."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from demo.example import write
from log_server.app import create_app
from log_server.config import Config
from tests.unit.log_server.parties import NOW


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Config:
    with pytest.MonkeyPatch.context() as patch:
        # No test here loses power, and a disk is slow.
        patch.setattr("log_server.sqlite_engine.DURABLE", "off")
        patch.setattr("os.fsync", lambda _descriptor: None)
        folder = tmp_path_factory.mktemp("example") / "log"
        return write(folder, "log.example/pcr", lambda: NOW)


@pytest.fixture(scope="module")
def shown(example: Config) -> Iterator[Flask]:
    app = create_app(example, clock=lambda: NOW)
    app.testing = False  # errors are to be answered, not raised
    yield app
    app.extensions["pcrlog"].close()


@pytest.fixture
def reader(shown: Flask) -> FlaskClient:
    return shown.test_client()
