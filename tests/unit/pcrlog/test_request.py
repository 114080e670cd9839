"""Requests to the registrar: each key proves that somebody holds it."""

import json
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import request
from pcrlog.encoding import encode_base64
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.keys import ECDSA_P256, SigningKey
from pcrlog.request import Request, Rotation
from tests.support.memory_log import key

Json: TypeAlias = dict[str, Any]

LOG, NAME = "log.example/pcr", "acme.example"
ONE, OTHER = key("one"), key("other")
ROTATION = Rotation(b'{"a":1}', {"0" * 64: b"sig", "1" * 64: b"gis"})


def table_of(rotation: Rotation | None = None) -> Json:
    decoded: Json = json.loads(request.encode(LOG, NAME, [ONE, OTHER], rotation))
    return decoded


def parse(table: Json) -> Request:
    return Request.parse(
        json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    )


def test_an_enrolment_names_the_keys_that_are_held() -> None:
    parsed = parse(table_of())
    assert parsed == Request(LOG, NAME, (ONE.public.spki, OTHER.public.spki), None)


def test_a_rotation_carries_the_statement_and_the_signatures_so_far() -> None:
    parsed = parse(table_of(ROTATION))
    assert parsed.rotation == ROTATION
    assert len(parsed.spki) == 2


def test_a_rotation_that_adds_no_key_proves_none() -> None:
    parsed = Request.parse(request.encode(LOG, NAME, [], ROTATION))
    assert parsed == Request(LOG, NAME, (), ROTATION)


def test_an_enrolment_without_a_key_is_refused() -> None:
    with pytest.raises(MalformedError, match="at least one key"):
        Request.parse(request.encode(LOG, NAME, []))


def test_a_p256_key_is_proven_too() -> None:
    held = SigningKey.generate(ECDSA_P256)
    assert Request.parse(request.encode(LOG, NAME, [held])).spki == (held.public.spki,)


def test_what_is_signed_is_log_name_and_payload_a_line_each() -> None:
    for rotation, payload in ((None, b""), (ROTATION, ROTATION.payload)):
        table = json.loads(request.encode(LOG, NAME, [ONE], rotation))
        message = (
            b"pcrlog/request/v1\nlog.example/pcr\nacme.example\n" + payload + b"\n"
        )
        assert table["keys"][0]["sig"] == encode_base64(ONE.sign(message))


def test_a_key_that_is_not_held_is_refused() -> None:
    """A signature by another key, for another log, name or statement, is no proof."""
    stolen = encode_base64(OTHER.sign(b"pcrlog/request/v1\n"))
    for change in (
        {"log": "other.example/pcr"},
        {"name": "other.example"},
        {"rotation": table_of(ROTATION)["rotation"]},
        {"keys": [{**table_of()["keys"][0], "sig": stolen}]},
        {"keys": [{**table_of()["keys"][0], "sig": table_of()["keys"][1]["sig"]}]},
        {"keys": [{**table_of()["keys"][0], "sig": ""}]},
    ):
        with pytest.raises(VerificationError, match="does not verify"):
            parse({**table_of(), **change})
    table = table_of(ROTATION)
    table["rotation"]["payload"] = encode_base64(b'{"a":2}')
    with pytest.raises(VerificationError, match="does not verify"):
        parse(table)


def test_one_unheld_key_among_many_is_refused() -> None:
    table = table_of()
    table["keys"][1]["sig"] = table["keys"][0]["sig"]
    with pytest.raises(VerificationError):
        parse(table)


def test_a_key_of_another_algorithm_could_not_be_checked() -> None:
    public = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    row = {"key": encode_base64(spki), "sig": "AA=="}
    with pytest.raises(UncheckedError):
        parse({**table_of(), "keys": [row]})


def test_a_key_of_small_order_is_refused() -> None:
    """It would verify a signature that nobody made."""
    spki = bytes.fromhex("302a300506032b6570032100") + b"\x01" + bytes(31)
    signature = b"\x01" + bytes(63)
    row = {"key": encode_base64(spki), "sig": encode_base64(signature)}
    with pytest.raises(MalformedError, match="small order"):
        parse({**table_of(), "keys": [row]})


@pytest.mark.parametrize("member", ["format", "keys", "log", "name"])
def test_each_member_is_required(member: str) -> None:
    table = table_of()
    del table[member]
    with pytest.raises(MalformedError, match="missing required field"):
        parse(table)
    values: list[object] = [None, 1, {}, True]
    for value in values:
        with pytest.raises(MalformedError):
            parse({**table_of(), member: value})


def test_an_unknown_member_is_refused_at_every_level() -> None:
    table = table_of(ROTATION)
    for part in (
        table,
        table["keys"][0],
        table["rotation"],
        table["rotation"]["signatures"][0],
    ):
        part["extra"] = 1
        with pytest.raises(MalformedError, match="unknown field"):
            parse(table)
        del part["extra"]
    parse(table)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("format", "pcrlog-request/v2"),
        ("format", ""),
        ("log", ""),
        ("log", "a b"),
        ("log", "x" * 256),
        ("log", "a\nb"),
        ("name", "ACME.example"),
        ("name", "a" * 64),
        ("name", "acme.example\n"),
        ("name", ""),
        ("rotation", None),
        ("rotation", {}),
        ("keys", [{"key": "", "sig": ""}]),
        ("keys", [{"key": "AA", "sig": ""}]),
        ("keys", [{"key": "AAAA", "sig": ""}]),
        ("keys", [{"key": "AAAA"}]),
    ],
)
def test_members_are_of_their_form(member: str, value: object) -> None:
    with pytest.raises(MalformedError):
        parse({**table_of(), member: value})


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="none"),
        pytest.param([(digit, "AA==") for digit in "012"], id="three"),
        pytest.param([("1", "AA=="), ("0", "AA==")], id="not-ascending"),
        pytest.param([("0", "AA=="), ("0", "AA==")], id="twice"),
        pytest.param([("0", "AA=="), ("0", "AQ==")], id="one-keyid-twice"),
    ],
)
def test_signatures_of_a_rotation_stand_once_and_in_order(
    rows: list[tuple[str, str]],
) -> None:
    table = table_of(ROTATION)
    table["rotation"]["signatures"] = [
        {"keyid": digit * 64, "sig": sig} for digit, sig in rows
    ]
    with pytest.raises(MalformedError):
        parse(table)


def test_a_request_has_at_most_16_keys() -> None:
    keys = [key(f"key {n}") for n in range(17)]
    assert len(Request.parse(request.encode(LOG, NAME, keys[:16])).spki) == 16
    with pytest.raises(MalformedError):
        Request.parse(request.encode(LOG, NAME, keys))


def test_a_request_has_at_most_64_kib() -> None:
    large = Rotation(b"x" * 48_000, {"0" * 64: b"sig"})
    assert Request.parse(request.encode(LOG, NAME, [ONE], large)).rotation == large
    larger = Rotation(b"x" * 49_200, {"0" * 64: b"sig"})
    with pytest.raises(MalformedError, match="at most 65536"):
        Request.parse(request.encode(LOG, NAME, [ONE], larger))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 60_000,
        b"\xff",
        b" " + request.encode(LOG, NAME, [ONE]),
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Request.parse(data)


def test_a_file_may_end_in_a_newline() -> None:
    data = request.encode(LOG, NAME, [ONE])
    assert Request.parse(data + b"\n") == Request.parse(data)
