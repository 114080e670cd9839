"""`pcrlog man`: pages that a reader of man(7) has nothing to complain of."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS
from cli.man import pages, programs
from tests.unit.cli.world import World

PAGES = dict(pages())
HARMLESS = re.compile(r"missing date|legacy man|longer than 80 bytes")
"""No page has a date: what was made from the same parser is the same."""


def leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        found += leaves(inner, f"{path} {name}")
    return found


def plain(text: str) -> str:
    """A page without its marks."""
    for mark, sign in ((r"\-", "-"), (r"\(aq", "'"), (r"\(ga", "`"), (r"\(ti", "~")):
        text = text.replace(mark, sign)
    return text.replace(r"\(ha", "^").replace(r"\&", "").replace(r"\e", "\\")


def test_there_is_a_page_for_each_program_and_each_of_its_commands() -> None:
    assert set(programs()) == {"pcrlog", "pcrlog-monitor", "pcrlog-server"}
    assert {f"pcrlog-{name}" for name in COMMANDS} < set(PAGES)
    assert {"pcrlog", "pcrlog-server-init", "pcrlog-monitor-witness"} < set(PAGES)


@pytest.mark.parametrize("program", programs())
def test_every_command_and_option_stands_on_its_page(program: str) -> None:
    for path, command in leaves(programs()[program], program):
        page = plain(PAGES["-".join(path.split()[:2])])
        assert f".B {path}\n" in page
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert param.help
                assert max(param.opts, key=len) in page
                assert " ".join(param.help.split()) in " ".join(page.split())


def test_a_page_has_its_parts_in_order() -> None:
    heads = re.findall(r"(?m)^\.SH (.*)$", PAGES["pcrlog-verify"])
    parts = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"]
    assert heads == parts
    assert re.findall(r"(?m)^\.SH (.*)$", PAGES["pcrlog"])[-2:] == [
        "ENVIRONMENT",
        "SEE ALSO",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    for name, text in PAGES.items():
        (made / f"{name}.1").write_text(text)
    return made


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc here")
def test_mandoc_has_nothing_to_complain_of(folder: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", *map(str, sorted(folder.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if not HARMLESS.search(line)]
    assert said == []


@pytest.mark.skipif(shutil.which("man") is None, reason="no man here")
def test_man_shows_a_page(folder: Path) -> None:
    done = subprocess.run(
        ["man", "--warnings", "-l", str(folder / "pcrlog-verify.1")],
        env={"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "--attestation FILE" in done.stdout
    assert re.search(r"0 verified, 3 could not check, 4\s+refuted", done.stdout)


def test_a_page_is_printed_and_all_are_written(world: World) -> None:
    assert world.run("man").out == PAGES["pcrlog"]
    assert world.run("man verify").out == PAGES["pcrlog-verify"]
    assert world.run("man pcrlog-server-init").out == PAGES["pcrlog-server-init"]
    assert '"page":"pcrlog-verify"' in world.run("man verify --json").out
    ran = world.run("man frobnicate")
    assert (ran.status, ran.err) == (
        2,
        "error: no page frobnicate: pcrlog man -o DIR writes all that there are\n",
    )
    for _ in range(2):
        assert f"{len(PAGES)} pages" in world.run("man -o pages").out
    written = {path.stem for path in (world.folder / "pages" / "man1").iterdir()}
    assert written == set(PAGES)
    assert world.run("man verify -o pages").status == 2
    (world.folder / "file").touch()
    assert world.run("man -o file").status == 2
