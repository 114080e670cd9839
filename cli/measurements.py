"""Registers, read from the forms in which builds and projects publish them.

- JSON of `nitro-cli build-enclave` and `describe-eif`: {"Measurements": {"PCR0": …}}
- flat JSON, {"PCR0": …} or {"pcr0": …}
- `.pcrs` text, `<hex> PCR0` a line

Hex in either case, with or without 0x. Anything else is refused, above all what would
say less than it seems to: a register twice, one of another length, one that is zero
(nothing was measured into it, and a release that names it binds nothing).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from cli import files
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError, UsageError
from pcrlog.measurement import PLATFORMS, check_registers, is_zero

NITRO, ARTIFACT = "aws-nitro", "artifact"
_MOST = 1_048_576
_NAME = re.compile(r"PCR(0|[1-9][0-9]?)", re.IGNORECASE)
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{96})")
_LINE = re.compile(r"(\S+)[ \t]+(\S+)")
_NUMBER = re.compile(r"(?:PCR)?([0-9]{1,2})", re.IGNORECASE)
_TPM = frozenset({"PCR4", "PCR7", "PCR12"})
"""What `nitro-tpm-pcr-compute` prints, in the same outer form."""
_ALGORITHM = "HashAlgorithm"


class Named(Protocol):
    """The options that give registers (options.measured_options)."""

    @property
    def measurements(self) -> str | None:
        """A file in one of the forms above."""
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
    registers = collect(pairs)
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


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Registers from (name, hex), each once, whole, and not zero."""
    found: dict[str, str] = {}
    for name, value in pairs:
        named, digits = _NAME.fullmatch(name), _HEX.fullmatch(value)
        if named is None or digits is None:
            message = (
                f"{name}: expected PCR0 to PCR31 and 96 hex digits, got {shown(value)}"
            )
            raise UsageError(message)
        register = f"PCR{named[1]}"
        if register in found:
            message = f"{register} stands twice"
            raise UsageError(message)
        found[register] = f"sha384:{digits[1].lower()}"
        if is_zero(found[register]):
            message = (
                f"{register} is zero: nothing was measured into it, so it says nothing."
                " Leave it out; if PCR0 to PCR2 are zero, the enclave ran in debug mode"
            )
            raise UsageError(message)
    return found


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
    try:
        text = files.read(file, _MOST).decode("ascii").strip()
        pairs = _json(text) if text.startswith("{") else _lines(text)
    except UsageError as error:
        message = f"{file}: {error}" if not str(error).startswith(file) else str(error)
        raise UsageError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{file}: not registers: {error}"
        raise UsageError(message) from error
    return pairs


def _lines(text: str) -> list[tuple[str, str]]:
    pairs = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            message = f"expected JSON, or `<hex> PCR0` a line, got {line[:60]!r}"
            raise UsageError(message)
        pairs.append((match[2], match[1]))
    return pairs


def _json(text: str) -> list[tuple[str, str]]:
    import json  # the one place where a member that stands twice must be noticed

    value = json.loads(text, object_pairs_hook=_once)
    inner = value.get("Measurements", value)
    if not isinstance(inner, Mapping):
        message = "Measurements: expected an object"
        raise UsageError(message)
    algorithm = inner.get(_ALGORITHM, "sha384")
    names = {str(name).upper() for name in inner}
    if "PCR0" not in names and names & _TPM:
        message = (
            "these are a NitroTPM's registers, not an enclave image's: platform"
            " aws-nitrotpm is not supported yet"
        )
        raise UsageError(message)
    if not isinstance(algorithm, str) or "sha384" not in algorithm.lower():
        message = f"{_ALGORITHM}: expected SHA-384, got {algorithm!r}"
        raise UsageError(message)
    return [(str(n), str(v)) for n, v in inner.items() if n != _ALGORITHM]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{twice} stands twice"
        raise UsageError(message)
    return dict(pairs)
