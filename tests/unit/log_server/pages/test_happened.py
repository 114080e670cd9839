"""The news of a product: of old releases, too, and never more than a bound."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient

from log_server.databases import log_database
from log_server.pages import feeds
from log_server.pages import happened as looked
from log_server.pages.happened import Happened, happened
from log_server.pages.reading import Reading
from log_server.problems import NoEntryError
from log_server.store import Store
from pcrlog.predicates import Source
from tests.unit.log_server.pages.test_judged import review
from tests.unit.log_server.parties import COMMIT, ORIGIN, SOURCE, Log, Party

ATOM = "{http://www.w3.org/2005/Atom}"
PRODUCT = "acme.example/wallet"
FEED = f"/product/{PRODUCT}/feed.atom"
OTHER = "5e" * 20
News: TypeAlias = Callable[..., tuple[list[int], Happened]]


@contextmanager
def reading(log: Log, most: int = 1000) -> Iterator[Reading]:
    store = Store(log_database(log.config))
    try:
        with store.published() as snapshot:
            yield Reading(snapshot, ORIGIN, most)
    finally:
        store.close()


@pytest.fixture
def news(log: Log) -> News:
    def news(
        most: int = 50, releases: int = 100, entries: int = 1000
    ) -> tuple[list[int], Happened]:
        with reading(log, entries) as read:
            found = happened(read, PRODUCT, most, releases)
            return [one.index for one in found.entries], found

    return news


def test_what_is_said_of_an_old_release_today_is_news(
    log: Log, acme: Party, client: FlaskClient, news: News
) -> None:
    indices = [log.accept(acme.release(n, f"{n}.0.0")) for n in range(1, 13)]
    revoked = log.accept(acme.revocation(1))
    found, about = news()
    assert found == [revoked, *reversed(indices)]
    assert (about.releases, about.older, about.whole) == (12, False, True)
    feed = ET.fromstring(client.get(FEED).data)  # noqa: S314 - our own
    first = feed.find(f"{ATOM}entry/{ATOM}title")
    assert first is not None
    assert first.text == "acme.example revoked a measurement as vulnerable"
    assert feed.findtext(f"{ATOM}subtitle") == (
        "The newest 50 statements by and about all releases."
    )


def test_so_many_and_the_newest(log: Log, acme: Party, lab: Party, news: News) -> None:
    first = log.accept(acme.release(1))
    second = log.accept(acme.release(2, "2.0.0"))
    rebuilt = log.accept(lab.reproduction(1))
    assert news(2)[0] == [rebuilt, second]
    assert news()[0] == [rebuilt, second, first]


def test_releases_beyond_the_bound_are_left_out_and_that_is_said(
    log: Log,
    acme: Party,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    news: News,
) -> None:
    log.accept(acme.release(1))
    second = log.accept(acme.release(2, "2.0.0"))
    log.accept(acme.revocation(1))
    found, about = news(releases=1)
    assert found == [second]
    assert (about.older, about.whole) == (True, True)
    monkeypatch.setattr(feeds, "happened", lambda r, p, n: happened(r, p, n, 1))
    assert "its 1 newest releases" in client.get(FEED).get_data(as_text=True)


def test_reviews_of_commits_that_releases_and_audits_name_are_in_it(
    log: Log, acme: Party, lab: Party, news: News
) -> None:
    released = log.accept(acme.release(source=SOURCE))
    rebuilt = log.accept(lab.reproduction(source=Source(SOURCE.uri, OTHER)))
    reviewed = log.accept(review(lab))
    other = log.accept(review(lab, commit=OTHER))
    assert COMMIT != OTHER
    assert news()[0] == [other, reviewed, rebuilt, released]
    # The one that is found last is the newest of all.
    assert news(2)[0] == [other, reviewed]


def test_what_others_call_the_same_bytes_is_not_in_it(
    log: Log, acme: Party, news: News
) -> None:
    released = log.accept(acme.release())
    log.accept(log.enrol("rival.example", "provider").release())
    assert news()[0] == [released]


def test_what_is_more_than_a_feed_may_read_is_said(
    log: Log,
    acme: Party,
    lab: Party,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    news: News,
) -> None:
    log.accept(acme.release())
    for minute in range(3):
        log.accept(lab.reproduction(issued=f"2026-11-25T06:0{minute}:00Z"))
    assert not news(entries=2)[1].whole
    monkeypatch.setattr(looked, "_SEEN", 2)
    assert not news()[1].whole
    assert "More was said than a feed may read" in client.get(FEED).get_data(
        as_text=True
    )


def test_of_what_nobody_released_there_is_no_news(log: Log, news: News) -> None:
    with pytest.raises(NoEntryError):
        news()
