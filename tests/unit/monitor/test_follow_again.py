"""Rounds that went wrong half-way, and logs that come back to what they did before."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor import advancing, standing
from pcrlog.encoding import encode_base64
from pcrlog.errors import TransportError, UncheckedError, VerificationError
from pcrlog.note import UnverifiedNote
from pcrlog.transport import RefusedError
from tests.support.files import Files
from tests.support.memory_log import MemoryLog, registers, witness
from tests.unit.monitor.followed import (
    BAD,
    PRODUCT,
    PRODUCTS,
    SETTINGS,
    following,
    log_of,
)

HOUR = 3600


def grown(log: MemoryLog, count: int, word: str = "app") -> MemoryLog:
    """With so many more releases of somebody else."""
    if "v1/identity/other.example" not in log.index:
        log.enroll("other.example", "provider")
    for number in range(count):
        build = registers(f"{word} {number} {len(log.leaves)}")
        log.release("other.example/app", f"1.{len(log.leaves)}.0", build)
    log.seal()
    return log


def forked(log: MemoryLog, size: int, leaves: int) -> MemoryLog:
    """Another history of the same log from `size` on, with so many leaves."""
    fork = log.until(size)
    fork.release(PRODUCT, "6.6.6", BAD)
    while len(fork.leaves) < leaves:
        fork.seal()
    return fork


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advancing, "RUN", 256)
    monkeypatch.setattr(standing, "RUN", 256)


class Crash(BaseException):
    """The process dies here."""


def dying_at(step: str, times: int) -> Callable[[str], None]:
    left = [times]

    def die(name: str) -> None:
        left[0] -= name == step
        if left[0] == 0:
            raise Crash

    return die


# --- half-way through a large growth --------------------------------------------------


@pytest.mark.usefixtures("small_runs")
@pytest.mark.parametrize("step", ["alerts-committed", "index-committed", "judged"])
def test_a_crash_amid_a_large_growth_can_be_recovered_from(
    tmp_path: Path, step: str
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
    grown(log, 900)
    with (
        following(tmp_path, log, step=dying_at(step, 3)) as it,
        pytest.raises(Crash),
    ):
        it.follower.round()
    with following(tmp_path, log) as it:
        assert it.follower.round().outcome == "clean"
        assert it.index.root() == log.index_root()


@pytest.mark.usefixtures("small_runs")
def test_an_index_removed_amid_a_large_growth_is_made_anew(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
    grown(log, 600)
    with (
        following(tmp_path, log, step=dying_at("index-committed", 2)) as it,
        pytest.raises(Crash),
    ):
        it.follower.round()
    for path in (tmp_path / "state").glob("index.db*"):
        path.unlink()
    with following(tmp_path, log) as it:
        assert it.follower.round().outcome == "clean"


@pytest.mark.usefixtures("small_runs")
def test_one_failed_read_amid_a_large_growth_costs_one_round(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        grown(log, 900)
        it.files.gone.add("tile/entries/002")
        assert it.follower.round().outcome == "unchecked"
        it.files.gone.clear()
        assert it.follower.round().outcome == "clean"
        assert it.index.root() == log.index_root()


@pytest.mark.usefixtures("small_runs")
def test_a_monitor_that_is_to_end_ends_between_two_runs(tmp_path: Path) -> None:
    log = grown(log_of(), 900)

    def end(name: str) -> None:
        if name == "judged":
            it.follower.ending.set()

    with following(tmp_path, log, step=end) as it:
        outcome = it.follower.round()
        assert (outcome.outcome, outcome.size) == ("unchecked", 256)
        assert it.kinds() == []
    with following(tmp_path, log) as it:
        assert it.follower.round().outcome == "clean"


@pytest.mark.usefixtures("small_runs")
def test_another_history_amid_the_first_catching_up_is_a_fork(tmp_path: Path) -> None:
    log = grown(log_of(), 600)
    with (
        following(tmp_path, log, step=dying_at("index-committed", 1)) as it,
        pytest.raises(Crash),
    ):
        it.follower.round()
    other = forked(log, 4, len(log.leaves) + 2)
    with following(tmp_path, other) as it:
        it.follower.round()
        [alert] = it.alerts()
        assert (alert.kind, it.proven(alert).kind) == ("fork", "checkpoints")
        assert it.follower.tainted() == "fork"


def test_leaves_as_large_as_can_be_are_read_in_short_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advancing, "_RUN_BYTES", 1)
    log, ends = grown(log_of(), 3000), []
    with following(tmp_path, log) as it:
        it.follower._advancer._progress = lambda done, _all: ends.append(done)
        assert it.follower.round().outcome == "clean"
    assert ends[0] == 1024


# --- what cannot be read --------------------------------------------------------------


def old_product(log: MemoryLog) -> MemoryLog:
    """A release of ours in the first entry bundle, which is then left behind."""
    return grown(log, 400)


def test_the_past_that_cannot_be_read_ends_a_round_and_not_the_monitor(
    tmp_path: Path,
) -> None:
    log = old_product(log_of())
    settings = SETTINGS + 'unaudited_after = "1h"\n'
    with following(tmp_path, log, settings) as it:
        it.follower.round()
    log.now += 2 * HOUR
    log.seal()
    with following(tmp_path, log, settings) as it:
        it.follower.round()
    with following(tmp_path, log, settings) as it:
        it.files.gone.add("tile/entries/000")
        for _ in range(4):
            assert it.follower.round().outcome in {"unchecked", "alerts", "clean"}
        it.files.gone.clear()
        it.files.instead["tile/entries/000"] = b"\0\1x"
        it.follower.round()
        it.files.instead.clear()
        it.follower.round()
        assert "unaudited" in it.kinds()


def test_what_convicts_a_log_is_told_though_the_past_is_withheld(
    tmp_path: Path,
) -> None:
    log = old_product(log_of())
    with following(tmp_path, log) as it:
        it.follower.round()
    log.append(b"{}", force=True)
    log.revoke("acme.example", "vulnerable", 3)
    log.seal()
    with following(tmp_path, log) as it:
        it.files.gone.add("tile/entries/000")
        it.follower.round()
        assert it.kinds() == ["bad-entry"]
        assert it.follower.tainted() == "bad-entry"
        it.files.gone.clear()
        it.follower.round()
        assert it.kinds() == ["bad-entry", "revoked"]


def test_what_convicts_a_log_is_told_though_what_is_revoked_is_withheld(
    tmp_path: Path,
) -> None:
    log = old_product(log_of())
    with following(tmp_path, log) as it:
        it.follower.round()
    log.append(b"{}", force=True)
    log.revoke("acme.example", "withdrawn", 3)
    log.seal()
    with following(tmp_path, log) as it:
        it.files.gone.add("tile/entries/000")
        it.follower.round()
        assert it.kinds() == ["bad-entry"]
        it.files.gone.clear()
        it.follower.round()
        assert it.kinds() == ["bad-entry", "revoked"]
        assert it.index.root() == log.index_root()


def test_a_round_in_cron_counts_as_one_of_a_daemon(tmp_path: Path) -> None:
    log = log_of()
    for _ in range(3):
        with following(tmp_path, log, files=Files(log, gone={"checkpoint"})) as it:
            it.follower.round()
    with following(tmp_path, log) as it:
        assert it.kinds() == ["unreachable"]
        assert it.follower.round().outcome == "clean"


# --- what was shown before ------------------------------------------------------------


def test_two_checkpoints_of_one_size_are_a_fork_though_neither_can_be_read(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        size = len(log.leaves)
        one, other = forked(log, 4, size + 2), forked(log, 3, size + 2)
        it.files.instead["checkpoint"] = one.note
        it.follower.round()
        it.files.instead["checkpoint"] = other.note
        it.follower.round()
        forks = [alert for alert in it.alerts() if alert.kind == "fork"]
        assert [it.proven(alert).kind for alert in forks] == ["checkpoints"]


def test_less_than_was_shown_is_a_rollback_though_that_could_not_be_read(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        before = log.note
        log.seal()
        it.files.instead["checkpoint"] = log.note
        it.files.gone.add(f"tile/entries/000.p/{len(log.leaves)}")
        it.files.gone.add("tile/entries/000")
        it.follower.round()
        it.files.instead["checkpoint"] = before
        it.follower.round()
        assert it.kinds() == ["rollback"]


def test_a_rollback_that_goes_on_is_alerts_in_every_round_and_told_once(
    tmp_path: Path,
) -> None:
    log = log_of()
    before = log.note
    log.seal()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.files.instead["checkpoint"] = before
        assert [it.follower.round().outcome for _ in range(3)] == ["alerts"] * 3
        assert it.kinds() == ["rollback"]


def test_a_rollback_that_comes_again_is_told_again(tmp_path: Path) -> None:
    log = log_of()
    before = log.note
    log.seal()
    with following(tmp_path, log) as it:
        it.follower.round()
        for _ in range(2):
            log.now += 60
            it.files.instead["checkpoint"] = before
            it.follower.round()
            it.files.instead.clear()
            assert it.follower.round().outcome == "clean"
        assert it.kinds() == ["rollback", "rollback"]


def test_garbage_that_differs_every_time_is_told_once(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        for number in range(5):
            it.files.instead["checkpoint"] = b"down, request %d\n" % number
            it.follower.round()
        assert it.kinds() == ["bad-signature"]


def test_while_something_else_is_shown_nothing_is_vouched_for(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.files.instead["checkpoint"] = b"nonsense"
        it.follower.round()
        log.seal()
        with pytest.raises(UncheckedError, match="bad-signature"):
            it.follower.vouch(log.note)
        it.files.instead.clear()
        it.follower.round()
        it.follower.vouch(log.note)


def test_a_seal_of_a_time_to_come_is_not_vouched_for(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        now = log.now
        log.now += 10_000 * HOUR
        log.seal()
        log.now = now
        with pytest.raises(UncheckedError, match="yet to come"):
            it.follower.vouch(log.note)


def test_tiles_that_lead_nowhere_are_told_when_a_checkpoint_is_to_be_vouched_for(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.seal()
        it.files.instead[f"tile/entries/000.p/{len(log.leaves)}"] = b"\0"
        with pytest.raises(VerificationError):
            it.follower.vouch(log.note)
        assert it.kinds() == ["bad-tiles"]


def test_lines_of_strangers_do_not_come_into_what_is_kept(tmp_path: Path) -> None:
    log, stranger = log_of(), witness("eve.example")
    with following(tmp_path, log) as it:
        it.follower.round()
        log.seal()
        bare = log.note
        it.follower.vouch(log.cosign(stranger))
        assert it.state.verified().note == bare
        log.note = bare
        it.follower.round()
        it.follower.vouch(log.cosign(stranger))
        assert len(UnverifiedNote.parse(it.state.verified().note).lines) == 1


def test_a_frozen_log_is_not_stale_any_more(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.now += 13 * HOUR
        it.follower.round()
        assert it.kinds() == ["stale"]
        log.seal(frozen=True)
        log.now += 13 * HOUR
        it.follower.round()
        assert it.kinds() == ["stale", "frozen"]
        assert it.follower.round().outcome == "clean"


# --- the pin --------------------------------------------------------------------------


def pinned(log: MemoryLog) -> str:
    return f'first = "{len(log.leaves)} {encode_base64(log.tree.root())}"\n' + SETTINGS


def test_a_pin_that_is_set_later_is_held(tmp_path: Path) -> None:
    log = log_of()
    fork = forked(log, 3, len(log.leaves) + 2)
    with following(tmp_path, fork) as it:
        it.follower.round()
    with following(tmp_path, fork, pinned(log)) as it:
        it.follower.round()
        assert it.kinds()[-1] == "fork"


def test_a_pin_is_held_once_and_remembered(tmp_path: Path) -> None:
    log = log_of()
    settings = pinned(log)
    log.seal()
    with following(tmp_path, log, settings) as it:
        it.follower.round()
        it.files.asked.clear()
        it.follower.round()
        assert it.files.asked == ["checkpoint"]


def test_a_broken_tile_at_the_first_start_is_no_fork(tmp_path: Path) -> None:
    log = log_of()
    settings = pinned(log)
    log.seal()
    with following(tmp_path, log, settings) as it:
        tile = f"tile/0/000.p/{len(log.leaves)}"
        good = it.files(tile, 1 << 20)
        it.files.instead[tile] = bytes([good[0] ^ 1]) + good[1:]
        it.follower.round()
        assert it.kinds() == ["bad-tiles"]
        assert it.follower.tainted() is None
        it.files.instead.clear()
        assert it.follower.round().outcome == "clean"


# --- the disk -------------------------------------------------------------------------


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log, policy=log.policy(products=PRODUCTS)) as it:
        database = it.state._database

        class Failing:
            def execute(self, sql: str, *more: Any) -> object:
                if sql == "commit":
                    message = "disk I/O error"
                    raise sqlite3.OperationalError(message)
                return database.execute(sql, *more)

            def rollback(self) -> None:
                database.rollback()

        it.state._database = Failing()  # type: ignore[assignment] # fails on purpose
        with pytest.raises(sqlite3.OperationalError), it.state.transaction():
            pass
        it.state._database = database
        assert it.follower.round().outcome == "clean"


def test_a_source_that_refuses_does_not_answer(tmp_path: Path) -> None:
    log = log_of()

    def refuse(_path: str, _most: int, /) -> bytes:
        message = "forbidden"
        raise RefusedError(message, status=403)

    with following(tmp_path, log) as it:
        for _ in range(4):
            it.follower._source._idle.put(refuse)
            it.follower._source._idle.get()
        with pytest.raises(TransportError, match="forbidden"):
            it.follower._source.note()
