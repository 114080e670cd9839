"""The newest alerts as an Atom feed (RFC 4287).

Identifiers are made from those of the alerts, so a reader shows each alert once,
whatever monitor of this log it came from. Texts are plain, escaped, and printable: what
a log said can be no markup in a reader.

>>> alert = Alert.of("frozen", "log.example/pcr", "seal <9>", "it is", time=0)
>>> feed("log.example/pcr", [alert]).count(b"seal &lt;9&gt;")
2
"""

from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from monitor.alerts import Alert
from pcrlog.encoding import format_time, printable

CONTENT_TYPE = "application/atom+xml; charset=utf-8"
_TITLE = 200


def feed(log: str, alerts: Sequence[Alert]) -> bytes:
    """The feed.

    Args:
        log: the origin.
        alerts: newest first.
    """
    # Of a feed without entries nothing was ever updated: the beginning of time.
    updated = max((alert.time for alert in alerts), default=0)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<id>urn:pcrlog:alerts:{quote(log)}</id>",
        f"<title>Alerts about {_text(log, _TITLE)}</title>",
        f"<updated>{format_time(updated)}</updated>",
        "<author><name>pcrlog-monitor</name></author>",
        '<link rel="self" type="application/atom+xml" href="feed.atom"/>',
        '<link rel="alternate" type="text/html" href="./"/>',
    ]
    for alert in alerts:
        lines.extend(_entry(alert))
    lines.append("</feed>\n")
    return "\n".join(lines).encode()


def _entry(alert: Alert) -> Iterator[str]:
    yield "<entry>"
    yield f"<id>urn:pcrlog:alert:{quote(alert.id)}</id>"
    yield f"<title>{_text(alert.text(), _TITLE)}</title>"
    yield f"<updated>{format_time(alert.time)}</updated>"
    yield f'<category term="{escape(alert.kind)}"/>'
    yield f'<category term="{escape(alert.severity)}"/>'
    if alert.evidence is not None:
        name = quote(alert.evidence, safe="")
        yield f'<link rel="related" type="application/json" href="evidence/{name}"/>'
    words = "\n".join(alert.explained())
    yield f'<content type="text">{escape(words)}</content>'
    yield "</entry>"


def _text(text: str, most: int) -> str:
    return escape(printable(text, most))
