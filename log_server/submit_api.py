"""POST /api/v1/entries and what became of a submission.

    201  published now: {index, sha256, size, proof}
    200  this statement stood in the log already: the same, for its first index
    202  a decision is promised: {sha256, envelope_sha256, status_url}
    4xx  refused, by the rules of admission.py

URLs in answers are relative to the request's, so that a log works below any prefix.
"""

import threading

from flask import Blueprint, Request, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from log_server.bundles import leaf_at, proof_of
from log_server.problems import (
    BY_SLUG,
    BusyError,
    MediaTypeError,
    NoSubmissionError,
    ParameterError,
    TooLargeError,
)
from log_server.responses import decimal, parameters, respond_json, respond_problem
from log_server.store import Snapshot, Store
from log_server.submissions import Outcome, Submissions
from pcrlog import limits
from pcrlog.encoding import decode_hex, sha256
from pcrlog.envelope import Envelope
from pcrlog.errors import MalformedError

DEFAULT_WAIT = 5
LONGEST_WAIT = 30
_JSON = "application/json"
_HASH_SIZE = 32


def blueprint(submissions: Submissions, store: Store, threads: int) -> Blueprint:
    """The routes, in a server of so many threads."""
    routes = Blueprint("submit", __name__, url_prefix="/api/v1")
    # A body takes a thread for as long as it takes to come: half of them always answer.
    readers = threading.BoundedSemaphore(max(1, threads // 2))

    @routes.post("/entries")
    def submit() -> Response:
        if not readers.acquire(blocking=False):
            message = "too many bodies are on their way"
            raise BusyError(message)
        try:
            envelope = read_body(request)
        finally:
            readers.release()
        wait, conflict_accepted = _options(request)
        outcome = submissions.submit(
            envelope, conflict_accepted=conflict_accepted, seconds=wait
        )
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


def read_body(incoming: Request) -> bytes:
    """The body, an envelope at most.

    Raises:
        MediaTypeError: not declared to be JSON. No form of another web page can send
            that without being asked first (CORS).
        TooLargeError: longer than an envelope may be.
    """
    if incoming.mimetype != _JSON:
        message = f"Content-Type is {incoming.mimetype!a}, want {_JSON}"
        raise MediaTypeError(message)
    # Werkzeug cuts a chunked body off at its limit without a word, so it is given one
    # byte more than we take.
    incoming.max_content_length = limits.ENVELOPE + 1
    message = f"body has over {limits.ENVELOPE} bytes"
    try:
        body: bytes = incoming.stream.read(limits.ENVELOPE + 1)
    except RequestEntityTooLarge as error:
        raise TooLargeError(message) from error
    if len(body) > limits.ENVELOPE:
        raise TooLargeError(message)
    return body


def _options(incoming: Request) -> tuple[int, bool]:
    found = parameters(incoming, ("wait", "conflict"))
    [wait] = found.get("wait", [str(DEFAULT_WAIT)])
    [conflict] = found.get("conflict", [""])
    if conflict not in {"", "accept"} or ("conflict" in found and not conflict):
        message = f"conflict is {conflict!a}, want accept"
        raise ParameterError(message)
    return decimal("wait", wait, LONGEST_WAIT), conflict == "accept"


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
        "sha256": sha256(Envelope.parse(envelope).payload).hex(),
        "envelope_sha256": digest,
        "status_url": url,
    }
    return respond_json(promise, status=202, headers={"Location": url})


def _receipt(
    snapshot: Snapshot, index: int, outcome: Outcome, envelope: bytes
) -> Response:
    leaf = leaf_at(snapshot, index)
    proof, size = proof_of(snapshot, index)
    receipt = {
        "index": index,
        "sha256": sha256(Envelope.parse(leaf).payload).hex(),
        "size": size,
        "proof": proof.encode().decode(),
    }
    # Or another envelope with the same statement came first: nothing was created.
    status = 200 if outcome.known or leaf != envelope else 201
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
        problem = BY_SLUG[decision.problem]
        return state | {
            "state": "refused",
            "problem": {
                "type": problem.type,
                "title": problem.title,
                "status": problem.status,
                "detail": decision.detail or "",
                "advice": problem.advice,
            },
        }
    published = outcome.index is not None
    return state | {
        "state": "published" if published else "sequenced",
        "index": decision.index,
    }
