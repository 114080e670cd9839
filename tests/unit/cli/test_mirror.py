"""`pcrlog mirror`: what is copied is all of the log, and nothing else."""

import os

import pytest

from cli.mirror_files import MirrorFiles
from tests.support.log_simulator import Reply
from tests.unit.cli.mirroring import OWN, Keeper, files_of, grow, read_all

MANY = 560
"""Releases that make two full entry bundles, and some more."""


def test_a_mirror_has_the_files_of_the_log_and_no_others(keeper: Keeper) -> None:
    found = keeper.copied()
    assert read_all(keeper.mirror) == files_of(keeper.simulator.log)
    size = len(keeper.simulator.log.leaves)
    assert (found["size"], found["added"]) == (size, size)
    assert found["checks"]["witnesses"] == "waived"


def test_a_mirror_grows_with_the_log(keeper: Keeper) -> None:
    keeper.copied()
    for number in (1, 300, 260, 3):
        with keeper.simulator.change() as log:
            grow(log, number, f"by{number}")
        assert keeper.copied()["added"] == number + 1


def test_only_what_is_new_is_asked_for(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        grow(log, MANY)
    keeper.copied()
    keeper.simulator.asked.clear()
    with keeper.simulator.change() as log:
        grow(log, 1, "more")
    keeper.copied()
    size = len(keeper.simulator.log.leaves)
    asked = [path.removeprefix("/pcr/") for path in keeper.simulator.asked]
    last = f"002.p/{size % 256}"
    wanted = ["checkpoint", f"tile/0/{last}", "tile/1/000.p/2", f"tile/entries/{last}"]
    assert sorted(asked) == sorted(wanted)


def test_partial_files_of_the_checkpoint_before_stay_and_older_ones_go(
    keeper: Keeper,
) -> None:
    sizes = []
    for number in range(3):
        with keeper.simulator.change() as log:
            grow(log, 2, f"n{number}")
        keeper.copied()
        sizes.append(len(log.leaves))
    kept = sorted(
        int(path.name) for path in (keeper.mirror / "tile/entries/000.p").iterdir()
    )
    assert kept == sizes[1:]


def test_new_cosignatures_of_the_same_checkpoint_are_taken(keeper: Keeper) -> None:
    keeper.copied()
    with keeper.simulator.change() as log:
        log.cosign(log.witnesses[0])
    assert keeper.copied()["added"] == 0


def test_a_mirror_can_be_mirrored(keeper: Keeper) -> None:
    """Any server of these files will do; the log is known by its name and key."""
    keeper.copied()
    shown = read_all(keeper.mirror)

    def from_mirror(path: str, reply: Reply) -> Reply:
        status = 200 if path in shown else 404
        return Reply(status, shown.get(path, b""), "application/octet-stream")

    keeper.simulator.twist = from_mirror
    keeper.forget()
    keeper.copied()


@pytest.mark.parametrize("least", [1, 2])
def test_a_quorum_that_the_policy_demands_is_demanded(
    keeper: Keeper, least: int
) -> None:
    keeper.copied()
    before = read_all(keeper.mirror)
    first, second, _ = keeper.simulator.log.witnesses
    keys = [str(first.public), str(second.public)]
    keeper.write_policy(witnesses={"quorum": least, "keys": keys})
    with keeper.simulator.change() as log:
        log.witnesses = [first]
        grow(log, 1)
    status, found = keeper.copy()
    if least == 1:
        assert status == 0
        assert found["checks"]["witnesses"] == "1 recent of 1 cosignatures"
    else:
        assert status == 3
        assert "log.witnesses" in found["error"]
        assert read_all(keeper.mirror) == before


def test_a_stale_log_is_copied_and_its_age_is_told(keeper: Keeper) -> None:
    keeper.now += 2 * 86_400
    status, out, _ = keeper.run(f"mirror {keeper.simulator.url} mirror")
    assert status == 0
    assert "sealed" in out
    assert "not fresh" in out


# --- folders -------------------------------------------------------------------------


def test_a_log_that_the_policy_does_not_know_is_not_mirrored(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        log.origin = "other.example/log"
        log.signer = type(log.signer)(log.origin, bytes(32))
        log.sign()
    status, found = keeper.copy()
    assert status == 2
    assert "the policy's are: log.example/pcr" in found["error"]


def test_a_folder_of_another_log_is_left_alone(keeper: Keeper) -> None:
    keeper.mirror.mkdir()
    (keeper.mirror / "checkpoint").write_bytes(b"not ours")
    status, found = keeper.copy()
    assert status == 2
    assert "Name another folder" in found["error"]
    assert (keeper.mirror / "checkpoint").read_bytes() == b"not ours"


def test_two_runs_do_not_write_at_once(keeper: Keeper) -> None:
    with MirrorFiles(keeper.mirror).locked():
        status, found = keeper.copy()
    assert status == 2
    assert "another run" in found["error"]


def test_a_folder_that_cannot_be_made_is_said(keeper: Keeper) -> None:
    keeper.mirror.write_bytes(b"a file")
    status, found = keeper.copy()
    assert status == 2
    assert str(keeper.mirror.name) in found["error"]


def test_an_empty_log_is_nothing_to_copy(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        log._empty()
        log.sign()
    status, found = keeper.copy()
    assert status == 3
    assert "nothing yet" in found["error"]


def test_a_damaged_file_of_the_mirror_is_fetched_again(keeper: Keeper) -> None:
    """When it is read: that is when the progress is lost, or its entries are asked."""
    with keeper.simulator.change() as log:
        grow(log, MANY)
    keeper.copied()
    for name in ("tile/0/000", "tile/entries/001"):
        path = keeper.mirror / name
        path.write_bytes(path.read_bytes()[:-1])
    (keeper.mirror / OWN / "progress.json").unlink()
    keeper.copied()


@pytest.mark.parametrize("damage", ["gone", "cut", "noise", "lists"])
def test_an_index_that_is_not_right_is_made_anew_and_accuses_nobody(
    keeper: Keeper, damage: str
) -> None:
    keeper.copied()
    index = keeper.mirror / OWN / "index"
    data = index.read_bytes()
    if damage == "gone":
        index.unlink()
    elif damage == "cut":
        index.write_bytes(data[:-1])
    elif damage == "noise":
        index.write_bytes(data[:80] + bytes(len(data) - 80))
    else:
        index.write_bytes(data[:-400] + bytes(400))
    with keeper.simulator.change() as log:
        grow(log, 2)
    keeper.copied()


@pytest.mark.parametrize("many", [False, True])
def test_a_damaged_index_is_found_whatever_comes(keeper: Keeper, *, many: bool) -> None:
    """A few entries are put into it node by node; for many, all of it is read."""
    with keeper.simulator.change() as log:
        grow(log, 200)
    keeper.copied()
    index = keeper.mirror / OWN / "index"
    data = index.read_bytes()
    index.write_bytes(data[:80] + os.urandom(3000) + data[3080:])
    with keeper.simulator.change() as log:
        grow(log, 100 if many else 1, "more")
    keeper.copied()


def test_people_are_told_what_was_verified(keeper: Keeper) -> None:
    status, out, err = keeper.run(f"mirror {keeper.simulator.url} mirror")
    assert (status, err) == (0, "")
    size = len(keeper.simulator.log.leaves)
    assert f"mirror has {size} entries of log.example/pcr, {size} of them new" in out
    assert "unchecked: waived by the policy" in out
