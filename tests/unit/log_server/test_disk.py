"""Faults of the disk are told from mistakes, and heal or do not."""

import errno
import json
import multiprocessing
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from log_server.app import create_app
from log_server.databases import intake_database, log_database
from log_server.direct import submit_directly
from log_server.disk import DamagedError, DiskError, Trouble, fault_of
from log_server.intake import IntakeWriter, Submission
from log_server.sequencing import run_sequencer
from log_server.store import Store
from tests.unit.log_server.parties import Clock, Log, Party
from tests.unit.log_server.test_fsck import edit


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "the disk cannot be written"),
        (errno.EACCES, "the disk cannot be written"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_what_the_system_says_is_told_in_words(number: int, words: str) -> None:
    fault = fault_of(OSError(number, os.strerror(number), "a/file"))
    assert type(fault) is DiskError
    assert str(fault) == f"{words}: a/file: {os.strerror(number)}"
    assert fault.exit_code == 3


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        OSError(errno.ECONNRESET, "x"),
        sqlite3.OperationalError("without a code"),
    ],
)
def test_a_mistake_is_none(error: Exception) -> None:
    assert fault_of(error) is None


def test_a_full_database_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("create table t (b)")
        database.execute("pragma max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as full:
            database.execute("insert into t values (zeroblob(100000))")
    fault = fault_of(full.value)
    assert type(fault) is DiskError
    assert "the disk is full: SQLITE_FULL" in str(fault)
    (tmp_path / "a.db").write_bytes(b"no database at all" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "a.db")) as database,
        pytest.raises(sqlite3.DatabaseError) as spoiled,
    ):
        database.execute("select * from t")
    fault = fault_of(spoiled.value)
    assert type(fault) is DamagedError
    assert "fsck" in str(fault)
    assert fault.exit_code == 4


def test_a_fault_that_is_told_as_one_is_one() -> None:
    fault = DamagedError("x")
    assert fault_of(fault) is fault
    assert type(fault_of(LookupError("trie node 00 is missing"))) is DamagedError


def test_trouble_is_new_once_a_minute_and_then_forgotten() -> None:
    clock = Clock()
    trouble = Trouble(clock)
    assert trouble.words() == ""
    assert trouble.note(DiskError("full"))
    assert not trouble.note(DiskError("full"))
    assert trouble.words() == "full"
    assert trouble.note(DiskError("broken"))
    clock.now += 60
    assert trouble.words() == ""
    assert trouble.note(DiskError("broken"))
    trouble.sequencer = "read-only"
    assert trouble.words() == "read-only"


# --- what is done about them ----------------------------------------------------------


class Full:
    """Fails like a full disk, as often as it is told to."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, *_arguments: object) -> None:
        if self.on:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            error.sqlite_errorname = "SQLITE_FULL"
            raise error


def test_whoever_submits_is_told_to_come_again(
    log: Log, acme: Party, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full()
    monkeypatch.setattr(IntakeWriter, "_insert", full)
    kind = {"Content-Type": "application/json"}
    for _ in range(2):
        answer = client.post("/api/v1/entries", data=acme.release(), headers=kind)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert json.loads(answer.data)["type"] == "urn:pcrlog:problem:storage"
    health = client.get("/healthz")
    assert health.status_code == 503
    told = json.loads(health.data)["disk"]
    assert told.startswith("the disk is full: SQLITE_FULL")
    assert b"pcrlog_disk_fault 1.0" in client.get("/metrics").data
    # What is published is answered as ever.
    assert client.get("/checkpoint").status_code == 200
    assert client.get("/api/v1/entries/0").status_code == 200


def test_a_server_starts_on_a_full_disk_and_its_first_row_begins_anew(
    log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full()
    with monkeypatch.context() as patch:
        patch.setattr(IntakeWriter, "_never_reuse_ids", full)
        app = create_app(log.config, clock=log.clock)
        assert app.test_client().get("/api/v1/entries/0").status_code == 200
        app.extensions["pcrlog"].close()
        store = Store(log_database(log.config))
        writer = IntakeWriter(intake_database(log.config), lambda: 7, lambda: None)
    envelope = acme.release()
    row = writer.put(Submission(envelope, bytes(32), False, log.clock()))  # noqa: FBT003 - a row
    assert row == 8, "beyond what is decided"
    writer.close()
    store.close()


def sequenced(log: Log, *, again: bool = False) -> tuple[int, str]:
    """Exit status of a sequencer's process, and what it told of the disk."""
    lifeline, ours = multiprocessing.Pipe(duplex=False)
    words, theirs = multiprocessing.Pipe(duplex=False)
    ours.close()
    with lifeline, words:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("signal.signal", lambda _number, _what: None)
            try:
                run_sequencer(log.config, log.clock, lifeline, theirs, again)
                status = 0
            except SystemExit as error:
                status = int(str(error.code))
        theirs.close()
        try:
            return status, words.recv_bytes().decode()
        except EOFError:
            return status, ""


def test_a_sequencer_tells_what_the_disk_did_before_it_ends(
    log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("log_server.publisher.Publisher.recover", Full())
        status, words = sequenced(log)
    assert (status, words.partition(":")[0]) == (3, "the disk is full")
    assert sequenced(log, again=True) == (0, "")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("update tile set hashes = zeroblob(128) where level = 0", "do not lead"),
        ("update tile set hashes = zeroblob(32) where level = 0", "want at least"),
        ("insert into entry values (4, x'7b', null, 'pass')", "want at least"),
        ("delete from checkpoint where size = 4", "do not lead"),
    ],
)
def test_a_tree_that_was_not_signed_is_not_signed_on(
    log: Log, acme: Party, sql: str, words: str
) -> None:
    edit(log, sql)
    status, said = sequenced(log)
    assert status == 4
    assert words in said
    assert "fsck" in said
    with pytest.raises(DamagedError):
        submit_directly(log.config, acme.release(), log.clock)
