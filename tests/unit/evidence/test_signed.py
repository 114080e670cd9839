"""Checkpoints and leaves: what convicts, and what an honest log may sign."""

import pytest
from msgspec import structs

from pcrlog.envelope import sign_envelope
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.evidence import (
    BadLeaf,
    BeyondFrozen,
    TwoCheckpoints,
    TwoLeaves,
    bare_note,
    encode,
    parse,
    verify_evidence,
)
from pcrlog.evidence.file import EXAMPLE
from pcrlog.merkle import prove_prefix
from pcrlog.note import NoteSigner, VerifierKey
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, key, witness
from tests.unit.evidence.convicting import (
    convicts,
    is_false,
    is_malformed,
    proves_nothing,
)
from tests.unit.evidence.genuine import (
    GOOD,
    KEY,
    PRODUCT,
    beyond_frozen,
    leaves,
    note,
    said_twice,
    small,
)

# --- checkpoints ----------------------------------------------------------------------


def test_the_example_is_evidence_against_its_log() -> None:
    vkey = "log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx"
    proven = verify_evidence(EXAMPLE.encode(), VerifierKey.parse(vkey))
    assert proven.found.startswith("the log signed two trees of 1 leaves")


def test_one_tree_is_no_fork() -> None:
    twice = note(small())
    proves_nothing(TwoCheckpoints(checkpoints=(twice, twice)), "one tree of 4 leaves")


def grown() -> tuple[MemoryLog, str, str]:
    """A log, its checkpoint of 4 leaves, and that of 6."""
    log = small()
    old = note(log)
    log.release(PRODUCT, "1.1.0", GOOD)
    log.seal()
    return log, old, note(log)


def test_a_log_that_has_grown_is_no_fork() -> None:
    log, old, new = grown()
    proof = prove_prefix(4, 6, log.node)
    proves_nothing(TwoCheckpoints(checkpoints=(old, new), proof=proof), "extends that")


def test_a_rollback_alone_is_no_fork() -> None:
    log, old, new = grown()
    proof = prove_prefix(4, 6, log.node)
    is_false(TwoCheckpoints(checkpoints=(new, old), proof=proof), "nothing leads from")
    is_false(TwoCheckpoints(checkpoints=(old, new)), "proof has 0 hashes")


def test_a_proof_has_to_lead_to_the_larger_tree() -> None:
    log, old, new = grown()
    _, *rest = prove_prefix(4, 6, log.node)
    forged = TwoCheckpoints(checkpoints=(old, new), proof=(bytes(32), *rest))
    is_false(forged, "does not lead to the root of 6 leaves")


def test_two_checkpoints_stand_in_order() -> None:
    one, other = parse(EXAMPLE.encode()).checkpoints  # type: ignore[union-attr] # known
    data = encode(TwoCheckpoints(checkpoints=(other, one)))
    with pytest.raises(MalformedError, match="ascending by root"):
        verify_evidence(data, KEY)


def test_a_log_may_grow_before_it_is_frozen() -> None:
    genuine = beyond_frozen()
    old, _ = genuine.checkpoints
    swapped = BeyondFrozen(checkpoints=(old, old), entry=genuine.entry)
    proves_nothing(swapped, "no checkpoint is larger")
    log = MemoryLog()
    not_last = log.seal().decode()
    entry = leaves(log, 1)
    log.seal()
    several = BeyondFrozen(checkpoints=(not_last, note(log)), entry=entry)
    proves_nothing(several, "no checkpoint is larger")


def test_a_bare_note_has_the_log_s_own_line_alone() -> None:
    log = small()
    bare = note(log)
    log.cosign(witness("w1.example/a"), witness("w2.example/b"))
    checkpoint, text = bare_note(log.note, KEY)
    assert (checkpoint.size, text) == (4, bare)
    with pytest.raises(VerificationError):
        bare_note(log.note, NoteSigner(KEY.name, bytes(32)).public)


# --- leaves ---------------------------------------------------------------------------


def test_a_leaf_like_any_other_convicts_nobody() -> None:
    log = small()
    log.release(PRODUCT, "1.1.0", GOOD)
    log.seal(frozen=True)
    for index in range(len(log.leaves)):
        file = BadLeaf(checkpoint=note(log), entry=leaves(log, index))
        proves_nothing(file, "a leaf like any other")


def sealed_with(leaf: bytes) -> BadLeaf:
    """A checkpoint whose last leaf is this one."""
    log = small()
    log.seal(leaf=leaf)
    return BadLeaf(checkpoint=note(log), entry=leaves(log, len(log.leaves) - 1))


def foreign() -> bytes:
    """A statement that is made for another log."""
    log = MemoryLog(origin="other.example/log")
    return log.leaves[0]


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (Seal(3, 0, bytes(32)).encode(), "a seal that counts 3 leaves before it"),
        (b"pcrlog/sea1/v1\n", "not well-formed: expected a seal"),
        (MemoryLog().leaves[0], "leaf 4, the last of a checkpoint, is no seal"),
    ],
)
def test_a_checkpoint_ends_in_a_right_seal(leaf: bytes, words: str) -> None:
    assert words in convicts(sealed_with(leaf)).found


def test_a_statement_is_made_for_the_log_that_it_is_in() -> None:
    log = small()
    index = log.append(foreign(), force=True)
    log.seal()
    file = BadLeaf(checkpoint=note(log), entry=leaves(log, index))
    assert "made for the log other.example/log" in convicts(file).found


def test_nothing_follows_the_last_seal() -> None:
    log = small()
    log.seal(frozen=True)
    log.seal()
    file = BadLeaf(checkpoint=note(log), entry=leaves(log, 4))
    assert "leaves follow it" in convicts(file).found


@pytest.mark.parametrize("leaf", [b"", b"x", b"pcrlog/seal/v2\n"])
def test_what_a_later_version_may_know_convicts_nobody(leaf: bytes) -> None:
    with pytest.raises(UncheckedError):
        convicts(sealed_with(leaf))


def test_a_statement_of_a_later_type_convicts_nobody() -> None:
    payload = (
        small().entries[2].envelope.payload.replace(b":release:v1", b":release:v2")
    )
    log = small()
    index = log.append(sign_envelope(payload, [key("acme.example")]), force=True)
    log.seal()
    with pytest.raises(UncheckedError):
        convicts(BadLeaf(checkpoint=note(log), entry=leaves(log, index)))


def test_a_leaf_stands_alone() -> None:
    log = small()
    file = BadLeaf(checkpoint=note(log), entry=leaves(log, 1, 3))
    is_malformed(file, "expected one leaf, found 2")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (2, 4, "different statements"),
        (3, 5, "times of the seals do not go back"),
        (2, 3, "not the JSON expected here"),
        (3, 4, "not the JSON expected here"),
    ],
)
def test_two_leaves_that_may_both_be_convict_nobody(
    first: int, second: int, words: str
) -> None:
    log, _, _ = grown()
    entries = (leaves(log, first), leaves(log, second))
    proves_nothing(TwoLeaves(checkpoint=note(log), entries=entries), words)


def test_a_seal_that_cannot_be_read_has_no_time() -> None:
    log = small()
    log.seal(leaf=b"pcrlog")
    log.seal()
    entries = (leaves(log, 4), leaves(log, 5))
    file = TwoLeaves(checkpoint=note(log), entries=entries)
    proves_nothing(file, "expected a seal pcrlog/seal/v1")


def test_one_leaf_is_not_two() -> None:
    genuine = said_twice()
    one, other = genuine.entries
    for entries in ((one, one), (other, one)):
        file = structs.replace(genuine, entries=entries)
        is_malformed(file, "expected two leaves, ascending")
