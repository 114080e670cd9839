"""/checkpoint and /tile/...: the log as any C2SP client reads it."""

import gzip

import pytest
from flask.testing import FlaskClient

from pcrlog.checkpoint import open_checkpoint
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import parse_bundle
from tests.unit.log_server.parties import Log


def test_the_checkpoint_is_text_that_is_never_kept_unasked(
    log: Log, client: FlaskClient
) -> None:
    answer = client.get("/checkpoint")
    note = UnverifiedNote.parse(answer.data)
    assert open_checkpoint(note, log.config.vkey()).size == 2
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/tile/0/000.p/2", "/tile/entries/000.p/2"])
def test_tiles_are_octets_that_may_be_kept_for_ever(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.parametrize("path", ["/checkpoint", "/tile/0/000.p/2"])
def test_an_etag_spares_the_body(client: FlaskClient, path: str) -> None:
    tag = client.get(path).headers["ETag"]
    answer = client.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_entry_bundles_are_compressed_for_those_who_ask(client: FlaskClient) -> None:
    path = "/tile/entries/000.p/2"
    plain = client.get(path)
    small = client.get(path, headers={"Accept-Encoding": "gzip, identity"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == plain.data
    assert len(parse_bundle(plain.data, 2)) == 2
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert small.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert (
        "Content-Encoding"
        not in client.get(
            "/tile/0/000.p/2", headers={"Accept-Encoding": "gzip"}
        ).headers
    )


def test_head_answers_without_a_body(client: FlaskClient) -> None:
    answer = client.head("/tile/0/000.p/2")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == "64"


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/000",
        "/tile/0/000.p/1",
        "/tile/0/000.p/0",
        "/tile/0/000.p/02",
        "/tile/0/000.p/256",
        "/tile/0/0",
        "/tile/00/000.p/2",
        "/tile/0/x000/000.p/2",
        "/tile/1/000",
        "/tile/0/000.p/2/",
        "/tile/0/../0/000.p/2",
        "/tile/0/.000.p",
        "/tile/entries/001",
        "/tile/",
        "/tile/../../log.db",
        "/tile/%2e%2e/%2e%2e/keys/log.skey",
        "/tile/0/000.p/2%0A",
    ],
)
def test_only_what_is_published_under_its_one_path_is_there(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_files_are_only_read(client: FlaskClient) -> None:
    for path in ("/checkpoint", "/tile/0/000.p/2"):
        for method in ("POST", "PUT", "DELETE"):
            answer = client.open(path, method=method)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == "GET, HEAD"
