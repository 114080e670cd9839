r"""An index in a file: all keys of a log's index, sorted, with hashes to prove them.

    pcrlog-mirror-index/v1 LF NUL
    u64 leaves, u64 keys, u64 statements, root (32 bytes)
    keys           32 bytes each, ascending
    values         32 bytes each: SHA-256 of the key's indices
    nodes          32 bytes each: hash of the inner node that parts here from before
    ends           u64 each: where the key's indices end, counted in indices
    statements     ascending: SHA-256 (32 bytes), u64 index of where it stands first
    indices        u64 each, ascending within a key

The shape of the trie (pcrlog/trie.py) depends on its keys alone: a node is a run of
sorted keys, and each place between two neighbours is that of one inner node. So what
`trie.prove` and `trie.update` ask for by hash is found by place, in the pages of the
file that the question leads to and no others.

It is a copy of what the entries say, made by whoever reads it, and nothing is believed
because it stands here: a node is held against its hash, so that all of them belong to
`root`; what `root` is worth, and the lists, is for mirror_index.py to tell.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from pcrlog.errors import MalformedError
from pcrlog.subtries import HEADS, leaf_node
from pcrlog.trie import EMPTY_ROOT, KEY_SIZE

_MAGIC = b"pcrlog-mirror-index/v1\n\0"
_HEAD = struct.Struct(">24sQQQ32s")
_SAID = KEY_SIZE + 8
_BITS = 8 * KEY_SIZE
_DAMAGED = "the file of the index is damaged"


def walk(
    rows: Iterable[tuple[bytes, bytes]], keep: Callable[[int, bytes, bytes], None]
) -> bytes:
    """Make all nodes of the trie over keys and values, ascending; its root.

    Two neighbours part at the first bit in which they differ; a node is complete when
    the next pair parts further up.

    Args:
        rows: (key, value), each key once.
        keep: takes each node: its place, hash and bytes. A leaf's place is -1, an inner
            node's the number of the first key on its right side.

    Raises:
        MalformedError: the keys do not ascend.
    """
    waiting: list[tuple[int, int, bytes]] = []
    node, before = EMPTY_ROOT, 0

    def close(most: int) -> None:
        nonlocal node
        while waiting and waiting[-1][0] > most:
            bit, place, left = waiting.pop()
            data = HEADS[bit] + left + node
            node = sha256(data).digest()
            keep(place, node, data)

    for number, (key, value) in enumerate(rows):
        here = int.from_bytes(key)
        if number:
            if here <= before:
                raise MalformedError(_DAMAGED)
            bit = _BITS - (before ^ here).bit_length()
            close(bit)
            waiting.append((bit, number, node))
        data = leaf_node(key, value)
        node, before = sha256(data).digest(), here
        keep(-1, node, data)
    close(-1)
    return node


class Table:
    """The file, read; `size` leaves are in the index, `root` is its root.

    Raises:
        MalformedError: it is not one, or of another length.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size or not head.startswith(_MAGIC):
                message = f"{path} is not an index"
                raise MalformedError(message)
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _, self.size, self.keys, self._said, self.root = _HEAD.unpack(head)
        self._values = _HEAD.size + KEY_SIZE * self.keys
        self._nodes = self._values + KEY_SIZE * self.keys
        self._ends = self._nodes + KEY_SIZE * self.keys
        self._statements = self._ends + 8 * self.keys
        self._indices = self._statements + _SAID * self._said
        length = self._indices + 8 * self._end(self.keys)
        if length != len(self._data):
            message = f"{path} has {len(self._data)} bytes, want {length}"
            raise MalformedError(message)
        # Nodes met on the way down, by hash: each a run of keys.
        self._runs = {self.root: (0, self.keys)}

    def node(self, name: bytes) -> bytes:
        """The bytes of a node below one that was asked for, or of the root.

        Raises:
            MalformedError: the file is damaged.
        """
        start, end = self._runs[name]
        if end - start == 1:
            node = leaf_node(self._key(start), self._value(start))
        else:
            bit, middle = self._part(start, end)
            left, right = self._hash(start, middle), self._hash(middle, end)
            self._runs[left], self._runs[right] = (start, middle), (middle, end)
            node = HEADS[bit] + left + right
        if sha256(node).digest() != name:
            raise MalformedError(_DAMAGED)
        return node

    def nodes(self) -> dict[bytes, bytes]:
        """All nodes by hash: for whoever is going to change many.

        Raises:
            MalformedError: the file is damaged.
        """
        found: dict[bytes, bytes] = {}
        rows = ((self._key(n), self._value(n)) for n in range(self.keys))
        root = walk(rows, lambda _place, name, node: found.__setitem__(name, node))
        if root != self.root:
            raise MalformedError(_DAMAGED)
        return found

    def packed(self, key: bytes) -> bytes:
        """The indices under a key, u64 each; nothing if it is not there."""
        at = self._find(key, self.keys, self._key)
        if at == self.keys or self._key(at) != key:
            return b""
        start, end = self._end(at), self._end(at + 1)
        return self._data[self._indices + 8 * start : self._indices + 8 * end]

    def statement(self, digest: bytes) -> int | None:
        """Where the statement with this SHA-256 stands first."""
        at = self._find(digest, self._said, self._digest)
        if at == self._said or self._digest(at) != digest:
            return None
        place = self._statements + _SAID * at + KEY_SIZE
        return int.from_bytes(self._data[place : place + 8])

    def all_keys(self) -> Iterator[bytes]:
        """All keys, ascending."""
        return map(self._key, range(self.keys))

    def said(self) -> Iterator[tuple[bytes, int]]:
        """All statements and where they stand first."""
        for number in range(self._said):
            digest = self._digest(number)
            place = self._statements + _SAID * number + KEY_SIZE
            yield digest, int.from_bytes(self._data[place : place + 8])

    # --- places ----------------------------------------------------------------------

    def _key(self, number: int) -> bytes:
        at = _HEAD.size + KEY_SIZE * number
        return self._data[at : at + KEY_SIZE]

    def _value(self, number: int) -> bytes:
        at = self._values + KEY_SIZE * number
        return self._data[at : at + KEY_SIZE]

    def _digest(self, number: int) -> bytes:
        at = self._statements + _SAID * number
        return self._data[at : at + KEY_SIZE]

    def _end(self, number: int) -> int:
        """Where the indices of the keys before this one end."""
        at = self._ends + 8 * (number - 1)
        return int.from_bytes(self._data[at : at + 8]) if number else 0

    def _hash(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return sha256(leaf_node(self._key(start), self._value(start))).digest()
        at = self._nodes + KEY_SIZE * self._part(start, end)[1]
        return self._data[at : at + KEY_SIZE]

    def _part(self, start: int, end: int) -> tuple[int, int]:
        """The bit at which a run of keys parts, and the first key with a one there."""
        first = int.from_bytes(self._key(start))
        bit = _BITS - (first ^ int.from_bytes(self._key(end - 1))).bit_length()
        if bit == _BITS:
            raise MalformedError(_DAMAGED)
        shift, last = _BITS - 1 - bit, end - 1
        # Of keys in order the first has a zero there, the last a one.
        while last - start > 1:
            middle = (start + last) // 2
            if int.from_bytes(self._key(middle)) >> shift & 1:
                last = middle
            else:
                start = middle
        return bit, last

    @staticmethod
    def _find(wanted: bytes, end: int, row: Callable[[int], bytes]) -> int:
        """The first of `end` ascending rows that is not below `wanted`."""
        start = 0
        while start < end:
            middle = (start + end) // 2
            if row(middle) < wanted:
                start = middle + 1
            else:
                end = middle
        return start


def write(
    path: Path,
    size: int,
    keys: Sequence[bytes],
    packed: Callable[[bytes], bytes | bytearray],
    said: Iterable[tuple[bytes, int]],
) -> None:
    """Write an index; it takes little more memory than a hundred bytes a key.

    Args:
        path: of the file; it is written whole or not at all.
        size: how many leaves are in the index.
        keys: ascending.
        packed: a key's indices, u64 each.
        said: each statement's SHA-256 and where it stands first, ascending.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    nodes = bytearray(KEY_SIZE * len(keys))

    def keep(place: int, name: bytes, _node: bytes) -> None:
        if place >= 0:
            nodes[KEY_SIZE * place : KEY_SIZE * (place + 1)] = name

    values = b"".join(sha256(packed(key)).digest() for key in keys)
    rows = (values[at : at + KEY_SIZE] for at in range(0, len(values), KEY_SIZE))
    root = walk(zip(keys, rows, strict=True), keep)
    statements = b"".join(digest + index.to_bytes(8) for digest, index in said)
    number = len(statements) // _SAID
    ends = accumulate(len(packed(key)) // 8 for key in keys)
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, size, len(keys), number, root))
        file.writelines(keys)
        file.write(values)
        file.write(nodes)
        file.writelines(end.to_bytes(8) for end in ends)
        file.write(statements)
        file.writelines(map(packed, keys))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
