"""Which files of an image are known: its sections as a whole, and the files in them.

An artifact is named by the SHA-256 of its bytes (PROTOCOL.md 2.1). It may be in an
image as a file of a ramdisk, as a whole ramdisk that a platform adds, or as the kernel.
What it is not found as: unpacked (a base image's layers), packed otherwise, or linked
into a program. So what is found is in the image, and what is not found may be too.

Whoever asks says which digests are `wanted`; nothing is held of the others. What a
ramdisk holds that cannot be read is reported, never left out in silence.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import BinaryIO

from msgspec import Struct, field

from workbench.eif import Image, Told
from workbench.eif_layout import Section
from workbench.ramdisk import Unread, read
from workbench.ramdisk_bytes import CHUNK, Budget

Wanted = Callable[[str], bool]
"""Whether a SHA-256 (hex) is of something that is looked for."""
_KINDS = ("kernel", "ramdisk")
MOST_PLACES = 16
"""Of one artifact that are told; more are counted."""
PLACES_IN_ALL = 4_096
"""Of all artifacts: names of files may be long, and their maker means us harm."""
_REMEMBERED = 65_536
"""Digests that are not asked about twice: images hold many copies of few files."""


class Place(Struct, frozen=True):
    """Where something is: a section of the image, and a file in it.

    `section` is "kernel", "ramdisk 0" and so on; `name` is None for all of it.
    """

    section: str
    name: bytes | None
    size: int


class Hit(Struct):
    """One digest that is wanted: its first places, and how many there are."""

    places: list[Place] = field(default_factory=list)
    count: int = 0


class Finding(Struct):
    """What one search came to: hits by SHA-256, and how much was looked at."""

    hits: dict[str, Hit] = field(default_factory=dict)
    files: int = 0
    sections: int = 0
    unread: list[tuple[str, Unread]] = field(default_factory=list)
    """Section, and from where on nobody knows what is in it."""
    told: int = 0
    """Places that are held."""

    def add(self, sha256: str, place: Place) -> None:
        """Something wanted is at a place."""
        hit = self.hits.setdefault(sha256, Hit())
        hit.count += 1
        if len(hit.places) < MOST_PLACES and self.told < PLACES_IN_ALL:
            hit.places.append(place)
            self.told += 1


def find(
    file: BinaryIO, image: Image, wanted: Wanted, told: Told | None = None
) -> Finding:
    """Look for known bytes in an image's kernel and ramdisks.

    Args:
        file: of the image; it can seek.
        image: as `eif.measure` found it in this file.
        wanted: is asked about each digest, and about most of them once.
        told: is told how many bytes have been looked at.
    """
    ask = lru_cache(_REMEMBERED)(wanted)
    found, budget, seen = Finding(), Budget(), 0
    for where, section in _sections(image):
        found.sections += 1
        _note(found, ask, _whole(file, section), Place(where, None, section.size))
        if section.kind == "ramdisk":
            _ramdisk(file, section, where, (found, ask, budget))
        seen += section.size
        if told is not None:
            told(seen)
    return found


def _sections(image: Image) -> Iterator[tuple[str, Section]]:
    for kind in _KINDS:
        several = image.sections(kind)
        for number, section in enumerate(several):
            yield f"{kind} {number}" if kind == "ramdisk" else kind, section


def _whole(file: BinaryIO, section: Section) -> str:
    """The SHA-256 of a section's data."""
    file.seek(section.offset)
    digest, left = hashlib.sha256(), section.size
    while left and (data := file.read(min(left, CHUNK))):
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


def _ramdisk(
    file: BinaryIO, section: Section, where: str, search: tuple[Finding, Wanted, Budget]
) -> None:
    found, wanted, budget = search
    file.seek(section.offset)
    for item in read(file, section.size, budget):
        if isinstance(item, Unread):
            found.unread.append((where, item))
        elif item.kind == "file" and item.size:  # an empty file is no artifact
            found.files += 1
            _note(found, wanted, item.sha256, Place(where, item.name, item.size))


def _note(found: Finding, wanted: Wanted, sha256: str, place: Place) -> None:
    if wanted(sha256):
        found.add(sha256, place)
