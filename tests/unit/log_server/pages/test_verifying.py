"""/verify hands out the file that is released, with its own policy once more."""

import gzip
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from log_server.pages import verifying
from log_server.pages.assembly import assemble, policy_of
from tests.support.vectors import ROOT

FILE = assemble(ROOT)


def test_the_served_page_is_the_file_byte_for_byte(reader: FlaskClient) -> None:
    plain = reader.get("/verify", headers={"Accept-Encoding": "identity"})
    packed = reader.get("/verify", headers={"Accept-Encoding": "gzip"})
    assert plain.data == FILE
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == FILE
    assert plain.content_type == packed.content_type == "text/html; charset=utf-8"


def test_the_header_says_the_files_own_policy_and_no_frames(
    reader: FlaskClient,
) -> None:
    answer = reader.get("/verify")
    policy = answer.headers["Content-Security-Policy"]
    assert policy == f"{policy_of(FILE)}; frame-ancestors 'none'"
    assert "unsafe" not in policy
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_whoever_has_it_is_not_sent_it_again(reader: FlaskClient) -> None:
    for encoding in ("identity", "gzip"):
        headers = {"Accept-Encoding": encoding}
        tag = reader.get("/verify", headers=headers).headers["ETag"]
        again = reader.get("/verify", headers={**headers, "If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")


def test_an_installed_log_serves_the_file_that_came_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "verify.html").write_bytes(b"made with the wheel")
    monkeypatch.setattr(verifying, "files", lambda _name: tmp_path)
    assert verifying.whole.__wrapped__() == b"made with the wheel"


def test_a_parameter_is_refused(reader: FlaskClient) -> None:
    assert reader.get("/verify?url=https://x.example").status_code == 400
