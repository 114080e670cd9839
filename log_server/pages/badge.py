"""The badge of a product: to which link the statements about its newest release reach.

It is the server's word, of all auditors in the log, and names none of them: a reader's
policy may count fewer. It never says verified, and link 1 is not in it, since no log
can know whether an enclave runs.
"""

from flask import Response
from msgspec import Struct

from log_server.pages.desk import Desk
from log_server.pages.judged import Judged, judge
from log_server.pages.product import releases_of
from log_server.pages.reading import Reading
from log_server.pages.words import segment, version_of
from log_server.problems import NoEntryError
from pcrlog.predicates import Release

SECONDS = 300
"""For which a badge may be kept."""
_WIDTH = 6.6
"""Of a character, in pixels, about; `textLength` makes it exact."""
_PAD = 10
_LONGEST = 48


class Part(Struct, frozen=True):
    """Half of a badge: its words, its place, its colour."""

    words: str
    x: float
    width: float
    fill: str

    @property
    def text_width(self) -> float:
        """Of the words."""
        return round(self.width - 2 * _PAD, 1)


def page(desk: Desk, reading: Reading, product: str) -> Response:
    """The badge, also of a product that nobody has released."""
    try:
        entries, _ = releases_of(reading, product, most=1)
    except NoEntryError:
        left, right, fill = segment(product), "not released", "#59636e"
    else:
        entry = entries[0]
        left, right, fill = segment(product), "not released", "#59636e"
        if isinstance(entry.predicate, Release):
            release = entry.predicate
            judged = judge(reading, entry, release, desk.now())
            left = f"{segment(product)} {version_of(release)}"
            right, fill = judged.state, fill_of(judged)
    first = _part(left, 0, "#2c333a")
    second = _part(right, first.width, fill)
    return desk.render.picture("badge", SECONDS, parts=(first, second), product=product)


def fill_of(judged: Judged) -> str:
    """The colour of what it comes to."""
    if judged.against:
        return "#b3261e"
    return "#1d5bb8" if judged.reach else "#59636e"


def _part(words: str, x: float, fill: str) -> Part:
    shown = words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"
    return Part(shown, x, round(len(shown) * _WIDTH + 2 * _PAD, 1), fill)
