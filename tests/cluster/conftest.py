"""Fixtures of the cluster tests: PostgreSQL; a bucket on a server that speaks S3."""

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.support import postgres as support
from tests.support.bucket_server import KEYS, BucketServer, Gate

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with BucketServer.start(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture
def gate(
    bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gate]:
    """The way to the server; credentials are in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with Gate.before(bucket_server) as gate:
        yield gate


@pytest.fixture
def bucket(bucket_server: BucketServer) -> str:
    """The name of a new bucket."""
    name = f"bucket-{next(_NUMBERS)}"
    bucket_server.make(name)
    return name


@pytest.fixture(scope="session")
def postgres() -> Iterator[support.Postgres]:
    """A server for all tests; skips without one, and fails without it in CI."""
    reason = support.absent()
    if reason and os.environ.get("CI") != "true":
        pytest.skip(reason)
    with support.running(durable=False) as server:
        yield server
