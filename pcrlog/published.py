"""Registers, in the forms in which builds and projects publish them.

- JSON of `nitro-cli build-enclave` and `describe-eif`: {"Measurements": {"PCR0": …}};
  `nitro-tpm-pcr-compute` prints the same form, and other registers
- flat JSON, {"PCR0": …}, {"pcr0": …} or {"MRENCLAVE": …, "ISVSVN": 2}
- `.pcrs` text, `<hex> PCR0` a line
- of an SGX enclave, what its tools print, or its SIGSTRUCT (sgx_builds.py)
- of an artifact: {"digest": "sha256:…"} (`parse_builds` alone)

Hex in either case, with or without 0x. The registers tell of which platform a build is.
Anything else is refused, above all what would say less than it seems to: a register
twice, one of another length, one that is blank (nothing was measured into it, and a
release that names it binds nothing), a signer alone. A list of builds is a JSON array
of such objects.

>>> import json
>>> build = {f"PCR{n}": f"{n + 1}" * 96 for n in range(3)}
>>> sgx = {"MRENCLAVE": "5a" * 32, "ISVSVN": 2}
>>> found = parse_builds(json.dumps([build, sgx]).encode())
>>> [(one.platform, one.numbers) for one in found]
[('aws-nitro', {}), ('intel-sgx', {'ISVSVN': 2})]
"""

import json  # msgspec would keep the last of two members of one name
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from pcrlog.encoding import shown
from pcrlog.errors import MalformedError
from pcrlog.measurement import (
    PLATFORMS,
    check_numbers,
    check_registers,
    is_blank,
    is_zero,
)
from pcrlog.sgx_builds import (
    GRAMINE,
    MRENCLAVE,
    MRSIGNER,
    SIGSTRUCT,
    of_dump,
    of_gramine,
    of_sigstruct,
)

NITRO, NITROTPM, SGX, ARTIFACT = "aws-nitro", "aws-nitrotpm", "intel-sgx", "artifact"
MOST = 1_048_576
"""Bytes of one file of registers."""
_PCR = re.compile(r"PCR(0|[1-9][0-9]?)")
_HEX = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{32}){2,3})")
_SHA256, _SHA384 = 64, 96
"""Digits."""
NUMBERS = PLATFORMS[SGX].numbers
_COUNT = re.compile(r"0|[1-9][0-9]{0,4}")
_U16 = 65_535
_LINE = re.compile(r"(\S+)[ \t]+(\S+)")
_ENCLAVE = frozenset({"PCR0", "PCR1"})
"""No release on a NitroTPM names them: there they are the firmware's."""
_TPM = frozenset({"PCR4", "PCR7", "PCR12"})
"""What `nitro-tpm-pcr-compute` prints."""
_ALGORITHM = "HashAlgorithm"
_IS_SHA384 = re.compile(r"sha384|sha512_48", re.IGNORECASE)
"""Within a Rust debug string. Builds with sha2 0.10.9 say `Sha512_48 { .. }`: SHA-384
is SHA-512 from another start, cut to 48 bytes."""
_DIGEST = "digest"
_DEBUG = "; if PCR0 to PCR2 are zero, the enclave ran in debug mode"


class Build(Struct, frozen=True, array_like=True):
    """What a build came out as: register name to digest, and numbers by their names.

    Monitors keep it as an array, which had two members once.
    """

    platform: str
    registers: dict[str, str]
    numbers: dict[str, int] = {}


def parse_pairs(data: bytes) -> list[tuple[str, str]]:
    """The (name, value) of one build, as they stand there; `collect` makes it of them.

    Raises:
        MalformedError: of none of the forms, or a debug build.
    """
    if data.startswith(SIGSTRUCT):
        return of_sigstruct(data)
    text = _text(data)
    if text.startswith("{"):
        return _pairs(_load(text))
    found = of_dump(text)
    return _lines(text) if found is None else found


def collect(pairs: Iterable[tuple[str, str]]) -> Build:
    """A build from (name, value): each once, whole, and not blank.

    Raises:
        MalformedError: one of them is not; there is no register, or only a signer.
    """
    registers: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for given, value in pairs:
        name = given.upper() if given.isascii() else given
        if name in registers or name in numbers:
            message = f"{name} stands twice"
            raise MalformedError(message)
        if name in NUMBERS:
            numbers[name] = _number(name, value)
        else:
            registers[name] = _register(name, value)
    build = Build(_platform_of(registers), registers, numbers)
    for name, digest in registers.items():
        _check_measured(build.platform, name, digest)
    check_numbers(PLATFORMS[build.platform], numbers)
    return build


def check_build(build: Build) -> Build:
    """The same build, if its registers are all that a release on its platform needs.

    Raises:
        MalformedError: they are not, or one of them is of another platform.
    """
    registers = build.registers
    if build.platform == NITROTPM and "PCR4" in registers and "PCR12" not in registers:
        message = (
            "aws-nitrotpm: register PCR12 is missing: without it the kernel's command"
            " line may be another. nitro-tpm-pcr-compute prints it from 1.1.0 on"
        )
        raise MalformedError(message)
    check_registers(PLATFORMS[build.platform], registers)
    return build


def parse_builds(data: bytes) -> list[Build]:
    """Each build in a file: one, or a JSON array of them.

    Raises:
        MalformedError: of none of the forms, or not registers of their platform.
    """
    text = "" if data.startswith(SIGSTRUCT) else _text(data)
    if not text.startswith(("{", "[")):
        return [check_build(collect(parse_pairs(data)))]
    found = _load(text)
    return [_build(one) for one in (found if isinstance(found, list) else [found])]


def _build(value: object) -> Build:
    if isinstance(value, Mapping) and set(value) == {_DIGEST}:
        return check_build(Build(ARTIFACT, {_DIGEST: _said(value[_DIGEST])}))
    return check_build(collect(_pairs(value)))


# --- one register ---------------------------------------------------------------------


def _register(name: str, value: str) -> str:
    """`<algorithm>:<hex>` of a register."""
    found = _HEX.fullmatch(value)
    digits = found[1].lower() if found else ""
    if _PCR.fullmatch(name):
        wanted, algorithm, words = _SHA384, "sha384", "PCR0 to PCR31"
    elif name in {MRENCLAVE, MRSIGNER}:
        wanted, algorithm, words = _SHA256, "sha256", name
    else:
        message = (
            f"{shown(name)}: expected PCR0 to PCR31, MRENCLAVE or MRSIGNER, or the"
            f" number ISVPRODID or ISVSVN, got {shown(value)}"
        )
        raise MalformedError(message)
    if len(digits) != wanted:
        length = f"{words} and {wanted} hex digits"
        message = f"{name}: expected {length}, got {shown(value)}"
        raise MalformedError(message)
    return f"{algorithm}:{digits}"


def _number(name: str, value: str) -> int:
    if not _COUNT.fullmatch(value) or int(value) > _U16:
        message = f"{name}: expected a number of at most {_U16}, got {shown(value)}"
        raise MalformedError(message)
    return int(value)


def _platform_of(registers: Mapping[str, str]) -> str:
    if not registers:
        message = "no registers: expected PCR0, PCR1 and PCR2, or MRENCLAVE"
        raise MalformedError(message)
    if MRENCLAVE in registers:
        return SGX
    if MRSIGNER in registers:
        message = (
            "MRSIGNER alone says who signed, and not what: anything can be signed with"
            " that key. Name MRENCLAVE"
        )
        raise MalformedError(message)
    names = registers.keys()
    return NITROTPM if names & _TPM and not names & _ENCLAVE else NITRO


def _check_measured(platform: str, name: str, digest: str) -> None:
    """Refuse a blank register, unless zero is what it is on its platform."""
    known = PLATFORMS[platform]
    telling = known.required if known.blank is None else known.blank
    if not is_blank(digest):
        return
    if is_zero(digest) and name in known.required and name not in telling:
        return
    digits = "zero" if is_zero(digest) else "all ones"
    advice = _DEBUG if platform == NITRO else ""
    if name not in known.required or platform == NITRO:
        advice = f". Leave it out{advice}"
    message = (
        f"{name} is {digits}: nothing was measured into it, so it says nothing{advice}"
    )
    raise MalformedError(message)


# --- the forms ------------------------------------------------------------------------


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
            message = (
                "expected JSON, or `<hex> PCR0` a line, or what a tool of SGX prints,"
                f" got {line[:60]!r}"
            )
            raise MalformedError(message)
        pairs.append((match[2], match[1]))
    return pairs


def _pairs(value: object) -> list[tuple[str, str]]:
    """What a JSON object says of one build."""
    if not isinstance(value, Mapping):
        message = f"expected an object of registers, got {_said(value)}"
        raise MalformedError(message)
    inner = value.get("Measurements", value)
    if not isinstance(inner, Mapping):
        message = "Measurements: expected an object"
        raise MalformedError(message)
    told = {str(name): _said(one) for name, one in inner.items()}
    if GRAMINE in told:
        return of_gramine(told)
    algorithm = told.pop(_ALGORITHM, "sha384")
    if not _IS_SHA384.search(algorithm):
        message = f"{_ALGORITHM}: expected SHA-384, got {shown(algorithm)}"
        raise MalformedError(message)
    return [*told.items()]


def _said(value: object) -> str:
    """A text, a small number or a truth value as text; of anything else, what it is."""
    if isinstance(value, str) or (isinstance(value, int) and value <= _U16):
        return str(value)
    return type(value).__name__
