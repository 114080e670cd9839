"""What tables are reckoned from, and how they get into a page.

A row that needs a figure that nobody has measured is not printed: the page names the
figure instead. So no number in it is a guess, and each assumption stands in one file.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FIGURES = Path(__file__).with_name("figures.toml")
PRICES = Path(__file__).with_name("prices.toml")


class UnmeasuredError(Exception):
    """A figure that was not measured yet is needed."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(f"{name} was not measured yet; it comes from {source}")
        self.name = name
        self.source = source


class Figures:
    """What was measured, by name."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        self._table = table

    @classmethod
    def load(cls, path: Path = FIGURES) -> "Figures":
        """Read a figures.toml."""
        return cls(tomllib.loads(path.read_text("utf-8")))

    def __getitem__(self, name: str) -> float:
        """A figure.

        Raises:
            KeyError: there is none of that name.
            UnmeasuredError: it has no value yet.
        """
        found = self._table[name]
        if "value" not in found:
            raise UnmeasuredError(name, found["from"])
        return float(found["value"])

    def sources(self) -> list[tuple[str, str, str, str]]:
        """Name, value, unit and source of each that was measured."""
        return [
            (f"`{name}`", f"{one['value']:,}", one["unit"], one["from"])
            for name, one in self._table.items()
            if "value" in one
        ]


class Assumed(NamedTuple):
    """A prices.toml: what is paid, and for what use."""

    currency: str
    date: str
    price: Mapping[str, float]
    use: Mapping[str, float]

    @classmethod
    def load(cls, path: Path = PRICES) -> "Assumed":
        """Read one."""
        return cls(**tomllib.loads(path.read_text("utf-8")))


class Row(NamedTuple):
    """A line of a table: `cell` makes what stands below the number of a column."""

    name: str
    cell: Callable[[float], str]


class Block(NamedTuple):
    """What stands between two marks of a page, and which figures it lacks."""

    text: str
    lacks: Mapping[str, str]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def reckon(corner: str, columns: Mapping[str, float], rows: Iterable[Row]) -> Block:
    """A table of the rows that can be reckoned, and a sentence about the others."""
    lines, lacks = [], {}
    for row in rows:
        try:
            lines.append([row.name, *map(row.cell, columns.values())])
        except UnmeasuredError as error:
            lacks[error.name] = error.source
    text = table([corner, *columns], lines)
    if lacks:
        names = ", ".join(f"`{name}` ({source})" for name, source in lacks.items())
        text += f"\nNot measured yet, and what needs it not reckoned: {names}.\n"
    return Block(text, lacks)


def put(page: str, name: str, text: str) -> str:
    r"""The page with `text` between the marks of a block.

    Raises:
        ValueError: it has no such marks, or more than once.

    >>> put("<!-- a: begin -->\nold\n<!-- a: end -->", "a", "new\n")
    '<!-- a: begin -->\nnew\n<!-- a: end -->'
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    marks = re.compile(f"(?s)(?<={re.escape(begin)}).*?(?={re.escape(end)})")
    new, number = marks.subn(lambda _found: text, page)
    if number != 1:
        message = f"expected one block {name}, found {number}"
        raise ValueError(message)
    return new


def amount(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, and no exponent.

    >>> amount(1234567), amount(0.012345), amount(12.345), amount(0)
    ('1,230,000', '0.0123', '12.3', '0')
    """
    if not value:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}"


def size(value: float) -> str:
    """Bytes, in words.

    >>> size(1356), size(2_873_000_000)
    ('1.36 kB', '2.87 GB')
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - as units go
            return f"{amount(value)} {unit}"
        value /= 1000
    return f"{amount(value)} TB"


def span(seconds: float) -> str:
    """A time, in words.

    >>> span(0.5), span(90), span(219_926), span(10_000_000)
    ('0.5 s', '90 s', '61.1 h', '116 days')
    """
    for unit, length, most in (("s", 1, 600), ("min", 60, 7200), ("h", 3600, 259_200)):
        if seconds < most:
            return f"{amount(seconds / length)} {unit}"
    return f"{amount(seconds / 86_400)} days"
