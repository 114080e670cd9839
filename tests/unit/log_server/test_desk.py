"""The desk: nobody waits for ever, and nobody for what another has brought."""

import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient

from log_server import submissions as desk
from log_server.disk import fault_of
from log_server.judging import Candidate, Judge
from log_server.problems import UnavailableError
from log_server.sequencer import Sequencer
from log_server.store import Snapshot
from log_server.submissions import Outcome, Outcomes, Submissions
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope, assemble
from tests.unit.log_server.parties import Log, Party

if TYPE_CHECKING:
    from log_server.services import Services

Told = Outcomes | Exception


class Asking:
    """Who brought something, and all that it was told."""

    def __init__(self, *, deaf: bool = False) -> None:
        self._deaf = deaf
        self.told: queue.SimpleQueue[Told] = queue.SimpleQueue()

    def answer(self, outcomes: Outcomes, _shown: Snapshot) -> None:
        self._hear(outcomes)

    def fail(self, error: Exception) -> None:
        self._hear(error)

    def _hear(self, what: Told) -> None:
        if self._deaf:
            raise ConnectionResetError
        self.told.put(what)

    def outcomes(self) -> Sequence[Outcome]:
        """What became of each, all of which were taken in."""
        told = self.told.get(timeout=30)
        assert not isinstance(told, Exception), told
        assert all(isinstance(one, Outcome) for one in told), told
        return [one for one in told if isinstance(one, Outcome)]


@pytest.fixture
def submissions(app: Flask) -> Submissions:
    services: Services = app.extensions["pcrlog"]
    return services.submissions


def submit(
    submissions: Submissions, *envelopes: bytes, asking: Asking | None = None
) -> Asking:
    asking = asking or Asking()
    submissions.submit(envelopes, asking, conflict_accepted=False, seconds=0)
    return asking


def held_up(
    submissions: Submissions, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Let the desk do nothing until the function is called."""
    go: queue.SimpleQueue[None] = queue.SimpleQueue()
    serve = Submissions._serve_all
    waiting = True

    def wait(self: Submissions, turn: Sequence[desk._Request]) -> None:
        nonlocal waiting
        if waiting:
            go.get(timeout=30)
        waiting = False
        serve(self, turn)

    monkeypatch.setattr(Submissions, "_serve_all", wait)
    submit(submissions, b"{}")
    time.sleep(0.05)
    return lambda: go.put(None)


def test_whoever_cannot_be_told_does_not_end_the_desk(
    acme: Party, submissions: Submissions
) -> None:
    submit(submissions, acme.release(1), asking=Asking(deaf=True))
    [found] = submit(submissions, acme.release(2, "2.0.0")).outcomes()
    assert found.decision is None


def test_whoever_comes_after_the_end_is_told(acme: Party, app: Flask) -> None:
    services: Services = app.extensions["pcrlog"]
    services.close()
    with pytest.raises(UnavailableError):
        submit(services.submissions, acme.release(1))
    answer = app.test_client().post(
        "/api/v1/entries", data=acme.release(1), content_type="application/json"
    )
    assert answer.status_code == 503


def test_a_statement_that_we_fail_at_fails_alone(
    acme: Party, submissions: Submissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = acme.release(9, "9.0.0")
    judge = Judge.judge

    def fail(self: Judge, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        if any(one.envelope == odd for one in part):
            raise RecursionError
        judge(self, part, snapshot)

    monkeypatch.setattr(Judge, "judge", fail)
    go = held_up(submissions, monkeypatch)
    good = [submit(submissions, acme.release(i, f"{i}.0.0")) for i in range(1, 4)]
    spoilt = submit(submissions, odd)
    batch = submit(submissions, *(acme.release(i, f"{i}.1.0") for i in range(40)))
    go()
    for one in good:
        [found] = one.outcomes()
        assert submissions.outcome(found.envelope_sha256) is not None
    assert len(batch.outcomes()) == 40
    assert isinstance(spoilt.told.get(timeout=30), RecursionError)
    assert submissions.outcome(sha256(odd)) is None
    assert submissions.backlog().rows == 43
    assert all(one.told.empty() for one in [*good, spoilt, batch]), "each told once"


def test_a_batch_that_is_slow_to_judge_is_judged_in_small_parts(
    acme: Party, submissions: Submissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    judge = Judge.judge

    def slow(self: Judge, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        parts.append(len(part))
        end = time.thread_time() + 0.01 * len(part)
        while time.thread_time() < end:
            pass
        judge(self, part, snapshot)

    monkeypatch.setattr(Judge, "judge", slow)
    submit(submissions, *(acme.release(i, f"{i}.0.0") for i in range(40))).outcomes()
    assert sum(parts) == 40
    assert max(parts[1:]) <= 8
    monkeypatch.undo()
    monkeypatch.setattr(desk, "_TURN_SECONDS", 60)
    turns: list[int] = []

    def count(self: Judge, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        turns.append(len(part))
        judge(self, part, snapshot)

    monkeypatch.setattr(Judge, "judge", count)
    submit(submissions, *(b"{}" for _ in range(300))).told.get(timeout=30)
    assert turns == [16, 32, 64, 64, 64, 60]


def test_a_database_that_somebody_else_locks_holds_up_all_only_once(
    log: Log, acme: Party, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    services: Services = app.extensions["pcrlog"]
    submissions = services.submissions
    database = submissions._judge._writer._database
    database.execute("pragma busy_timeout = 500")
    go = held_up(submissions, monkeypatch)
    askings = [submit(submissions, acme.release(i, f"{i}.0.0")) for i in range(30)]
    with closing(sqlite3.connect(log.config.intake_db, isolation_level=None)) as other:
        other.execute("begin immediate")
        begun = time.monotonic()
        go()
        for one in askings:
            error = one.told.get(timeout=30)
            assert isinstance(error, sqlite3.OperationalError)
            assert "locked by somebody else" in str(fault_of(error))
        assert time.monotonic() - begun < 8, "each by itself would take 15 s"
        other.execute("rollback")
    [found] = submit(submissions, acme.release(1)).outcomes()
    assert found.decision is None


class DiedError(Exception):
    """The sequencer died."""


def test_what_is_committed_and_not_published_takes_no_row_unless_it_is_signed(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    envelope = acme.release(1)
    log.queue(envelope)

    def die(step: str) -> None:
        if step == "committed":
            raise DiedError

    def commit(sequencer: Sequencer) -> None:
        sequencer.round()

    with pytest.raises(DiedError), log.sequencer(die) as sequencer:
        commit(sequencer)
    payload = Envelope.parse(envelope).payload
    keyid = acme.key.public.keyid
    for i in range(3):
        forged = assemble(payload, [(keyid, bytes([i] * 64))])
        answer = client.post(
            "/api/v1/entries?wait=0", data=forged, content_type="application/json"
        )
        assert answer.status_code == 403, answer.data
    assert client.get("/healthz").json is not None
    again = client.post(
        "/api/v1/entries?wait=0", data=envelope, content_type="application/json"
    )
    assert again.status_code == 202
    log.sequence()
    again = client.post(
        "/api/v1/entries?wait=0", data=envelope, content_type="application/json"
    )
    assert again.status_code == 200


def test_what_was_judged_is_not_kept_while_others_are(
    acme: Party, submissions: Submissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Candidate] = []
    judge = Judge.judge

    def keep(self: Judge, part: Sequence[Candidate], snapshot: Snapshot) -> None:
        judge(self, part, snapshot)
        judged.extend(part)

    monkeypatch.setattr(Judge, "judge", keep)
    keyid = acme.key.public.keyid
    payload = Envelope.parse(acme.release(2)).payload
    forged = [assemble(payload, [(keyid, bytes([i] * 64))]) for i in range(9)]
    submit(submissions, acme.release(1), b"{}", *forged).told.get(timeout=30)
    assert len(judged) == 11
    for one in judged:
        assert one.entry is None
        assert not one.owed
        if one.error is not None:
            assert one.error.__traceback__ is None
            assert one.error.__context__ is None
            assert one.error.__cause__ is None
    assert judged[0].statement
