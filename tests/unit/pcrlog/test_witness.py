"""C2SP tlog-witness: the bytes of a request, and of its answers."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pcrlog import limits
from pcrlog.checkpoint import cosign, cosignatures, open_checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.errors import MalformedError
from pcrlog.merkle import check_consistency, leaf_hash, prove_consistency, root
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.witness import (
    REQUEST,
    AddCheckpoint,
    encode_lines,
    encode_size,
    monitoring_path,
    parse_lines,
    parse_size,
)

HASH = encode_base64(b"h" * 32)
NOTE = b"log.example/pcr\n0\nroot\n\n\xe2\x80\x94 log.example/pcr AAAAAAA=\n"


@pytest.fixture(scope="module")
def kat(vectors: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vectors / "kat.json").read_bytes())
    return found


# --- the known answers ---------------------------------------------------------------


def test_the_known_request_is_read_and_written_alike(kat: dict[str, Any]) -> None:
    data = kat["add_checkpoint_3_to_8"].encode()
    asked = AddCheckpoint.parse(data)
    assert asked.old == 3
    assert len(asked.proof) == 4
    assert asked.note == kat["tessera_testlog"]["checkpoints"][8].encode()
    assert bytes(asked) == data


def test_the_known_request_is_made_from_its_log(kat: dict[str, Any]) -> None:
    log = kat["tessera_testlog"]
    leaves = [leaf_hash(leaf.encode()) for leaf in log["leaves"]]

    def node(level: int, index: int) -> bytes:
        return root(leaves[index << level : index + 1 << level])

    note = log["checkpoints"][8].encode()
    asked = AddCheckpoint(3, prove_consistency(3, 8, node), note)
    assert bytes(asked) == kat["add_checkpoint_3_to_8"].encode()


def test_the_known_proof_leads_from_3_to_8(kat: dict[str, Any]) -> None:
    key = VerifierKey.parse(kat["tessera_testlog"]["vkey"])
    was = kat["tessera_testlog"]["checkpoints"][3].encode()
    asked = AddCheckpoint.parse(kat["add_checkpoint_3_to_8"].encode())
    old, new = (
        open_checkpoint(UnverifiedNote.parse(note), key) for note in (was, asked.note)
    )
    check_consistency(old.size, new.size, asked.proof, old.root, new.root)


def test_the_known_cosignature_is_an_answer_read_and_written_alike(
    kat: dict[str, Any],
) -> None:
    case = kat["tlog_proof"]
    row = case["text"].encode().splitlines(keepends=True)[-1]
    lines = parse_lines(row)
    assert encode_lines(lines) == row
    signed = AddCheckpoint.parse(kat["add_checkpoint_3_to_8"].encode()).note
    witness = VerifierKey.parse(case["witness_vkey"])
    note = UnverifiedNote.parse(signed + row)
    assert cosignatures(note, [witness]) == {witness: case["time"]}
    seed = bytes.fromhex(case["witness_seed_hex"])
    signer = NoteSigner("witness.example/w1", seed, COSIGNATURE)
    assert encode_lines([cosign(note.text, signer, case["time"])]) == row


@pytest.mark.parametrize("number", [0, 1])
def test_known_cosignatures_are_answers(kat: dict[str, Any], number: int) -> None:
    case = kat["cosignatures_0x04"][number]
    text, _, rows = case["note"].rpartition("\n\n")
    lines = parse_lines(rows.encode())
    assert encode_lines(lines) == rows.encode()
    key = VerifierKey.parse(case["vkey"])
    note = UnverifiedNote(f"{text}\n", lines)
    assert cosignatures(note, [key]) == {key: case["time"]}


def test_the_monitoring_path_is_the_origins_hash() -> None:
    """FORMATS.md 7.5: sunlight's."""
    named = "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"
    assert monitoring_path("rome2026h1.example.org") == f"{named}/checkpoint"
    other = sha256("lög.example".encode()).hexdigest()
    assert monitoring_path("lög.example") == f"{other}/checkpoint"


# --- a request -----------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [0, 1, 62, 63])
@pytest.mark.parametrize("old", [0, 1, 2**63 - 1])
def test_a_request_of_up_to_63_hashes_is_one(old: int, hashes: int) -> None:
    data = f"old {old}\n{(HASH + chr(10)) * hashes}\n".encode() + NOTE
    asked = AddCheckpoint.parse(data)
    assert asked == AddCheckpoint(old, (b"h" * 32,) * hashes, NOTE)
    assert bytes(asked) == data


def test_64_hashes_are_refused() -> None:
    data = f"old 0\n{(HASH + chr(10)) * 64}\n".encode() + NOTE
    with pytest.raises(MalformedError, match="64 hashes in a proof, at most 63"):
        AddCheckpoint.parse(data)


def test_the_note_is_what_follows_the_first_blank_line() -> None:
    assert AddCheckpoint.parse(b"old 0\n\na\n\nb").note == b"a\n\nb"
    assert AddCheckpoint.parse(b"old 0\n\n\n\n").note == b"\n\n"


def test_the_largest_request_is_read_and_a_larger_one_is_not() -> None:
    largest = AddCheckpoint(2**63 - 1, (b"h" * 32,) * 63, b"n" * limits.NOTE)
    assert len(bytes(largest)) <= REQUEST
    assert AddCheckpoint.parse(bytes(largest)) == largest
    head = b"old 0\n\n"
    full = head + b"n" * (REQUEST - len(head))
    assert len(AddCheckpoint.parse(full).note) == REQUEST - len(head)
    with pytest.raises(MalformedError, match=f"has {REQUEST + 1} bytes, at most"):
        AddCheckpoint.parse(full + b"n")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="empty"),
        pytest.param("old 0\n", id="old-alone"),
        pytest.param("old 0\nnote", id="no-blank-line"),
        pytest.param("\nold 0\n\nnote", id="blank-first"),
        pytest.param("\n\nnote", id="no-old"),
        pytest.param("0\n\nnote", id="a-number-alone"),
        pytest.param("Old 0\n\nnote", id="capital"),
        pytest.param("old\n\nnote", id="no-number"),
        pytest.param("old \n\nnote", id="an-empty-number"),
        pytest.param("old  0\n\nnote", id="two-spaces"),
        pytest.param("old\t0\n\nnote", id="tab"),
        pytest.param("old 0 \n\nnote", id="space-behind"),
        pytest.param(" old 0\n\nnote", id="space-before"),
        pytest.param("old 00\n\nnote", id="leading-zero"),
        pytest.param("old +1\n\nnote", id="plus"),
        pytest.param("old -1\n\nnote", id="minus"),
        pytest.param("old 1_0\n\nnote", id="underscore"),
        pytest.param("old 0x1\n\nnote", id="hex"),
        pytest.param("old \u0661\n\nnote", id="arabic-digit"),
        pytest.param("old \u00b2\n\nnote", id="latin-1-digit"),
        pytest.param(f"old {2**63}\n\nnote", id="number-too-large"),
        pytest.param("old 0\nold 0\n\nnote", id="old-twice"),
        pytest.param(f"{HASH}\nold 0\n\nnote", id="hash-first"),
        pytest.param(f"old 0\n{HASH[:-1]}\n\nnote", id="hash-unpadded"),
        pytest.param(f"old 0\n{HASH}=\n\nnote", id="hash-padded-twice"),
        pytest.param(f"old 0\n{HASH[:-2]}h=\n\nnote", id="hash-with-trailing-bits"),
        pytest.param(f"old 0\n{HASH} \n\nnote", id="hash-and-space"),
        pytest.param(f"old 0\n{HASH}{HASH}\n\nnote", id="two-hashes-in-a-line"),
        pytest.param(f"old 0\n{'68' * 32}\n\nnote", id="hash-in-hex"),
        pytest.param(f"old 0\n{HASH}é\n\nnote", id="hash-not-ascii"),
        pytest.param(f"old 0\n{encode_base64(b'h' * 31)}\n\nnote", id="hash-of-31"),
        pytest.param(f"old 0\n{encode_base64(b'h' * 33)}\n\nnote", id="hash-of-33"),
        pytest.param(f"old 0\r\n{HASH}\r\n\r\nnote", id="crlf"),
        pytest.param(f"old 0\n{HASH}\r\n\nnote", id="crlf-once"),
        pytest.param(f"old 0\x85{HASH}\n\nnote", id="next-line"),
    ],
)
def test_what_is_almost_a_request_is_refused(data: str) -> None:
    with pytest.raises(MalformedError):
        AddCheckpoint.parse(data.encode())


def test_a_refusal_says_what_was_expected_and_found() -> None:
    with pytest.raises(MalformedError, match=r"`old <size>`.*found 'new 3'"):
        AddCheckpoint.parse(b"new 3\n\nnote")
    with pytest.raises(MalformedError, match="hashes of 32 bytes, found one of 3"):
        AddCheckpoint.parse(b"old 3\naaaa\n\nnote")


def test_a_request_has_one_spelling(kat: dict[str, Any]) -> None:
    """Whatever byte is changed, taken away or doubled: refused, or itself again."""
    data = kat["add_checkpoint_3_to_8"].encode()
    above = data.index(b"\n\n") + 2
    read = 0
    for place in range(above):
        for mangled in (
            data[:place] + data[place + 1 :],
            data[: place + 1] + data[place:],
            data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
            data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :],
            data[:place],
        ):
            try:
                asked = AddCheckpoint.parse(mangled)
            except MalformedError:
                continue
            assert bytes(asked) == mangled
            read += 1
    assert 0 < read < 5 * above


# --- answers -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10, 2**63 - 1])
def test_a_size_is_read_and_written_alike(size: int) -> None:
    assert encode_size(size) == f"{size}\n".encode()
    assert parse_size(encode_size(size)) == size


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"3",
        b"3\n\n",
        b"3\r\n",
        b" 3\n",
        b"03\n",
        b"+3\n",
        b"-3\n",
        b"3\n4\n",
        b"\xb2\n",
        b"\xff\xfe\n",
        f"{2**63}\n".encode(),
        b"9" * 5_000 + b"\n",
        b"<html>\n",
    ],
    ids=repr,
)
def test_what_is_almost_a_size_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_size(body)


ROW = "\u2014 w.example/a AAAAAAA=\n"


def test_an_answer_holds_one_line_or_64() -> None:
    for count in (1, 2, 64):
        body = ROW.encode() * count
        lines = parse_lines(body)
        assert len(lines) == count
        assert encode_lines(lines) == body
    with pytest.raises(MalformedError, match="65 signatures, at most 64"):
        parse_lines(ROW.encode() * 65)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("\n", id="line-feed"),
        pytest.param(ROW[:-1], id="no-line-feed"),
        pytest.param("\n" + ROW, id="line-feed-first"),
        pytest.param("\n\n" + ROW, id="blank-line-first"),
        pytest.param(ROW + "\n", id="line-feed-last"),
        pytest.param(ROW + "\n" + ROW, id="blank-line-between"),
        pytest.param("text\n\n" + ROW, id="a-note"),
        pytest.param("ok\n", id="a-word"),
        pytest.param(ROW.replace("\u2014", "-"), id="another-dash"),
        pytest.param(ROW.replace("\n", "\r\n"), id="crlf"),
        pytest.param(ROW.replace("AAAAAAA=", "AAAA"), id="no-signature"),
        pytest.param(ROW.replace("AAAAAAA=", "AAAAAAA"), id="unpadded"),
        pytest.param(ROW + "x" * limits.NOTE, id="larger-than-a-note"),
    ],
)
def test_what_is_almost_an_answer_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        parse_lines(body.encode())


def test_what_stands_before_the_lines_is_named() -> None:
    with pytest.raises(MalformedError, match=re.escape(r"alone, found '\n\ntext\n'")):
        parse_lines(b"text\n\n" + ROW.encode())
