"""What all sinks share, the one that prints, and the heartbeat."""

from io import BytesIO, RawIOBase
from pathlib import Path

import msgspec
import pytest

from monitor import config
from monitor.sinks import (
    Heartbeat,
    RefusedError,
    StdoutSink,
    read_secret,
    without_path,
)
from pcrlog.errors import UsageError
from tests.support.webhook import Receiver
from tests.unit.monitor.delivering import HOSTILE, NOW, alert


def test_an_alert_is_one_line_of_json_whatever_a_log_said() -> None:
    out = BytesIO()
    sink = StdoutSink(out)
    sink.deliver(alert(3, about=HOSTILE), NOW)
    sink.deliver(alert(4), NOW)
    sink.close()
    first, second = out.getvalue().splitlines()
    assert msgspec.json.decode(first)["about"] == HOSTILE
    assert msgspec.json.decode(second)["entries"] == [4]
    assert not out.closed


class Broken(RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_pipe_without_a_reader_refuses() -> None:
    with pytest.raises(RefusedError, match="Broken pipe"):
        StdoutSink(Broken()).deliver(alert(1), NOW)  # type: ignore[arg-type] # all it needs


def test_a_closed_stream_refuses() -> None:
    out = BytesIO()
    out.close()
    with pytest.raises(RefusedError, match="closed file"):
        StdoutSink(out).deliver(alert(1), NOW)


def test_a_secret_is_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(UsageError, match="cannot read"):
        read_secret(path)
    path.write_bytes(bytes(4096))
    assert read_secret(path) == bytes(4096)
    path.write_bytes(bytes(4097))
    with pytest.raises(UsageError, match="more than 4096"):
        read_secret(path)


@pytest.mark.parametrize(
    ("words", "url", "want"),
    [
        ("ask https://h.example/T1/x: no", "https://h.example/T1/x", "h.example/...:"),
        ("with url: /T1/x (refused)", "https://h.example/T1/x", "with url: /... ("),
        ("ask https://h.example: no", "https://h.example", "ask https://h.example: no"),
        ("ask https://h.example/a: a", "https://h.example/a", "h.example/...: a"),
    ],
)
def test_the_path_of_a_url_is_not_told(words: str, url: str, want: str) -> None:
    assert want in without_path(words, url)


# --- heartbeat ------------------------------------------------------------------------


def test_a_heartbeat_is_heard_and_not_too_often() -> None:
    now = 100.0
    with Receiver() as receiver:
        beat = Heartbeat(config.Heartbeat(receiver.url, "60s"), lambda: now)
        beat.beat()
        beat.close()
        now += 59
        beat.beat()
        now += 1
        beat.beat()
        beat.close()
        assert receiver.beats == ["/hook", "/hook"]
    assert beat.problem is None


def test_a_heartbeat_that_is_not_heard_is_a_warning_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Receiver() as receiver:
        receiver.misbehave("refuse", times=2)
        beat = Heartbeat(config.Heartbeat(receiver.url, "0s"), lambda: 0.0)
        for _ in range(2):
            beat.beat()
            beat.close()
        assert beat.problem == "it answered 503"
        assert caplog.text.count("was not heard") == 1
        beat.beat()
        beat.close()
        assert beat.problem is None


def test_a_heartbeat_that_hangs_does_not_hold_up_a_round() -> None:
    with Receiver() as receiver:
        receiver.misbehave("hang")
        beat = Heartbeat(config.Heartbeat(receiver.url, "0s"), lambda: 0.0)
        beat.beat()
        receiver.wait_for_beats(1)
        beat.beat()
        assert receiver.beats == ["/hook"]
        receiver.behave()
        beat.close()


def test_the_url_of_a_heartbeat_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        url = receiver.url
    beat = Heartbeat(config.Heartbeat(url + "/s3cret", "0s"), lambda: 0.0)
    beat.beat()
    beat.close()
    assert beat.problem is not None
    assert "127.0.0.1" in beat.problem
    assert "s3cret" not in beat.problem + caplog.text


def test_nothing_was_told_before_the_first_round() -> None:
    Heartbeat(config.Heartbeat("http://127.0.0.1:1/"), lambda: 0.0).close()
