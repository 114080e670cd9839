"""`pcrlog mirror` of a log that lies: nothing of the lie gets into the mirror."""

import pytest

from cli import mirror_copy, mirror_tiles
from cli.mirror_files import Progress
from pcrlog.encoding import encode_json
from pcrlog.envelope import sign_envelope
from pcrlog.seal import Seal
from pcrlog.statement import encode
from tests.support.lies import LIES, Lie, honest
from tests.support.log_simulator import Reply, refused
from tests.support.memory_log import START, MemoryLog, key
from tests.support.scene import NONCE, PRODUCT, document
from tests.unit.cli.mirroring import OWN, Keeper, grow, read_all

MANY = 560
"""Releases that make two full entry bundles, and some more."""


@pytest.fixture(scope="module")
def large() -> MemoryLog:
    """A log with two full entry bundles, and some more; nobody may change it."""
    log = honest(START)
    grow(log, MANY)
    return log


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
    monkeypatch.setattr(mirror_tiles, "_REMEMBERED", 2)
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
