"""A shelf in a bucket: what is put there, under which conditions, what faults do."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from log_server.bucket import BucketError, BucketShelf
from log_server.disk import fault_of
from log_server.shelf import OvertakenError
from pcrlog.errors import UsageError, VerificationError
from pcrlog.tiles import Tile
from tests.support.bucket_server import BucketServer, Gate, Seen

TILE, BUNDLE = Tile(0, 0, 3), Tile(None, 0, 3)


@pytest.fixture
def shelves(
    gate: Gate, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., BucketShelf]]:
    """Makes shelves on one bucket, who are not patient."""
    monkeypatch.setattr("log_server.bucket._ANSWER", timedelta(seconds=0.5))
    monkeypatch.setattr("log_server.bucket._RETRIES", 1)
    made: list[BucketShelf] = []

    def make(**more: bool) -> BucketShelf:
        url = f"s3://{bucket}/a/log"
        made.append(BucketShelf(url, gate.url, "us-east-1", **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def only(method: str, ending: str, deed: str, times: int = 99) -> Callable[[Seen], str]:
    """The rule that does so to such requests, and passes all else."""
    left = iter(range(times))

    def rule(seen: Seen) -> str:
        meant = seen.method == method and seen.path.endswith(ending)
        return deed if meant and next(left, None) is not None else "pass"

    return rule


def test_an_object_has_the_headers_that_readers_and_caches_need(
    shelves: Callable[..., BucketShelf], bucket: str, bucket_server: BucketServer
) -> None:
    shelf = shelves()
    shelf.put([(TILE, b"hashes"), (BUNDLE, b"entries")])
    shelf.show(b"note")
    for path, kind, cache, data in [
        (TILE.path(), "application/octet-stream", "immutable", b"hashes"),
        (BUNDLE.path(), "application/octet-stream", "immutable", b"entries"),
        ("checkpoint", "text/plain; charset=utf-8", "no-cache", b"note"),
    ]:
        status, body, headers = bucket_server.ask("GET", f"/{bucket}/a/log/{path}")
        assert (status, body) == (200, data)
        assert headers["content-type"] == kind
        assert headers["cache-control"].endswith(cache)


def test_the_server_checks_conditions_and_each_put_has_one(
    shelves: Callable[..., BucketShelf], gate: Gate
) -> None:
    shelf = shelves()
    assert shelf.shown() is None
    shelf.put([(TILE, b"hashes")])
    shelf.show(b"first")
    shelf.show(b"second")
    conditions = [
        (one.headers.get("if-match"), one.headers.get("if-none-match"))
        for one in gate.seen
        if one.method == "PUT" and not one.path.endswith("/conditions")
    ]
    [tag, *_] = [match for match, _ in conditions if match]
    assert conditions == [(None, "*"), (None, "*"), (tag, None)]
    assert shelves().shown() == b"second"


@pytest.mark.parametrize("deed", ["careless", "weak"])
def test_a_store_that_does_not_compare_is_refused_before_anything_is_put(
    shelves: Callable[..., BucketShelf], gate: Gate, deed: str
) -> None:
    """Else one that slept would put its older checkpoint over a newer one."""
    older = shelves()
    older.show(b"first")
    gate.rule = lambda _seen: deed  # type: ignore[assignment, return-value] # a deed
    with pytest.raises(UsageError, match="cannot be used"):
        shelves().put([(TILE, b"hashes")])
    with pytest.raises(UsageError, match="cannot be used"):
        shelves().show(b"late")
    assert older.shown() == b"first"
    assert older.read([TILE.path()]) == [None]


def test_a_publisher_that_slept_cannot_replace_a_newer_checkpoint(
    shelves: Callable[..., BucketShelf],
) -> None:
    older, newer = shelves(), shelves()
    older.show(b"first")
    assert newer.shown() == b"first"
    newer.show(b"second")
    for _ in range(2):
        with pytest.raises(OvertakenError, match="replaced meanwhile"):
            older.show(b"late")
    assert newer.shown() == b"second"
    newer.show(b"third")
    assert older.shown() == b"third"


def test_of_two_first_checkpoints_one_stands(
    shelves: Callable[..., BucketShelf],
) -> None:
    one, other = shelves(), shelves()
    one.show(b"one")
    with pytest.raises(OvertakenError):
        other.show(b"other")
    assert other.shown() == b"one"


def test_the_same_checkpoint_by_another_is_no_fault(
    shelves: Callable[..., BucketShelf],
) -> None:
    one, other = shelves(), shelves()
    one.show(b"same")
    other.show(b"same")
    other.show(b"next")
    assert one.shown() == b"next"


@pytest.mark.parametrize("deed", ["lose", "cut", "refuse", "hang"])
def test_an_answer_that_is_lost_leaves_what_was_put_and_no_doubt(
    shelves: Callable[..., BucketShelf], gate: Gate, deed: str
) -> None:
    shelf = shelves()
    shelf.show(b"first")
    gate.rule = only("PUT", "checkpoint", deed, times=1)  # type: ignore[assignment] # a deed
    try:
        shelf.show(b"second")
    except BucketError:
        # The next start looks, and does what is left to do.
        shelf = shelves()
        if shelf.shown() != b"second":
            shelf.show(b"second")
    gate.rule = lambda _seen: "pass"
    shelf.show(b"third")
    assert shelves().shown() == b"third"


def test_a_checkpoint_that_was_removed_is_looked_for_again(
    shelves: Callable[..., BucketShelf], bucket: str, bucket_server: BucketServer
) -> None:
    shelf = shelves()
    shelf.show(b"first")
    bucket_server.ask("DELETE", f"/{bucket}/a/log/checkpoint", owner=True)
    with pytest.raises(BucketError, match="was there and is not"):
        shelf.show(b"second")
    assert shelf.shown() is None
    shelf.show(b"second")


def test_a_tile_may_stand_already_with_its_bytes_and_with_no_others(
    shelves: Callable[..., BucketShelf],
) -> None:
    shelf = shelves()
    shelf.put([(TILE, b"hashes")])
    shelf.put([(TILE, b"hashes"), (BUNDLE, b"entries")])
    with pytest.raises(VerificationError, match="tiles never change"):
        shelf.put([(TILE, b"others"), (BUNDLE, b"entries")])
    assert shelf.read([TILE.path(), BUNDLE.path(), "tile/0/001"]) == [
        b"hashes",
        b"entries",
        None,
    ]
    shelves(repairing=True).put([(TILE, b"others")])
    assert shelf.read([TILE.path()]) == [b"others"]


def test_a_put_that_fails_half_way_is_done_again(
    shelves: Callable[..., BucketShelf], gate: Gate
) -> None:
    shelf = shelves()
    tiles = [(Tile(0, index), b"%d" % index) for index in range(100)]
    gate.rule = only("PUT", "/017", "refuse")  # type: ignore[assignment] # a deed
    with pytest.raises(BucketError, match="the bucket fails: s3://"):
        shelf.put(tiles)
    gate.rule = lambda _seen: "pass"
    shelf.put(tiles)
    paths = [tile.path() for tile, _ in tiles]
    assert shelf.read(paths) == [data for _, data in tiles]


@pytest.mark.parametrize("deed", ["refuse", "forbid", "cut", "hang"])
def test_a_bucket_that_fails_is_a_fault_of_the_disk_and_soon_told(
    shelves: Callable[..., BucketShelf], gate: Gate, deed: str
) -> None:
    shelf = shelves()
    gate.rule = lambda _seen: deed  # type: ignore[assignment, return-value] # a deed
    for ask in (
        shelf.shown,
        lambda: shelf.show(b"note"),
        lambda: shelf.put([(TILE, b"hashes")]),
    ):
        with pytest.raises(BucketError) as caught:
            ask()
        assert fault_of(caught.value) is caught.value
        assert "\n" not in str(caught.value)
    [fault] = shelf.read([TILE.path()])
    assert isinstance(fault, BucketError)


def test_a_bucket_that_is_not_there_is_said(gate: Gate) -> None:
    shelf = BucketShelf("s3://never-made", gate.url, "us-east-1")
    assert shelf.shown() is None
    with pytest.raises(BucketError, match="s3://never-made/"):
        shelf.show(b"note")
    shelf.close()


def test_outgrown_tiles_go_beside_the_work_and_again_if_that_fails(
    shelves: Callable[..., BucketShelf], gate: Gate
) -> None:
    shelf = shelves()
    partial = [Tile(0, 0, width) for width in range(1, 256)]
    kept = [Tile(0, 0), Tile(0, 1, 3), Tile(None, 0, 7)]
    shelf.put([(tile, b"x") for tile in (*partial, *kept)])
    shelf.outgrow([Tile(0, 0)])
    gate.rule = lambda seen: "refuse" if "list-type" in seen.path else "pass"
    assert not shelf.sweep()
    assert shelf._sweeping is not None
    shelf._sweeping.result()
    gate.rule = lambda _seen: "pass"
    gate.seen.clear()
    shelf.sweep()
    shelf._sweeping.result()
    assert [one.method for one in gate.seen] == ["GET", "POST"]
    found = shelf.read([tile.path() for tile in (*partial, *kept)])
    assert found == [None] * 255 + [b"x"] * 3
    before = len(gate.seen)
    shelf.sweep()
    assert len(gate.seen) == before
