"""Measurements: registers, platforms, and the strings that name what runs.

A register is a name and one digest, `{"name": "PCR0", "digest": {"sha384": "…"}}` in
statements, `"PCR0": "sha384:…"` in code. Which registers identify what runs, a
statement says in `identity`, a list of lists of register names; each list gives one M,
`PCR0=sha384:<hex>`, several registers joined by commas. `<platform>/<M>` is the one
spelling of a measurement in API and command line (PROTOCOL.md 2.1).

>>> spell([["PCR0"]], {"PCR0": "sha384:00"})
('PCR0=sha384:00',)
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from pcrlog import limits
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError

Registers: TypeAlias = Mapping[str, str]
"""Register name to `<algorithm>:<hex>`."""

PLATFORM = r"[a-z0-9-]{1,32}"
_NAME = r"[0-9A-Za-z_]{1,32}"
_HEX = r"[0-9a-f]{2,128}"
_MEASUREMENT = re.compile(
    rf"({PLATFORM})/({_NAME}={_NAME}:{_HEX}(?:,{_NAME}={_NAME}:{_HEX})*)"
)
_SHAPE = re.compile(rf"{_NAME}=({_NAME}):({_HEX})")


class Register(Struct, frozen=True, forbid_unknown_fields=True):
    """One register as statements spell it; an identity's are its keyids."""

    name: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]{1,64}\Z")]
    digest: dict[
        Annotated[str, Meta(pattern=rf"^{_NAME}\Z")],
        Annotated[str, Meta(pattern=rf"^{_HEX}\Z")],
    ]


class Ground(Struct, frozen=True):
    """On whom the documents of a platform rest: link 8 (docs/trust-model.md)."""

    maker: str
    """Who makes the hardware and signs for it, spelt as policies name an operator."""
    called: str
    """The same for people."""
    forgers: tuple[str, ...]
    """Who could make a document of something that does not run, and with what."""
    alone: bool
    """Whether the maker runs every machine there is, whatever a policy says."""


class Platform(Struct, frozen=True):
    """What a subject on this platform looks like.

    `required` registers, `identity`, the `pattern` of register names allowed, digests
    as algorithm to hex digits, and whether releases can be made on it.
    """

    name: str
    required: tuple[str, ...]
    identity: tuple[tuple[str, ...], ...]
    pattern: str
    digests: Mapping[str, tuple[int, ...]]
    released: bool = True
    attests: bool = False
    """Whether there are attestation documents of it (pcrlog.attestation)."""
    begins: tuple[bytes, ...] = ()
    """The first bytes of its documents, which no text begins with."""
    blank: tuple[str, ...] | None = None
    """Registers that, all of them blank, mean that nothing was measured; by default
    those required."""
    dated: bool = True
    """Whether its documents name the time at which they were signed."""
    numbers: tuple[str, ...] = ()
    """What a release can say in `numbers`: each has to be in the document."""
    checks: tuple[str, ...] = ()
    """Numbered checks that its documents have besides those of all, in their order."""
    of_collateral: tuple[str, ...] = ()
    """Of these, what cannot be made without that which its maker publishes."""
    ground: Ground | None = None
    """What link 8 of such a document is; None where there are none."""


_AWS = Ground(
    "aws",
    "AWS",
    (
        "AWS, with the key of the root that all certificates descend from",
        "AWS, with the hypervisor and the cards that measure and sign",
    ),
    alone=True,
)
_INTEL = Ground(
    "intel",
    "Intel",
    (
        "Intel, with the key of the root that all certificates descend from",
        "Intel, with its processors, their microcode and the quoting enclave",
        "whoever reads the keys of one processor, by an attack at hand",
    ),
    alone=False,
)

_COSE = (b"\x84", b"\x9f", b"\xd2")
"""A CBOR array of four, one of indefinite length, tag 18."""

PLATFORMS: Mapping[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform(
            "aws-nitro",
            ("PCR0", "PCR1", "PCR2"),
            (("PCR0",),),
            # PCR4 is the machine's, never the release's.
            r"PCR(?:[0-35-9]|[12][0-9]|3[01])",
            {"sha384": (96,)},
            attests=True,
            begins=_COSE,
            ground=_AWS,
        ),
        Platform(
            "aws-nitrotpm",
            ("PCR4", "PCR12"),
            (("PCR4", "PCR12"),),
            # 0 and 1 are the firmware's, which AWS changes; 8 to 11 and 13 to 23 can be
            # extended, or reset, by what runs.
            r"PCR(?:[2-7]|12)",
            {"sha384": (96,)},
            attests=True,
            begins=_COSE,
            # PCR12 is zero where nothing was added to the image's command line.
            blank=("PCR4",),
            ground=_AWS,
        ),
        Platform(
            "intel-sgx",
            ("MRENCLAVE",),
            (("MRENCLAVE",),),
            r"MRENCLAVE|MRSIGNER",
            {"sha256": (64,)},
            attests=True,
            # A quote, and the headers that Open Enclave writes before one.
            begins=(
                b"\x03\0\x02\0",
                b"\x01\0\0\0\x02\0\0\0",
                b"\x02\0\0\0\xa3\xa2\x1e\x87",
                b"\x03\0\0\0\xa3\xa2\x1e\x87",
            ),
            dated=False,
            numbers=("ISVPRODID", "ISVSVN"),
            checks=(
                "document.qe-report",
                "document.collateral",
                "document.revocation",
                "document.qe-identity",
                "document.tcb",
            ),
            of_collateral=(
                "document.collateral",
                "document.revocation",
                "document.qe-identity",
                "document.tcb",
            ),
            ground=_INTEL,
        ),
        Platform("artifact", ("digest",), (("digest",),), r"digest", {"sha256": (64,)}),
        Platform(
            "source",
            ("commit",),
            (("commit",),),
            r"commit",
            {"gitCommit": (40, 64)},
            released=False,
        ),
    )
}


def registers_of(subject: Sequence[Register]) -> dict[str, str]:
    """The registers of a subject.

    Raises:
        MalformedError: empty, too many, not ascending, or not one digest each.
    """
    names = [register.name for register in subject]
    if not 0 < len(names) <= limits.SUBJECT_REGISTERS or names != sorted(set(names)):
        message = "subject: expected 1..32 registers, ascending by name, each once"
        raise MalformedError(message)
    return {register.name: _digest_of(register) for register in subject}


def _digest_of(register: Register) -> str:
    if len(register.digest) != 1:
        message = f"register {register.name}: expected exactly one digest"
        raise MalformedError(message)
    [(algorithm, value)] = register.digest.items()
    return f"{algorithm}:{value}"


def subject_of(registers: Registers) -> tuple[Register, ...]:
    """The subject that spells `registers`."""
    return tuple(
        Register(name, dict([registers[name].split(":", 1)]))
        for name in sorted(registers)
    )


def check_registers(
    platform: Platform,
    registers: Registers,
    required: Iterable[str] | None = None,
) -> None:
    """Check registers against the rules of their platform.

    Args:
        platform: of `PLATFORMS`.
        registers: as a statement names them.
        required: registers that must be there; by default the platform's.

    Raises:
        MalformedError: one is missing, not the platform's, or of another digest; or
            those that tell whether anything was measured are blank: debug mode, or
            nobody's hash.
    """
    for name in platform.required if required is None else required:
        if name not in registers:
            message = f"{platform.name}: register {name} is missing"
            raise MalformedError(message)
    for name, digest in registers.items():
        algorithm, _, value = digest.partition(":")
        digits = platform.digests.get(algorithm, ())
        if not re.fullmatch(platform.pattern, name) or len(value) not in digits:
            message = (
                f"{platform.name}: register {name} = {shown(digest)} is not of this"
                f" platform: names {platform.pattern}, {dict(platform.digests)} digits"
            )
            raise MalformedError(message)
    telling = platform.required if platform.blank is None else platform.blank
    blank = all(is_blank(registers.get(name, ":")) for name in telling)
    # What a rebuild of a part came to may be anything; what a machine says may not.
    if blank and (platform.attests or required is None):
        debug = ": debug mode, or nothing was measured" if platform.attests else ""
        message = f"{platform.name}: {', '.join(telling)}: all zero, or all ones{debug}"
        raise MalformedError(message)


def is_zero(digest: str) -> bool:
    """Whether `<algorithm>:<hex>` is all zeros."""
    value = digest.partition(":")[2]
    return bool(value) and not value.strip("0")


def is_blank(digest: str) -> bool:
    """Whether `<algorithm>:<hex>` is all zeros or all ones: nobody's hash."""
    value = digest.partition(":")[2]
    return bool(value) and (not value.strip("0") or not value.strip("f"))


def check_numbers(platform: Platform, numbers: Iterable[str]) -> None:
    """Check that a release says numbers of its platform alone.

    Raises:
        MalformedError: another name.
    """
    others = set(numbers).difference(platform.numbers)
    if others:
        message = (
            f"numbers: {platform.name} has {', '.join(platform.numbers) or 'none'},"
            f" found {shown(min(others))}"
        )
        raise MalformedError(message)


def spell(identity: Sequence[Sequence[str]], registers: Registers) -> tuple[str, ...]:
    """Each M that `identity` gives for `registers`; lists with a gap give none.

    Never raises: an M that is not of the shape of index keys is left out.
    """
    found = []
    for names in identity:
        parts = [f"{name}={registers[name]}" for name in names if name in registers]
        if parts and len(parts) == len(names) and all(map(_SHAPE.fullmatch, parts)):
            found.append(",".join(parts))
    return tuple(found)


def parse_measurement(text: str) -> tuple[str, str]:
    """Platform and M of `<platform>/<M>`.

    Raises:
        MalformedError: another spelling.
    """
    if match := _MEASUREMENT.fullmatch(text):
        return match[1], match[2]
    message = f"expected aws-nitro/PCR0=sha384:<hex>, found {shown(text)}"
    raise MalformedError(message)


def registers_in(measurement: str) -> dict[str, str]:
    """The registers that an M names."""
    return dict(part.split("=", 1) for part in measurement.split(","))
