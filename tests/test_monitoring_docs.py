"""docs/monitoring.md: its tables are those of the code, and of the tests of lies."""

import pytest

from monitor.alerts import KINDS
from tests.support.documents import MONITORING, WRITE, table, write
from tests.support.happenings import HAPPENINGS
from tests.support.lies import LIES
from tests.support.provoked import PROVOKED

HEAD = ("kind", "how bad", "why it matters", "what to do")


def test_the_table_of_kinds_is_that_of_the_code() -> None:
    rows = [
        [f"`{kind}`", meaning.severity, meaning.why, meaning.do]
        for kind, meaning in KINDS.items()
    ]
    if WRITE:
        write(MONITORING, "kinds", HEAD, rows)
    assert table(MONITORING, "kinds") == rows


@pytest.mark.skipif(WRITE, reason="it is written by the test that measures seconds")
def test_the_table_of_lies_has_each_lie_and_happening() -> None:
    told = [[kind, how, left] for kind, how, _, left in table(MONITORING, "lies")]
    assert told == [[one.kind, one.how, one.left] for one in PROVOKED]


def test_every_kind_is_provoked() -> None:
    assert {lie.alert for lie in LIES if lie.alert} | {
        one.alert for one in HAPPENINGS
    } == set(KINDS)
