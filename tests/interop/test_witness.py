"""A witness of other people cosigns our checkpoints, and refuses what is no growth.

It speaks C2SP tlog-witness, as a log does that asks for cosignatures: the size it is
thought to have seen, our consistency proof, our checkpoint.
"""

import contextlib
import http.client
import json
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server.store import CheckpointRow
from pcrlog import merkle
from pcrlog.checkpoint import Checkpoint, cosignatures, open_checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from tests.interop import golang
from tests.interop.published import Published

SECONDS = 30


@dataclass(frozen=True)
class Witness:
    """Where it listens, and its key."""

    address: str
    vkey: VerifierKey

    def add_checkpoint(
        self, old: int, proof: merkle.Proof, note: bytes
    ) -> tuple[int, bytes]:
        """Its answer."""
        lines = "".join(f"{encode_base64(value)}\n" for value in proof)
        body = f"old {old}\n{lines}\n".encode() + note
        connection = http.client.HTTPConnection(self.address, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/add-checkpoint", body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def times(self, note: bytes) -> list[int]:
        """When it cosigned the checkpoint in a note, if it did."""
        return list(cosignatures(UnverifiedNote.parse(note), [self.vkey]).values())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = golang.build_modules("witness", tmp_path_factory.mktemp("go"), ".")
    return folder / "witness"


@pytest.fixture
def witness(program: Path, published: Published) -> Iterator[Witness]:
    """A new one, which has seen nothing."""
    with subprocess.Popen(
        [program, "w9.example/theirs", published.vkey],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], SECONDS)[0]
            said = json.loads(process.stdout.readline())
            yield Witness(said["address"], VerifierKey.parse(said["vkey"]))
            process.stdin.close()
            assert process.wait(SECONDS) == 0
        finally:
            if process.poll() is None:
                process.kill()


def proof(published: Published, old: int, new: int) -> merkle.Proof:
    """Our consistency proof, as the log's database gives it."""
    with published.log.snapshot() as snapshot:
        return merkle.prove_consistency(old, new, snapshot.node)


def seen(witness: Witness, published: Published, number: int = 5) -> CheckpointRow:
    """Let it see a checkpoint, as the first one."""
    row = published.checkpoints[number]
    assert witness.add_checkpoint(0, (), row.note)[0] == 200
    return row


def signer(published: Published) -> NoteSigner:
    """The log's own."""
    return NoteSigner.parse(published.log.config.log_key.read_text("ascii").strip())


@pytest.mark.e2e
def test_it_cosigns_every_checkpoint_of_a_log(
    witness: Witness, published: Published
) -> None:
    key = VerifierKey.parse(published.vkey)
    old = 0
    for row in published.checkpoints:
        path = proof(published, old, row.size) if old else ()
        status, lines = witness.add_checkpoint(old, path, row.note)
        assert status == 200, row.size
        note = row.note + lines
        [seconds] = witness.times(note)
        assert abs(seconds - time.time()) < 300
        checkpoint = open_checkpoint(UnverifiedNote.parse(note), key)
        assert (checkpoint.size, checkpoint.root) == (row.size, row.root)
        old = row.size


@pytest.mark.e2e
def test_its_line_counts_for_that_checkpoint_alone(
    witness: Witness, published: Published
) -> None:
    row, other = published.checkpoints[:2]
    _, lines = witness.add_checkpoint(0, (), row.note)
    assert witness.times(row.note + lines)
    assert not witness.times(other.note + lines)


@pytest.mark.e2e
def test_it_tells_what_it_has_seen_if_we_are_wrong_about_it(
    witness: Witness, published: Published
) -> None:
    row, newest = seen(witness, published), published.checkpoints[-1]
    path = proof(published, row.size - 1, newest.size)
    found = witness.add_checkpoint(row.size - 1, path, newest.note)
    assert found == (409, b"%d\n" % row.size)
    path = proof(published, row.size, newest.size)
    assert witness.add_checkpoint(row.size, path, newest.note)[0] == 200


@pytest.mark.e2e
def test_it_refuses_a_proof_with_a_changed_byte(
    witness: Witness, published: Published
) -> None:
    row, newest = seen(witness, published), published.checkpoints[-1]
    path = proof(published, row.size, newest.size)
    assert len(path) > 3
    for place, value in enumerate(path):
        changed = bytes([value[0] ^ 1]) + value[1:]
        spoiled = (*path[:place], changed, *path[place + 1 :])
        assert witness.add_checkpoint(row.size, spoiled, newest.note) == (422, b"")
    for spoiled in (path[1:], (*path, bytes(32)), ()):
        assert witness.add_checkpoint(row.size, spoiled, newest.note) == (422, b"")
    assert witness.add_checkpoint(row.size, path, newest.note)[0] == 200


@pytest.mark.e2e
def test_it_refuses_a_fork_that_the_log_itself_signed(
    witness: Witness, published: Published
) -> None:
    row, newest = seen(witness, published), published.checkpoints[-1]
    log = signer(published)
    path = proof(published, row.size, newest.size)
    for size, hashes in ((row.size, ()), (newest.size, path)):
        lie = Checkpoint(log.public.name, size, bytes(32))
        note = bytes(log.sign(lie.text()))
        assert witness.add_checkpoint(row.size, hashes, note) == (422, b"")


@pytest.mark.e2e
def test_it_refuses_a_checkpoint_that_the_log_did_not_sign(
    witness: Witness, published: Published
) -> None:
    row = published.checkpoints[0]
    other = NoteSigner(published.log.config.origin, bytes(32))
    text = UnverifiedNote.parse(row.note).text
    status, lines = witness.add_checkpoint(0, (), bytes(other.sign(text)))
    assert status >= 400
    assert lines == b""
    spoiled = row.note.replace(b"\n%d\n" % row.size, b"\n%d\n" % (row.size + 1))
    status, lines = witness.add_checkpoint(0, (), spoiled)
    assert status >= 400
    assert lines == b""
    elsewhere = NoteSigner("elsewhere.example/log", bytes(32))
    lie = Checkpoint(elsewhere.public.name, row.size, row.root)
    note = bytes(elsewhere.sign(lie.text()))
    assert witness.add_checkpoint(0, (), note)[0] == 404
