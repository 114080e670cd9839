"""C2SP tlog-tiles: paths, which tiles a size has, and a whole log made elsewhere."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pcrlog import merkle, tiles
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import MalformedError
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.tiles import FULL, Tile

TESTLOG = VerifierKey.parse(
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)
EDGES = [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000]


# --- paths ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(7, 123_456_789, 41), "tile/7/x123/x456/789.p/41"),
        (Tile(None, 0, 1), "tile/entries/000.p/1"),
        (Tile(None, 1_234_067, 255), "tile/entries/x001/x234/067.p/255"),
        (Tile(0, 2**55 - 1), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_a_tile_has_one_path(tile: Tile, path: str) -> None:
    assert tile.path() == path
    assert tiles.parse_path(path) == tile


def test_a_level_that_no_tree_reaches_has_the_published_path_and_is_not_read() -> None:
    path = "tile/15/x123/x456/789.p/41"
    assert Tile(15, 123_456_789, 41).path() == path
    with pytest.raises(MalformedError):
        tiles.parse_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile//000",
        "tile/-1/000",
        "tile/00/000",
        "tile/8/000",
        "tile/64/000",
        "tile/data/000",
        "tile/Entries/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/01",
        "tile/0/000.p/1/2",
        "tile/0/000.p/-1",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../000",
        "tile/0/%30%30%30",
        "tile/0/" + "x001/" * 1000 + "000",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError, match="expected tile/<L>/<N>"):
        tiles.parse_path(path)


# --- which tiles a tree has ----------------------------------------------------------


def all_tiles(size: int) -> Iterator[Tile]:
    """By the definition in FORMATS.md section 3."""
    for level in range(8):
        count = size >> (8 * level)
        for index in range(count >> 8):
            yield Tile(level, index)
        if count & 255:
            yield Tile(level, count >> 8, count & 255)


@pytest.mark.parametrize("size", [0, *EDGES])
def test_a_tree_has_the_tiles_of_the_definition(size: int) -> None:
    assert list(tiles.tiles_of(size)) == list(all_tiles(size))


@pytest.mark.parametrize("size", EDGES)
def test_a_grown_tree_adds_the_tiles_that_it_had_not(size: int) -> None:
    whole = list(all_tiles(size))
    near = {size - 1, size - 2, size - 255, size - 256, size - 257, size // 2}
    for previous in {0, *EDGES, *near}:
        if 0 <= previous <= size:
            had = set(all_tiles(previous))
            added = [tile for tile in whole if tile not in had]
            assert list(tiles.tiles_of(size, previous)) == added


def test_the_tiles_between_all_small_sizes_are_those_of_the_definition() -> None:
    for size in range(0, 600, 7):
        whole = list(all_tiles(size))
        for previous in range(0, size + 1, 5):
            had = set(all_tiles(previous))
            added = [tile for tile in whole if tile not in had]
            assert list(tiles.tiles_of(size, previous)) == added


def test_an_unchanged_tree_adds_nothing() -> None:
    for size in (0, *EDGES):
        assert not list(tiles.tiles_of(size, size))


# --- proofs from tiles ---------------------------------------------------------------


class Tiled:
    """A tree of `size` leaves, and its tiles as a log would serve them."""

    def __init__(self, size: int) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        tree = merkle.Range()
        for number in range(size):
            leaf = merkle.leaf_hash(number.to_bytes(4))
            for level, index, value in tree.append(leaf):
                self.nodes[level, index] = value
        self.files = {
            (tile.level, tile.index): b"".join(
                self.nodes[8 * (tile.level or 0), tile.index * FULL + slot]
                for slot in range(tile.width)
            )
            for tile in tiles.tiles_of(size)
        }

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]

    def file(self, level: int, index: int) -> bytes:
        return self.files[level, index]


@cache
def tiled(size: int) -> Tiled:
    return Tiled(size)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000, 65_535, 65_536, 65_537])
def test_proofs_from_tiles_are_those_from_the_tree(size: int) -> None:
    tree = tiled(size)
    read = tiles.node_reader(tree.file)
    assert merkle.range_root(0, size, read) == merkle.range_root(0, size, tree.node)
    near = {0, 1, 254, 255, 256, 257, 65_535, 65_536, size // 2, size - 1}
    for index in {place for place in near if place < size}:
        assert merkle.prove_inclusion(index, size, read) == merkle.prove_inclusion(
            index, size, tree.node
        )
        if index:
            assert merkle.prove_consistency(
                index, size, read
            ) == merkle.prove_consistency(index, size, tree.node)


def test_a_full_tile_serves_in_place_of_the_partial_one() -> None:
    """FORMATS.md section 3: on 404 the client takes the full tile."""
    read = tiles.node_reader(tiled(1000).file)
    for size in (1, 100, 255, 257, 700):
        assert merkle.range_root(0, size, read) == merkle.range_root(
            0, size, tiled(size).node
        )


def test_a_tile_too_narrow_is_refused() -> None:
    read = tiles.node_reader(lambda _level, _index: bytes(32 * 5 + 31))
    assert read(0, 4) == bytes(32)
    for level, index in ((0, 5), (1, 2), (3, 0), (8, 5)):
        with pytest.raises(MalformedError, match="has 5 hashes, want at least"):
            read(level, index)


# --- entry bundles -------------------------------------------------------------------


def test_an_entry_bundle_is_each_length_and_entry() -> None:
    data = b"\x00\x03one\x00\x00\x00\x05three"
    entries = (b"one", b"", b"three")
    assert tiles.encode_bundle(entries) == data
    assert tiles.parse_bundle(data, 3) == entries
    assert tiles.parse_bundle(b"", 0) == ()


def test_an_entry_may_be_as_long_as_its_length_can_say() -> None:
    entry = bytes(tiles.MAX_ENTRY)
    data = tiles.encode_bundle([entry])
    assert data[:2] == b"\xff\xff"
    assert tiles.parse_bundle(data, 1) == (entry,)


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x01", 1),
        (b"\x00\x03on", 1),
        (b"\x00\x03one", 2),
        (b"\x00\x03one\x00", 2),
        (b"\x00\x03one", 0),
        (b"\x00\x03one\x00\x00", 1),
        (b"\x00\x03one!", 1),
    ],
)
def test_an_entry_bundle_of_another_width_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(MalformedError, match="entry bundle"):
        tiles.parse_bundle(data, width)


# --- a whole log of Tessera's --------------------------------------------------------


@pytest.fixture
def tessera(vectors: Path) -> Path:
    return vectors / "tessera-log"


def entries_of(log: Path, size: int) -> tuple[bytes, ...]:
    path = Tile(None, 0, size).path()
    return tiles.parse_bundle((log / path).read_bytes(), size)


def root_of(log: Path, size: int) -> bytes:
    """What the log signed for that size."""
    note = UnverifiedNote.parse((log / f"checkpoint.{size}").read_bytes())
    checkpoint = open_checkpoint(note, TESTLOG)
    assert checkpoint.size == size
    return checkpoint.root


def test_tesseras_log_has_exactly_the_tiles_that_we_would_write(tessera: Path) -> None:
    theirs = {
        path.relative_to(tessera).as_posix()
        for path in (tessera / "tile").rglob("*")
        if path.is_file()
    }
    ours = {tile.path() for size in range(16) for tile in tiles.tiles_of(size)}
    bundles = {Tile(None, 0, size).path() for size in range(1, 16)}
    assert theirs == ours | bundles


@pytest.mark.parametrize("size", range(1, 16))
def test_tesseras_roots_follow_from_its_entries(tessera: Path, size: int) -> None:
    entries = entries_of(tessera, size)
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    assert merkle.root(leaves) == root_of(tessera, size)
    assert (
        tiles.encode_bundle(entries)
        == (tessera / Tile(None, 0, size).path()).read_bytes()
    )
    assert b"".join(leaves) == (tessera / Tile(0, 0, size).path()).read_bytes()


@pytest.mark.parametrize("size", range(1, 16))
def test_tesseras_roots_and_proofs_follow_from_its_tiles(
    tessera: Path, size: int
) -> None:
    def file(level: int, index: int) -> bytes:
        assert (level, index) == (0, 0)
        return (tessera / Tile(0, 0, size).path()).read_bytes()

    read = tiles.node_reader(file)
    root = root_of(tessera, size)
    assert merkle.range_root(0, size, read) == root
    for index, entry in enumerate(entries_of(tessera, size)):
        proof = merkle.prove_inclusion(index, size, read)
        merkle.check_inclusion(merkle.leaf_hash(entry), index, size, proof, root)
    for old in range(1, size + 1):
        proof = merkle.prove_consistency(old, size, read)
        merkle.check_consistency(old, size, proof, root_of(tessera, old), root)


def test_tesseras_empty_log_has_the_root_of_nothing(tessera: Path) -> None:
    assert root_of(tessera, 0) == merkle.EMPTY_ROOT == merkle.root([])
