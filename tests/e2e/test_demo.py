"""The demo, played as `make demo` plays it: each refusal for its own reason."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.transcript import put

ROOT = Path(__file__).parents[2]

EXPECTED = (
    "VERIFIED TO LINK 2 OF 7",
    "VERIFIED TO LINK 4 OF 7",
    "REFUTED: document.time",
    "REFUTED: document.debug",
    "REFUTED: release.match",
    "COULD NOT CHECK: channel",
    "REFUTED: release.conflict",
    "VERIFIED TO LINK 4 OF 7",
    "REFUTED: release.version",
    "REFUTED: release.valid",
    "VERIFIED TO LINK 2 OF 7",
    "VERIFIED TO LINK 2 OF 7",
    "REFUTED: log.memory",
)


@pytest.mark.e2e
def test_the_demo_goes_as_its_story_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    headlines = re.findall(
        r"^  (VERIFIED TO LINK \d OF 7|(?:REFUTED|COULD NOT CHECK): [a-z.]+)",
        done.stdout,
        re.MULTILINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(headlines) == EXPECTED
    assert "ALARM unexpected-release" in done.stdout
    assert "ALARM fork" in done.stdout
    assert "PROVEN against log.example/pcr" in done.stdout
    readme = (ROOT / "README.md").read_text()
    assert put(readme, done.stdout) == readme, "python -m demo.transcript renews it"
