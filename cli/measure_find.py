"""What `pcrlog measure --find` does and says: finding.py has what is looked for."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from cli import images
from cli.finding import Expected, Known, OfMirror, Said, of_products
from cli.logs import Access, reach
from cli.mirror_answers import Mirror
from cli.options import LogOptions
from cli.output import DIM, GOOD, STRONG, WARN, Row, following, say
from cli.session import Session
from pcrlog.errors import UncheckedError, UsageError
from pcrlog.measurement import Registers

if TYPE_CHECKING:
    from workbench.finding import Finding

_SHOWN = 50
"""Artifacts for people, and components that are not there; --json has all."""
_SAID, _PLACES, _NAME = 3, 3, 256
"""Entries and places of one artifact for people, and letters of a file's name."""


class Where(Struct, frozen=True):
    """A place in the image; `file` as `pcrlog diff` escapes it, null: all of it."""

    section: str
    file: str | None
    size: int


class Artifact(Struct, frozen=True):
    """An artifact that is inside: what the log says, and where it lies."""

    sha256: str
    said: tuple[Said, ...]
    places: tuple[Where, ...]
    count: int


class Unlooked(Struct, frozen=True):
    """A part of the image that nobody could look into."""

    section: str
    offset: int
    why: str


class Found(Struct, frozen=True):
    """What `--find` came to.

    `products` are those whose artifacts were looked for; empty: all of the log's. Of
    those that are `unknown` the log has no release. `absent` are components of releases
    with these registers that were not found.
    """

    image: str
    log: str
    products: tuple[str, ...]
    unknown: tuple[str, ...]
    sections: int
    files: int
    artifacts: tuple[Artifact, ...]
    absent: tuple[Expected, ...]
    unread: tuple[Unlooked, ...]
    older: int

    @property
    def whole(self) -> bool:
        """Whether all of the image was looked into, and all artifacts looked for."""
        return not self.unread and not self.older

    @property
    def exit_code(self) -> int:
        """0, or 3: something could not be looked into, or not looked for."""
        return 0 if self.whole else UncheckedError.exit_code


def find(
    session: Session, options: LogOptions, path: str, products: Sequence[str]
) -> int:
    """Look for artifacts of a log in an image; the exit status.

    Raises:
        UsageError: no log, no products; or the image comes through a pipe.
    """
    if path == "-":
        message = "--find reads the image twice: name a file, not standard input"
        raise UsageError(message)
    access = reach(session, options)
    everything = isinstance(access.source, Mirror) and not products
    asked = () if everything else tuple(products) or tuple(access.rules.products)
    if not asked and not everything:
        message = (
            "which artifacts? --product NAME/PRODUCT, a --policy that names products,"
            " or all of a log's: --mirror DIR"
        )
        raise UsageError(message)
    from workbench.finding import find as find_in

    with images.opened(path) as file:
        image = images.measured(file, path, session.output)
        known = _known(session, access, asked, image.registers)
        with session.output.progress(f"looking into {path}") as tell:
            finding = find_in(file, image, known.has, images.telling(tell, path))
    found = _found(path, access, asked, known, finding)
    told = "" if isinstance(access.source, Mirror) else ", ".join(asked)
    session.output.result(found, _rows(found, told=told))
    return found.exit_code


def _known(
    session: Session, access: Access, products: Sequence[str], registers: Registers
) -> Known:
    with session.output.progress(f"asking {access.source.url}"):
        if not products and isinstance(access.source, Mirror):
            return OfMirror(access, access.source, registers)
        return of_products(access, products, registers)


def _found(
    path: str,
    access: Access,
    products: tuple[str, ...],
    known: Known,
    finding: "Finding",
) -> Found:
    from workbench.comparing_ramdisks import shown

    artifacts = tuple(
        Artifact(
            sha256,
            tuple(known.said(sha256)),
            tuple(
                Where(
                    place.section,
                    None if place.name is None else shown(place.name),
                    place.size,
                )
                for place in hit.places
            ),
            hit.count,
        )
        for sha256, hit in finding.hits.items()
    )
    return Found(
        path,
        access.origin,
        products,
        tuple(known.unknown),
        finding.sections,
        finding.files,
        artifacts,
        _absent(known.expected, finding),
        tuple(Unlooked(name, one.offset, one.why) for name, one in finding.unread),
        known.older,
    )


def _absent(expected: Sequence[Expected], finding: "Finding") -> tuple[Expected, ...]:
    """What was expected and not found, each once, however often it was released."""
    absent: dict[tuple[str, str], Expected] = {}
    for one in expected:
        if one.sha256 not in finding.hits:
            absent.setdefault((one.product, one.sha256), one)
    return tuple(absent.values())


# --- for people -----------------------------------------------------------------------


def _rows(found: Found, *, told: str) -> Iterator[Row]:
    """All of it; `told` is what the log was told, empty if it was not asked."""
    looked = f"{found.files} files, and {found.sections} sections as a whole"
    yield say(f"{found.image}: looked at {looked}", STRONG)
    for artifact in found.artifacts[:_SHOWN]:
        yield from _artifact(artifact)
    if len(found.artifacts) > _SHOWN:
        yield say(f"  and {len(found.artifacts) - _SHOWN} more; --json has all", DIM)
    whose = ", ".join(found.products) or f"all of {found.log}"
    if not found.artifacts:
        words = f"no artifact of {whose} is in it, byte for byte"
        if not found.whole:
            words = f"no artifact of {whose} was found, but not all was looked at"
        yield Row((("  · ", DIM),), words)
    yield from _not_there(found)
    for part in found.unread:
        words = f"{part.section}, from byte {part.offset} on: {part.why}"
        yield Row((("  ? not looked into: ", WARN),), words)
    if found.older:
        words = f"{found.older} older statements of these products"
        yield Row((("  ? not looked for: ", WARN),), words)
    asked = f"the log was asked for {told}" if told else "the mirror is on this machine"
    yield say(f"Nothing about the image was sent: {asked}.", DIM)
    if found.artifacts:
        yield say("Whether these releases stand is not said here.", DIM)
        yield following("pcrlog component list INDEX")


def _not_there(found: Found) -> Iterator[Row]:
    """What was not found, and what could not be."""
    why = "unpacked, or linked" if found.whole else "unpacked, linked, or not looked at"
    for one in found.absent[:_SHOWN]:
        words = (
            f"{one.product} ({one.sha256[:12]}…), which entry {one.index} names as a"
            f" component, was not found byte for byte: it may be {why}"
        )
        yield Row((("  · ", WARN),), words)
    if len(found.absent) > _SHOWN:
        yield say(f"  and {len(found.absent) - _SHOWN} more; --json has all", DIM)
    for product in found.unknown:
        words = f"{product}: {found.log} has no release of it"
        yield Row((("  ? nothing to look for: ", WARN),), words)


def _artifact(one: Artifact) -> Iterator[Row]:
    for said in sorted(one.said, key=lambda said: said.of is not None)[:_SAID]:
        if said.of is None:
            name = f"{said.product} {said.version} (entry {said.index})"
        else:
            name = f"{said.product}, named by {said.of} (entry {said.index})"
        yield Row((("  ✓ ", GOOD),), name)
    if len(one.said) > _SAID:
        yield say(f"    and {len(one.said) - _SAID} entries more", DIM)
    yield Row((("      sha256 ", DIM),), one.sha256, DIM, whole=True)
    places = one.places[:_PLACES]
    for place in places:
        whole = "all of it" if place.file is None else place.file
        yield Row(((f"      {place.section}  ", DIM),), whole[:_NAME])
    if one.count > len(places):
        yield say(f"      and {one.count - len(places)} more", DIM)
