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

from collections.abc import Sequence

from flask import Blueprint, Request, Response, request
from prometheus_client import CollectorRegistry, Counter

from log_server.bodies import NDJSON, is_batch, read_batch, read_envelope
from log_server.bundles import leaf_at, proof_of
from log_server.problems import (
    BY_SLUG,
    NoSubmissionError,
    ParameterError,
    problem_of,
    retry_after,
)
from log_server.rates import Rates
from log_server.responses import (
    decimal,
    parameters,
    respond,
    respond_json,
    respond_problem,
)
from log_server.store import Snapshot, Store
from log_server.submissions import Outcome, Submissions
from pcrlog.encoding import decode_hex, encode_json
from pcrlog.errors import MalformedError, PcrlogError

DEFAULT_WAIT = 5
LONGEST_WAIT = 30
_HASH_SIZE = 32


def blueprint(
    submissions: Submissions, store: Store, rates: Rates, registry: CollectorRegistry
) -> Blueprint:
    """The routes."""
    routes = Blueprint("submit", __name__, url_prefix="/api/v1")
    statements = Counter(
        "pcrlog_statements",
        "Statements submitted, by what was answered: a state, or the problem",
        ("answer",),
        registry=registry,
    )

    @routes.post("/entries")
    def submit() -> Response:
        in_batch = is_batch(request)
        wait, conflict_accepted = _options(request)
        envelopes = read_batch(request) if in_batch else [read_envelope(request)]
        rates.take_for_address(request.environ, len(envelopes))
        outcomes = submissions.submit_all(
            envelopes, conflict_accepted=conflict_accepted, seconds=wait
        )
        for outcome in outcomes:
            statements.labels(_word(outcome)).inc()
        if in_batch:
            return _answer_lines(outcomes)
        [outcome], [envelope] = outcomes, envelopes
        if isinstance(outcome, PcrlogError):
            raise outcome
        return _answer(store, outcome, envelope)

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


def _options(incoming: Request) -> tuple[int, bool]:
    found = parameters(incoming, ("wait", "conflict"))
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


def _answer(store: Store, outcome: Outcome, envelope: bytes) -> Response:
    if outcome.index is not None:
        with store.published() as snapshot:
            return _receipt(snapshot, outcome.index, outcome, envelope)
    if outcome.decision is not None and outcome.decision.problem is not None:
        problem = BY_SLUG[outcome.decision.problem]
        return respond_problem(problem, outcome.decision.detail or "")
    digest = outcome.envelope_sha256.hex()
    url = f"submissions/{digest}"
    promise = {
        "sha256": outcome.statement,
        "envelope_sha256": digest,
        "status_url": url,
    }
    return respond_json(promise, status=202, headers={"Location": url})


def _receipt(
    snapshot: Snapshot, index: int, outcome: Outcome, envelope: bytes
) -> Response:
    proof, size = proof_of(snapshot, index)
    receipt = {
        "index": index,
        "sha256": outcome.statement,
        "size": size,
        "proof": proof.encode().decode(),
    }
    # Or another envelope with the same statement came first: nothing was created.
    created = not outcome.known and leaf_at(snapshot, index) == envelope
    status = 201 if created else 200
    return respond_json(
        receipt, status=status, headers={"Location": f"entries/{index}"}
    )


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


def _answer_lines(outcomes: Sequence[Outcome | PcrlogError]) -> Response:
    lines = (encode_json(_line(one)) + b"\n" for one in outcomes)
    return respond(b"".join(lines), NDJSON)


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
