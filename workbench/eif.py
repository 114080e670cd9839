"""Enclave Image Files: the registers that an image boots to, from its bytes alone.

Over the data of the sections in the order of the file, without their heads (ATTEST.md
section 4; `extend` is in eif_registers.py):

    PCR0   kernel, command line, every ramdisk
    PCR1   kernel, command line, the first ramdisk
    PCR2   the other ramdisks
    PCR8   the certificate of the signature section; none in an image without one

Not in any of them (UNMEASURED): the header, the metadata, the signature itself, and
where one section ends and the next begins. So two images can differ and agree in all
registers: bytes can move from the end of the command line to the start of the first
ramdisk. An image's own name is therefore the SHA-256 of its file.

`measure` reads a file once, from its start to its end, and never seeks: a pipe will do.
It holds a few chunks and the small sections in memory, whatever sizes a file claims to
have. All checks of eif_layout.CHECKS have passed, or there is no result.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from msgspec import Struct

from pcrlog.errors import UsageError
from workbench import eif_certificate, eif_metadata
from workbench.eif_certificate import Signer
from workbench.eif_hashing import CHUNK, Hashing
from workbench.eif_layout import (
    CRC_SIZE,
    HEAD,
    HEADER,
    MOST,
    MOST_SECTIONS,
    Header,
    Section,
    check_all_kinds,
    check_kinds,
    check_size,
    read_head,
    read_header,
    refuse,
)
from workbench.eif_registers import of_certificate

UNMEASURED = (
    "the header: architecture, default memory and CPUs, tables, CRC",
    "the metadata: name, version, build time, tools, whatever else it says",
    "the signature, beyond the certificate in PCR8",
    "section ends: moving bytes from one to the next may leave every register alone",
)
"""What an image holds that no register covers."""

Told = Callable[[int], None]
"""Is told how many bytes have been read."""


class Part(Struct, frozen=True):
    """A section, and the registers that its data goes into."""

    section: Section
    registers: tuple[str, ...]


class Image(Struct, frozen=True):
    """An image whose every check has passed."""

    header: Header
    parts: tuple[Part, ...]
    registers: dict[str, str]
    """"PCR0" to "sha384:<hex>"; PCR8 if it is signed."""
    sha256: str
    """Of the file."""
    size: int
    cmdline: bytes
    metadata: eif_metadata.Metadata | None
    """None before version 4."""
    signer: Signer | None

    def sections(self, kind: str) -> tuple[Section, ...]:
        """Those of this kind, in their order."""
        return tuple(p.section for p in self.parts if p.section.kind == kind)

    @property
    def digests(self) -> dict[str, str]:
        """The registers in hex alone, as builds print them."""
        return {name: value.partition(":")[2] for name, value in self.registers.items()}

    def described(self) -> dict[str, object]:
        """What nitro-cli's describe-eif prints."""
        told: dict[str, object] = {
            "EifVersion": self.header.version,
            "Measurements": measurements(self.registers),
            "IsSigned": self.signer is not None,
            "CheckCRC": True,
        }
        if self.signer is not None:
            told |= {
                "SigningCertificate": self.signer.described(),
                "SignatureCheck": True,
            }
        if self.metadata is not None:
            told |= eif_metadata.described(self.metadata)
        return told


def measurements(registers: dict[str, str]) -> dict[str, str]:
    """Registers in nitro-cli's form."""
    digests = {name: value.partition(":")[2] for name, value in registers.items()}
    # A Rust debug string: what nitro-cli prints, word for word.
    return {"HashAlgorithm": "Sha384 { ... }"} | digests


def begins(data: bytes) -> bool:
    """Whether a file with these first bytes claims to be an image."""
    return data.startswith(b".eif")


def measure(file: BinaryIO, told: Told | None = None) -> Image:
    """Measure an image, read from the file's position to its end.

    Args:
        file: anything that reads bytes.
        told: is told of progress.

    Raises:
        MalformedError: one of the checks fails; it is named.
        VerificationError: the image is signed, and its signature does not hold.
    """
    walk = _Walk(file, told)
    with Hashing(walk.whole) as hashing:
        return walk.image(hashing)


def predict(
    file: BinaryIO, added: Sequence[BinaryIO], told: Told | None = None
) -> tuple[Image, dict[str, str]]:
    """An image, and the registers that it will have once ramdisks are appended to it.

    They become the image's last ramdisks, byte for byte as they are here. There is no
    PCR8: the signature was over another PCR0, and has to be made anew.

    Raises:
        MalformedError, VerificationError: as `measure`.
        UsageError: more ramdisks than an image can have.
    """
    walk = _Walk(file, told)
    with Hashing(walk.whole) as hashing:
        image = walk.image(hashing)
        unsigned = len(image.parts) - (image.signer is not None)
        if unsigned + len(added) > MOST_SECTIONS:
            message = f"an image has at most {MOST_SECTIONS} sections"
            raise UsageError(message)
        for one in added:
            registers = hashing.begin("ramdisk")
            while data := one.read(CHUNK):
                hashing.section(data, registers)
        return image, hashing.registers()


class _Walk:
    """One pass over a file."""

    def __init__(self, file: BinaryIO, told: Told | None) -> None:
        self._file = file
        self._told = told
        self._sha256 = hashlib.sha256()
        self._crc = 0
        self._at = 0

    def whole(self, data: bytes) -> None:
        """Called in a thread of its own, with every byte of the file in order."""
        self._sha256.update(data)
        at = self._at
        self._at += len(data)
        if at == 0:  # the header comes as one, and the CRC leaves itself out
            data = data[: HEADER.size - CRC_SIZE]
        self._crc = zlib.crc32(data, self._crc)

    def image(self, hashing: Hashing) -> Image:
        """Read it all; every check, in their order."""
        header = read_header(self._read(hashing, HEADER.size))
        parts: list[Part] = []
        held: dict[str, bytes] = {}
        read = HEADER.size
        for number in range(len(header.table)):
            section = read_head(header, number, self._read(hashing, HEAD.size))
            kinds = [*(part.section.kind for part in parts), section.kind]
            check_kinds(header, kinds)
            check_size(section)
            registers = hashing.begin(section.kind)
            kept = []
            for data in self._chunks(section):
                hashing.file(data)
                hashing.section(data, registers)
                if section.kind in MOST:
                    kept.append(data)
                read += len(data)
                if self._told is not None:
                    self._told(read)
            held[section.kind] = b"".join(kept)
            parts.append(Part(section, registers))
        check_all_kinds(header, [part.section.kind for part in parts])
        if self._file.read(1):
            end = parts[-1].section.offset + parts[-1].section.size
            refuse("end", f"the end of the file at byte {end}", "more bytes")
        measured = hashing.registers()
        if self._crc != header.crc:
            refuse("crc", f"{header.crc:08x}, as the header says", f"{self._crc:08x}")
        return self._checked(header, tuple(parts), measured, held)

    def _checked(
        self,
        header: Header,
        parts: tuple[Part, ...],
        measured: dict[str, str],
        held: dict[str, bytes],
    ) -> Image:
        cmdline = held["cmdline"]
        if b"\0" in cmdline:
            at = cmdline.index(b"\0")
            refuse("cmdline", "no NUL in the command line", f"one at its byte {at}")
        metadata, signer = None, None
        if "metadata" in held:
            metadata = eif_metadata.read(held["metadata"])
        if "signature" in held:
            signature = eif_certificate.read(held["signature"])
            signer = eif_certificate.read_certificate(signature.pem)
            eif_certificate.verify(signature, signer, measured["PCR0"])
            measured = measured | {"PCR8": of_certificate(signer.der)}
        return Image(
            header,
            parts,
            measured,
            self._sha256.hexdigest(),
            self._at,
            cmdline,
            metadata,
            signer,
        )

    def _read(self, hashing: Hashing, size: int) -> bytes:
        """Up to `size` bytes; what reads less than asked at once is asked again."""
        data = b""
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        hashing.file(data)
        return data

    def _chunks(self, section: Section) -> Iterator[bytes]:
        left = section.size
        while left:
            data = self._file.read(min(left, CHUNK))
            if not data:
                found = f"the end of the file {left} bytes before"
                refuse("end", f"{section.size} bytes of {section.kind}", found)
            left -= len(data)
            yield data
