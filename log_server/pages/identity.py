"""An identity: its keys and roles, how they came about, and all that it said."""

from collections import Counter

from flask import Response

from log_server.pages.desk import Desk
from log_server.pages.keys import Keyring
from log_server.pages.reading import Reading
from log_server.pages.rows import VOID, Row, row_of
from log_server.problems import NoEntryError
from pcrlog.entry import Entry
from pcrlog.index_keys import of_identity, of_issuer
from pcrlog.predicates import REGISTRAR, Identity, Release

_SAID, _LOOKED_AT = 25, 150


def page(desk: Desk, reading: Reading, name: str, before: int | None) -> Response:
    """The page of a name.

    Raises:
        NoEntryError: it is not enrolled.
    """
    chain = list(reading.under(of_identity(name)))
    if not chain:
        message = f"nobody of the name {name} is enrolled"
        raise NoEntryError(message)
    said, more = reading.newest(of_issuer(name), _SAID, before)
    # The registrar speaks of others.
    others = [e.predicate.name for e in said if isinstance(e.predicate, Identity)]
    keyring = Keyring.read(reading, [name, *others])

    def row(entry: Entry) -> Row:
        void = keyring.authority.is_void(entry)
        return row_of(reading, entry, VOID if void else "")

    return desk.render.page(
        "identity",
        name=name,
        is_registrar=name == REGISTRAR,
        roles=sorted(keyring.authority.state(name, reading.size).roles),
        keys=keyring.of(name),
        chain=[row(entry) for entry in reversed(chain)],
        products=products_of(reading, name) if before is None else {},
        said=[row(entry) for entry in said],
        more=more,
        first=before is None,
        now=desk.now(),
    )


def products_of(reading: Reading, name: str) -> Counter[str]:
    """The products that a name has released of late, and how often."""
    found, _ = reading.newest(of_issuer(name), _LOOKED_AT)
    releases = (one.predicate for one in found)
    return Counter(one.product for one in releases if isinstance(one, Release))
