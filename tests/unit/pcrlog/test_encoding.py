"""One spelling of everything: base64, hex, decimals, times, canonical JSON."""

import json

import msgspec
import pytest

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
    sha256,
    shown,
)
from pcrlog.errors import MalformedError
from pcrlog.predicates import Integer


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the refused examples below would have to be."""

    b: str
    a: int = 0
    c: tuple[int, ...] | None = None
    d: dict[str, int] | None = None


def test_sha256_is_the_hash_of_fips_180() -> None:
    assert sha256(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"a", "YQ=="),
        (b"ab", "YWI="),
        (b"abc", "YWJj"),
        (b"abcabc", "YWJjYWJj"),
        (b"\xfb\xff", "+/8="),
    ],
)
def test_base64_is_that_of_rfc_4648(data: bytes, text: str) -> None:
    assert encode_base64(data) == text
    assert decode_base64(text) == data


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Zg", id="no-padding"),
        pytest.param("Zg=", id="half-the-padding"),
        pytest.param("Zg===", id="too-much-padding"),
        pytest.param("Zm9v=", id="padding-where-none-is-due"),
        pytest.param("Zm9v====", id="a-group-of-padding"),
        pytest.param("=", id="padding-alone"),
        pytest.param("Zh==", id="bits-after-the-end"),
        pytest.param("Zm9=", id="bits-after-the-end-of-two"),
        pytest.param("-_8=", id="url-alphabet"),
        pytest.param("Zm9v\n", id="newline"),
        pytest.param("Zm 9v", id="space"),
        pytest.param(" Zm9v", id="leading-space"),
        pytest.param("Zm9v!", id="junk"),
        pytest.param("Zg==Zg==", id="two-in-one"),
        pytest.param("Zm9é", id="not-ascii"),
        pytest.param("Zm9\udc80", id="lone-surrogate"),
    ],
)
def test_base64_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="base64"):
        decode_base64(text)


def test_hex_is_lower_case_and_of_the_size_that_is_wanted() -> None:
    assert decode_hex("00ff") == b"\x00\xff"
    assert decode_hex("") == b""
    assert decode_hex("00ff", 2) == b"\x00\xff"
    with pytest.raises(MalformedError, match="expected 6 hex digits, found 4"):
        decode_hex("00ff", 3)


@pytest.mark.parametrize(
    "text", ["0", "00FF", "0x00", "zz", "00 ff", "00\n", "\uff10\uff10", "00f"]
)
def test_hex_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="lower-case hex"):
        decode_hex(text)


@pytest.mark.parametrize("number", [0, 1, 9, 10, 2**53, 2**63 - 1])
def test_a_decimal_is_what_str_writes(number: int) -> None:
    assert parse_decimal(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "01",
        "-0",
        "-1",
        "+5",
        " 5",
        "5 ",
        "5\n",
        "1_0",
        "1.0",
        "1e3",
        "0x1",
        "٣",
        "\uff15",
        str(2**63),
        "9" * 19,
        "1" * 20,
        "1" * 5000,
    ],
)
def test_a_decimal_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="expected a decimal"):
        parse_decimal(text)


def test_a_decimal_is_bounded_by_its_caller() -> None:
    assert parse_decimal("7", 7) == 7
    with pytest.raises(MalformedError, match=r"0\.\.7, found '8'"):
        parse_decimal("8", 7)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:34:56Z", 951_827_696),
        ("2026-11-23T07:00:00Z", 1_795_417_200),
        ("2038-01-19T03:14:08Z", 2**31),
        ("9999-12-31T23:59:59Z", LATEST),
    ],
)
def test_a_time_is_read_and_written_alike(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds
    assert format_time(seconds) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-02-30T00:00:00Z", id="30-february"),
        pytest.param("2023-02-29T00:00:00Z", id="29-february-of-another-year"),
        pytest.param("2100-02-29T00:00:00Z", id="29-february-of-a-century"),
        pytest.param("2026-13-01T00:00:00Z", id="month-13"),
        pytest.param("2026-00-01T00:00:00Z", id="month-0"),
        pytest.param("2026-01-00T00:00:00Z", id="day-0"),
        pytest.param("2026-11-23T07:00:60Z", id="leap-second"),
        pytest.param("2016-12-31T23:59:60Z", id="a-leap-second-that-was"),
        pytest.param("2026-11-23T07:00:61Z", id="second-61"),
        pytest.param("2026-11-23T07:60:00Z", id="minute-60"),
        pytest.param("2026-11-23T24:00:00Z", id="hour-24"),
        pytest.param("1969-12-31T23:59:59Z", id="before-1970"),
        pytest.param("0000-01-01T00:00:00Z", id="year-0"),
        pytest.param("20261123T070000Z", id="basic-format"),
        pytest.param("2026-W48-1T07:00:00Z", id="week-date"),
        pytest.param("2026-327T07:00:00Z", id="day-of-the-year"),
        pytest.param("2026-11-23T07:00Z", id="no-seconds"),
        pytest.param("2026-11-23", id="date"),
        pytest.param("2026-11-23T07:00:00.0Z", id="fraction"),
        pytest.param("2026-11-23T07:00:00", id="no-zone"),
        pytest.param("2026-11-23T07:00:00+00:00", id="offset"),
        pytest.param("2026-11-23t07:00:00z", id="lower-case"),
        pytest.param("2026-11-23 07:00:00Z", id="space"),
        pytest.param("2026-11-23T07:00:00Z\n", id="newline"),
        pytest.param(" 2026-11-23T07:00:00Z", id="leading-space"),
        pytest.param("2026-1-23T07:00:00Z", id="one-digit"),
        pytest.param("٢٠٢٦-11-23T07:00:00Z", id="other-digits"),
        pytest.param("", id="empty"),
    ],
)
def test_a_time_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="expected a time"):
        parse_time(text)


def test_json_has_sorted_members_no_spaces_and_no_defaults() -> None:
    row = Row(b='"\\', a=7, c=(1, 2), d={"y": 1, "x": 2})
    data = rb'{"a":7,"b":"\"\\","c":[1,2],"d":{"x":2,"y":1}}'
    assert encode_json(row) == data
    assert decode_json(data, Row) == row
    assert encode_json(Row(b="")) == b'{"b":""}'


def test_all_of_printable_ascii_is_allowed_in_strings() -> None:
    row = Row(b="".join(map(chr, range(0x20, 0x7F))))
    assert decode_json(encode_json(row), Row) == row


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{ "b":""}', id="space"),
        pytest.param(b'{"b": ""}', id="space-before-a-value"),
        pytest.param(b'{"b":""} ', id="space-at-the-end"),
        pytest.param(b'{"b":""}\n', id="newline-at-the-end"),
        pytest.param(b'{"b":"","a":1}', id="members-not-sorted"),
        pytest.param(b'{"b":"","d":{"y":1,"x":1}}', id="members-within-not-sorted"),
        pytest.param(b'{"b":"","b":""}', id="member-twice"),
        pytest.param(b'{"b":"x","b":"y"}', id="member-twice-with-other-values"),
        pytest.param(b'{"b":"","d":{"x":1,"x":1}}', id="member-within-twice"),
        pytest.param(b'{"b":"","c":null}', id="null"),
        pytest.param(b'{"b":null}', id="null-where-required"),
        pytest.param(b'{"a":0,"b":""}', id="default"),
        pytest.param(b'{"a":1.0,"b":""}', id="float-of-an-integer"),
        pytest.param(b'{"a":1.5,"b":""}', id="float"),
        pytest.param(b'{"a":-0,"b":""}', id="minus-zero"),
        pytest.param(b'{"a":-0.0,"b":""}', id="minus-zero-float"),
        pytest.param(b'{"a":1e0,"b":""}', id="exponent"),
        pytest.param(b'{"a":10E1,"b":""}', id="capital-exponent"),
        pytest.param(b'{"a":01,"b":""}', id="leading-zero"),
        pytest.param(b'{"a":+1,"b":""}', id="plus"),
        pytest.param(b'{"a":"1","b":""}', id="number-in-a-string"),
        pytest.param(b'{"a":true,"b":""}', id="true-for-a-number"),
        pytest.param(b'{"a":NaN,"b":""}', id="nan"),
        pytest.param(rb'{"b":"\u0041"}', id="escaped-letter"),
        pytest.param(rb'{"\u0062":""}', id="escaped-name"),
        pytest.param(rb'{"b":"\/"}', id="escaped-slash"),
        pytest.param(rb'{"b":"\u0022"}', id="escape-of-a-quote-by-number"),
        pytest.param(b'{"b":"","e":1}', id="unknown-member"),
        pytest.param(b'{"a":1}', id="missing-member"),
        pytest.param(b'[{"b":""}]', id="another-type"),
        pytest.param(b'\xef\xbb\xbf{"b":""}', id="byte-order-mark"),
        pytest.param(b'{"b":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"b":"\xed\xa0\x80"}', id="surrogate-in-utf-8"),
        pytest.param(b'{"b":"\xc1\x81"}', id="overlong-utf-8"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"b":""}{"b":""}', id="two-values"),
        pytest.param(b'{"b":"",}', id="trailing-comma"),
        pytest.param(b'{"b":""}//', id="comment"),
    ],
)
def test_json_in_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_json(data, Row)
    with pytest.raises(MalformedError):
        decode_json(data, Row, ascii_only=False)


@pytest.mark.parametrize(
    "string",
    [
        pytest.param(r"\n", id="newline"),
        pytest.param(r"\t", id="tab"),
        pytest.param(r"\u0000", id="zero"),
        pytest.param(r"\u001f", id="control"),
        pytest.param(r"\\\n", id="newline-after-a-backslash"),
        pytest.param("\x7f", id="delete"),
        pytest.param("é", id="latin"),
        pytest.param("\u2028", id="line-separator"),
        pytest.param("\U0001f600", id="beyond-the-bmp"),
    ],
)
def test_strings_are_printable_ascii_unless_the_caller_says_otherwise(
    string: str,
) -> None:
    """Each is canonical JSON: only the statement's own rule refuses it."""
    data = f'{{"b":"{string}"}}'.encode()
    assert decode_json(data, Row, ascii_only=False).b == json.loads(f'"{string}"')
    with pytest.raises(MalformedError, match="printable ASCII"):
        decode_json(data, Row)


@pytest.mark.parametrize("string", [r"\\n", r"\\\\", r"\"\\u0041", r"\\\""])
def test_an_escaped_backslash_is_no_escape_of_what_follows(string: str) -> None:
    data = f'{{"b":"{string}"}}'.encode()
    assert decode_json(data, Row).b == json.loads(f'"{string}"')


def test_names_of_members_are_printable_ascii() -> None:
    with pytest.raises(MalformedError, match="printable ASCII"):
        decode_json('{"b":"","d":{"é":1}}'.encode(), Row)


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"b":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"b":"","c":' + b"[" * 100_000,
    ],
    ids=["open", "closed", "objects", "inside"],
)
@pytest.mark.parametrize("kind", [Row, object, list[object]], ids=str)
def test_depth_is_refused_and_does_not_crash(bomb: bytes, kind: type[object]) -> None:
    with pytest.raises(MalformedError):
        decode_json(bomb, kind)


def test_integers_beyond_the_bound_are_refused_where_it_is_declared() -> None:
    assert decode_json(b"[9007199254740991]", tuple[Integer]) == (2**53 - 1,)
    for number in (b"9007199254740992", b"-1", b"1" * 400):
        with pytest.raises(MalformedError):
            decode_json(b"[" + number + b"]", tuple[Integer])


def test_what_messages_show_is_short_and_escaped() -> None:
    assert shown("é\n") == r"'\xe9\n'"
    assert shown(b"\xff") == r"b'\xff'"
    assert shown("x" * 80) == "'" + "x" * 80 + "'"
    assert shown("x" * 81) == "'" + "x" * 80 + "'..."
