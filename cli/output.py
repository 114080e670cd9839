"""What a command says: one result, as text for people or as JSON for programs.

A command hands over a result (data) and the rows that show it. On a terminal the rows
are printed by `rich`, in colour where the terminal has it; elsewhere as plain text of
the same shape, without importing `rich`. Results go to standard output; remarks and
progress go to standard error, and progress only to a terminal.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeAlias

from msgspec import Struct

from pcrlog.encoding import encode_json

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text

Span: TypeAlias = tuple[str, str]
"""Text and its style, in words that rich knows; empty for plain."""

GOOD = "bold green"
BAD = "bold red"
WARN = "yellow"
STRONG = "bold"
DIM = "dim"
PLAIN = ""

_WIDTH = 88
_NARROWEST, _WIDEST = 40, 100
_LEAST = 20
"""Columns that a body has at least, however narrow the terminal."""
_PATIENCE = 1.0
"""Seconds that something may take before progress is shown."""


class Row(Struct, frozen=True):
    """A line: `lead` stands once, `body` is wrapped beside it.

    Lines after the first begin under the body, or at column `hang`. A `whole` row is
    never wrapped: a command that is to be copied.
    """

    lead: Sequence[Span] = ()
    body: str = ""
    style: str = PLAIN
    hang: int | None = None
    whole: bool = False

    def lines(self, width: int, *, cut: bool) -> Iterator[list[Span]]:
        """The row as lines of spans; `cut` breaks words that are longer than a line."""
        if self.whole:
            yield [*self.lead, (self.body, self.style)]
            return
        import textwrap  # for people only

        used = sum(len(text) for text, _ in self.lead)
        indent = used if self.hang is None else self.hang
        wrapped = textwrap.wrap(
            self.body,
            max(width, indent + _LEAST),
            initial_indent=" " * used,
            subsequent_indent=" " * indent,
            break_long_words=cut,
            break_on_hyphens=False,
        )
        first, *rest = wrapped or [""]
        yield [*self.lead, (first[used:], self.style)]
        for line in rest:
            yield [(line, self.style)]


def blank() -> Row:
    """An empty line."""
    return Row()


def say(body: str, style: str = PLAIN) -> Row:
    """A row of text alone."""
    return Row((), body, style)


def fact(name: str, value: str, *, width: int = 12) -> Row:
    """A name and its value, in columns."""
    return Row(((f"  {name:<{width}}", DIM),), value)


def following(command: str) -> Row:
    """The command that comes next."""
    return Row((("Next: ", STRONG),), command, whole=True)


class Output:
    """Where one run's results go; `json` chooses for whom."""

    def __init__(self) -> None:
        self.json = False
        self._width = min(max(_columns(), _NARROWEST), _WIDEST)

    def result(self, value: object, rows: Iterable[Row]) -> None:
        """Print a command's result.

        Args:
            value: what `--json` prints (canonical JSON, one line).
            rows: the same for people.
        """
        if self.json:
            sys.stdout.write(encode_json(value).decode() + "\n")
            sys.stdout.flush()
        else:
            self._print(rows, sys.stdout)

    def remark(self, text: str) -> None:
        """Tell people something beside the result."""
        self._print([Row((("note: ", WARN),), text)], sys.stderr)

    def beside(self, rows: Iterable[Row]) -> None:
        """Tell people more than a remark beside the result."""
        self._print(rows, sys.stderr)

    def error(self, message: str) -> None:
        """Tell why there is no result."""
        self._print([Row((("error: ", BAD),), message)], sys.stderr)

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something is going on, once it has taken a second.

        What it gives is told what is going on now, if that changes.
        """
        if self.json or not sys.stderr.isatty():
            yield lambda _text: None
            return
        # Imported here: a wait is a wait on the network, which costs more than this.
        import threading

        shown: list[Status] = []
        now = [text]
        timer = threading.Timer(_PATIENCE, lambda: shown.append(_spin(now[0])))
        timer.daemon = True
        timer.start()

        def tell(text: str) -> None:
            now[0] = text
            for status in shown:
                status.update(_plain(text))

        try:
            yield tell
        finally:
            timer.cancel()
            timer.join()
            for status in shown:
                status.stop()

    def _print(self, rows: Iterable[Row], stream: TextIO) -> None:
        cut = stream.isatty()  # in a pipe, a digest stays one word
        lines = [line for row in rows for line in row.lines(self._width, cut=cut)]
        # FORCE_COLOR: whoever reads the pipe shows it on a terminal; rich knows it too.
        if not cut and not os.environ.get("FORCE_COLOR"):
            text = ("".join(span for span, _ in line).rstrip() for line in lines)
            stream.write("".join(f"{line}\n" for line in text))
            stream.flush()
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(file=stream, highlight=False, soft_wrap=True)
        for line in lines:
            console.print(Text.assemble(*line))


def _columns() -> int:
    """The width of the terminal: COLUMNS, or what it says, or a usual one."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit():
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH


def _spin(text: str) -> "Status":
    from rich.console import Console

    status = Console(stderr=True).status(_plain(text))
    status.start()
    return status


def _plain(text: str) -> "Text":
    """Words as they are: a build prints `[/usr/bin/ld]`, which is no markup of ours."""
    from rich.text import Text

    return Text(text)
