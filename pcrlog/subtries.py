"""Hashes of an index trie by place: what a root needs, without a node under its hash.

The shape of the trie (pcrlog/trie.py) depends on the set of its keys alone. So whoever
knows the leaves whose keys share their first bits, in order, can say the hash of their
subtrie (`subtrie`); and whoever knows the hashes of neighbouring subtries can say that
of all of them (`join`). A subtrie without keys has 32 zero bytes, which no hash is, and
one with keys on one side alone has the hash of that side: so paths are compressed
without a thought.

>>> join([NOTHING, bytes([1]) * 32], 0).hex()[:4]
'0101'
"""

from collections.abc import Sequence
from hashlib import sha256

from pcrlog.trie import KEY_SIZE

NOTHING = bytes(KEY_SIZE)
"""In place of the hash of a subtrie without keys."""
_BITS = 8 * KEY_SIZE
_LENGTH = bytes([KEY_SIZE])
_LEAF_HEAD = b"\x00" + _LENGTH
_ONE_BYTE = 0x80
HEADS = tuple(
    b"\x01" + (bytes([bit]) if bit < _ONE_BYTE else bytes([bit, 1]))
    for bit in range(_BITS)
)
"""What an inner node that branches at a bit begins with, before its two hashes."""


def leaf_hash(key: bytes, value: bytes) -> bytes:
    """Hash of a trie's leaf: 32 bytes of key, 32 of value."""
    return sha256(_LEAF_HEAD + key + _LENGTH + value).digest()


def leaf_node(key: bytes, value: bytes) -> bytes:
    """The bytes under that hash."""
    return _LEAF_HEAD + key + _LENGTH + value


def subtrie(leaves: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The root over leaves (key, leaf hash), ascending by key, each key once.

    Two neighbours part at the first bit in which they differ; a node is complete when
    the next pair parts further up. So one walk from left to right makes all nodes.
    """
    if not leaves:
        return NOTHING
    open_: list[tuple[int, bytes]] = []
    key, node = leaves[0]
    before = int.from_bytes(key)
    for key, leaf in leaves[1:]:
        here = int.from_bytes(key)
        bit = _BITS - (before ^ here).bit_length()
        while open_ and open_[-1][0] > bit:
            at, left = open_.pop()
            node = sha256(HEADS[at] + left + node).digest()
        open_.append((bit, node))
        before, node = here, leaf
    for at, left in reversed(open_):
        node = sha256(HEADS[at] + left + node).digest()
    return node


def join(row: Sequence[bytes], depth: int) -> bytes:
    """The root over 2**n neighbouring subtries, whose common prefix has `depth` bits.

    Each is a hash, or NOTHING.
    """
    levels = len(row).bit_length() - 1
    for at in range(depth + levels - 1, depth - 1, -1):
        pairs = range(0, len(row), 2)
        if NOTHING in row:
            row = [node(at, row[i], row[i + 1]) for i in pairs]
        else:
            head = HEADS[at]
            row = [sha256(head + row[i] + row[i + 1]).digest() for i in pairs]
    return row[0]


def node(bit: int, left: bytes, right: bytes) -> bytes:
    """Hash of two subtries that part at `bit`; either may be NOTHING."""
    if left == NOTHING:
        return right
    if right == NOTHING:
        return left
    return sha256(HEADS[bit] + left + right).digest()
