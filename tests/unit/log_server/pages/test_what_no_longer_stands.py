"""Pages of what was taken back, lost its key, or cannot be read at all."""

import sqlite3

import msgspec
import pytest
from flask.testing import FlaskClient

from pcrlog.entry import parse_entry
from pcrlog.predicates import Identity
from tests.support.html_page import Page
from tests.unit.log_server.parties import COMMIT, Log, Party, statement_sha256


def read(client: FlaskClient, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page.parse(answer.get_data(as_text=True))
    assert page.wrong == []
    return page


def compromise(log: Log, party: Party, since: int) -> int:
    """Declare the party's key compromised; the entry that does."""
    with log.snapshot() as snapshot:
        index, leaf = snapshot.identities(0)[-1]
    said = parse_entry(index, leaf).predicate
    assert isinstance(said, Identity)
    lost = tuple(
        msgspec.structs.replace(key, status="compromised", since=since)
        for key in said.keys
    )
    previous = statement_sha256(leaf)
    return log.accept(log.identity(party, *said.roles, keys=lost, previous=previous))


def test_a_lost_key_is_said_wherever_it_signed(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    index = log.accept(acme.release())
    compromise(log, acme, index)
    entry = read(client, f"/entry/{index}")
    assert "It speaks for nothing any more" in entry.text
    assert f"compromised since entry {index}" in entry.text
    identity = read(client, "/identity/acme.example")
    assert f"compromised since entry {index}" in identity.text
    assert "one is declared compromised" in identity.text
    assert "void: its key lost its standing" in identity.text
    product = read(client, "/product/acme.example/wallet")
    assert "spoken against" in product.text
    assert "void" in product.text


def test_an_audit_that_was_taken_back_says_so(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    log.accept(acme.release())
    fail = lab.reproduction(result="fail")
    index = log.accept(fail)
    said = statement_sha256(fail)
    lifted = log.accept(lab.revocation(reason="erroneous", statement=said))
    page = read(client, f"/entry/{index}")
    assert f"took it back as erroneous (entry {lifted})" in page.text
    assert f"entry {index}" in read(client, f"/entry/{lifted}").text


def test_a_conflict_stands_on_the_time_line(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.queue(acme.release(1), acme.release(2), conflict_accepted=True)
    log.sequence()
    page = read(client, "/product/acme.example/wallet")
    assert "name different registers for version 1.0.0" in page.text
    assert page.text.count("are in conflict") >= 2


def test_a_commit_that_nobody_reviewed_has_no_page_and_no_link(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    index = log.accept(
        acme.release(source={"uri": "https://x.example", "commit": COMMIT})
    )
    assert not any(
        "gitCommit" in link for link in read(client, f"/entry/{index}").links
    )
    path = f"/measurement/source/commit=gitCommit:{COMMIT}"
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "leaf", [b"\x00\xff<script>alert(1)</script>", b"{<b>", b"pcrlog/seal/v9\n"]
)
def test_a_leaf_that_cannot_be_read_is_shown_as_it_is(
    log: Log, acme: Party, client: FlaskClient, leaf: bytes
) -> None:
    index = log.accept(acme.release())
    with sqlite3.connect(log.config.log_db) as database:
        database.execute("update entry set leaf = ? where idx = ?", (leaf, index))
    database.close()
    page = read(client, f"/entry/{index}")
    assert "A leaf that this version cannot read" in page.text
    assert "script" not in page.tags
    assert "b" not in page.tags
