"""What can be handed in, and what the monitor's desk answers."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.comparison import Comparer, Comparison
from monitor.handed import desk, notes_in
from monitor.state import State
from monitor.withheld import WITHHELD, Debts
from pcrlog.encoding import encode_json
from pcrlog.errors import MalformedError
from pcrlog.evidence import TwoCheckpoints, encode
from pcrlog.index_keys import of_product
from pcrlog.proof import Proof
from tests.support.log_simulator import Reply
from tests.unit.monitor.viewed import PRODUCT, Viewed, grow, log_of, viewing

LOG = log_of()
REPORT = {"format": "pcrlog-report/v1", "checkpoint": {"note": LOG.note.decode()}}
BUNDLE = LOG.assemble({of_product(PRODUCT): LOG.answer(of_product(PRODUCT))}).encode()


@pytest.mark.parametrize(
    "data",
    [
        LOG.note,
        BUNDLE,
        BUNDLE + b"\n",
        Proof(2, LOG.included(2).proof, LOG.note).encode(),
        encode_json(REPORT) + b"\n",
    ],
    ids=["note", "bundle", "bundle-and-newline", "proof", "report"],
)
def test_the_checkpoint_of_whatever_pcrlog_writes_is_found(data: bytes) -> None:
    assert notes_in(data) == (LOG.note,)


def test_evidence_of_a_fork_has_two() -> None:
    fork = TwoCheckpoints(checkpoints=("another\n", LOG.note.decode()))
    assert notes_in(encode(fork)) == (b"another\n", LOG.note)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b" {]",
        b"{}",
        b'{"format":"pcrlog-bundle/v1"}',
        b'{"format":"pcrlog-report/v1"}',
        b'{"format":"pcrlog-report/v1","checkpoint":null}',
        b'{"format":"pcrlog-evidence/v1"}',
        b'{"format":7}',
        b'{"format":' + b"[" * 100_000,
        b"c2sp.org/tlog-proof@v1\nindex x\n\nnote",
        b"x" * (1 << 21),
    ],
    ids=range(11),
)
def test_other_files_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        notes_in(data)


# --- the desk -------------------------------------------------------------------------


@pytest.fixture
def view(tmp_path: Path) -> Iterator[Viewed]:
    with viewing(tmp_path, log_of(seals=3)) as made:
        made.keep()
        yield made


def test_a_lie_that_is_handed_in_is_told_and_ends_all_cosigning(view: Viewed) -> None:
    state = State(view.config.state / "monitor.db")
    answer = desk(state, view.comparer, lambda: view.log.now)
    assert answer(view.log.note)[1]["verdict"] == "same"
    assert state.newest_alerts(9) == []
    status, shown = answer(log_of("evil").note)
    assert (status, shown["verdict"]) == (200, "equivocation")
    [(_, alert)] = state.newest_alerts(9)
    assert (alert.kind, alert.evidence) == ("equivocation", shown["evidence"])
    assert view.proven(alert.evidence).kind == "checkpoints"
    assert state.fact("follow", "tainted") == "equivocation"
    answer(log_of("evil").note)
    assert len(state.newest_alerts(9)) == 1
    state.close()


def test_garbage_is_refused_and_other_logs_are_not_told(view: Viewed) -> None:
    state = State(view.config.state / "monitor.db")
    answer = desk(state, view.comparer, lambda: view.log.now)
    assert answer(b"{}")[0] == 400
    status, shown = answer(b"garbage")
    assert (status, shown["verdict"], shown["size"]) == (200, "unchecked", None)
    assert state.newest_alerts(9) == []
    state.close()


def test_before_anything_is_verified_the_desk_says_so(
    view: Viewed, tmp_path: Path
) -> None:
    state = State(tmp_path / "monitor.db")
    _, shown = desk(state, view.comparer, lambda: 0)(view.log.note)
    assert shown["verdict"] == "unchecked"
    state.close()


class Busy(State):
    """A database that refuses the first transactions."""

    refusals = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.refusals:
            self.refusals -= 1
            message = "database is locked"
            raise sqlite3.OperationalError(message)
        with super().transaction():
            yield


@pytest.fixture
def busy(view: Viewed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    monkeypatch.setattr("monitor.handed._PAUSES", (0, 0, 0))
    state = Busy(view.config.state / "monitor.db")
    yield state
    state.close()


def test_a_lie_is_told_when_the_database_is_no_longer_busy(
    view: Viewed, busy: Busy
) -> None:
    busy.refusals = 3
    status, shown = desk(busy, view.comparer, lambda: 1)(log_of("evil").note)
    assert (status, shown["verdict"]) == (200, "equivocation")
    assert [alert.kind for _, alert in busy.newest_alerts(9)] == ["equivocation"]


def test_a_lie_that_cannot_be_written_down_is_said_to_whoever_brought_it(
    view: Viewed, busy: Busy
) -> None:
    answer = desk(busy, view.comparer, lambda: 1)
    busy.refusals = 4
    status, shown = answer(log_of("evil").note)
    assert status == 503
    assert "could not be written down" in str(shown["error"])
    assert "equivocation" in str(shown["error"])
    assert answer(log_of("evil").note)[0] == 200
    assert [alert.kind for _, alert in busy.newest_alerts(9)] == ["equivocation"]


def test_a_lie_is_told_though_what_comes_after_it_cannot_be_compared(
    view: Viewed, busy: Busy
) -> None:
    real = view.comparer

    class Breaks(Comparer):
        def compare(
            self, theirs: bytes, ours: bytes, *, frozen: bool = False
        ) -> Comparison:
            if theirs == view.log.note:
                message = "a mistake of ours"
                raise RuntimeError(message)
            return real.compare(theirs, ours, frozen=frozen)

    two = TwoCheckpoints(
        checkpoints=(log_of("evil").note.decode(), view.log.note.decode())
    )
    broken = Breaks(real.key, view.source, view.evidence)
    status, shown = desk(busy, broken, lambda: 1)(encode(two))
    assert status == 503
    assert "a mistake of ours" in str(shown["error"])
    assert [alert.kind for _, alert in busy.newest_alerts(9)] == ["equivocation"]


def test_what_is_withheld_is_told_and_ends_no_cosigning(
    view: Viewed, busy: Busy
) -> None:
    debts = Debts((None, None), lambda: view.log.now)
    comparer = Comparer(view.config.log.key, view.source, view.evidence, debts)
    answer = desk(busy, comparer, lambda: view.log.now)
    published = view.log.note
    hidden = grow(view.log)
    view.log.note = published
    assert answer(hidden)[1]["verdict"] == "pending"
    view.log.now += WITHHELD
    assert answer(hidden)[1]["verdict"] == "withheld"
    assert [alert.kind for _, alert in busy.newest_alerts(9)] == ["rollback"]
    assert busy.fact("follow", "tainted") is None


def test_one_is_compared_at_a_time(view: Viewed) -> None:
    here, on = threading.Event(), threading.Event()

    def twist(_path: str, reply: Reply) -> Reply:
        here.set()
        assert on.wait(10)
        return reply

    view.simulator.twist = twist
    state = State(view.config.state / "monitor.db")
    answer = desk(state, view.comparer, lambda: view.log.now)
    first = threading.Thread(target=answer, args=(log_of("evil").note,))
    first.start()
    assert here.wait(10)
    assert answer(view.log.note)[0] == 429
    on.set()
    first.join()
    assert answer(view.log.note)[0] == 200
    state.close()
