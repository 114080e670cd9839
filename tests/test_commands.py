"""All commands of all programs: what each takes, and what messages tell one to type."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.support.log_simulator import LogSimulator
from tests.support.scene import PRODUCT, Scene
from tests.support.vectors import ROOT
from tests.test_docs import PROGRAMS, check, program
from tests.unit.cli.world import World, connect

NO_JSON = {
    "pcrlog-server policy": "what it prints is a policy: TOML, for a file",
    "pcrlog-server serve": "a server; /healthz and /metrics are for programs",
    "pcrlog-monitor run": "a daemon; its alerts are JSON already",
    "pcrlog-monitor witness run": "a server; `witness status --json` tells of it",
}
"""The commands for which `--json` makes no sense, each with its reason."""


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, by all their words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}")


ALL = {
    path: command for name in PROGRAMS for path, command in leaves(program(name), name)
}


@pytest.mark.parametrize("path", ALL)
def test_every_command_takes_json_or_has_a_reason_not_to(path: str) -> None:
    taken = "--json" in {name for param in ALL[path].params for name in param.opts}
    assert taken != (path in NO_JSON)


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_is(path: str) -> None:
    assert ALL[path].help
    for param in ALL[path].params:
        assert not isinstance(param, click.Option) or param.help, param.name


def test_a_monitor_is_set_up_by_programs_too(tmp_path: Path) -> None:
    scene = Scene()
    with LogSimulator(scene.log) as log:
        scene.seal()
        text = scene.policy_text(log={"url": log.url})
        (tmp_path / "policy.toml").write_text(text)
        words = ["init", str(tmp_path / "monitor.toml"), "--json", "--product", PRODUCT]
        words += ["--policy", str(tmp_path / "policy.toml")]
        done = CliRunner().invoke(program("pcrlog-monitor"), words)
    assert json.loads(done.output) == {
        "config": str(tmp_path / "monitor.toml"),
        "log": scene.log.origin,
        "size": len(scene.log.leaves),
        "vkey": None,
    }


# --- what messages tell one to type ---------------------------------------------------

FOLDERS = ("cli", "log_server", "monitor", "pcrlog", "signing", "workbench")
COMMAND = re.compile(r"\bpcrlog(?:-server|-monitor)? [a-z][^\n]*")
PROSE = {f"pcrlog {word}" for word in ("knows", "serves", "simulator", "wants")}
"""What begins like a command and is none."""


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module but its docstrings, with X for what is put in."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    within: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            within |= {id(part) for part in ast.walk(node)}
            parts = (
                part.value if isinstance(part, ast.Constant) else "X"
                for part in node.values
            )
            yield "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs | within
        ):
            yield node.value


def named() -> Iterator[tuple[str, str]]:
    """Each command that a message names, up to the end of its clause."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for text in texts(ast.parse(path.read_text("utf-8"))):
                for found in COMMAND.findall(text):
                    line = re.split(r"[.,;:)`|](?:\s|$)|[`(]| \| ", found)[0].strip()
                    if " ".join(line.split()[:2]) not in PROSE:
                        yield path.name, line


TOLD = sorted(set(named()))


@pytest.mark.parametrize(("module", "line"), TOLD, ids=lambda value: value)
def test_a_command_that_a_message_names_is_one(module: str, line: str) -> None:
    check(line)


def test_messages_name_commands() -> None:
    assert len(TOLD) > 30


# --- and what it says if one types nothing --------------------------------------------

NEXT = re.compile(r"--[a-z]|pcrlog(-server|-monitor)? [a-z]")


ASKED = sorted(
    path
    for path in ALL
    if path.startswith("pcrlog ") and path != "pcrlog conformance answer"
)
"""The one that is left out answers what it reads."""


@pytest.mark.parametrize("path", ASKED)
def test_a_command_without_a_word_more_says_what_to_type(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        world = World(tmp_path, capsys)
        connect(world, patch)
        ran = world.run(path.removeprefix("pcrlog "))
    assert ran.status == (0 if path == "pcrlog man" else 2)
    assert ran.status == 0 or NEXT.search(ran.err), ran.err
