"""What a commit only points at: submodules, and files that a filter keeps, as LFS does.

The commit holds a hash, or a few lines, in their place; what they stand for is fetched
by whoever builds. An image that was built without them is another image, and says
nothing against the one that was released.
"""

import os
from collections.abc import Iterable
from pathlib import Path

_ATTRIBUTES = ".gitattributes"
_NONE = (b"unspecified", b"unset")
_POINTER = b"version https://git-lfs.github.com/spec/"


def has_attributes(paths: Iterable[str]) -> bool:
    """Whether there is a file of attributes among these paths of a commit."""
    return any(path.rpartition("/")[2] == _ATTRIBUTES for path in paths)


def filtered(answer: bytes) -> tuple[str, ...]:
    """The paths that have a filter, of what `git check-attr -z filter` prints."""
    words = answer.split(b"\0")
    pairs = zip(words[::3], words[2::3], strict=False)  # path, attribute, value
    return tuple(os.fsdecode(path) for path, value in pairs if value not in _NONE)


def absent(
    folder: Path, submodules: Iterable[str], files: Iterable[str]
) -> tuple[str, ...]:
    """Those paths at which there is no more than the pointer.

    Args:
        folder: of the commit, after the build.
        submodules: of the commit.
        files: of the commit, that have a filter.
    """
    found = [one for one in submodules if _is_empty(folder / one)]
    found += [one for one in files if _is_pointer(folder / one)]
    return tuple(found)


def _is_empty(folder: Path) -> bool:
    """Whether a submodule's folder has nothing in it, or is none."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return True


def _is_pointer(path: Path) -> bool:
    """Whether a file is what LFS leaves in a file's place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:  # the build may have left anything there
        return False
