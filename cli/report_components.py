"""What a report says of each component, as boxes of a page: a title, a status, facts.

They stand below links 5 and 6, so that the place where trust ends has a name. The words
are those of page format v1 and never change; reports that were made before they named
components have none of these boxes (report_parts.py).
"""

from collections.abc import Iterator

from msgspec import Struct

from cli.report_parts import Component, Share, Told

_FIRST = 5


class Box(Struct, frozen=True):
    """A component at one link: its name, what it came to, and facts by name."""

    title: str
    status: str
    facts: tuple[tuple[str, str], ...]


def boxes(report: Told, number: int) -> Iterator[Box]:
    """The components of a report, at link 5 or 6."""
    above: list[str] = []
    for one in report.components:
        name = f"{one.product} {one.version}" if one.version else one.product
        del above[one.depth - 1 :]
        for share in one.links:
            if share.number == number:
                facts = tuple(_facts(one, share, above[-1:]))
                yield Box(name, share.status, facts)
        above.append(name)


def _facts(one: Component, share: Share, above: list[str]) -> Iterator[tuple[str, str]]:
    yield from (("a part of", name) for name in above)
    if share.found:
        yield "found", share.found
    if share.by:
        yield "by", " and ".join(share.by)
    if share.evidence:
        yield "entries", ", ".join(str(cited.index) for cited in share.evidence)
    if share.number == _FIRST:
        yield "sha256", one.sha256
    if share.next:
        yield "next", share.next
