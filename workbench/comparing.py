"""What differs between two images, or two measurements: why a rebuild does not match.

Registers first: of two images all that they have, of anything else those that both
name. Then, of two images, what lies behind the difference, section by section. PCR3 and
PCR4 are of the machine that an enclave ran on, and are never a reason.

Two images whose registers agree can still be two images (eif.UNMEASURED). If bytes of
kernel, command line or ramdisks lie elsewhere, they are not `same`; if only what nobody
measures differs, such as the time in the metadata, they are, and it is told.
"""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from msgspec import Struct

from pcrlog.errors import UsageError
from workbench.comparing_bytes import Difference, around, first_difference, in_both
from workbench.comparing_ramdisks import Pair
from workbench.eif import Image, Told
from workbench.eif_layout import Section

BY_NATURE = {
    "PCR3": "the role of the machine that it ran on",
    "PCR4": "the machine that it ran on: differs on every one",
    "MRSIGNER": "whose key it is signed with",
}
"""Registers that say nothing about the image of an enclave."""
_TELLING = ({"PCR0"}, {"MRENCLAVE"}, {"PCR4", "PCR12"})
"""What both have to name: of an enclave, of one of SGX, of a NitroTPM."""
MOST = 10_000
"""Differences that are listed."""


class Register(Struct, frozen=True):
    """One register in both.

    `status`: `equal`, `different`, `nature` (it differs, and says nothing of the
    image), or `unknown` (only one of the two names it).
    """

    name: str
    status: str
    a: str
    b: str


class Comparison(Struct, frozen=True):
    """All that was found."""

    same: bool
    """Whether all that is measured of the images is the same, as far as is known."""
    registers: tuple[Register, ...]
    differences: tuple[Difference, ...]
    """Of two images; none of measurements alone."""
    more: int = 0
    """How many more there are than are listed."""


class Side(Struct, frozen=True):
    """An image, and its file (which can seek)."""

    file: BinaryIO
    image: Image


def compare_registers(
    a: Mapping[str, str], b: Mapping[str, str], *, whole: bool = False
) -> Comparison:
    """Compare two sets of registers, `sha384:<hex>` each (of SGX, sha256).

    Args:
        a: of one measurement.
        b: of the other.
        whole: whether a register that one does not name is zero there, as it is for
            two images (one signed, one not), rather than not known.

    Raises:
        UsageError: there is nothing to go by that both name.
    """
    both = a.keys() & b.keys()
    if not any(names <= both for names in _TELLING):
        message = (
            "nothing to compare: both have to name PCR0, or MRENCLAVE, or PCR4 and"
            " PCR12"
        )
        raise UsageError(message)
    # Without PCR0 they are a NitroTPM's, and PCR3 and PCR4 are of what it boots.
    nature = {*BY_NATURE} if "PCR0" in both else {"MRSIGNER"}
    names = sorted({*a, *b}, key=lambda name: (len(name), name))
    found = tuple(
        Register(n, status, a.get(n, ""), b.get(n, ""))
        for n in names
        for status in [_status(a.get(n), b.get(n), whole=whole, by_nature=n in nature)]
    )
    return Comparison(all(one.status != "different" for one in found), found, ())


def _status(a: str | None, b: str | None, *, whole: bool, by_nature: bool) -> str:
    if a == b:
        return "equal"
    if (a is None or b is None) and not whole:
        return "unknown"
    return "nature" if by_nature else "different"


def compare_images(a: Side, b: Side, told: Told | None = None) -> Comparison:
    """Compare two images, down to the files of their ramdisks."""
    found = compare_registers(a.image.registers, b.image.registers, whole=True)
    listed: list[Difference] = []
    measured, more = False, 0
    for one in _differences(a, b, told):
        measured = measured or bool(one.registers)
        if len(listed) < MOST:
            listed.append(one)
        else:
            more += 1
    same = found.same and not measured
    return Comparison(same, found.registers, tuple(listed), more)


def _differences(a: Side, b: Side, told: Told | None) -> Iterator[Difference]:
    yield from _sections(a.image, b.image)
    yield from _kernel(a, b, told)
    yield from _cmdline(a.image.cmdline, b.image.cmdline)
    yield from _ramdisks(a, b, told)
    yield from _header(a.image, b.image)
    yield from _metadata(a.image, b.image)
    yield from _signature(a, b)


def _sections(a: Image, b: Image) -> Iterator[Difference]:
    """In which order they come; that of what is measured is measured with it."""
    for measured in (True, False):
        ours, theirs = (_kinds(image, measured=measured) for image in (a, b))
        if ours != theirs:
            registers = ("PCR0", "PCR1", "PCR2") if measured else ()
            yield Difference("sections", registers, "value", "", ours, theirs)
            return


def _kinds(image: Image, *, measured: bool) -> str:
    # A signature that only one has is told elsewhere.
    kinds = (
        part.section.kind
        for part in image.parts
        if part.registers or (not measured and part.section.kind != "signature")
    )
    return " ".join(kinds)


def _kernel(a: Side, b: Side, told: Told | None) -> Iterator[Difference]:
    [ours], [theirs] = a.image.sections("kernel"), b.image.sections("kernel")
    at = first_difference((a.file, ours), (b.file, theirs), told)
    if at is not None:
        yield _bytes("kernel", ("PCR0", "PCR1"), at, ours, theirs)


def _cmdline(a: bytes, b: bytes) -> Iterator[Difference]:
    if a != b:
        at = in_both(a, b)
        where = f"first at byte {at}"
        registers = ("PCR0", "PCR1")
        yield Difference(
            "command line", registers, "bytes", where, around(a, at), around(b, at)
        )


def _ramdisks(a: Side, b: Side, told: Told | None) -> Iterator[Difference]:
    ours, theirs = a.image.sections("ramdisk"), b.image.sections("ramdisk")
    for number in range(max(len(ours), len(theirs))):
        place = f"ramdisk {number}"
        registers = ("PCR0", "PCR1" if number == 0 else "PCR2")
        if number >= min(len(ours), len(theirs)):
            sizes = [_size(of[number : number + 1]) for of in (ours, theirs)]
            yield Difference(place, registers, "missing", "", *sizes)
            continue
        one, other = (a.file, ours[number]), (b.file, theirs[number])
        at = first_difference(one, other, told)
        if at is not None:
            yield from Pair(place, registers, one, other).differences(at)


def _size(sections: tuple[Section, ...]) -> str:
    return "".join(f"{section.size} bytes" for section in sections)


def _header(a: Image, b: Image) -> Iterator[Difference]:
    for name in ("version", "aarch64", "memory", "cpus"):
        ours, theirs = getattr(a.header, name), getattr(b.header, name)
        if ours != theirs:
            yield Difference("header", (), "value", name, str(ours), str(theirs))


def _metadata(a: Image, b: Image) -> Iterator[Difference]:
    ours, theirs = dict(_flat(a.metadata, "")), dict(_flat(b.metadata, ""))
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            values = ours.get(name, ""), theirs.get(name, "")
            yield Difference("metadata", (), "value", name, *values)


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and value:
        for member, inner in value.items():
            yield from _flat(inner, f"{name}.{member}" if name else str(member))
    elif value is not None or name:
        yield name, ascii(value)


def _signature(a: Side, b: Side) -> Iterator[Difference]:
    ours, theirs = a.image.sections("signature"), b.image.sections("signature")
    if len(ours) != len(theirs):
        yield Difference("signature", (), "missing", "", _size(ours), _size(theirs))
    elif ours:
        at = first_difference((a.file, ours[0]), (b.file, theirs[0]))
        if at is not None:
            yield _bytes("signature", (), at, ours[0], theirs[0])


def _bytes(
    place: str, registers: tuple[str, ...], at: int, a: Section, b: Section
) -> Difference:
    sizes = f"{a.size} bytes", f"{b.size} bytes"
    return Difference(place, registers, "bytes", f"first at byte {at}", *sizes)
