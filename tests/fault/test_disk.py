"""Faults of the disk under a running server: it says so, reads go on, it heals itself.

Each fault is made by a library that stands before the system's own (failing_disk.c), by
a small disk that is really full, or by bytes written over a database. After each, the
audit: all that was ever answered holds, and all checkpoints are of one history. As many
again are marked slow.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from log_server.fsck import check
from tests.e2e.served import Served, until
from tests.support.audit import Told, audit
from tests.support.failing_disk import Disk, compiled
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e

READ_ONLY = ("write EROFS /log/", "open EROFS /log/", "rename EROFS /log/")
FAULTS = {
    "no space for what comes in": (("write ENOSPC intake.db",), "the disk is full"),
    "no space in log.db": (("write ENOSPC log.db",), "the disk is full"),
    "log.db is not synced": (("sync EIO log.db",), "the disk fails"),
    "no space for tiles": (("write ENOSPC /public/tile/",), "the disk is full"),
    "the checkpoint gets no name": (
        ("rename EIO /public/checkpoint",),
        "the disk fails",
    ),
    # SQLite says so of every error of a write but of a full disk.
    "read-only": (READ_ONLY, "the disk fails"),
}
MORE_FAULTS = {
    "what comes in is not synced": (("sync EIO intake.db",), "the disk fails"),
    "what comes in cannot be written": (("write EIO intake.db",), "the disk fails"),
    "log.db cannot be written": (("write EIO log.db",), "the disk fails"),
    "no space for the checkpoint": (
        ("write ENOSPC /public/.checkpoint",),
        "the disk is full",
    ),
    "tiles are not synced": (("sync EIO /public/",), "the disk fails"),
    "tiles get no name": (("rename ENOSPC /public/tile/",), "the disk is full"),
    "files cannot be written": (
        ("open EROFS /public/", "rename EROFS /public/"),
        "the disk cannot be written",
    ),
    "over quota": (("write EDQUOT /public/",), "the disk is full"),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


@pytest.fixture
def disk(tmp_path: Path, library: Path) -> Disk:
    return Disk(tmp_path, library)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log", int(time.time()))


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@contextmanager
def serving(
    log: Log, disk: Disk | None = None, *, ready: bool = True
) -> Iterator[Served]:
    """A server on a disk that may fail."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({} if disk is None else disk.environment).items():
            patch.setenv(name, value)
        served = Served.start(log)
    try:
        yield served.wait_until_served() if ready else served
    finally:
        served.close()


def health(served: Served) -> tuple[int, dict[str, Any]]:
    status, body = served.ask("GET", "/healthz")
    return status, json.loads(body)


def trouble(served: Served) -> str:
    """What /healthz says of the disk."""
    found = health(served)[1]
    return str(found.get("disk", found.get("detail", "")))


def check_readable(served: Served, told: Told) -> None:
    """Files and published answers are there, whatever the disk does not take."""
    note = served.get("/checkpoint")
    told.show(note)
    size = int(note.split(b"\n")[1])
    served.get(f"/tile/0/000.p/{size}")
    served.get(f"/tile/entries/000.p/{size}")
    served.get("/api/v1/entries/2")
    served.get("/api/v1/lookup?identity=acme.example")


def settle(served: Served, told: Told, envelope: bytes) -> None:
    """What was promised, or has to be said again, is published."""

    def is_published() -> bool:
        status, found = served.submit(envelope)
        if status in {200, 201}:
            told.receipt(envelope, int(str(found["index"])))
            return True
        # While nobody sequences, no answer waits; and no name may ask all the time.
        time.sleep(0.2)
        return False

    until(is_published, "publication")
    told.show(served.get("/checkpoint"))


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(FAULTS, id="some"),
        pytest.param(MORE_FAULTS, id="more", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fails_stops_what_writes_and_heals_by_itself(
    log: Log,
    acme: Party,
    disk: Disk,
    faults: dict[str, tuple[tuple[str, ...], str]],
) -> None:
    told = Told()
    with serving(log, disk) as served:
        for number, (name, (rules, words)) in enumerate(faults.items()):
            disk.fail(*rules)
            envelope = acme.release(1, f"1.0.{number}")
            status, found = served.submit(envelope, "?wait=0")
            if status == 202:
                told.promise(envelope)
            else:
                assert (status, found["type"]) == (503, "urn:pcrlog:problem:storage")
            until(lambda w=words: trouble(served).startswith(w), name)  # type: ignore[misc] # bound at once
            assert health(served)[0] == 503
            check_readable(served, told)
            disk.heal()
            settle(served, told, envelope)
            until(lambda: health(served)[0] == 200, f"health after: {name}")
        code, err = served.end()
    assert code == 0, err
    assert "Traceback" not in err
    assert all(words in err for _, words in faults.values())
    assert "the disk is right again" in err
    audit(log.config, told)


@pytest.mark.slow
def test_it_starts_on_a_full_disk_and_answers_what_can_be_read(
    log: Log, acme: Party, disk: Disk
) -> None:
    told, envelope = Told(), acme.release()
    log.queue(envelope)
    disk.fail("write ENOSPC /public/", "write ENOSPC intake.db-wal")
    with serving(log, disk) as served:
        until(lambda: trouble(served).startswith("the disk is full"), "a word")
        check_readable(served, told)
        assert served.submit(acme.release(2, "2.0.0"), "?wait=0")[0] == 503
        disk.heal()
        settle(served, told, envelope)
        assert served.end()[0] == 0
    audit(log.config, told)


@pytest.mark.slow
def test_it_starts_where_not_even_a_database_can_be_opened_and_waits(
    log: Log, acme: Party, disk: Disk
) -> None:
    told, envelope = Told(), acme.release()
    log.queue(envelope)
    disk.fail("write ENOSPC /log/")
    with serving(log, disk, ready=False) as served:
        time.sleep(2)
        assert served.process.poll() is None
        disk.heal()
        served.wait_until_served()
        settle(served, told, envelope)
        assert served.end()[0] == 0
    audit(log.config, told)


@pytest.mark.slow
def test_a_disk_that_does_not_heal_is_no_reason_not_to_end(
    log: Log, acme: Party, disk: Disk
) -> None:
    with serving(log, disk) as served:
        disk.fail(*READ_ONLY)
        assert served.submit(acme.release(), "?wait=0")[0] in {202, 503}
        code, err = served.end()
    assert code == 0, err
    disk.heal()
    log.sequence()
    assert check(log.config).wrong == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB; skips where one cannot be mounted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "pcrlog-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not one byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_a_disk_that_is_really_full_refuses_and_takes_again(small_disk: Path) -> None:
    log = Log.create(small_disk / "log", int(time.time()))
    acme, told = log.enrol("acme.example", "provider"), Told()
    with serving(log) as served:
        taken, status = [], 202
        ballast = fill(small_disk)
        # What a file has already can be written over: some may be taken still.
        for number in range(2000):
            envelope = acme.release(1, f"1.0.{number}")
            status, _ = served.submit(envelope, "?wait=0")
            if status != 202:
                break
            taken.append(envelope)
            told.promise(envelope)
        assert status == 503
        assert trouble(served).startswith("the disk is full")
        check_readable(served, told)
        ballast.unlink()
        for envelope in [*taken[-1:], acme.release(2, "2.0.0")]:
            settle(served, told, envelope)
        assert served.end()[0] == 0
    audit(log.config, told)


# --- damaged databases ----------------------------------------------------------------


def spoil_table(path: Path, table: str) -> None:
    """Write over the root page of a table, while nobody has the file open."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
        [size] = database.execute("pragma page_size").fetchone()
        [page] = database.execute(
            "select rootpage from sqlite_master where name = ?", (table,)
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("log.db", "word"),
        pytest.param("log.db", "decision", marks=pytest.mark.slow),
        pytest.param("intake.db", "intake", marks=pytest.mark.slow),
    ],
)
def test_what_is_damaged_is_said_nothing_is_signed_and_the_rest_is_read(
    log: Log, acme: Party, file: str, table: str
) -> None:
    path = log.config.directory / file
    log.queue(acme.release())
    spoil_table(path, table)
    before = (log.config.public / "checkpoint").read_bytes()
    with serving(log) as served:
        until(lambda: trouble(served).startswith("a database is damaged"), "a word")
        assert health(served)[0] == 503
        assert served.get("/checkpoint") == before
        served.get("/tile/0/000.p/4")
        served.get("/api/v1/entries/2")
        assert served.submit(acme.release(2, "2.0.0"), "?wait=0")[0] in {202, 503}
        assert served.get("/checkpoint") == before
        code, err = served.end()
    assert code == 0
    assert "run `pcrlog-server fsck`" in err
    assert (log.config.public / "checkpoint").read_bytes() == before


@pytest.mark.slow
def test_a_database_that_is_none_any_more_leaves_the_files(log: Log) -> None:
    log.config.log_db.write_bytes(b"\xa5" * 65_536)
    with serving(log) as served:
        until(lambda: trouble(served).startswith("a database is damaged"), "a word")
        served.get("/checkpoint")
        served.get("/tile/0/000.p/2")
        assert served.ask("GET", "/api/v1/entries/0")[0] == 503
        assert served.end()[0] == 0
