"""Tessera, another log: its fsck and its client read ours, over HTTP as it is served.

fsck hashes the whole log anew from its entry bundles and compares every tile. It ends
with status 0 whatever it finds, so that what it says is all there is to go by.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pcrlog.checkpoint import Checkpoint
from pcrlog.note import NoteSigner
from pcrlog.tiles import FULL
from tests.interop import golang
from tests.interop.published import Published, spoil

FSCK = "github.com/transparency-dev/tessera/cmd/fsck"

Spoil = Callable[[Path], None]
"""What a test does to a copy of the public folder."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build_modules("tessera", tmp_path_factory.mktemp("go"), ".", FSCK)


@dataclass(frozen=True)
class Reader:
    """Runs both programs on a log."""

    programs: Path
    key: Path
    checkpoints: Path

    def fsck(self, url: str) -> str:
        """All that it says."""
        # Enough workers that none waits for one that gave up.
        options = ["--ui=false", "-N=64", f"--public_key={self.key}"]
        fsck = str(self.programs / "fsck")
        return golang.run([fsck, *options, f"--storage_url={url}"]).stderr

    def client(self, url: str) -> golang.Done:
        vkey = self.key.read_text("ascii")
        return golang.run([self.programs / "tessera", url, vkey, self.checkpoints])


@pytest.fixture
def reader(programs: Path, published: Published, tmp_path: Path) -> Reader:
    key = tmp_path / "log.vkey"
    key.write_text(published.vkey, "ascii")
    checkpoints = published.write_checkpoints(tmp_path / "checkpoints")
    return Reader(programs, key, checkpoints)


@pytest.mark.e2e
def test_fsck_finds_nothing_wrong_with_a_served_log(
    reader: Reader, published: Published, url: str
) -> None:
    said = reader.fsck(url)
    assert "fsck failed" not in said
    root = published.checkpoints[-1].root.hex()
    assert f"Successfully fsck'd log with size {published.size} " in said
    assert f"({root})" in said


@pytest.mark.e2e
def test_the_client_follows_and_proves_a_served_log(
    reader: Reader, published: Published, url: str
) -> None:
    done = reader.client(url)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "origin": published.log.config.origin,
        "size": published.size,
        "consistency": len(published.checkpoints),
        "bundles": -(-published.size // FULL),
        "inclusion": published.size,
    }


def test_both_take_the_folder_as_it_is(
    reader: Reader, published: Published, tmp_path: Path
) -> None:
    """So that what the next test sees them refuse is the one byte."""
    copied = published.copy(tmp_path / "public").as_uri()
    assert "Successfully" in reader.fsck(copied)
    assert reader.client(copied).returncode == 0


def one_byte(name: str, offset: int = -1) -> Spoil:
    return lambda public: spoil(public / name, offset)


def widest(folder: str, offset: int = -1) -> Spoil:
    """One byte of the widest partial tile of a folder."""

    def change(public: Path) -> None:
        found = (public / folder).iterdir()
        spoil(max(found, key=lambda path: int(path.name)), offset)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(one_byte("checkpoint", 0), "verify signatures", id="origin"),
        pytest.param(one_byte("checkpoint", 17), "verify signatures", id="size"),
        pytest.param(one_byte("checkpoint", 24), "verify signatures", id="root"),
        pytest.param(one_byte("tile/0/000"), "tile/0/000: log has", id="full-tile"),
        pytest.param(widest("tile/0/002.p"), "tile/0/002.p", id="partial-tile"),
        pytest.param(widest("tile/1/000.p"), "tile/1/000.p", id="level-1"),
        pytest.param(one_byte("tile/entries/001", 9), "failed: tile/", id="entry"),
        pytest.param(one_byte("tile/entries/001", 0), "failure calling", id="length"),
        pytest.param(
            widest("tile/entries/002.p", 9), "failed: tile/", id="last-entries"
        ),
    ],
)
def test_both_refuse_one_changed_byte(
    reader: Reader,
    published: Published,
    tmp_path: Path,
    change: Spoil,
    message: str,
) -> None:
    copied = published.copy(tmp_path / "public")
    change(copied)
    said = reader.fsck(copied.as_uri())
    assert "Successfully" not in said
    assert "fsck failed" in said
    assert message in said
    assert reader.client(copied.as_uri()).returncode == 1


def test_the_client_refuses_a_fork_that_the_log_itself_signed(
    reader: Reader, published: Published, tmp_path: Path
) -> None:
    signer = NoteSigner.parse(published.log.config.log_key.read_text("ascii").strip())
    row = published.checkpoints[9]
    lie = Checkpoint(signer.public.name, row.size, bytes(32))
    note = bytes(signer.sign(lie.text()))
    (reader.checkpoints / str(row.size)).write_bytes(note)
    done = reader.client(published.public.as_uri())
    assert done.returncode == 1
    assert f"from {row.size} on" in done.stderr
