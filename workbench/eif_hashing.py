"""Several digests over one stream, at the speed of the slowest of them.

An image goes through up to two SHA-384, a SHA-256 and a CRC. Each of these leaves the
interpreter alone while it works, so each gets a thread, and two cores do in one pass
what would take one core nearly three. What is small is hashed on the spot.

The three registers share what they can: PCR0 and PCR1 are the same stream until a
second ramdisk begins, so one digest does for both, and is split there.
"""

import hashlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from workbench.eif_registers import extend

CHUNK = 1_048_576
"""Bytes that are read at once."""
_AHEAD = 4
"""Chunks that wait for a digest at most: what bounds the memory."""
_SMALL = 65_536
"""Below it, handing over costs more than hashing."""


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None:
        """Take some more."""
        ...

    def digest(self) -> bytes:
        """Of all so far."""
        ...

    def copy(self) -> "Digest":
        """Another that has taken the same."""
        ...


class Lane:
    """Hands bytes to a function in their order, in a thread of its own once it pays."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def feed(self, data: bytes) -> None:
        """Take `data`, now or soon."""
        if self._thread is None:
            if len(data) < _SMALL:
                self._take(data)
                return
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._queue.put(data)

    def drain(self) -> None:
        """Wait until everything is taken."""
        self._queue.join()
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                if self._failed is None:
                    self._take(data)
            except BaseException as error:  # noqa: BLE001 - told by drain(), where it is asked
                self._failed = error
            self._queue.task_done()
        self._queue.task_done()


class Hashing:
    """PCR0, PCR1 and PCR2 of sections as they come, and digests of the whole file.

    Used as a context, so that no thread is left behind.
    """

    def __init__(self, whole: Callable[[bytes], object]) -> None:
        """Start with nothing; `whole` takes each byte of the file, in a lane too."""
        self._image: Digest = hashlib.sha384()
        self._boot: Digest | None = None
        self._app: Digest = hashlib.sha384()
        self._whole = Lane(whole)
        self._lanes = (Lane(self._image.update), Lane(self._app.update))
        self._ramdisks = 0

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the threads."""
        for lane in (*self._lanes, self._whole):
            lane.close()

    def begin(self, kind: str) -> tuple[str, ...]:
        """A section of this kind comes now; the registers that it goes into."""
        if kind not in {"kernel", "cmdline", "ramdisk"}:
            return ()
        if kind != "ramdisk":
            return ("PCR0", "PCR1")
        self._ramdisks += 1
        if self._ramdisks == 1:
            return ("PCR0", "PCR1")
        if self._boot is None:
            self._lanes[0].drain()
            self._boot = self._image.copy()
        return ("PCR0", "PCR2")

    def file(self, data: bytes) -> None:
        """Bytes of the file, whatever they are."""
        self._whole.feed(data)

    def section(self, data: bytes, registers: tuple[str, ...]) -> None:
        """Bytes of a section that goes into `registers`."""
        if "PCR0" in registers:
            self._lanes[0].feed(data)
        if "PCR2" in registers:
            self._lanes[1].feed(data)
        if "PCR1" in registers and self._boot is not None:
            self._boot.update(data)  # a command line after the ramdisks: it is small

    def registers(self) -> dict[str, str]:
        """The three registers of all sections so far."""
        for lane in (*self._lanes, self._whole):
            lane.drain()
        boot = self._image if self._boot is None else self._boot
        return {
            f"PCR{number}": extend(found.digest())
            for number, found in enumerate((self._image, boot, self._app))
        }
