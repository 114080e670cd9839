"""Registers, in the forms in which builds and projects publish them.

- JSON of `nitro-cli build-enclave` and `describe-eif`: {"Measurements": {"PCR0": …}}
- flat JSON, {"PCR0": …} or {"pcr0": …}
- `.pcrs` text, `<hex> PCR0` a line
- of an artifact: {"digest": "sha256:…"} (`parse_builds` alone)

Hex in either case, with or without 0x. Anything else is refused, above all what would
say less than it seems to: a register twice, one of another length, one that is zero
(nothing was measured into it, and a release that names it binds nothing). A list of
builds is a JSON array of such objects.

>>> build = {f"PCR{n}": f"{n + 1}" * 96 for n in range(3)}
>>> import json
>>> [platform for platform, _ in parse_builds(json.dumps([build]).encode())]
['aws-nitro']
"""

import json  # msgspec would keep the last of two members of one name
import re
from collections.abc import Iterable, Mapping, Sequence

from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.measurement import PLATFORMS, check_registers, is_zero

NITRO, ARTIFACT = "aws-nitro", "artifact"
MOST = 1_048_576
"""Bytes of one file of registers."""
_NAME = re.compile(r"PCR(0|[1-9][0-9]?)", re.IGNORECASE)
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{96})")
_LINE = re.compile(r"(\S+)[ \t]+(\S+)")
_TPM = frozenset({"PCR4", "PCR7", "PCR12"})
"""What `nitro-tpm-pcr-compute` prints, in the same outer form."""
_ALGORITHM = "HashAlgorithm"
_SHA384 = re.compile(r"sha384|sha512_48", re.IGNORECASE)
"""Within a Rust debug string. Builds with sha2 0.10.9 say `Sha512_48 { .. }`: SHA-384
is SHA-512 from another start, cut to 48 bytes."""
_DIGEST = "digest"


def parse_pairs(data: bytes) -> list[tuple[str, str]]:
    """The (name, hex) of one build, as they stand there; `collect` makes registers.

    Raises:
        MalformedError: of none of the forms.
    """
    text = _text(data)
    return _pairs(_load(text)) if text.startswith("{") else _lines(text)


def collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Registers from (name, hex), each once, whole, and not zero.

    Raises:
        MalformedError: one of them is not.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        named, digits = _NAME.fullmatch(name), _HEX.fullmatch(value)
        if named is None or digits is None:
            message = (
                f"{shown(name) if named is None else name}: expected PCR0 to PCR31 and"
                f" 96 hex digits, got {shown(value)}"
            )
            raise MalformedError(message)
        register = f"PCR{named[1]}"
        if register in found:
            message = f"{register} stands twice"
            raise MalformedError(message)
        found[register] = f"sha384:{digits[1].lower()}"
        if is_zero(found[register]):
            message = (
                f"{register} is zero: nothing was measured into it, so it says nothing."
                " Leave it out; if PCR0 to PCR2 are zero, the enclave ran in debug mode"
            )
            raise MalformedError(message)
    return found


def parse_builds(data: bytes) -> list[tuple[str, dict[str, str]]]:
    """Platform and registers of each build in a file: one, or a JSON array of them.

    Raises:
        MalformedError: of none of the forms, or not registers of their platform.
    """
    text = _text(data)
    if not text.startswith("["):
        return [_build(_load(text) if text.startswith("{") else _once(_lines(text)))]
    builds = _load(text)
    # What begins with a bracket is a list, or was refused.
    return [_build(one) for one in (builds if isinstance(builds, list) else ())]


def _build(value: object) -> tuple[str, dict[str, str]]:
    if isinstance(value, Mapping) and set(value) == {_DIGEST}:
        platform, registers = ARTIFACT, {_DIGEST: str(value[_DIGEST])}
    else:
        platform, registers = NITRO, collect(_pairs(value))
    check_registers(PLATFORMS[platform], registers)
    return platform, registers


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError as error:
        message = f"not registers: {error}"
        raise MalformedError(message) from error


def _load(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        message = f"not registers: {error}"
        raise MalformedError(message) from error


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{shown(twice)} stands twice"
        raise MalformedError(message)
    return dict(pairs)


def _lines(text: str) -> list[tuple[str, str]]:
    pairs = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            message = f"expected JSON, or `<hex> PCR0` a line, got {line[:60]!r}"
            raise MalformedError(message)
        pairs.append((match[2], match[1]))
    return pairs


def _pairs(value: object) -> list[tuple[str, str]]:
    """The registers of a JSON object."""
    if not isinstance(value, Mapping):
        message = f"expected an object of registers, got {shown(str(value))}"
        raise MalformedError(message)
    inner = value.get("Measurements", value)
    if not isinstance(inner, Mapping):
        message = "Measurements: expected an object"
        raise MalformedError(message)
    algorithm = inner.get(_ALGORITHM, "sha384")
    names = {str(name).upper() for name in inner}
    if "PCR0" not in names and names & _TPM:
        message = (
            "these are a NitroTPM's registers, not an enclave image's: platform"
            " aws-nitrotpm is not supported yet"
        )
        raise MalformedError(message)
    if not isinstance(algorithm, str) or not _SHA384.search(algorithm):
        message = f"{_ALGORITHM}: expected SHA-384, got {shown(str(algorithm))}"
        raise MalformedError(message)
    return [(str(n), str(v)) for n, v in inner.items() if n != _ALGORITHM]
