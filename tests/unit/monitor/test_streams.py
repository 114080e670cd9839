"""Standard output and error that nobody reads: words are lost, and nothing else."""

import io
import os
import sys
from contextlib import suppress

import pytest

from monitor.follow import Outcome
from monitor.sinks import RefusedError, StdoutSink
from monitor.streams import is_terminal, output, say
from monitor.telling import Teller
from tests.unit.monitor.delivering import NOW, alert


def test_what_is_said_is_there_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    say("one")
    assert capsys.readouterr().err == "one"


def test_a_reader_that_has_gone_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True)
    monkeypatch.setattr(sys, "stderr", pipe)
    with pytest.raises(BrokenPipeError):
        pipe.write("words")
    say("words")
    Teller("log.example/pcr").ended(Outcome("clean", "5 leaves verified", 5))
    with suppress(BrokenPipeError):
        pipe.close()


def test_without_a_standard_error_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("words")
    assert not is_terminal()
    Teller("log.example/pcr").ended(Outcome("clean", "5 leaves verified", 5))


def test_without_a_standard_output_its_sink_refuses_with_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(RefusedError, match="cannot write to standard output: it is cl"):
        StdoutSink(output()).deliver(alert(1), NOW)


def test_standard_output_is_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(found))
    StdoutSink(output()).deliver(alert(1), NOW)
    assert found.getvalue().startswith(b'{"about":"wallet 1"')
