"""Atom feeds (RFC 4287): of a product, of an identity, of the whole log.

An entry's identifier is made of its statement's hash: a reader shows it once, whichever
feed it came by. Its time is that of the seal that covered it, not its signer's word.
"""

from collections.abc import Sequence

from flask import Response

from log_server.pages.desk import Desk
from log_server.pages.product import judge_all, releases_of
from log_server.pages.reading import Reading
from log_server.problems import NoEntryError
from pcrlog.entry import Entry
from pcrlog.index_keys import of_identity, of_issuer

LISTED = 50
_RELEASES = 5


def of_log(desk: Desk, reading: Reading) -> Response:
    """All statements, the newest."""
    found, _ = reading.statements(LISTED)
    return _feed(desk, reading, (), f"All entries of {desk.config.origin}", found)


def of_product(desk: Desk, reading: Reading, product: str) -> Response:
    """The newest releases of a product, and what was said about them.

    Raises:
        NoEntryError: there is none.
    """
    entries, _ = releases_of(reading, product, most=_RELEASES)
    versions = judge_all(reading, entries, desk.now())
    said = {one.index: one for v in versions for one in v.judged.said}
    newest = [said[index] for index in sorted(said, reverse=True)]
    return _feed(desk, reading, ("product", product), product, newest[:LISTED])


def of_name(desk: Desk, reading: Reading, name: str) -> Response:
    """What an identity said, and what was said about its keys.

    Raises:
        NoEntryError: it is not enrolled.
    """
    said, _ = reading.newest(of_issuer(name), LISTED)
    chain, _ = reading.newest(of_identity(name), LISTED)
    if not chain:
        message = f"nobody of the name {name} is enrolled"
        raise NoEntryError(message)
    found = {one.index: one for one in (*said, *chain)}
    newest = [found[index] for index in sorted(found, reverse=True)]
    return _feed(desk, reading, ("identity", name), name, newest[:LISTED])


def _feed(
    desk: Desk,
    reading: Reading,
    path: tuple[str, ...],
    title: str,
    entries: Sequence[Entry],
) -> Response:
    sealed = {one.index: reading.sealed(one.index) for one in entries}
    times = [row.time for row in sealed.values() if row is not None]
    return desk.render.feed(
        path=path,
        title=title,
        entries=entries,
        sealed=sealed,
        # Of a feed without entries nothing was ever updated: the beginning of time.
        updated=max(times, default=0),
    )
