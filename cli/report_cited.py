"""What the entries that a report cites say: who, what, when, and where to read more.

The bundle has them, and the run has proven that they are in the log. The words are
those of page format v1: they never change (report_page.py).
"""

from collections.abc import Iterator

from msgspec import Struct

from cli.report_parts import Cited
from pcrlog.bundle import Bundle
from pcrlog.entry import Entry, read_entry
from pcrlog.errors import PcrlogError
from pcrlog.predicates import Audit, Release, Revocation


class Saying(Struct, frozen=True):
    """An entry in words: a `title`, and facts about it by name."""

    index: int
    title: str
    facts: tuple[tuple[str, str], ...]


class Sayings:
    """The entries of a bundle, read as they are asked for."""

    def __init__(self, bundle: bytes | None) -> None:
        self._bundle: Bundle | None = None
        self._told: set[int] = set()
        try:
            self._bundle = None if bundle is None else Bundle.parse(bundle)
        except PcrlogError:
            return  # `log.signature` says so.

    def of(self, cited: Cited) -> tuple[Saying, bool]:
        """What an entry says; and whether it was asked for before."""
        before = cited.index in self._told
        self._told.add(cited.index)
        return self._say(cited), before

    def _say(self, cited: Cited) -> Saying:
        """What an entry says, or that this cannot be told."""
        there = self._bundle.entries.get(cited.index) if self._bundle else None
        signed = ("signed by", f"key {cited.keyid}")
        try:
            if there is None:
                return Saying(cited.index, "an entry of the log", (signed,))
            entry = read_entry(cited.index, there.envelope)
        except PcrlogError:
            return Saying(cited.index, "an entry that cannot be read", (signed,))
        facts = (*_facts(entry), signed, ("statement", f"sha256 {entry.sha256}"))
        return Saying(cited.index, _title(entry), facts)


def _title(entry: Entry) -> str:
    said = entry.predicate
    if isinstance(said, Release):
        return f"{said.issuer} released {said.product} {said.version}"
    if isinstance(said, Audit):
        return f"{said.scope} by {said.issuer}: {said.result}"
    if isinstance(said, Revocation):
        return f"revocation by {said.issuer}: {said.reason}"
    return f"identity of {said.name}"


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    said = entry.predicate
    if isinstance(said, Audit):
        yield "performed", said.performed
    yield "issued", said.issued
    if isinstance(said, (Release, Audit)) and said.expires:
        yield "expires", said.expires
    if isinstance(said, (Release, Audit)) and said.source:
        yield "source", f"{said.source.uri} at commit {said.source.commit}"
    if isinstance(said, Release):
        yield from _release(said)
    if isinstance(said, Audit):
        yield from _audit(entry, said)


def _release(said: Release) -> Iterator[tuple[str, str]]:
    if said.variant:
        yield "variant", said.variant
    if said.build:
        yield "recipe", f"{said.build.recipe.uri}, sha256 {said.build.recipe.sha256}"
    for one in said.components or ():
        yield "component", f"{one.product}, sha256 {one.sha256}"
    for control in said.controls or ():
        yield "control", f"{control.kind}, sha256 {control.sha256}"


def _audit(entry: Entry, said: Audit) -> Iterator[tuple[str, str]]:
    if said.scope == "source-review":
        for commit in entry.statement.registers.values():
            yield "of", commit
    if said.open:
        found = said.open
        grave = f"{found.critical} critical, {found.high} high"
        rest = f"{found.medium} medium, {found.low} low"
        yield "open findings", f"{grave}, {rest}"
    if said.basis:
        yield "builds on the review of", f"commit {said.basis.commit}"
    if said.report:
        yield "report", f"{said.report.uri}, sha256 {said.report.sha256}"
