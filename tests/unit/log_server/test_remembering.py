"""Bundles asked for again: the same bytes, until there is another checkpoint."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from log_server import bundles, read_api, remembering
from pcrlog.entry import parse_entry
from tests.unit.log_server.parties import Log, Party


@pytest.fixture
def asked(log: Log, acme: Party) -> str:
    """The query of a bundle that the log has."""
    envelope = acme.release()
    index = log.accept(envelope)
    entry = parse_entry(index, envelope)
    [measurement] = entry.statement.measurements
    product = entry.predicate.product  # type: ignore[union-attr] # a release
    return f"/api/v1/bundle?product={product}&measurement=aws-nitro/{measurement}"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One more for each bundle that is made."""
    make, found = bundles.bundle_about, list[object]()

    def count(*arguments: object) -> bytes:
        found.append(arguments)
        return make(*arguments)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(read_api, "bundle_about", count)
    return found


def test_a_bundle_is_made_once(
    asked: str, client: FlaskClient, made: list[object]
) -> None:
    first, again = client.get(asked), client.get(asked)
    assert first.status_code == again.status_code == 200
    assert first.data == again.data
    assert dict(first.headers) == dict(again.headers)
    assert len(made) == 1


def test_another_question_is_another_answer(
    asked: str, client: FlaskClient, made: list[object]
) -> None:
    plain = client.get(asked)
    zipped = client.get(asked, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert client.get(f"{asked}&auditor=lab.example").data != plain.data
    assert client.head(asked).data == b""
    assert len(made) == 4


def test_a_new_checkpoint_makes_new_answers(
    log: Log, acme: Party, asked: str, client: FlaskClient, made: list[object]
) -> None:
    before = client.get(asked).data
    log.accept(acme.release(2, "2.0.0"))
    assert client.get(asked).data != before
    assert len(made) == 2


def test_a_refusal_is_not_remembered(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    for _ in range(2):
        assert client.get("/api/v1/bundle?product=x").status_code == 400
    question = "/api/v1/lookup?product=acme.example/wallet"
    empty = client.get(question)
    assert empty.status_code == 200
    log.accept(acme.release())
    assert client.get(question).data != empty.data


def test_memory_is_bounded(
    asked: str,
    client: FlaskClient,
    made: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = len(client.get(asked).data)
    monkeypatch.setattr(remembering, "_BYTES", 3 * (one + 2048))
    for name in "abcd":
        client.get(f"{asked}&auditor={name}.example")
    before = len(made)
    client.get(f"{asked}&auditor=d.example")
    assert len(made) == before, "the newest are kept"
    client.get(asked)
    assert len(made) == before + 1, "the one asked longest ago is not"


def test_what_is_answered_again_is_counted(asked: str, app: Flask) -> None:
    client = app.test_client()
    for _ in range(3):
        client.get(asked)
    line = 'pcrlog_requests_total{method="GET",route="/api/v1/bundle",status="200"} 3.0'
    assert line in client.get("/metrics").text
