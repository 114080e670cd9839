"""Nodes of an index trie by their hash, made when they are asked for.

The index keeps hashes by place (subtries.py); `pcrlog.trie` asks for nodes by hash,
from the root downwards. A node that is given out tells the places of the two below it,
so each can be found that is asked for next. What was `seen` is what whoever repeats the
walk has to be given.
"""

from collections.abc import Callable, Sequence

from monitor.subtries import FIRST, Top
from pcrlog.subtries import HEADS, NOTHING, leaf_node, subtrie
from pcrlog.trie import KEY_SIZE

Leaf = tuple[bytes, bytes]
"""Key, leaf hash."""
_BITS = 8 * KEY_SIZE


class Nodes:
    """The nodes below the root of a `Top`.

    Args:
        top: the hashes; it must not change meanwhile.
        leaves: all leaves below a prefix of DEPTH bits, ascending.
        value: of a key that is there.
    """

    def __init__(
        self,
        top: Top,
        leaves: Callable[[int], Sequence[Leaf]],
        value: Callable[[bytes], bytes],
    ) -> None:
        self._top = top
        self._leaves = leaves
        self._value = value
        self._places: dict[bytes, int | Sequence[Leaf]] = {top.root: 1}
        self.seen: dict[bytes, bytes] = {}

    def get(self, name: bytes) -> bytes:
        """The node with this hash, which is the root or was named by a node given.

        Raises:
            KeyError: it was not.
        """
        if name not in self.seen:
            place = self._places[name]
            if isinstance(place, int):
                place = self._descend(place)
            self.seen[name] = (
                self._inner(place) if isinstance(place, int) else self._below(place)
            )
        return self.seen[name]

    def _descend(self, number: int) -> int | Sequence[Leaf]:
        """The first place from `number` downwards that has keys on both sides."""
        while number < FIRST:
            left, right = self._top[2 * number], self._top[2 * number + 1]
            if NOTHING not in (left, right):
                return number
            number = 2 * number + (left == NOTHING)
        return self._leaves(number - FIRST)

    def _inner(self, number: int) -> bytes:
        left, right = self._top[2 * number], self._top[2 * number + 1]
        self._places[left], self._places[right] = 2 * number, 2 * number + 1
        return HEADS[number.bit_length() - 1] + left + right

    def _below(self, leaves: Sequence[Leaf]) -> bytes:
        first, last = leaves[0][0], leaves[-1][0]
        if first == last:
            return leaf_node(first, self._value(first))
        bit = _BITS - (int.from_bytes(first) ^ int.from_bytes(last)).bit_length()
        side = 1 << _BITS - 1 - bit
        at = sum(1 for key, _ in leaves if not int.from_bytes(key) & side)
        sides = leaves[:at], leaves[at:]
        left, right = map(subtrie, sides)
        self._places[left], self._places[right] = sides
        return HEADS[bit] + left + right
