"""Publication: the files, their order, and what is done after a crash."""

import shutil
from pathlib import Path

import pytest

from log_server.folder import FolderShelf
from log_server.fsck import check
from log_server.placing import Placer
from log_server.publisher import Publisher
from pcrlog.checkpoint import cosign, cosignatures, open_checkpoint
from pcrlog.errors import InconsistencyError, VerificationError
from pcrlog.merkle import Node
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import Tile, parse_bundle, tiles_of
from tests.support.memory_log import witness
from tests.unit.log_server.parties import Log, Party

STEPS = [
    "rows-read",
    "batch-made",
    "signed",
    "committed",
    "tiles-written",
    "cosigned",
    "checkpoint-written",
    "published",
]


def public(log: Log) -> dict[str, bytes]:
    """Every file below public/, by path."""
    root = log.config.public
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def shown_size(log: Log) -> int:
    note = UnverifiedNote.parse((log.config.public / "checkpoint").read_bytes())
    return open_checkpoint(note, log.config.vkey()).size


class Stopped(Exception):  # noqa: N818 - not an error: the end of a process
    """The process was killed here."""


def stop_at(point: str) -> "type[None]":
    def step(name: str) -> None:
        if name == point:
            raise Stopped

    return step  # type: ignore[return-value] # a step


def test_a_new_log_shows_its_first_checkpoint_and_what_it_covers(log: Log) -> None:
    files = public(log)
    assert sorted(files) == ["checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"]
    entries = parse_bundle(files["tile/entries/000.p/2"], 2)
    assert entries[0].startswith(b"{")
    assert entries[1].startswith(b"pcrlog/seal/v1\n1\n")


def test_steps_come_in_the_order_that_readers_rely_on(log: Log, acme: Party) -> None:
    seen: list[str] = []
    log.queue(acme.release())
    with log.sequencer(seen.append) as sequencer:
        sequencer.round()
    assert seen == STEPS


@pytest.mark.parametrize("point", STEPS)
def test_a_crash_at_any_step_loses_nothing(log: Log, acme: Party, point: str) -> None:
    envelope = acme.release()
    log.queue(envelope)
    with pytest.raises(Stopped), log.sequencer(stop_at(point)) as sequencer:
        sequencer.round()
    # Whatever is shown is covered by files at every moment.
    for tile in tiles_of(shown_size(log)):
        assert (log.config.public / tile.path()).is_file()
    log.sequence()
    assert shown_size(log) == 6
    assert check(log.config).wrong == []
    assert log.accept(envelope) == 4, "decided once, at one index"


@pytest.mark.parametrize("point", STEPS)
def test_after_a_crash_the_files_are_those_of_a_run_without(
    log: Log, acme: Party, tmp_path: Path, point: str
) -> None:
    log.queue(acme.release())
    shutil.copytree(log.config.directory, tmp_path / "calm", ignore=_no_fifo)
    with pytest.raises(Stopped), log.sequencer(stop_at(point)) as sequencer:
        sequencer.round()
    log.sequence()
    calm = Log(
        type(log.config).load(tmp_path / "calm"), log.new, log.clock, log.registrar
    )
    calm.sequence()
    assert public(log) == public(calm)


def _no_fifo(_folder: str, names: list[str]) -> set[str]:
    return {"wake"} & set(names)


def test_lost_files_are_cut_again_byte_for_byte(log: Log, acme: Party) -> None:
    log.accept(acme.release())
    before = public(log)
    shutil.rmtree(log.config.public)
    log.config.public.mkdir()
    log.sequence()
    assert public(log) == before
    assert check(log.config).wrong == []


def test_an_old_copy_of_the_database_is_refused(
    log: Log, acme: Party, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    shutil.copy(log.config.log_db, old)
    log.accept(acme.release())
    shutil.copy(old, log.config.log_db)
    with pytest.raises(InconsistencyError, match="fork"):
        log.sequence()


def test_a_checkpoint_of_another_history_is_refused(log: Log, acme: Party) -> None:
    log.accept(acme.release())
    shown = log.config.public / "checkpoint"
    # The log's own signature on another root of the same size: the log has forked.
    from log_server.direct import read_log_key  # noqa: PLC0415 - the attacker's part
    from pcrlog.checkpoint import Checkpoint  # noqa: PLC0415 - the same

    text = Checkpoint(log.config.origin, 6, bytes(32)).text()
    shown.write_bytes(bytes(read_log_key(log.config).sign(text)))
    with pytest.raises(InconsistencyError) as caught:
        log.sequence()
    assert caught.value.theirs == shown.read_bytes()


def test_partial_tiles_go_a_few_with_each_batch_when_the_full_one_stands(
    log: Log, acme: Party
) -> None:
    with log.sequencer() as sequencer:
        for i in range(10):
            log.queue(*(acme.release(1, f"{i}.{j}.0") for j in range(25)))
            sequencer.round()
        assert "tile/entries/000" in public(log)
        # The 22 of both kinds, eight at a time: no batch waits for all of them.
        left = [outgrown(log)]
        for i in range(2):
            log.queue(acme.release(1, f"{i}.0.1"))
            sequencer.round()
            left.append(outgrown(log))
    assert left == [14, 6, 0]
    assert not (log.config.public / "tile/0/000.p").exists()
    assert not (log.config.public / "tile/entries/000.p").exists()
    assert "tile/1/000.p/1" in public(log)
    assert check(log.config).wrong == []


def outgrown(log: Log) -> int:
    """How many partial tiles there are of the first tile, which is full."""
    folders = ("tile/0/000.p/", "tile/entries/000.p/")
    return sum(name.startswith(folders) for name in public(log))


def test_partial_tiles_go_after_a_crash_as_well(log: Log, acme: Party) -> None:
    for i in range(10):
        log.queue(*(acme.release(1, f"{i}.{j}.0") for j in range(26)))
    with pytest.raises(Stopped), log.sequencer(stop_at("published")) as sequencer:
        sequencer.round()
    assert (log.config.public / "tile/0/000.p/4").exists()
    log.sequence()
    assert not (log.config.public / "tile/0/000.p").exists()
    assert not (log.config.public / "tile/entries/000.p").exists()
    assert check(log.config).wrong == []


def test_a_spoiled_checkpoint_is_said_and_made_anew_when_it_is_gone(
    log: Log, acme: Party
) -> None:
    log.accept(acme.release())
    shown = log.config.public / "checkpoint"
    before = shown.read_bytes()
    shown.write_bytes(b"")
    with pytest.raises(VerificationError, match="remove it"):
        log.sequence()
    shown.unlink()
    log.sequence()
    assert shown.read_bytes() == before


def test_a_file_is_written_under_no_name_that_anybody_reads(tmp_path: Path) -> None:
    placer = Placer()
    one, other = tmp_path / "tile" / "000", tmp_path / "checkpoint"
    placer.write({one: b"1", other: b"2"})
    assert not one.exists()
    assert not other.exists()
    placer.name([one])
    assert one.read_bytes() == b"1"
    placer.name([other])
    placer.close()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "000",
        "checkpoint",
    ]


def test_every_partial_tile_of_an_open_tile_stays(log: Log, acme: Party) -> None:
    for i in range(3):
        log.accept(acme.release(1, f"1.0.{i}"))
    for size in (2, 4, 6, 8, 10):
        assert (log.config.public / Tile(0, 0, size).path()).is_file()
        assert (log.config.public / Tile(None, 0, size).path()).is_file()


def test_cosignatures_stand_below_the_logs_own_line(log: Log, acme: Party) -> None:
    class Asked:
        """Has every checkpoint cosigned at once."""

        def __call__(self, note: bytes, _node: Node) -> list[str]:
            return [str(cosign(UnverifiedNote.parse(note).text, signer, 7))]

        def heed(self) -> None:
            heeded.append(None)

    signer, heeded = witness("w.example/a"), list[None]()
    log.queue(acme.release())
    with log.sequencer() as sequencer:
        sequencer._publisher = Publisher(
            sequencer._ledger,
            FolderShelf(log.config.public),
            log.config.vkey(),
            Asked(),
        )
        sequencer.round()
    note = UnverifiedNote.parse((log.config.public / "checkpoint").read_bytes())
    assert cosignatures(note, [signer.public]) == {signer.public: 7}
    assert heeded == [None], "before anything was signed"
    with log.snapshot() as snapshot:
        published = snapshot.published()
        assert published is not None
        assert published[1] == bytes(note)
        assert len(UnverifiedNote.parse(published[0].note).lines) == 1
    log.sequence()
    assert (log.config.public / "checkpoint").read_bytes() == bytes(note)
