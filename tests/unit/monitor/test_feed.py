"""The feed: what RFC 4287 demands, and nothing that a log could make of it."""

import re
from xml.etree import ElementTree as ET

import msgspec

from monitor.alerts import Alert
from monitor.feed import feed
from pcrlog.encoding import format_time
from tests.unit.monitor.delivering import HOSTILE, LOG, NOW, alert

ATOM = "{http://www.w3.org/2005/Atom}"


def parsed(log: str, *alerts: Alert) -> ET.Element:
    return ET.fromstring(feed(log, alerts))  # noqa: S314 - made by ourselves


def text(element: ET.Element, name: str) -> str:
    [found] = element.findall(ATOM + name)
    assert found.text is not None
    return found.text


def test_a_feed_has_what_rfc_4287_demands() -> None:
    # Sections 4.1.1 and 4.1.2: author, id, title, updated; each of it once.
    late = msgspec.structs.replace(alert(2), time=NOW + 5)
    atom = parsed(LOG, late, alert(1))
    assert atom.tag == ATOM + "feed"
    assert text(atom, "id") == "urn:pcrlog:alerts:log.example/pcr"
    assert text(atom, "updated") == format_time(NOW + 5)
    assert LOG in text(atom, "title")
    assert atom.find(f"{ATOM}author/{ATOM}name") is not None
    first, second = atom.findall(ATOM + "entry")
    assert text(first, "id") == f"urn:pcrlog:alert:{late.id}"
    assert text(second, "updated") == format_time(NOW)
    assert text(second, "title") == alert(1).text()
    assert text(second, "content").splitlines() == list(alert(1).explained())
    terms = [one.get("term") for one in second.findall(ATOM + "category")]
    assert terms == ["revoked", "alarm"]


def test_a_feed_without_alerts_is_a_feed() -> None:
    atom = parsed(LOG)
    assert text(atom, "updated") == "1970-01-01T00:00:00Z"
    assert atom.findall(ATOM + "entry") == []


def test_an_alert_that_comes_again_is_the_same_entry() -> None:
    again = Alert.of("revoked", LOG, "wallet 1", "other words", time=9, entries=(1,))
    one, other = (
        text(parsed(LOG, it).findall(ATOM + "entry")[0], "id")
        for it in (alert(1), again)
    )
    assert one == other


def test_evidence_is_linked() -> None:
    shown = msgspec.structs.replace(alert(1), evidence='a"b/../c.json')
    [link] = parsed(LOG, shown).findall(f"{ATOM}entry/{ATOM}link")
    assert link.get("href") == "evidence/a%22b%2F..%2Fc.json"


def test_nothing_that_a_log_said_is_markup_or_unreadable() -> None:
    wild = HOSTILE + "]]>\x00\ufffe"
    made = Alert.of("revoked", "l<o>g\n", wild, wild, time=NOW)
    data = feed("l<o>g\n", [made])
    assert b"<script" not in data
    assert not re.search(rb"[^\n -~]", data)
    [entry] = parsed("l<o>g\n", made).findall(ATOM + "entry")
    assert "<script>" in text(entry, "content")
    assert len(text(entry, "content").splitlines()) == 4
