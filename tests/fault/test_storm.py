"""A storm over a log at work: nothing is lost, nothing is forked.

`PCRLOG_KILLS` says how many processes are killed: 4 by default, 50 in CI; `make storm`
kills 500.
"""

import os

import pytest

from tests.conftest import IN_CI
from tests.fault.storm import main

KILLS = int(os.environ.get("PCRLOG_KILLS") or ("50" if IN_CI else "4"))

pytestmark = pytest.mark.e2e


def test_whoever_is_killed_nothing_is_lost_and_nothing_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Who is killed tells nothing of its coverage, and would only start more slowly.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    summary = main(["--kills", str(KILLS), "--seed", "5"])
    assert summary.kills.total() == KILLS
    assert summary.audited.decided > 0
    assert summary.audited.checkpoints > KILLS // 2
    assert len(summary.world.told.indices) > KILLS
