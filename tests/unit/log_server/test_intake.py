"""intake.db: what is promised is on disk, and no id is used twice."""

import threading
from pathlib import Path

import pytest

from log_server.intake import IntakeReader, IntakeWriter, Submission
from log_server.schema import schema_of
from log_server.store import create
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError


def submission(text: str, *, accepted: bool = False, received: int = 0) -> Submission:
    envelope = text.encode()
    return Submission(envelope, sha256(envelope), accepted, received)


class Decided:
    """log.db's word about the last row that is decided."""

    def __init__(self) -> None:
        self.taken = 0
        self.rings = 0

    def __call__(self) -> int:
        return self.taken

    def ring(self) -> None:
        self.rings += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "intake.db"
    create(path, schema_of("intake.db"))
    return path


@pytest.fixture
def decided() -> Decided:
    return Decided()


def writer_of(path: Path, decided: Decided) -> IntakeWriter:
    return IntakeWriter(path, decided, decided.ring)


def test_a_row_is_on_disk_and_the_sequencer_woken_when_put_returns(
    path: Path, decided: Decided
) -> None:
    writer = writer_of(path, decided)
    number = writer.put(submission("one", accepted=True))
    [row] = IntakeReader(path).after(0, 10)
    assert (row.id, row.envelope, row.conflict_accepted) == (number, b"one", True)
    assert decided.rings == 1
    writer.close()


def test_rows_go_once_they_are_decided(path: Path, decided: Decided) -> None:
    writer = writer_of(path, decided)
    decided.taken = writer.put(submission("one"))
    writer.put(submission("two"))
    assert [row.envelope for row in IntakeReader(path).after(0, 10)] == [b"two"]
    writer.close()


def test_no_id_is_used_twice_though_all_rows_are_gone(
    path: Path, decided: Decided
) -> None:
    writer = writer_of(path, decided)
    decided.taken = first = writer.put(submission("one"))
    writer.close()
    writer = writer_of(path, decided)
    assert writer.put(submission("two")) > first
    writer.close()


def test_a_new_intake_beside_an_old_log_starts_beyond_what_is_decided(
    path: Path, decided: Decided
) -> None:
    decided.taken = 1000
    writer = writer_of(path, decided)
    assert writer.put(submission("one")) == 1001
    writer.close()


def test_threads_share_commits_and_each_has_its_row(
    path: Path, decided: Decided
) -> None:
    writer = writer_of(path, decided)
    found: dict[int, str] = {}

    def put(name: str) -> None:
        for i in range(20):
            found[writer.put(submission(f"{name}{i}"))] = f"{name}{i}"

    threads = [threading.Thread(target=put, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = IntakeReader(path).after(0, 1000)
    assert {row.id: row.envelope.decode() for row in rows} == found
    assert len(found) == 160
    assert decided.rings <= 160
    writer.close()


def test_whoever_waits_for_a_failed_commit_is_told(
    path: Path, decided: Decided
) -> None:
    writer = writer_of(path, decided)
    wrong = Submission("text, not bytes", b"", False, 0)  # type: ignore[arg-type] # noqa: FBT003
    with pytest.raises(Exception, match="cannot store TEXT"):
        writer.put(wrong)
    assert writer.put(submission("one"))
    writer.close()


def test_a_waiting_envelope_is_found_if_it_says_as_much(
    path: Path, decided: Decided
) -> None:
    writer, reader = writer_of(path, decided), IntakeReader(path)
    one = submission("one")
    row = writer.put(one)
    assert reader.find(one.envelope_sha256, 0, least=0) == row
    assert reader.find(one.envelope_sha256, 0, least=1) is None
    assert reader.find(one.envelope_sha256, row, least=0) is None
    writer.close()


def test_the_backlog_tells_how_much_waits_and_since_when(
    path: Path, decided: Decided
) -> None:
    writer, reader = writer_of(path, decided), IntakeReader(path)
    assert (reader.backlog(0).rows, reader.backlog(0).oldest) == (0, None)
    first = writer.put(submission("one", received=5))
    writer.put(submission("two", received=7))
    assert (reader.backlog(0).rows, reader.backlog(0).oldest) == (2, 5)
    assert (reader.backlog(first).rows, reader.backlog(first).oldest) == (1, 7)
    writer.close()


def test_a_database_is_never_made_silently(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        IntakeReader(tmp_path / "intake.db")
    assert not (tmp_path / "intake.db").exists()
