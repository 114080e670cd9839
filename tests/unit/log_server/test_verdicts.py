"""What each answer of a witness means, FORMATS.md 4.2 and section 8 point by point."""

import pytest

from log_server.verdicts import SKEW, Cosigned, Elsewhere, Failed, Verdict, judge
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, cosign
from pcrlog.errors import TransportError
from pcrlog.exchange import Answer
from pcrlog.note import COSIGNATURE, NoteSigner
from pcrlog.witness import SIZE_TYPE, encode_lines

TEXT = Checkpoint("log.example/pcr", 7, bytes(32)).text()
OTHER = Checkpoint("log.example/pcr", 8, bytes(32)).text()
NOW = 1_795_590_000
WITNESS = NoteSigner("w1.example/a", b"w" * 32, COSIGNATURE)
STRANGER = NoteSigner("w2.example/b", b"s" * 32, COSIGNATURE)


def verdict(
    status: int, body: bytes = b"", kind: str = "", retry_after: int | None = None
) -> Verdict:
    answer = Answer(status, kind, retry_after, body)
    return judge(answer, TEXT, WITNESS.public, NOW)


def lines(*signers: NoteSigner, text: str = TEXT, seconds: int = NOW) -> bytes:
    return encode_lines([cosign(text, one, seconds) for one in signers])


def problem(found: Verdict) -> str:
    assert isinstance(found, Failed)
    return found.problem


# --- 200 -----------------------------------------------------------------------------


def test_a_cosignature_over_this_checkpoint_counts() -> None:
    line = lines(WITNESS)
    found = verdict(200, line)
    assert found == Cosigned(line.decode().removesuffix("\n"), NOW)


def test_lines_of_unknown_keys_are_dropped() -> None:
    ours = lines(WITNESS).decode().removesuffix("\n")
    for body in (lines(STRANGER, WITNESS), lines(WITNESS, STRANGER)):
        assert verdict(200, body) == Cosigned(ours, NOW)
    assert "no line of w1.example/a" in problem(verdict(200, lines(STRANGER)))


def test_a_line_over_another_checkpoint_does_not_count() -> None:
    assert "no line of" in problem(verdict(200, lines(WITNESS, text=OTHER)))


def test_a_line_with_a_changed_byte_does_not_count() -> None:
    line = cosign(TEXT, WITNESS, NOW)
    for place in range(len(line.signature)):
        spoiled = bytearray(line.signature)
        spoiled[place] ^= 1
        other = type(line)(line.name, line.key_hash, bytes(spoiled))
        assert isinstance(verdict(200, encode_lines([other])), Failed), place


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"<html></html>",
        lines(WITNESS)[:-1],
        b"\n" + lines(WITNESS),
        TEXT.encode() + b"\n" + lines(WITNESS),
        b"\xff\xfe",
        lines(WITNESS) * (limits.NOTE_SIGNATURES + 1),
    ],
)
def test_a_200_of_anything_but_lines_does_not_count(body: bytes) -> None:
    found = verdict(200, body)
    assert isinstance(found, Failed)
    assert not found.alarm


def test_a_time_that_no_client_would_count_does_not_count() -> None:
    for off in (-SKEW, SKEW):
        assert isinstance(verdict(200, lines(WITNESS, seconds=NOW + off)), Cosigned)
    for off in (-SKEW - 1, SKEW + 1):
        found = verdict(200, lines(WITNESS, seconds=NOW + off))
        assert "one of the two clocks is wrong" in problem(found)
        assert str(off) in problem(found)


# --- 409 and 422 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [SIZE_TYPE, "TEXT/X.TLOG.SIZE", f"{SIZE_TYPE}; charset=utf-8", f" {SIZE_TYPE} ;x"],
)
def test_a_409_says_the_size_that_it_is_at(kind: str) -> None:
    assert verdict(409, b"5\n", kind) == Elsewhere(5)


@pytest.mark.parametrize("body", [b"", b"5", b"05\n", b"-1\n", b"5\n\n", b"9" * 30])
def test_a_409_with_no_decimal_does_not_count(body: bytes) -> None:
    found = verdict(409, body, SIZE_TYPE)
    assert "answered 409" in problem(found)
    assert isinstance(found, Failed)
    assert not found.alarm


@pytest.mark.parametrize(
    ("status", "kind"), [(409, ""), (409, "text/plain"), (422, ""), (422, SIZE_TYPE)]
)
def test_another_history_is_an_alarm(status: int, kind: str) -> None:
    found = verdict(status, b"5\n", kind)
    assert isinstance(found, Failed)
    assert found.alarm
    assert "ours does not continue" in found.problem


# --- all others ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (201, "answered 201"),
        (204, "answered 204"),
        (301, "a redirect is not followed"),
        (307, "a redirect is not followed"),
        (308, "a redirect is not followed"),
        (400, "answered 400"),
        (403, "does not take this log's key, or does not know"),
        (404, "does not know this log, or its url is wrong"),
        (429, "raise min_publish_interval"),
        (500, "answered 500"),
        (503, "answered 503"),
    ],
)
def test_any_other_answer_does_not_count_and_is_no_alarm(
    status: int, words: str
) -> None:
    # Not even with a cosignature: only a 200 says that it is on disk there.
    found = verdict(status, lines(WITNESS))
    assert words in problem(found)
    assert isinstance(found, Failed)
    assert not found.alarm


def test_who_asks_for_patience_is_heard() -> None:
    found = verdict(429, retry_after=7)
    assert isinstance(found, Failed)
    assert found.retry_after == 7


def test_no_answer_does_not_count_and_says_why() -> None:
    found = judge(TransportError("could not ask"), TEXT, WITNESS.public, NOW)
    assert found == Failed("could not ask")
