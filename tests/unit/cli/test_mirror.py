"""`pcrlog mirror`: what is copied is all of the log and nothing else; lies are not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import mirror_copy, mirror_tiles
from cli.mirror_files import MirrorFiles, Progress
from pcrlog.encoding import encode_json
from pcrlog.envelope import sign_envelope
from pcrlog.seal import Seal
from pcrlog.statement import encode
from tests.support.lies import LIES, Lie, honest
from tests.support.log_simulator import LogSimulator, Reply, refused
from tests.support.memory_log import START, MemoryLog, key
from tests.support.scene import NONCE, PRODUCT, document
from tests.unit.cli.mirroring import AT_ONCE, OWN, Keeper, files_of, grow, read_all

MANY = 560
"""Releases that make two full entry bundles, and some more."""


@pytest.fixture
def keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Keeper]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(AT_ONCE, 1)
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", 0.3)
    monkeypatch.setattr("pcrlog.transport._PAUSES", (0.0, 0.0))
    with LogSimulator(honest(START)) as simulator:
        made = Keeper(simulator, tmp_path, capsys)
        made.write_policy()
        yield made


@pytest.fixture(scope="module")
def large() -> MemoryLog:
    """A log with two full entry bundles, and some more; nobody may change it."""
    log = honest(START)
    grow(log, MANY)
    return log


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


# --- lies ----------------------------------------------------------------------------

UNTOUCHED = {
    "hide-from-answers",  # the tree is honest: the lie is in answers,
    "replayed-bundle",  # which a mirror never asks for
    "bundle-of-another",
    "frozen",  # a true last seal
    "stale",  # nobody lies; whoever reads asks how old it is
    "alone",  # the quorums are waived here
}
STATUS = {"fork-and-shrink": 4, "rollback": 4, "hide-from-index": 4}
"""Where a mirror, which reads everything, tells what `verify` cannot tell."""
EVIDENCE = {
    "fork": ["checkpoints"],
    "fork-and-grow": ["checkpoints"],
    "fork-and-shrink": ["checkpoints"],
    "equivocation": ["checkpoints"],
    "no-seal": ["leaf"],
    "miscount": ["leaf"],
    "not-canonical": ["leaf"],
    "frozen-and-grows": ["leaf"],
}
ENTRIES = {"enrolled-by-a-stranger", "twice", "not-canonical", "back-in-time"}
WORDS = {
    "fork": "two histories",
    "fork-and-grow": "two histories",
    "fork-and-shrink": "two histories",
    "equivocation": "two histories",
    "rollback": "goes back",
    "hide-from-index": "the index root in the seal is",
    "wrong-root": "the index root in the seal is",
    "unauthorised": "is not an active key",
    "enrolled-by-a-stranger": "signed by neither",
    "twice": "the same statement is entry",
    "back-in-time": "its time goes back",
    "frozen-and-grows": "after the log was frozen",
    "no-seal": "log.seal",
    "miscount": "log.seal",
    "unknown": "upgrade",
    "truncated": "bytes, want",
    "swapped": "is not the one in the tree",
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_lie_never_gets_into_a_mirror(keeper: Keeper, lie: Lie) -> None:
    if lie.frozen:
        with keeper.simulator.change() as log:
            log.seal(frozen=True)
    keeper.copied()
    before = read_all(keeper.mirror)
    lie.tell(keeper.simulator)
    url = keeper.simulator.elsewhere if lie.elsewhere else keeper.simulator.url
    status, found = keeper.copy(url)
    if lie.name in UNTOUCHED:
        assert status == 0, found
        return
    verdict = 4 if lie.name in ENTRIES else STATUS.get(lie.name, lie.verdict)
    assert status == verdict, found
    assert WORDS.get(lie.name, "") in found["error"]
    assert read_all(keeper.mirror) == before
    assert keeper.evidence == EVIDENCE.get(lie.name, [])


@pytest.mark.parametrize("lie", ["fork", "truncated", "swapped"])
def test_a_mirror_goes_on_when_a_lie_is_over(keeper: Keeper, lie: str) -> None:
    keeper.copied()
    honest_log = keeper.simulator.log
    next(one for one in LIES if one.name == lie).tell(keeper.simulator)
    assert keeper.copy()[0] == 4
    keeper.simulator.log, keeper.simulator.twist = honest_log, None
    with keeper.simulator.change() as log:
        grow(log, 300)
    keeper.copied()


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/000", "tile/0/001", "tile/0/002.p/{}", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/{}"),
    ],
)
@pytest.mark.parametrize("spoiled", ["cut", "changed"])
def test_each_file_is_held_against_the_tree(
    keeper: Keeper, large: MemoryLog, path: str, spoiled: str
) -> None:
    keeper.simulator.log = large
    path = path.format(len(large.leaves) % 256)

    def spoil(asked: str, reply: Reply) -> Reply:
        if asked != path:
            return reply
        middle = len(reply.body) // 2
        changed = reply.body[middle] ^ 1
        body = {
            "cut": reply.body[:-1],
            "changed": reply.body[:middle]
            + bytes([changed])
            + reply.body[middle + 1 :],
        }[spoiled]
        return Reply(reply.status, body, reply.kind)

    keeper.simulator.twist = spoil
    status, found = keeper.copy()
    assert status == 4, found
    assert path in found["error"] or "the hash tiles" in found["error"]
    assert not (keeper.mirror / "checkpoint").exists()


@pytest.mark.parametrize("beside", [False, True])
def test_a_wrong_signature_is_found(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, *, beside: bool
) -> None:
    monkeypatch.setattr(mirror_copy, "_FEW", 0 if beside else 10_000)
    with keeper.simulator.change() as log:
        leaf = log.leaves[max(log.entries)]
        at = leaf.index(b'"sig":"') + 8
        other = b"B" if leaf[at : at + 1] == b"A" else b"A"
        forged = leaf[:at] + other + leaf[at + 1 :].replace(b"1.4.1", b"1.4.7")
        index = log.append(forged, force=True)
        log.seal()
    status, found = keeper.copy()
    assert status == 4
    assert f"entry {index}: signature by key" in found["error"]


def test_a_revocation_of_what_is_not_there_is_refused(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        index = max(log.entries)
        revoking = log.revoke(
            "acme.example", "withdrawn", index, statement="ab" * 32, force=True
        )
        log.seal()
    status, found = keeper.copy()
    assert status == 4
    assert f"entry {revoking}: the revocation names no earlier" in found["error"]


def test_a_revocation_of_what_is_there_is_copied(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        log.revoke("acme.example", "withdrawn", max(log.entries))
        log.seal()
    keeper.copied()


def test_a_seal_that_counts_wrongly_among_others_is_found(keeper: Keeper) -> None:
    with keeper.simulator.change() as log:
        index = len(log.leaves)
        log.seal(leaf=Seal(index - 1, log.now, log.index_root()).encode())
        log.seal()
    status, found = keeper.copy()
    assert status == 4
    assert f"entry {index}: the seal counts {index - 1} leaves" in found["error"]
    assert keeper.evidence == ["leaf"]


@pytest.mark.parametrize(("kind", "status"), [("info", 0), ("other", 3)])
def test_of_types_that_are_not_known_one_family_is_skipped(
    keeper: Keeper, kind: str, status: int
) -> None:
    with keeper.simulator.change() as log:
        entry = log.entries[max(log.entries)]
        said = encode(entry.predicate, dict(entry.statement.registers))
        said = said.replace(b"pcrlog:release:v1", f"pcrlog:{kind}:v1".encode())
        log.append(sign_envelope(said, [key("acme.example")]), force=True)
        log.seal()
    found, said_of_it = keeper.copy()
    assert found == status, said_of_it


def test_a_log_that_refuses_does_not_answer(keeper: Keeper) -> None:
    keeper.simulator.twist = lambda _path, _reply: refused(403, "no", "go away")
    status, found = keeper.copy()
    assert status == 3
    assert "go away" in found["error"]


def test_a_rollback_is_told_even_if_the_mirror_cannot_tell_a_fork(
    keeper: Keeper,
) -> None:
    with keeper.simulator.change() as log:
        grow(log, 3)
    keeper.copied()
    for path in (keeper.mirror / "tile/0/000.p").iterdir():
        path.unlink()
    keeper.simulator.log = log.until(5)
    status, found = keeper.copy()
    assert status == 4
    assert "goes back" in found["error"]
    assert keeper.evidence == []


def test_the_progress_of_another_log_says_nothing_of_this_one(keeper: Keeper) -> None:
    (keeper.mirror / OWN).mkdir(parents=True)
    progress = Progress("another key", "ab" * 32, "not a note", 5, bytes(32))
    (keeper.mirror / OWN / "progress.json").write_bytes(encode_json(progress))
    keeper.copied()


def test_tiles_are_forgotten_when_there_are_many(
    keeper: Keeper, large: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_tiles, "_REMEMBERED", 1)
    keeper.simulator.log = large
    keeper.copied()


def test_the_registrar_is_the_policys(keeper: Keeper) -> None:
    keeper.write_policy(registrar="ab" * 32)
    status, found = keeper.copy()
    assert status == 4
    assert "which the policy pins" in found["error"]


def test_another_registrar_in_the_policy_judges_everything_anew(
    keeper: Keeper,
) -> None:
    keeper.copied()
    keeper.write_policy(registrar="ab" * 32)
    with keeper.simulator.change() as log:
        log.seal()
    assert keeper.copy()[0] == 4


def test_what_verify_remembers_is_of_the_same_history(keeper: Keeper) -> None:
    (keeper.folder / "doc").write_bytes(document(time=keeper.now))
    words = f"verify --product {PRODUCT} --attestation doc --nonce {NONCE.hex()}"
    assert keeper.run(words)[0] == 0
    next(one for one in LIES if one.name == "fork").tell(keeper.simulator)
    status, found = keeper.copy()
    assert status == 4
    assert "two histories" in found["error"]
    assert keeper.evidence == ["checkpoints"]
    assert not (keeper.mirror / "checkpoint").exists()


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
