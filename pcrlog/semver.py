"""SemVer 2.0 versions that sort, for policies that set a lowest one (PROTOCOL.md 2.3).

Without build metadata, which has no order, and with numbers of at most 18 digits.

>>> semver("1.4.0-rc.2") < semver("1.4.0-rc.10") < semver("1.4.0")
True
"""

import re

from pcrlog.errors import MalformedError

_SEMVER = re.compile(
    r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


def semver(version: str) -> tuple[object, ...]:
    """A SemVer 2.0 version (without build metadata) as a value that sorts.

    Raises:
        MalformedError: not SemVer.
    """
    match = _SEMVER.fullmatch(version)
    if match is None:
        message = f"expected a SemVer version, found {version!r}"
        raise MalformedError(message)
    numbers = tuple(int(match[i]) for i in (1, 2, 3))
    if match[4] is None:
        return (*numbers, 1, ())
    return (*numbers, 0, tuple(_identifier(part) for part in match[4].split(".")))


def _identifier(part: str) -> tuple[int, int, str]:
    """A pre-release identifier: numbers before words (SemVer clause 11)."""
    if not part.isdigit():
        return (1, 0, part)
    if part != "0" and part.startswith("0"):
        message = f"SemVer: {part!r} has a leading zero"
        raise MalformedError(message)
    return (0, int(part), "")
