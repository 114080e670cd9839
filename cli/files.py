"""Files as commands read and write them: bounded, atomic, never overwritten unasked."""

import contextlib
import os
from typing import TYPE_CHECKING

from pcrlog.errors import UncheckedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: str, most: int) -> bytes:
    """A file's bytes, at most `most`; `-` is standard input.

    Raises:
        UsageError: it cannot be read, or is larger.
    """
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(most + 1)
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > most:
        message = f"{path} has more than {most} bytes"
        raise UsageError(message)
    return data


def write_new(
    path: str, data: bytes, *, mode: int = 0o644, force: bool = False
) -> None:
    """Write a file whole or not at all; an existing one only with `force`.

    Of a symbolic link, the file that it leads to is replaced.

    Raises:
        UsageError: it exists, or cannot be written.
    """
    if path == "-":
        os.write(1, data)
        return
    try:
        if force:
            replace(os.path.realpath(path), data, mode=mode)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - pathlib costs 6 ms here
            raise
    except FileExistsError as error:
        message = f"{path} exists; it is left as it is. Name another, or remove it"
        raise UsageError(message) from error
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from error


def change(path: str, before: bytes, after: bytes) -> None:
    """Put `after` in the place of a file that still is what was read of it.

    Two commands that change the same file at the same time do not undo each other: the
    second one is refused. The file keeps its mode.

    Raises:
        UncheckedError: it is not `before` any more.
        UsageError: it cannot be written, or is standard input.
    """
    import fcntl
    from pathlib import Path

    if path == "-":
        message = "standard input cannot be changed: name a file"
        raise UsageError(message)
    try:
        with Path(path).open("rb") as old:
            # Whoever waited here may hold what was replaced: the path is read again.
            fcntl.flock(old, fcntl.LOCK_EX)
            with Path(path).open("rb") as now:
                same = now.read(len(before) + 1) == before
                mode = os.fstat(now.fileno()).st_mode & 0o777
            if not same:
                message = f"{path} was changed by another command meanwhile: ask again"
                raise UncheckedError(message)
            write_new(path, after, mode=mode, force=True)
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from error


def replace(target: "str | Path", data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` in the place of a file: a reader sees the old bytes or the new ones.

    A crash before the rename leaves the old file, and a temporary one beside it.
    """
    import tempfile  # 6 ms, and most commands write nothing
    from pathlib import Path

    path = Path(target)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def digest(path: str) -> tuple[str, int]:
    """Hex SHA-256 and size of a file, however large.

    Raises:
        UsageError: it cannot be read.
    """
    import hashlib
    from pathlib import Path

    try:
        with Path(path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            return found, file.tell()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from error
