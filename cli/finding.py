"""`pcrlog measure --find`: which artifacts of a log are inside an image.

Nothing about the image leaves this machine. To ask a log about each file would tell it
what an image is made of, so it is asked the other way round: for the releases of
products, by name, whose digests are then looked for here. A mirror needs no names: all
artifacts of its log are looked for, digest by digest, in the copy's own index.

What is looked for of a product: its artifacts, and the components that its releases
name. That something is found says no more than that these bytes are in the image;
whether its release stands, and who audited it, `pcrlog component list` says.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from msgspec import Struct, field

from cli.logs import Access
from cli.mirror_answers import Mirror
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import of_issuer, of_measurement, of_product
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.predicates import NAME, SEGMENT, Release

MOST = 2_048
"""Statements of one product, or one provider, that are looked at: the newest."""
_ARTIFACT = "artifact"
_NITRO = "aws-nitro"
_PRODUCTS = re.compile(rf"(?:{NAME.replace('$', '/')})/(?:{SEGMENT}|\*)")


class Said(Struct, frozen=True):
    """An entry that speaks of an artifact: its release, or a release that names it.

    `product` is the artifact's; `version` None where the entry only names it as a
    component of `of`, and None is `of` where the entry is its release.
    """

    index: int
    product: str
    version: str | None
    of: str | None


class Expected(Struct, frozen=True):
    """A component that a release of these very registers names (entry `index`)."""

    index: int
    product: str
    sha256: str


class Known(Protocol):
    """What is looked for."""

    expected: list[Expected]
    older: int
    """Statements that were not looked at, since there are too many."""
    unknown: list[str]
    """Products, or `name/*`, that the log has no release of."""

    def has(self, sha256: str) -> bool:
        """Whether this is the digest of an artifact."""
        ...

    def said(self, sha256: str) -> list[Said]:
        """What the log says of an artifact."""
        ...


class OfProducts(Struct):
    """Artifacts that releases of some products are, or name. Sends their names."""

    digests: dict[str, list[Said]] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)
    older: int = 0
    unknown: list[str] = field(default_factory=list)

    def has(self, sha256: str) -> bool:
        """See `Known`."""
        return sha256 in self.digests

    def said(self, sha256: str) -> list[Said]:
        """See `Known`."""
        return self.digests[sha256]

    def add(self, entry: Entry, release: Release, registers: Registers) -> None:
        """A release; `registers` are those of the image."""
        for said, sha256 in _artifacts(entry, release):
            self.digests.setdefault(sha256, []).append(said)
        self.expected += _expected(entry, release, registers)


class OfMirror:
    """All artifacts of a mirrored log. Sends nothing."""

    def __init__(self, access: Access, mirror: Mirror, registers: Registers) -> None:
        self._access, self._mirror = access, mirror
        self.expected: list[Expected] = []
        self.older = 0
        self.unknown: list[str] = []
        # The first answer also proves the checkpoint that all others rest on.
        [pcr0] = spell(PLATFORMS[_NITRO].identity, registers)
        for entry in self._entries(of_measurement(_NITRO, pcr0)):
            if isinstance(entry.predicate, Release):
                self.expected += _expected(entry, entry.predicate, registers)

    def has(self, sha256: str) -> bool:
        """See `Known`."""
        return bool(self._mirror.indices(_key(sha256)))

    def said(self, sha256: str) -> list[Said]:
        """See `Known`."""
        return [
            said
            for entry in self._entries(_key(sha256))
            if isinstance(entry.predicate, Release)
            for said, digest in _artifacts(entry, entry.predicate)
            if digest == sha256
        ]

    def _entries(self, key: str) -> Iterator[Entry]:
        """The newest: anybody may release what others did, as often as admitted."""
        count, entries = self._access.under(key)
        self.older += max(count - MOST, 0)
        return islice(entries, MOST)


def of_products(
    access: Access, products: Iterable[str], registers: Registers
) -> OfProducts:
    """Ask for the releases of products (`name/*`: all of a provider's).

    Raises:
        UsageError: one of them is spelled as no product is.
        UncheckedError: the log does not answer.
        VerificationError: an answer is not what the log committed to.
    """
    known = OfProducts()
    for product in dict.fromkeys(products):
        if not _PRODUCTS.fullmatch(product):
            message = f"--product: expected NAME/PRODUCT or NAME/*, found {product!r}"
            raise UsageError(message)
        provider, _, segment = product.partition("/")
        key = of_issuer(provider) if segment == "*" else of_product(product)
        count, entries = access.under(key)
        known.older += max(count - MOST, 0)
        some = False
        for entry in islice(entries, MOST):
            if isinstance(entry.predicate, Release):
                known.add(entry, entry.predicate, registers)
                some = True
        if not some:
            known.unknown.append(product)
    return known


def _key(sha256: str) -> str:
    return of_measurement(_ARTIFACT, f"digest=sha256:{sha256}")


def _artifacts(entry: Entry, release: Release) -> Iterator[tuple[Said, str]]:
    """The artifacts that a release is, or names, each with its digest."""
    if release.platform == _ARTIFACT:
        said = Said(entry.index, release.product, release.version, None)
        yield said, entry.statement.registers["digest"].partition(":")[2]
    for one in release.components or ():
        of = f"{release.product} {release.version}"
        yield Said(entry.index, one.product, None, of), one.sha256


def _expected(
    entry: Entry, release: Release, registers: Registers
) -> Iterator[Expected]:
    if release.platform == _NITRO and (
        entry.statement.registers.items() <= registers.items()
    ):
        for one in release.components or ():
            yield Expected(entry.index, one.product, one.sha256)
