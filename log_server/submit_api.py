"""POST /api/v1/entries and what became of a submission.

    201  published now: {index, sha256, size, proof}
    200  this statement stood in the log already: the same, for its first index
    202  a decision is promised: {sha256, envelope_sha256, status_url}
    4xx  refused, by the rules of admission.py

A batch (bodies.py) is always answered 200, or refused whole with nothing taken in. The
answer is again application/x-ndjson, a line for each line, in order:

    {index, sha256}                       published
    {envelope_sha256, sha256, state}      a decision is promised; `state` is "waiting"
    {type, title, status, ...}            refused: a problem; `retry_after` in seconds,
                                          where the same will be taken later

URLs in answers are relative to the request's, so that a log works below any prefix.
"""

import functools
import queue
from collections.abc import Callable
from typing import NamedTuple

from flask import Blueprint, Request, Response, request
from prometheus_client import CollectorRegistry, Counter

from log_server.bodies import NDJSON, check_kind, lines_of, read_body
from log_server.bundles import leaf_at, proof_of
from log_server.disk import Trouble
from log_server.files import Answer
from log_server.problems import (
    BY_SLUG,
    NoSubmissionError,
    ParameterError,
    problem_of,
    retry_after,
)
from log_server.rates import Rates
from log_server.refusals import Refusals, answer_with, refuse, refuse_for
from log_server.responses import (
    JSON,
    decimal,
    parameters,
    parameters_of,
    respond_json,
)
from log_server.store import Snapshot
from log_server.submissions import Outcome, Outcomes, Submissions
from pcrlog.encoding import decode_hex, encode_json
from pcrlog.errors import MalformedError, PcrlogError

DEFAULT_WAIT = 5
LONGEST_WAIT = 30
_HASH_SIZE = 32


class Head(NamedTuple):
    """What matters of a submission's head; absent headers are empty.

    `query` is as it came; `address` and `forwarded` say who asks: `rates.address_of`.
    """

    content_type: str
    content_encoding: str
    query: str
    address: str
    forwarded: str


Deliver = Callable[[Answer], None]
"""Takes the answer, in any thread; called once, or again without effect."""


class Entries:
    """POST /api/v1/entries, whoever brings it; for any number of threads."""

    def __init__(
        self,
        submissions: Submissions,
        rates: Rates,
        refusals: Refusals,
        trouble: Trouble,
        registry: CollectorRegistry,
    ) -> None:
        self._submissions = submissions
        self._rates = rates
        self._refusals = refusals
        self._trouble = trouble
        statements = Counter(
            "pcrlog_statements",
            "Statements submitted, by what was answered: a state, or the problem",
            ("answer",),
            registry=registry,
        )
        self._count = functools.cache(statements.labels)

    def submit(self, head: Head, body: bytes, deliver: Deliver) -> None:
        """Take in what a body holds; the answer comes when it is there."""
        try:
            in_batch = check_kind(head.content_type, head.content_encoding)
            wait, conflict_accepted = _options(head.query)
            envelopes = lines_of(body) if in_batch else [body]
            self._rates.take_for_address(head.address, head.forwarded, len(envelopes))
            self._submissions.submit(
                envelopes,
                _Asking(self, deliver, None if in_batch else body),
                conflict_accepted=conflict_accepted,
                seconds=wait,
            )
        except Exception as error:  # noqa: BLE001 - every error has its answer
            deliver(self._refusals.answer(error))

    def answer(
        self, outcomes: Outcomes, shown: Snapshot, envelope: bytes | None
    ) -> Answer:
        """Say what became of one `envelope`, or of a batch."""
        for outcome in outcomes:
            self._count(_word(outcome)).inc()
        self._trouble.heal()
        if envelope is None:
            return _answer_lines(outcomes)
        [outcome] = outcomes
        return _answer(shown, outcome, envelope)

    def refuse(self, error: Exception) -> Answer:
        """Say why there is no other answer."""
        return self._refusals.answer(error)


class _Asking(NamedTuple):
    """A `submissions.Asker`: makes an answer for HTTP of what it is told."""

    entries: Entries
    deliver: Deliver
    envelope: bytes | None

    def answer(self, outcomes: Outcomes, shown: Snapshot) -> None:
        try:
            self.deliver(self.entries.answer(outcomes, shown, self.envelope))
        except Exception as error:  # noqa: BLE001 - those beside must not suffer
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.deliver(self.entries.refuse(error))


def blueprint(entries: Entries, submissions: Submissions) -> Blueprint:
    """The routes."""
    routes = Blueprint("submit", __name__, url_prefix="/api/v1")

    @routes.post("/entries")
    def submit() -> Response:
        # `bridge` takes submissions past Flask; this is for other servers of WSGI.
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        head = _head_of(request)
        in_batch = check_kind(head.content_type, head.content_encoding)
        entries.submit(head, read_body(request, in_batch=in_batch), answers.put)
        status, headers, body = answers.get()
        return Response(body, status, headers)

    @routes.get("/submissions/<digest>")
    def submission(digest: str) -> Response:
        parameters(request, ())
        try:
            envelope_sha256 = decode_hex(digest, _HASH_SIZE)
        except MalformedError as error:
            raise ParameterError(str(error)) from error
        outcome = submissions.outcome(envelope_sha256)
        if outcome is None:
            message = f"no envelope {digest} was submitted"
            raise NoSubmissionError(message)
        return respond_json(_state(outcome))

    return routes


def _head_of(incoming: Request) -> Head:
    return Head(
        incoming.headers.get("Content-Type", ""),
        incoming.headers.get("Content-Encoding", ""),
        incoming.query_string.decode("latin-1"),
        incoming.environ.get("REMOTE_ADDR", ""),
        incoming.environ.get("HTTP_X_FORWARDED_FOR", ""),
    )


def _options(query: str) -> tuple[int, bool]:
    found = parameters_of(query, ("wait", "conflict"))
    [wait] = found.get("wait", [str(DEFAULT_WAIT)])
    [conflict] = found.get("conflict", [""])
    if conflict not in {"", "accept"} or ("conflict" in found and not conflict):
        message = f"conflict is {conflict!a}, want accept"
        raise ParameterError(message)
    return decimal("wait", wait, LONGEST_WAIT), conflict == "accept"


def _word(outcome: Outcome | PcrlogError) -> str:
    if isinstance(outcome, PcrlogError):
        return problem_of(outcome).slug
    if outcome.index is not None:
        return "known" if outcome.known else "published"
    decided = outcome.decision
    return "waiting" if decided is None else decided.problem or "waiting"


# --- one ------------------------------------------------------------------------------


def _answer(shown: Snapshot, outcome: Outcome | PcrlogError, envelope: bytes) -> Answer:
    if isinstance(outcome, PcrlogError):
        return refuse_for(outcome)
    if outcome.index is not None:
        return _receipt(shown, outcome.index, outcome, envelope)
    if outcome.decision is not None and outcome.decision.problem is not None:
        problem = BY_SLUG[outcome.decision.problem]
        return refuse(problem, outcome.decision.detail or "")
    digest = outcome.envelope_sha256.hex()
    url = f"submissions/{digest}"
    promise = {
        "sha256": outcome.statement,
        "envelope_sha256": digest,
        "status_url": url,
    }
    return answer_with(encode_json(promise), JSON, 202, {"Location": url})


def _receipt(shown: Snapshot, index: int, outcome: Outcome, envelope: bytes) -> Answer:
    proof, size = proof_of(shown, index)
    receipt = {
        "index": index,
        "sha256": outcome.statement,
        "size": size,
        "proof": proof.encode().decode(),
    }
    # Or another envelope with the same statement came first: nothing was created.
    created = not outcome.known and leaf_at(shown, index) == envelope
    status = 201 if created else 200
    headers = {"Location": f"entries/{index}"}
    return answer_with(encode_json(receipt), JSON, status, headers)


def _state(outcome: Outcome) -> dict[str, object]:
    """A submission's state: published, sequenced, refused or waiting."""
    state: dict[str, object] = {"envelope_sha256": outcome.envelope_sha256.hex()}
    decision = outcome.decision
    if decision is None:
        return state | {"state": "waiting"}
    if decision.problem is not None:
        problem = BY_SLUG[decision.problem].members(decision.detail or "")
        return state | {"state": "refused", "problem": problem}
    published = outcome.index is not None
    return state | {
        "state": "published" if published else "sequenced",
        "index": decision.index,
    }


# --- many -----------------------------------------------------------------------------


def _answer_lines(outcomes: Outcomes) -> Answer:
    lines = (encode_json(_line(one)) + b"\n" for one in outcomes)
    return answer_with(b"".join(lines), NDJSON)


def _line(outcome: Outcome | PcrlogError) -> dict[str, object]:
    if isinstance(outcome, PcrlogError):
        members = problem_of(outcome).members(str(outcome))
        seconds = retry_after(outcome)
        return members if seconds is None else members | {"retry_after": seconds}
    if outcome.index is not None:
        return {"index": outcome.index, "sha256": outcome.statement}
    decision = outcome.decision
    if decision is not None and decision.problem is not None:
        return BY_SLUG[decision.problem].members(decision.detail or "")
    return {
        "envelope_sha256": outcome.envelope_sha256.hex(),
        "sha256": outcome.statement,
        "state": "waiting",
    }
