"""An index monitor's key and memory: made together, refused apart, asked last."""

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import cosigning
from monitor.alerts import Alert
from monitor.config import Config
from monitor.cosigning import GROWTH, RENEWALS
from monitor.running import Hooks, open_monitor
from monitor.serving import Served
from monitor.witness import Witness
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.evidence import verify_evidence
from pcrlog.merkle import prove_consistency
from pcrlog.note import NoteSigner
from pcrlog.witness import AddCheckpoint, parse_lines
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import MemoryLog
from tests.unit.monitor.followed import BAD, PRODUCT, PRODUCTS, SETTINGS, log_of

COSIGNS = SETTINGS.replace(
    "[watch]", 'listen = "127.0.0.1:1"\n[cosign]\nkey = "m.skey"\n[watch]'
)


def config_of(folder: Path, log: MemoryLog, settings: str = COSIGNS) -> Config:
    (folder / "monitor.toml").write_text(settings)
    (folder / "policy.toml").write_text(log.policy(products=PRODUCTS))
    return Config.load(folder / "monitor.toml")


def test_key_and_memory_are_made_together_and_secret(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    vkey = cosigning.create(config, "m1.example/m", 1)
    signer = cosigning.read_signer(config)
    assert signer is not None
    assert str(signer.public) == vkey
    assert (tmp_path / "m.skey").stat().st_mode & 0o777 == 0o600
    assert (config.state / "witness.db").exists()


def test_who_does_not_cosign_has_no_key(tmp_path: Path) -> None:
    assert cosigning.read_signer(config_of(tmp_path, log_of(), SETTINGS)) is None


def test_a_key_is_never_made_over_another(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    (tmp_path / "m.skey").write_text("a key")
    with pytest.raises(UsageError, match="exists"):
        cosigning.create(config, "m1.example/m", 1)
    assert (tmp_path / "m.skey").read_text() == "a key"
    assert not (config.state / "witness.db").exists()


def test_a_key_without_its_memory_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (config.state / "witness.db").unlink()
    with pytest.raises(UsageError, match="second history"):
        cosigning.read_signer(config)


def test_a_memory_without_its_key_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (tmp_path / "m.skey").unlink()
    with pytest.raises(UsageError, match="init"):
        cosigning.read_signer(config)
    with pytest.raises(UsageError, match="exists"):
        cosigning.create(config, "m1.example/m", 1)


def test_the_key_of_a_log_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (tmp_path / "m.skey").write_text(NoteSigner("m1.example/m", bytes(32)).skey())
    with pytest.raises(UsageError, match="0x04"):
        cosigning.read_signer(config)


class Judge:
    """Judges as it is told, and keeps what it was told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[bytes] = []
        self.told: list[Alert] = []

    def vouch(self, note: bytes) -> None:
        self.asked.append(note)
        if self.error is not None:
            raise self.error

    def tell(self, alerts: Sequence[Alert]) -> None:
        self.told += alerts


class Busy(Judge):
    """A round goes on until `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def vouch(self, note: bytes) -> None:
        super().vouch(note)
        assert self.free.wait(30)


@contextmanager
def cosigner(folder: Path, log: MemoryLog, judge: Judge) -> Iterator[Witness]:
    """A witness that asks this judge; its key and memory in `folder`, new or not."""
    config = config_of(folder, log)
    if not (folder / "m.skey").exists():
        cosigning.create(config, "m1.example/m", 1)
    signer = cosigning.read_signer(config)
    assert signer is not None
    with cosigning.open_cosigner(config, signer, judge, lambda: log.now) as witness:
        yield witness


def first(log: MemoryLog) -> bytes:
    return bytes(AddCheckpoint(0, (), log.note))


def again(log: MemoryLog) -> bytes:
    """The checkpoint that is cosigned already."""
    return bytes(AddCheckpoint(len(log.leaves), (), log.note))


def grown(log: MemoryLog) -> bytes:
    """A request for one seal more."""
    size = len(log.leaves)
    log.seal()
    proof = prove_consistency(size, len(log.leaves), log.node)
    return bytes(AddCheckpoint(size, proof, log.note))


def forked(log: MemoryLog) -> MemoryLog:
    """As long a tree, signed by the same key, with another release in it."""
    size = len(log.leaves)
    other = log.until(size - 2)
    other.release(PRODUCT, "6.6.6", BAD)
    other.seal()
    assert len(other.leaves) == size
    return other


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 200),
        (VerificationError("the log lies"), 422),
        (UncheckedError("busy"), 503),
    ],
)
def test_what_is_not_vouched_for_is_not_cosigned(
    tmp_path: Path, error: Exception | None, status: int
) -> None:
    log, judge = log_of(), Judge(error)
    with cosigner(tmp_path, log, judge) as witness:
        reply = witness.add_checkpoint(first(log))
        assert reply.status == status
        assert judge.asked == [log.note]
        if status == 200:
            [line] = parse_lines(reply.body)
            assert line.name == "m1.example/m"


def test_another_log_is_not_cosigned(tmp_path: Path) -> None:
    judge, other = Judge(), log_of(origin="other.example/pcr")
    with cosigner(tmp_path, log_of(), judge) as witness:
        assert witness.add_checkpoint(first(other)).status == 404
    assert judge.asked == []


# --- forks ----------------------------------------------------------------------------


def test_a_fork_that_is_handed_in_is_told_with_evidence_and_ends_cosigning(
    tmp_path: Path,
) -> None:
    log, judge = log_of(), Judge()
    with cosigner(tmp_path, log, judge) as witness:
        assert witness.add_checkpoint(first(log)).status == 200
        assert witness.add_checkpoint(again(forked(log))).status == 422
        # At once, whether the judge was told already or not.
        reply = witness.add_checkpoint(grown(log))
        assert (reply.status, b"two trees of one size" in reply.body) == (422, True)
    [alert] = judge.told
    assert alert.kind == "equivocation"
    assert alert.found.startswith("handed to this index monitor to be cosigned")
    assert alert.evidence is not None
    data = (tmp_path / "state" / "evidence" / alert.evidence).read_bytes()
    assert verify_evidence(data, log.signer.public).kind == "checkpoints"


def test_a_fork_that_was_kept_and_not_told_is_told_at_the_next_start(
    tmp_path: Path,
) -> None:
    log, before, after = log_of(), Judge(), Judge()
    with cosigner(tmp_path, log, before) as witness:
        witness.add_checkpoint(first(log))
        witness.add_checkpoint(again(forked(log)))
    with cosigner(tmp_path, log, after) as witness:
        assert witness.add_checkpoint(again(log)).status == 422
    assert [alert.id for alert in after.told] == [alert.id for alert in before.told]


def test_the_answer_to_a_fork_does_not_wait_for_a_round(tmp_path: Path) -> None:
    class Held(Judge):
        def __init__(self) -> None:
            super().__init__()
            self.free = threading.Event()

        def tell(self, alerts: Sequence[Alert]) -> None:
            assert self.free.wait(30)
            super().tell(alerts)

    log, judge = log_of(), Held()
    with cosigner(tmp_path, log, judge) as witness:
        witness.add_checkpoint(first(log))
        assert witness.add_checkpoint(again(forked(log))).status == 422
        assert judge.told == []
        judge.free.set()
    assert len(judge.told) == 1


def test_a_monitor_that_is_handed_a_fork_delivers_it_and_is_tainted(
    tmp_path: Path,
) -> None:
    log, out = log_of(), io.BytesIO()
    with LogSimulator(log) as simulator:
        config = config_of(tmp_path, log, COSIGNS + '\n[[sink]]\nkind = "stdout"\n')
        policy = log.policy(products=PRODUCTS)
        (tmp_path / "policy.toml").write_text(
            policy.replace(f"https://{log.origin}", simulator.url)
        )
        cosigning.create(config, "m1.example/m", 1)
        config = Config.load(tmp_path / "monitor.toml")
        signer = cosigning.read_signer(config)
        assert signer is not None
        with open_monitor(config, lambda: log.now, out, Hooks()) as monitor:
            assert monitor.once() == 0
            with cosigning.open_cosigner(
                config, signer, monitor, lambda: log.now
            ) as witness:
                assert witness.add_checkpoint(first(log)).status == 200
                witness.add_checkpoint(again(forked(log)))
            assert monitor.delivery.drain(30)
            assert monitor.follower.tainted() == "equivocation"
            with pytest.raises(VerificationError):
                monitor.vouch(log.note)
        assert b'"kind":"equivocation"' in out.getvalue()


# --- who asks too often ---------------------------------------------------------------


def test_few_wait_at_once_and_growth_has_places_of_its_own(tmp_path: Path) -> None:
    log, judge = log_of(), Busy()
    judge.free.set()
    with (
        cosigner(tmp_path, log, judge) as witness,
        ThreadPoolExecutor(GROWTH + RENEWALS) as pool,
    ):
        assert witness.add_checkpoint(first(log)).status == 200
        judge.free.clear()
        judge.asked.clear()
        waiting = [
            pool.submit(witness.add_checkpoint, again(log)) for _ in range(RENEWALS)
        ]
        until(lambda: len(judge.asked) == RENEWALS)
        refused = witness.add_checkpoint(again(log))
        assert (refused.status, bool(refused.retry_after)) == (503, True)
        growth = grown(log)
        waiting += [pool.submit(witness.add_checkpoint, growth) for _ in range(GROWTH)]
        until(lambda: len(judge.asked) == RENEWALS + GROWTH)
        assert witness.add_checkpoint(growth).status == 503
        judge.free.set()
        assert {one.result(30).status for one in waiting} <= {200, 409}
        assert witness.add_checkpoint(again(log)).status == 200


def until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not come():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_most_threads_are_left_to_the_pages() -> None:
    threads = Served(lambda _environ, _start: []).threads
    assert threads >= 4 * (GROWTH + RENEWALS)


def test_who_sends_a_checkpoint_for_ever_is_429_and_growth_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosigning, "QPD", 24)
    log = log_of()
    with cosigner(tmp_path, log, Judge()) as witness:
        witness.add_checkpoint(first(log))
        body = again(log)
        statuses = [witness.add_checkpoint(body).status for _ in range(20)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        assert witness.add_checkpoint(grown(log)).status == 200
