"""pcrlog-monitor: its table of commands, and how they end."""

import importlib
import sys

import click
import pytest

from monitor import commands
from monitor.clock import clock
from pcrlog.errors import UncheckedError


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_table_says_what_a_command_says_of_itself(name: str) -> None:
    module, words = commands.COMMANDS[name]
    command = getattr(importlib.import_module(module), f"{name}_command")
    assert command.help is not None
    assert command.help.split("\n")[0] == words


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pcrlog-monitor", *words])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_lists_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    assert "evidence" in capsys.readouterr().out


def test_wrong_usage_is_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "sing") == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UncheckedError("not now"), 3),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_ends_in_its_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(commands.commands, "main", fail)
    assert run(monkeypatch) == status


def test_what_a_command_returns_is_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.commands, "main", lambda **_: 4)
    assert run(monkeypatch) == 4


def test_the_clock_ticks() -> None:
    assert clock() > 1_700_000_000
