"""`pcrlog completion`: what a shell offers at a TAB is what the parser takes.

Bash is run, and asked as it asks itself; zsh and fish where there are any.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS
from tests.support.vectors import ROOT
from tests.unit.cli.world import World

SHELLS = ("bash", "zsh", "fish")
BASH = """
set -u
{script}
read -r -a COMP_WORDS <<<"$LINE"
[[ $LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMPREPLY=()
compopt() {{ local IFS=" "; echo "compopt $*"; }}
{function} pcrlog "${{COMP_WORDS[COMP_CWORD]}}" ""
printf '%s\\n' "${{COMPREPLY[@]:-}}"
"""
FISH = """
{script}
complete --do-complete "$LINE"
"""
ZSH = """
{stubs}
{script}
words=("${{(@s: :)LINE}}")
CURRENT=${{#words}}
_pcrlog_completion
"""
# Functions of zsh's own, which only its line editor has; what they are given is shown.
STUBS = """
zmodload zsh/parameter
compdef() {}
compadd() { print -l -- "${completions[@]}"; }
_describe() { print -l -- "${completions_with_descriptions[@]}"; }
_path_files() { print "files"; }
"""


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """An environment in which `pcrlog` is this one."""
    program = tmp_path / "bin" / "pcrlog"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    return {**os.environ, **own}


@functools.cache
def script_of(shell: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "cli", "completion", shell],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def offered(shell: str, line: str, tools: dict[str, str]) -> list[str]:
    """What the shell offers at the end of a line."""
    script = script_of(shell)
    if shell == "bash":
        text = BASH.format(script=script, function="_pcrlog_completion")
        command = ["bash", "--norc", "-c", text]
    elif shell == "fish":
        command = ["fish", "--no-config", "-c", FISH.format(script=script)]
    else:
        text = ZSH.format(script=script, stubs=STUBS)
        command = ["zsh", "--no-rcs", "-c", text]
    done = subprocess.run(
        command,
        env={**tools, "LINE": line},
        cwd=tools["HOME"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    words = [
        row.partition("\t")[0].partition(":")[0] for row in done.stdout.split("\n")
    ]
    return [word for word in words if word]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """One of the shells that are here."""
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    return name


def test_a_shell_offers_commands_options_and_values(
    shell: str, tools: dict[str, str]
) -> None:
    assert offered(shell, "pcrlog ver", tools) == ["verify"]
    assert set(offered(shell, "pcrlog ", tools)) == set(COMMANDS)
    assert "--attestation" in offered(shell, "pcrlog verify --at", tools)
    assert "rotate" in offered(shell, "pcrlog identity r", tools)
    scopes = offered(shell, "pcrlog cosign --scope source", tools)
    assert scopes == ["source-review"]
    assert offered(shell, "pcrlog completion z", tools) == ["zsh"]


def test_a_word_that_a_shell_would_run_is_not_run(
    shell: str, tools: dict[str, str]
) -> None:
    words = ["$(touch${IFS}pwned)", "`touch\tpwned`", "';touch pwned;'", "file,;touch"]
    line = f"pcrlog verify --policy {' '.join(words)} --no-ch"
    offered(shell, line, tools)
    offered(shell, f"pcrlog verify --policy {words[0]}", tools)
    assert not list(Path(tools["HOME"]).rglob("pwned"))


def test_a_shell_offers_files_where_the_parser_knows_nothing(
    shell: str, tools: dict[str, str]
) -> None:
    Path(tools["HOME"], "policy.toml").touch()
    found = offered(shell, "pcrlog verify --policy pol", tools)
    own = {"bash": ["compopt -o default"], "fish": ["policy.toml"], "zsh": ["files"]}
    assert found == own[shell]


def test_the_name_of_a_command_is_offered_without_importing_one(
    tools: dict[str, str],
) -> None:
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules, sep='\\n',"
        " file=sys.stderr)); from cli.main import main; main([])"
    )
    asked = {"_PCRLOG_COMPLETE": "bash_complete", "COMP_WORDS": "pcrlog\nver"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**tools, **asked, "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,verify\n"
    loaded = set(done.stderr.splitlines())
    modules = {module for module, _ in COMMANDS.values()}
    assert loaded & {*modules, "cryptography", "requests", "pcrlog.policy"} == set()


def test_a_script_is_json_for_programs(world: World) -> None:
    ran = world.run("completion bash --json")
    assert '"shell":"bash"' in ran.out
    assert world.run("completion tcsh").status == 2
