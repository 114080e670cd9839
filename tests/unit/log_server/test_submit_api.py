"""POST /api/v1/entries: what is answered, and what that promises."""

import io
import queue
import threading
import time
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from log_server.submit_api import Entries, Head
from log_server.wake import Bell
from pcrlog import limits
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope, assemble
from pcrlog.proof import Proof
from tests.unit.log_server.parties import Log, Party, statement_sha256

if TYPE_CHECKING:
    from log_server.files import Answer

ENTRIES = "/api/v1/entries"
JSON = "application/json"


def post(client: FlaskClient, envelope: bytes, query: str = "") -> TestResponse:
    return client.post(f"{ENTRIES}{query}", data=envelope, content_type=JSON)


def slug(answer: TestResponse) -> str:
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["status"] == answer.status_code
    assert answer.json["detail"]
    assert answer.json["advice"]
    return str(answer.json["type"]).removeprefix("urn:pcrlog:problem:")


@pytest.mark.usefixtures("running")
class TestWithASequencer:
    def test_201_carries_an_index_and_a_proof_that_holds(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        answer = post(client, envelope)
        assert answer.status_code == 201
        found = answer.json or {}
        proof = Proof.parse(found["proof"].encode())
        checkpoint = proof.verify(envelope, log.config.vkey())
        assert found["index"] == proof.index == 4
        assert found["size"] == checkpoint.size == 6
        assert found["sha256"] == statement_sha256(envelope)
        assert answer.headers["Location"] == "entries/4"

    def test_what_201_promised_is_published_when_it_is_answered(
        self, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        index = (post(client, envelope).json or {})["index"]
        assert client.get(f"{ENTRIES}/{index}").data == envelope
        assert client.get("/checkpoint").data.split(b"\n")[1] == b"6"

    def test_a_known_statement_is_200_with_its_first_index(
        self, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        first = post(client, envelope)
        again = post(client, envelope)
        assert (first.status_code, again.status_code) == (201, 200)
        assert (again.json or {})["index"] == (first.json or {})["index"]

    def test_a_known_statement_in_a_wrong_envelope_is_still_known(
        self, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        first = post(client, envelope)
        payload = Envelope.parse(envelope).payload
        other = assemble(payload, [(acme.key.public.keyid, bytes(64))])
        again = post(client, other)
        assert again.status_code == 200
        assert (again.json or {})["index"] == (first.json or {})["index"]

    def test_many_at_once_each_get_their_own_index(
        self, acme: Party, app: Flask
    ) -> None:
        envelopes = [acme.release(1, f"1.0.{i}") for i in range(16)]
        found: list[tuple[int, int]] = []

        def submit(envelope: bytes) -> None:
            answer = post(app.test_client(), envelope)
            found.append((answer.status_code, (answer.json or {})["index"]))

        threads = [threading.Thread(target=submit, args=(one,)) for one in envelopes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {status for status, _ in found} == {201}
        assert len({index for _, index in found}) == 16

    def test_one_statement_at_once_from_many_stands_once(
        self, acme: Party, app: Flask, log: Log
    ) -> None:
        envelope = acme.release()
        found: list[int] = []

        def submit() -> None:
            found.append((post(app.test_client(), envelope).json or {})["index"])

        threads = [threading.Thread(target=submit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [4] * 8
        with log.snapshot() as snapshot:
            assert snapshot.size == 6

    def test_a_conflict_is_409_until_it_is_meant(
        self, acme: Party, client: FlaskClient
    ) -> None:
        post(client, acme.release(1))
        envelope = acme.release(2)
        assert slug(post(client, envelope)) == "conflict"
        assert post(client, envelope, "?conflict=accept").status_code == 201

    def test_an_identity_enrolled_a_moment_ago_may_speak(
        self, log: Log, client: FlaskClient
    ) -> None:
        other = Party("other.example")
        envelope = other.release()
        assert slug(post(client, envelope)) == "not-authorised"
        assert post(client, log.identity(other, "provider")).status_code == 201
        assert post(client, envelope).status_code == 201


class TestWithoutASequencer:
    def test_202_is_a_promise_that_can_be_followed(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        answer = post(client, envelope, "?wait=0")
        assert answer.status_code == 202
        found = answer.json or {}
        assert found["sha256"] == statement_sha256(envelope)
        assert found["envelope_sha256"] == sha256(envelope).hex()
        url = f"/api/v1/{found['status_url']}"
        assert (client.get(url).json or {})["state"] == "waiting"
        log.sequence()
        state = client.get(url).json or {}
        assert (state["state"], state["index"]) == ("published", 4)

    def test_a_refusal_by_the_sequencer_is_kept_with_its_reason(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        one, other = acme.release(1), acme.release(2)
        # Neither is in the log when it is judged here: the sequencer finds it out.
        for envelope in (one, other):
            assert post(client, envelope, "?wait=0").status_code == 202
        log.sequence()
        answer = client.get(f"/api/v1/submissions/{sha256(other).hex()}")
        state = answer.json or {}
        assert state["state"] == "refused"
        assert state["problem"]["type"] == "urn:pcrlog:problem:conflict"
        assert "release 4" in state["problem"]["detail"]

    def test_what_is_committed_and_not_published_is_sequenced(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        post(client, envelope, "?wait=0")

        def stop(name: str) -> None:
            if name == "committed":
                raise InterruptedError

        with pytest.raises(InterruptedError), log.sequencer(stop) as sequencer:
            sequencer.round()
        url = f"/api/v1/submissions/{sha256(envelope).hex()}"
        assert (client.get(url).json or {})["state"] == "sequenced"
        assert client.get(f"{ENTRIES}/4").status_code == 404
        again = post(client, envelope, "?wait=0")
        assert again.status_code == 202, "known, but not published yet"

    def test_waiting_ends_and_the_row_stays(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        begun = time.monotonic()
        assert post(client, acme.release(), "?wait=1").status_code == 202
        assert 0.3 < time.monotonic() - begun < 5
        log.sequence()
        assert client.get(f"{ENTRIES}/4").status_code == 200

    def test_an_envelope_that_waits_is_not_queued_twice(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        for _ in range(3):
            assert post(client, envelope, "?wait=0").status_code == 202
        with log.sequencer() as sequencer:
            assert sequencer.round() == 1

    def test_an_unknown_submission_is_404(self, client: FlaskClient) -> None:
        answer = client.get(f"/api/v1/submissions/{'0' * 64}")
        assert slug(answer) == "no-such-submission"
        assert slug(client.get("/api/v1/submissions/xyz")) == "parameter"

    def test_too_many_that_wait_are_refused_with_429(
        self, acme: Party, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("log_server.config.Settings.most_waiting", 2)
        for i in range(2):
            envelope = acme.release(1, f"1.0.{i}")
            assert post(client, envelope, "?wait=0").status_code == 202
        answer = post(client, acme.release(1, "1.0.2"), "?wait=0")
        assert slug(answer) == "busy"
        assert answer.headers["Retry-After"] == "1"
        again = post(client, acme.release(1, "1.0.0"), "?wait=0")
        assert again.status_code == 202, "what waits already costs nothing more"

    def test_however_many_wait_others_are_answered(
        self, log: Log, acme: Party, app: Flask
    ) -> None:
        entries: Entries = app.extensions["pcrlog"].entries
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        number = 4 * log.config.settings.threads
        bell = Bell(log.config.wake)  # somebody seems to sequence
        head = Head("application/json", "", "wait=2", "10.0.0.1", "")
        begun = time.monotonic()
        for n in range(number):
            entries.submit(head, acme.release(1, f"1.0.{n}"), answers.put)
        client = app.test_client()
        assert post(client, acme.release(2, "2.0.0"), "?wait=0").status_code == 202
        assert client.get("/checkpoint").status_code == 200
        assert time.monotonic() - begun < 2
        found = [answers.get(timeout=30) for _ in range(number)]
        assert {status for status, _, _ in found} == {202}
        assert time.monotonic() - begun >= 2
        bell.close()

    def test_a_frozen_log_answers_410(
        self, log: Log, acme: Party, client: FlaskClient
    ) -> None:
        envelope = acme.release()
        log.accept(envelope)
        log.sequence(freeze=True)
        assert slug(post(client, acme.release(2, "2.0.0"))) == "frozen"
        assert post(client, envelope).status_code == 200


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?wait=31", "parameter"),
        ("?wait=-1", "parameter"),
        ("?wait=+1", "parameter"),
        ("?wait=01", "parameter"),
        ("?wait=1.5", "parameter"),
        ("?wait=nan", "parameter"),
        ("?wait=\u0661", "parameter"),
        ("?wait=", "parameter"),
        ("?wait=1&wait=2", "parameter"),
        ("?conflict=yes", "parameter"),
        ("?conflict=", "parameter"),
        ("?conflicting=accept", "parameter"),
    ],
)
def test_parameters_have_one_spelling(
    acme: Party, client: FlaskClient, query: str, wanted: str
) -> None:
    assert slug(post(client, acme.release(), query)) == wanted


def test_a_body_that_is_not_declared_json_is_415(
    acme: Party, client: FlaskClient
) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post(ENTRIES, data=acme.release(), content_type=kind)
        assert slug(answer) == "media-type"


def test_the_largest_body_is_read_and_one_byte_more_is_413(client: FlaskClient) -> None:
    assert slug(post(client, b" " * limits.ENVELOPE)) == "malformed"
    for extra in (1, 2, 9000):
        assert slug(post(client, b" " * (limits.ENVELOPE + extra))) == "too-large"


def test_a_chunked_body_is_never_cut_off(client: FlaskClient) -> None:
    for extra, wanted in ((0, "malformed"), (1, "too-large"), (9000, "too-large")):
        answer = client.post(
            ENTRIES,
            input_stream=io.BytesIO(b" " * (limits.ENVELOPE + extra)),
            content_type=JSON,
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert slug(answer) == wanted


def test_junk_is_malformed_and_says_why(client: FlaskClient) -> None:
    for body in (b"", b"{}", b"null", b"[" * 5000, b"\xff", b"p"):
        assert slug(post(client, body)) == "malformed"


def test_submitting_cannot_be_asked_for_by_other_web_pages(
    acme: Party, client: FlaskClient
) -> None:
    answer = post(client, acme.release(), "?wait=0")
    assert "Access-Control-Allow-Origin" not in answer.headers
    options = client.options(ENTRIES, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Methods" not in options.headers
