"""Nodes: what `pcrlog.trie` asks for by hash is found by place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.nodes import Leaf, Nodes
from monitor.subtries import DEPTH, Top
from pcrlog import trie
from pcrlog.encoding import sha256
from pcrlog.subtries import leaf_hash, subtrie

KEYS = st.sets(
    st.one_of(
        st.binary(min_size=32, max_size=32),
        st.integers(0, 40).map(lambda number: number.to_bytes(32)),
        st.integers(0, 40).map(lambda number: number.to_bytes(4) + bytes(28)),
    ),
    max_size=40,
)


def value(key: bytes) -> bytes:
    return sha256(b"value of " + key)


def nodes_over(keys: set[bytes]) -> Nodes:
    rows: dict[int, list[Leaf]] = {}
    for key in sorted(keys):
        prefix = int.from_bytes(key) >> (256 - DEPTH)
        rows.setdefault(prefix, []).append((key, leaf_hash(key, value(key))))
    top = Top()
    for prefix, row in rows.items():
        top.set(prefix, subtrie(row))
    top.rise(rows)
    return Nodes(top, lambda prefix: rows.get(prefix, []), value)


def trie_over(keys: set[bytes]) -> trie.MemoryTrie:
    made = trie.MemoryTrie()
    made.update({key: value(key) for key in keys})
    return made


@given(KEYS, KEYS)
def test_every_proof_is_that_of_the_whole_trie(
    keys: set[bytes], others: set[bytes]
) -> None:
    whole, nodes = trie_over(keys), nodes_over(keys)
    for key in keys | others:
        assert trie.prove(nodes.get, whole.root, key) == whole.prove(key)
        assert trie.find(nodes.get, whole.root, key) == (
            value(key) if key in keys else None
        )


@given(KEYS, KEYS)
def test_what_was_seen_is_all_that_an_update_reads(
    keys: set[bytes], others: set[bytes]
) -> None:
    whole, nodes = trie_over(keys), nodes_over(keys)
    values = dict.fromkeys(others, bytes(32))
    first = trie.update(nodes.get, whole.root, values)
    again = trie.update(nodes.seen.__getitem__, whole.root, values)
    assert first == again
    assert {sha256(node) for node in nodes.seen.values()} == set(nodes.seen)
    whole.update(values)
    assert again.root == whole.root


def test_a_node_that_was_not_named_is_not_known() -> None:
    keys = {bytes(32), b"\x80" + bytes(31), b"\xc0" + bytes(31)}
    nodes, root = nodes_over(keys), trie_over(keys).root
    below = leaf_hash(bytes(32), value(bytes(32)))
    with pytest.raises(KeyError):
        nodes.get(below)
    nodes.get(root)
    assert sha256(nodes.get(below)) == below
    with pytest.raises(KeyError):
        nodes.get(bytes(32))
