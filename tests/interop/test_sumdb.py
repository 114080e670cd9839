"""Go's own sumdb/note and sumdb/tlog read our log, and refuse it once it is spoiled."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pcrlog.checkpoint import Checkpoint
from pcrlog.note import NoteSigner
from pcrlog.tiles import FULL, tiles_of
from tests.interop import golang
from tests.interop.published import Published, spoil

Spoil = Callable[[Path, Path], None]
"""What a test does to copies of the public folder and of the checkpoints."""


@pytest.fixture(scope="module")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build_sumdb(tmp_path_factory.mktemp("go"))


@pytest.fixture
def copies(published: Published, tmp_path: Path) -> tuple[Path, Path]:
    checkpoints = published.write_checkpoints(tmp_path / "checkpoints")
    return published.copy(tmp_path / "public"), checkpoints


def test_go_opens_every_checkpoint_and_proves_every_leaf(
    sumdb: Path, published: Published, tmp_path: Path
) -> None:
    folder = published.write_checkpoints(tmp_path / "checkpoints")
    done = golang.run([sumdb, published.public, published.vkey, folder])
    assert done.stderr == ""
    sizes = [0, *(row.size for row in published.checkpoints)]
    tiles = [t for old, new in itertools.pairwise(sizes) for t in tiles_of(new, old)]
    full = [tile for tile in tiles if tile.width == FULL]
    assert json.loads(done.stdout) == {
        "origin": published.log.config.origin,
        "size": published.size,
        "checkpoints": len(sizes) - 1,
        "roots": len(sizes) - 1,
        "inclusion": published.size,
        "consistency": (len(sizes) - 1) * (len(sizes) - 2) // 2,
        "full_tiles": len(full),
        "partial_tiles": len(tiles) - len(full),
        "levels": 2,
    }


def test_the_log_is_as_large_as_this_needs(published: Published) -> None:
    """Two levels, two full tiles, partial ones at both, of many sizes."""
    assert published.size > 2 * FULL
    assert len(published.checkpoints) > 30
    names = {
        str(path.relative_to(published.public))
        for path in published.public.rglob("*")
        if path.is_file()
    }
    rest = published.size % FULL
    assert {"checkpoint", "tile/0/000", "tile/0/001", "tile/entries/001"} <= names
    assert {f"tile/0/002.p/{rest}", "tile/1/000.p/1", "tile/1/000.p/2"} <= names


# --- it must be able to fail ---------------------------------------------------------

IN_ENTRY = 9
"""In a bundle: within the first entry, past its length."""
NOTE = "checkpoint checkpoint: invalid signature for key"
GONE = "no such file"
TILE = "downloaded inconsistent tile"
"""What it says of most tiles. Versions of tlog before 0.40 do not hold some full tiles
against the one above: there it is the proof made of them that does not hold."""


def one_byte(name: str, offset: int = -1) -> Spoil:
    return lambda public, _: spoil(public / name, offset)


def newest(folder: str, level: str, offset: int = -1) -> Spoil:
    """One byte of the widest partial tile of a folder."""

    def change(public: Path, _: Path) -> None:
        found = (public / folder / level).iterdir()
        spoil(max(found, key=lambda path: int(path.name)), offset)

    return change


def absent(name: str) -> Spoil:
    return lambda public, _: (public / name).unlink()


def longer(name: str) -> Spoil:
    def change(public: Path, _: Path) -> None:
        path = public / name
        path.write_bytes(path.read_bytes() + b"\x00")

    return change


def old_checkpoint(public: Path, checkpoints: Path) -> None:
    spoil(sorted(checkpoints.iterdir())[3])


def rolled_back(public: Path, checkpoints: Path) -> None:
    """/checkpoint is one that the log did sign, but not its newest."""
    (public / "checkpoint").write_bytes((checkpoints / "2").read_bytes())


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        pytest.param(one_byte("checkpoint", 0), [NOTE], id="origin"),
        pytest.param(one_byte("checkpoint", 16), [NOTE], id="size"),
        pytest.param(one_byte("checkpoint", 24), [NOTE], id="root"),
        pytest.param(absent("checkpoint"), [GONE], id="no-checkpoint"),
        pytest.param(rolled_back, ["not the newest"], id="rolled-back"),
        pytest.param(old_checkpoint, ["checkpoint"], id="old-checkpoint"),
        pytest.param(
            one_byte("tile/0/000"),
            ["tile/0/000", "inclusion of 0: ", "consistency of"],
            id="full-tile",
        ),
        pytest.param(
            one_byte("tile/0/001", 8191),
            ["tile/0/001 differs", "inclusion of 256: ", "consistency of"],
            id="last-byte",
        ),
        pytest.param(
            newest("tile/0", "002.p"),
            ["tile/0/002.p", f"inclusion of 0: {TILE}", TILE],
            id="partial",
        ),
        pytest.param(
            newest("tile/1", "000.p"),
            ["tile/1/000.p", f"inclusion of 0: {TILE}", TILE],
            id="level-1",
        ),
        pytest.param(absent("tile/0/000"), [GONE], id="no-tile"),
        pytest.param(longer("tile/0/000"), ["tile/0/000 "], id="long-tile"),
        pytest.param(
            one_byte("tile/entries/001", IN_ENTRY),
            ["root of size", "inclusion of"],
            id="entry",
        ),
        pytest.param(
            newest("tile/entries", "002.p", IN_ENTRY),
            ["root of size", "inclusion of"],
            id="last-entries",
        ),
        pytest.param(longer("tile/entries/001"), ["too many"], id="long-bundle"),
    ],
)
def test_go_refuses_one_changed_byte(
    sumdb: Path,
    published: Published,
    copies: tuple[Path, Path],
    change: Spoil,
    messages: list[str],
) -> None:
    change(*copies)
    done = golang.run([sumdb, copies[0], published.vkey, copies[1]])
    assert done.returncode == 1
    assert done.stdout == ""
    for message in messages:
        assert message in done.stderr


def test_go_refuses_every_changed_byte_of_a_checkpoint(
    sumdb: Path, published: Published, copies: tuple[Path, Path]
) -> None:
    path = copies[0] / "checkpoint"
    honest = path.read_bytes()
    # The last digit before the padding has bits that say nothing; Go looks away.
    unused = honest.rindex(b"=") - 1
    for offset in set(range(len(honest))) - {unused}:
        path.write_bytes(honest)
        spoil(path, offset)
        done = golang.run([sumdb, copies[0], published.vkey, copies[1]])
        assert done.returncode == 1, offset


def test_go_refuses_another_key(
    sumdb: Path, published: Published, copies: tuple[Path, Path]
) -> None:
    other = NoteSigner(published.log.config.origin, bytes(32)).public
    done = golang.run([sumdb, copies[0], str(other), copies[1]])
    assert done.returncode == 1
    assert "note has no verifiable signatures" in done.stderr


def test_go_refuses_a_fork_that_the_log_itself_signed(
    sumdb: Path, published: Published, copies: tuple[Path, Path]
) -> None:
    """A right signature over a root that the other checkpoints do not lead to."""
    signer = NoteSigner.parse(published.log.config.log_key.read_text("ascii").strip())
    row = published.checkpoints[7]
    lie = Checkpoint(signer.public.name, row.size, bytes(32))
    (copies[1] / str(row.size)).write_bytes(bytes(signer.sign(lie.text())))
    done = golang.run([sumdb, copies[0], published.vkey, copies[1]])
    assert done.returncode == 1
    assert f"root of size {row.size}" in done.stderr
    smallest = published.checkpoints[0].size
    assert f"consistency of {smallest} and {row.size}" in done.stderr
