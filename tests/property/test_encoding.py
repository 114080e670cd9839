"""Every value has one spelling, and no other text is one."""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from pcrlog.encoding import (
    LATEST,
    decode_base64,
    decode_hex,
    decode_json,
    encode_base64,
    encode_json,
    format_time,
    parse_decimal,
    parse_time,
    shown,
)
from pcrlog.errors import MalformedError

Json: TypeAlias = "str | int | list[Json] | dict[str, Json]"

ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
INTEGERS = st.integers(0, 2**53 - 1)
VALUES: st.SearchStrategy[Json] = st.recursive(
    ASCII | INTEGERS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ASCII, inner, max_size=4)
    ),
    max_leaves=20,
)
ANY_TEXT = st.text(max_size=12)
SPELLINGS = st.text("0123456789+/=-_ \nabcXYZeE.xT:", max_size=24) | ANY_TEXT


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record as ours are: its members sorted, and optional ones."""

    n: int
    list_of: tuple[str, ...]
    within: dict[str, int] | None = None
    z: str | None = None


ROWS = st.builds(
    Row,
    n=INTEGERS,
    list_of=st.lists(ASCII, max_size=3).map(tuple),
    within=st.none() | st.dictionaries(ASCII, INTEGERS, max_size=3),
    z=st.none() | ASCII,
)


@given(st.binary(max_size=100))
def test_base64_goes_both_ways(data: bytes) -> None:
    text = encode_base64(data)
    assert decode_base64(text) == data
    assert base64.b64decode(text, validate=True) == data


@given(SPELLINGS)
def test_base64_that_is_taken_is_what_would_be_written(text: str) -> None:
    try:
        data = decode_base64(text)
    except MalformedError:
        return
    assert encode_base64(data) == text


@given(st.binary(max_size=40))
def test_hex_goes_both_ways(data: bytes) -> None:
    assert decode_hex(data.hex()) == decode_hex(data.hex(), len(data)) == data


@given(SPELLINGS)
def test_hex_that_is_taken_is_what_would_be_written(text: str) -> None:
    try:
        data = decode_hex(text)
    except MalformedError:
        return
    assert data.hex() == text


@given(st.integers(0, 2**63 - 1))
def test_decimals_go_both_ways(number: int) -> None:
    assert parse_decimal(str(number)) == number


@given(SPELLINGS | st.text("0123456789", max_size=30))
def test_a_decimal_that_is_taken_is_what_would_be_written(text: str) -> None:
    try:
        number = parse_decimal(text)
    except MalformedError:
        return
    assert str(number) == text
    assert 0 <= number < 2**63


@given(st.integers(0, LATEST))
def test_times_go_both_ways_and_are_those_of_datetime(seconds: int) -> None:
    text = format_time(seconds)
    assert parse_time(text) == seconds
    assert datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") == text


@given(
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", fullmatch=True
    )
    | st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - the zone is the text's
        lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
)
def test_a_time_is_taken_exactly_if_it_exists_since_1970(text: str) -> None:
    seconds = -1.0
    with suppress(ValueError):
        expected = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if expected.isoformat()[:19] == text[:19]:
            seconds = expected.timestamp()
    if seconds >= 0:
        assert parse_time(text) == seconds
    else:
        with pytest.raises(MalformedError):
            parse_time(text)


@given(VALUES)
def test_our_json_is_that_of_rfc_8785(value: Json) -> None:
    data = encode_json(value)
    assert data == rfc8785.dumps(value)
    assert json.loads(data) == value


@given(ROWS)
def test_records_are_spelled_as_rfc_8785_spells_them(row: Row) -> None:
    data = encode_json(row)
    assert data == rfc8785.dumps(json.loads(data))
    assert decode_json(data, Row) == row


@given(ROWS, st.sampled_from([None, 0, 1, "\t"]), st.booleans(), st.booleans())
def test_a_record_in_another_spelling_is_refused(
    row: Row,
    indent: int | str | None,
    sort: bool,  # noqa: FBT001 - an example, not an option
    wide: bool,  # noqa: FBT001 - as above
) -> None:
    data = encode_json(row)
    separators = (", ", ": ") if wide else (",", ":")
    members = json.loads(data)
    if not sort:
        members = dict(reversed(members.items()))
    other = json.dumps(
        members, indent=indent, separators=separators, ensure_ascii=False
    ).encode()
    if other == data:
        assert decode_json(other, Row) == row
    else:
        with pytest.raises(MalformedError):
            decode_json(other, Row)


@given(VALUES.map(json.dumps).map(str.encode) | st.binary(max_size=60))
def test_json_that_is_taken_is_canonical_whatever_it_is(data: bytes) -> None:
    kind = dict[str, int | str | list[int | str] | dict[str, int]]
    try:
        value = decode_json(data, kind)
    except MalformedError:
        return
    assert rfc8785.dumps(json.loads(data)) == data
    assert json.loads(data) == value


@given(st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3))
def test_ascii_is_demanded_exactly_where_a_string_holds_something_else(
    value: dict[str, str],
) -> None:
    data = encode_json(value)
    strings = [*value, *value.values()]
    printable = all(char.isascii() and char.isprintable() for char in "".join(strings))
    assert decode_json(data, dict[str, str], ascii_only=False) == value
    if printable:
        assert decode_json(data, dict[str, str]) == value
    else:
        with pytest.raises(MalformedError):
            decode_json(data, dict[str, str])


@given(st.text() | st.binary())
def test_what_messages_show_is_printable_ascii(text: str | bytes) -> None:
    found = shown(text)
    assert found.isascii()
    assert found.isprintable()
