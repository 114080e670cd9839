"""Ramdisks: which files they put before the kernel, in which order, with which dates.

A ramdisk is what Linux unpacks into its first file system: cpio archives in the "newc"
form, one after the other, each plain or packed, with zeros between them. An archive is
entries up to one called TRAILER!!!; an entry is 110 ASCII bytes and then

    070701  ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor
            rdevminor namesize check      8 hex digits each
    name    namesize bytes, the last one NUL; zeros up to a multiple of four
    data    filesize bytes; zeros up to a multiple of four

All of these bytes are measured. What gzip and xz packed is unpacked; zstd, lz4, bzip2,
lzma and lzo are not in Python's library of this version, and what they packed is
reported as `Unread`, as is everything from the first byte on that is not of this form.
Nothing is left out in silence: each byte is an entry's, padding, or unread.

Names are bytes: Linux does not care, so neither may a comparison.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from msgspec import Struct

from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from workbench.ramdisk_bytes import (
    CHUNK,
    Budget,
    Bytes,
    Gzip,
    Unpacker,
    Xz,
    unpacked,
    window,
)

_MAGIC = (b"070701", b"070702")
_CHECKED = b"070702"
"""With the sum of the data's bytes in `check`."""
_SIZE = 110
_HEX = re.compile(rb"[0-9A-Fa-f]{104}")
_TRAILER = b"TRAILER!!!"
_ALIGNED = 4
MOST_NAME = 4096
"""PATH_MAX of Linux, the NUL included."""
_PACKERS: dict[bytes, tuple[str, Callable[[], Unpacker]]] = {
    b"\x1f\x8b": ("gzip", Gzip),
    b"\xfd7zXZ\0": ("xz", Xz),
}
_OPAQUE = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bzip2",
    b"\x5d\0\0": "lzma",
    b"\x89LZO": "lzo",
}
_LONGEST = 6
_TYPE = 0o170000
_TYPES = {
    0o100000: "file",
    0o040000: "directory",
    0o120000: "symlink",
    0o020000: "character device",
    0o060000: "block device",
    0o010000: "fifo",
    0o140000: "socket",
}


class Entry(Struct, frozen=True):
    """One entry of an archive."""

    name: bytes
    mode: int
    """With the type, as `st_mode`."""
    uid: int
    gid: int
    mtime: int
    """Unix seconds."""
    size: int
    sha256: str
    """Hex, of the data: a file's content, a symlink's target."""
    ino: int
    nlink: int
    dev: tuple[int, int]
    rdev: tuple[int, int]
    archive: int
    """0 for the first archive of the ramdisk."""
    packed: str
    """`gzip`, `xz`, or empty for an archive that stands there plainly."""

    @property
    def kind(self) -> str:
        """What it is, in a word."""
        return _TYPES.get(self.mode & _TYPE, "unknown")


class Unread(Struct, frozen=True):
    """The rest of a ramdisk, from `offset` on: nobody knows what is in there."""

    offset: int
    """Of the ramdisk's own bytes; of the unpacked ones if `packed` is not empty."""
    packed: str
    why: str


Item: TypeAlias = Entry | Unread


def read(file: BinaryIO, size: int, budget: Budget | None = None) -> Iterator[Item]:
    """The entries of a ramdisk, in its order, and what could not be read.

    Args:
        file: stands at its first byte; it is read once, forwards.
        size: of the ramdisk.
        budget: how much it may come to, unpacked.
    """
    reading = _Reading(budget or Budget())
    yield from reading.stream(window(file, size), "")


def is_ramdisk(first: bytes) -> bool:
    """Whether bytes begin as something that Linux unpacks, read here or not."""
    return first.startswith((*_MAGIC, *_PACKERS, *_OPAQUE))


class _Reading:
    """One pass over a ramdisk."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._archive = 0
        self._stopped = False

    def stream(self, data: Bytes, packed: str) -> Iterator[Item]:
        """Archives, until the bytes end or one cannot be read."""
        try:
            while not self._stopped:
                data.skip_zeros()
                first = data.peek(_LONGEST)
                if not first:
                    return
                if first in _MAGIC:
                    yield from self._archive_of(data, packed)
                else:
                    yield from self._other(data, first, packed)
        except MalformedError as error:
            self._stopped = True
            yield Unread(data.at, packed, str(error))

    def _other(self, data: Bytes, first: bytes, packed: str) -> Iterator[Item]:
        for magic, (name, unpacker) in _PACKERS.items():
            # The kernel unpacks once: an archive in gzip in gzip is nothing to it.
            if first.startswith(magic) and not packed:
                inner = unpacked(data, unpacker(), self._budget)
                yield from self.stream(inner, name)
                return
        for magic, name in _OPAQUE.items():
            if first.startswith(magic):
                message = f"{name}, which is not unpacked here"
                raise MalformedError(message)
        message = f"expected an archive or a known packer, found {first.hex()}"
        raise MalformedError(message)

    def _archive_of(self, data: Bytes, packed: str) -> Iterator[Item]:
        if data.at % _ALIGNED:
            message = "an archive that does not begin at a multiple of four bytes"
            raise MalformedError(message)
        while (entry := self._entry(data, packed)).name != _TRAILER:
            yield entry
        self._archive += 1

    def _entry(self, data: Bytes, packed: str) -> Entry:
        self._budget.entries -= 1
        if self._budget.entries < 0:
            message = "more entries than any ramdisk has"
            raise MalformedError(message)
        head = data.peek(_SIZE)
        if head[:6] not in _MAGIC or not _HEX.fullmatch(head[6:]):
            message = f"expected an entry of newc, found {head[:6].hex() or 'the end'}"
            raise MalformedError(message)
        values = [int(head[at : at + 8], 16) for at in range(6, _SIZE, 8)]
        ino, mode, uid, gid, nlink, mtime, size, *devices, named, check = values
        name = _name(data, named)
        digest, total = _content(data, size, summed=head[:6] == _CHECKED)
        if head[:6] == _CHECKED and total != check:
            message = (
                f"{shown(name)}: expected data of sum {check:#x}, found {total:#x}"
            )
            raise MalformedError(message)
        return Entry(
            name,
            mode,
            uid,
            gid,
            mtime,
            size,
            digest,
            ino,
            nlink,
            (devices[0], devices[1]),
            (devices[2], devices[3]),
            self._archive,
            packed,
        )


def _name(data: Bytes, size: int) -> bytes:
    if not 1 <= size <= MOST_NAME:
        message = f"expected a name of 1 to {MOST_NAME} bytes, found {size}"
        raise MalformedError(message)
    head = data.take(_SIZE + size)
    name = head[_SIZE:]
    if len(name) != size or name.find(b"\0") != size - 1:
        message = "expected a name that ends in its only NUL"
        raise MalformedError(message)
    _padding(data, _SIZE + size)
    return name[:-1]


def _content(data: Bytes, size: int, *, summed: bool) -> tuple[str, int]:
    """The digest of an entry's data, and their sum if it is asked for."""
    digest, total, left = hashlib.sha256(), 0, size
    while left:
        some = data.some(min(left, CHUNK))
        if not some:
            message = f"expected {left} bytes more of an entry's data, found the end"
            raise MalformedError(message)
        digest.update(some)
        total += sum(some) if summed else 0
        left -= len(some)
    _padding(data, size)
    return digest.hexdigest(), total % 2**32


def _padding(data: Bytes, size: int) -> None:
    """Padding is measured, and no part of any entry: it says nothing, or is refused."""
    if data.take(-size % _ALIGNED).strip(b"\0"):
        message = "expected zeros as padding"
        raise MalformedError(message)
