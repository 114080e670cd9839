"""Builds and runs the Go programs of this folder, each from software of other people.

Two kinds, told apart by what they rest on:

- `sumdb` uses Debian's packages, golang-go and golang-golang-x-mod-dev, in GOPATH mode.
  It always runs: where they are missing it is skipped, and in CI it fails.
- The others are modules with pinned sums, fetched as the go command is set up here
  (GOPROXY=off forbids it). Where they cannot be had, or Go is too old, they are
  skipped, in CI too: whether a proxy can be reached is not this project's doing. If
  they have other sums than the pinned ones, they fail.

Programs are built outside the checkout, which they leave as it is. Every call ends.
"""

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

HERE = Path(__file__).resolve().parent / "go"
DEBIAN_GO = Path("/usr/lib/go/bin/go")
DEBIAN_SOURCES = Path("/usr/share/gocode")
"""Where Debian's golang-*-dev packages are."""
SUMDB = DEBIAN_SOURCES / "src/golang.org/x/mod/sumdb/tlog/tlog.go"

RUN_SECONDS = 60
BUILD_SECONDS = 600
FETCH_SECONDS = 120

NEVER_SKIPPED = ("checksum mismatch", "SECURITY ERROR", "missing go.sum entry")
"""In these cases modules were had, and are not those that were pinned."""
UNREACHED = "no Go modules here (skipped in CI too)"
CONSTRAINT = "//go:build ignore\n"

Done: TypeAlias = "subprocess.CompletedProcess[str]"
"""A program that has run: `returncode`, `stdout`, `stderr`."""


class GoAbsentError(Exception):
    """CI has no Go: it cannot check what it is there to check."""


def find_go() -> str | None:
    """The go command: that of the PATH, else Debian's."""
    found = shutil.which("go")
    return found or (str(DEBIAN_GO) if DEBIAN_GO.exists() else None)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    seconds: int = RUN_SECONDS,
    stdin: str = "",
    **env: str,
) -> Done:
    """Run a command to its end, in this environment and `env`; never a new toolchain.

    Raises:
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    return subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", **env},
    )


def sumdb_absent() -> str | None:
    """Why `sumdb` cannot be built, for a skip; None if it can.

    Raises:
        GoAbsentError: it cannot be built in CI.
    """
    if find_go() is not None and SUMDB.exists():
        return None
    reason = "no Go: apt-get install golang-go golang-golang-x-mod-dev"
    if os.environ.get("CI") == "true":
        raise GoAbsentError(reason)
    return reason


def build_sumdb(folder: Path) -> Path:
    """Build `sumdb` into `folder`; its path. Skips the test without Go."""
    reason = sumdb_absent()
    if reason:
        pytest.skip(reason)
    program = folder / "sumdb"
    done = run(
        [_go(), "build", "-o", program, HERE / "sumdb" / "main.go"],
        seconds=BUILD_SECONDS,
        GO111MODULE="off",
        GOPATH=str(DEBIAN_SOURCES),
        GOFLAGS="",
    )
    assert done.returncode == 0, done.stderr
    return program


def build_modules(name: str, folder: Path, *packages: str) -> Path:
    """Build packages of the module `go/<name>` into a new folder; that folder.

    Skips the test if the modules that it names cannot be had here.
    """
    source = shutil.copytree(HERE / name, folder / name)
    need_go(source)
    done = fetch(["mod", "download"], source)
    if done.returncode:
        pytest.skip(f"{UNREACHED}: {last_line(done.stderr)}")
    return _build(source, folder, *packages)


def build_mpt(folder: Path) -> tuple[Path, Path]:
    """Build `mpt` into a new folder; that folder, and torchwood's own folder mpt/."""
    source = shutil.copytree(HERE / "mpt", folder / "mpt")
    need_go(source)
    module, version, pinned = (source / "go.sum").read_text("ascii").split()[:3]
    # The go command fetches the module even if it then says that Go is too old for it.
    done = fetch(["mod", "download", "-json", f"{module}@{version}"], folder)
    found = json.loads(done.stdout or "{}")
    if "Zip" not in found:
        pytest.skip(f"{UNREACHED}: {last_line(found.get('Error', done.stderr))}")
    assert found["Sum"] == pinned, f"{module}: checksum mismatch"
    theirs = folder / "theirs"
    with zipfile.ZipFile(found["Zip"]) as archive:
        archive.extractall(theirs)
    package = theirs / f"{module}@{version}" / "mpt"
    (source / "mpt").mkdir()
    for file in ("tree.go", "mem.go"):
        text = (package / file).read_text("utf-8")
        assert text.count(CONSTRAINT) == 1
        (source / "mpt" / file).write_text(text.replace(CONSTRAINT, ""), "utf-8")
    return _build(source, folder, "."), package


def _build(source: Path, folder: Path, *packages: str) -> Path:
    """Build packages from what was fetched. Whatever fails now fails the test."""
    programs = folder / "bin"
    programs.mkdir()
    done = run(
        [_go(), "build", "-mod=readonly", "-o", f"{programs}/", *packages],
        cwd=source,
        seconds=BUILD_SECONDS,
        GOPROXY="off",
        GO111MODULE="on",
    )
    assert done.returncode == 0, done.stderr
    return programs


def fetch(arguments: list[str], cwd: Path) -> Done:
    """Run a go command that fetches modules. Skips the test if it takes too long."""
    try:
        done = run(
            [_go(), *arguments], cwd=cwd, seconds=FETCH_SECONDS, GO111MODULE="on"
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{UNREACHED}: no answer in {FETCH_SECONDS} seconds")
    said = done.stdout + done.stderr
    assert not any(word in said for word in NEVER_SKIPPED), said
    return done


def last_line(text: str) -> str:
    """Where the go command says why."""
    return (text.strip().splitlines() or ["it did not say why"])[-1]


def need_go(source: Path) -> None:
    """Skip the test, in CI too, unless Go is as new as the go.mod there asks for."""
    wanted = _wanted(source / "go.mod")
    if find_go() is None:
        pytest.skip("no Go: apt-get install golang-go, or a newer one")
    said = run([_go(), "env", "GOVERSION"]).stdout
    match = re.match(r"go(\d+)\.(\d+)", said)
    assert match, said
    if (int(match[1]), int(match[2])) < wanted:
        needed = ".".join(map(str, wanted))
        pytest.skip(f"needs Go {needed}, found {said.strip()} (skipped in CI too)")


def _go() -> str:
    go = find_go()
    assert go is not None
    return go


def _wanted(module: Path) -> tuple[int, int]:
    match = re.search(r"^go (\d+)\.(\d+)", module.read_text("utf-8"), re.MULTILINE)
    assert match
    return int(match[1]), int(match[2])
