"""Known answers of other implementations: read from beside the project, not part of it.

They lie in `../shared/vectors`, or in the directory that PCRLOG_VECTORS names. Where
they are absent, the tests that need them are skipped; in CI they fail, so that nothing
lands from a machine that could not check it.

A test takes the fixture `vectors` (a Path). A parametrized test, which needs them while
tests are still being collected, uses `cases`:

    @pytest.mark.parametrize("case", vectors.cases(load, name=lambda c: c["desc"]))
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

Case = TypeVar("Case")

ROOT = Path(__file__).resolve().parents[2]


class VectorsAbsentError(Exception):
    """CI has no known answers: it cannot check what it is there to check."""


def directory() -> Path:
    """Where the known answers should be, whether they are there or not."""
    named = os.environ.get("PCRLOG_VECTORS")
    return Path(named) if named else ROOT.parent / "shared" / "vectors"


def absent() -> str | None:
    """Why they cannot be read, for a skip; None if they can.

    Raises:
        VectorsAbsentError: they are absent in CI.
    """
    where = directory()
    if where.is_dir():
        return None
    reason = f"no known answers in {where}: set PCRLOG_VECTORS to their directory"
    if os.environ.get("CI") == "true":
        raise VectorsAbsentError(reason)
    return reason


def cases(
    load: Callable[[Path], Iterable[Case]], *, name: Callable[[Case], str]
) -> list[pytest.ParameterSet]:
    """Parameters for a test: one a case that `load` finds in the directory.

    Raises:
        VectorsAbsentError: they are absent in CI, or `load` found none.
    """
    reason = absent()
    if reason:
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    found = [pytest.param(case, id=name(case)) for case in load(directory())]
    if not found:
        message = f"{directory()} has none of the cases that this test is about"
        raise VectorsAbsentError(message)
    return found
