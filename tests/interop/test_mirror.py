"""Go's own sumdb/note and sumdb/tlog read a mirror as they read the log."""

import json
from pathlib import Path

import pytest

from cli.mirror import mirror
from cli.mirror_files import MirrorFiles
from cli.mirror_tiles import Folder
from cli.state import State
from log_server.policy_file import policy_skeleton
from pcrlog.policy import Policy
from pcrlog.tiles import FULL, tiles_of
from tests.interop import golang
from tests.interop.published import Published, spoil


@pytest.fixture(scope="module")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build_sumdb(tmp_path_factory.mktemp("go"))


@pytest.fixture
def mirrored(published: Published, tmp_path: Path) -> Path:
    config, clock = published.log.config, published.log.clock
    policy = policy_skeleton(config, "https://log.example/pcr", clock)
    done = mirror(
        lambda: Folder(published.public),
        MirrorFiles(tmp_path / "mirror"),
        Policy.parse(policy),
        State(str(tmp_path / "state")),
        clock(),
        lambda _text: None,
    )
    assert done.size == published.size
    return tmp_path / "mirror"


@pytest.fixture
def newest(published: Published, tmp_path: Path) -> Path:
    """The checkpoint that the mirror has: of earlier ones it never had the files."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / str(published.size)).write_bytes(published.checkpoints[-1].note)
    return folder


def test_go_proves_every_leaf_of_a_mirror(
    sumdb: Path, published: Published, mirrored: Path, newest: Path
) -> None:
    done = golang.run([sumdb, mirrored, published.vkey, newest])
    assert done.stderr == ""
    tiles = list(tiles_of(published.size))
    full = [tile for tile in tiles if tile.width == FULL]
    found = json.loads(done.stdout)
    assert (found["size"], found["inclusion"]) == (published.size, published.size)
    assert found["full_tiles"] == len(full) > 1
    assert found["partial_tiles"] == len(tiles) - len(full)


def test_go_refuses_a_mirror_with_one_changed_byte(
    sumdb: Path, published: Published, mirrored: Path, newest: Path
) -> None:
    spoil(mirrored / "tile/entries/001")
    done = golang.run([sumdb, mirrored, published.vkey, newest])
    assert done.returncode == 1
    assert "root of size" in done.stderr
