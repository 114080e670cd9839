"""Every tree of up to 300 leaves, as merkletools builds it: roots and inclusion paths.

merkletools hashes nodes without RFC 6962's prefix; with that prefix put in, its trees
are ours, since it too carries the odd node up alone. Its own check of a proof is asked
as well: it must take our paths, and refuse them once a byte is changed.
"""

import itertools
import warnings
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Protocol, cast

import pytest

from pcrlog import merkle

MOST = 300
LEAVES = [merkle.leaf_hash(b"leaf %d" % n) for n in range(MOST)]

Path = list[dict[str, str]]
"""Their form of a proof: from the leaf upwards, which side, and the hash there."""


class MerkleTools(Protocol):
    """What merkletools has, for the type checker."""

    hash_function: Callable[[bytes], object]

    def add_leaf(self, values: list[str]) -> None: ...
    def make_tree(self) -> None: ...
    def get_merkle_root(self) -> str: ...
    def get_proof(self, index: int) -> Path: ...
    def validate_proof(self, proof: Path, leaf: str, root: str) -> bool: ...


def their_tree(size: int) -> MerkleTools:
    """Their tree over the first leaf hashes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the absence of sha3
        module = pytest.importorskip("merkletools", reason="the oracle's lock is apart")
    tree = cast("MerkleTools", module.MerkleTools())
    tree.hash_function = lambda data: sha256(b"\x01" + data)
    tree.add_leaf([leaf.hex() for leaf in LEAVES[:size]])
    tree.make_tree()
    return tree


@cache
def node(level: int, index: int) -> bytes:
    """The root of a complete subtree."""
    return merkle.root(LEAVES[index << level : (index + 1) << level])


def ours(index: int, size: int, like: Path) -> Path:
    """Our path in their form, with the sides that they give."""
    hashes = merkle.prove_inclusion(index, size, node)
    sides = [side for step in like for side in step]
    return [{s: value.hex()} for s, value in zip(sides, hashes, strict=True)]


def test_all_roots_and_paths_are_the_same() -> None:
    for size in range(1, MOST + 1):
        tree = their_tree(size)
        root = bytes.fromhex(tree.get_merkle_root())
        assert root == merkle.root(LEAVES[:size]) == merkle.range_root(0, size, node)
        for index in range(size):
            theirs = tree.get_proof(index)
            assert theirs == ours(index, size, theirs)


def test_they_accept_our_paths_and_we_theirs() -> None:
    for size in [*range(1, 20), 255, 256, 257, MOST]:
        tree = their_tree(size)
        root = tree.get_merkle_root()
        for index in range(size):
            theirs = tree.get_proof(index)
            leaf = LEAVES[index]
            assert tree.validate_proof(ours(index, size, theirs), leaf.hex(), root)
            hashes = [
                bytes.fromhex(value) for step in theirs for value in step.values()
            ]
            merkle.check_inclusion(leaf, index, size, hashes, bytes.fromhex(root))


def test_they_refuse_our_paths_once_a_byte_is_changed() -> None:
    for size, index in itertools.product([2, 7, 64, 257, MOST], [0, 1]):
        tree = their_tree(size)
        root, leaf = tree.get_merkle_root(), LEAVES[index].hex()
        path = ours(index, size, tree.get_proof(index))
        for place, step in enumerate(path):
            [(side, value)] = step.items()
            first = "0" if value[0] != "0" else "1"
            spoiled = [*path[:place], {side: first + value[1:]}, *path[place + 1 :]]
            assert not tree.validate_proof(spoiled, leaf, root), (size, place)
            turned = {"left": "right", "right": "left"}[side]
            spoiled = [*path[:place], {turned: value}, *path[place + 1 :]]
            assert not tree.validate_proof(spoiled, leaf, root), (size, place)
        assert not tree.validate_proof(path, LEAVES[2].hex(), root)
        assert not tree.validate_proof(path[:-1], leaf, root)


def test_without_the_prefix_no_root_is_the_same() -> None:
    """So this would notice other hashing: it does from two leaves on."""
    tree = their_tree(2)
    tree.hash_function = sha256
    tree.make_tree()
    assert tree.get_merkle_root() != merkle.root(LEAVES[:2]).hex()
