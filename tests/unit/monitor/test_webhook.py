"""The webhook: signed as Standard Webhooks has it, and honest about refusals."""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from monitor import config
from monitor.sinks import RefusedError
from monitor.webhook import WebhookSink, parse_secrets, sign, webhook_body
from pcrlog.errors import UsageError
from tests.support.vectors import ROOT
from tests.support.webhook import SECRET, Receiver, verify
from tests.unit.monitor.delivering import HOSTILE, NOW, alert

NAME = "a" * 32
DOCUMENT = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


def sink(folder: Path, url: str, secret: bytes | None = SECRET) -> WebhookSink:
    if secret is None:
        return WebhookSink(config.Webhook("pager", url), folder)
    (folder / "secret").write_bytes(secret)
    return WebhookSink(config.Webhook("pager", url, "secret"), folder)


# --- the signature --------------------------------------------------------------------


def test_the_signature_is_an_hmac_that_anybody_can_compute() -> None:
    body = b'{"kind":"fork"}'
    signed = b"%s.%d.%s" % (NAME.encode(), NOW, body)
    want = b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert sign([SECRET], NAME, NOW, body) == f"v1,{want}"


def test_each_of_two_secrets_signs_while_they_are_exchanged() -> None:
    headers = {"webhook-id": NAME, "webhook-timestamp": str(NOW)}
    headers["webhook-signature"] = sign([b"new" * 11, SECRET], NAME, NOW, b"body")
    for secret in (b"new" * 11, SECRET):
        verify(secret, headers, b"body", NOW)


def test_a_receiver_takes_what_is_signed_now(tmp_path: Path) -> None:
    with Receiver() as receiver:
        receiver.secret = SECRET
        one = sink(tmp_path, receiver.url)
        with pytest.raises(RefusedError, match="answered 401"):
            one.deliver(alert(1), NOW - 10**7)
        with pytest.raises(RefusedError, match="look at url and secret_file"):
            one.deliver(alert(1), NOW - 10**7)
        one.close()
        assert "is not within 300 s" in receiver.forged[0]


@pytest.mark.parametrize(
    ("data", "count"),
    [(SECRET, 1), (SECRET + b"\r\n", 1), (SECRET + b"\nwhsec_" + b"QUFB" * 8, 2)],
)
def test_secrets_are_lines(data: bytes, count: int) -> None:
    assert len(parse_secrets(data)) == count


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"a" * 513,
        b"\n".join([SECRET] * 3),
        SECRET + b"\n\n" + SECRET,
        b"whsec_" + b"!" * 40,
        b"whsec_QUFB",
        b"whsec_\xff" + b"A" * 40,
    ],
)
def test_what_is_no_secret_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="the webhook's secret"):
        parse_secrets(data)


# --- the body -------------------------------------------------------------------------


def test_the_body_has_the_members_of_the_alert_and_a_text() -> None:
    body = json.loads(webhook_body(alert(3)))
    assert body == {
        "about": "wallet 3",
        "do": "stop what still runs it; if nobody of yours did it, a key is stolen",
        "entries": [3],
        "evidence": None,
        "found": "found",
        "id": alert(3).id,
        "kind": "revoked",
        "log": "log.example/pcr",
        "severity": "alarm",
        "text": body["text"],
        "time": NOW,
        "why": "a statement or measurement of a watched product was revoked",
    }
    assert body["text"].splitlines()[0] == (
        "ALARM revoked: wallet 3: found (entries 3)"
    )


def test_a_chat_shows_no_link_mention_or_line_that_a_log_made_up() -> None:
    text = json.loads(webhook_body(alert(3, about=f"<!channel> {HOSTILE}")))["text"]
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt;" in text
    assert len(text.splitlines()) == 4


# --- what a receiver answers ----------------------------------------------------------


def test_what_is_taken_is_signed_and_typed(tmp_path: Path) -> None:
    with Receiver(secret=None) as receiver:
        one = sink(tmp_path, receiver.url)
        one.deliver(alert(3), NOW)
        one.close()
    [taken] = receiver.taken
    verify(SECRET, taken.headers, taken.body, NOW)
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["webhook-id"] == alert(3).id
    assert taken.headers["webhook-timestamp"] == str(NOW)


def test_without_a_secret_nothing_is_signed(tmp_path: Path) -> None:
    with Receiver(secret=None) as receiver:
        one = sink(tmp_path, receiver.url, None)
        one.deliver(alert(3), NOW)
        one.close()
    assert "webhook-signature" not in receiver.taken[0].headers


@pytest.mark.parametrize(
    ("status", "after", "words"),
    [
        (429, 7, "answered 429$"),
        (503, None, "answered 503$"),
        (302, None, "redirects are not followed"),
        (410, None, "may refuse for ever"),
    ],
)
def test_an_answer_that_is_no_yes_is_a_refusal(
    tmp_path: Path, status: int, after: int | None, words: str
) -> None:
    with Receiver(secret=None) as receiver:
        receiver.misbehave("refuse", status=status, retry_after=after)
        one = sink(tmp_path, receiver.url)
        with pytest.raises(RefusedError, match=words) as refused:
            one.deliver(alert(1), NOW)
        one.close()
    assert refused.value.retry_after == after
    assert receiver.taken == []


def test_no_answer_is_a_refusal_that_does_not_tell_the_url(tmp_path: Path) -> None:
    with Receiver() as receiver:
        url = receiver.url
    one = sink(tmp_path, url + "/s3cret")
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1") as refused:
        one.deliver(alert(1), NOW)
    one.close()
    assert "s3cret" not in str(refused.value)


# --- what docs/alerts.md says ---------------------------------------------------------


def test_the_documented_receiver_verifies_what_is_signed() -> None:
    [example] = re.findall(r"(?ms)^```python\n(.*?)^```$", DOCUMENT)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - our own documentation
    headers = {"webhook-id": NAME, "webhook-timestamp": str(NOW)}
    headers["webhook-signature"] = sign([b"new" * 11, SECRET], NAME, NOW, b"body")
    documented = names["verify"]
    assert documented(SECRET, headers, b"body", NOW + 299.0)
    assert not documented(SECRET, headers, b"body", NOW + 301.0)
    assert not documented(SECRET, headers, b"b0dy", NOW)
    assert not documented(b"another" * 4, headers, b"body", NOW)


def test_the_documentation_lists_every_member() -> None:
    [table] = re.findall(r"(?s)\| member \|.*?\n\n", DOCUMENT)
    listed = re.findall(r"(?m)^\| `(\w+)` \|", table)
    assert sorted(listed) == sorted(json.loads(webhook_body(alert(1))))
