r"""CBOR (RFC 8949) as attestation documents use it, and nothing beyond.

    00..1b   unsigned integer        20..3b   negative integer
    40..5b   byte string             60..7b   text string, UTF-8
    80..9b   array, or 9f .. ff      a0..bb   map, or bf .. ff
    f4       false                   f5       true                  f6   null

Arrays and maps of indefinite length (.. ff) are read, because AWS has written the
payload as one since 2025 (ATTEST.md 0.2). Every other choice that CBOR leaves to the
writer is refused, so that no two readers see two documents in the same bytes: heads
longer than they need be, duplicate keys, strings of indefinite length, tags (hence
bignums), floats, undefined, keys other than integers and text, bytes after the item.

An array becomes a tuple, a map a dict.

>>> decode(bytes.fromhex("bf 656e6f6e6365 43010203 6470637273 a1 00 4100 ff"))
{'nonce': b'\x01\x02\x03', 'pcrs': {0: b'\x00'}}
"""

from typing import TypeAlias

from pcrlog.encoding import shown
from pcrlog.errors import MalformedError

Value: TypeAlias = (
    "int | bytes | str | bool | tuple[Value, ...] | dict[int | str, Value] | None"
)

DEPTH = 8
"""Arrays and maps within one another; documents need two."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_DIRECT = 24
"""Arguments below it stand in the head's first byte; else it says how many follow."""
_SMALLEST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
"""Low bits of the first byte, to the smallest argument that needs 1, 2, 4 or 8 more."""
_INDEFINITE = (0x9F, 0xBF)
_BREAK = b"\xff"
_UNTIL_BREAK = -1
"""The count of an array or map of indefinite length."""
_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}
_SIMPLE_BYTE = {False: b"\xf4", True: b"\xf5", None: b"\xf6"}


def decode(data: bytes, start: int = 0) -> Value:
    """The one item that `data` consists of, from `start` on.

    Raises:
        MalformedError: anything that is not in the module's table, or bytes left over.
    """
    value, end = _item(data, start, DEPTH)
    if end != len(data):
        raise _malformed(end, "the end", f"{len(data) - end} bytes more")
    return value


def encode(value: Value) -> bytes:
    """The shortest definite form; a map keeps the order of its dict."""
    match value:
        case None | bool():
            return _SIMPLE_BYTE[value]
        case int():
            major = _UNSIGNED if value >= 0 else _NEGATIVE
            return _encode_head(major, value if value >= 0 else ~value)
        case bytes():
            return _encode_head(_BYTES, len(value)) + value
        case str():
            text = value.encode()
            return _encode_head(_TEXT, len(text)) + text
        case tuple():
            return _encode_head(_ARRAY, len(value)) + b"".join(map(encode, value))
        case _:
            items = (encode(item) for pair in value.items() for item in pair)
            return _encode_head(_MAP, len(value)) + b"".join(items)


def _encode_head(major: int, argument: int) -> bytes:
    if argument < _DIRECT:
        return bytes([major << 5 | argument])
    low = max(low for low, smallest in _SMALLEST.items() if argument >= smallest)
    return bytes([major << 5 | low]) + argument.to_bytes(_width(low))


def _width(low: int) -> int:
    return 1 << (low - _DIRECT)


def _item(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The item at `at`, and where it ends; `depth` arrays or maps may still open."""
    if at < len(data) and data[at] in _SIMPLE:
        return _SIMPLE[data[at]], at + 1
    major, argument, after = _head(data, at)
    if major in (_BYTES, _TEXT):
        return _string(data, after, argument, text=major == _TEXT)
    if major == _UNSIGNED:
        return argument, after
    if major == _NEGATIVE:
        return ~argument, after
    if depth == 0:
        raise _malformed(at, f"arrays or maps at most {DEPTH} deep", "a deeper one")
    count = 2 * argument if major == _MAP else argument
    items, end = _items(data, after, count, depth - 1)
    return (_map(at, items) if major == _MAP else tuple(items)), end


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type and argument of the head at `at`, and where the head ends."""
    if at >= len(data):
        raise _malformed(at, "an item", "the end")
    first = data[at]
    major, low = first >> 5, first & 31
    if low < _DIRECT and major <= _MAP:
        return major, low, at + 1
    if first in _INDEFINITE:
        return major, _UNTIL_BREAK, at + 1
    smallest = _SMALLEST.get(low)
    if smallest is None or major > _MAP:
        found = f"0x{first:02x} (a tag, float, break or the like)"
        raise _malformed(at, "integer, string, array, map, true, false or null", found)
    after = at + 1 + _width(low)
    if after > len(data):
        raise _malformed(at, f"a head of {after - at} bytes", "the end")
    argument = int.from_bytes(data[at + 1 : after])
    if argument < smallest:
        raise _malformed(at, f"{argument} in its shortest form", "a longer one")
    return major, argument, after


def _string(data: bytes, at: int, size: int, *, text: bool) -> tuple[Value, int]:
    if size > len(data) - at:
        raise _malformed(at, f"a string of {size} bytes", f"{len(data) - at} bytes")
    content = data[at : at + size]
    try:
        return (content.decode() if text else content), at + size
    except UnicodeDecodeError as error:
        raise _malformed(at + error.start, "text in UTF-8", error.reason) from error


def _items(data: bytes, at: int, count: int, depth: int) -> tuple[list[Value], int]:
    # Every item takes a byte: a count beyond that is refused before it costs a loop.
    if count > len(data) - at:
        raise _malformed(at, f"{count} items", f"{len(data) - at} bytes")
    items: list[Value] = []
    while len(items) != count:
        if count < 0 and data[at : at + 1] == _BREAK:
            return items, at + 1
        item, at = _item(data, at, depth)
        items.append(item)
    return items, at


def _map(at: int, items: list[Value]) -> dict[int | str, Value]:
    if len(items) % 2:
        raise _malformed(at, "a map of keys and values", "a key without a value")
    result: dict[int | str, Value] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        # isinstance would let True pass, which is equal to 1 (ATTEST.md 1.2, item 3).
        if type(key) is not int and type(key) is not str:
            found = type(key).__name__
            raise _malformed(at, "a map whose keys are integers or text", found)
        if key in result:
            raise _malformed(at, "a map with each key once", f"{shown(str(key))} again")
        result[key] = value
    return result


def _malformed(at: int, expected: str, found: str) -> MalformedError:
    return MalformedError(f"CBOR at byte {at}: expected {expected}, found {found}")
