"""Signed notes and their keys, on Go's own examples and on what is almost one."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.note import (
    COSIGNATURE,
    ED25519,
    NoteSigner,
    SignatureLine,
    UnverifiedNote,
    VerifierKey,
)

NEUMANN = VerifierKey.parse(
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
)
ROOT = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
SIGNER = NoteSigner("log.example/pcr", bytes(32))
TEXT = "text\n"
LINE = str(SIGNER.sign(TEXT).lines[0])


def parsed(*lines: str, text: str = TEXT) -> UnverifiedNote:
    rows = "".join(f"{line}\n" for line in lines)
    return UnverifiedNote.parse(f"{text}\n{rows}".encode())


# --- known answers -------------------------------------------------------------------


def test_published_notes_verify_and_are_spelled_as_they_were(vectors: Path) -> None:
    answers = json.loads((vectors / "kat.json").read_bytes())
    notes: list[dict[str, Any]] = answers["notes"]
    assert len(notes) == 3
    for case in notes:
        data = case["note"].encode()
        note, key = UnverifiedNote.parse(data), VerifierKey.parse(case["vkey"])
        assert str(key) == case["vkey"]
        assert bytes(note) == data
        assert note.verify(key) == note.text
        assert data.startswith(note.text.encode() + b"\n\xe2\x80\x94 ")


def test_the_published_signing_key_signs_the_published_note(vectors: Path) -> None:
    case = json.loads((vectors / "kat.json").read_bytes())["notes"][0]
    signer = NoteSigner.parse(case["skey"])
    assert signer.skey() == case["skey"]
    assert str(signer.public) == case["vkey"]
    text = case["note"].partition("\n\n")[0] + "\n"
    assert bytes(signer.sign(text)) == case["note"].encode()


@pytest.mark.parametrize(
    ("vkey", "kind"),
    [
        (ROOT, ED25519),
        (
            "EnochRoot+d75d1412+BDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
            COSIGNATURE,
        ),
        (
            "example.org/key+57bfe580+BAFFLINGNESS+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            COSIGNATURE,
        ),
    ],
    ids=["log", "witness", "plus-in-the-base64"],
)
def test_published_vkeys_are_read_and_written(vkey: str, kind: int) -> None:
    key = VerifierKey.parse(vkey)
    assert key.kind == kind
    assert str(key) == vkey


def test_one_seed_has_two_hashes_for_its_two_types() -> None:
    log = NoteSigner("EnochRoot", bytes(32)).public
    witness = NoteSigner("EnochRoot", bytes(32), COSIGNATURE).public
    assert (log.key_hash.hex(), witness.key_hash.hex()) == ("af0cfe78", "d75d1412")
    assert log.public == witness.public


# --- notes ---------------------------------------------------------------------------


def test_the_last_blank_line_separates() -> None:
    note = SIGNER.sign("a\n\nb\n\n\nc\n")
    assert UnverifiedNote.parse(bytes(note)) == note
    assert note.verify(SIGNER.public) == "a\n\nb\n\n\nc\n"


@pytest.mark.parametrize("text", ["\n", "a\n", "é — \x7f\u2028\ufeff\n", "\n\n\n"])
def test_any_text_without_control_characters_can_be_signed(text: str) -> None:
    note = UnverifiedNote.parse(bytes(SIGNER.sign(text)))
    assert note.text == text
    assert note.verify(SIGNER.public) == text


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n", id="nothing-around-the-blank-line"),
        pytest.param(b"text\n", id="no-blank-line"),
        pytest.param(b"text\n\n", id="no-lines"),
        pytest.param(f"text\n{LINE}\n".encode(), id="one-newline-before-the-lines"),
        pytest.param(f"text\n\n{LINE}".encode(), id="no-newline-at-the-end"),
        pytest.param(f"text\n\n{LINE}\n\n".encode(), id="blank-line-at-the-end"),
        pytest.param(f"text\n\n{LINE}\nmore\n".encode(), id="another-line-after"),
        pytest.param(f"text\n\nmore\n{LINE}\n".encode(), id="another-line-before"),
        pytest.param(f"text\r\n\r\n{LINE}\r\n".encode(), id="crlf"),
        pytest.param(f"tex\tt\n\n{LINE}\n".encode(), id="tab"),
        pytest.param(f"tex\0t\n\n{LINE}\n".encode(), id="zero"),
        pytest.param(f"tex\x1ft\n\n{LINE}\n".encode(), id="control"),
        pytest.param(f"text\n\n{LINE}\x00\n".encode(), id="control-in-a-line"),
        pytest.param(b"tex\xfft\n\n" + f"{LINE}\n".encode(), id="not-utf-8"),
        pytest.param(b"text\xed\xa0\x80\n\n" + f"{LINE}\n".encode(), id="surrogate"),
        pytest.param(b"text\xc1\x81\n\n" + f"{LINE}\n".encode(), id="overlong"),
    ],
)
def test_what_is_almost_a_note_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"note|signature line"):
        UnverifiedNote.parse(data)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE.replace("\u2014", "-"), id="hyphen"),
        pytest.param(LINE.replace("\u2014", "\u2013"), id="en-dash"),
        pytest.param(LINE.replace("\u2014 ", "\u2014"), id="no-space-after-the-dash"),
        pytest.param(LINE.replace("\u2014 ", "\u2014  "), id="two-spaces"),
        pytest.param(" " + LINE, id="leading-space"),
        pytest.param(LINE + " ", id="trailing-space"),
        pytest.param(LINE.replace("log.example/pcr", "log+x"), id="plus-in-a-name"),
        pytest.param(LINE.replace("log.example/pcr", "log x"), id="space-in-a-name"),
        pytest.param(
            LINE.replace("log.example/pcr", "log\u00a0x"), id="no-break-space"
        ),
        pytest.param(
            LINE.replace("log.example/pcr", "log\u2028x"), id="line-separator"
        ),
        pytest.param(LINE.replace("log.example/pcr", ""), id="no-name"),
        pytest.param(LINE[:-1], id="base64-cut"),
        pytest.param(LINE + "=", id="base64-padding"),
        pytest.param("\u2014 log.example/pcr", id="no-signature"),
        pytest.param("\u2014 log.example/pcr ", id="empty-signature"),
        pytest.param("\u2014 log.example/pcr AAAA", id="three-bytes"),
        pytest.param("\u2014 log.example/pcr AAAAAA==", id="key-hash-alone"),
        pytest.param("\u2014 log.example/pcr AAAAAAB=", id="bits-after-the-end"),
        pytest.param("\u2014 log.example/pcr A-_AAAA=", id="url-alphabet"),
    ],
)
def test_what_is_almost_a_signature_line_condemns_the_note(line: str) -> None:
    with pytest.raises(MalformedError):
        parsed(LINE, line, LINE)


def test_a_signature_may_have_any_length_from_one_byte() -> None:
    note = parsed("\u2014 x AAAAAAE=")
    assert note.lines == (SignatureLine("x", bytes(4), b"\x01"),)


def test_a_note_has_at_most_64_signatures() -> None:
    assert len(parsed(*[LINE] * 64).lines) == 64
    with pytest.raises(MalformedError, match="65 signatures, at most 64"):
        parsed(*[LINE] * 65)


def test_a_note_has_at_most_64_kib() -> None:
    rest = len(bytes(SIGNER.sign("\n")))
    whole = bytes(SIGNER.sign("x" * (limits.NOTE - rest) + "\n"))
    assert len(UnverifiedNote.parse(whole).text) == limits.NOTE - rest + 1
    with pytest.raises(MalformedError, match="65537 bytes, at most 65536"):
        UnverifiedNote.parse(b"x" + whole)


# --- verification --------------------------------------------------------------------


def test_a_text_is_returned_only_to_who_has_its_key() -> None:
    note = SIGNER.sign(TEXT)
    assert note.verify(SIGNER.public) == TEXT
    for other in (
        NoteSigner("log.example/pcr", b"\x01" * 32),
        NoteSigner("log.example/other", bytes(32)),
        NoteSigner("log.example/pcr", bytes(32), COSIGNATURE),
    ):
        with pytest.raises(VerificationError, match="no signature line"):
            note.verify(other.public)


def test_another_text_does_not_verify() -> None:
    for text in ("texts\n", "Text\n", "text\n\n", "\n"):
        with pytest.raises(VerificationError, match="does not verify"):
            parsed(LINE, text=text).verify(SIGNER.public)


def test_the_order_of_lines_does_not_matter() -> None:
    other = str(NoteSigner("w.example", b"\x02" * 32).sign(TEXT).lines[0])
    for lines in ((LINE, other), (other, LINE), (other, other, LINE)):
        assert parsed(*lines).verify(SIGNER.public) == TEXT


def test_lines_of_unknown_keys_are_ignored_though_they_are_wrong() -> None:
    public = SIGNER.public
    same_name = SignatureLine(public.name, b"\x00\x01\x02\x03", bytes(64))
    same_hash = SignatureLine("other.example", public.key_hash, bytes(64))
    assert parsed(LINE, str(same_name), str(same_hash)).verify(public) == TEXT


@pytest.mark.parametrize("length", [1, 63, 64, 65, 72])
def test_a_wrong_line_of_a_known_key_condemns_the_note(length: int) -> None:
    """Whatever right lines of it there are beside (FORMATS.md pitfall 9)."""
    public = SIGNER.public
    wrong = str(SignatureLine(public.name, public.key_hash, bytes(length)))
    for lines in ((LINE, wrong), (wrong, LINE), (wrong,)):
        with pytest.raises(VerificationError, match="does not verify"):
            parsed(*lines).verify(public)


def test_a_right_line_twice_is_one_signature() -> None:
    note = parsed(LINE, LINE)
    assert note.verify(SIGNER.public) == TEXT
    assert len(note.of(SIGNER.public)) == 1


def test_a_witness_key_verifies_no_note() -> None:
    """Its signatures are over another message."""
    witness = NoteSigner("w.example", bytes(32), COSIGNATURE)
    note = witness.sign(TEXT)
    with pytest.raises(VerificationError, match="no signature line"):
        note.verify(witness.public)


# --- vkeys and skeys -----------------------------------------------------------------


def vkey(name: str, kind: int, public: bytes) -> str:
    """A vkey with the right hash, whatever it is of."""
    digest = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()
    return f"{name}+{digest[:4].hex()}+{encode_base64(bytes([kind]) + public)}"


PUBLIC = NEUMANN.public


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("name", id="no-plus"),
        pytest.param("name+c74f20a3", id="one-plus"),
        pytest.param(str(NEUMANN).replace("c74f20a3", "c74f20a4"), id="other-hash"),
        pytest.param(
            str(NEUMANN).replace("c74f20a3", "C74F20A3"), id="upper-case-hash"
        ),
        pytest.param(str(NEUMANN).replace("c74f20a3", "c74f20"), id="short-hash"),
        pytest.param(str(NEUMANN).replace("Peter", "peter"), id="other-name"),
        pytest.param(str(NEUMANN) + "=", id="padding"),
        pytest.param(str(NEUMANN) + "\n", id="newline"),
        pytest.param(" " + str(NEUMANN), id="leading-space"),
        pytest.param(vkey("", ED25519, PUBLIC), id="no-name"),
        pytest.param(vkey("a b", ED25519, PUBLIC), id="space-in-the-name"),
        pytest.param(vkey("a\u2003b", ED25519, PUBLIC), id="em-space-in-the-name"),
        pytest.param(vkey("a\nb", ED25519, PUBLIC), id="newline-in-the-name"),
        pytest.param(vkey("a" * 256, ED25519, PUBLIC), id="name-of-256-bytes"),
        pytest.param(vkey("é" * 128, ED25519, PUBLIC), id="name-of-256-bytes-of-utf-8"),
        pytest.param("a\udc80+" + str(NEUMANN).partition("+")[2], id="lone-surrogate"),
        pytest.param(vkey("a", ED25519, PUBLIC[:-1]), id="31-bytes"),
        pytest.param(vkey("a", ED25519, PUBLIC + b"\x00"), id="33-bytes"),
        pytest.param(vkey("a", ED25519, b""), id="no-key"),
        *(
            pytest.param(vkey("a", kind, PUBLIC), id=f"type-{kind:#04x}")
            for kind in (0x00, 0x02, 0x03, 0x05, 0x06, 0xFF)
        ),
    ],
)
def test_what_is_almost_a_vkey_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a/b.c~d_e"])
def test_a_name_may_have_255_bytes(name: str) -> None:
    text = vkey(name, ED25519, PUBLIC)
    assert VerifierKey.parse(text).name == name


def skey(name: str, kind: int, seed: bytes) -> str:
    """An skey with the right hash, if there can be one."""
    public = NoteSigner("x", (seed + bytes(32))[:32]).public.public
    digest = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()
    encoded = encode_base64(bytes([kind]) + seed)
    return f"PRIVATE+KEY+{name}+{digest[:4].hex()}+{encoded}"


SKEY = SIGNER.skey()


def test_an_skey_is_read_and_written() -> None:
    for kind in (ED25519, COSIGNATURE):
        text = NoteSigner("a/b", b"s" * 32, kind).skey()
        assert text == skey("a/b", kind, b"s" * 32)
        assert NoteSigner.parse(text).skey() == text
        assert NoteSigner.parse(text).public.kind == kind


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(ROOT, id="a-vkey"),
        pytest.param(SKEY.replace("PRIVATE", "private"), id="lower-case"),
        pytest.param(SKEY.replace("PRIVATE+KEY", "PRIVATE+key"), id="lower-case-key"),
        pytest.param(SKEY.replace("PRIVATE+KEY+", "PRIVATE+"), id="no-key-word"),
        pytest.param(SKEY.replace("log.", "lag."), id="other-name"),
        pytest.param(SKEY.replace("pcr+", "pcr+0"), id="longer-hash"),
        pytest.param(SKEY + "\n", id="newline"),
        pytest.param(SKEY[:-1], id="cut"),
        pytest.param("PRIVATE+KEY+a+00000000+", id="nothing"),
        pytest.param(skey("a", ED25519, b"s" * 31), id="31-bytes"),
        pytest.param(skey("a", ED25519, b"s" * 33), id="33-bytes"),
        pytest.param(skey("a", ED25519, b""), id="no-seed"),
        pytest.param(skey("", ED25519, b"s" * 32), id="no-name"),
        pytest.param(skey("a b", ED25519, b"s" * 32), id="space-in-the-name"),
        pytest.param("PRIVATE+KEY+a\udc80+00000000+AAAA", id="lone-surrogate"),
        *(
            pytest.param(skey("a", kind, b"s" * 32), id=f"type-{kind:#04x}")
            for kind in (0x00, 0x02, 0x06, 0xFF)
        ),
    ],
)
def test_what_is_almost_an_skey_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        NoteSigner.parse(text)
    assert text[-20:] not in str(caught.value) or not text, "a secret is not shown"
