"""The index trie in pages: how it grows, and what is proven of it.

The leaves of the trie are the index itself: under each key a list of indices, in the
rows of `index_entry`. What is stored besides are hashes, by their place and not under
their name: a page has the hashes of the eight subtries into which the keys divide that
share their first 0, 3, 6 ... bits. There is a page where more than MOST_KEYS keys share
a prefix, and nowhere else; so the pages follow from the keys, and anybody who doubts
them can make them anew (`plant`).

To set a key: read the pages on its path, and the few keys below the last one; hash from
there upwards. To prove a key is the same walk. Keys of one batch are walked together,
level by level, and each page that they share is read, hashed and written once.

Readers may stand at an older batch than the newest one, since a checkpoint is published
after its batch was committed. Lists only grow, so an older list is the newest one up to
a smaller index; what a page was before is kept for some batches (index_rows.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain, groupby, islice
from typing import Protocol

from msgspec import Struct

from pcrlog.subtries import NOTHING, join, leaf_hash, subtrie
from pcrlog.trie import KEY_SIZE, Step, encode_proof

MOST_KEYS = 8
"""Keys that share a prefix and have no page of their own."""
LONG = 32
"""A list of more indices has its value stored; shorter ones are hashed when needed."""
_STEP = 3
"""Bits from a page to those below."""
_SLOTS = 1 << _STEP
PAGE_SIZE = _SLOTS * KEY_SIZE
"""Bytes of a page."""
_OFFSETS = range(0, PAGE_SIZE, KEY_SIZE)
ROOT = 1
"""A prefix p of d bits is numbered 2**d + p; the empty one, this."""
_DEEPEST = 60
"""The longest prefix that has a page: its number has to fit into 63 bits. Below are any
number of keys; to grind two of them costs 2**30 hashes, and seventeen far more."""
_HEAD = 8
"""The bytes of a key that can matter for the number of a page."""
_HEAD_BITS = 8 * _HEAD
_BITS = 8 * KEY_SIZE
_PATH = range(0, 24, _STEP)
"""Prefixes of these lengths are asked for at once; few keys lie deeper."""

Known = Sequence[int] | bytes
"""What is stored of a key: its indices; if they are more than LONG, the value alone."""


class Rows(Protocol):
    """What is stored, as after one batch."""

    def pages(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Those of the pages that there are."""
        ...

    def leaves(self, low: bytes, high: bytes) -> dict[bytes, Known]:
        """The keys from `low` up to but not including `high`, ascending."""
        ...


class Update(Struct, frozen=True):
    """What a batch changes.

    Attributes:
        root: of the trie after it.
        lists: key to the indices that its list gains.
        pages: number to a page that is new or has changed.
        before: what these pages were; None where there was none.
        values: key to the value of each list that is now longer than LONG.
    """

    root: bytes
    lists: Mapping[bytes, Sequence[int]]
    pages: Mapping[int, bytes]
    before: Mapping[int, bytes | None]
    values: Mapping[bytes, bytes]


Extend = Callable[[bytes, Sequence[int]], bytes]
"""Key of a long list and indices to append: its new value."""


def grow(rows: Rows, lists: Mapping[bytes, Sequence[int]], extend: Extend) -> Update:
    """Append to the lists of some keys, of which there is at least one.

    Costs one path a key, whatever the size of the trie; where paths meet, once.
    """
    before, places = _descend(rows, lists)
    pages = {number: bytearray(page) for number, page in before.items()}
    values: dict[bytes, bytes] = {}
    made: dict[int, bytes] = {}
    done: dict[int, bytes] = {}
    for number, keys in places.items():
        leaves = rows.leaves(*bounds(number))
        for key in keys:
            known = leaves.get(key, ())
            if isinstance(known, bytes):
                leaves[key] = values[key] = extend(key, lists[key])
                continue
            leaves[key] = [*known, *lists[key]]
            if len(leaves[key]) > LONG:
                values[key] = value_of(leaves[key])
        hashed = [(key, _hash(key, leaves[key])) for key in sorted(leaves)]
        _fill(pages, done, number, plant(number, hashed, made.__setitem__))
    # Larger numbers are deeper, so each page is complete when its turn comes.
    for number in sorted(before, reverse=True):
        _fill(pages, done, number, _join(pages[number], depth_of(number)))
    after = {number: bytes(page) for number, page in pages.items()} | made
    return Update(done[ROOT], lists, after, dict.fromkeys(made) | before, values)


def _fill(
    pages: Mapping[int, bytearray], done: dict[int, bytes], number: int, found: bytes
) -> None:
    """Put the hash of a subtrie into the page above it."""
    if number == ROOT:
        done[ROOT] = found
    else:
        at = number % _SLOTS * KEY_SIZE
        pages[number >> _STEP][at : at + KEY_SIZE] = found


def _descend(
    rows: Rows, keys: Iterable[bytes]
) -> tuple[dict[int, bytes], dict[int, list[bytes]]]:
    """The pages on the paths of keys; and by where its path ends, each key."""
    mark = 1 << _HEAD_BITS
    todo = {ROOT: [(mark | int.from_bytes(key[:_HEAD]), key) for key in sorted(keys)]}
    pages: dict[int, bytes] = {}
    ends: dict[int, list[bytes]] = {}
    shift = _HEAD_BITS
    while todo:
        found = rows.pages(todo)
        pages |= found
        shift -= _STEP
        below: dict[int, list[tuple[int, bytes]]] = {}
        for number, some in todo.items():
            if number in found:
                for one in some:
                    below.setdefault(one[0] >> shift, []).append(one)
            else:
                ends[number] = [key for _, key in some]
        todo = below
    return pages, ends


def value_of(known: Known) -> bytes:
    """The value of a key."""
    if isinstance(known, bytes):
        return known
    return sha256(b"".join([index.to_bytes(8) for index in known])).digest()


def _hash(key: bytes, known: Known) -> bytes:
    """The hash of a leaf."""
    if isinstance(known, bytes) or len(known) > 1:
        return leaf_hash(key, value_of(known))
    # Most keys have one index, and most of the time is spent here.
    return leaf_hash(key, sha256(known[0].to_bytes(8)).digest())


def plant(
    number: int,
    leaves: Iterable[tuple[bytes, bytes]],
    put: Callable[[int, bytes], None],
) -> bytes:
    """The hash over all leaves below a place; the pages that this takes are `put`.

    Args:
        number: of the place.
        leaves: (key, leaf hash), ascending; not more of them are in memory at once than
            a few keys a page on the path.
        put: is told the number and the hashes of each page, the lower ones first.
    """
    depth, rest = depth_of(number), iter(leaves)
    few = list(islice(rest, MOST_KEYS + 1))
    if len(few) <= MOST_KEYS or depth >= _DEEPEST:
        return subtrie([*few, *rest])
    page = bytearray(PAGE_SIZE)
    prefix = partial(_prefix, depth=depth + _STEP)
    for below, some in groupby(chain(few, rest), prefix):
        at = below % _SLOTS * KEY_SIZE
        page[at : at + KEY_SIZE] = plant(below, some, put)
    put(number, bytes(page))
    return _join(page, depth)


def _prefix(leaf: tuple[bytes, bytes], depth: int) -> int:
    return _number(leaf[0], depth)


def _join(page: bytes | bytearray, depth: int) -> bytes:
    return join(_split(page), depth)


def _split(page: bytes | bytearray) -> list[bytes]:
    page = bytes(page)
    return [page[i : i + KEY_SIZE] for i in _OFFSETS]


def _number(key: bytes, depth: int) -> int:
    return (1 << _HEAD_BITS | int.from_bytes(key[:_HEAD])) >> _HEAD_BITS - depth


def depth_of(number: int) -> int:
    """How many bits the prefix has that is numbered so."""
    return number.bit_length() - 1


def bounds(number: int) -> tuple[bytes, bytes]:
    """The first key that has a prefix, and what comes after the last one."""
    depth = depth_of(number)
    first = number - (1 << depth)
    low = first << _BITS - depth
    if number + 1 == 2 << depth:
        return low.to_bytes(KEY_SIZE), b"\xff" * (KEY_SIZE + 1)
    return low.to_bytes(KEY_SIZE), (first + 1 << _BITS - depth).to_bytes(KEY_SIZE)


# --- questions ------------------------------------------------------------------------


def prove(rows: Rows, key: bytes) -> bytes:
    """Proof that `key` is in the trie, or that it is not (see pcrlog/trie.py)."""
    asked = [_number(key, depth) for depth in _PATH]
    pages = rows.pages(asked)
    steps: list[Step] = []
    number = ROOT
    while True:
        if number not in pages and number not in asked:
            pages |= rows.pages([number])
        if number not in pages:
            break
        number = _through(pages[number], number, key, steps)
    leaves = rows.leaves(*bounds(number))
    if not leaves:
        return b""
    other = _among(leaves, key, steps)
    steps.reverse()
    return encode_proof(
        steps, None if other == key else (other, value_of(leaves[other]))
    )


def _through(page: bytes, number: int, key: bytes, steps: list[Step]) -> int:
    """From a page to a place below: where `key` is, or else would branch off last."""
    row, depth = _split(page), depth_of(number)
    for bit in range(depth, depth + _STEP):
        half = len(row) // 2
        sides = row[:half], row[half:]
        side = _bit(key, bit)
        if sides[side].count(NOTHING) == half:
            # Nothing branches here, so it is no step.
            side = 1 - side
        elif (sibling := join(sides[1 - side], bit + 1)) != NOTHING:
            steps.append((bit, sibling))
        row, number = sides[side], number << 1 | side
    return number


def _among(leaves: Mapping[bytes, Known], key: bytes, steps: list[Step]) -> bytes:
    """The key, or the one beside which it would stand, among the last few."""
    left = list(leaves)
    while len(left) > 1:
        bit = _BITS - (int.from_bytes(left[0]) ^ int.from_bytes(left[-1])).bit_length()
        sides: tuple[list[bytes], list[bytes]] = ([], [])
        for one in left:
            sides[_bit(one, bit)].append(one)
        side = _bit(key, bit)
        others = [(one, _hash(one, leaves[one])) for one in sides[1 - side]]
        steps.append((bit, subtrie(others)))
        left = sides[side]
    return left[0]


def _bit(key: bytes, position: int) -> int:
    return key[position >> 3] >> (7 - (position & 7)) & 1
