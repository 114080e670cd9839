"""Registers, from a file of a build and from options, into one checked set.

Which forms a file may have, `pcrlog.published` says; an image itself is measured.
"""

import re
from collections.abc import Mapping
from typing import Protocol

from cli import files, images
from pcrlog.errors import MalformedError, UsageError
from pcrlog.measurement import PLATFORMS, check_registers
from pcrlog.published import ARTIFACT, MOST, NITRO, collect, parse_pairs

_NUMBER = re.compile(r"(?:PCR)?([0-9]{1,2})", re.IGNORECASE)


class Named(Protocol):
    """The options that give registers (options.measured_options)."""

    @property
    def measurements(self) -> str | None:
        """A file in one of the forms above, or an image."""
        ...

    @property
    def pcrs(self) -> tuple[str, ...]:
        """`N=HEX` each."""
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
    pairs = [] if options.measurements is None else list(_read(options.measurements))
    pairs += [_option(text) for text in options.pcrs]
    if options.artifact is not None:
        if pairs:
            message = "--artifact stands alone: a file has a digest and no registers"
            raise UsageError(message)
        return _artifact(options.artifact)
    try:
        registers = collect(pairs)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    if registers:
        _check(NITRO, registers)
    return dict(sorted(registers.items()))


def wanted(options: Named) -> dict[str, str]:
    """The same, where there have to be some."""
    registers = measured(options)
    if not registers:
        message = "which registers? --measurements build.json, or --pcr 0=HEX …"
        raise UsageError(message)
    return registers


def _artifact(text: str) -> dict[str, str]:
    digest = text.removeprefix("sha256:") if text.startswith("sha256:") else None
    if digest is None:
        digest, _ = files.digest(text)
    registers = {"digest": f"sha256:{digest}"}
    _check(ARTIFACT, registers)
    return registers


def _check(platform: str, registers: Mapping[str, str]) -> None:
    try:
        check_registers(PLATFORMS[platform], registers)
    except MalformedError as error:
        raise UsageError(str(error)) from error


def _option(text: str) -> tuple[str, str]:
    number, _, value = text.partition("=")
    match = _NUMBER.fullmatch(number)
    if match is None:
        message = f"--pcr: expected 0=HEX, got {text[:40]!r}"
        raise UsageError(message)
    return f"PCR{match[1]}", value


def _read(file: str) -> list[tuple[str, str]]:
    if images.is_image(file):
        with images.opened(file) as opened:
            return [*images.measured(opened, file).digests.items()]
    try:
        return parse_pairs(files.read(file, MOST))
    except MalformedError as error:
        message = f"{file}: {error}"
        raise UsageError(message) from error
