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
    releases, _ = reading.newest(of_measurement(platform, measurement), _RELEASES)
    named = _named(reading, releases, desk.now())
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
        said=rows_of(reading, rows),
        complete=complete and len(rows) == len(said),
        now=desk.now(),
    )


def _named(reading: Reading, releases: Iterable[Entry], now: int) -> list[Named]:
    """The newest release of each product."""
    found: dict[str, Named] = {}
    for entry in releases:
        said = entry.predicate
        if isinstance(said, Release) and said.product not in found:
            if len(found) == _PRODUCTS:
                break
            found[said.product] = Named(
                entry, said, judge(reading, entry, said, now, _ENTRIES)
            )
    return list(found.values())


def _is_about(entry: Entry, platform: str, measurement: str) -> bool:
    said = entry.predicate
    return (
        not isinstance(said, Identity)
        and said.platform == platform
        and measurement in entry.statement.measurements
    )
