"""POST /api/v1/entries with many envelopes: each answered on its line, none lost."""

import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from log_server import bodies
from pcrlog import limits
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope, assemble
from tests.unit.log_server.parties import Log, Party, statement_sha256

ENTRIES = "/api/v1/entries"
NDJSON = "application/x-ndjson"


def post(client: FlaskClient, body: bytes, query: str = "?wait=0") -> TestResponse:
    return client.post(f"{ENTRIES}{query}", data=body, content_type=NDJSON)


def lines(envelopes: Sequence[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in envelopes)


def submit(
    client: FlaskClient, envelopes: Sequence[bytes], query: str = "?wait=0"
) -> list[dict[str, Any]]:
    """Submit a batch; its answers."""
    answer = post(client, lines(envelopes), query)
    assert answer.status_code == 200, answer.data
    assert answer.content_type == NDJSON
    found = answer.data.split(b"\n")
    assert found.pop() == b""
    return [json.loads(line) for line in found]


def slug(answer: dict[str, Any]) -> str:
    assert answer["status"] >= 400
    assert answer["detail"]
    return str(answer["type"]).removeprefix("urn:pcrlog:problem:")


@pytest.mark.usefixtures("running")
def test_each_line_is_answered_with_its_index_in_order(
    acme: Party, client: FlaskClient
) -> None:
    envelopes = [acme.release(1, f"1.0.{n}") for n in range(150)]
    found = submit(client, envelopes, "?wait=30")
    assert [one["index"] for one in found] == list(range(4, 154))
    assert [one["sha256"] for one in found] == [statement_sha256(e) for e in envelopes]
    assert client.get(f"{ENTRIES}/100").data == envelopes[96]
    # And again: the same answers, and nothing new.
    assert submit(client, envelopes) == found
    assert client.get("/checkpoint").data.split(b"\n")[1] == b"155"


@pytest.mark.usefixtures("running")
def test_a_line_that_is_refused_refuses_nothing_else(
    acme: Party, client: FlaskClient
) -> None:
    good, other = acme.release(1, "1.0.0"), acme.release(2, "2.0.0")
    payload = Envelope.parse(good).payload
    forged = assemble(payload[:-1] + b" }", [(acme.key.public.keyid, bytes(64))])
    unsigned = assemble(
        Envelope.parse(acme.release(3, "3.0.0")).payload,
        [(acme.key.public.keyid, bytes(64))],
    )
    nobody = Party("nobody.example").release()
    cut = good[:-1]
    long = b" " * (limits.ENVELOPE + 1)
    batch = [good, b"", forged, unsigned, cut, nobody, long, good + b"\r", other]
    found = submit(client, batch, "?wait=30")
    assert [found[0]["index"], found[-1]["index"]] == [4, 5]
    assert [slug(one) for one in found[1:-1]] == [
        *("malformed", "malformed", "not-authorised", "malformed"),
        *("not-authorised", "too-large", "malformed"),
    ]


@pytest.mark.usefixtures("running")
def test_what_the_sequencer_refuses_is_said_on_its_line(
    acme: Party, client: FlaskClient
) -> None:
    one, rival = acme.release(1), acme.release(2)
    found = submit(client, [one, rival], "?wait=30")
    assert found[0]["index"] == 4
    assert slug(found[1]) == "conflict"
    [meant] = submit(client, [rival], "?wait=30&conflict=accept")
    assert meant["index"] > 4


def test_one_statement_twice_in_a_batch_waits_once(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release()
    first, second = submit(client, [envelope, envelope])
    assert first == second
    assert first == {
        "envelope_sha256": sha256(envelope).hex(),
        "sha256": statement_sha256(envelope),
        "state": "waiting",
    }
    with log.sequencer() as sequencer:
        assert sequencer.round() == 1
    [published] = submit(client, [envelope])
    assert published["index"] == 4


def test_a_batch_is_one_transaction(log: Log, acme: Party, client: FlaskClient) -> None:
    """All of it is promised, or nothing is there."""
    envelopes = [acme.release(1, f"1.0.{n}") for n in range(100)]
    with closing(sqlite3.connect(log.config.intake_db)) as database:
        database.execute(
            "create trigger fail before insert on intake"
            " when (select count(*) from intake) = 90"
            " begin select raise(abort, 'fail'); end"
        )
        assert post(client, lines(envelopes)).status_code == 500
        database.execute("drop trigger fail")
    for envelope in envelopes:
        url = f"/api/v1/submissions/{sha256(envelope).hex()}"
        assert client.get(url).status_code == 404
    states = {one["state"] for one in submit(client, envelopes)}
    assert states == {"waiting"}


def test_as_many_are_taken_in_as_there_is_room_for(
    acme: Party, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("log_server.config.Settings.most_waiting", 3)
    envelopes = [acme.release(1, f"1.0.{n}") for n in range(5)]
    found = submit(client, envelopes)
    assert [one.get("state") for one in found] == [*["waiting"] * 3, None, None]
    assert [(slug(one), one["retry_after"]) for one in found[3:]] == [("busy", 1)] * 2
    again = submit(client, [envelopes[4], envelopes[4]])
    assert [slug(one) for one in again] == ["busy", "busy"]


# --- a batch that is refused whole ----------------------------------------------------


def refused(answer: TestResponse, wanted: str) -> None:
    assert answer.content_type == "application/problem+json"
    assert slug(answer.json or {}) == wanted


def test_a_thousand_lines_are_read_and_one_more_is_413(client: FlaskClient) -> None:
    assert len(submit(client, [b"x"] * bodies.LINES)) == bodies.LINES
    refused(post(client, b"x\n" * bodies.LINES + b"x"), "too-large")
    refused(post(client, b"\n" * 2_000_000), "too-large")


def test_nothing_of_a_batch_that_is_too_large_is_taken_in(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    body = lines([acme.release()] * (bodies.LINES + 1))
    refused(post(client, body), "too-large")
    body = lines([acme.release()]) + b" " * bodies.BATCH
    refused(post(client, body), "too-large")
    with log.sequencer() as sequencer:
        assert sequencer.round() == 0


@pytest.mark.parametrize("extra", [0, 1, 9000])
def test_a_batch_in_chunks_is_never_cut_off(client: FlaskClient, extra: int) -> None:
    whole = bodies.BATCH - 4
    answer = client.post(
        f"{ENTRIES}?wait=0",
        input_stream=io.BytesIO(b" " * whole + b"\n{}\n" + b"x" * extra),
        content_type=NDJSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    if extra:
        refused(answer, "too-large")
    else:
        first, second = answer.data.splitlines()
        assert slug(json.loads(first)) == "too-large"
        assert slug(json.loads(second)) == "malformed"


def test_the_last_line_may_lack_its_end(acme: Party, client: FlaskClient) -> None:
    body = lines([acme.release(1), acme.release(2, "2.0.0")])
    whole = post(client, body).data
    assert whole.count(b"\n") == 2
    assert post(client, body[:-1]).data == whole


def test_no_lines_are_malformed(client: FlaskClient) -> None:
    refused(post(client, b""), "malformed")
    assert slug(submit(client, [b""])[0]) == "malformed"


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br", "x"])
def test_a_body_is_never_unpacked(client: FlaskClient, encoding: str) -> None:
    for kind in (NDJSON, "application/json"):
        answer = client.post(
            ENTRIES,
            data=b"\x1f\x8b",
            content_type=kind,
            headers={"Content-Encoding": encoding},
        )
        refused(answer, "media-type")


def test_parameters_are_those_of_one_envelope(client: FlaskClient) -> None:
    refused(post(client, b"x\n", "?wait=31"), "parameter")
    refused(post(client, b"x\n", "?conflict=no"), "parameter")


def test_statements_are_counted_by_what_was_answered(
    acme: Party, client: FlaskClient
) -> None:
    submit(client, [acme.release(), b"x", b"y"])
    text = client.get("/metrics").text
    assert 'pcrlog_statements_total{answer="waiting"} 1.0' in text
    assert 'pcrlog_statements_total{answer="malformed"} 2.0' in text
