"""GET below /api/v1: entries, proofs, search; and what everything has in common."""

import gzip

import pytest
from flask.testing import FlaskClient

from pcrlog.bundle import Bundle
from pcrlog.proof import Proof
from pcrlog.seal import Seal
from tests.unit.log_server.parties import (
    NITRO,
    PRODUCT,
    Log,
    Party,
    measurement,
    registers,
    statement_sha256,
)
from tests.unit.log_server.test_submit_api import slug

API = "/api/v1"


def test_an_entry_is_its_bytes_for_ever(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release()
    index = log.accept(envelope)
    answer = client.get(f"{API}/entries/{index}")
    assert answer.data == envelope
    assert answer.content_type == "application/json"
    assert "immutable" in answer.headers["Cache-Control"]


def test_a_seal_is_text(client: FlaskClient) -> None:
    answer = client.get(f"{API}/entries/1")
    assert Seal.parse(answer.data).count == 1
    assert answer.content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        ("2", "no-such-entry"),
        ("9007199254740991", "no-such-entry"),
        ("00", "parameter"),
        ("+0", "parameter"),
        ("-1", "parameter"),
        ("\u0660", "parameter"),
        ("99999999999999999999", "parameter"),
        ("0x0", "parameter"),
    ],
)
def test_an_index_has_one_spelling(
    client: FlaskClient, index: str, wanted: str
) -> None:
    assert slug(client.get(f"{API}/entries/{index}")) == wanted
    assert slug(client.get(f"{API}/entries/{index}/proof")) == wanted


def test_every_entrys_proof_holds(log: Log, acme: Party, client: FlaskClient) -> None:
    for i in range(3):
        log.accept(acme.release(1, f"1.0.{i}"))
    for index in range(10):
        leaf = client.get(f"{API}/entries/{index}").data
        answer = client.get(f"{API}/entries/{index}/proof")
        proof = Proof.parse(answer.data)
        assert proof.index == index
        assert proof.verify(leaf, log.config.vkey()).size == 10
        assert answer.content_type == "text/plain; charset=utf-8"


def test_a_statement_is_found_by_its_hash(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release()
    index = log.accept(envelope)
    digest = statement_sha256(envelope)
    found = client.get(f"{API}/entries/by-sha256/{digest}").json or {}
    assert (found["index"], found["sha256"]) == (index, digest)
    assert found["leaf"].encode() == envelope
    unknown = client.get(f"{API}/entries/by-sha256/{'0' * 64}")
    assert slug(unknown) == "no-such-entry"
    for wrong in (digest.upper(), digest[:-2], "x"):
        assert slug(client.get(f"{API}/entries/by-sha256/{wrong}")) == "parameter"


def test_what_no_checkpoint_covers_yet_cannot_be_read(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release()
    log.queue(envelope)

    def stop(name: str) -> None:
        if name == "committed":
            raise InterruptedError

    with pytest.raises(InterruptedError), log.sequencer(stop) as sequencer:
        sequencer.round()
    digest = statement_sha256(envelope)
    assert slug(client.get(f"{API}/entries/4")) == "no-such-entry"
    assert slug(client.get(f"{API}/entries/by-sha256/{digest}")) == "no-such-entry"
    lookup = client.get(f"{API}/lookup", query_string={"product": PRODUCT})
    assert Bundle.parse(lookup.data).answers[f"v1/product/{PRODUCT}"].indices == ()
    search = client.get(f"{API}/search?q=wallet").json or {}
    assert search["results"] == []


class TestSearch:
    @pytest.fixture(autouse=True)
    def _entries(self, log: Log, acme: Party) -> None:
        log.accept(acme.release(7, "1.4.2"))

    @pytest.mark.parametrize(
        "word",
        [
            "acme",
            "ACME.example",
            "wallet",
            "acme.example/wal",
            "1.4",
            registers(7)["PCR0"].removeprefix("sha384:"),
            registers(7)["PCR0"].removeprefix("sha384:")[:60],
        ],
    )
    def test_a_release_is_found_by_the_beginning_of_any_of_its_words(
        self, client: FlaskClient, word: str
    ) -> None:
        found = client.get(f"{API}/search", query_string={"q": word}).json or {}
        assert found["proven"] is False
        assert found["complete"] is True
        [newest, *_] = found["results"]
        assert newest["index"] == 4
        assert newest["product"] == PRODUCT
        assert newest["measurements"] == [f"{NITRO}/{measurement(7)}"]

    def test_a_keyid_finds_its_identity_and_what_it_signed(
        self, client: FlaskClient, acme: Party
    ) -> None:
        found = client.get(f"{API}/search?q={acme.key.public.keyid[:16]}").json or {}
        assert [one["index"] for one in found["results"]] == [4, 2]

    def test_what_nothing_begins_with_is_not_found(self, client: FlaskClient) -> None:
        found = client.get(f"{API}/search?q=nothing").json or {}
        assert (found["results"], found["complete"]) == ([], True)

    @pytest.mark.parametrize(
        "query", ["", "?q=", "?q=a%20b", f"?q={'a' * 129}", "?x=y"]
    )
    def test_the_word_is_one_word(self, client: FlaskClient, query: str) -> None:
        assert slug(client.get(f"{API}/search{query}")) == "parameter"

    def test_a_cut_list_says_so(
        self,
        log: Log,
        acme: Party,
        client: FlaskClient,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        log.accept(acme.release(7, "1.4.3"))
        monkeypatch.setattr("log_server.read_api.SEARCH_RESULTS", 1)
        found = client.get(f"{API}/search?q=wallet").json or {}
        assert found["complete"] is False
        assert [one["version"] for one in found["results"]] == ["1.4.3"]


class TestBundleParameters:
    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"product": PRODUCT},
            {"measurement": f"{NITRO}/{measurement(1)}"},
            {"product": "wallet", "measurement": f"{NITRO}/{measurement(1)}"},
            {"product": PRODUCT, "measurement": "PCR0=sha384:00"},
            {"product": PRODUCT, "measurement": f"{NITRO}/{measurement(1)}\n"},
            {
                "product": PRODUCT,
                "measurement": [
                    f"{NITRO}/{measurement(1)}",
                    "artifact/digest=sha256:00",
                ],
            },
            {
                "product": PRODUCT,
                "measurement": f"{NITRO}/{measurement(1)}",
                "auditor": "Not A Name",
            },
            {
                "product": PRODUCT,
                "measurement": f"{NITRO}/{measurement(1)}",
                "auditor": [f"lab{i}.example" for i in range(9)],
            },
            {
                "product": PRODUCT,
                "measurement": f"{NITRO}/{measurement(1)}",
                "auditors": "lab.example",
            },
        ],
        ids=str,
    )
    def test_what_is_not_of_its_form_is_refused(
        self, client: FlaskClient, query: dict[str, str | list[str]]
    ) -> None:
        answer = client.get(f"{API}/bundle", query_string=query)
        assert slug(answer) == "parameter"

    def test_a_bundle_is_compressed_for_those_who_ask(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        log.accept(acme.release())
        query = {"product": PRODUCT, "measurement": f"{NITRO}/{measurement(1)}"}
        plain = client.get(f"{API}/bundle", query_string=query)
        small = client.get(
            f"{API}/bundle", query_string=query, headers={"Accept-Encoding": "gzip"}
        )
        assert gzip.decompress(small.data) == plain.data
        assert len(small.data) < len(plain.data)


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"?product={PRODUCT}&identity=acme.example",
        "?product=wallet",
        "?identity=UPPER",
        "?measurement=PCR0",
        "?issuer=UPPER",
        "?name=acme.example",
    ],
)
def test_a_lookup_asks_exactly_one_question(client: FlaskClient, query: str) -> None:
    assert slug(client.get(f"{API}/lookup{query}")) == "parameter"


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/v1", "/api/v1/entries/", "/api/v2/entries", "/static/x", "/entry"],
)
def test_unknown_paths_are_problems(client: FlaskClient, path: str) -> None:
    assert slug(client.get(path)) == "no-such-path"


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    client: FlaskClient,
) -> None:
    answer = client.put(f"{API}/entries")
    assert slug(answer) == "method"
    assert "POST" in answer.headers["Allow"]


def test_every_answer_has_the_headers_that_browsers_need(client: FlaskClient) -> None:
    for path in ("/healthz", f"{API}/entries/0", "/nowhere", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Cache-Control" in headers


def test_a_mistake_of_ours_is_500_without_a_trace_of_it(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        secret = "a secret of the server"
        raise RuntimeError(secret)

    monkeypatch.setattr("log_server.read_api.leaf_at", fail)
    answer = client.get(f"{API}/entries/0")
    assert slug(answer) == "internal"
    assert b"secret" not in answer.data
    [number] = (answer.json or {})["detail"].split()[1:]
    assert number in caplog.text
    assert "a secret of the server" in caplog.text, "the operator sees it"
