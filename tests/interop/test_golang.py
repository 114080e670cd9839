"""The harness itself: when its tests are skipped, and when they must not be."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import golang

Done = Callable[..., "subprocess.CompletedProcess[str]"]
MODULES = ["formats", "tessera", "torchwood", "witness"]
SUM = "h1:zgBIImawK53X7lM0qHKcjn0pbDtFLqU04NU9qDvBnjs="
"""Of torchwood v0.10.0, as go.sum pins it."""


def saying(text: str, status: int = 1, out: str = "") -> Done:
    """A go command that is new enough, and of all else says this."""

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        if "GOVERSION" in command:
            return subprocess.CompletedProcess(command, 0, "go1.99.1\n", "")
        return subprocess.CompletedProcess(command, status, out, text)

    return run


@pytest.fixture
def with_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "find_go", lambda: "go")


@pytest.fixture
def without_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "find_go", lambda: None)


def test_without_go_sumdb_is_skipped_and_in_ci_it_fails(
    without_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="golang-golang-x-mod-dev"):
        golang.build_sumdb(tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(golang.GoAbsentError, match="golang-golang-x-mod-dev"):
        golang.build_sumdb(tmp_path)


def test_without_debians_package_sumdb_fails_in_ci_too(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(golang, "SUMDB", tmp_path / "absent")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(golang.GoAbsentError):
        golang.build_sumdb(tmp_path)


@pytest.mark.parametrize("ci", ["true", "false"])
def test_without_go_modules_are_skipped_in_ci_too(
    without_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match="no Go"):
        golang.build_modules("formats", tmp_path, ".")


@pytest.mark.parametrize("name", MODULES)
def test_with_an_old_go_modules_are_skipped(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(
        golang,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, "go1.19.8", ""),
    )
    with pytest.raises(pytest.skip.Exception, match=r"needs Go 1.2\d, found go1.19.8"):
        golang.build_modules(name, tmp_path, ".")


@pytest.mark.parametrize("name", MODULES)
def test_a_refusal_is_the_reason_word_for_word(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(golang, "run", saying("go: x@v1: 403 Forbidden\n"))
    with pytest.raises(pytest.skip.Exception, match="go: x@v1: 403 Forbidden"):
        golang.build_modules(name, tmp_path, ".")


def test_no_answer_is_a_reason(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        if "GOVERSION" in command:
            return subprocess.CompletedProcess(command, 0, "go1.99", "")
        raise subprocess.TimeoutExpired(command, golang.FETCH_SECONDS)

    monkeypatch.setattr(golang, "run", run)
    with pytest.raises(pytest.skip.Exception, match="no answer in 120 seconds"):
        golang.build_modules("formats", tmp_path, ".")


@pytest.mark.parametrize("word", golang.NEVER_SKIPPED)
def test_other_modules_than_the_pinned_ones_fail(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str
) -> None:
    monkeypatch.setattr(golang, "run", saying(f"verifying x@v1: {word}\n"))
    with pytest.raises(AssertionError, match=word):
        golang.build_modules("formats", tmp_path, ".")


def test_another_torchwood_than_the_pinned_one_fails(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = json.dumps({"Zip": "absent", "Sum": SUM.replace("z", "y")})
    monkeypatch.setattr(golang, "run", saying("", out=found))
    with pytest.raises(AssertionError, match="checksum mismatch"):
        golang.build_mpt(tmp_path)


def test_a_torchwood_that_is_refused_is_skipped(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = json.dumps({"Error": "403 Forbidden"})
    monkeypatch.setattr(golang, "run", saying("", out=found))
    with pytest.raises(pytest.skip.Exception, match="403 Forbidden"):
        golang.build_mpt(tmp_path)


def test_what_does_not_build_fails(
    with_go: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        if "build" in command:
            return subprocess.CompletedProcess(command, 1, "", "undefined: x")
        return subprocess.CompletedProcess(command, 0, "go1.99", "")

    monkeypatch.setattr(golang, "run", run)
    with pytest.raises(AssertionError, match="undefined: x"):
        golang.build_modules("formats", tmp_path, ".")


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        golang.run(["sleep", "30"], seconds=1)


def test_the_go_files_are_formatted() -> None:
    go = golang.find_go()
    if go is None:
        pytest.skip("no Go: apt-get install golang-go")
    root = golang.run([go, "env", "GOROOT"]).stdout.strip()
    gofmt = shutil.which("gofmt", path=f"{root}/bin") or shutil.which("gofmt")
    if gofmt is None:
        pytest.skip("no gofmt beside go")
    done = golang.run([gofmt, "-l", golang.HERE])
    assert (done.stdout, done.stderr) == ("", "")
    assert len(list(golang.HERE.glob("*/main.go"))) == 7
