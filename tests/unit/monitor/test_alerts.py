"""Alerts: what a log says in them is short, and harmless to whoever reads it."""

import os

import pytest

from monitor.alerts import Alert, LieError
from pcrlog.encoding import encode_json

LOG = "log.example/pcr"
BOUND = 5_000
"""Bytes of JSON that every receiver of alerts takes."""


@pytest.mark.parametrize(
    "text", ["A", '"', "\\", "\u20ac", "\U0001f600", "\x00", "\udc80"]
)
def test_no_log_decides_how_long_an_alert_is(text: str) -> None:
    alert = Alert.of(
        "rollback", LOG, text * 200_000, text * 200_000, time=0, entries=(7,) * 9_999
    )
    assert (len(alert.about), len(alert.found), len(alert.entries)) == (300, 500, 100)
    assert len(encode_json(alert)) < BOUND


@pytest.mark.parametrize(
    "word", ["a\nb", "a\x1b[2Jb", "a\u202eb", os.fsdecode(b"\xff")]
)
def test_an_alert_is_printable_and_has_a_spelling_in_utf8(word: str) -> None:
    alert = LieError(word, "fork", word).alert(LOG, 0)
    assert alert.about.isprintable()
    assert alert.found.isprintable()
    assert "?" in encode_json(alert).decode()


def test_the_id_is_of_what_is_told_and_of_all_entries() -> None:
    def made(about: str, *entries: int) -> str:
        return Alert.of("revoked", LOG, about, "", time=0, entries=entries).id

    assert made("x" * 300) == made("x" * 300 + "y")
    assert made("x", *range(200)) != made("x", *range(201))
