"""The table of problems: stable, complete, and of use to whoever reads it."""

import http
import json

import pytest

from log_server.problems import (
    BY_SLUG,
    PROBLEMS,
    BusyError,
    ConflictError,
    Problem,
    TooOftenError,
    problem_of,
    problem_of_status,
    retry_after,
)
from pcrlog import errors

STABLE = {
    "answer-too-large": 422,
    "bad-request": 400,
    "busy": 429,
    "conflict": 409,
    "frozen": 410,
    "internal": 500,
    "late": 408,
    "malformed": 400,
    "measurement-full": 422,
    "media-type": 415,
    "method": 405,
    "no-such-entry": 404,
    "no-such-path": 404,
    "no-such-submission": 404,
    "not-authorised": 403,
    "parameter": 400,
    "revocation-target": 422,
    "storage": 503,
    "too-large": 413,
    "too-often": 429,
    "unavailable": 503,
    "unknown-kind": 422,
    "wrong-log": 422,
}


def test_types_and_statuses_are_what_programs_rely_on() -> None:
    assert {problem.slug: problem.status for problem in PROBLEMS} == STABLE


def test_each_cause_has_one_problem() -> None:
    causes = [problem.cause for problem in PROBLEMS]
    assert len(causes) == len(set(causes))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.slug)
def test_each_problem_says_what_to_do(problem: Problem) -> None:
    body = json.loads(problem.body("why"))
    assert body == {
        "type": f"urn:pcrlog:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": "why",
        "advice": problem.advice,
    }
    assert problem.advice.endswith(".")
    assert not problem.title.endswith(".")
    assert http.HTTPStatus(problem.status)


def test_an_error_is_answered_by_the_nearest_of_its_kinds() -> None:
    assert problem_of(errors.MalformedError("x")).slug == "malformed"
    assert problem_of(errors.VerificationError("x")).slug == "not-authorised"
    assert problem_of(errors.TransportError("x")).slug == "unknown-kind"
    assert problem_of(ConflictError("x")).slug == "conflict"


def test_what_may_pass_says_when_to_submit_again() -> None:
    assert retry_after(BusyError("x")) == 1
    assert retry_after(TooOftenError("x", 7)) == 7
    assert retry_after(ConflictError("x")) is None


def test_an_error_that_no_request_can_cause_is_a_mistake_of_ours() -> None:
    assert problem_of(errors.UsageError("x")).slug == "internal"


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (400, "bad-request"),
        (404, "no-such-path"),
        (405, "method"),
        (418, "bad-request"),
        (500, "internal"),
        (502, "internal"),
    ],
)
def test_what_the_framework_says_is_in_the_table_too(status: int, slug: str) -> None:
    assert problem_of_status(status) is BY_SLUG[slug]
