"""The top of the trie: one hash for each prefix."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.subtries import DEPTH, FIRST, Top
from pcrlog import trie
from pcrlog.subtries import NOTHING, leaf_hash, subtrie

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


@given(KEYS)
def test_the_top_has_the_root_over_all_prefixes(keys: set[bytes]) -> None:
    top = Top()
    by_prefix: dict[int, set[bytes]] = {}
    for key in keys:
        by_prefix.setdefault(int.from_bytes(key) >> (256 - DEPTH), set()).add(key)
    for prefix, those in by_prefix.items():
        top.set(prefix, subtrie(leaves_of(those)))
    top.rise(by_prefix)
    assert top.root == root_of(keys)
    for prefix, those in by_prefix.items():
        assert top[FIRST + prefix] == subtrie(leaves_of(those))
        assert top.get(prefix, 1) == top[FIRST + prefix]


def test_a_prefix_that_is_emptied_leaves_nothing() -> None:
    top = Top()
    top.set(5, VALUE * 2)
    top.rise([5, 6])
    assert top.root not in (VALUE, trie.EMPTY_ROOT)
    top.set(5, NOTHING)
    top.rise([5])
    assert top.root == VALUE
    top.set(6, NOTHING)
    top.rise([6])
    assert top.root == trie.EMPTY_ROOT
