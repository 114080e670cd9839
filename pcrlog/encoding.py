r"""The one home of base64, hex, decimals, times and canonical JSON.

Each value has exactly one spelling. Python's own decoders are generous (`int` takes
"1_0", `b64decode` skips junk, `fromisoformat` takes week dates), so each decoder here
decodes, encodes again and compares: what is not canonical is refused (PROTOCOL.md 2.1).

>>> decode_base64("AQI=")
b'\x01\x02'
>>> parse_decimal("10")
10
>>> format_time(parse_time("2026-11-23T07:00:00Z"))
'2026-11-23T07:00:00Z'
"""

import binascii
import calendar
import functools
import hashlib
import re
import time
from typing import TypeVar

import msgspec

from pcrlog import limits
from pcrlog.errors import MalformedError

T = TypeVar("T")

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
LATEST = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that has a spelling."""
_ESCAPE = re.compile(rb'\\["\\]')


def sha256(data: bytes) -> bytes:
    """The 32 bytes of SHA-256 over `data`."""
    return hashlib.sha256(data).digest()


def encode_base64(data: bytes) -> str:
    """Standard alphabet, padded (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes of canonical, padded, standard base64.

    Raises:
        MalformedError: anything that `encode_base64` would not have written.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        message = f"expected standard base64, found {shown(text)}"
        raise MalformedError(message) from error
    if encode_base64(data) != text:
        message = f"base64 is not canonical: {shown(text)}"
        raise MalformedError(message)
    return data


def decode_hex(text: str, size: int | None = None) -> bytes:
    """The bytes of lower-case hex; `size` is in bytes.

    Raises:
        MalformedError: other characters, upper case, or another length.
    """
    if not _HEX.fullmatch(text):
        message = f"expected lower-case hex, found {shown(text)}"
        raise MalformedError(message)
    if size is not None and len(text) != 2 * size:
        message = f"expected {2 * size} hex digits, found {len(text)}"
        raise MalformedError(message)
    return bytes.fromhex(text)


def parse_decimal(text: str, largest: int = limits.TREE_SIZE) -> int:
    """An integer 0..`largest` in ASCII decimal without leading zeros.

    Raises:
        MalformedError: any other spelling, or a larger number.
    """
    if not _DECIMAL.fullmatch(text) or (number := int(text)) > largest:
        message = f"expected a decimal 0..{largest}, found {shown(text)}"
        raise MalformedError(message)
    return number


@functools.lru_cache(maxsize=1024)
def parse_time(text: str) -> int:
    """Unix seconds of `YYYY-MM-DDTHH:MM:SSZ`.

    Raises:
        MalformedError: another format, or a date that does not exist.
    """
    if _TIME.fullmatch(text):
        try:
            seconds = calendar.timegm(time.strptime(text, _TIME_FORMAT))
        except ValueError:
            seconds = -1
        # strptime takes second 60 and 61; formatting again shows the difference.
        if seconds >= 0 and format_time(seconds) == text:
            return seconds
    message = f"expected a time YYYY-MM-DDTHH:MM:SSZ, found {shown(text)}"
    raise MalformedError(message)


def format_time(seconds: int) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ` of unix seconds."""
    return time.strftime(_TIME_FORMAT, time.gmtime(seconds))


def encode_json(value: object) -> bytes:
    """Canonical JSON (RFC 8785) of ASCII strings and integers.

    Within these bounds msgspec's sorted encoding is RFC 8785; the tests compare it
    with the `rfc8785` package.
    """
    return msgspec.json.encode(value, order="sorted")


def prepare(*kinds: object) -> None:
    """Let msgspec look at types that it is to read, where they are defined.

    It looks at a record when it first reads one. Two threads that are the first at the
    same time end the process (segmentation fault, msgspec 0.22); an import is one
    thread's.
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)


def decode_json(data: bytes, kind: type[T], *, ascii_only: bool = True) -> T:
    """A value of `kind` from its canonical JSON.

    Args:
        data: the JSON.
        kind: what `msgspec` is to make of it; `prepare` it where it is defined.
        ascii_only: whether strings hold printable ASCII only, as in statements.

    Raises:
        MalformedError: not JSON, not of `kind`, or another spelling of it.
    """
    # DecodeError and UnicodeDecodeError are ValueErrors; depth is a RecursionError.
    try:
        value = msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        message = f"not the JSON expected here: {printable(str(error))}"
        raise MalformedError(message) from error
    if encode_json(value) != data:
        message = (
            "JSON is not canonical (RFC 8785): sort the members, leave out spaces and"
            " members without a value"
        )
        raise MalformedError(message)
    if ascii_only and not _is_printable(data):
        message = "a string holds characters other than printable ASCII"
        raise MalformedError(message)
    return value


def _is_printable(canonical: bytes) -> bool:
    # In canonical JSON, control characters but DEL are escaped, and nothing else is
    # but quotes and backslashes.
    if b"\\" in canonical and b"\\" in _ESCAPE.sub(b"", canonical):
        return False
    return canonical.isascii() and b"\x7f" not in canonical


def printable(text: str, most: int = 300) -> str:
    """Words that quote what came from outside: short, and harmless on a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text[:most])


def shown(text: str | bytes, most: int = 80) -> str:
    """`text` as an error message may carry it: quoted, escaped, and short."""
    return ascii(text) if len(text) <= most else ascii(text[:most]) + "..."
