"""What the sequencer tells the web process of its witnesses."""

from pathlib import Path

import msgspec
import pytest

from log_server.standing import Standing, Standings

ONE = Standing("w1.example/a", "witness", 6, 1_795_590_000, 3)
OTHER = Standing("m1.example/i", "index monitor", alarm=True, alarms=2, problem="no")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    told = Standings(1_795_590_000, 17, (ONE, OTHER))
    told.write(tmp_path / "told")
    assert Standings.read(tmp_path / "told") == told
    Standings().write(tmp_path / "told")
    assert Standings.read(tmp_path / "told") == Standings()
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"members": [{}]}', b'{"members": 1}', b"\xff"]
)
def test_nobody_is_there_where_nothing_is_told(tmp_path: Path, data: bytes) -> None:
    assert Standings.read(tmp_path / "told") == Standings()
    (tmp_path / "told").write_bytes(data)
    assert Standings.read(tmp_path / "told") == Standings()
    with pytest.raises(msgspec.DecodeError):
        Standings.parse(data)


def test_a_quorum_is_missing_since_it_was_first_waited_for() -> None:
    assert Standings().missing(100) == 0
    assert Standings(90).missing(100) == 10
    assert Standings(110).missing(100) == 0, "a clock was set back"
