"""Answers apart from any web framework, and the one way from an error to an answer.

Submissions are answered by the event loop, all else by Flask; what is wrong is said by
both in the same words. A fault of the disk is logged once a minute, a mistake of ours
with its traceback and an id that the client is told.
"""

import logging
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from log_server.disk import Trouble, fault_of
from log_server.files import Answer
from log_server.problems import (
    BY_SLUG,
    CONTENT_TYPE,
    Problem,
    problem_of,
    retry_after,
)
from log_server.responses import NO_STORE, SECURITY
from pcrlog.errors import PcrlogError

_log = logging.getLogger(__name__)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_NOT_NOW = "it does not take what is written, or give what is read, at the moment"


def answer_with(
    body: bytes,
    content_type: str,
    status: int = 200,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> Answer:
    """An answer that nobody is to keep."""
    found = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", NO_STORE),
        *SECURITY.items(),
        *headers.items(),
    ]
    return status, found, body


def refuse(
    problem: Problem, detail: str, headers: Mapping[str, str] = _NO_HEADERS
) -> Answer:
    """An answer that refuses (RFC 9457)."""
    return answer_with(problem.body(detail), CONTENT_TYPE, problem.status, headers)


def refuse_for(error: PcrlogError) -> Answer:
    """The answer to what a client did."""
    seconds = retry_after(error)
    headers = _NO_HEADERS if seconds is None else {"Retry-After": str(seconds)}
    return refuse(problem_of(error), str(error), headers)


class Refusals:
    """Answers any error.

    Args:
        trouble: is told of faults of the disk.
    """

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def answer(self, error: Exception) -> Answer:
        """What to say of it."""
        if isinstance(error, PcrlogError) and not _is_ours(error):
            return refuse_for(error)
        fault = fault_of(error)
        if fault is not None:
            if self._trouble.note(fault):
                _log.error("%s", fault)
            return refuse(problem_of(fault), _NOT_NOW, {"Retry-After": "2"})
        number = secrets.token_hex(8)
        _log.error("request %s failed", number, exc_info=error)
        return refuse(BY_SLUG["internal"], f"id {number}")


def _is_ours(error: PcrlogError) -> bool:
    return problem_of(error).slug in {"internal", "storage"}
