from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pcrlog.attestation import cbor
from pcrlog.errors import MalformedError

INTEGERS = st.integers(-(2**64), 2**64 - 1)
KEYS = INTEGERS | st.text(max_size=30)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.binary(max_size=300) | KEYS,
    lambda inner: (
        st.lists(inner, max_size=30).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=30)
    ),
    max_leaves=20,
)

ACCEPTED: dict[str, cbor.Value] = {
    "00": 0,
    "17": 23,
    "1818": 24,
    "18ff": 255,
    "190100": 256,
    "1a00010000": 65536,
    "1b0000000100000000": 1 << 32,
    "1bffffffffffffffff": (1 << 64) - 1,
    "20": -1,
    "3822": -35,
    "3bffffffffffffffff": -(1 << 64),
    "40": b"",
    "420102": b"\x01\x02",
    "60": "",
    "62c3bc": "ü",
    "80": (),
    "820102": (1, 2),
    "9fff": (),
    "9f0102ff": (1, 2),
    "a0": {},
    "a10102": {1: 2},
    "bfff": {},
    "bf0102617800ff": {1: 2, "x": 0},
    "f4": False,
    "f5": True,
    "f6": None,
    "8181818181818180": ((((((((),),),),),),),),
}

REFUSED = {
    "nothing": "",
    "two items": "0000",
    "a byte after an indefinite map": "bfff00",
    "a break alone": "ff",
    "a break in a definite array": "81ff",
    "a break for a value": "bf01ff",
    "no break": "9f01",
    "no break and no item": "bf",
    "a head cut short": "19ff",
    "a head cut off": "1b",
    "a string cut short": "420a",
    "an array cut short": "8201",
    "23 in two bytes": "1817",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2**32-1 in nine bytes": "1b00000000ffffffff",
    "-24 in two bytes": "3817",
    "a length in two bytes": "580101",
    "a count in two bytes": "980101",
    "reserved 28": "1c",
    "reserved 30": "7e",
    "an indefinite integer": "1f",
    "an indefinite byte string": "5f4101ff",
    "an indefinite text string": "7f6161ff",
    "tag 18": "d280",
    "a bignum": "c24101",
    "a date": "c074323031332d30332d32315432303a30343a30305a",
    "undefined": "f7",
    "simple value 0": "e0",
    "simple value 32": "f820",
    "half a float": "f93c00",
    "a float": "fa3f800000",
    "a double": "fb3ff0000000000000",
    "not UTF-8": "61ff",
    "a surrogate": "63eda080",
    "a duplicate key": "a201000100",
    "a duplicate key, indefinite": "bf6161006161 00ff",
    "true for a key beside 1": "a20100f500",
    "a float for a key": "a1fb3ff000000000000000",
    "null for a key": "a1f600",
    "bytes for a key": "a1410000",
    "an array for a key": "a18000",
    "a map for a key": "a1a000",
    "nine deep": "818181818181818180",
    "nine deep, indefinite": "9f9f9f9f9f9f9f9f9fffffffffffffffffff",
    "more items than bytes": "9b7fffffffffffffff",
    "more pairs than bytes": "bb7fffffffffffffff",
    "a longer string than there is": "5bffffffffffffffff",
}


@pytest.mark.parametrize("data", ACCEPTED)
def test_each_listed_form_is_read(data: str) -> None:
    value = cbor.decode(bytes.fromhex(data))
    assert value == ACCEPTED[data]
    assert type(value) is type(ACCEPTED[data])


@pytest.mark.parametrize("reason", REFUSED)
def test_everything_else_is_refused(reason: str) -> None:
    with pytest.raises(MalformedError, match=r"^CBOR at byte \d+: expected .*, found "):
        cbor.decode(bytes.fromhex(REFUSED[reason]))


def test_a_message_says_where_what_was_expected_and_found() -> None:
    with pytest.raises(MalformedError) as caught:
        cbor.decode(bytes.fromhex("830102 43 0a"))
    expected = "CBOR at byte 4: expected a string of 3 bytes, found 1 bytes"
    assert str(caught.value) == expected


def test_offsets_are_those_of_the_whole_when_reading_starts_later() -> None:
    assert cbor.decode(b"\xd2\x01", start=1) == 1
    with pytest.raises(MalformedError, match="at byte 2:"):
        cbor.decode(b"\xd2\x81", start=1)


def test_a_huge_count_is_refused_before_it_costs_anything() -> None:
    with pytest.raises(MalformedError, match=r"expected \d+ items, found 0 bytes"):
        cbor.decode(bytes.fromhex("9bffffffffffffffff"))


def test_integers_beyond_64_bits_are_not_written() -> None:
    with pytest.raises(OverflowError):
        cbor.encode(1 << 64)


@given(VALUES)
@example({1: True, "1": 1, -1: None})
def test_what_is_written_is_read_back_and_is_what_cbor2_writes(value: Any) -> None:
    data = cbor.encode(value)
    assert data == cbor2.dumps(value)
    assert cbor.encode(cbor.decode(data)) == data


@given(VALUES)
def test_a_changed_byte_never_raises_anything_else(value: Any) -> None:
    data = cbor.encode(value)
    for at in range(0, len(data), 1 + len(data) // 20):
        for bit in range(8):
            _read(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        _read(data[:at])


@given(st.binary(max_size=60))
def test_what_is_read_is_what_cbor2_reads(data: bytes) -> None:
    _read(data)


def _read(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedError:
        return
    assert cbor.encode(value) == cbor2.dumps(cbor2.loads(data))
