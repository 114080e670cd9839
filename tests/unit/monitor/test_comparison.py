"""Comparing views: what fits our history, what is newer, and what is a lie."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.comparison import Comparer
from monitor.withheld import WITHHELD, Debts
from pcrlog.checkpoint import Checkpoint
from tests.support.log_simulator import Reply, refused
from tests.support.memory_log import MemoryLog
from tests.unit.monitor.viewed import Viewed, grow, log_of, verified, viewing


@pytest.fixture
def view(tmp_path: Path) -> Iterator[Viewed]:
    with viewing(tmp_path, log_of(seals=3)) as made:
        yield made


def zeros(reply: Reply) -> Reply:
    return Reply(200, bytes(len(reply.body)), reply.kind)


def forged(log: MemoryLog, size: int, root: bytes = bytes(32)) -> bytes:
    return bytes(log.signer.sign(Checkpoint(log.origin, size, root).text()))


def test_our_own_checkpoint_is_the_same(view: Viewed) -> None:
    assert view.compare(view.log.note) == "same"


@pytest.mark.parametrize("seals", [1, 2, 300])
def test_an_older_checkpoint_of_our_history_is_consistent(
    tmp_path: Path, seals: int
) -> None:
    log = log_of()
    old = log.note
    grow(log, seals)
    with viewing(tmp_path, log) as view:
        assert view.compare(old) == "consistent"


def test_the_empty_tree_is_the_beginning_of_every_history(view: Viewed) -> None:
    empty = bytes.fromhex(
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert view.compare(forged(view.log, 0, empty)) == "consistent"
    assert view.compare(forged(view.log, 0)) == "equivocation"


def test_another_tree_of_our_size_is_an_equivocation(view: Viewed) -> None:
    other = log_of("evil", seals=3)
    found = view.comparer.compare(other.note, view.ours.note)
    assert (found.verdict, found.exit_code) == ("equivocation", 4)
    assert view.proven(found.evidence).kind == "checkpoints"


@pytest.mark.parametrize("seals", [(1, 3), (2, 300), (3, 4)])
def test_a_smaller_tree_of_another_history_is_an_equivocation(
    tmp_path: Path, seals: tuple[int, int]
) -> None:
    other = log_of("evil", seals=seals[0])
    with viewing(tmp_path, log_of(seals=seals[1])) as view:
        found = view.comparer.compare(other.note, view.ours.note)
        assert found.verdict == "equivocation"
        assert view.proven(found.evidence).kind == "checkpoints"


def test_a_larger_tree_that_the_log_shows_too_is_consistent(view: Viewed) -> None:
    newer = grow(view.log)
    assert view.compare(newer) == "consistent"
    grow(view.log, 300)
    assert view.compare(newer) == "consistent"


def test_a_larger_tree_of_another_history_is_an_equivocation(view: Viewed) -> None:
    other = log_of("evil", seals=4)
    grow(view.log, 5)
    found = view.comparer.compare(other.note, view.ours.note)
    assert found.verdict == "equivocation"
    assert view.proven(found.evidence).kind == "checkpoints"


def test_a_log_that_goes_on_with_another_history_is_an_equivocation(
    view: Viewed,
) -> None:
    other = log_of("evil", seals=9)
    view.simulator.log = other
    found = view.comparer.compare(other.note, view.ours.note)
    assert found.verdict == "equivocation"
    assert view.proven(found.evidence).kind == "checkpoints"


def test_a_larger_tree_that_the_log_does_not_show_is_newer(view: Viewed) -> None:
    hidden = log_of(seals=5)
    found = view.comparer.compare(hidden.note, view.ours.note)
    assert (found.verdict, found.exit_code, found.evidence) == ("newer", 3, None)


def test_a_larger_tree_whose_tiles_are_there_waits_for_cosignatures(
    view: Viewed,
) -> None:
    published = view.log.note
    hidden = grow(view.log, 2)
    view.log.note = published
    found = view.comparer.compare(hidden, view.ours.note)
    assert (found.verdict, found.exit_code, found.shown) == ("pending", 3, 6)
    assert found.alert(view.log.origin, "w1.example shows", 0) is None


@pytest.mark.parametrize("tiles", [True, False])
def test_what_is_kept_back_for_long_is_told_as_a_rollback(
    view: Viewed, *, tiles: bool
) -> None:
    debts = Debts((None, None), lambda: view.log.now)
    comparer = Comparer(view.config.log.key, view.source, view.evidence, debts)
    published = view.log.note
    hidden = grow(view.log, 2) if tiles else log_of(seals=5).note
    view.log.note = published
    found = comparer.compare(hidden, view.ours.note)
    assert found.verdict == ("pending" if tiles else "newer")
    view.log.now += WITHHELD
    found = comparer.compare(hidden, view.ours.note)
    assert (found.verdict, found.exit_code, found.evidence) == ("withheld", 3, None)
    alert = found.alert(view.log.origin, "w1.example shows", view.log.now)
    assert alert is not None
    assert alert.kind == "rollback"
    assert ("its quorum may be missing: ask the operator" in alert.found) == tiles
    grow(view.log, 2)
    assert comparer.compare(view.log.note, view.ours.note).verdict == "consistent"


def test_tiles_of_a_hidden_tree_of_another_history_are_an_equivocation(
    view: Viewed,
) -> None:
    other = log_of("evil", seals=9)
    hidden, other.note = other.note, view.log.note
    view.simulator.log = other
    found = view.comparer.compare(hidden, view.ours.note)
    assert found.verdict == "equivocation"
    assert view.proven(found.evidence).kind == "checkpoints"


def test_a_checkpoint_after_the_last_one_is_an_equivocation(tmp_path: Path) -> None:
    log = log_of()
    log.seal(frozen=True)
    with viewing(tmp_path, log) as view:
        ours = view.ours.note
        newer = grow(log)
        found = view.comparer.compare(newer, ours, frozen=True)
        assert found.verdict == "equivocation"


# --- what says nothing against the log ------------------------------------------------


def test_another_logs_checkpoint_says_nothing_about_this_one(view: Viewed) -> None:
    other = MemoryLog(origin="other.example/pcr")
    other.seal()
    found = view.comparer.compare(other.note, view.ours.note)
    assert (found.verdict, found.checkpoint) == ("unchecked", None)
    assert found.alert("log.example/pcr", "w1.example shows", 0) is None


@pytest.mark.parametrize(
    "note", [b"", b"garbage", b"\xff\n\n", b"a\n\xe2\x80\x94 b c\n"]
)
def test_garbage_says_nothing(view: Viewed, note: bytes) -> None:
    assert view.compare(note) == "unchecked"


def test_a_checkpoint_with_a_changed_root_is_not_signed(view: Viewed) -> None:
    lines = view.log.note.decode().split("\n")
    lines[2] = "A" * 43 + "="
    assert view.compare("\n".join(lines).encode()) == "unchecked"


def test_tiles_that_lead_nowhere_prove_nothing(view: Viewed) -> None:
    view.simulator.twist = lambda _path, reply: zeros(reply)
    other = log_of("evil", seals=1)
    assert view.compare(other.note) == "unchecked"


@pytest.mark.parametrize("status", [403, 404])
def test_without_the_logs_files_nothing_can_be_told(view: Viewed, status: int) -> None:
    view.simulator.twist = lambda _path, _reply: refused(status, "no", "no")
    other = log_of("evil", seals=1)
    assert view.compare(other.note) == "unchecked"
    assert view.compare(log_of(seals=9).note) == "unchecked"


def test_before_anything_is_verified_nothing_can_be_told(view: Viewed) -> None:
    assert view.comparer.compare(view.log.note, b"").verdict == "unchecked"


def test_an_equivocation_is_told_once_whoever_shows_it(view: Viewed) -> None:
    found = view.comparer.compare(log_of("evil", seals=3).note, view.ours.note)
    alerts = [
        found.alert(view.log.origin, f"{name} shows", now)
        for name, now in (("w1.example", 1), ("w2.example", 2))
    ]
    assert alerts[0] is not None
    assert alerts[1] is not None
    assert alerts[0].id == alerts[1].id
    assert alerts[0].evidence == found.evidence


def test_what_is_verified_is_the_tree_of_the_note(view: Viewed) -> None:
    assert verified(view.log).tree().root() == view.log.tree.root()
