"""What a source sends to a standby: bounded before it is believed, and then judged."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from log_server import rebuilding
from log_server.direct import read_log_key
from log_server.placing import Placer
from log_server.rebuilding import Copying, RootError
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import PcrlogError
from pcrlog.merkle import Range, leaf_hash
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, encode_bundle, parse_bundle
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import following, look, rows, standby_of


def test_large_entries_are_not_gathered_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 bundles of the largest entries are a GiB."""
    bundle = encode_bundle([b"e" * 4000] * FULL)
    monkeypatch.setattr(rebuilding, "_GROUP_BYTES", 2 * len(bundle))
    most: list[int] = []
    write = Placer.write

    def note(self: Placer, files: Mapping[Path, bytes]) -> None:
        most.append(sum(map(len, files.values())))
        write(self, files)

    monkeypatch.setattr(Placer, "write", note)
    checkpoint = Checkpoint("log.example/pcr", 7 * FULL, bytes(32))
    copying = Copying(tmp_path, lambda _path, _most: bundle)
    with pytest.raises(RootError):
        copying.run(checkpoint, Range())
    assert most == [2 * len(bundle)] * 3 + [len(bundle)]


# --- signed, and wrong ----------------------------------------------------------------


def seal(count: int, *, frozen: bool = False, late: int = 0) -> Callable[[Seal], bytes]:
    """A seal behind another one, of the same index."""
    return lambda last: Seal(count, last.time + late, last.root, frozen).encode()


SIGNED: dict[str, list[Callable[[Seal], bytes]]] = {
    "a time that goes back": [seal(4, late=-10)],
    "another place": [seal(5)],
    "another index": [
        lambda last: Seal(4, last.time, bytes(32), frozen=False).encode()
    ],
    "a time beyond all years": [seal(4, late=2**60)],
    "no seal at the end": [lambda _last: Party("acme.example").release()],
    "a leaf of another kind": [lambda _last: b"z", seal(5)],
    "an empty leaf": [lambda _last: b"", seal(5)],
    "a seal of another version": [lambda _last: b"pcrlog/seal/v2\n4\n"],
    "a leaf after the last": [seal(4, frozen=True), seal(5, frozen=True)],
    "more leaves than are there": [],
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_the_key_has_signed_is_not_taken_for_that(
    log: Log, acme: Party, tmp_path: Path, name: str
) -> None:
    """The key was stolen, or the log errs: leaves are right, and lead to the root."""
    del acme
    config = standby_of(log, tmp_path / "standby")
    size = look(config, log.config.public)
    bundle = (log.config.public / f"tile/entries/000.p/{size}").read_bytes()
    with log.snapshot() as snapshot:
        newest = snapshot.checkpoint()
    assert newest is not None
    more = [make(newest.seal) for make in SIGNED[name]]
    leaves = [*parse_bundle(bundle, size), *more]
    tree = Range()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    claimed = len(leaves) if more else 2**60
    text = Checkpoint(log.config.origin, claimed, tree.root()).text()
    files = {"checkpoint": bytes(read_log_key(log.config).sign(text))}

    def fetch(path: str, _most: int, /) -> bytes:
        return files.get(path) or encode_bundle(leaves)

    before = rows(config, "published")
    with pytest.raises(PcrlogError):
        look(config, fetch)
    assert rows(config, "published") == before
    with following(config, finish=False) as standby:
        assert standby.held is not None
        # Whole batches that were right before it are here: nobody was shown them.
        assert standby.held.size <= size + 1
