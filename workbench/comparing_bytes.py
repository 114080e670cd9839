"""Where two runs of bytes differ first, and how that looks to people."""

from collections.abc import Callable
from typing import BinaryIO

from msgspec import Struct

from workbench.eif_layout import Section

_CHUNK = 1_048_576
_BEFORE, _AFTER = 16, 24
"""Characters shown around the first difference of two texts."""


class Difference(Struct, frozen=True):
    """One thing that is not the same in both."""

    place: str
    """`kernel`, `command line`, `ramdisk 1`, `header`, `sections`, `metadata`,
    `signature`."""
    registers: tuple[str, ...]
    """Those that measure it; none if no register does."""
    kind: str
    """Of ramdisks: `bytes`, `content`, `mode`, `time`, `owner`, `device`, `number`,
    `order`, `missing`, `packing`, `unread`; elsewhere `bytes`, `value`, `missing`."""
    name: str
    """Which file, member or byte; empty if the place says it."""
    a: str
    """What it is in the first; empty if it is not there."""
    b: str


def first_difference(
    a: tuple[BinaryIO, Section],
    b: tuple[BinaryIO, Section],
    told: Callable[[int], None] | None = None,
) -> int | None:
    """The first byte at which the data of two sections differ, from their start.

    None if they are equal; the length of the shorter if it is how the longer begins.
    """
    (one, here), (other, there) = a, b
    one.seek(here.offset)
    other.seek(there.offset)
    at, common = 0, min(here.size, there.size)
    while at < common:
        size = min(_CHUNK, common - at)
        left, right = one.read(size), other.read(size)
        if left != right or not left:
            return at + in_both(left, right)
        at += len(left)
        if told is not None:
            told(at)
    return None if here.size == there.size else common


def in_both(a: bytes, b: bytes) -> int:
    """How many bytes two runs begin with alike."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def around(text: bytes, at: int) -> str:
    """A text around a byte, escaped, as an error message may carry it."""
    begin = max(0, at - _BEFORE)
    piece = text[begin : at + _AFTER].decode("ascii", "backslashreplace")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in piece)
    before, after = "…" if begin else "", "…" if at + _AFTER < len(text) else ""
    return f"{before}{shown}{after}"
