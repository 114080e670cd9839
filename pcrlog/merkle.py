"""RFC 6962 Merkle trees: leaf and node hashes, roots, inclusion, consistency.

A leaf hash is SHA-256(0x00 || entry), a node hash SHA-256(0x01 || left || right), the
root of no leaves SHA-256 of nothing. A tree of n leaves splits at the largest power of
two below n. A proof lists sibling hashes from the leaf upwards (RFC 6962 section 2.1).

Proofs are computed from `node(level, index)`, a callable that gives the root of the
complete subtree over leaves [index * 2**level, (index + 1) * 2**level); tiles, a
database or a list can stand behind it.

>>> root([]).hex()[:8], root([leaf_hash(b"")]).hex()[:8]
('e3b0c442', '6e340b9c')
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TypeAlias

from pcrlog.errors import MalformedError, VerificationError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

Node: TypeAlias = Callable[[int, int], bytes]
Proof: TypeAlias = tuple[bytes, ...]


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf's bytes (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two children."""
    return sha256(b"\x01" + left + right).digest()


class Range:
    """The complete subtrees that cover leaves [0, size): a compact range.

    It is all that appending needs; its length is the number of ones in `size`.
    """

    def __init__(self, size: int = 0, subtrees: Sequence[bytes] = ()) -> None:
        if len(subtrees) != size.bit_count():
            message = (
                f"a compact range of {size} leaves has {size.bit_count()} subtrees,"
                f" found {len(subtrees)}"
            )
            raise MalformedError(message)
        self.size = size
        self.subtrees = list(subtrees)

    def append(self, leaf: bytes) -> tuple[tuple[int, int, bytes], ...]:
        """Add one leaf hash; each subtree completed: level, index, hash."""
        level, index, node = 0, self.size, leaf
        completed = [(level, index, node)]
        # Each trailing one bit of the old size is a subtree that now gets its sibling.
        while index & 1:
            node = node_hash(self.subtrees.pop(), node)
            level, index = level + 1, index >> 1
            completed.append((level, index, node))
        self.subtrees.append(node)
        self.size += 1
        return tuple(completed)

    def root(self) -> bytes:
        """The root of the tree over all leaves so far."""
        if not self.subtrees:
            return EMPTY_ROOT
        node = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            node = node_hash(left, node)
        return node


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Range()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def _split(size: int) -> int:
    """The largest power of two below `size`, for size > 1."""
    return 1 << (size - 1).bit_length() - 1


def range_root(start: int, end: int, node: Node) -> bytes:
    """The root over leaves [start, end); `start` is a multiple of its left part."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(size)
    return node_hash(range_root(start, middle, node), range_root(middle, end, node))


def prove_inclusion(index: int, size: int, node: Node) -> Proof:
    """The hashes that lead from leaf `index` to the root of `size` leaves.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        message = f"a tree of {size} leaves has no leaf {index}"
        raise ValueError(message)
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            start = middle
    return tuple(reversed(path))


def prove_consistency(old: int, new: int, node: Node) -> Proof:
    """The hashes that show the tree of `old` leaves to be a prefix of that of `new`.

    Raises:
        ValueError: not 0 < old <= new (nothing can be proven from an empty tree).
    """
    if not 0 < old <= new:
        message = f"no consistency proof from size {old} to size {new}"
        raise ValueError(message)
    path = []
    start, end, whole = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(start, middle, node))
            start, whole = middle, False
    # The verifier knows the old root; any other subtree it must be given.
    if not whole:
        path.append(range_root(start, end, node))
    return tuple(reversed(path))


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> None:
    """Check that `leaf` is leaf `index` of the tree of `size` leaves with that root.

    Raises:
        VerificationError: no such leaf, a proof of another length, another root.
    """
    if not 0 <= index < size:
        message = f"inclusion: a tree of {size} leaves has no leaf {index}"
        raise VerificationError(message)
    # Above the level where index and the last leaf meet, only left siblings remain.
    inner = (index ^ (size - 1)).bit_length()
    length = inner + (index >> inner).bit_count()
    if len(proof) != length:
        message = f"inclusion: proof has {len(proof)} hashes, want {length}"
        raise VerificationError(message)
    _check_hash(leaf)
    node = leaf
    for level, sibling in enumerate(proof):
        _check_hash(sibling)
        left = level >= inner or index >> level & 1
        node = sha256(
            b"\x01" + sibling + node if left else b"\x01" + node + sibling
        ).digest()
    if node != expected:
        message = (
            f"inclusion: leaf {index} leads to root {node.hex()}, want {expected.hex()}"
        )
        raise VerificationError(message)


def check_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the tree of `new` leaves extends that of `old` (RFC 6962 2.1.2).

    Raises:
        VerificationError: size 0, a shrinking tree, a proof of another length or one
            that leads to another root.
    """
    if not 0 < old <= new:
        message = f"consistency: cannot be proven from size {old} to size {new}"
        raise VerificationError(message)
    if old == new:
        if proof or old_root != new_root:
            message = f"consistency: two roots of size {old}, or a proof where none is"
            raise VerificationError(message)
        return
    hashes = proof if old & (old - 1) else (old_root, *proof)
    was, now = consistency_roots(old, new, hashes)
    if was != old_root or now != new_root:
        message = f"consistency: the proof does not lead from size {old} to size {new}"
        raise VerificationError(message)


def consistency_roots(
    old: int, new: int, hashes: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The roots of the first `old` leaves, and of all `new`, that `hashes` lead to.

    Where the second is a root that the log signed, the first is that of the log's own
    first `old` leaves, whatever it signed for them. `hashes` are those of a consistency
    proof, led by the old tree's root where `old` is a power of two, where a proof
    leaves it out.

    Raises:
        VerificationError: not 0 < old < new, or another number of hashes.
    """
    if not 0 < old < new:
        message = f"consistency: nothing leads from size {old} to size {new}"
        raise VerificationError(message)
    # The old tree's last complete subtree starts the walk.
    shift = (old & -old).bit_length() - 1
    index, last = (old - 1) >> shift, (new - 1) >> shift
    inner = (index ^ last).bit_length()
    length = inner + (index >> inner).bit_count() + 1
    if len(hashes) != length:
        # A proof does not hold the root of an old tree that is one subtree.
        known = index == 0
        message = (
            f"consistency: proof has {max(0, len(hashes) - known)} hashes,"
            f" want {length - known}"
        )
        raise VerificationError(message)
    start, *rest = hashes
    _check_hash(start)
    was = now = start
    for level, sibling in enumerate(rest):
        _check_hash(sibling)
        if level >= inner or index >> level & 1:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
        else:
            now = node_hash(now, sibling)
    return was, now


def prove_prefix(old: int, new: int, node: Node) -> Proof:
    """The hashes from which `consistency_roots` computes both roots.

    Raises:
        ValueError: not 0 < old < new.
    """
    proof = prove_consistency(old, new, node)
    return proof if old & (old - 1) else (node(old.bit_length() - 1, 0), *proof)


def prove_range(start: int, end: int, size: int, node: Node) -> Proof:
    """The hashes that lead from leaves [start, end) to the root of `size` leaves.

    Of a single leaf, its inclusion proof. Of more, the same without what they make
    themselves: a subtree that lies beside them follows what lies below its sibling.

    Raises:
        ValueError: there are no such leaves.
    """
    if not 0 <= start < end <= size:
        message = f"a tree of {size} leaves has no leaves {start} to {end}"
        raise ValueError(message)
    proof: list[bytes] = []

    def walk(left: int, right: int) -> None:
        if start <= left and right <= end:
            return
        middle = left + _split(right - left)
        if end <= middle:
            walk(left, middle)
            proof.append(range_root(middle, right, node))
        elif start >= middle:
            walk(middle, right)
            proof.append(range_root(left, middle, node))
        else:
            walk(left, middle)
            walk(middle, right)

    walk(0, size)
    return tuple(proof)


def check_range(
    leaves: Sequence[bytes],
    start: int,
    size: int,
    proof: Sequence[bytes],
    expected: bytes,
) -> None:
    """Check leaf hashes to be those from `start` in the tree of `size` leaves.

    Raises:
        VerificationError: no such leaves, a proof of another length, another root.
    """
    end = start + len(leaves)
    if not 0 <= start < end <= size:
        message = f"inclusion: a tree of {size} leaves has no leaves {start} to {end}"
        raise VerificationError(message)
    for value in (*leaves, *proof):
        _check_hash(value)
    hashes = iter(proof)

    def walk(left: int, right: int) -> bytes:
        if start <= left and right <= end:
            return root(leaves[left - start : right - start])
        middle = left + _split(right - left)
        if end <= middle:
            below = walk(left, middle)
            return node_hash(below, _next(hashes))
        if start >= middle:
            below = walk(middle, right)
            return node_hash(_next(hashes), below)
        return node_hash(walk(left, middle), walk(middle, right))

    found = walk(0, size)
    if found != expected or next(hashes, None) is not None:
        message = (
            f"inclusion: leaves {start} to {end - 1} do not lead to the root"
            f" {expected.hex()}"
        )
        raise VerificationError(message)


def _next(hashes: Iterator[bytes]) -> bytes:
    found = next(hashes, None)
    if found is None:
        message = "inclusion: the proof has too few hashes"
        raise VerificationError(message)
    return found


def _check_hash(value: bytes) -> None:
    if len(value) != HASH_SIZE:
        message = f"proof: a hash has {len(value)} bytes, want {HASH_SIZE}"
        raise VerificationError(message)
