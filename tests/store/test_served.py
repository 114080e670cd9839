"""A log with its database in PostgreSQL, by the commands that an operator types."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.served import Served, is_running, open_files, until
from tests.support import postgres as support
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import ORIGIN, Log, Party

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    """One that the test may stop; the other is asked for to skip with its reason."""
    with support.running(durable=False) as server:
        yield server


@pytest.fixture(params=["postgresql"])
def database(server: Postgres) -> str:
    return server.database()


@pytest.fixture
def log(tmp_path: Path, database: str) -> Log:
    return Log.create(tmp_path / "log", int(time.time()), database)


@pytest.fixture
def served(log: Log, acme: Party) -> Iterator[Served]:
    served = Served.start(log).wait_until_served()
    pids = served.children
    yield served
    served.close()
    for pid in pids:
        if is_running(pid) and "sequencer.lock" in open_files(pid):
            os.kill(pid, signal.SIGKILL)


def command(*words: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "log_server", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def checked(folder: Path, *, leaves: int) -> bool:
    """Whether `fsck` finds so many leaves and nothing wrong."""
    status, out, err = command("fsck", folder)
    assert (status, err) == (0, ""), (out, err)
    return out.startswith(f"{ORIGIN}: {leaves} leaves, nothing wrong.\n")


def test_a_log_is_made_checked_and_frozen(tmp_path: Path, postgres: Postgres) -> None:
    folder, url = tmp_path / "made", postgres.database()
    status, out, err = command(
        "init", folder, "--origin", ORIGIN, "--database", url, "--json"
    )
    assert (status, err) == (0, "")
    assert json.loads(out)["origin"] == ORIGIN
    assert checked(folder, leaves=2)
    status, _, err = command(
        "init", tmp_path / "again", "--origin", ORIGIN, "--database", url
    )
    assert status == 2
    assert "is not empty" in err
    status, out, err = command("freeze", folder, "--yes", "--json")
    assert (status, json.loads(out)["size"], err) == (0, 3, "")
    assert checked(folder, leaves=3)


def test_it_is_served_and_outlives_its_database(
    log: Log, acme: Party, served: Served, server: Postgres
) -> None:
    status, found = served.submit(acme.release(1))
    assert (status, found["index"]) == (201, 4)
    assert json.loads(served.get("/healthz"))["ok"] is True
    server.stop(signal.SIGQUIT)
    status, found = served.submit(acme.release(2, "2.0.0"))
    assert status == 503, found
    server.start()
    answers: list[int] = []

    def accepted() -> bool:
        answers.append(served.submit(acme.release(2, "2.0.0"))[0])
        return answers[-1] in {200, 201}

    until(accepted, "a statement taken after the database came back")
    assert set(answers[:-1]) <= {202, 503}
    until(lambda: json.loads(served.get("/healthz"))["ok"], "health")
    # What it said of the database is not repeated here: only that it ended well.
    status, err = served.end()
    assert status == 0, err
    assert "Traceback" not in err
    assert checked(log.config.directory, leaves=8)
