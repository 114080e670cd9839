"""How often somebody may submit: nobody uses up what is another's."""

from collections.abc import Iterator

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from werkzeug.test import TestResponse

from log_server import rates
from log_server.app import create_app
from log_server.config import Config
from log_server.problems import TooOftenError
from log_server.rates import Buckets, Rates, address_of
from pcrlog.envelope import Envelope, assemble
from tests.unit.log_server.parties import Clock, Log, Party

ENTRIES = "/api/v1/entries"


class TestBuckets:
    def test_a_bucket_holds_a_burst_and_gains_a_rate(self) -> None:
        clock = Clock(0)
        buckets = Buckets(2, 3, clock)
        assert [buckets.take("a", 1) for _ in range(5)] == [0, 0, 0, 1, 1]
        clock.now = 1
        assert [buckets.take("a", 1) for _ in range(3)] == [0, 0, 1]
        clock.now = 100
        assert [buckets.take("a", 1) for _ in range(4)] == [0, 0, 0, 1]

    def test_one_bucket_is_not_anothers(self) -> None:
        buckets = Buckets(1, 1, Clock(0))
        assert buckets.take("a", 1) == 0
        assert buckets.take("a", 1) == 1
        assert buckets.take("b", 1) == 0

    def test_what_is_refused_takes_nothing(self) -> None:
        clock = Clock(0)
        buckets = Buckets(1, 10, clock)
        assert buckets.take("a", 8) == 0
        assert buckets.take("a", 5) == 3
        assert buckets.take("a", 2) == 0

    def test_more_than_a_bucket_holds_waits_for_a_full_one_and_leaves_a_debt(
        self,
    ) -> None:
        clock = Clock(0)
        buckets = Buckets(10, 20, clock)
        assert buckets.take("a", 50) == 0
        assert buckets.take("a", 1) == 4
        clock.now = 4
        assert buckets.take("a", 1) == 0
        assert buckets.take("a", 50) == 2

    def test_a_rate_of_0_is_no_limit(self) -> None:
        buckets = Buckets(0, 1, Clock(0))
        assert buckets.take("a", 1_000_000) == 0
        assert buckets.take("a", 1_000_000) == 0

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rates, "_KEPT", 100)
        buckets = Buckets(1, 1, Clock(0))
        for n in range(1000):
            buckets.take(str(n), 1)
        assert len(buckets) == 100
        assert buckets.take("999", 1) == 1, "the newest are kept"


@pytest.mark.parametrize(
    ("proxies", "told", "wanted"),
    [
        (0, "8.8.8.8", "10.0.0.1"),
        (1, "8.8.8.8", "8.8.8.8"),
        (1, "1.1.1.1, 8.8.8.8", "8.8.8.8"),
        (1, "1.1.1.1,8.8.8.8", "8.8.8.8"),
        (2, "1.1.1.1, 8.8.8.8", "1.1.1.1"),
        (2, "9.9.9.9, 1.1.1.1, 8.8.8.8", "1.1.1.1"),
        (2, "8.8.8.8", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "unknown", "10.0.0.1"),
        (1, "8.8.8.8, junk", "10.0.0.1"),
        (1, "2001:db8:0:1:ffff::9", "2001:db8:0:1::/64"),
        (1, "[2001:db8::1]", "2001:db8::/64"),
        (1, "::ffff:8.8.8.8", "8.8.8.8"),
    ],
)
def test_a_client_cannot_choose_its_address(
    proxies: int, told: str, wanted: str
) -> None:
    assert address_of("10.0.0.1", told, proxies) == wanted
    assert address_of("", "", proxies) == "unknown"


def test_refusals_name_when_to_come_again(log: Log) -> None:
    settings = msgspec.structs.replace(
        log.config.settings, rate_per_identity=1, burst_per_identity=1
    )
    limits = Rates(settings, Clock(0), CollectorRegistry())
    limits.take_for_identity("acme.example")
    with pytest.raises(TooOftenError, match=r"acme\.example; again in 1 s"):
        limits.take_for_identity("acme.example")
    limits.take_for_identity("other.example")


# --- over HTTP ------------------------------------------------------------------------


@pytest.fixture
def app(log: Log) -> Iterator[Flask]:
    """A server that takes two by an identity, six from an address."""
    settings = msgspec.structs.replace(
        log.config.settings,
        rate_per_identity=1,
        burst_per_identity=2,
        rate_per_address=1,
        burst_per_address=6,
    )
    app = create_app(Config(log.config.directory, settings), clock=log.clock)
    yield app
    app.extensions["pcrlog"].close()


def post(
    client: FlaskClient, body: bytes, address: str, kind: str = "json"
) -> TestResponse:
    return client.post(
        f"{ENTRIES}?wait=0",
        data=body,
        content_type=f"application/{kind}",
        environ_overrides={"REMOTE_ADDR": address},
    )


def test_an_identity_may_not_say_too_much_in_favour(
    acme: Party, client: FlaskClient
) -> None:
    for n in range(2):
        assert (
            post(client, acme.release(1, f"1.0.{n}"), f"1.1.1.{n}").status_code == 202
        )
    answer = post(client, acme.release(1, "1.0.3"), "1.1.1.3")
    assert answer.status_code == 429
    assert (answer.json or {})["type"] == "urn:pcrlog:problem:too-often"
    assert "acme.example" in (answer.json or {})["detail"]
    assert int(answer.headers["Retry-After"]) == 1
    # What waits already costs nothing, whoever sends it.
    assert post(client, acme.release(1, "1.0.0"), "1.1.1.4").status_code == 202
    # Each in a batch is told by itself.
    both = acme.release(1, "1.0.3") + b"\n" + acme.release(1, "1.0.0") + b"\n"
    first, second = post(client, both, "1.1.1.5", "x-ndjson").data.splitlines()
    assert b'"retry_after":1' in first
    assert b'"waiting"' in second


def test_evidence_against_is_never_limited(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    for n in range(8):
        reason = ("vulnerable", "compromised")[n % 2]
        evidence = [
            acme.revocation(n, reason),
            lab.reproduction(n, "fail"),
            log.identity(Party(f"p{n}.example"), "provider"),
        ]
        for one in evidence:
            assert post(client, one, f"1.1.{n}.1").status_code == 202


def test_nobody_uses_up_what_is_anothers(acme: Party, client: FlaskClient) -> None:
    """A forged statement costs its address, not the name in it."""
    for n in range(5):
        payload = Envelope.parse(acme.release(1, f"2.0.{n}")).payload
        forged = assemble(payload, [(acme.key.public.keyid, bytes(64))])
        assert post(client, forged, "6.6.6.6").status_code == 403
    for n in range(2):
        assert post(client, acme.release(1, f"1.0.{n}"), "1.1.1.1").status_code == 202


def test_an_address_may_not_send_too_much(acme: Party, client: FlaskClient) -> None:
    for _ in range(5):
        assert post(client, b"junk", "6.6.6.6").status_code == 400
    answer = post(client, b"junk\njunk\n", "6.6.6.6", "x-ndjson")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert (answer.json or {})["type"] == "urn:pcrlog:problem:too-often"
    assert post(client, acme.release(), "1.1.1.1").status_code == 202
    for path in ("/checkpoint", "/api/v1/entries/0", "/metrics"):
        there = {"REMOTE_ADDR": "6.6.6.6"}
        assert client.get(path, environ_overrides=there).status_code == 200
    text = client.get("/metrics").text
    assert 'pcrlog_too_often_total{by="address"} 2.0' in text
    assert 'pcrlog_too_often_total{by="identity"} 0.0' in text
