"""Merkle trees of any size: appending, proving, checking."""

import contextlib
from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pcrlog import merkle, tiles
from pcrlog.errors import VerificationError

MOST = 1500
SIZES = st.integers(1, MOST)
HASHES = st.binary(min_size=32, max_size=32)


@cache
def nodes() -> dict[tuple[int, int], bytes]:
    """All complete subtrees over the first leaves."""
    tree = merkle.Range()
    found = {}
    for number in range(MOST):
        for level, index, value in tree.append(merkle.leaf_hash(b"%d" % number)):
            found[level, index] = value
    return found


def node(level: int, index: int) -> bytes:
    return nodes()[level, index]


def root(size: int) -> bytes:
    return merkle.range_root(0, size, node)


@given(SIZES, st.data())
def test_every_leaf_of_every_size_is_proven(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.prove_inclusion(index, size, node)
    assert len(proof) <= size.bit_length()
    merkle.check_inclusion(node(0, index), index, size, proof, root(size))


@given(SIZES, st.data())
def test_every_size_extends_every_smaller_one(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = merkle.prove_consistency(old, new, node)
    merkle.check_consistency(old, new, proof, root(old), root(new))


@given(st.integers(2, MOST), st.data())
def test_a_consistency_proof_leads_to_both_roots(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    hashes = merkle.prove_prefix(old, new, node)
    assert merkle.consistency_roots(old, new, hashes) == (root(old), root(new))


@given(SIZES, st.data())
def test_leaves_in_a_row_are_proven_by_few_hashes(
    size: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    proof = merkle.prove_range(start, end, size, node)
    assert len(proof) <= 2 * size.bit_length()
    leaves = [node(0, index) for index in range(start, end)]
    merkle.check_range(leaves, start, size, proof, root(size))
    pool = st.sampled_from([*proof, *leaves, root(size)]) | HASHES
    other = data.draw(st.lists(pool, max_size=len(proof) + 1).map(tuple))
    if other != proof:
        with pytest.raises(VerificationError):
            merkle.check_range(leaves, start, size, other, root(size))


@given(SIZES, SIZES)
def test_a_range_goes_on_from_wherever_it_stopped(one: int, other: int) -> None:
    stop, end = sorted((one, other))
    tops, at = [], 0
    for bit in reversed(range(stop.bit_length())):
        if stop >> bit & 1:
            tops.append(node(bit, at >> bit))
            at += 1 << bit
    tree = merkle.Range(stop, tops)
    assert tree.root() == root(stop)
    for index in range(stop, end):
        for level, place, value in tree.append(node(0, index)):
            assert value == node(level, place)
    assert tree.root() == root(end)


@given(SIZES, st.data())
def test_no_other_hashes_lead_a_leaf_to_the_root(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    good = merkle.prove_inclusion(index, size, node)
    pool = st.sampled_from([*good, node(0, index), root(size)]) | HASHES
    proof = data.draw(st.lists(pool, max_size=len(good) + 1).map(tuple))
    if proof != good:
        with pytest.raises(VerificationError):
            merkle.check_inclusion(node(0, index), index, size, proof, root(size))


@given(SIZES, st.data())
def test_no_other_hashes_lead_from_one_root_to_another(
    new: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, new))
    good = merkle.prove_consistency(old, new, node)
    pool = st.sampled_from([*good, root(old), root(new)]) | HASHES
    proof = data.draw(st.lists(pool, max_size=len(good) + 1).map(tuple))
    if proof != good:
        with pytest.raises(VerificationError):
            merkle.check_consistency(old, new, proof, root(old), root(new))


@given(
    st.integers(-3, 2**64),
    st.integers(-3, 2**64),
    st.lists(st.binary(max_size=40), max_size=70),
    HASHES,
    HASHES,
)
@settings(max_examples=200)
def test_arbitrary_claims_are_verification_errors(
    one: int, other: int, proof: list[bytes], first: bytes, second: bytes
) -> None:
    assume(first != second)
    with pytest.raises(VerificationError):
        merkle.check_inclusion(first, one, other, proof, second)
    with pytest.raises(VerificationError):
        merkle.check_consistency(one, other, proof, first, second)
    with pytest.raises(VerificationError):
        merkle.check_range(proof, one, other, proof, second)
    with contextlib.suppress(VerificationError):
        merkle.consistency_roots(one, other, proof)


@given(SIZES, st.data())
@settings(max_examples=40)
def test_tiles_hold_all_that_proofs_need(size: int, data: st.DataObject) -> None:
    served = {
        (tile.level or 0, tile.index): b"".join(
            node(8 * (tile.level or 0), tile.index * 256 + slot)
            for slot in range(tile.width)
        )
        for tile in tiles.tiles_of(size)
    }
    read = tiles.node_reader(lambda level, index: served[level, index])
    assert merkle.range_root(0, size, read) == root(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.prove_inclusion(index, size, read)
    assert proof == merkle.prove_inclusion(index, size, node)


@given(st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 2**20))
def test_tiles_that_are_added_step_by_step_are_those_of_the_whole(
    one: int, two: int, three: int
) -> None:
    """But for partial tiles of sizes in between, which later ones replace."""
    first, second, last = sorted(((one % 5000), (two % 5000), (three % 5000)))
    steps = [*tiles.tiles_of(second, first), *tiles.tiles_of(last, second)]
    added = set(tiles.tiles_of(last, first))
    assert added <= set(steps) | set(tiles.tiles_of(first))
    assert {tile for tile in steps if tile.width == tiles.FULL} == {
        tile for tile in added if tile.width == tiles.FULL
    }
