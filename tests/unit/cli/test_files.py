"""Files: read within bounds, written whole, never overwritten unasked."""

import contextlib
import io
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import pytest

from cli import files
from cli.output import Output
from cli.session import Session
from pcrlog.errors import UncheckedError, UsageError


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert files.read(str(path), 4) == b"1234"
    with pytest.raises(UsageError, match="more than 3 bytes"):
        files.read(str(path), 3)
    with pytest.raises(UsageError, match="No such file"):
        files.read(str(tmp_path / "missing"), 3)


def test_standard_input_and_output_are_files_too(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    files.write_new("-", b"data")
    assert capfdbinary.readouterr().out == b"data"
    reading, writing = os.pipe()
    os.write(writing, b"data")
    os.close(writing)
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert files.read("-", 4) == b"data"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)


def test_a_file_is_replaced_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_new(str(path), b"old", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="exists"):
        files.write_new(str(path), b"new")
    assert path.read_bytes() == b"old"
    files.write_new(str(path), b"new", force=True)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("how", [{}, {"force": True}], ids=["new", "force"])
def test_a_folder_that_is_missing_is_said(tmp_path: Path, how: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="No such file"):
        files.write_new(str(tmp_path / "no" / "file"), b"", **how)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_descriptor: int) -> None:
        message = "no space"
        raise OSError(message)

    monkeypatch.setattr("cli.files.os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        files.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(UsageError, match="too large"):
            files.write_new(str(path), bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_changed_only_if_it_is_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    path.chmod(0o640)
    files.change(str(path), b"one", b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    for other in (b"one", b"tw", b"", b"two!"):
        with pytest.raises(UncheckedError, match="changed by another command"):
            files.change(str(path), other, b"three")
    path.unlink()
    with pytest.raises(UsageError, match="No such file"):
        files.change(str(path), b"two", b"three")


def test_of_many_changes_at_a_time_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0")

    def count() -> None:
        for _ in range(10):
            while True:
                now = path.read_bytes()
                with contextlib.suppress(UncheckedError):
                    files.change(str(path), now, b"%d" % (int(now) + 1))
                    break

    threads = [threading.Thread(target=count) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert path.read_bytes() == b"40"


def test_a_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert files.digest(str(path))[1] == 100_000
    with pytest.raises(UsageError):
        files.digest(str(tmp_path / "missing"))


def test_state_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(clock=lambda: 7.9, output=Output())
    assert session.now == 7
    monkeypatch.delenv("PCRLOG_STATE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert session.state_directory == "/home/me/.local/state/pcrlog"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert session.state_directory == "/state/pcrlog"
    monkeypatch.setenv("PCRLOG_STATE", "/mine")
    assert session.state_directory == "/mine"


def test_a_stream_without_a_file_has_a_usual_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert Output()._width == 88
