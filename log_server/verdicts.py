"""What an answer of a witness means to the log that asked (C2SP tlog-witness).

    200  its cosignature, if one of its lines verifies: over this checkpoint, by its
         key, at a time that clients would count
    409  with text/x.tlog.size: it is at another size
    409  without, and 422: it holds another history than ours: an alarm
    any  other, or no answer: it does not count now

`POST <prefix>/add-checkpoint` is asked and never led elsewhere, so a redirect is one of
the others. Nothing here believes a size: what is done with it is `witnesses`' to know.
"""

from typing import TypeAlias

from msgspec import Struct

from pcrlog.checkpoint import cosignatures
from pcrlog.errors import MalformedError, TransportError
from pcrlog.exchange import Answer
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.witness import SIZE_TYPE, parse_lines, parse_size

SKEW = 300
"""Seconds between a witness's clock and ours: the skew that policies allow (5 min)."""

_OK, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _UNPROCESSABLE, _TOO_MANY = (
    *(200, 403, 404, 409, 422, 429),
)
_REDIRECTS = range(300, 400)


class Cosigned(Struct, frozen=True):
    """The signature line (without LF), verified, and its unix seconds."""

    line: str
    time: int


class Elsewhere(Struct, frozen=True):
    """It says that it cosigned so many leaves last."""

    size: int


class Failed(Struct, frozen=True):
    """It does not count now. An `alarm` says that this log contradicts itself.

    `retry_after` is in seconds, if it asked for patience.
    """

    problem: str
    retry_after: int | None = None
    alarm: bool = False


Verdict: TypeAlias = Cosigned | Elsewhere | Failed


def judge(
    answer: Answer | TransportError, text: str, key: VerifierKey, now: int
) -> Verdict:
    """What came of asking the holder of `key` to cosign a checkpoint's `text`."""
    if isinstance(answer, TransportError):
        return Failed(str(answer))
    if answer.status == _OK:
        return _cosigned(answer.body, text, key, now)
    if answer.status == _CONFLICT and _kind(answer) == SIZE_TYPE:
        try:
            return Elsewhere(parse_size(answer.body))
        except MalformedError as error:
            return Failed(f"answered 409: {error}")
    if answer.status in {_CONFLICT, _UNPROCESSABLE}:
        words = (
            f"answered {answer.status}: it cosigned a history of this log that ours"
            " does not continue. Compare what it shows with log.db, before anything"
            " else"
        )
        return Failed(words, alarm=True)
    return Failed(_words(answer.status), answer.retry_after)


def _kind(answer: Answer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()


def _cosigned(body: bytes, text: str, key: VerifierKey, now: int) -> Verdict:
    try:
        lines = parse_lines(body)
    except MalformedError as error:
        return Failed(f"answered 200: {error}")
    for line in lines:
        # Lines of keys that nobody knows here are dropped, as C2SP wants it.
        for seconds in cosignatures(UnverifiedNote(text, (line,)), [key]).values():
            if abs(seconds - now) > SKEW:
                words = (
                    f"cosigned {seconds - now} s after our time, at most {SKEW} s"
                    " either way count: one of the two clocks is wrong"
                )
                return Failed(words)
            return Cosigned(str(line), seconds)
    return Failed(f"answered 200, and no line of {key} over this checkpoint")


def _words(status: int) -> str:
    if status in _REDIRECTS:
        return f"answered {status}; a redirect is not followed: mend its url"
    advice = {
        _FORBIDDEN: "it does not take this log's key, or does not know this log",
        _NOT_FOUND: "it does not know this log, or its url is wrong",
        _TOO_MANY: "it was asked too often: raise min_publish_interval",
    }.get(status)
    return f"answered {status}" + (f": {advice}" if advice else "")
