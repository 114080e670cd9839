"""Rounds on a log: what is honest comes out clean, what is not is told and proven."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor import standing
from monitor.follow import Follower
from pcrlog.encoding import encode_base64
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.merkle import EMPTY_ROOT
from tests.support.files import Files
from tests.support.memory_log import MemoryLog, key, registers, witness
from tests.unit.monitor.followed import (
    BAD,
    PRODUCT,
    PRODUCTS,
    SETTINGS,
    following,
    log_of,
)

HOUR = 3600


def grown(log: MemoryLog, count: int) -> MemoryLog:
    """With so many more releases of another provider, sealed now and then."""
    log.enroll("other.example", "provider")
    for number in range(count):
        log.release("other.example/app", f"1.0.{number}", registers(f"app {number}"))
        if number % 100 == 0:
            log.now += 1
            log.seal()
    log.seal()
    return log


# --- an honest log --------------------------------------------------------------------


def test_an_honest_log_is_clean_and_verified_to_its_end(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        outcome = it.follower.round()
        assert (outcome.outcome, outcome.size) == ("clean", len(log.leaves))
        assert it.state.verified().note == log.note
        assert it.kinds() == []
        assert it.state.rounds(1)[0].outcome == "clean"


def test_what_is_new_is_verified_from_where_the_last_round_ended(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.audit("lab.example", "source-review", {"commit": "gitCommit:" + "ab" * 20})
        log.seal()
        it.files.asked.clear()
        assert it.follower.round().outcome == "clean"
        assert it.state.verified().size == len(log.leaves)
        assert len(it.files.asked) < 8


def test_a_round_without_news_asks_for_the_checkpoint_alone(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.files.asked.clear()
        it.follower.round()
        assert it.files.asked == ["checkpoint"]


@pytest.mark.parametrize("run", [256, 300, 1024])
def test_a_large_log_is_read_in_runs_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr("monitor.advancing.RUN", run)
    log = grown(log_of(), 700)
    steps: list[str] = []
    with following(tmp_path, log, step=steps.append) as it:
        assert it.follower.round().outcome == "clean"
        assert it.index.root() == log.index_root()
        assert it.state.verified().tree().root() == log.tree.root()
    assert steps.count("index-committed") > 1 or run > len(log.leaves)


def test_another_start_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
    log.release(PRODUCT, "1.4.3", BAD)
    log.seal()
    files = Files(log)
    with following(tmp_path, log, files=files) as it:
        assert it.follower.round().outcome == "clean"
        assert it.state.verified().size == len(log.leaves)


def test_a_state_of_another_log_is_refused(tmp_path: Path) -> None:
    with following(tmp_path, log_of()) as it:
        it.follower.round()
    with (
        following(tmp_path, log_of(origin="other.example/pcr")) as it,
        pytest.raises(UsageError, match="another log"),
    ):
        it.follower.round()


# --- a crash anywhere -----------------------------------------------------------------

STEPS = [
    "checkpoint",
    "leaves-read",
    "judged",
    "alerts-committed",
    "index-committed",
    "round-kept",
]


class Crash(BaseException):
    """The process dies here."""


def dying_in(step: str) -> Callable[[str], None]:
    def die(name: str) -> None:
        if name == step:
            raise Crash

    return die


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_in_any_step_loses_no_alert_and_tells_none_twice(
    tmp_path: Path, step: str
) -> None:
    log = log_of()
    settings = SETTINGS + 'expected = ["builds/"]\n'
    (tmp_path / "builds").mkdir()
    with (
        following(tmp_path, log, settings, step=dying_in(step)) as it,
        pytest.raises(Crash),
    ):
        it.follower.round()
    with following(tmp_path, log, settings) as it:
        it.follower.round()
        assert it.kinds() == ["unexpected-release"]
        assert it.index.root() == log.index_root()
        assert it.state.verified().size == it.index.size == len(log.leaves)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_the_same_monitor_goes_on_after_a_failure_in_any_step(
    tmp_path: Path, step: str
) -> None:
    log, failing = log_of(), [True]

    def fail(name: str) -> None:
        if name == step and failing.pop():
            message = "a passing fault"
            raise UncheckedError(message)
        failing.append(False)

    with following(tmp_path, log, step=fail) as it:
        it.follower.round()
        assert it.follower.round().outcome == "clean"
        assert it.index.root() == log.index_root()


def test_an_index_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    log = grown(log_of(), 300)
    with following(tmp_path, log) as it:
        it.follower.round()
    for path in (tmp_path / "state").glob("index.db*"):
        path.unlink()
    log.seal()
    with following(tmp_path, log) as it:
        assert it.follower.round().outcome == "clean"
        assert it.index.root() == log.index_root()


def test_an_index_that_is_ahead_of_the_state_is_refused(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
    for path in (tmp_path / "state").glob("monitor.db*"):
        path.unlink()
    with (
        following(tmp_path, log) as it,
        pytest.raises(UsageError, match=r"Remove index\.db"),
    ):
        it.follower.round()


def test_an_index_of_another_log_is_refused(tmp_path: Path) -> None:
    log, other = log_of(), log_of()
    other.hide(3)
    with following(tmp_path, log) as it:
        it.follower.round()
    fake = tmp_path / "fake"
    fake.mkdir()
    with following(fake, other) as it:
        it.index.begin(log.leaves[:1] * len(log.leaves))
        it.index.commit()
    for path in (tmp_path / "state").glob("index.db*"):
        path.unlink()
    (fake / "state" / "index.db").rename(tmp_path / "state" / "index.db")
    with (
        following(tmp_path, log) as it,
        pytest.raises(UsageError, match="is not the index of the verified leaves"),
    ):
        it.follower.round()


# --- the first checkpoint -------------------------------------------------------------


def pinned(size: int, root: bytes) -> str:
    return f'first = "{size} {encode_base64(root)}"\n' + SETTINGS


def test_a_history_that_contains_the_pinned_checkpoint_is_followed(
    tmp_path: Path,
) -> None:
    log = log_of()
    first = pinned(len(log.leaves), log.tree.root())
    log.release(PRODUCT, "1.4.3", BAD)
    log.seal()
    with following(tmp_path, log, first) as it:
        assert it.follower.round().outcome == "clean"


def test_a_deleted_state_is_noticed_when_the_log_has_changed_its_history(
    tmp_path: Path,
) -> None:
    log = log_of()
    first = pinned(len(log.leaves), log.tree.root())
    fork = log.until(4)
    fork.release(PRODUCT, "9.9.9", BAD)
    fork.seal()
    fork.seal()
    with following(tmp_path, fork, first) as it:
        assert it.follower.round().outcome == "alerts"
        assert it.kinds() == ["fork"]


def test_a_log_smaller_than_the_pinned_checkpoint_has_rolled_back(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log, pinned(99, EMPTY_ROOT)) as it:
        it.follower.round()
        assert it.kinds() == ["rollback"]


# --- lies about the tree --------------------------------------------------------------


def forked(log: MemoryLog, *, size: int = 4, more: int = 1) -> MemoryLog:
    """Another history with the log's key, from `size` on."""
    fork = log.until(size)
    fork.release(PRODUCT, "6.6.6", BAD)
    for _ in range(more):
        fork.seal()
    return fork


def test_another_tree_of_the_same_size_is_a_fork_with_evidence(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        before = it.state.verified()
        it.log = forked(log, size=3)
        assert len(it.log.leaves) == before.size
        assert it.follower.round().outcome == "alerts"
        [alert] = it.alerts()
        assert alert.kind == "fork"
        assert it.proven(alert).kind == "checkpoints"
        assert it.state.verified() == before


def test_a_larger_tree_of_another_history_is_a_fork_with_evidence(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        before = it.state.verified()
        it.log = forked(log, more=4)
        it.follower.round()
        [alert] = it.alerts()
        assert alert.kind == "fork"
        assert it.proven(alert).kind == "checkpoints"
        assert it.state.verified() == before


def test_a_smaller_tree_of_another_history_is_no_mere_rollback(tmp_path: Path) -> None:
    log = log_of()
    log.seal()
    log.seal()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.log = forked(log, size=2)
        it.follower.round()
        assert set(it.kinds()) <= {"fork", "rollback"}
        assert it.kinds()


def test_the_same_fork_is_told_once_however_often_it_is_seen(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.log = forked(log, more=4)
        for _ in range(3):
            assert it.follower.round().outcome == "alerts"
        assert len(it.alerts()) == 1


def test_an_earlier_checkpoint_is_a_rollback(tmp_path: Path) -> None:
    log = log_of()
    earlier = log.note
    log.seal()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.files.instead["checkpoint"] = earlier
        it.follower.round()
        assert it.kinds() == ["rollback"]
        assert it.state.verified().note == log.note


@pytest.mark.parametrize("data", [b"", b"nonsense", b"a\n\n\xe2\x80\x94 b AAAAAAA=\n"])
def test_a_checkpoint_that_the_log_did_not_sign_is_told(
    tmp_path: Path, data: bytes
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.files.instead["checkpoint"] = data
        it.follower.round()
        assert it.kinds() == ["bad-signature"]


def test_leaves_that_do_not_lead_to_the_root_are_told_and_not_believed(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        leaves = log.leaves
        log.leaves = [leaves[0], leaves[2], leaves[1], *leaves[3:]]
        assert it.follower.round().outcome == "alerts"
        assert it.kinds() == ["bad-tiles"]
        assert it.state.verified().size == 0
        log.leaves = leaves
        it.follower.round()
        assert it.state.verified().size == len(leaves)


def test_truncated_tiles_are_told(tmp_path: Path) -> None:
    log = grown(log_of(), 300)
    with following(tmp_path, log) as it:
        it.files.instead["tile/entries/000"] = b"\0\5abc"
        it.follower.round()
        assert it.kinds() == ["bad-tiles"]


# --- lies in entries ------------------------------------------------------------------


def after(tmp_path: Path, lie: Callable[[MemoryLog], object]) -> list[tuple[str, str]]:
    """Alerts of a log that does this after it was honest, and what proves them."""
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        lie(log)
        log.seal()
        assert it.follower.round().outcome == "alerts"
        # The tree is what the log signed: it is followed all the same.
        assert it.state.verified().size == len(log.leaves)
        assert it.follower.tainted() is not None
        return [(one.kind, it.proven(one).kind) for one in it.alerts()]


def test_a_statement_that_nobody_may_make_is_told(tmp_path: Path) -> None:
    thief = key("thief")
    found = after(
        tmp_path, lambda log: log.release(PRODUCT, "2.0", BAD, by=thief, force=True)
    )
    assert found == [("unauthorised-entry", "authority")]


def test_a_statement_that_stands_twice_is_told(tmp_path: Path) -> None:
    found = after(tmp_path, lambda log: log.append(log.leaves[3], force=True))
    assert found == [("bad-entry", "leaves")]


def test_a_leaf_of_no_form_is_told(tmp_path: Path) -> None:
    found = after(tmp_path, lambda log: log.append(b"{}", force=True))
    assert found == [("bad-entry", "leaf")]


def test_a_seal_with_another_index_root_is_told_once(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.revoke("acme.example", "vulnerable", 3)
        log.hide(len(log.leaves) - 1)
        log.seal()
        it.follower.round()
        [alert] = [one for one in it.alerts() if one.kind == "bad-index"]
        assert it.proven(alert).kind in {"index", "answer"}
        for _ in range(3):
            log.now += HOUR
            log.seal()
            it.follower.round()
        assert it.kinds().count("bad-index") == 1


def test_a_checkpoint_that_does_not_end_in_a_seal_is_told(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.release(PRODUCT, "1.5", BAD)
        log.sign()
        it.follower.round()
        [alert] = it.alerts()
        assert (alert.kind, it.proven(alert).kind) == ("bad-seal", "leaf")


def test_a_seal_whose_time_goes_back_is_told(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.now -= HOUR
        log.seal()
        log.now += HOUR
        it.follower.round()
        [alert] = it.alerts()
        assert (alert.kind, it.proven(alert).kind) == ("bad-seal", "leaves")


def test_what_comes_after_the_last_seal_is_told(tmp_path: Path) -> None:
    log = log_of()
    log.seal(frozen=True)
    with following(tmp_path, log) as it:
        it.follower.round()
        assert it.kinds() == ["frozen"]
        log.seal()
        it.follower.round()
        assert it.kinds() == ["frozen", "bad-seal"]
        assert it.proven(it.alerts()[-1]).kind in {"leaf", "frozen"}


def test_many_findings_of_a_kind_are_summed_up(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        for number in range(standing._TOLD + 20):
            log.append(b'{"%d":0}' % number, force=True)
        log.seal()
        it.follower.round()
        assert len(it.alerts()) == standing._TOLD + 1
        assert "20 more" in it.alerts()[-1].found


# --- what is wrong for a while --------------------------------------------------------


def test_a_log_that_stands_still_is_stale_once_until_it_goes_on(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        log.now += 13 * HOUR
        assert it.follower.round().outcome == "alerts"
        assert it.follower.round().outcome == "alerts"
        assert it.kinds() == ["stale"]
        log.seal()
        assert it.follower.round().outcome == "clean"


def test_a_log_without_its_witnesses_has_lost_its_quorum(tmp_path: Path) -> None:
    one = witness("w1.example")
    log = log_of()
    quorum = f'{{ quorum = 1, keys = ["{one.public}"] }}'
    policy = log.policy(products=PRODUCTS, witnesses=quorum)
    with following(tmp_path, log, policy=policy) as it:
        it.follower.round()
        assert it.kinds() == ["quorum-lost"]
        log.cosign(one)
        assert it.follower.round().outcome == "clean"


def test_a_log_that_does_not_answer_is_unreachable_after_three_rounds(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.files.gone.add("checkpoint")
        outcomes = [it.follower.round().outcome for _ in range(3)]
        assert outcomes == ["unchecked", "unchecked", "alerts"]
        assert it.kinds() == ["unreachable"]
        it.files.gone.clear()
        assert it.follower.round().outcome == "clean"


# --- vouching -------------------------------------------------------------------------


def test_what_is_clean_is_vouched_for_before_it_is_published(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.files.instead["checkpoint"] = log.note
        log.release(PRODUCT, "1.4.3", BAD)
        log.seal()
        it.follower.vouch(log.note)
        # The log still shows the old one, which is no rollback.
        assert it.follower.round().outcome == "clean"


def test_nothing_is_vouched_for_after_a_lie(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        log.append(log.leaves[3], force=True)
        log.seal()
        with pytest.raises(VerificationError, match="bad-entry"):
            it.follower.vouch(log.note)
        log.seal()
        with pytest.raises(VerificationError):
            it.follower.vouch(log.note)


def test_nothing_is_vouched_for_after_an_entry_that_nobody_here_knows(
    tmp_path: Path,
) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        payload = Envelope.parse(log.leaves[3]).payload
        later = payload.replace(b"urn:pcrlog:release:v1", b"urn:pcrlog:release:v2")
        log.append(sign_envelope(later, [key("acme.example")]), force=True)
        log.seal()
        assert it.follower.round().outcome == "alerts"
        assert it.kinds() == ["unknown-entry"]
        assert it.follower.round().outcome == "unchecked"
        log.seal()
        with pytest.raises(UncheckedError, match="does not know"):
            it.follower.vouch(log.note)
        assert it.follower.tainted() is None


def test_a_fork_is_not_vouched_for(tmp_path: Path) -> None:
    log = log_of()
    with following(tmp_path, log) as it:
        it.follower.round()
        it.log = forked(log, more=3)
        with pytest.raises(VerificationError):
            it.follower.vouch(it.log.note)
        assert it.kinds() == ["fork"]


def test_what_another_key_signed_is_not_vouched_for(tmp_path: Path) -> None:
    log, other = log_of(), log_of(origin="other.example/pcr")
    with following(tmp_path, log) as it, pytest.raises(VerificationError):
        it.follower.vouch(other.note)


def test_a_round_that_takes_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.follow._PATIENCE", 0.01)
    log = log_of()

    def in_the_middle(name: str) -> None:
        if name == "judged":
            with pytest.raises(UncheckedError, match="ask again"):
                vouch_elsewhere(it.follower, log.note)

    with following(tmp_path, log, step=in_the_middle) as it:
        assert it.follower.round().outcome == "clean"


def vouch_elsewhere(follower: Follower, note: bytes) -> None:
    """In another thread; raises what it raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(follower.vouch, note).result()
