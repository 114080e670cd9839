"""The end of the demo: the page of its log that shows what it did.

The page is asked for and read as a browser would, so that an address that is printed is
one at which there is something to see. It is there as long as somebody serves it: on a
terminal the demo stays until Ctrl-C, and elsewhere, in CI say, it ends.
"""

import re
import time
import urllib.request
from html import unescape

from demo.stage import Stage, SurpriseError

_SHOWN = (
    "wallet",
    "1.3.0",
    "1.4.4",
    "said to link",
    "spoken against",
    "lab.example rebuilt it from source",
    "lens.example reviewed the source",
    "acme.example revoked a measurement as vulnerable",
    "acme.example revoked a statement as erroneous",
    "acme.example released wallet 1.4.2",
)
"""What the story has to have left on the page."""
_MARKUP = re.compile(r"<style>.*?</style>|<[^>]*>", re.DOTALL)
_MOST = 1 << 20
_SECONDS = 10


def read(url: str) -> str:
    """The text of a page.

    Raises:
        SurpriseError: nobody answers, or with no page.
    """
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - our own
            text = answer.read(_MOST).decode()
    except (OSError, ValueError) as error:
        message = f"{url}: {error}"
        raise SurpriseError(message) from error
    return " ".join(unescape(_MARKUP.sub("", text)).split())


def check(url: str) -> None:
    """Look whether the page shows what the demo did.

    Raises:
        SurpriseError: something of it is not there.
    """
    text = read(url)
    lacking = [words for words in _SHOWN if words not in text]
    if lacking:
        message = f"{url} does not say: {'; '.join(lacking)}"
        raise SurpriseError(message)


def stay(stage: Stage) -> None:
    """Let everything run until Ctrl-C.

    Raises:
        SurpriseError: a server ended by itself.
    """
    try:
        while True:
            stage.require_all()
            time.sleep(0.2)
    except KeyboardInterrupt:
        print()
