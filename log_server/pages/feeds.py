"""Atom feeds (RFC 4287): of a product, of an identity, of the whole log.

An entry's identifier is made of its statement's hash: a reader shows it once, whichever
feed it came by. Its time is that of the seal that covered it, not its signer's word.
"""

from collections.abc import Sequence

from flask import Response

from log_server.pages.desk import Desk
from log_server.pages.happened import Happened, happened
from log_server.pages.reading import Reading
from log_server.problems import NoEntryError
from pcrlog.entry import Entry
from pcrlog.index_keys import of_identity, of_issuer

LISTED = 50


def of_log(desk: Desk, reading: Reading) -> Response:
    """All statements, the newest."""
    found, _ = reading.statements(LISTED)
    title = f"All entries of {desk.config.origin}"
    about = f"The newest {LISTED} statements of the log."
    return _feed(desk, reading, (), (title, about), found)


def of_product(desk: Desk, reading: Reading, product: str) -> Response:
    """The releases of a product, and what was said about them, the newest.

    Raises:
        NoEntryError: there is none.
    """
    found = happened(reading, product, LISTED)
    words = product, _covered(found)
    return _feed(desk, reading, ("product", product), words, found.entries)


def _covered(found: Happened) -> str:
    """What a product's feed covers, in words."""
    which = f"its {found.releases} newest releases" if found.older else "all releases"
    words = f"The newest {LISTED} statements by and about {which}."
    if not found.whole:
        words += " More was said than a feed may read: some of it may be missing here."
    return words


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
    words = name, f"The newest {LISTED} statements by it, and of its keys."
    return _feed(desk, reading, ("identity", name), words, newest[:LISTED])


def _feed(
    desk: Desk,
    reading: Reading,
    path: tuple[str, ...],
    words: tuple[str, str],
    entries: Sequence[Entry],
) -> Response:
    title, about = words
    sealed = {one.index: reading.sealed(one.index) for one in entries}
    times = [row.time for row in sealed.values() if row is not None]
    return desk.render.feed(
        path=path,
        title=title,
        about=about,
        entries=entries,
        sealed=sealed,
        # Of a feed without entries nothing was ever updated: the beginning of time.
        updated=max(times, default=0),
    )
