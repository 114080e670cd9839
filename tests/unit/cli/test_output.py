"""What people see: wrapped, coloured where there is a terminal, never in the way."""

import io
import json
import sys
import time

import pytest

from cli.output import BAD, GOOD, Output, Row, fact, following, say


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def attach(patch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 60 columns. (pytest puts its own streams back after fixtures.)"""
    made = Terminal()
    patch.setenv("COLUMNS", "60")
    patch.setenv("TERM", "xterm-256color")
    patch.delenv("NO_COLOR", raising=False)
    patch.setattr(sys, "stdout", made)
    patch.setattr(sys, "stderr", made)
    return made


WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_a_terminal_has_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    Output().result({}, [Row((("ok ", GOOD),), "well", BAD)])
    assert "\x1b[1;32mok " in terminal.getvalue()
    assert "\x1b[1;31mwell" in terminal.getvalue()


def test_a_pipe_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    Output().result({}, [Row((("ok ", GOOD),), "well", BAD)])
    assert capsys.readouterr().out == "ok well\n"


def test_a_pipe_that_is_shown_on_a_terminal_can_have_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    Output().result({}, [Row((("ok ", GOOD),), "well")])
    assert "\x1b[" in capsys.readouterr().out


def test_lines_begin_under_the_body_or_where_they_are_told() -> None:
    rows = [Row((("lead: ", ""),), WORDS), Row((("lead: ", ""),), WORDS, hang=2)]
    under, hung = [
        ["".join(text for text, _ in line) for line in row.lines(40, cut=False)]
        for row in rows
    ]
    assert [line[:6] for line in under] == ["lead: ", *["      "] * (len(under) - 1)]
    assert hung[1].startswith("  ")
    assert not hung[1].startswith("   ")
    assert max(map(len, under + hung)) <= 40


def test_a_digest_is_cut_on_a_terminal_and_whole_in_a_pipe() -> None:
    row = fact("PCR0", "ab" * 48)
    assert len(list(row.lines(60, cut=True))) > 1
    assert len(list(row.lines(60, cut=False))) == 1


def test_a_command_to_copy_is_never_wrapped() -> None:
    assert len(list(following(WORDS).lines(20, cut=True))) == 1


def test_a_narrow_terminal_is_not_too_narrow() -> None:
    assert list(fact("a name", "words and more words").lines(5, cut=False))


@pytest.mark.parametrize(("columns", "width"), [("20", 40), ("60", 60), ("999", 100)])
def test_the_width_is_the_terminals_within_reason(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Output()._width == width


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.json = True
    output.result({"b": 1, "a": "ä"}, [say("not this")])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"a": "ä", "b": 1}


def test_what_takes_a_second_shows_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setattr("cli.output._PATIENCE", 0.01)
    with Output().progress("asking log.example"):
        time.sleep(0.3)
    assert "asking log.example" in terminal.getvalue()


def test_what_changes_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setattr("cli.output._PATIENCE", 0.05)
    with Output().progress("asking") as tell:
        tell("1 of 3")
        time.sleep(0.3)
        tell("2 of 3")
        time.sleep(0.3)
    shown = terminal.getvalue()
    assert "asking" not in shown
    assert shown.index("1 of 3") < shown.index("2 of 3")


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    with Output().progress("asking log.example"):
        pass
    assert terminal.getvalue() == ""


def test_nobody_who_reads_a_pipe_waits_for_a_spinner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.output._PATIENCE", 0.0)
    with Output().progress("asking log.example"):
        time.sleep(0.01)
    assert capsys.readouterr().err == ""


def test_an_error_in_between_ends_the_spinner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    monkeypatch.setattr("cli.output._PATIENCE", 0.01)

    def fail() -> None:
        with Output().progress("asking"):
            time.sleep(0.1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "asking" in terminal.getvalue()


def test_what_a_build_prints_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line such as `[/usr/bin/ld]` was the end of a rebuild."""
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr("cli.output._PATIENCE", 0.01)
    with Output().progress("[/begins]") as tell:
        time.sleep(0.3)
        tell("[/usr/bin/ld] [bold]ok")
        time.sleep(0.3)
    assert "[/begins]" in err.getvalue()
    assert "[/usr/bin/ld] [bold]ok" in err.getvalue()
