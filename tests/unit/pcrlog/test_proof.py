"""C2SP tlog-proof files."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from pcrlog import limits
from pcrlog.checkpoint import cosignatures
from pcrlog.encoding import encode_base64
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.merkle import prove_inclusion
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.proof import Proof
from tests.support.memory_log import MemoryLog, registers

HEADER = "c2sp.org/tlog-proof@v1\n"
HASH = encode_base64(b"h" * 32)


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    for number in range(5):
        made.release("acme.example/wallet", f"1.0.{number}", registers(str(number)))
    made.seal()
    return made


def proof_of(log: MemoryLog, index: int) -> Proof:
    hashes = prove_inclusion(index, len(log.leaves), log.node)
    return Proof(index, hashes, log.note)


@pytest.fixture
def proof(log: MemoryLog) -> Proof:
    return proof_of(log, 4)


# --- the published file --------------------------------------------------------------


@pytest.fixture
def published(vectors: Path) -> dict[str, Any]:
    answers = json.loads((vectors / "kat.json").read_bytes())
    case = cast("dict[str, Any]", answers["tlog_proof"])
    return {**case, "data": (vectors / case["file"]).read_bytes()}


def test_the_published_file_is_read_and_written_alike(
    published: dict[str, Any],
) -> None:
    proof = Proof.parse(published["data"])
    assert proof.index == 2
    assert len(proof.hashes) == 3
    assert proof.encode() == published["data"] == published["text"].encode()


def test_the_published_file_proves_its_entry_and_no_other(
    published: dict[str, Any],
) -> None:
    proof, key = (
        Proof.parse(published["data"]),
        VerifierKey.parse(published["log_vkey"]),
    )
    entry = published["entry"].encode()
    checkpoint = proof.verify(entry, key)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/log/testdata", 8)
    witness = VerifierKey.parse(published["witness_vkey"])
    note = UnverifiedNote.parse(proof.note)
    assert cosignatures(note, [witness]) == {witness: published["time"]}
    with pytest.raises(VerificationError, match="leads to root"):
        proof.verify(entry + b"!", key)


# --- form ----------------------------------------------------------------------------


def test_a_proof_of_a_log_of_one_has_no_hashes() -> None:
    data = f"{HEADER}index 0\n\nnote".encode()
    assert Proof.parse(data) == Proof(0, (), b"note")
    assert Proof(0, (), b"note").encode() == data


def test_the_note_begins_after_the_first_blank_line() -> None:
    data = f"{HEADER}index 7\n{HASH}\n\na\n\nb\n".encode()
    assert Proof.parse(data) == Proof(7, (b"h" * 32,), b"a\n\nb\n")


def test_an_extra_line_is_read_and_dropped() -> None:
    """It is not authenticated, so nothing may rest on it."""
    data = f"{HEADER}extra AQID\nindex 7\n\nnote".encode()
    assert Proof.parse(data) == Proof(7, (), b"note")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="empty"),
        pytest.param(HEADER, id="header-alone"),
        pytest.param(HEADER + "\nnote", id="no-index"),
        pytest.param(HEADER + "index 7\nnote", id="no-blank-line"),
        pytest.param("index 7\n\nnote", id="no-header"),
        pytest.param(HEADER.replace("v1", "v2") + "index 7\n\nnote", id="version-2"),
        pytest.param(HEADER.upper() + "index 7\n\nnote", id="upper-case"),
        pytest.param(HEADER + "index 07\n\nnote", id="leading-zero"),
        pytest.param(HEADER + "index +7\n\nnote", id="plus"),
        pytest.param(HEADER + "index  7\n\nnote", id="two-spaces"),
        pytest.param(HEADER + "index 7 \n\nnote", id="trailing-space"),
        pytest.param(HEADER + "index\n\nnote", id="no-number"),
        pytest.param(HEADER + "7\n\nnote", id="number-alone"),
        pytest.param(HEADER + f"index {2**63}\n\nnote", id="index-too-large"),
        pytest.param(HEADER + "Index 7\n\nnote", id="capital"),
        pytest.param(f"{HEADER}{HASH}\nindex 7\n\nnote", id="hash-first"),
        pytest.param(f"{HEADER}index 7\nindex 8\n\nnote", id="index-twice"),
        pytest.param(f"{HEADER}index 7\n{HASH[:-1]}\n\nnote", id="hash-unpadded"),
        pytest.param(f"{HEADER}index 7\n{HASH} \n\nnote", id="hash-and-space"),
        pytest.param(f"{HEADER}index 7\n{'68' * 32}\n\nnote", id="hash-in-hex"),
        pytest.param(
            f"{HEADER}index 7\n{encode_base64(b'h' * 31)}\n\nnote",
            id="hash-of-31-bytes",
        ),
        pytest.param(
            f"{HEADER}index 7\n{encode_base64(b'h' * 33)}\n\nnote",
            id="hash-of-33-bytes",
        ),
        pytest.param(
            f"{HEADER}index 7\n\nnote".replace("\n", "\r\n"), id="crlf-throughout"
        ),
        pytest.param(f"{HEADER}index 7\n{HASH}\r\n\nnote", id="crlf-once"),
        pytest.param(f"{HEADER}extra !\nindex 7\n\nnote", id="extra-not-in-base64"),
        pytest.param(
            f"{HEADER}extra AQ==\nextra AQ==\nindex 7\n\nnote", id="extra-twice"
        ),
        pytest.param(
            f"{HEADER}index 7\nextra AQ==\n\nnote", id="extra-after-the-index"
        ),
        pytest.param(f"{HEADER}index 7\n{HASH}é\n\nnote", id="not-ascii"),
        pytest.param(
            f"{HEADER}index 7\n" + f"{HASH}\n" * 64 + "\nnote", id="64-hashes"
        ),
    ],
)
def test_what_is_almost_a_proof_is_refused(data: str) -> None:
    with pytest.raises(MalformedError):
        Proof.parse(data.encode())


def test_a_proof_may_have_63_hashes_and_a_note_of_64_kib() -> None:
    large = Proof(2**63 - 1, (b"h" * 32,) * 63, b"n" * limits.NOTE)
    assert Proof.parse(large.encode()) == large
    with pytest.raises(MalformedError):
        Proof.parse(large.encode() + b"n" * (1 << 20))


# --- verification --------------------------------------------------------------------


def test_every_entry_of_a_log_is_proven(log: MemoryLog) -> None:
    for index, leaf in enumerate(log.leaves):
        made = proof_of(log, index).encode()
        checkpoint = Proof.parse(made).verify(leaf, log.signer.public)
        assert checkpoint.size == len(log.leaves)


def test_a_proof_is_of_its_entry_index_hashes_and_log(
    log: MemoryLog, proof: Proof
) -> None:
    leaf, public = log.leaves[4], log.signer.public
    proof.verify(leaf, public)
    wrong = [
        Proof(5, proof.hashes, proof.note),
        Proof(len(log.leaves), proof.hashes, proof.note),
        Proof(4, proof.hashes[:-1], proof.note),
        Proof(4, (*proof.hashes, bytes(32)), proof.note),
        Proof(4, (bytes(32), *proof.hashes[1:]), proof.note),
    ]
    for other in wrong:
        with pytest.raises(VerificationError, match="inclusion"):
            other.verify(leaf, public)
    with pytest.raises(VerificationError, match="inclusion"):
        proof.verify(log.leaves[3], public)
    stranger = NoteSigner(log.origin, b"\x07" * 32).public
    with pytest.raises(VerificationError, match="no signature line"):
        proof.verify(leaf, stranger)


def test_a_proof_whose_note_is_none_is_refused(log: MemoryLog, proof: Proof) -> None:
    for note in (b"", b"note", proof.note[:-1]):
        with pytest.raises(MalformedError):
            Proof(4, proof.hashes, note).verify(log.leaves[4], log.signer.public)


def test_a_note_of_another_log_under_the_same_key_is_refused(
    log: MemoryLog, proof: Proof
) -> None:
    text = proof.note.decode().partition("\n\n")[0].replace("/pcr", "/prc") + "\n"
    other = Proof(4, proof.hashes, bytes(log.signer.sign(text)))
    with pytest.raises(VerificationError, match="want log"):
        other.verify(log.leaves[4], log.signer.public)
