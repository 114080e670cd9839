"""`pcrlog man`: manual pages, made from the parser of each program.

A page for each program, and one for each of its commands; what a command has below it
stands on its page. All of a page is what `--help` says, in man(7), so there is nothing
to keep in step, and nothing is stored: `-o DIR` makes DIR/man1, for `man -M DIR` or a
package. The other two programs are found as they are installed, since commands of
different programs do not import each other.
"""

import importlib
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution

import click
from msgspec import Struct

from cli import files
from cli.options import json_option, takes
from cli.output import GOOD, Row, following
from cli.session import Session
from pcrlog.errors import UsageError

_DISTRIBUTION = "pcrlog"
_WIDTH = 72
"""Columns of a line in a page's source, before its marks."""
_EXIT = re.compile(r"^Exit status[^:]*: ")
_MARKS = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)
_ENVIRONMENT = {
    "PCRLOG_POLICY": "The policy file, where --policy names none.",
    "PCRLOG_STATE": "The folder in which checkpoints are remembered; otherwise"
    " $XDG_STATE_HOME/pcrlog.",
    "COLUMNS": "How wide lines may be.",
    "FORCE_COLOR": "If set, colour is used in pipes as well.",
}


class _Man(Struct, frozen=True, kw_only=True):
    page: str | None
    output: str | None


class Page(Struct, frozen=True):
    """A page, and its text."""

    page: str
    text: str


class Pages(Struct, frozen=True):
    """Pages that were written, by their paths."""

    files: tuple[str, ...]


@click.command("man")
@click.argument("page", required=False)
@click.option("-o", "--output", metavar="DIR", help="Write all pages to DIR/man1.")
@json_option
@takes(_Man)
def man_command(session: Session, options: _Man) -> None:
    """Print a manual page, or write all of them.

    PAGE is a command, or a page such as pcrlog-server-init. To read one: pcrlog man
    verify | man -l -
    """
    if options.output is not None:
        if options.page is not None:
            message = "--output writes all pages: leave out PAGE"
            raise UsageError(message)
        _write(session, options.output)
        return
    found = dict(pages())
    asked = options.page or "pcrlog"
    name = asked if asked in found else f"pcrlog-{asked}"
    if name not in found:
        message = f"no page {asked}: pcrlog man -o DIR writes all that there are"
        raise UsageError(message)
    if session.output.json:
        session.output.result(Page(name, found[name]), ())
    else:
        click.echo(found[name], nl=False)


def _write(session: Session, directory: str) -> None:
    from pathlib import Path

    folder = Path(directory, "man1")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder}: {error.strerror}"
        raise UsageError(message) from error
    written = []
    for name, text in pages():
        path = str(folder / f"{name}.1")
        files.write_new(path, text.encode(), force=True)
        written.append(path)
    session.output.result(
        Pages(tuple(written)),
        [
            Row((("wrote: ", GOOD),), f"{len(written)} pages to {folder}"),
            following(f"man -M {directory} pcrlog-verify"),
        ],
    )


# --- programs -------------------------------------------------------------------------


def programs() -> Mapping[str, click.Group]:
    """The programs that are installed with this one, by name."""
    found = {}
    for point in distribution(_DISTRIBUTION).entry_points:
        if point.group == "console_scripts":
            module = importlib.import_module(point.module)
            groups = [g for g in vars(module).values() if isinstance(g, click.Group)]
            found[point.name] = groups[0]
    return dict(sorted(found.items()))


def pages() -> Iterator[tuple[str, str]]:
    """The name and the text of each page of all programs."""
    all_programs = programs()
    for name, program in all_programs.items():
        # A command keeps the help option of its first context: the real one, then.
        context = click.Context(program, info_name=name, **program.context_settings)
        inner = list(_inner(program, context))
        others = [other for other in all_programs if other != name]
        also = [*others, *(f"{name}-{command.name}" for command, _ in inner)]
        yield name, _page(context, also)
        for command, below in inner:
            yield f"{name}-{command.name}", _page(below, [name])


def _inner(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """The commands of a group, each in a context that knows the words before it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield command, click.Context(command, context, name)


# --- pages ----------------------------------------------------------------------------


def _page(context: click.Context, also: list[str]) -> str:
    """A page in man(7)."""
    command, path = context.command, context.command_path
    title = path.replace(" ", "-")
    version = distribution(_DISTRIBUTION).version
    paragraphs = _paragraphs(command)
    brief = paragraphs[0].rstrip(".") if paragraphs else path
    top = context.parent is None
    lines = [f'.TH "{_text(title.upper())}" "1" "" "{_text(f"pcrlog {version}")}"']
    lines += [".SH NAME", _text(f"{title} - {brief}", dash=True)]
    lines += [".SH SYNOPSIS", *_usage(context)]
    lines += [".SH DESCRIPTION", *_description(paragraphs)]
    lines += _options(context, ".SH OPTIONS")
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS"]
        for inner, below in _inner(command, context):
            lines += _command(inner, below, whole=not top)
    lines += _exit_status(paragraphs)
    if title == "pcrlog":
        lines += [".SH ENVIRONMENT"]
        for name, words in _ENVIRONMENT.items():
            lines += [".TP", f".B {_text(name)}", _text(words)]
    lines += [".SH SEE ALSO", *(f".BR {_text(name)} (1)," for name in also)]
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join(lines) + "\n"


def _command(
    command: click.Command, context: click.Context, *, whole: bool
) -> Iterator[str]:
    """A command on the page of its group: all of it, or its one line."""
    paragraphs = _paragraphs(command)
    if not whole:
        yield from (".TP", f".B {_text(context.info_name or '')}")
        yield _text(paragraphs[0] if paragraphs else "")
        return
    yield f'.SS "{_text(context.command_path)}"'
    yield from _usage(context)
    for paragraph in paragraphs:
        yield from (".PP", _text(paragraph))
    yield from _options(context, None)


def _usage(context: click.Context) -> Iterator[str]:
    yield f".B {_text(context.command_path)}"
    yield _text(" ".join(context.command.collect_usage_pieces(context)))


def _description(paragraphs: list[str]) -> Iterator[str]:
    said = [one for one in paragraphs if not _EXIT.match(one)]
    for number, paragraph in enumerate(said):
        if number:
            yield ".PP"
        yield _text(paragraph)


def _exit_status(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        if _EXIT.match(paragraph):
            yield from (".SH EXIT STATUS", _text(_EXIT.sub("", paragraph)))


def _options(context: click.Context, head: str | None) -> Iterator[str]:
    records = [p.get_help_record(context) for p in context.command.get_params(context)]
    # An argument stands in the synopsis, and is explained in the text.
    shown = [record for record in records if record is not None and record[1]]
    if shown and head is not None:
        yield head
    for names, words in shown:
        yield from (".TP", f".B {_text(names)}", _text(words))


def _paragraphs(command: click.Command) -> list[str]:
    """What its help says; lines that were wrapped are joined."""
    parts = re.split(r"\n\s*\n", (command.help or "").strip())
    return [" ".join(part.replace("\b", "").split()) for part in parts if part.strip()]


def _text(words: str, *, dash: bool = False) -> str:
    """Words as man(7) has to have them; `dash`: of a name and what it is."""
    if dash:
        name, _, rest = words.partition(" - ")
        return rf"{_text(name)} \- {_text(rest)}"
    lines = textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
    safe = (line.translate(_MARKS) for line in lines)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in safe)
