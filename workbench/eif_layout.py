"""The bytes of an Enclave Image File that are no section's data: what is where.

A header of 548 bytes, then sections, one after the other, until the end. All numbers
are big-endian (ATTEST.md section 4):

    header   0  ".eif"                     section   0  u16 type
             4  u16 version                          2  u16 flags
             6  u16 flags, bit 0: aarch64            4  u64 size of the data
             8  u64 memory, in bytes                12  the data
            16  u64 CPUs
            24  u16 reserved               types     1  kernel
            26  u16 number of sections               2  command line
            28  u64[32] where each begins            3  ramdisk
           284  u64[32] size of its data             4  signature, since version 3
           540  u32 reserved                         5  metadata, since version 4
           544  u32 CRC of everything but these four bytes

What is where stands there twice: in the tables of the header and in the heads of the
sections. AWS's reader believes the heads and never looks at the tables, so two readers
could see two images in one file; here both must say the same, and leave no byte of the
file out.

CHECKS lists everything that is demanded of an image, in the order in which it is asked;
a refusal begins with the number and name of its check.
"""

import struct
from collections.abc import Sequence
from typing import NoReturn

from msgspec import Struct

from pcrlog.errors import MalformedError

CHECKS = {
    "magic": "the file begins with .eif and has a whole header",
    "version": "version 3 or 4",
    "flags": "no flag is set but that of aarch64",
    "reserved": "what is reserved is zero",
    "count": "2 to 32 sections; the tables are zero beyond them",
    "table": "the first section follows the header, each other the one before",
    "section": "each section begins with a known type, no flags, the table's size",
    "kinds": "one kernel, one command line, ramdisks after the kernel; at most one"
    " signature; one metadata section in version 4 and none in version 3",
    "size": "small sections are small: command line, signature, metadata",
    "end": "the file ends where its last section ends",
    "crc": "the CRC in the header is that of the file",
    "cmdline": "the command line has no NUL",
    "metadata": "the metadata are JSON with the members that nitro-cli writes",
    "signature": "one entry, in the one spelling that nitro-cli writes",
    "certificate": "one X.509 certificate with a key for ES256, ES384 or ES512",
    "signed": "that key has signed this PCR0",
}
"""Name to what is demanded, in the order in which it is asked."""

HEADER = struct.Struct(">4sHHQQHH32Q32QII")
HEAD = struct.Struct(">HHQ")
"""The head of a section."""
CRC_SIZE = 4
KINDS = {1: "kernel", 2: "cmdline", 3: "ramdisk", 4: "signature", 5: "metadata"}
MAGIC = b".eif"
VERSIONS = (3, 4)
METADATA_SINCE = 4
MOST_SECTIONS = 32
AARCH64 = 1
MOST = {
    "cmdline": 65_536,  # a kernel takes 2,048 bytes
    "signature": 32_768,  # nitro-cli's own bound
    "metadata": 1_048_576,  # that of `docker inspect` is tens of thousands
}
"""Bytes of the sections that are held in memory."""


class Section(Struct, frozen=True):
    """One section: its kind, and where its data lie."""

    kind: str
    offset: int
    """Of the data, from the start of the file."""
    size: int


class Header(Struct, frozen=True):
    """A header that was checked as far as it can be alone."""

    version: int
    aarch64: bool
    memory: int
    """Bytes that an enclave gets if nobody says how many; not measured, as `cpus`."""
    cpus: int
    table: tuple[tuple[int, int], ...]
    """Where each section begins, and the size of its data."""
    crc: int


def refuse(check: str, expected: str, found: str) -> NoReturn:
    """Refuse an image.

    Raises:
        MalformedError: always.
    """
    raise MalformedError(refusal(check, expected, found))


def refusal(check: str, expected: str, found: str) -> str:
    """The words of a refusal."""
    number = 1 + list(CHECKS).index(check)
    return f"check {number}, {check}: expected {expected}, found {found}"


def read_header(data: bytes) -> Header:
    """Read the first 548 bytes of an image; checks `magic` to `table`.

    Raises:
        MalformedError: they are not of the form above.
    """
    if data[: len(MAGIC)] != MAGIC:
        refuse("magic", "an enclave image, which begins with .eif", ascii(data[:4]))
    if len(data) != HEADER.size:
        refuse("magic", f"a header of {HEADER.size} bytes", f"{len(data)} bytes in all")
    _, version, flags, memory, cpus, reserved, count, *tables, unused, crc = (
        HEADER.unpack(data)
    )
    if version not in VERSIONS:
        advice = f"version {version}: build it anew with a current nitro-cli"
        refuse("version", "version 3 or 4", advice)
    if flags not in (0, AARCH64):
        refuse("flags", "0 (x86_64) or 1 (aarch64)", f"{flags:#06x}")
    if reserved or unused:
        refuse("reserved", "zero", f"{reserved} and {unused}")
    offsets, sizes = tables[:MOST_SECTIONS], tables[MOST_SECTIONS:]
    return Header(
        version,
        flags == AARCH64,
        memory,
        cpus,
        _table(count, offsets, sizes),
        crc,
    )


def _table(
    count: int, offsets: Sequence[int], sizes: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    least = 2
    if not least <= count <= MOST_SECTIONS:
        refuse("count", f"{least} to {MOST_SECTIONS} sections", f"{count}")
    if any(offsets[count:]) or any(sizes[count:]):
        refuse("count", f"zeros in the tables after {count} sections", "other numbers")
    begin = HEADER.size
    for number, (offset, size) in enumerate(
        zip(offsets[:count], sizes[:count], strict=True)
    ):
        if offset != begin:
            where = f"section {number} at byte {begin}"
            refuse("table", f"{where}, right after what is before it", f"{offset}")
        begin += HEAD.size + size
    return tuple(zip(offsets[:count], sizes[:count], strict=True))


def read_head(header: Header, number: int, data: bytes) -> Section:
    """Read the head of a section; check `section`.

    Raises:
        MalformedError: it is cut short, or not what the header says.
    """
    offset, size = header.table[number]
    if len(data) != HEAD.size:
        refuse("end", f"section {number} at byte {offset}", "the end of the file")
    code, flags, told = HEAD.unpack(data)
    kind = KINDS.get(code)
    if kind is None:
        refuse("section", f"a type of 1 to 5 at byte {offset}", f"{code}")
    if flags:
        refuse("section", f"no flags at byte {offset}", f"{flags:#06x}")
    if told != size:
        found = f"{told} in its own head"
        if kind == "signature":
            found += (
                ". nitro-cli sign-eif leaves this behind when it signs a signed image"
                " again: sign the unsigned image instead"
            )
        refuse("section", f"{size} bytes of {kind}, by the header's table", found)
    return Section(kind, offset + HEAD.size, size)


def check_kinds(header: Header, kinds: Sequence[str]) -> None:
    """Check `kinds`: which sections there are, of those that were read so far.

    Raises:
        MalformedError: one too many, or too early.
    """
    last = kinds[-1]
    if last == "ramdisk":
        if "kernel" not in kinds:
            refuse("kinds", "ramdisks after the kernel", "one before it")
    elif kinds.count(last) > 1:
        refuse("kinds", f"one {last} section", "two")
    if last == "metadata" and header.version < METADATA_SINCE:
        refuse("kinds", f"no metadata in version {header.version}", "some")


def check_all_kinds(header: Header, kinds: Sequence[str]) -> None:
    """Check `kinds`, of an image that was read to its end.

    Raises:
        MalformedError: one is missing.
    """
    wanted = ["kernel", "cmdline"]
    if header.version >= METADATA_SINCE:
        wanted.append("metadata")
    for kind in wanted:
        if kind not in kinds:
            refuse("kinds", f"a {kind} section in version {header.version}", "none")


def check_size(section: Section) -> None:
    """Check `size`, before anything is held in memory.

    Raises:
        MalformedError: it is larger than any such section is.
    """
    most = MOST.get(section.kind)
    if most is not None and section.size > most:
        refuse("size", f"at most {most} bytes of {section.kind}", f"{section.size}")
