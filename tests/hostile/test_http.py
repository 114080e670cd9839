"""Whatever is asked of the web process, it answers with a problem that has a type.

Through WSGI, with Flask's client; test_sockets.py has what only a real socket shows.
"""

import io
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from log_server.problems import BY_SLUG, CONTENT_TYPE
from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.envelope import PAYLOAD_TYPE
from tests.unit.log_server.parties import (
    NITRO,
    PRODUCT,
    Party,
    measurement,
    statement_sha256,
)

ENTRIES = "/api/v1/entries"
JSON = "application/json"
MEASURED = f"{NITRO}/{measurement(1)}"
DIGEST = "0" * 64

Served = tuple[Flask, Party]


@pytest.fixture
def client(served: Served) -> FlaskClient:
    app, _ = served
    app.testing = False  # errors are to be answered, not raised
    return app.test_client()


@pytest.fixture(autouse=True)
def _without_mistakes_of_ours(caplog: pytest.LogCaptureFixture) -> Any:
    """The server writes a line about each answer 500; there is to be none."""
    yield
    worst = max((one.levelno for one in caplog.records), default=0)
    assert worst < logging.ERROR, caplog.text


def problem(answer: TestResponse, *slugs: str) -> None:
    """The answer is one of these problems, whole and without a trace of the code."""
    assert answer.content_type == CONTENT_TYPE, (answer.status, answer.data[:200])
    found = json.loads(answer.data)
    assert sorted(found) == ["advice", "detail", "status", "title", "type"]
    slug = found["type"].removeprefix("urn:pcrlog:problem:")
    assert slug in slugs, found
    expected = BY_SLUG[slug]
    assert found["status"] == answer.status_code == expected.status
    assert 400 <= expected.status < 500
    assert found["title"] == expected.title
    assert b"Traceback" not in answer.data
    assert b".py" not in answer.data


# --- bodies --------------------------------------------------------------------------


def envelope(**changes: Any) -> bytes:
    members = {
        "payload": "e30=",
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": DIGEST, "sig": "AA=="}],
    }
    return json.dumps(members | changes, sort_keys=True, separators=(",", ":")).encode()


def inner(payload: bytes) -> bytes:
    return envelope(payload=encode_base64(payload))


BODIES = {
    "nothing": b"",
    "a space": b" ",
    "a NUL": b"\0",
    "null": b"null",
    "a number": b"1e999",
    "a list": b"[]",
    "an object": b"{}",
    "two objects": envelope() * 2,
    "a line after it": envelope() + b"\n",
    "spaces": envelope().replace(b",", b", "),
    "a byte order mark": b"\xef\xbb\xbf" + envelope(),
    "UTF-16": envelope().decode().encode("utf-16"),
    "no UTF-8": envelope().replace(b"e30=", b"\xff\xfe"),
    "half of a surrogate": envelope().replace(b"e30=", rb"\ud800"),
    "a form": b"payload=e30%3D&payloadType=x",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///">]><a>&b;</a>',
    "an archive": b"\x1f\x8b\x08\0\0\0\0\0\0\3",
    "brackets": b"[" * limits.ENVELOPE,
    "braces": b'{"a":' * (limits.ENVELOPE // 5),
    "brackets in the payload": inner(b"[" * 9_000),
    "braces in the payload": inner(b'{"a":' * 4_000),
    "brackets in an unknown member": envelope(more=[[[[[[]]]]]]),
    "digits": envelope(payload=1).replace(b"1", b"9" * 9_000),
    "a long string": envelope(payload="A" * 32_000),
    "a long keyid": envelope(signatures=[{"keyid": "0" * 9_000, "sig": ""}]),
    "many signatures": envelope(signatures=[{"keyid": DIGEST, "sig": ""}] * 300),
    "no signatures": envelope(signatures=[]),
    "a signature twice": envelope(signatures=[{"keyid": DIGEST, "sig": ""}] * 2),
    "another payload type": envelope(payloadType="text/plain"),
    "a payload that is no object": inner(b"null"),
    "a payload of another type": inner(b'{"predicateType":1}'),
    "a payload without statement": inner(b"{}"),
    "a payload of NULs": inner(bytes(9_000)),
    "a payload of digits": inner(b'{"predicateType":' + b"9" * 9_000 + b"}"),
    "base64 that is not canonical": envelope(payload="e31="),
    "base64 with a line end": envelope(payload="e3\n0="),
    "base64 of URLs": envelope(payload="-_-_"),
    "a seal": b"pcrlog/seal/v1\n1\n1795417200\n" + b"A" * 43 + b"=\n",
    "a member twice": envelope().replace(b"{", b'{"payload":"",', 1),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_statement_is_malformed(
    client: FlaskClient, name: str
) -> None:
    answer = client.post(ENTRIES, data=BODIES[name], content_type=JSON)
    problem(answer, "malformed")


def test_a_statement_of_an_unknown_type_is_of_an_unknown_kind(
    client: FlaskClient,
) -> None:
    data = inner(b'{"predicateType":"urn:pcrlog:other:v9"}')
    problem(client.post(ENTRIES, data=data, content_type=JSON), "unknown-kind")


def test_every_changed_byte_of_a_statement_is_refused(
    served: Served, client: FlaskClient
) -> None:
    _, acme = served
    data = acme.release(2, "2.0.0")
    for at in range(0, len(data), 7):
        for changed in (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at],
        ):
            answer = client.post(f"{ENTRIES}?wait=0", data=changed, content_type=JSON)
            problem(answer, "malformed", "not-authorised", "wrong-log", "unknown-kind")


KINDS = {
    "none": None,
    "empty": "",
    "text": "text/plain",
    "a form": "application/x-www-form-urlencoded",
    "a multipart form": "multipart/form-data; boundary=x",
    "nearly": "application/jsonx",
    "more than": "application/vnd.in-toto+json",
    "two": "application/json, text/plain",
    "beyond ASCII": "\xff\xfe",
    "a wildcard": "*/*",
    "long": "application/" + "x" * 9_000,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_body_of_another_type_is_refused(client: FlaskClient, name: str) -> None:
    answer = client.post(ENTRIES, data=envelope(), content_type=KINDS[name])
    problem(answer, "media-type")


@pytest.mark.parametrize(
    "parameters",
    ["; charset=utf-16", ";;;", "; charset=", '; charset="utf-8', ";a=b" * 2_000],
    ids=["another charset", "empty", "no charset", "half a quote", "many"],
)
def test_a_charset_changes_nothing(client: FlaskClient, parameters: str) -> None:
    """JSON is in UTF-8 whatever a header says (RFC 8259 section 8.1)."""
    answer = client.post(ENTRIES, data=envelope(), content_type=JSON + parameters)
    problem(answer, "malformed")


LENGTHS = ["", "-1", "abc", "1_0", "+2", "0x2", "1e1", "\u0661", " 2", "9" * 5_000]


@pytest.mark.parametrize("length", LENGTHS, ids=lambda text: ascii(text)[:20])
def test_a_length_that_is_none_is_no_length(client: FlaskClient, length: str) -> None:
    answer = client.post(
        ENTRIES,
        data=envelope(),
        content_type=JSON,
        environ_overrides={"CONTENT_LENGTH": length},
    )
    problem(answer, "malformed", "too-large")


@pytest.mark.parametrize("declared", [0, 1, 10, 99_999])
def test_a_length_that_is_not_that_of_the_body_is_refused(
    client: FlaskClient, declared: int
) -> None:
    answer = client.post(
        ENTRIES,
        data=envelope(),
        content_type=JSON,
        environ_overrides={"CONTENT_LENGTH": str(declared)},
    )
    problem(answer, "malformed", "too-large")


@pytest.mark.parametrize("size", [limits.ENVELOPE + 1, 2 * limits.ENVELOPE, 1 << 22])
@pytest.mark.parametrize("length", ["declared", "chunked", "both"])
def test_a_body_that_is_too_large_is_too_large(
    client: FlaskClient, size: int, length: str
) -> None:
    chunked = {"Transfer-Encoding": "chunked"} if length != "declared" else {}
    overrides: dict[str, Any] = {}
    if chunked:
        overrides["wsgi.input_terminated"] = True
    if length == "chunked":
        overrides["CONTENT_LENGTH"] = ""
    answer = client.post(
        ENTRIES,
        input_stream=io.BytesIO(b" " * size),
        content_type=JSON,
        content_length=size,
        headers=chunked,
        environ_overrides=overrides,
    )
    problem(answer, "too-large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x, y"])
def test_a_body_is_never_unpacked(client: FlaskClient, encoding: str) -> None:
    answer = client.post(
        ENTRIES,
        data=b"\x1f\x8b\x08\0\0\0\0\0\0\3",
        content_type=JSON,
        headers={"Content-Encoding": encoding},
    )
    problem(answer, "media-type")


# --- numbers, hashes, parameters -----------------------------------------------------

NUMBERS = {
    "Arabic digits": "\u0661",
    "full-width digits": "\uff11",
    "a superscript": "\u00b2",
    "a plus": "+1",
    "a minus": "-1",
    "minus zero": "-0",
    "a leading zero": "01",
    "two zeros": "00",
    "an underscore": "1_0",
    "a space": " 1",
    "a space after": "1 ",
    "a line end": "1\n",
    "a NUL": "1\0",
    "hexadecimal": "0x1",
    "a fraction": "1.0",
    "an exponent": "1e3",
    "not a number": "nan",
    "infinity": "inf",
    "words": "one",
    "2^53": str(2**53),
    "2^63": str(2**63),
    "2^64": str(2**64),
    "5000 digits": "9" * 5_000,
    "a tab": "\t1",
    "quotes": '"1"',
    "SQL": "1 or 1=1",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_one_spelling(client: FlaskClient, name: str) -> None:
    number = NUMBERS[name]
    for path in (f"{ENTRIES}/{quote(number)}", f"{ENTRIES}/{quote(number)}/proof"):
        problem(client.get(path), "parameter")
    answer = client.post(
        ENTRIES, query_string={"wait": number}, data=b"{}", content_type=JSON
    )
    problem(answer, "parameter")


HASHES = {
    "short": "0" * 63,
    "long": "0" * 65,
    "very long": "0" * 99_999,
    "upper case": "A" * 64,
    "no hex": "g" * 64,
    "Arabic digits": "\u0661" * 64,
    "a line end": DIGEST + "\n",
    "base64": "A" * 43 + "=",
    "a NUL": DIGEST[:-1] + "\0",
    "dots": "..",
}


@pytest.mark.parametrize("name", HASHES)
def test_a_hash_has_one_spelling(client: FlaskClient, name: str) -> None:
    for path in (f"{ENTRIES}/by-sha256", "/api/v1/submissions"):
        problem(
            client.get(f"{path}/{quote(HASHES[name])}"), "parameter", "no-such-path"
        )


READS = {
    f"{ENTRIES}/0": {},
    f"{ENTRIES}/0/proof": {},
    f"{ENTRIES}/by-sha256/{DIGEST}": {},
    f"/api/v1/submissions/{DIGEST}": {},
    "/api/v1/bundle": {"product": PRODUCT, "measurement": MEASURED},
    "/api/v1/lookup": {"product": PRODUCT},
    "/api/v1/search": {"q": "acme"},
    "/api/v1/key": {},
    "/healthz": {},
    "/openapi.json": {},
}
"""Each route that reads, and parameters that it takes; /metrics takes any."""


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "name",
    ["more", "", "Q", "q[]", "product\0", "\u0661", "x" * 9_000, "__proto__"],
    ids=lambda text: ascii(text)[:12],
)
def test_an_unknown_parameter_is_refused(
    client: FlaskClient, path: str, name: str
) -> None:
    query = {**READS[path], name: "1"}
    problem(client.get(path, query_string=query), "parameter")


@pytest.mark.parametrize("path", [path for path, query in READS.items() if query])
def test_a_parameter_stands_once(client: FlaskClient, path: str) -> None:
    [name, *_] = READS[path]
    for count in (2, 9_000):
        query = [(name, READS[path][name])] * count
        rest = [pair for pair in READS[path].items() if pair[0] != name]
        problem(client.get(path, query_string=dict_of(query + rest)), "parameter")


def dict_of(pairs: list[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


VALUES = {
    "empty": "",
    "a space": " ",
    "a NUL": "acme.example/\0",
    "a line end": f"{PRODUCT}\n",
    "upper case": PRODUCT.upper(),
    "beyond ASCII": "acme.ex\u00e4mple/wallet",
    "a path": "../../log.toml",
    "dots": "../..",
    "a wildcard": "acme.example/*",
    "SQL": "a' or '1'='1",
    "LIKE": "acme.example/%",
    "percent twice": "acme.example%252fwallet",
    "a surrogate": "\udc80".encode("utf-8", "surrogateescape").decode("latin-1"),
    "long": "a" * 99_999,
    "long, with dots": "a." * 49_999 + "/b",
    "long, with hyphens": "a-" * 49_999 + "/b",
    "many slashes": "/" * 9_999,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_not_of_its_form_is_refused(
    client: FlaskClient, name: str
) -> None:
    value = VALUES[name]
    for path, query in (
        ("/api/v1/bundle", {"product": value, "measurement": MEASURED}),
        ("/api/v1/bundle", {"product": PRODUCT, "measurement": value}),
        ("/api/v1/lookup", {"product": value}),
        ("/api/v1/lookup", {"measurement": value}),
        ("/api/v1/lookup", {"identity": value}),
    ):
        problem(client.get(path, query_string=query), "parameter")


MEASUREMENTS = {
    "another platform's register": f"{NITRO}/PCR0",
    "no platform": measurement(1),
    "an algorithm without digest": f"{NITRO}/PCR0=sha384:",
    "an odd digest": f"{NITRO}/PCR0=sha384:0g",
    "a long digest": f"{NITRO}/PCR0=sha384:{'0' * 129}",
    "many registers and a comma": f"{NITRO}/" + "PCR0=sha384:00," * 5_000,
    "a long platform": "x" * 33 + "/PCR0=sha384:00",
}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_that_is_none_is_refused(client: FlaskClient, name: str) -> None:
    query = {"product": PRODUCT, "measurement": MEASUREMENTS[name]}
    problem(client.get("/api/v1/bundle", query_string=query), "parameter")


@pytest.mark.parametrize("count", [33, 5_000])
def test_there_are_so_many_measurements_and_auditors_and_no_more(
    client: FlaskClient, count: int
) -> None:
    for name, value in (("measurement", MEASURED), ("auditor", "lab.example")):
        query = {"product": [PRODUCT], "measurement": [MEASURED], name: [value] * count}
        problem(client.get("/api/v1/bundle", query_string=query), "parameter")


# --- paths and methods ---------------------------------------------------------------

PATHS = {
    "a slash after it": f"{ENTRIES}/0/",
    "a NUL": f"{ENTRIES}%00",
    "a NUL in a tile": "/tile/0/000%00",
    "a NUL after the checkpoint": "/checkpoint%00",
    "dots": "/tile/0/../../log.toml",
    "dots, encoded": "/tile/%2e%2e/%2e%2e/log.toml",
    "slashes, encoded": "/tile/..%2f..%2flog.toml",
    "backslashes": "/tile/..\\..\\log.toml",
    "slashes, encoded twice": "/tile/..%252f..%252flog.toml",
    "too long a UTF-8": "/tile/%c0%ae%c0%ae/log.toml",
    "no UTF-8": "/%ff%fe",
    "a broken escape": "/%zz",
    "a tile's other spelling": "/tile/0/0",
    "a tile in Arabic digits": "/tile/0/\u0660\u0660\u0660",
    "a tile of width 0": "/tile/0/000.p/0",
    "a tile of width 256": "/tile/0/000.p/256",
    "a tile at level 8": "/tile/8/000",
    "a tile at level -1": "/tile/-1/000",
    "a tile that is not there": "/tile/0/x999/999",
    "many groups": "/tile/0/" + "x000/" * 5_000 + "000",
    "a folder": "/tile/0",
    "the other files": "/log.toml",
    "the keys": "/keys/log.key",
    "upper case": "/CHECKPOINT",
    "long": "/" + "a" * 99_999,
    "many slashes": "/" * 9_999,
    "many segments": "/a" * 49_999,
    "wrong version": "/api/v2/entries/0",
    "a semicolon": f"{ENTRIES};jsessionid=1",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_leads_nowhere_is_none(client: FlaskClient, name: str) -> None:
    problem(client.get(PATHS[name]), "no-such-path")


@pytest.mark.parametrize("path", ["/api/v1//entries/0", "/api//v1/key"])
def test_a_path_has_one_spelling(client: FlaskClient, path: str) -> None:
    """The redirect is a page in HTML, to whatever host the request named."""
    answer = client.get(path, headers={"Host": "elsewhere.example"})
    problem(answer, "no-such-path")


METHODS = ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "A" * 9_000]


@pytest.mark.parametrize("method", METHODS, ids=lambda text: text[:9])
def test_a_method_that_a_path_does_not_take_is_refused(
    client: FlaskClient, method: str
) -> None:
    for path in (*READS, ENTRIES, "/checkpoint", "/tile/0/000.p/1", "/metrics"):
        answer = client.open(path, method=method, data=b"body")
        problem(answer, "method")
        assert "POST" in answer.headers["Allow"] or "GET" in answer.headers["Allow"]
    problem(client.open("/nowhere", method=method), "no-such-path")


def test_what_reads_takes_no_body_and_what_writes_is_not_read(
    client: FlaskClient,
) -> None:
    problem(client.get(ENTRIES), "method")
    for path in READS:
        problem(client.post(path, data=b"{}", content_type=JSON), "method")


def test_head_is_get_without_a_body(client: FlaskClient) -> None:
    for path, query in [*READS.items(), ("/checkpoint", {}), ("/nowhere", {})]:
        head, get = (
            client.open(path, method=method, query_string=query)
            for method in ("HEAD", "GET")
        )
        assert head.data == b""
        assert (head.status, head.content_type) == (get.status, get.content_type)


def test_options_are_the_methods_and_nothing_else(client: FlaskClient) -> None:
    for path in (*READS, ENTRIES):
        answer = client.options(path)
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["Allow"]
    problem(client.options("/checkpoint"), "method")


HEADERS: dict[str, dict[str, str]] = {
    "no host": {"Host": ""},
    "a host that is none": {"Host": "[::1"},
    "another host": {"Host": "elsewhere.example:99999999"},
    "a host in another alphabet": {"Host": "\xff\xfe"},
    "cookies": {"Cookie": "\xff=;;; a=" + "b" * 9_000},
    "a range": {"Range": "bytes=0-0,-1,5-" + "9" * 999},
    "another method": {"X-HTTP-Method-Override": "DELETE"},
    "another path": {"X-Original-URL": "/log.toml", "X-Rewrite-URL": "/log.toml"},
    "somebody else": {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "a b"},
    "a quality that is no number": {"Accept-Encoding": "gzip;q=nan, *;q=1e999"},
    "many encodings": {"Accept-Encoding": "gzip;q=0," * 9_999},
    "no answer is acceptable": {"Accept": "image/png;q=0", "Accept-Charset": "x"},
    "a date that is none": {"If-Modified-Since": "never", "If-Match": '"'},
    "a password": {"Authorization": "Basic \xff"},
    "a digest": {"Authorization": "Digest " + 'a="' * 999},
    "long": {"X": "y" * 99_999},
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_changes_nothing(client: FlaskClient, name: str) -> None:
    for path, query in [*READS.items(), ("/checkpoint", {})]:
        plain = client.get(path, query_string=query)
        answer = client.get(path, query_string=query, headers=HEADERS[name])
        assert answer.status_code == plain.status_code
        if answer.headers.get("Content-Encoding") is None and path != "/healthz":
            assert answer.data == plain.data


def test_a_statement_is_found_by_its_hash_in_one_spelling(
    served: Served, client: FlaskClient
) -> None:
    _, acme = served
    digest = statement_sha256(acme.release())
    path = f"{ENTRIES}/by-sha256"
    assert client.get(f"{path}/{digest}").status_code == 200
    problem(client.get(f"{path}/{digest.upper()}"), "parameter")
    problem(client.get(f"{path}/{digest}%0a"), "parameter")
