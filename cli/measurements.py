"""Registers and numbers, from a file of a build and from options, into one checked set.

Which forms a file may have, `pcrlog.published` says; an image itself is measured. Of
which platform it is, the registers tell.
"""

import re
from collections.abc import Iterable
from typing import Protocol

from cli import files, images
from pcrlog.errors import MalformedError, UsageError
from pcrlog.published import (
    ARTIFACT,
    MOST,
    NUMBERS,
    Build,
    check_build,
    collect,
    parse_pairs,
)

_PCR = re.compile(r"[0-9]{1,2}")


class Named(Protocol):
    """The options that give registers (options.measured_options)."""

    @property
    def measurements(self) -> str | None:
        """A file in one of the forms above, or an image."""
        ...

    @property
    def pcrs(self) -> tuple[str, ...]:
        """`N=HEX`, or `NAME=HEX`, each."""
        ...

    @property
    def artifact(self) -> str | None:
        """A file, or `sha256:HEX`."""
        ...


def measured(options: Named) -> dict[str, str]:
    """The registers that the options name, checked; none if they name none.

    Raises:
        UsageError: not of one of the forms, or not those of an enclave image.
    """
    build = _build(options, ())
    return {} if build is None else build.registers


def wanted(options: Named) -> dict[str, str]:
    """The same, where there have to be some."""
    return wanted_build(options).registers


def wanted_build(options: Named, numbers: Iterable[str] = ()) -> Build:
    """The build that the options name: registers, and numbers where it has them.

    Args:
        options: of a command.
        numbers: `NAME=N` each, beside those of the file.

    Raises:
        UsageError: they name none, or it is not of one of the forms.
    """
    build = _build(options, numbers)
    if build is None:
        message = (
            "which registers? --measurements build.json, or --pcr 0=HEX …, or"
            " --register MRENCLAVE=HEX"
        )
        raise UsageError(message)
    return build


def _build(options: Named, numbers: Iterable[str]) -> Build | None:
    pairs = [] if options.measurements is None else list(_read(options.measurements))
    pairs += [_option(text) for text in options.pcrs]
    counts = [_number(text) for text in numbers]
    if options.artifact is not None and (pairs or counts):
        message = "--artifact stands alone: a file has a digest and no registers"
        raise UsageError(message)
    try:
        if options.artifact is not None:
            build = Build(ARTIFACT, {"digest": _digest(options.artifact)})
        elif pairs:
            build = collect([*pairs, *counts])
        else:
            return None
        registers = dict(sorted(check_build(build).registers.items()))
    except MalformedError as error:
        raise UsageError(str(error)) from error
    return Build(build.platform, registers, build.numbers)


def _digest(text: str) -> str:
    """`sha256:HEX`, given so or of a file."""
    return text if text.startswith("sha256:") else f"sha256:{files.digest(text)[0]}"


def _option(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name or name.upper() in NUMBERS:
        message = f"--register: expected 0=HEX or MRENCLAVE=HEX, got {text[:40]!r}"
        raise UsageError(message)
    return f"PCR{name}" if _PCR.fullmatch(name) else name, value


def _number(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or name.upper() not in NUMBERS:
        message = f"--number: expected ISVSVN=2, or ISVPRODID, got {text[:40]!r}"
        raise UsageError(message)
    return name, value


def _read(file: str) -> list[tuple[str, str]]:
    if images.is_image(file):
        with images.opened(file) as opened:
            return [*images.measured(opened, file).digests.items()]
    try:
        return parse_pairs(files.read(file, MOST))
    except MalformedError as error:
        message = f"{file}: {error}"
        raise UsageError(message) from error
