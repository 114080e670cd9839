"""torchwood's client reads our log as it is served, and its verifier our proof files.

It goes by a policy in the format of C2SP tlog-policy: the log's key, a witness and an
index monitor, and how many of them there must be.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from pcrlog.checkpoint import Checkpoint
from pcrlog.merkle import leaf_hash
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.proof import Proof
from tests.interop import golang
from tests.interop.cosigned import WITNESSES, cosigned
from tests.interop.published import Published, spoil


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = golang.build_modules("torchwood", tmp_path_factory.mktemp("go"), ".")
    return folder / "torchwood"


@dataclass(frozen=True)
class Torchwood:
    """The program, under one of three policies."""

    program: Path
    folder: Path
    vkey: str

    def policy(self, quorum: str) -> Path:
        """A policy file; `quorum` is none, any or all."""
        names = [f"w{number}" for number in range(len(WITNESSES))]
        lines = [f"log {self.vkey}"]
        for name, signer in zip(names, WITNESSES, strict=True):
            lines.append(f"witness {name} {signer.public}")
        if quorum != "none":
            lines.append(f"group g {quorum} {' '.join(names)}")
        lines.append(f"quorum {'none' if quorum == 'none' else 'g'}")
        path = self.folder / f"{quorum}.policy"
        path.write_text("\n".join(lines) + "\n", "ascii")
        return path

    def read(self, where: str | Path) -> golang.Done:
        return golang.run([self.program, "read", self.policy("none"), where])

    def verify(self, quorum: str, files: list[tuple[bytes, bytes]]) -> list[str]:
        """What is wrong with each (leaf, file)."""
        question = [{"leaf": leaf, "file": file} for leaf, file in files]
        text = msgspec.json.encode(question).decode()
        done = golang.run(
            [self.program, "verify", self.policy(quorum)],
            stdin=text,
        )
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found


@pytest.fixture
def torchwood(program: Path, published: Published, tmp_path: Path) -> Torchwood:
    return Torchwood(program, tmp_path, published.vkey)


# --- the log -------------------------------------------------------------------------


@pytest.mark.e2e
def test_it_reads_and_proves_a_served_log(
    torchwood: Torchwood, published: Published, url: str
) -> None:
    done = torchwood.read(url)
    assert done.stderr == ""
    digest = sha256(b"".join(leaf_hash(leaf) for leaf in published.leaves))
    assert json.loads(done.stdout) == {
        "origin": published.log.config.origin,
        "size": published.size,
        "entries": published.size,
        "digest": digest.hexdigest(),
        "proven": 7,
    }


def widest(public: Path, folder: str) -> Path:
    return max((public / folder).iterdir(), key=lambda path: int(path.name))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: spoil(p / "checkpoint", 24), id="checkpoint"),
        pytest.param(lambda p: spoil(p / "tile/0/000"), id="full-tile"),
        pytest.param(lambda p: spoil(widest(p, "tile/0/002.p")), id="partial-tile"),
        pytest.param(lambda p: spoil(widest(p, "tile/1/000.p")), id="level-1"),
        pytest.param(lambda p: spoil(p / "tile/entries/001"), id="entry"),
        pytest.param(lambda p: spoil(widest(p, "tile/entries/002.p")), id="last"),
        pytest.param(lambda p: (p / "tile/entries/000").unlink(), id="no-bundle"),
    ],
)
def test_it_refuses_a_folder_with_one_changed_byte(
    torchwood: Torchwood,
    published: Published,
    tmp_path: Path,
    change: Callable[[Path], None],
) -> None:
    copied = published.copy(tmp_path / "public")
    assert torchwood.read(copied).returncode == 0
    change(copied)
    done = torchwood.read(copied)
    assert done.returncode == 1
    assert done.stdout == ""


# --- proof files ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs(published: Published) -> list[Proof]:
    return cosigned(published)


def test_it_verifies_the_proof_file_of_every_leaf(
    torchwood: Torchwood, published: Published, proofs: list[Proof]
) -> None:
    files = [
        (leaf, proof.encode())
        for leaf, proof in zip(published.leaves, proofs, strict=True)
    ]
    assert torchwood.verify("all", files) == [""] * published.size
    others = [(b"other", file) for _, file in files]
    assert all(torchwood.verify("none", others))


def test_it_counts_who_cosigned(
    torchwood: Torchwood, published: Published, proofs: list[Proof]
) -> None:
    """Without one of the two, `any` holds still; without both, `none` alone."""
    note = UnverifiedNote.parse(proofs[0].note)
    log, *others = note.lines
    leaf = published.leaves[0]
    files = []
    for lines in ([log, *others], [log, others[1]], [log], others):
        some = bytes(UnverifiedNote(note.text, tuple(lines)))
        files.append((leaf, msgspec.structs.replace(proofs[0], note=some).encode()))
    held = {
        quorum: [not wrong for wrong in torchwood.verify(quorum, files)]
        for quorum in ("none", "any", "all")
    }
    assert held == {
        "none": [True, True, True, False],
        "any": [True, True, False, False],
        "all": [True, False, False, False],
    }


def test_it_refuses_a_proof_of_another_place_or_path(
    torchwood: Torchwood, published: Published, proofs: list[Proof]
) -> None:
    files = []
    for index in range(0, published.size, 9):
        proof, path = proofs[index], proofs[index].hashes
        cases = (
            msgspec.structs.replace(proof, index=index ^ 1),
            msgspec.structs.replace(proof, hashes=path[:-1]),
            msgspec.structs.replace(proof, hashes=(*path, bytes(32))),
            msgspec.structs.replace(proof, hashes=(bytes(32), *path[1:])),
        )
        files += [(published.leaves[index], case.encode()) for case in cases]
    assert len(files) > 200
    assert all(torchwood.verify("none", files))


def test_it_refuses_a_checkpoint_of_another_origin(
    torchwood: Torchwood, published: Published
) -> None:
    """Signed by the log's own key, under its own name, over another first line."""
    signer = NoteSigner.parse(published.log.config.log_key.read_text("ascii").strip())
    leaf = b"an entry"
    files = [
        (leaf, Proof(0, (), bytes(signer.sign(checkpoint.text()))).encode())
        for checkpoint in (
            Checkpoint(signer.public.name, 1, leaf_hash(leaf)),
            Checkpoint("elsewhere.example/log", 1, leaf_hash(leaf)),
        )
    ]
    right, wrong = torchwood.verify("none", files)
    assert right == ""
    assert wrong


def test_a_key_of_the_log_with_a_changed_hash_is_no_policy(
    torchwood: Torchwood, published: Published
) -> None:
    name, _, key = published.vkey.split("+", 2)
    other = Torchwood(torchwood.program, torchwood.folder, f"{name}+00000000+{key}")
    done = other.read(published.public)
    assert done.returncode == 1
    assert "invalid log vkey" in done.stderr
