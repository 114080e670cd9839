"""docs/evidence.md, held against the code."""

import re
import typing

from monitor.alerts import KINDS as ALERTS
from pcrlog.evidence import File
from tests.support.vectors import ROOT

TEXT = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of a table whose first head is this."""
    [table] = re.findall(rf"(?m)^\| {head} \|.*\n\|[-|]+\|\n((?:^\|.*\|\n)+)", TEXT)
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in table.splitlines()
    ]


def test_the_kinds_are_those_of_the_code_in_order() -> None:
    kinds = [one.__struct_config__.tag for one in typing.get_args(File)]
    assert [row[0].strip("`") for row in rows("kind")] == kinds


def test_the_alerts_are_those_of_the_code() -> None:
    named = {one for row in rows("kind") for one in re.findall(r"`(.*?)`", row[3])}
    assert named <= ALERTS.keys()


def test_the_exit_statuses_are_those_of_the_command() -> None:
    assert [row[0] for row in rows("exit")] == ["0", "3", "4", "2"]
