"""Subtries: the root of the trie, without its nodes."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcrlog import trie
from pcrlog.subtries import NOTHING, join, leaf_hash, leaf_node, node, subtrie

VALUE = b"v" * 32

# Both far apart and in the last bits alone.
KEYS = st.sets(
    st.one_of(
        st.binary(min_size=32, max_size=32),
        st.integers(0, 40).map(lambda number: number.to_bytes(32)),
        st.integers(0, 40).map(lambda number: number.to_bytes(1) + bytes(31)),
    ),
    max_size=40,
)


def root_of(keys: set[bytes]) -> bytes:
    made = trie.MemoryTrie()
    made.update(dict.fromkeys(keys, VALUE))
    return made.root


def leaves_of(keys: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [(key, leaf_hash(key, VALUE)) for key in sorted(keys)]


def test_a_leaf_is_hashed_as_the_trie_hashes_it() -> None:
    assert leaf_hash(b"k" * 32, VALUE) == root_of({b"k" * 32})
    assert leaf_hash(b"k" * 32, VALUE) == sha256(leaf_node(b"k" * 32, VALUE)).digest()


def test_nothing_is_no_hash_and_not_the_empty_root() -> None:
    assert subtrie([]) == NOTHING != trie.EMPTY_ROOT


@given(KEYS.filter(bool))
def test_leaves_in_order_have_the_root_of_their_trie(keys: set[bytes]) -> None:
    assert subtrie(leaves_of(keys)) == root_of(keys)


@pytest.mark.parametrize("bit", [0, 1, 126, 127, 128, 129, 254, 255])
def test_two_leaves_part_at_the_first_bit_that_differs(bit: int) -> None:
    keys = {bytes(32), (1 << (255 - bit)).to_bytes(32)}
    assert subtrie(leaves_of(keys)) == root_of(keys)
    left, right = (leaf for _, leaf in leaves_of(keys))
    assert node(bit, left, right) == root_of(keys)


def test_a_node_without_one_side_is_the_other_side() -> None:
    assert node(7, NOTHING, VALUE) == node(7, VALUE, NOTHING) == VALUE
    assert node(7, NOTHING, NOTHING) == NOTHING


@given(KEYS, st.integers(0, 20))
def test_neighbouring_subtries_are_joined_to_their_root(
    keys: set[bytes], depth: int
) -> None:
    """The keys that share the first `depth` bits of zero, spread by the next four."""
    ours = {key for key in keys if int.from_bytes(key) >> (256 - depth) == 0}
    row = [
        subtrie(
            leaves_of({k for k in ours if int.from_bytes(k) >> (252 - depth) == part})
        )
        for part in range(16)
    ]
    assert join(row, depth) == (root_of(ours) if ours else NOTHING)
