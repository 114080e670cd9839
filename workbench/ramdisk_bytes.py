"""A stream of bytes that can be looked at before they are taken, and unpacked.

What ramdisks are read from: a window on a file, or what comes out of gzip or xz. It is
pulled as it is needed, so a bomb costs time, which `Budget` bounds, and no memory.
"""

import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from msgspec import Struct

from pcrlog.errors import MalformedError

CHUNK = 262_144
_XZ_MEMORY = 96 << 20
"""What `xz -9` needs is 65 MB; the kernel's own build uses 1 MB."""


class Budget(Struct):
    """How much one ramdisk may come to, unpacked; used up as it is read."""

    bytes: int = 16 << 30
    entries: int = 1_000_000


class Bytes:
    """The stream: `pull` gives the next bytes, none at the end."""

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._held = b""
        self._start = 0
        self.at = 0
        """How many bytes have been taken."""

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end; they stay."""
        while len(self._held) - self._start < size and (more := self._pull()):
            self._held = self._held[self._start :] + more
            self._start = 0
        return self._held[self._start : self._start + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        data = self.peek(size)
        self._start += len(data)
        self.at += len(data)
        return data

    def some(self, most: int) -> bytes:
        """What is at hand, at least a byte and at most `most`; none at the end."""
        self.peek(1)
        return self.take(min(most, len(self._held) - self._start))

    def give_back(self, data: bytes) -> None:
        """The last bytes that were taken have not been used."""
        self._held = data + self._held[self._start :]
        self._start = 0
        self.at -= len(data)

    def skip_zeros(self) -> None:
        """Take zero bytes up to the next other one."""
        while data := self.some(CHUNK):
            rest = data.lstrip(b"\0")
            if rest:
                self.give_back(rest)
                return


def window(file: BinaryIO, size: int) -> Bytes:
    """The next `size` bytes of a file."""
    left = size

    def pull() -> bytes:
        nonlocal left
        data = file.read(min(CHUNK, left))
        left -= len(data)
        return data

    return Bytes(pull)


class Unpacker(Protocol):
    """What zlib and lzma give, alike: at most so many bytes at a time."""

    def step(self, data: bytes) -> bytes:
        """Some of what comes out, after `data` went in."""
        ...

    @property
    def hungry(self) -> bool:
        """Whether nothing more comes out without more going in."""
        ...

    @property
    def left(self) -> bytes | None:
        """After its end, the bytes that are not part of it; None before."""
        ...


class Gzip:
    """One member of gzip."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def step(self, data: bytes) -> bytes:
        """See `Unpacker`."""
        return self._inner.decompress(self._inner.unconsumed_tail + data, CHUNK)

    @property
    def hungry(self) -> bool:
        """See `Unpacker`."""
        return not self._inner.unconsumed_tail

    @property
    def left(self) -> bytes | None:
        """See `Unpacker`."""
        return self._inner.unused_data if self._inner.eof else None


class Xz:
    """One stream of xz."""

    def __init__(self) -> None:
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def step(self, data: bytes) -> bytes:
        """See `Unpacker`."""
        return self._inner.decompress(data, CHUNK)

    @property
    def hungry(self) -> bool:
        """See `Unpacker`."""
        return self._inner.needs_input

    @property
    def left(self) -> bytes | None:
        """See `Unpacker`."""
        return self._inner.unused_data if self._inner.eof else None


def unpacked(packed: Bytes, unpacker: Unpacker, budget: Budget) -> Bytes:
    """What one member or stream holds; afterwards `packed` stands behind it.

    Its `peek`, `take` and so on raise MalformedError: it is damaged, cut short, or
    larger than the budget.
    """
    done = False

    def pull() -> bytes:
        nonlocal done
        while not done:
            data = packed.some(CHUNK) if unpacker.hungry else b""
            if not data and unpacker.hungry:
                message = "it is cut short"
                raise MalformedError(message)
            try:
                out = unpacker.step(data)
            except (zlib.error, lzma.LZMAError) as error:
                raise MalformedError(str(error)) from error
            if unpacker.left is not None:
                packed.give_back(unpacker.left)
                done = True
            budget.bytes -= len(out)
            if budget.bytes < 0:
                message = "it unpacks to more than any ramdisk"
                raise MalformedError(message)
            if out:
                return out
        return b""

    return Bytes(pull)
