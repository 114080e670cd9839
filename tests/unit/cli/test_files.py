"""Files: read within bounds, written whole, never overwritten unasked."""

import io
import os
import sys
from pathlib import Path

import pytest

from cli import files
from cli.output import Output
from cli.session import Session
from pcrlog.errors import UsageError


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
