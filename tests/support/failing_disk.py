"""A disk that fails when a test says so, for processes of ours, and a clock that leaps.

`failing_disk.c` is compiled with the system's own compiler and loaded before all other
libraries (LD_PRELOAD); where there is no compiler, the tests that need it are skipped.
"""

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import IN_CI

_SOURCE = Path(__file__).with_name("failing_disk.c")


class Disk:
    """The rules of the disk, and the seconds by which the clock is ahead."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._faults = folder / "disk-faults"
        self._clock = folder / "clock-ahead"
        self.environment = {
            "LD_PRELOAD": str(library),
            "PCRLOG_TEST_FAULTS": str(self._faults),
            "PCRLOG_TEST_CLOCK": str(self._clock),
        }
        self.heal()

    def fail(self, *rules: str) -> None:
        """From now on: `<call> <name of an errno> <part of a path>` each."""
        lines = []
        for rule in rules:
            call, name, path = rule.split()
            lines.append(f"{call} {getattr(errno, name)} {path}\n")
        self._replace(self._faults, "".join(lines))

    def heal(self) -> None:
        """Nothing fails any more."""
        self._replace(self._faults, "")

    def set_clock(self, ahead: int) -> None:
        """The clock of all processes leaps."""
        self._replace(self._clock, f"{ahead}\n")

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text, "ascii")
        new.replace(path)


def compiled(folder: Path) -> Path:
    """The library; skips without a compiler, and fails without one in CI."""
    library = folder / "failing_disk.so"
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "no C compiler (cc) here to make a disk that fails"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"],
        check=True,
    )
    return library
