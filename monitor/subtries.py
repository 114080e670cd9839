"""The hashes of an index trie, kept where the next root needs them, and nowhere else.

The shape of the trie (pcrlog/trie.py) depends on the set of its keys alone, so its root
needs no nodes under their hashes: `subtrie` makes the root of the few leaves that share
their first bits, and `Top` keeps one hash for every prefix of up to DEPTH bits, in a
binary heap of fixed size. A prefix that no key has holds 32 zero bytes, which no hash
is; one with keys on one side alone has the hash of that side: so paths are compressed
without a thought. Setting a key costs DEPTH hashes at most, and keys that share a path
share them too.

>>> top = Top()
>>> top.set(0b11, bytes([1]) * 32)
>>> top.rise([0b11])
>>> top.root.hex()[:4]
'0101'
"""

import mmap
from collections.abc import Iterable, Sequence
from hashlib import sha256

from pcrlog.trie import EMPTY_ROOT, KEY_SIZE

DEPTH = 18
"""Bits of a prefix: 2**18 of them take 16 MiB, whatever the size of the log."""
FIRST = 1 << DEPTH
"""Number of the first of the longest prefixes; a prefix p of d bits is 2**d + p."""
NOTHING = bytes(32)
"""In place of the hash of a subtrie without keys."""
_BITS = 8 * KEY_SIZE
_LENGTH = bytes([KEY_SIZE])
_ONE_BYTE = 0x80
HEADS = tuple(
    b"\x01" + (bytes([bit]) if bit < _ONE_BYTE else bytes([bit, 1]))
    for bit in range(_BITS)
)
"""What an inner node that branches at a bit begins with, before its two hashes."""


def leaf_hash(key: bytes, value: bytes) -> bytes:
    """Hash of a trie's leaf: 32 bytes of key, 32 of value."""
    return sha256(leaf_node(key, value)).digest()


def leaf_node(key: bytes, value: bytes) -> bytes:
    """The bytes under that hash."""
    return b"\x00" + _LENGTH + key + _LENGTH + value


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
        row = [node(at, row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def node(bit: int, left: bytes, right: bytes) -> bytes:
    """Hash of two subtries that part at `bit`; either may be NOTHING."""
    if left == NOTHING:
        return right
    if right == NOTHING:
        return left
    return sha256(HEADS[bit] + left + right).digest()


class Top:
    """One hash for each prefix of up to DEPTH bits."""

    def __init__(self) -> None:
        # Pages of zeros cost nothing until they are written to.
        self._heap = mmap.mmap(-1, 2 * FIRST * KEY_SIZE)

    @property
    def root(self) -> bytes:
        """The root of the trie."""
        found = self[1]
        return EMPTY_ROOT if found == NOTHING else found

    def __getitem__(self, number: int) -> bytes:
        return self._heap[number * KEY_SIZE : (number + 1) * KEY_SIZE]

    def set(self, prefix: int, found: bytes) -> None:
        """Set the hashes of neighbouring prefixes of DEPTH bits, from one on.

        `rise` is to follow.
        """
        at = (FIRST + prefix) * KEY_SIZE
        self._heap[at : at + len(found)] = found

    def get(self, prefix: int, number: int) -> bytes:
        """The hashes of `number` neighbouring prefixes of DEPTH bits."""
        at = (FIRST + prefix) * KEY_SIZE
        return self._heap[at : at + number * KEY_SIZE]

    def rise(self, prefixes: Iterable[int]) -> None:
        """Make the hashes above these prefixes anew, each once."""
        heap = self._heap
        numbers = {FIRST + prefix >> 1 for prefix in prefixes}
        for depth in range(DEPTH - 1, -1, -1):
            head = HEADS[depth]
            for number in numbers:
                pair = heap[number * 64 : number * 64 + 64]
                if pair.startswith(NOTHING):
                    found = pair[32:]
                elif pair.endswith(NOTHING):
                    found = pair[:32]
                else:
                    found = sha256(head + pair).digest()
                heap[number * 32 : number * 32 + 32] = found
            numbers = {number >> 1 for number in numbers}
