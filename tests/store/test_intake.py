"""intake.db: what is promised is on disk, and no id is used twice."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server.intake import IntakeReader, IntakeWriter, Submission
from log_server.sqlite_engine import SqliteEngine
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError
from tests.store.conftest import Engines


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
def decided() -> Decided:
    return Decided()


@dataclass
class Intake:
    """An intake, and what is opened of it."""

    engines: Engines
    decided: Decided
    opened: list[IntakeReader | IntakeWriter]

    def writer(self) -> IntakeWriter:
        self.opened.append(
            new := IntakeWriter(self.engines(), self.decided, self.decided.ring)
        )
        return new

    def reader(self) -> IntakeReader:
        self.opened.append(new := IntakeReader(self.engines()))
        return new


@pytest.fixture
def intake(intakes: Engines, decided: Decided) -> Iterator[Intake]:
    intake = Intake(intakes, decided, [])
    yield intake
    for one in intake.opened:
        one.close()


def test_a_row_is_on_disk_and_the_sequencer_woken_when_put_returns(
    intake: Intake, decided: Decided
) -> None:
    writer = intake.writer()
    number = writer.put(submission("one", accepted=True))
    [row] = intake.reader().after(0, 10)
    assert (row.id, row.envelope, row.conflict_accepted) == (number, b"one", True)
    assert decided.rings == 1


def test_rows_go_once_they_are_decided(intake: Intake, decided: Decided) -> None:
    writer = intake.writer()
    decided.taken = writer.put(submission("one"))
    writer.put(submission("two"))
    assert [row.envelope for row in intake.reader().after(0, 10)] == [b"two"]


def test_no_id_is_used_twice_though_all_rows_are_gone(
    intake: Intake, decided: Decided
) -> None:
    writer = intake.writer()
    decided.taken = first = writer.put(submission("one"))
    writer.close()
    writer = intake.writer()
    assert writer.put(submission("two")) > first


def test_a_new_intake_beside_an_old_log_starts_beyond_what_is_decided(
    intake: Intake, decided: Decided
) -> None:
    decided.taken = 1000
    writer = intake.writer()
    assert writer.put(submission("one")) == 1001


def test_threads_share_commits_and_each_has_its_row(
    intake: Intake, decided: Decided
) -> None:
    writer = intake.writer()
    found: dict[int, str] = {}

    def put(name: str) -> None:
        for i in range(20):
            found[writer.put(submission(f"{name}{i}"))] = f"{name}{i}"

    threads = [threading.Thread(target=put, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = intake.reader().after(0, 1000)
    assert {row.id: row.envelope.decode() for row in rows} == found
    assert len(found) == 160
    assert decided.rings <= 160


def test_whoever_waits_for_a_failed_commit_is_told(
    intake: Intake, decided: Decided
) -> None:
    writer = intake.writer()
    wrong = Submission(b"one", b"", False, None)  # type: ignore[arg-type] # noqa: FBT003 - a row
    with pytest.raises(Exception, match=r"(?i)null"):
        writer.put(wrong)
    assert writer.put(submission("one"))


def test_a_waiting_envelope_is_found_if_it_says_as_much(
    intake: Intake, decided: Decided
) -> None:
    writer, reader = intake.writer(), intake.reader()
    one = submission("one")
    row = writer.put(one)
    assert reader.find(one.envelope_sha256, 0, least=0) == row
    assert reader.find(one.envelope_sha256, 0, least=1) is None
    assert reader.find(one.envelope_sha256, row, least=0) is None


def test_the_backlog_tells_how_much_waits_and_since_when(
    intake: Intake, decided: Decided
) -> None:
    writer, reader = intake.writer(), intake.reader()
    assert (reader.backlog(0).rows, reader.backlog(0).oldest) == (0, None)
    first = writer.put(submission("one", received=5))
    writer.put(submission("two", received=7))
    assert (reader.backlog(0).rows, reader.backlog(0).oldest) == (2, 5)
    assert (reader.backlog(first).rows, reader.backlog(first).oldest) == (1, 7)


def test_a_database_is_never_made_silently(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        IntakeReader(SqliteEngine(tmp_path / "intake.db"))
    assert not (tmp_path / "intake.db").exists()
