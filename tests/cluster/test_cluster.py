"""A cluster, struck at random for a while: nothing is lost, nothing is forked.

`PCRLOG_FAULTS` says how often it is struck: 3 times by default, 4 in CI; `make cluster`
does it 100 times. Without namespaces nothing is cut off, and the summary says so.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.cluster import network
from tests.conftest import IN_CI
from tests.support.postgres import Postgres

FAULTS = os.environ.get("PCRLOG_FAULTS") or ("4" if IN_CI else "3")
_SECONDS = 600

pytestmark = pytest.mark.e2e


def test_whatever_happens_to_whom_nothing_is_lost_and_nothing_forked(
    monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    # Who is struck tells nothing of its coverage, and would only start more slowly.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.cluster.cluster"),
            *("--faults", FAULTS, "--seed", "5", "--lease", "2"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    found = re.search(
        r"(\d+) promises kept.*, (\d+) checkpoints seen, of one history", done.stdout
    )
    assert found is not None, done.stdout
    assert min(map(int, found.groups())) > 0
    for kind in ("kill", "pause", *(() if network.absent() else ("cut",))):
        assert re.search(rf"^  {kind}: p50 ", done.stdout, re.MULTILINE), done.stdout
