"""docs/performance.md: what the benches measured last, and how.

Each bench writes its own part and leaves those of the others as they are: they take
long, and are not always run together. Each part names its machine and its day.
"""

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from bench.phases import Phase

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_LIBRARIES = ("cryptography", "msgspec", "flask", "granian")
_HEAD = """\
# Performance

Each part is written by the program that it names; do not edit.
Every figure of a part is of one run of it, on its machine, with nothing else running.
What is asked for are ratios in one run, and bounds; what is not met is marked.
Machines differ, and this one changes its speed: compare ratios, not milliseconds.
"""
PARTS = {
    "one": ("make bench", "One statement, one client, one monitor"),
    "server": ("make bench-server", "A server under load"),
    "storm": ("make storm", "A server that is killed"),
    "cluster": ("make cluster", "Several machines"),
}
"""Of the page, in their order: by which command, under which heading."""
_NOTES = """\
A bundle is that of a release with two audits.
The log's other entries are as many leaves and index keys as releases and audits in
equal parts have ([bench/sizes.py](../bench/sizes.py)).

A submission goes from POST to a published proof, over loopback, through both processes,
with every fsync ([bench/submission.py](../bench/submission.py)).

Sequencing is judging, index, trie, tree, commit and files, in batches of up to 1,024.
Indexing is what an index monitor does over the same leaves
([bench/rates.py](../bench/rates.py)).

A monitor reads a log's files with both of its processes and commits as it always does;
beside it, in the same run, one thread checks signatures and does nothing else
([bench/monitor.py](../bench/monitor.py)). A release counts as published when its
submitter holds the proof ([bench/alerting.py](../bench/alerting.py)).

A witness answers over loopback, and each answer is on disk before it leaves
([bench/witness.py](../bench/witness.py)).
"""


class Figure(NamedTuple):
    """What was measured, how it came out, and what was asked for, if anything."""

    name: str
    value: str
    asked: str = ""
    met: bool = True

    @property
    def verdict(self) -> str:
        """Whether that is what was asked for."""
        if not self.asked:
            return "-"
        return f"{self.asked}: {'met' if self.met else '**not met**'}"


def render(
    figures: Iterable[Figure], cold: Sequence[Phase], warm: Sequence[Phase]
) -> None:
    """Write the part of `make bench`."""
    phases = [
        "### Where the time of a new process goes\n",
        "Each line is a process of its own, so each contains the ones before.\n",
        table(("process", "ms"), _lines(cold)),
        "### Where the time of a verification goes\n",
        "In a process that has verified before; medians, so they need not add up.\n",
        table(("step", "ms"), _lines(warm)),
    ]
    write_part("one", figures, "\n".join([_NOTES, *phases]))


def write_part(name: str, figures: Iterable[Figure], notes: str) -> None:
    """Write a part of the page anew.

    Args:
        name: of `PARTS`.
        figures: of this run.
        notes: what they mean; ends with a newline.
    """
    parts = _parts(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    command, heading = PARTS[name]
    rows = [(one.name, one.value, one.verdict) for one in figures]
    parts[name] = "\n".join(
        [
            f"## {heading}\n",
            f"By `{command}`.\n",
            table(("", ""), _machine()),
            table(("what", "measured", "asked"), rows),
            notes,
        ]
    )
    text = [_mark(one) + parts[one] for one in PARTS if one in parts]
    PAGE.write_text("\n".join([_HEAD, *text]), "utf-8")
    print(f"written: {PAGE.relative_to(PAGE.parents[1])}")


def _mark(name: str) -> str:
    return f"<!-- {name} -->\n\n"


def _parts(page: str) -> dict[str, str]:
    """The parts of a page by their names."""
    found: dict[str, str] = {}
    for name in PARTS:
        _, mark, rest = page.partition(_mark(name))
        if mark:
            ends = [rest.find(f"\n{_mark(other)}") for other in PARTS]
            end = min((one for one in ends if one >= 0), default=len(rest))
            found[name] = rest[:end]
    return found


def _lines(phases: Iterable[Phase]) -> list[tuple[str, str]]:
    return [(phase.name, f"{phase.milliseconds:.2f}") for phase in phases]


def _machine() -> list[tuple[str, str]]:
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("cores", f"{os.cpu_count()}, {_processor()}"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        ("libraries", ", ".join([*libraries, f"SQLite {sqlite3.sqlite_version}"])),
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown has it; ends with a newline."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
