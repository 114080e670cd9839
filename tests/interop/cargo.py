"""Builds and runs the Rust programs of this folder, from software of other people.

They rest on crates with pinned sums (Cargo.lock), fetched as cargo is set up here, into
its own folders; CARGO_NET_OFFLINE=true forbids it. Where cargo or the crates cannot be
had, or Rust is too old, their tests are skipped, in CI too: whether a registry can be
reached is not this project's doing. If they have other sums than the pinned ones, they
fail.

Programs are built outside the checkout, which they leave as it is. A first build takes
minutes: it is kept in the folder that PCRLOG_CARGO_TARGET names, if it names one.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.interop.golang import Done, last_line

HERE = Path(__file__).resolve().parent / "rust"
RUN_SECONDS = 60
FETCH_SECONDS = 120
BUILD_SECONDS = 1800
NEVER_SKIPPED = ("checksum for", "failed to verify the checksum", "--locked")
"""In these cases crates were had, and are not those that were pinned."""
TOO_OLD = ("requires rustc", "rustc is not supported", "lock file version")
UNREACHED = "no crates here (skipped in CI too)"


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, seconds: int
) -> Done:
    """Run a command to its end.

    Raises:
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=seconds
    )


def build(name: str, folder: Path) -> Path:
    """Build the program `rust/<name>`; its path.

    Skips the test if its crates, or a Rust that is new enough, cannot be had here.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("no cargo: rustup.rs, or apt-get install cargo")
    source = shutil.copytree(HERE / name, folder / name)
    try:
        done = run([cargo, "fetch", "--locked"], cwd=source, seconds=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{UNREACHED}: no answer in {FETCH_SECONDS} seconds")
    assert not any(word in done.stderr for word in NEVER_SKIPPED), done.stderr
    if done.returncode:
        pytest.skip(f"{UNREACHED}: {last_line(done.stderr)}")
    target = Path(os.environ.get("PCRLOG_CARGO_TARGET") or folder / "target")
    done = run(
        [cargo, "build", "--locked", "--offline", "--target-dir", target],
        cwd=source,
        seconds=BUILD_SECONDS,
    )
    if any(word in done.stderr for word in TOO_OLD):
        pytest.skip(f"a newer Rust is needed: {last_line(done.stderr)}")
    assert done.returncode == 0, done.stderr
    return target / "debug" / name
