"""The first page: what this log is for, how it is, and what came last."""

from flask import Response
from msgspec import Struct

from log_server.pages.desk import Desk
from log_server.pages.plot import POINTS, growth_of
from log_server.pages.reading import Reading
from log_server.pages.rows import rows_of
from pcrlog.checkpoint import cosignatures
from pcrlog.note import UnverifiedNote

NEWEST = 10
LISTED = 50


class Cosigner(Struct, frozen=True):
    """Who is asked to cosign; `signed`: unix seconds, of the published checkpoint."""

    name: str
    role: str
    signed: int | None


def page(desk: Desk, reading: Reading) -> Response:
    """The first page."""
    published = reading.snapshot.published()
    newest, _ = reading.statements(NEWEST)
    return desk.render.page(
        "home",
        now=desk.now(),
        checkpoint=None if published is None else published[0],
        members=cosigners(desk, b"" if published is None else published[1]),
        growth=growth_of(list(reading.growth(POINTS))),
        newest=rows_of(reading, newest),
    )


def entries(desk: Desk, reading: Reading, before: int | None) -> Response:
    """All statements, newest first, a page at a time."""
    found, more = reading.statements(LISTED, before)
    return desk.render.page(
        "entries",
        now=desk.now(),
        found=rows_of(reading, found),
        more=more,
    )


def cosigners(desk: Desk, note: bytes) -> list[Cosigner]:
    """Who is asked, and who has cosigned this note: their signatures are checked."""
    settings = desk.config.settings
    signed = {}
    if note:
        keys = [member.key for member in settings.cosigners()]
        signed = cosignatures(UnverifiedNote.parse(note), keys)
    return [
        Cosigner(member.key.name, role, signed.get(member.key))
        for role, quorum in (
            ("witness", settings.witnesses),
            ("index monitor", settings.index_monitors),
        )
        if quorum is not None
        for member in quorum.members
    ]
