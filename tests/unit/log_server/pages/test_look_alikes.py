"""Whoever is enrolled may call a measurement what they like: the pages say who does."""

import pytest
from flask.testing import FlaskClient

from log_server.pages import product
from tests.support.html_page import Page
from tests.unit.log_server.pages.test_judged import review
from tests.unit.log_server.pages.test_what_no_longer_stands import compromise
from tests.unit.log_server.parties import COMMIT, SOURCE, Log, Party, registers


def read(client: FlaskClient, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    return Page.parse(answer.get_data(as_text=True))


def measurement() -> str:
    return f"/measurement/aws-nitro/PCR0={registers(1)['PCR0']}"


def test_an_audit_is_not_named_after_a_later_release_of_somebody_else(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    log.accept(acme.release())
    log.accept(lab.reproduction(result="fail"))
    rival = log.enrol("rival.example", "provider")
    log.accept(rival.release(version="6.6.6"))
    page = read(client, "/product/acme.example/wallet")
    assert "6.6.6" not in page.text
    assert "(wallet 1.0.0)" in page.text
    # Where no product is asked about, its name stands with its provider's.
    assert "(acme.example/wallet 1.0.0)" in read(client, "/identity/lab.example").text


def test_a_measurement_is_not_crowded_by_products_of_somebody_else(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.accept(acme.release())
    log.accept(acme.revocation())
    rival = log.enrol("rival.example", "provider")
    for name in ("wallet", "b", "c", "d"):
        log.accept(rival.release(product=f"rival.example/{name}"))
    page = read(client, measurement())
    assert "acme.example calls it wallet" in page.text
    assert "A measurement of several names" in page.text
    assert "released under more names than a page shows" in page.text


def test_an_audit_whose_key_is_void_says_so_in_every_list(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(source=SOURCE))
    index = log.accept(lab.reproduction())
    log.accept(review(lab))
    commit = f"/measurement/source/commit=gitCommit:{COMMIT}"
    lists = (measurement(), commit, "/", "/entries", "/search?q=lab")
    assert not any("void" in read(client, path).text for path in lists)
    compromise(log, lab, index)
    for path in lists:
        assert "audit, void: its key lost its standing" in read(client, path).text


def test_a_time_line_keeps_what_speaks_against(
    log: Log,
    acme: Party,
    lab: Party,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(product, "_EVENTS", 2)
    log.accept(acme.release(source=SOURCE))
    log.accept(lab.reproduction(result="fail"))
    for minute in range(3):
        log.accept(lab.reproduction(issued=f"2026-11-25T06:0{minute}:00Z"))
    page = read(client, "/product/acme.example/wallet")
    assert "audit, failed" in page.text
    assert "There is more than a page lists" in page.text
