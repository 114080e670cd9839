"""A measurement, or a component: who calls it what, and what was said about it."""

from collections.abc import Iterable
from contextlib import suppress

from flask import Response
from msgspec import Struct

from log_server.pages.desk import Desk
from log_server.pages.judged import Judged, judge
from log_server.pages.reading import Reading
from log_server.pages.rows import rows_of
from log_server.pages.words import digest_in
from log_server.problems import AnswerTooLargeError, NoEntryError
from pcrlog.entry import Entry
from pcrlog.gather import ARTIFACT, COMMIT
from pcrlog.index_keys import of_measurement
from pcrlog.measurement import registers_in
from pcrlog.predicates import Identity, Release

_RELEASES, _PRODUCTS, _SAID, _SEEN = 50, 3, 100, 1000
_ENTRIES = 500
"""Read for what one provider's name for it comes to."""


class Named(Struct, frozen=True):
    """What a provider calls it: the newest release of a product, judged."""

    entry: Entry
    release: Release
    judged: Judged


def page(desk: Desk, reading: Reading, platform: str, measurement: str) -> Response:
    """The page of a measurement.

    Raises:
        NoEntryError: nothing was said about it.
    """
    key = of_measurement(platform, measurement)
    releases, older = reading.newest(key, _RELEASES)
    first = reading.first(key)
    names = _names(releases, first)
    named = [_judged(reading, *one, desk.now()) for one in names[:_PRODUCTS]]
    said = {entry.index: entry for one in named for entry in one.judged.said}
    digest = digest_in(measurement)
    found: list[Entry] = []
    complete = False
    with suppress(AnswerTooLargeError):  # what was read before is shown
        found, complete = reading.words(digest, _SAID, _SEEN)
    said |= {
        entry.index: entry
        for entry in (*releases, *found)
        if _is_about(entry, platform, measurement)
    }
    if not said:
        message = f"nothing in this log is about {platform}/{measurement}"
        raise NoEntryError(message)
    rows = [said[index] for index in sorted(said, reverse=True)][:_SAID]
    return desk.render.page(
        "measurement",
        platform=platform,
        measurement=measurement,
        digest=digest,
        registers=registers_in(measurement),
        is_component=platform == ARTIFACT,
        is_source=measurement.startswith(COMMIT),
        named=named,
        others=older is not None or len(names) > _PRODUCTS,
        said=rows_of(reading, rows),
        complete=complete and len(rows) == len(said),
        now=desk.now(),
    )


def _names(
    releases: Iterable[Entry], first: Entry | None
) -> list[tuple[Entry, Release]]:
    """The newest release of each product: whose it was first, then of each provider.

    Anybody who is enrolled may release the same measurement, as many products.
    """
    found: dict[str, tuple[Entry, Release]] = {}
    for entry in (*releases, *((first,) if first else ())):
        if isinstance(entry.predicate, Release):
            found.setdefault(entry.predicate.product, (entry, entry.predicate))
    if first is None or not isinstance(first.predicate, Release):
        return list(found.values())
    own = found.pop(first.predicate.product)
    seen = {own[1].issuer}
    each: list[tuple[Entry, Release]] = []
    more: list[tuple[Entry, Release]] = []
    for one in found.values():
        (more if one[1].issuer in seen else each).append(one)
        seen.add(one[1].issuer)
    return [own, *each, *more]


def _judged(reading: Reading, entry: Entry, release: Release, now: int) -> Named:
    return Named(entry, release, judge(reading, entry, release, now, _ENTRIES))


def _is_about(entry: Entry, platform: str, measurement: str) -> bool:
    said = entry.predicate
    return (
        not isinstance(said, Identity)
        and said.platform == platform
        and measurement in entry.statement.measurements
    )
