"""Questions that no vector asks: those of the vectors, with something in them spoiled.

Both verifiers are asked them, and have to answer alike, whatever the answer is. What
is spoiled is one byte string of a question: some of its bytes, the JSON that they
spell, or the JSON inside the base64 inside that.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any, TypeAlias

Ask: TypeAlias = dict[str, Any]

_SHORTEST = 8
"""Shorter strings are names and words rather than bytes."""
_OURS = ("op", "key")
"""What a verifier never takes from outside: of a trie, it makes the keys itself."""
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**53 - 1, 2**53, 2**63, "", "\n", "é", "\x7f", [], {}),
    *("a" * 65, "A", "a.", "2026-02-30T00:00:00Z", "https://a/?q", "00", [[]], [{}]),
    *("https://a", "registrar", "compromised", "urn:pcrlog:info:v1", "\ud800", "1"),
)
_BYTES = (
    b"\0",
    b"\n",
    b" ",
    b'"',
    b"\\",
    b"=",
    b"{",
    b"[",
    b",",
    b"0",
    b"\x80",
    b"\xff",
)


def spoiled(ask: Ask, random: Random) -> Ask:
    """The same question with something else in one of its byte strings."""
    changed = deepcopy(ask)
    places = list(_places(changed))
    if not places:
        return changed
    holder, name = random.choice(places)
    data = b64decode(holder[name])
    holder[name] = b64encode(_spoil(data, random)).decode()
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where in a question byte strings stand."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in list(members):
        if name in _OURS:
            continue
        if isinstance(member, (dict, list)):
            yield from _places(member)
        elif (
            isinstance(member, str) and len(member) >= _SHORTEST and _is_base64(member)
        ):
            yield value, name


def _is_base64(text: str) -> bool:
    try:
        same = b64encode(b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False
    return same and len(text) >= _SHORTEST


def _spoil(data: bytes, random: Random) -> bytes:
    inner = _read(data)
    if inner is None or random.random() < 1 / 4:
        return _other_bytes(data, random)
    _other_json(inner, random)
    # surrogatepass: half a pair is to be met as bytes too.
    text = json.dumps(
        inner,
        sort_keys=random.random() < 7 / 8,
        separators=(",", ":"),
        ensure_ascii=random.random() < 1 / 2,
    )
    return text.encode("utf-8", "surrogatepass")


def _read(data: bytes) -> Any:
    """The object or list that bytes spell; None if they do not."""
    try:
        value = json.loads(data)
        json.dumps(value)
    except (ValueError, RecursionError):  # too many digits, too deep
        return None
    return value if isinstance(value, (dict, list)) and value else None


def _other_bytes(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.choice((0, 1, 1, 1, 2, 32, 33)))
    bit = bytes([data[start] ^ 1 << random.randrange(8)]) if start < len(data) else b""
    put = random.choice((b"", bit, random.choice(_BYTES), data[start:end] * 2))
    return data[:start] + put + data[end:]


def _other_json(value: Any, random: Random) -> None:
    """Change one thing somewhere in an object or a list."""
    name = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    member = value[name]
    if isinstance(member, (dict, list)) and member and random.random() < 7 / 8:
        _other_json(member, random)
        return
    if isinstance(member, str) and _is_base64(member) and random.random() < 3 / 4:
        value[name] = b64encode(_spoil(b64decode(member), random)).decode()
        return
    _other_member(value, name, random)


def _other_member(value: Any, name: Any, random: Random) -> None:
    member = value[name]
    what = random.randrange(6)
    if what == 0:
        del value[name]
    elif what == 1 and isinstance(value, list):
        value.insert(random.randrange(len(value) + 1), deepcopy(member))
    elif what == 1:
        value[random.choice(("more", "__proto__", "constructor", "kind"))] = member
    elif what == 2 and isinstance(member, str):
        data = member.encode("utf-8", "surrogatepass")
        value[name] = _other_bytes(data, random).decode("utf-8", "replace")
    elif what == 3 and isinstance(value, list):
        random.shuffle(value)
    elif what == 4 and isinstance(member, int):
        value[name] = member + random.choice((-1, 1))
    else:
        value[name] = random.choice(_VALUES)
