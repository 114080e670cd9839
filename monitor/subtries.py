"""The hashes of an index trie, kept where the next root needs them, and nowhere else.

The root of the trie needs no nodes under their hashes (pcrlog/subtries.py). `Top` keeps
one hash for every prefix of up to DEPTH bits, in a binary heap of fixed size, and zeros
for a prefix that no key has. Setting a key costs DEPTH hashes at most, and keys that
share a path share them too.

>>> top = Top()
>>> top.set(0b11, bytes([1]) * 32)
>>> top.rise([0b11])
>>> top.root.hex()[:4]
'0101'
"""

import mmap
from collections.abc import Iterable
from hashlib import sha256

from pcrlog.subtries import HEADS, NOTHING
from pcrlog.trie import EMPTY_ROOT, KEY_SIZE

DEPTH = 18
"""Bits of a prefix: 2**18 of them take 16 MiB, whatever the size of the log."""
FIRST = 1 << DEPTH
"""Number of the first of the longest prefixes; a prefix p of d bits is 2**d + p."""


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
