"""What the parts of the HTTP interface share: answers, and strict parameters.

A parameter has one spelling (`007`, `+5` and Arabic digits are none), stands once
unless it may be repeated, and is known, or the request is refused: a misspelt
`conflict` must not pass for its absence.
"""

from collections.abc import Collection, Mapping
from typing import TypeAlias
from urllib.parse import parse_qs

from flask import Request, Response

from log_server.problems import CONTENT_TYPE, ParameterError, Problem
from pcrlog import limits
from pcrlog.encoding import encode_json, parse_decimal
from pcrlog.errors import MalformedError

JSON = "application/json"
NO_STORE = "no-store"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer but those of files."""

Headers: TypeAlias = Mapping[str, str]


def respond(
    body: bytes,
    content_type: str,
    *,
    status: int = 200,
    cache: str = NO_STORE,
    headers: Headers | None = None,
) -> Response:
    """An answer of these bytes."""
    all_headers = {"Cache-Control": cache, **(headers or {})}
    return Response(body, status, all_headers, content_type=content_type)


def respond_json(
    value: object, *, status: int = 200, headers: Headers | None = None
) -> Response:
    """An answer in JSON, not to be kept by caches."""
    return respond(encode_json(value), JSON, status=status, headers=headers)


def respond_problem(
    problem: Problem, detail: str, headers: Headers | None = None
) -> Response:
    """An answer that refuses (RFC 9457)."""
    body = problem.body(detail)
    return respond(body, CONTENT_TYPE, status=problem.status, headers=headers)


def parameters(
    request: Request, known: Collection[str], repeatable: Collection[str] = ()
) -> dict[str, list[str]]:
    """The parameters of a request's query, each with its values.

    Raises:
        ParameterError: one is unknown, or stands twice and must not.
    """
    return parameters_of(request.query_string.decode("latin-1"), known, repeatable)


def parameters_of(
    query: str, known: Collection[str], repeatable: Collection[str] = ()
) -> dict[str, list[str]]:
    """The parameters of a query, as it came, each with its values.

    Raises:
        ParameterError: one is unknown, or stands twice and must not.
    """
    found = parse_qs(query, keep_blank_values=True)
    for name, values in found.items():
        if name not in known and name not in repeatable:
            names = ", ".join(sorted({*known, *repeatable})) or "none"
            message = f"unknown parameter {name!a}; known here: {names}"
            raise ParameterError(message)
        if name not in repeatable and len(values) != 1:
            message = f"parameter {name} stands {len(values)} times, want once"
            raise ParameterError(message)
    return found


def decimal(name: str, text: str, largest: int = limits.INTEGER) -> int:
    """A parameter that is a number.

    Raises:
        ParameterError: not a decimal 0..`largest`.
    """
    try:
        return parse_decimal(text, largest)
    except MalformedError as error:
        message = f"{name}: {error}"
        raise ParameterError(message) from error
