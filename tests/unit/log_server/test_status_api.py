"""/healthz, /metrics, /api/v1/key; and that /openapi.json is the truth."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from log_server.app import create_app
from log_server.config import Config, Member, Quorum
from log_server.openapi import document
from log_server.problems import PROBLEMS
from log_server.standing import Standing, Standings
from pcrlog.encoding import sha256
from tests.support.memory_log import witness
from tests.unit.log_server.parties import NITRO, PRODUCT, Log, Party, measurement


def health(client: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/healthz")
    return answer.status_code, answer.json or {}


@pytest.mark.usefixtures("running")
def test_a_log_with_a_sequencer_and_a_fresh_seal_is_well(client: FlaskClient) -> None:
    status, found = health(client)
    assert status == 200
    assert found["ok"] is found["sequencer"] is True
    assert (found["size"], found["waiting"], found["frozen"]) == (4, 0, False)


@pytest.mark.usefixtures("running")
def test_a_heartbeat_that_does_not_come_is_a_fault(
    log: Log, client: FlaskClient
) -> None:
    log.clock.now += 3600 + 60
    assert health(client)[0] == 200
    log.clock.now += 1
    status, found = health(client)
    assert (status, found["seal_age"]) == (503, 3661)


@pytest.mark.usefixtures("running")
def test_a_seal_from_the_future_is_a_fault(log: Log, client: FlaskClient) -> None:
    """Clients end in "could not check": a clock was ahead, and is not any more."""
    log.clock.now -= 60
    assert health(client)[0] == 200
    log.clock.now -= 1
    status, found = health(client)
    assert (status, found["seal_age"]) == (503, -61)


def test_a_log_without_a_sequencer_is_not_well(client: FlaskClient) -> None:
    status, found = health(client)
    assert (status, found["ok"], found["sequencer"]) == (503, False, False)


def test_what_waits_for_long_is_a_fault(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.queue(acme.release())
    log.clock.now += 61
    _, found = health(client)
    assert (found["waiting"], found["oldest_waiting"], found["ok"]) == (1, 61, False)


# --- witnesses -----------------------------------------------------------------------


@pytest.fixture
def told(log: Log) -> Iterator[Callable[..., FlaskClient]]:
    """A log with a witness; tells of it what a test wants, as the sequencer would."""
    key = str(witness("w1.example/a").public)
    asked = Quorum(1, (Member(key, "https://w1.example/a"),))
    settings = msgspec.structs.replace(log.config.settings, witnesses=asked)
    app = create_app(Config(log.config.directory, settings), clock=log.clock)

    def tell(since: int | None, before: int = 0, **standing: Any) -> FlaskClient:
        one = Standing("w1.example/a", "witness", **standing)
        Standings(since, before, (one,)).write(log.config.witnessing)
        return app.test_client()

    yield tell
    app.extensions["pcrlog"].close()


@pytest.mark.usefixtures("running")
def test_a_quorum_that_is_missing_is_said_and_a_fault_after_a_minute(
    log: Log, told: Callable[..., FlaskClient]
) -> None:
    now = log.clock.now
    status, found = health(told(None))
    assert (status, found["quorum_missing"]) == (200, 0)
    status, found = health(told(now - 60, problem="answered 500"))
    assert (status, found["quorum_missing"]) == (200, 60)
    [one] = found["witnesses"]
    assert one["problem"] == "answered 500"
    status, found = health(told(now - 61))
    assert (status, found["ok"], found["quorum_missing"]) == (503, False, 61)


@pytest.mark.usefixtures("running")
def test_a_witness_that_contradicts_the_log_is_a_fault_at_once(
    told: Callable[..., FlaskClient],
) -> None:
    status, found = health(told(None, alarm=True, alarms=1, problem="a fork"))
    assert (status, found["ok"]) == (503, False)


@pytest.mark.usefixtures("running")
def test_metrics_count_cosignatures_alarms_and_seconds_without_a_quorum(
    log: Log, told: Callable[..., FlaskClient]
) -> None:
    client = told(log.clock.now - 5, 100, cosignatures=7, alarms=2)
    text = client.get("/metrics").text
    labels = 'name="w1.example/a",role="witness"'
    assert "pcrlog_quorum_missing_seconds_total 105.0" in text
    assert f"pcrlog_cosignatures_total{{{labels}}} 7.0" in text
    assert f"pcrlog_witness_alarms_total{{{labels}}} 2.0" in text


@pytest.mark.usefixtures("running")
def test_a_log_that_asks_nobody_says_nothing_of_witnesses(
    log: Log, client: FlaskClient, told: Callable[..., FlaskClient]
) -> None:
    told(log.clock.now - 1000, alarm=True)
    status, found = health(client)
    assert (status, found["witnesses"], found["quorum_missing"]) == (200, [], 0)


@pytest.mark.usefixtures("running")
def test_metrics_count_requests_by_route_and_never_by_path(client: FlaskClient) -> None:
    for path in ("/api/v1/entries/0", "/api/v1/entries/1", "/api/v1/entries/99", "/x"):
        client.get(path)
    text = client.get("/metrics").text
    route = 'route="/api/v1/entries/<index>"'
    assert f'pcrlog_requests_total{{method="GET",{route},status="200"}} 2.0' in text
    assert f'pcrlog_requests_total{{method="GET",{route},status="404"}} 1.0' in text
    assert 'method="none",route="none",status="404"} 1.0' in text
    assert "pcrlog_size 4.0" in text
    assert "pcrlog_sequencer_up 1.0" in text
    assert 'pcrlog_request_seconds_count{method="GET"' in text


def test_the_key_is_the_logs_and_trusts_nothing(log: Log, client: FlaskClient) -> None:
    found = client.get("/api/v1/key").json or {}
    assert found["vkey"] == log.new.vkey
    assert found["registrar"] == log.new.root_keyid
    assert found["origin"] == log.config.origin
    assert "nothing" in found["trusted"]


def test_the_openapi_document_is_valid(client: FlaskClient) -> None:
    found = client.get("/openapi.json").json
    assert found is not None
    validate(found)
    assert found["openapi"] == "3.1.0"


def test_the_openapi_document_has_every_route_but_those_for_people(app: Flask) -> None:
    rules = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] != "pages"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    files = {("/checkpoint", "get"), ("/tile/{tile}", "get")}
    documented = {
        (path, method)
        for path, found in document()["paths"].items()
        for method in found
    }
    assert documented == rules | files


def test_the_openapi_document_names_every_problem() -> None:
    text = str(document())
    for problem in PROBLEMS:
        if problem.slug not in {"bad-request", "method"}:
            assert f"`{problem.type}`" in text, problem.slug


@pytest.mark.usefixtures("running")
def test_every_documented_answer_is_of_its_documented_kind(
    acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release()
    client.post("/api/v1/entries", data=envelope, content_type="application/json")
    fill = {
        "/tile/{tile}": "/tile/0/000.p/6",
        "/api/v1/submissions/{digest}": f"/api/v1/submissions/{sha256(envelope).hex()}",
        "/api/v1/entries/by-sha256/{digest}": f"/api/v1/entries/by-sha256/{'0' * 64}",
        "/api/v1/bundle": f"/api/v1/bundle?product={PRODUCT}"
        f"&measurement={NITRO}/{measurement(1)}",
        "/api/v1/lookup": f"/api/v1/lookup?product={PRODUCT}",
        "/api/v1/search": "/api/v1/search?q=acme",
    }
    for path, methods in document()["paths"].items():
        if "get" in methods:
            answer = client.get(fill.get(path, path.replace("{index}", "4")))
            responses = methods["get"]["responses"]
            assert str(answer.status_code) in responses, path
            kinds = responses[str(answer.status_code)]["content"]
            assert answer.mimetype in kinds, path
