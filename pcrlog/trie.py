"""The index trie: a verifiable map from 32-byte keys to 32-byte values.

A Merkle Patricia trie, path-compressed, bit 0 the most significant of byte 0; its shape
depends on the set of keys alone. The bytes are those of torchwood's mpt (FORMATS.md
section 6), so that a verifier exists in Go:

    empty  SHA-256 of nothing
    leaf   SHA-256(00 || uvarint(32) || key || uvarint(32) || value)
    inner  SHA-256(01 || uvarint(bit) || left || right)   bit: first that differs below

A proof of presence is the path from leaf to root, each step uvarint(bit) || sibling,
bits strictly decreasing. A proof of absence is another leaf (uvarint(32) || key ||
uvarint(32) || value) and its path, which the absent key would have to share.

Here nodes go by their hash and never change, so that a part of a trie can be handed on
and checked by whoever holds its root. Keys are only ever added and their values
replaced; thus a node once replaced never comes back, and a store may drop it. A log has
so many that it keeps hashes by place instead (pcrlog/subtries.py): same roots, same
proofs.

>>> trie = MemoryTrie()
>>> trie.update({bytes(32): b"v" * 32})
>>> check_presence(trie.root, bytes(32), b"v" * 32, trie.prove(bytes(32)))
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from msgspec import Struct

from pcrlog.errors import MalformedError, VerificationError

EMPTY_ROOT = sha256(b"").digest()
KEY_SIZE = 32
_BITS = 8 * KEY_SIZE
_LENGTH = bytes([KEY_SIZE])
"""uvarint(32) is one byte."""
_CONTINUED = 0x80
"""In an uvarint: one more byte follows."""
_LEAF_SIZE = 1 + 2 * (1 + KEY_SIZE)
_INNER_SIZE = 2 + 2 * KEY_SIZE
"""Of a bit below 128; else one more."""

Get: TypeAlias = Callable[[bytes], bytes]
"""Node hash to node bytes (what is hashed); the store behind the trie."""
Step: TypeAlias = tuple[int, bytes]
"""One step of a path: the bit at which a node branches, and the other side's hash."""


def _bit(key: bytes, position: int) -> int:
    return key[position >> 3] >> (7 - (position & 7)) & 1


def _first_difference(one: bytes, other: bytes) -> int:
    difference = int.from_bytes(one) ^ int.from_bytes(other)
    return _BITS - difference.bit_length()


_UVARINT = tuple(
    bytes([number]) if number < _CONTINUED else bytes([number, 1])
    for number in range(_BITS)
)
"""Bits are below 256: at most two bytes, and the first is the number itself."""


def _leaf(key: bytes, value: bytes) -> bytes:
    return b"\x00" + _LENGTH + key + _LENGTH + value


def _inner(bit: int, left: bytes, right: bytes) -> bytes:
    return b"\x01" + _UVARINT[bit] + left + right


def _split_inner(node: bytes) -> tuple[int, bytes, bytes]:
    offset = 2 if node[1] < _CONTINUED else 3
    return node[1], node[offset : offset + 32], node[offset + 32 :]


class Update(Struct, frozen=True):
    """What an update changed: the new root, nodes to keep, hashes no longer in use.

    `born` may hold a leaf that is there already and only moved down: a store keeps it.
    """

    root: bytes
    born: Mapping[bytes, bytes]
    died: frozenset[bytes]


def update(get: Get, root: bytes, values: Mapping[bytes, bytes]) -> Update:
    """Set each key to its value in the trie under `root`.

    Costs one path a key, whatever the trie's size; paths that meet are hashed once.
    """
    born: dict[bytes, bytes] = {}
    died: set[bytes] = set()

    def keep(node: bytes) -> bytes:
        name = sha256(node).digest()
        born[name] = node
        return name

    def build(items: list[tuple[bytes, bytes]]) -> bytes:
        """A subtrie of new keys alone; `items` ascending."""
        if len(items) == 1:
            return keep(_leaf(*items[0]))
        bit = _first_difference(items[0][0], items[-1][0])
        at = _cut(items, bit)
        return keep(_inner(bit, build(items[:at]), build(items[at:])))

    def merge(name: bytes, items: list[tuple[bytes, bytes]]) -> bytes:
        """The subtrie `name` with `items` (ascending, not empty) set in it."""
        node = get(name)
        if node[0] == 0:
            key = node[2 : 2 + KEY_SIZE]
            merged = {key: node[3 + KEY_SIZE :]}
            merged.update(items)
            died.add(name)
            return build(sorted(merged.items()))
        bit, left, right = _split_inner(node)
        # All keys below share the bits before `bit`; one of them stands for all.
        sample = _any_key(get, left)
        apart = min(
            _first_difference(items[0][0], sample),
            _first_difference(items[-1][0], sample),
        )
        if apart < bit:
            at = _cut(items, apart)
            sides = [items[:at], items[at:]]
            side = _bit(sample, apart)
            ours, others = sides[side], sides[1 - side]
            here = merge(name, ours) if ours else name
            pair = (here, build(others)) if side == 0 else (build(others), here)
            return keep(_inner(apart, *pair))
        at = _cut(items, bit)
        died.add(name)
        return keep(
            _inner(
                bit,
                merge(left, items[:at]) if at else left,
                merge(right, items[at:]) if at < len(items) else right,
            )
        )

    items = sorted(values.items())
    if not items:
        return Update(root, {}, frozenset())
    new_root = build(items) if root == EMPTY_ROOT else merge(root, items)
    # Setting a key to the value it has leaves its nodes alive.
    kept = died & born.keys()
    return Update(new_root, born, frozenset(died - kept))


def _cut(items: list[tuple[bytes, bytes]], bit: int) -> int:
    """How many of `items` (ascending, alike before `bit`) have a zero there."""
    return sum(1 for key, _ in items if not _bit(key, bit))


def _any_key(get: Get, name: bytes) -> bytes:
    node = get(name)
    while node[0]:
        node = get(_split_inner(node)[1])
    return node[2 : 2 + KEY_SIZE]


def prove(get: Get, root: bytes, key: bytes) -> bytes:
    """Proof that `key` is in the trie under `root`, or that it is not.

    Which of the two it proves, the caller knows from the key's value or its lack.
    """
    if root == EMPTY_ROOT:
        return b""
    path: list[bytes] = []
    node = get(root)
    while node[0]:
        bit, left, right = _split_inner(node)
        here, sibling = (right, left) if _bit(key, bit) else (left, right)
        path.append(_UVARINT[bit] + sibling)
        node = get(here)
    steps = b"".join(reversed(path))
    if node[2 : 2 + KEY_SIZE] == key:
        return steps
    return node[1:] + steps


def find(get: Get, root: bytes, key: bytes) -> bytes | None:
    """The value under `key` in the trie under `root`; None if it is not there.

    Reads no node that `update` does not read to set that key.
    """
    if root == EMPTY_ROOT:
        return None
    node = get(root)
    while node[0]:
        bit, left, right = _split_inner(node)
        if _first_difference(key, _any_key(get, left)) < bit:
            return None
        node = get(right if _bit(key, bit) else left)
    return node[3 + KEY_SIZE :] if node[2 : 2 + KEY_SIZE] == key else None


def step(get: Get, name: bytes, key: bytes) -> tuple[bytes, bytes]:
    """From an inner node one step down, to the side that `key` has at its bit.

    A key whose path leads to the node below, as `key`'s own need not, and its hash.
    """
    bit, left, right = _split_inner(get(name))
    sample = _any_key(get, left)
    return (_flip(sample, bit), right) if _bit(key, bit) else (sample, left)


class Rewound(Struct, frozen=True):
    """A trie as it was: its root, and the nodes that are not in it any more.

    `beside`: keys of which `update` reads, in the trie as it is, the nodes that stood
    where keys came to stand beside them.
    """

    root: bytes
    born: Mapping[bytes, bytes]
    beside: tuple[bytes, ...]


def rewind(get: Get, root: bytes, before: Mapping[bytes, bytes | None]) -> Rewound:
    """The trie as it was when keys had the values of `before`, or were not there yet.

    All of them are there now. Reads no node that `update` does not read to set them.
    """
    born: dict[bytes, bytes] = {}
    beside: list[bytes] = []

    def keep(node: bytes) -> bytes:
        name = sha256(node).digest()
        born[name] = node
        return name

    def walk(name: bytes, keys: list[bytes]) -> bytes | None:
        node = get(name)
        if not node[0]:
            value = before[keys[0]]
            return None if value is None else keep(_leaf(keys[0], value))
        bit, left, right = _split_inner(node)
        at = sum(1 for key in keys if not _bit(key, bit))
        parts = keys[:at], keys[at:]
        sides = [
            walk(side, part) if part else side
            for side, part in zip((left, right), parts, strict=True)
        ]
        if sides[0] is not None and sides[1] is not None:
            return keep(_inner(bit, sides[0], sides[1]))
        gone = sides.index(None)
        if not parts[1 - gone]:
            beside.append(_flip(parts[gone][0], bit))
        return sides[1 - gone]

    keys = sorted(before)
    then = walk(root, keys) if keys else root
    return Rewound(EMPTY_ROOT if then is None else then, born, tuple(beside))


def _flip(key: bytes, position: int) -> bytes:
    """The key with another bit at a position."""
    return (int.from_bytes(key) ^ 1 << _BITS - 1 - position).to_bytes(KEY_SIZE)


def read_nodes(nodes: Iterable[bytes]) -> dict[bytes, bytes]:
    """Nodes from outside, by their hashes: a part of a trie, cut off anywhere.

    Raises:
        MalformedError: not of their form, or below a node that branches no earlier, so
            that nothing could be looked up or updated in them.
    """
    known = {sha256(node).digest(): node for node in nodes}
    bits: dict[bytes, int] = {}
    for name, node in known.items():
        if node[:1] == b"\x01" and len(node) in {_INNER_SIZE, _INNER_SIZE + 1}:
            bit, left, right = _split_inner(node)
            if len(right) == KEY_SIZE and _inner(bit, left, right) == node:
                bits[name] = bit
                continue
        elif node == _leaf(node[2 : 2 + KEY_SIZE], node[-KEY_SIZE:]):
            continue
        message = "expected nodes of a trie: leaves of 67 bytes, inner ones of 66 or 67"
        raise MalformedError(message)
    for name, bit in bits.items():
        for below in _split_inner(known[name])[1:]:
            if bits.get(below, _BITS) <= bit:
                message = f"trie: under a node of bit {bit} stands one of no larger bit"
                raise MalformedError(message)
    return known


def check_presence(root: bytes, key: bytes, value: bytes, proof: bytes) -> None:
    """Check that the trie under `root` maps `key` to `value`.

    Raises:
        MalformedError: the proof is not of its form.
        VerificationError: it leads to another root.
    """
    _, steps = split_proof(proof, present=True)
    _check_path(root, key, _leaf(key, value), steps)


def check_absence(root: bytes, key: bytes, proof: bytes) -> None:
    """Check that the trie under `root` does not hold `key`.

    Raises:
        MalformedError: the proof is not of its form.
        VerificationError: it leads to another root, or does not exclude the key.
    """
    other, steps = split_proof(proof, present=False)
    if other is None:
        if root != EMPTY_ROOT:
            message = "absence: an empty proof holds for the empty trie alone"
            raise VerificationError(message)
        return
    if other[0] == key:
        message = "absence: the proof shows the key itself"
        raise VerificationError(message)
    for bit, _ in steps:
        if _bit(other[0], bit) != _bit(key, bit):
            message = f"absence: the path branches at bit {bit}, where the keys differ"
            raise VerificationError(message)
    _check_path(root, other[0], _leaf(*other), steps)


def _check_path(root: bytes, key: bytes, leaf: bytes, steps: Sequence[Step]) -> None:
    """Walk from `leaf`, whose key is `key`, to `root`."""
    node = sha256(leaf).digest()
    bits = int.from_bytes(key)
    for bit, sibling in steps:
        pair = sibling + node if bits >> (255 - bit) & 1 else node + sibling
        node = sha256(b"\x01" + _UVARINT[bit] + pair).digest()
    if node != root:
        message = f"trie proof leads to root {node.hex()}, want {root.hex()}"
        raise VerificationError(message)


def encode_proof(
    steps: Iterable[Step], other: tuple[bytes, bytes] | None = None
) -> bytes:
    """A proof's bytes from its steps and, for absence, the other leaf."""
    lead = b"" if other is None else _leaf(*other)[1:]
    return lead + b"".join([_UVARINT[bit] + sibling for bit, sibling in steps])


def split_proof(
    proof: bytes, *, present: bool
) -> tuple[tuple[bytes, bytes] | None, list[Step]]:
    """The other leaf (key, value) of a proof of absence, and the steps to the root.

    An empty proof of absence has no other leaf.

    Raises:
        MalformedError: not of its form: lengths, bits that do not decrease, a bit's
            number in another spelling.
    """
    other, offset = None, 0
    if proof and not present:
        key, value = proof[1:33], proof[34:66]
        offset = _LEAF_SIZE - 1
        if proof[:offset] != _leaf(key, value)[1:] or len(value) != KEY_SIZE:
            message = "absence: expected a leaf of a 32-byte key and a 32-byte value"
            raise MalformedError(message)
        other = (key, value)
    steps: list[Step] = []
    above = _BITS
    while offset < len(proof):
        bit = proof[offset]
        if bit >= _CONTINUED and proof[offset + 1 : offset + 2] == b"\x01":
            offset += 1
        elif bit >= _CONTINUED:
            message = "trie proof: a bit's number is not a minimal uvarint below 256"
            raise MalformedError(message)
        sibling = proof[offset + 1 : offset + 1 + KEY_SIZE]
        if bit >= above or len(sibling) != KEY_SIZE:
            message = "trie proof: bits do not decrease, or a hash is cut short"
            raise MalformedError(message)
        steps.append((bit, sibling))
        above, offset = bit, offset + 1 + KEY_SIZE
    return other, steps


class MemoryTrie:
    """A whole trie in a dict: for tests, monitors and small logs."""

    def __init__(self) -> None:
        self.root = EMPTY_ROOT
        self._nodes: dict[bytes, bytes] = {}

    def update(self, values: Mapping[bytes, bytes]) -> None:
        """Set each key to its value."""
        change = update(self._nodes.__getitem__, self.root, values)
        self.root = change.root
        self._nodes.update(change.born)
        for name in change.died:
            del self._nodes[name]

    def prove(self, key: bytes) -> bytes:
        """Proof of presence or absence of `key`."""
        return prove(self._nodes.__getitem__, self.root, key)


def value_of(indices: Iterable[int]) -> bytes:
    """The value under a key: SHA-256 of its ascending indices, each a u64."""
    return sha256(b"".join(index.to_bytes(8) for index in indices)).digest()
