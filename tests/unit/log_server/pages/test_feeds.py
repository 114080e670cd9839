"""Atom feeds and badges: well formed, the same again, and honest."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient
from msgspec.structs import replace

from log_server.pages.badge import fill_of
from log_server.pages.judged import Judged

ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"
FEEDS = {
    "/feed.atom": 20,
    "/product/acme.example/wallet/feed.atom": 10,
    "/identity/lab.example/feed.atom": 4,
}
BADGE = "/badge/acme.example/wallet.svg"


def entries(reader: FlaskClient, path: str) -> Iterator[ET.Element]:
    feed = ET.fromstring(reader.get(path).data)  # noqa: S314 - our own
    yield from feed.findall(f"{ATOM}entry")


@pytest.mark.parametrize("path", FEEDS)
def test_a_feed_has_what_atom_demands(reader: FlaskClient, path: str) -> None:
    answer = reader.get(path)
    assert answer.content_type == "application/atom+xml; charset=utf-8"
    feed = ET.fromstring(answer.data)  # noqa: S314 - our own
    for one in (feed, *feed.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            text = one.findtext(f"{ATOM}{name}")
            assert text, name
        assert one.findall(f"{ATOM}link")
    found = feed.findall(f"{ATOM}entry")
    assert len(found) >= FEEDS[path]
    times = [one.findtext(f"{ATOM}updated") or "" for one in found]
    assert times == sorted(times, reverse=True)
    assert feed.findtext(f"{ATOM}updated") == times[0]


@pytest.mark.parametrize("path", FEEDS)
def test_a_feed_is_sent_only_if_it_has_changed(reader: FlaskClient, path: str) -> None:
    tag = reader.get(path).headers["ETag"]
    again = reader.get(path, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.data == b""


def test_an_entry_has_one_identifier_in_all_feeds(reader: FlaskClient) -> None:
    names = [
        {one.findtext(f"{ATOM}id") for one in entries(reader, path)} for path in FEEDS
    ]
    assert names[1] <= names[0] | {None}
    assert names[2] <= names[0]


def test_feeds_of_nothing_are_not_there(reader: FlaskClient) -> None:
    assert reader.get("/product/acme.example/none/feed.atom").status_code == 404
    assert reader.get("/identity/none.example/feed.atom").status_code == 404


def test_a_badge_says_how_far_the_statements_reach(reader: FlaskClient) -> None:
    answer = reader.get(BADGE)
    assert answer.content_type == "image/svg+xml"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    badge = ET.fromstring(answer.data)  # noqa: S314 - our own
    words = [one.text for one in badge.iter(f"{SVG}text")]
    assert words == ["wallet 1.5.1", "said to link 3 of 7"]


def test_a_badge_names_no_auditor_and_claims_no_verification(
    reader: FlaskClient,
) -> None:
    text = reader.get(BADGE).get_data(as_text=True)
    assert "lab.example" not in text
    assert "verified" not in text
    assert "your own policy" in text


def test_a_product_that_nobody_released_has_a_badge_that_says_so(
    reader: FlaskClient,
) -> None:
    answer = reader.get("/badge/nobody.example/none.svg")
    assert answer.status_code == 200
    assert "not released" in answer.get_data(as_text=True)


def test_what_is_spoken_against_has_no_link() -> None:
    nothing = Judged((), 0, "", (), (), (), ())
    against = replace(nothing, reach=4, against="release 4 was revoked")
    unread = replace(nothing, unread=True)
    assert (against.state, fill_of(against)) == ("spoken against", "#b3261e")
    assert (nothing.state, fill_of(nothing)) == ("nothing stands", "#59636e")
    assert (unread.state, fill_of(unread)) == ("more than a page may read", "#59636e")
