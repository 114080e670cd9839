"""Every way in which a request is refused: one table, from exception to HTTP answer.

An answer is RFC 9457 `application/problem+json`: `type` is stable and made for
programs, `detail` says what was found and what was wanted, `advice` what to do. The
table is what docs/api.md, the OpenAPI document and the tests read; a refusal that is
not in it does not exist. Errors of pcrlog that may be caused by a submission are in it
as well, so that admission simply raises.

>>> problem_of(ConflictError("release 3 names other registers")).status
409
"""

import http
from dataclasses import dataclass
from typing import TypeAlias

from log_server.disk import DiskError
from pcrlog.encoding import encode_json
from pcrlog.errors import MalformedError, PcrlogError, UncheckedError, VerificationError

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:pcrlog:problem:"


class WrongLogError(PcrlogError):
    """A statement made for another log."""


class FrozenError(PcrlogError):
    """The log has sealed for the last time."""


class ConflictError(PcrlogError):
    """A release that contradicts one that stands."""


class TargetError(PcrlogError):
    """A revocation of a statement that it may not revoke."""


class FullError(PcrlogError):
    """An issuer has said all it may in favour of one measurement."""


class BusyError(PcrlogError):
    """Too many statements wait already; again after `seconds`."""

    seconds = 1


class TooOftenError(PcrlogError):
    """Too many statements came from one address or by one identity.

    `seconds` is after how long as many will be taken.
    """

    def __init__(self, message: str, seconds: int = 1) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooLargeError(PcrlogError):
    """An envelope, or the body of a request, is larger than it may be."""


class MediaTypeError(PcrlogError):
    """The body of a request is not declared to be JSON, or it is encoded."""


class LateError(PcrlogError):
    """The body of a request takes too long to come."""


class ParameterError(PcrlogError):
    """A parameter of a request is unknown, missing or not of its form."""


class NoEntryError(PcrlogError):
    """No published entry has this index or hash."""


class NoSubmissionError(PcrlogError):
    """Nothing is known of an envelope with this hash."""


class AnswerTooLargeError(PcrlogError):
    """The answer would exceed what a bundle may hold."""


class UnavailableError(PcrlogError):
    """The log cannot answer now."""


Cause: TypeAlias = type[PcrlogError] | http.HTTPStatus


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: `slug` ends its type; `cause` is what brings it about."""

    slug: str
    status: int
    title: str
    advice: str
    cause: Cause

    @property
    def type(self) -> str:
        """The URI that programs compare."""
        return TYPE + self.slug

    def members(self, detail: str) -> dict[str, object]:
        """What to answer with."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "advice": self.advice,
        }

    def body(self, detail: str) -> bytes:
        """The JSON to answer with."""
        return encode_json(self.members(detail))


_S = http.HTTPStatus

PROBLEMS: tuple[Problem, ...] = (
    Problem(
        "malformed",
        400,
        "The bytes are not of their format",
        "Send exactly what `pcrlog sign` wrote; the detail names the first fault.",
        MalformedError,
    ),
    Problem(
        "parameter",
        400,
        "A parameter is not of its form",
        "See /openapi.json for the parameters of this path.",
        ParameterError,
    ),
    Problem(
        "bad-request",
        400,
        "The request is not legal HTTP",
        "See /openapi.json for what this path takes.",
        _S.BAD_REQUEST,
    ),
    Problem(
        "not-authorised",
        403,
        "This key may not say this in this log now",
        "Look at the identity (GET /api/v1/lookup?identity=NAME): is the key active,"
        " has the name the role? If not, ask the registrar.",
        VerificationError,
    ),
    Problem(
        "no-such-path",
        404,
        "There is nothing here",
        "See /openapi.json for the paths that exist.",
        _S.NOT_FOUND,
    ),
    Problem(
        "no-such-entry",
        404,
        "No such entry is published",
        "Compare with the size in /checkpoint; a statement just submitted is published"
        " when its submission says so.",
        NoEntryError,
    ),
    Problem(
        "no-such-submission",
        404,
        "No envelope with this hash was submitted",
        "The hash is that of the whole envelope, not of the statement. Submitting again"
        " is always safe.",
        NoSubmissionError,
    ),
    Problem(
        "method",
        405,
        "This path does not take this method",
        "See /openapi.json; the header Allow names the methods.",
        _S.METHOD_NOT_ALLOWED,
    ),
    Problem(
        "late",
        408,
        "The body took too long to come",
        "Submit again: it is always safe. A slow line takes smaller batches.",
        LateError,
    ),
    Problem(
        "conflict",
        409,
        "Another release of this version names other registers",
        "Release under a new version; or, if both are meant, submit again with"
        " ?conflict=accept: the conflict will be on record.",
        ConflictError,
    ),
    Problem(
        "frozen",
        410,
        "This log is frozen and takes nothing more",
        "Ask the operator which log continues it; its entries stay readable here.",
        FrozenError,
    ),
    Problem(
        "too-large",
        413,
        "The envelope, or the batch, is larger than it may be",
        "An envelope has at most 32,768 bytes; keep texts elsewhere and name them by"
        " {uri, sha256}. A batch has at most 1,000 lines and 8 MiB: send several.",
        TooLargeError,
    ),
    Problem(
        "media-type",
        415,
        "The body is not declared to be JSON, or it is encoded",
        "Send the envelope itself with Content-Type: application/json, or one a line"
        " with application/x-ndjson; with no Content-Encoding.",
        MediaTypeError,
    ),
    Problem(
        "unknown-kind",
        422,
        "A type, key algorithm or word that this log does not know yet",
        "Use what this version knows, or a log that is newer.",
        UncheckedError,
    ),
    Problem(
        "wrong-log",
        422,
        "The statement is made for another log",
        "Submit it to the log that it names; or make it anew for this one.",
        WrongLogError,
    ),
    Problem(
        "revocation-target",
        422,
        "The revocation does not fit what it revokes",
        "Name an own, earlier release or audit, and repeat its platform, identity and"
        " subject; `pcrlog revoke INDEX` does.",
        TargetError,
    ),
    Problem(
        "measurement-full",
        422,
        "This issuer has said too much in favour of this measurement",
        "No release or pass about it is taken any more; fails and revocations are."
        " Build anew for a new measurement.",
        FullError,
    ),
    Problem(
        "answer-too-large",
        422,
        "The answer would exceed what a bundle may hold",
        "Ask for fewer auditors or measurements, or read the log's tiles.",
        AnswerTooLargeError,
    ),
    Problem(
        "busy",
        429,
        "Too many statements wait for a decision",
        "Wait as many seconds as Retry-After says and submit again: it is always safe.",
        BusyError,
    ),
    Problem(
        "too-often",
        429,
        "Too many statements from one address or by one identity",
        "Wait as many seconds as Retry-After, or `retry_after` in a batch, says and"
        " submit again: it is always safe.",
        TooOftenError,
    ),
    Problem(
        "internal",
        500,
        "The server made a mistake",
        "Submitting again is safe. Tell the operator the id in the detail.",
        _S.INTERNAL_SERVER_ERROR,
    ),
    Problem(
        "unavailable",
        503,
        "The log cannot answer now",
        "Try again in a few seconds; what was promised a decision is not lost.",
        UnavailableError,
    ),
    Problem(
        "storage",
        503,
        "The log's disk is full, or fails",
        "Nothing was promised. Submit again later: it is always safe. What could be"
        " read before can be read from the tiles.",
        DiskError,
    ),
)

BY_SLUG = {problem.slug: problem for problem in PROBLEMS}
_BY_CAUSE = {problem.cause: problem for problem in PROBLEMS}
_BY_STATUS = {
    problem.cause.value: problem
    for problem in PROBLEMS
    if isinstance(problem.cause, http.HTTPStatus)
}
_CLIENT_ERRORS = range(400, 500)


def problem_of(error: PcrlogError) -> Problem:
    """The problem that an error of ours is answered with."""
    for kind in type(error).__mro__:
        if kind in _BY_CAUSE:
            return _BY_CAUSE[kind]
    return BY_SLUG["internal"]


def retry_after(error: PcrlogError) -> int | None:
    """Seconds after which to submit again what was refused so; None: never mind."""
    return error.seconds if isinstance(error, BusyError | TooOftenError) else None


def problem_of_status(status: int) -> Problem:
    """The problem for a status that the web framework came up with."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return BY_SLUG["bad-request" if status in _CLIENT_ERRORS else "internal"]
