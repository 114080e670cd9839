"""transparency-dev's formats and merkle: proof files, cosignatures, proofs, both ways.

These are the packages behind witnesses, monitors and distributors: what they accept of
ours, the witness network accepts; what they write, we have to read.
"""

import base64
import itertools
import json
import string
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pcrlog import merkle
from pcrlog.checkpoint import Checkpoint, cosign, cosignatures
from pcrlog.errors import MalformedError, PcrlogError
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.proof import Proof
from tests.interop import golang
from tests.interop.cosigned import TIMES, WITNESSES, cosigned
from tests.interop.published import Published

SIZES = 64


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = golang.build_modules("formats", tmp_path_factory.mktemp("go"), ".")
    return folder / "formats"


def ask(program: Path, command: str, question: object) -> Any:
    """What the program answers. Bytes travel as base64, both ways."""
    text = msgspec.json.encode(question).decode()
    done = golang.run([program, command], stdin=text)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- proof files ---------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Proof files of a log, and how to ask about them."""

    program: Path
    vkey: str
    leaves: tuple[bytes, ...]
    proofs: list[Proof]

    def verify(self, files: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
        """What they find in (leaf, file)."""
        question = {
            "vkey": self.vkey,
            "cosigners": [str(signer.public) for signer in WITNESSES],
            "files": [{"leaf": leaf, "file": file} for leaf, file in files],
        }
        found: list[dict[str, Any]] = ask(self.program, "verify", question)
        return found


@pytest.fixture(scope="module")
def files(formats: Path, published: Published) -> Files:
    """The proof of each leaf, as the server hands it out, and then cosigned."""
    return Files(formats, published.vkey, published.leaves, cosigned(published))


def test_they_verify_the_proof_file_of_every_leaf(
    files: Files, published: Published
) -> None:
    encoded = [proof.encode() for proof in files.proofs]
    found = files.verify(list(zip(files.leaves, encoded, strict=True)))
    times = {
        signer.public.name: at for signer, at in zip(WITNESSES, TIMES, strict=True)
    }
    root = base64.b64encode(published.checkpoints[-1].root).decode()
    assert found == [
        {
            "wrong": "",
            "index": index,
            "size": published.size,
            "root": root,
            "times": times,
            "alike": True,
        }
        for index in range(published.size)
    ]


def test_they_refuse_a_proof_of_another_leaf_place_or_path(files: Files) -> None:
    spoiled = []
    for index in range(0, len(files.leaves), 5):
        leaf, proof = files.leaves[index], files.proofs[index]
        other = files.leaves[index - 1]
        path = proof.hashes
        cases = [
            (other, proof),
            (leaf, msgspec.structs.replace(proof, index=index ^ 1)),
            (leaf, msgspec.structs.replace(proof, hashes=path[:-1])),
            (leaf, msgspec.structs.replace(proof, hashes=(*path, bytes(32)))),
            (leaf, msgspec.structs.replace(proof, hashes=(bytes(32), *path[1:]))),
        ]
        spoiled += [(entry, case.encode()) for entry, case in cases]
    found = files.verify(spoiled)
    assert len(found) > 500
    assert all(one["wrong"] for one in found)


def test_they_refuse_every_changed_byte_but_in_a_name_that_they_skip(
    files: Files,
) -> None:
    """The few that pass show the same leaf at the same place, and a cosigner less."""
    leaf, honest = files.leaves[3], files.proofs[3].encode()
    places = [n for n in range(len(honest)) if honest[n + 1 : n + 2] != b"="]
    spoiled = []
    for place in places:
        data = bytearray(honest)
        data[place] ^= 1
        spoiled.append((leaf, bytes(data)))
    key = VerifierKey.parse(files.vkey)
    keys = [signer.public for signer in WITNESSES]
    taken = 0
    for (_, file), one in zip(spoiled, files.verify(spoiled), strict=True):
        if one["wrong"]:
            continue
        taken += 1
        proof = Proof.parse(file)
        assert proof.verify(leaf, key).size == one["size"]
        known = cosignatures(UnverifiedNote.parse(proof.note), keys)
        assert {cosigner.name for cosigner in known} == set(one["times"])
        assert len(known) < len(keys)
    assert 0 < taken < len(spoiled) // 10


@pytest.mark.parametrize(
    "last", [pytest.param(-1, id="note"), pytest.param(2, id="path")]
)
def test_we_refuse_a_second_spelling_of_base64_that_they_take(
    files: Files, last: int
) -> None:
    """The bits that padding leaves unused: Go decodes whatever stands in them."""
    leaf, honest = files.leaves[3], files.proofs[3].encode()
    lines = honest.split(b"\n")
    if last < 0:
        last = next(n for n, line in enumerate(lines) if line.startswith("—".encode()))
    line = lines[last]
    end = len(line.rstrip(b"=")) - 1
    lines[last] = line[:end] + bytes([next_digit(line[end])]) + line[end + 1 :]
    second = b"\n".join(lines)
    [found] = files.verify([(leaf, second)])
    assert found["wrong"] == ""
    with pytest.raises(MalformedError):
        Proof.parse(second).verify(leaf, VerifierKey.parse(files.vkey))


def next_digit(digit: int) -> int:
    """The digit of base64 after one that has zero bits at its end."""
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    return ord(digits[digits.index(chr(digit)) + 1])


def test_they_refuse_a_cosignature_of_another_time_or_checkpoint(files: Files) -> None:
    """We leave such a line out: a witness's mistake says nothing against the log."""
    proof = files.proofs[0]
    note = UnverifiedNote.parse(proof.note)
    log_line, first, _ = note.lines
    later = msgspec.structs.replace(
        first, signature=(TIMES[0] + 1).to_bytes(8) + first.signature[8:]
    )
    elsewhere = cosign(note.text + "\n", WITNESSES[0], TIMES[0])
    spoiled = [
        (files.leaves[0], msgspec.structs.replace(proof, note=bytes(n)).encode())
        for line in (later, elsewhere)
        for n in [UnverifiedNote(note.text, (log_line, line))]
    ]
    for one in files.verify(spoiled):
        assert "invalid signature for key w1.example/a" in one["wrong"]
    keys = [signer.public for signer in WITNESSES]
    for line in (later, elsewhere):
        assert cosignatures(UnverifiedNote(note.text, (log_line, line)), keys) == {}


# --- proofs between roots ------------------------------------------------------------

HASHES = [merkle.leaf_hash(b"%d" % n) for n in range(SIZES)]


@cache
def node(level: int, index: int) -> bytes:
    return merkle.root(HASHES[index << level : (index + 1) << level])


def root(size: int) -> bytes:
    return merkle.range_root(0, size, node)


def test_they_check_every_proof_between_small_trees(formats: Path) -> None:
    inclusion: list[dict[str, Any]] = [
        {
            "index": index,
            "size": size,
            "leaf": HASHES[index],
            "proof": merkle.prove_inclusion(index, size, node),
            "root": root(size),
        }
        for size in range(1, SIZES + 1)
        for index in range(size)
    ]
    consistency: list[dict[str, Any]] = [
        {
            "old": old,
            "new": new,
            "proof": merkle.prove_consistency(old, new, node),
            "old_root": root(old),
            "new_root": root(new),
        }
        for new in range(1, SIZES + 1)
        for old in range(1, new + 1)
    ]
    count = SIZES * (SIZES + 1) // 2
    honest = {"inclusion": inclusion, "consistency": consistency}
    assert ask(formats, "prove", honest) == {
        "inclusion": [""] * count,
        "consistency": [""] * count,
    }
    longer = {kind: [with_one_more(one) for one in honest[kind]] for kind in honest}
    other = {
        "inclusion": [{**one, "leaf": bytes(32)} for one in inclusion],
        "consistency": [{**one, "old_root": bytes(32)} for one in consistency],
    }
    for spoiled in (longer, other):
        found = ask(formats, "prove", spoiled)
        assert all(itertools.chain(found["inclusion"], found["consistency"]))


def with_one_more(question: dict[str, Any]) -> dict[str, Any]:
    """The same question, with a hash too many in its proof."""
    return {**question, "proof": [*question["proof"], bytes(32)]}


# --- theirs, for us ------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A proof file that they wrote, with a key and a cosigner's of their making."""

    vkey: str
    skey: str
    cosigner: str
    file: bytes


@pytest.fixture(scope="module")
def written(formats: Path) -> Written:
    question = {
        "origin": "log.example/theirs",
        "cosigner": "w2.example/theirs",
        "index": 3,
        "size": 7,
        "root": root(7),
        "hashes": merkle.prove_inclusion(3, 7, node),
    }
    found = ask(formats, "write", question)
    file = base64.b64decode(found.pop("file"))
    return Written(file=file, **found)


def test_we_verify_a_proof_file_that_they_wrote(written: Written) -> None:
    proof = Proof.parse(written.file)
    key = VerifierKey.parse(written.vkey)
    assert proof.encode() == written.file
    assert proof.verify(b"3", key) == Checkpoint("log.example/theirs", 7, root(7))
    for place in range(len(written.file)):
        data = bytearray(written.file)
        data[place] ^= 1
        try:
            taken = Proof.parse(bytes(data))
            taken.verify(b"3", key)
        except PcrlogError:
            continue
        assert not cosigners(taken.note, written), place


def test_we_count_a_cosignature_that_they_made(written: Written) -> None:
    [(key, seconds)] = cosigners(Proof.parse(written.file).note, written).items()
    assert str(key) == written.cosigner
    assert abs(seconds - time.time()) < 300


def test_we_sign_with_a_key_that_they_made(written: Written) -> None:
    """Ed25519 gives one signature: what we sign with their key, they had signed."""
    signer = NoteSigner.parse(written.skey)
    assert str(signer.public) == written.vkey
    note = UnverifiedNote.parse(Proof.parse(written.file).note)
    assert signer.sign(note.text).lines == note.lines[:1]


def cosigners(note: bytes, written: Written) -> dict[VerifierKey, int]:
    keys = [VerifierKey.parse(written.cosigner)]
    return cosignatures(UnverifiedNote.parse(note), keys)
