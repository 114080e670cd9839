"""monitor.db: nothing goes back, nothing is said twice, all of it or nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.alerts import Alert
from monitor.schema import schema_of
from monitor.state import Condition, State, Verified

LOG = "log.example/pcr"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "monitor.db")
    yield state
    state.close()


def alert(kind: str = "revoked", about: str = "acme.example/wallet 1.4.2") -> Alert:
    return Alert.of(kind, LOG, about, "found", time=7, entries=(3,))


def verified(size: int) -> Verified:
    return Verified(
        size, (bytes([size]) * 32,) * size.bit_count(), b"note", 9, frozen=False
    )


def test_a_new_state_follows_no_log(state: State) -> None:
    assert state.log() is None
    with pytest.raises(LookupError, match="follows no log"):
        state.verified()


def test_progress_is_kept_and_never_goes_back(state: State) -> None:
    state.begin("vkey", b"first", 1)
    assert state.log() == ("vkey", b"first")
    assert state.verified() == Verified(0, (), b"", 0, frozen=False)
    state.advance(verified(3), [(0, b"leaf")])
    assert state.verified() == verified(3)
    assert list(state.identities()) == [(0, b"leaf")]
    with pytest.raises(ValueError, match="never goes back"):
        state.advance(verified(2), [])


def test_the_tree_of_a_state_can_be_grown(state: State) -> None:
    state.begin("vkey", b"first", 1)
    state.advance(verified(5), [])
    assert state.verified().tree().size == 5


def test_an_alert_is_raised_once_and_keeps_its_place(state: State) -> None:
    assert state.newest_seq() == 0
    assert state.raise_alert(alert())
    assert not state.raise_alert(alert())
    assert state.raise_alert(alert(about="another"))
    first, second = (seq for seq, _ in state.alerts_after(0, 10))
    assert first < second
    assert state.alerts_after(0, 1) == [(first, alert())]
    assert [one.about for _, one in state.newest_alerts(1)] == ["another"]
    assert state.newest_seq() == second


def test_a_transaction_that_fails_leaves_nothing(state: State) -> None:
    def fail() -> None:
        with state.transaction():
            state.raise_alert(alert())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state.newest_seq() == 0


def test_a_condition_begins_once_and_ends(state: State) -> None:
    stale = Alert.of("stale", LOG, "since now", "words", time=5)
    state.set_condition(stale)
    state.set_condition(stale)
    assert state.conditions() == [Condition("stale", 5)]
    state.end_condition("stale")
    assert state.conditions() == []
    assert state.newest_seq() == 1


def test_only_the_last_rounds_are_kept(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.state._ROUNDS_KEPT", 2)
    for number in range(4):
        state.add_round(time=number, took_ms=1, size=0, outcome="clean", found="ok")
    assert [one.time for one in state.rounds(10)] == [3, 2]


def test_facts_are_remembered_and_forgotten(state: State) -> None:
    assert state.fact("rule", "a") is None
    state.remember("rule", "b", "1")
    state.remember("rule", "a", "1")
    state.remember("rule", "a", "2")
    assert state.facts("rule") == {"a": "2", "b": "1"}
    state.remember("rule", "b", None)
    assert state.facts("rule") == {"a": "2"}
    assert state.fact("rule", "a") == "2"


def test_readers_see_what_is_committed_and_write_nothing(tmp_path: Path) -> None:
    writer = State(tmp_path / "monitor.db")
    reader = State(tmp_path / "monitor.db", read_only=True)
    writer.begin("vkey", b"first", 1)
    assert reader.log() == ("vkey", b"first")
    with pytest.raises(Exception, match="readonly"):
        reader.remember("rule", "a", "1")
    reader.close()
    writer.close()


def test_a_database_without_a_schema_is_no_database() -> None:
    with pytest.raises(LookupError, match=r"no part for other\.db"):
        schema_of("other.db")
