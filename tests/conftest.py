"""Fixtures for all tests. What is of use to one folder stays in that folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support import vectors as known_answers
from tests.support.offline import Guard

IN_CI = os.environ.get("CI") == "true"

# No deadline: on a busy machine it fails tests that have nothing wrong. The profile
# "ci" is Hypothesis's own: the same examples every time.
hypothesis.settings.register_profile("pcrlog", deadline=None)
hypothesis.settings.load_profile("ci" if IN_CI else "pcrlog")

offline = Guard()
offline.install()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Only a test marked `online` may talk to another machine."""
    offline.active = item.get_closest_marker("online") is None


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests keeps their own state, and it does not sway the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PCRLOG_")]:
            if name != "PCRLOG_VECTORS":
                patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The directory of known answers; skips without it, and fails without it in CI."""
    reason = known_answers.absent()
    if reason:
        pytest.skip(reason)
    return known_answers.directory()
