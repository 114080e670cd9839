"""Checkpoints and cosignatures, on those of Tessera and Sunlight."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pcrlog.checkpoint import Checkpoint, cosign, cosignatures, open_checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.merkle import EMPTY_ROOT, leaf_hash, root
from pcrlog.note import (
    COSIGNATURE,
    NoteSigner,
    SignatureLine,
    UnverifiedNote,
    VerifierKey,
)
from tests.support import vectors as known_answers

SIGNER = NoteSigner("log.example/pcr", bytes(32))
WITNESS = NoteSigner("w1.example/a", b"\x01" * 32, COSIGNATURE)
OTHER = NoteSigner("w2.example/b", b"\x02" * 32, COSIGNATURE)
ROOT = encode_base64(b"r" * 32)
TEXT = f"log.example/pcr\n7\n{ROOT}\n"
TIME = 1_795_417_200


def noted(*lines: SignatureLine, text: str = TEXT) -> UnverifiedNote:
    return UnverifiedNote(text, (*SIGNER.sign(text).lines, *lines))


# --- checkpoints ---------------------------------------------------------------------


def test_a_checkpoint_is_three_lines() -> None:
    checkpoint = Checkpoint("log.example/pcr", 7, b"r" * 32)
    assert checkpoint.text() == TEXT
    assert Checkpoint.parse(TEXT) == checkpoint
    assert open_checkpoint(noted(), SIGNER.public) == checkpoint


def test_an_origin_may_be_anything_on_one_line() -> None:
    assert Checkpoint.parse(f"go.sum database tree\n0\n{ROOT}\n").size == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("\n", id="newline"),
        pytest.param("a\n7\n", id="no-root"),
        pytest.param(f"a\n7\n{ROOT}", id="no-newline-at-the-end"),
        pytest.param(f"a\n7\n{ROOT}\n\n", id="blank-line-at-the-end"),
        pytest.param(f"a\n7\n{ROOT}\nextension\n", id="extension"),
        pytest.param(f"a\n7\n{ROOT}\nextension", id="extension-without-newline"),
        pytest.param(f"\n7\n{ROOT}\n", id="no-origin"),
        pytest.param(f"a\n\n{ROOT}\n", id="no-size"),
        pytest.param(f"a\n07\n{ROOT}\n", id="leading-zero"),
        pytest.param(f"a\n+7\n{ROOT}\n", id="plus"),
        pytest.param(f"a\n-7\n{ROOT}\n", id="minus"),
        pytest.param(f"a\n7 \n{ROOT}\n", id="space"),
        pytest.param(f"a\n{2**63}\n{ROOT}\n", id="size-too-large"),
        pytest.param(f"a\n7\n{ROOT}\r\n", id="crlf"),
        pytest.param("a\n7\n\n", id="empty-root"),
        pytest.param(f"a\n7\n{ROOT[:-1]}\n", id="root-without-padding"),
        pytest.param(f"a\n7\n{encode_base64(b'r' * 31)}\n", id="root-of-31-bytes"),
        pytest.param(f"a\n7\n{encode_base64(b'r' * 33)}\n", id="root-of-33-bytes"),
        pytest.param(f"a\n7\n{'72' * 32}\n", id="root-in-hex"),
    ],
)
def test_what_is_almost_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Checkpoint.parse(text)


def test_a_checkpoint_of_another_origin_is_refused_though_it_is_signed() -> None:
    text = TEXT.replace("log.", "lag.")
    with pytest.raises(VerificationError, match=r"'lag\.example/pcr', want log\."):
        open_checkpoint(noted(text=text), SIGNER.public)


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(MalformedError, match="three lines"):
        open_checkpoint(noted(text=TEXT + "extension\n"), SIGNER.public)


def test_a_checkpoint_without_its_logs_signature_is_refused() -> None:
    note = UnverifiedNote(TEXT, (cosign(TEXT, WITNESS, TIME),))
    with pytest.raises(VerificationError, match="no signature line"):
        open_checkpoint(note, SIGNER.public)


# --- cosignatures --------------------------------------------------------------------


def test_who_cosigned_is_known_with_the_time() -> None:
    note = noted(cosign(TEXT, WITNESS, TIME), cosign(TEXT, OTHER, TIME + 5))
    keys = [WITNESS.public, OTHER.public]
    assert cosignatures(note, keys) == {WITNESS.public: TIME, OTHER.public: TIME + 5}
    assert cosignatures(note, keys[:1]) == {WITNESS.public: TIME}
    assert not cosignatures(note, [])
    assert open_checkpoint(note, SIGNER.public).size == 7


def test_the_newest_of_two_cosignatures_counts() -> None:
    for times in ((TIME, TIME + 9), (TIME + 9, TIME)):
        note = noted(*(cosign(TEXT, WITNESS, time) for time in times))
        assert cosignatures(note, [WITNESS.public]) == {WITNESS.public: TIME + 9}


def test_a_cosignature_is_of_its_text_time_and_key() -> None:
    good = cosign(TEXT, WITNESS, TIME)
    late = SignatureLine(
        good.name, good.key_hash, (TIME + 1).to_bytes(8) + good.signature[8:]
    )
    elsewhere = cosign(TEXT.replace("7", "8"), WITNESS, TIME)
    stolen = SignatureLine(OTHER.public.name, OTHER.public.key_hash, good.signature)
    note = noted(late, elsewhere, stolen)
    assert not cosignatures(note, [WITNESS.public, OTHER.public])


def test_a_witness_line_that_is_wrong_says_nothing_against_a_right_one() -> None:
    good = cosign(TEXT, WITNESS, TIME)
    wrong = [
        SignatureLine(good.name, good.key_hash, data)
        for data in (b"x", bytes(64), bytes(72), good.signature + b"\x00")
    ]
    note = noted(*wrong, good, *wrong)
    assert cosignatures(note, [WITNESS.public]) == {WITNESS.public: TIME}
    assert open_checkpoint(note, SIGNER.public).size == 7


def test_a_plain_signature_is_no_cosignature_and_the_other_way_round() -> None:
    plain = NoteSigner("w1.example/a", b"\x01" * 32)
    as_plain = plain.line(cosign(TEXT, WITNESS, TIME).signature)
    assert not cosignatures(noted(as_plain), [plain.public])
    as_cosignature = WITNESS.line(bytes(8) + plain.raw(TEXT.encode()))
    assert not cosignatures(noted(as_cosignature), [WITNESS.public])


def test_the_time_of_a_cosignature_is_below_2_to_the_63() -> None:
    """FORMATS.md 4.1: beyond it no verifier needs to follow."""
    note = noted(cosign(TEXT, WITNESS, 2**63 - 1))
    assert cosignatures(note, [WITNESS.public]) == {WITNESS.public: 2**63 - 1}
    note = noted(cosign(TEXT, WITNESS, 2**63))
    assert not cosignatures(note, [WITNESS.public])


# --- known answers -------------------------------------------------------------------


def load(section: str, directory: Path) -> Any:
    return json.loads((directory / "kat.json").read_bytes())[section]


def test_tesseras_checkpoints_verify_and_are_signed_again_bit_by_bit(
    vectors: Path,
) -> None:
    log = load("tessera_testlog", vectors)
    key, signer = VerifierKey.parse(log["vkey"]), NoteSigner.parse(log["skey"])
    assert signer.public == key
    leaves = [leaf_hash(leaf.encode()) for leaf in log["leaves"]]
    assert len(log["checkpoints"]) == 16
    for size, published in enumerate(log["checkpoints"]):
        note = UnverifiedNote.parse(published.encode())
        checkpoint = open_checkpoint(note, key)
        expected = Checkpoint(key.name, size, root(leaves[:size]))
        assert checkpoint == expected
        assert bytes(signer.sign(expected.text())) == published.encode()


def test_tesseras_files_are_the_known_checkpoints(vectors: Path) -> None:
    published = load("tessera_testlog", vectors)["checkpoints"]
    for size, note in enumerate(published):
        file = vectors / "tessera-log" / f"checkpoint.{size}"
        assert file.read_bytes() == note.encode()


def test_the_empty_log_signs_the_root_of_nothing(vectors: Path) -> None:
    log = load("tessera_testlog", vectors)
    note = UnverifiedNote.parse(log["checkpoints"][0].encode())
    assert open_checkpoint(note, VerifierKey.parse(log["vkey"])).root == EMPTY_ROOT


def sunlight(directory: Path) -> Iterator[dict[str, Any]]:
    yield from load("cosignatures_0x04", directory)


@pytest.mark.parametrize(
    "case",
    known_answers.cases(sunlight, name=lambda case: case["vkey"].partition("+")[0]),
)
def test_sunlights_cosignatures_verify(case: dict[str, Any]) -> None:
    note, key = (
        UnverifiedNote.parse(case["note"].encode()),
        VerifierKey.parse(case["vkey"]),
    )
    assert cosignatures(note, [key]) == {key: case["time"]}
    assert bytes(note) == case["note"].encode()
    later = UnverifiedNote(note.text.replace("300", "301"), note.lines)
    assert not cosignatures(later, [key])


def test_the_known_witness_cosigns_bit_by_bit(vectors: Path) -> None:
    case = load("tlog_proof", vectors)
    name, seed = "witness.example/w1", bytes.fromhex(case["witness_seed_hex"])
    witness = NoteSigner(name, seed, COSIGNATURE)
    assert str(witness.public) == case["witness_vkey"]
    data = (vectors / case["file"]).read_bytes()
    note = UnverifiedNote.parse(data.partition(b"\n\n")[2])
    assert cosignatures(note, [witness.public]) == {witness.public: case["time"]}
    assert cosign(note.text, witness, case["time"]) in note.lines
