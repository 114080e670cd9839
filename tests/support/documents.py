"""Tables in the documentation that tests write, between two marks.

    <!-- kinds: begin -->
    | kind | ... |
    <!-- kinds: end -->

With PCRLOG_WRITE_DOCS=1 the tests write them; else they compare.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.support.vectors import ROOT

# Read before the tests' own environment is made.
WRITE = os.environ.get("PCRLOG_WRITE_DOCS") == "1"
MONITORING = ROOT / "docs" / "monitoring.md"
Row = Sequence[str]


def _cut(text: str, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    inside, found, after = rest.partition(end)
    assert found, f"no marks of a table {name}"
    return before + begin, inside, end + after


def table(path: Path, name: str) -> list[list[str]]:
    """The rows of a table, its head left out."""
    lines = _cut(path.read_text(encoding="utf-8"), name)[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][2:]


def write(path: Path, name: str, head: Row, rows: Sequence[Row]) -> None:
    """Write a table."""
    lines = [head, ["-" * len(cell) for cell in head], *rows]
    assert not any("|" in cell for line in lines for cell in line)
    whole = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    before, _, after = _cut(path.read_text(encoding="utf-8"), name)
    path.write_text(before + whole + after, encoding="utf-8")
