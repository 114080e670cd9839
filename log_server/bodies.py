"""Reads what is sent with a submission: one envelope, or a batch of them, one a line.

A batch is `application/x-ndjson`: each line is an envelope and ends with LF; after the
last one it may be missing, since an envelope that was cut is none. Whatever is too
large is refused whole: nothing is cut off without a word, and no line is taken in.

A body is never unpacked: one that is small on the way must not be large in memory.
"""

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from log_server.problems import MediaTypeError, TooLargeError
from log_server.responses import JSON
from pcrlog import limits
from pcrlog.errors import MalformedError

NDJSON = "application/x-ndjson"
LINES = 1000
"""The most envelopes of a batch."""
BATCH = 8 << 20
"""The most bytes of a batch."""


def check_kind(content_type: str, content_encoding: str) -> bool:
    """Whether a request brings a batch, or else one envelope.

    Raises:
        MediaTypeError: neither is declared. No form of another web page can send
            either without being asked first (CORS).
    """
    if content_encoding:
        found = f"Content-Encoding is {content_encoding!a}"
        message = f"{found}, want none: send the bytes as they are"
        raise MediaTypeError(message)
    kind = media_type(content_type)
    if kind not in {JSON, NDJSON}:
        message = f"Content-Type is {kind!a}, want {JSON} or {NDJSON}"
        raise MediaTypeError(message)
    return kind == NDJSON


def media_type(content_type: str) -> str:
    """The type alone, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def lines_of(body: bytes) -> list[bytes]:
    """The lines of a batch, without their ends; each may be too long for an envelope.

    Raises:
        TooLargeError: too many lines.
        MalformedError: no line.
    """
    lines = body.split(b"\n", LINES + 1)
    if not lines[-1]:
        lines.pop()
    if len(lines) > LINES:
        message = f"batch has over {LINES} lines"
        raise TooLargeError(message)
    if not lines:
        message = "batch has no lines; want an envelope on each"
        raise MalformedError(message)
    return lines


def read_body(incoming: Request, *, in_batch: bool) -> bytes:
    """The body of a request that Flask brings.

    Raises:
        TooLargeError: longer than an envelope, or a batch, may be.
    """
    return _read(incoming, BATCH if in_batch else limits.ENVELOPE)


def _read(incoming: Request, most: int) -> bytes:
    # Werkzeug cuts a chunked body off at its limit without a word, so it is given one
    # byte more than we take.
    incoming.max_content_length = most + 1
    message = f"body has over {most} bytes"
    try:
        body: bytes = incoming.stream.read(most + 1)
    except RequestEntityTooLarge as error:
        raise TooLargeError(message) from error
    if len(body) > most:
        raise TooLargeError(message)
    return body
