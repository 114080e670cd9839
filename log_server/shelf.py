"""Where a log puts what everybody reads: a folder, a bucket, or nowhere but log.db.

The publisher knows the order in which things are shown, a shelf how. To each the same
promises are made, so that recovery is the same for all:

- tiles are whole when they have a name, and their names never come to mean other bytes;
- /checkpoint is replaced in one step, and by a shelf that cannot lock others out only
  if it is still the one that was read last.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

from pcrlog.errors import UncheckedError
from pcrlog.tiles import Tile

CHECKPOINT = "checkpoint"
GROUP = 64
"""Tiles in hand at once: a whole log is written or read in bounded memory."""

Read: TypeAlias = bytes | Exception | None
"""A file's bytes; why it cannot be read; None if there is none."""


class OvertakenError(UncheckedError):
    """Somebody else has shown a checkpoint since: this sequencer must end."""


class Shelf(Protocol):
    """What one log shows; for one thread."""

    @property
    def where(self) -> str:
        """What stands before a file's path to name it in a message."""

    @property
    def is_apart(self) -> bool:
        """Whether anything lies there: False if all is answered from log.db."""

    @property
    def is_asked(self) -> bool:
        """Whether web processes answer from here: if not, from the row `published`."""

    def shown(self) -> bytes | None:
        """The note that /checkpoint shows; the next `show` replaces this one."""

    def put(self, tiles: Iterable[tuple[Tile, bytes]], ahead: bytes = b"") -> None:
        """Put tiles in place; those that stand already must have these bytes.

        Args:
            tiles: taken from as they are written, or not at all.
            ahead: the note that is shown next, if that is known: it may be brought to
                where it is shown from, and gets no name yet.
        """

    def show(self, note: bytes) -> None:
        """Show a checkpoint.

        Raises:
            OvertakenError: another one is shown than `shown` or `show` left there.
        """

    def outgrow(self, tiles: Iterable[Tile]) -> None:
        """The partial tiles of these full ones may go."""

    def sweep(self) -> bool:
        """Let a few of them go; whether it makes sense to call again at once."""

    def read(self, paths: Sequence[str]) -> list[Read]:
        """Files as they stand, at most `GROUP`."""

    def close(self) -> None:
        """End what helps to write."""
