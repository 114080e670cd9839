"""Images and ramdisks as commands open them: files, measured with progress."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cli.output import Output
from pcrlog.errors import MalformedError, UsageError, VerificationError

if TYPE_CHECKING:
    from workbench.eif import Image, Told

_FIRST = 4


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file to read; `-` is standard input.

    Raises:
        UsageError: it cannot be opened, or read.
    """
    try:
        if path == "-":
            with open(0, "rb", closefd=False) as file:
                yield file
            return
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise UsageError(message) from error


def is_image(path: str) -> bool:
    """Whether a file claims to be an image.

    Standard input never does: what was looked at could not be read again.

    Raises:
        UsageError: it cannot be read.
    """
    if path == "-":
        return False
    from workbench.eif_layout import MAGIC

    with opened(path) as file:
        return file.read(_FIRST) == MAGIC


def measured(file: BinaryIO, path: str, output: Output | None = None) -> "Image":
    """The image in an open file, measured from its start.

    Raises:
        MalformedError: it is none, or one of its checks fails.
        VerificationError: its signature does not hold.
    """
    from workbench.eif import measure

    with (output or Output()).progress(f"reading {path}") as tell, _about(path):
        return measure(file, telling(tell, path))


def predicted(
    path: str, added: Sequence[str], output: Output
) -> tuple["Image", dict[str, str]]:
    """An image, and the registers that it has with these ramdisks appended.

    Raises:
        MalformedError, VerificationError: as `measured`.
        UsageError: a file cannot be read, or is no ramdisk.
    """
    from contextlib import ExitStack

    from workbench.eif import predict

    with ExitStack() as stack:
        file = stack.enter_context(opened(path))
        more = [stack.enter_context(opened(one)) for one in added]
        for name, one in zip(added, more, strict=True):
            _require_ramdisk(name, one)
        with output.progress(f"reading {path}") as tell, _about(path):
            return predict(file, more, telling(tell, path))


def telling(tell: Callable[[str], None], path: str) -> "Told":
    """Tells an `Output.progress` how far a reader has come."""
    return lambda read: tell(f"reading {path}: {read >> 20} MiB")


def _require_ramdisk(path: str, file: BinaryIO) -> None:
    """Refuse what Linux would not unpack: a tar, say, or an image of a disk.

    Raises:
        UsageError: it is no ramdisk.
    """
    from workbench.ramdisk import is_ramdisk

    first = file.read(512)
    file.seek(0)
    if not is_ramdisk(first):
        message = (
            f"{path} is no ramdisk: expected a cpio archive (newc), plain or packed, as"
            " the platform appends it. What it makes of another file cannot be known"
        )
        raise UsageError(message)


@contextmanager
def _about(path: str) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except (MalformedError, VerificationError) as error:
        message = f"{path}: {error}"
        raise type(error)(message) from error
