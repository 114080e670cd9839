"""`pcrlog mirror`, ended by force: the old mirror is whole, the next run goes on."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cli import mirror_copy
from cli.mirror_files import MirrorFiles
from cli.mirror_pass import Pass
from cli.mirror_tiles import Folder, Tiles
from pcrlog.checkpoint import Checkpoint
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import FULL
from tests.e2e.served import children_of, is_running, until
from tests.support.lies import honest
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import START, MemoryLog
from tests.unit.cli.mirroring import AT_ONCE, OWN, Keeper, grow, read_all

KILLS = int(os.environ.get("PCRLOG_KILLS", "2"))


class KilledError(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def young() -> MemoryLog:
    return honest(START)


@pytest.fixture(scope="module")
def grown() -> MemoryLog:
    log = honest(START)
    grow(log, FULL)
    log.revoke("acme.example", "withdrawn", max(log.entries))
    grow(log, 10, "after")
    return log


@pytest.fixture
def keeper(
    young: MemoryLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Keeper]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(AT_ONCE, 1)
    monkeypatch.setattr(mirror_copy, "_RUN", 1)
    with LogSimulator(young) as simulator:
        made = Keeper(simulator, tmp_path, capsys)
        made.write_policy()
        yield made


def check_whole(folder: Path) -> int:
    """Leaves of a mirror, of which every file that they need is right; 0: none yet."""
    if not (folder / "checkpoint").exists():
        return 0
    note = UnverifiedNote.parse((folder / "checkpoint").read_bytes())
    checkpoint = Checkpoint.parse(note.text)
    tiles = Tiles(checkpoint, Folder(folder))
    for number in range(-(-checkpoint.size // FULL)):
        assert tiles.leaves(number)
    return checkpoint.size


def helpers_of(pid: int) -> list[int]:
    """The two processes beside it, once they are there."""
    until(lambda: len(children_of(pid)) == 2, "two processes beside it")
    return children_of(pid)


def are_gone(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """End the process at a write, before it is in its place; what was written."""
    whole, written = MirrorFiles._replace, list[str]()

    def replace(self: MirrorFiles, path: Path, data: bytes) -> None:
        if len(written) >= number:
            (self.directory / OWN / "killed.part").write_bytes(data[: len(data) // 2])
            raise KilledError
        whole(self, path, data)
        written.append(str(path.relative_to(self.directory)))

    monkeypatch.setattr(MirrorFiles, "_replace", replace)
    return written


def test_a_run_that_ends_at_any_write_is_gone_on_with(
    keeper: Keeper, grown: MemoryLog
) -> None:
    keeper.copied()
    old = keeper.folder / "old"
    keeper.mirror.rename(old)
    keeper.simulator.log = grown
    size = len(honest(START).leaves)
    ends, status = set(), -1
    for number in range(100):
        keeper.forget()
        shutil.copytree(old, keeper.mirror)
        with pytest.MonkeyPatch.context() as patch:
            written = stop_at(patch, number)
            try:
                status, _ = keeper.copy()
            except KilledError:
                status = -1
        assert len(written) == number or status == 0
        ends.add(written[-1] if written else "")
        assert check_whole(keeper.mirror) == (len(grown.leaves) if not status else size)
        keeper.copied()
        assert not list((keeper.mirror / OWN).glob("*.part"))
        if status == 0:
            break
    assert status == 0
    assert {"tile/entries/000", "tile/0/000", "tile/1/000.p/1", "checkpoint"} <= ends


def test_what_was_judged_is_not_judged_again(
    keeper: Keeper, grown: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.simulator.log = grown
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KilledError):
            keeper.copy()
    read: list[int] = []
    whole = Pass.read

    def note(self: Pass, start: int, leaves: list[bytes]) -> object:
        read.append(start)
        return whole(self, start, leaves)

    monkeypatch.setattr(Pass, "read", note)
    keeper.copied()
    assert read == [FULL]


def test_a_log_that_has_grown_meanwhile_is_gone_on_with(
    keeper: Keeper, grown: MemoryLog
) -> None:
    keeper.simulator.log = grown.until(260)
    keeper.simulator.log.seal()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KilledError):
            keeper.copy()
    with keeper.simulator.change() as log:
        grow(log, 20, "meanwhile")
    keeper.copied()


def test_a_log_that_has_forked_meanwhile_is_caught(
    keeper: Keeper, grown: MemoryLog
) -> None:
    """Before the first checkpoint is in place, too: the progress has its note."""
    keeper.simulator.log = grown
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KilledError):
            keeper.copy()
    other = grown.until(200)
    grow(other, 100, "forked")
    keeper.simulator.log = other
    status, found = keeper.copy()
    assert status == 4
    assert "two histories" in found["error"]
    assert keeper.evidence == ["checkpoints"]


def test_kill_9_leaves_a_mirror_and_no_processes(keeper: Keeper) -> None:
    log = honest(START)
    grow(log, 1100)
    keeper.copied()
    before = read_all(keeper.mirror)
    keeper.simulator.log = log
    # Only the clock's time is the process's own: the log's is long ago.
    code = (
        "import sys; from cli.main import main;"
        f" sys.exit(main(sys.argv[1:], clock=lambda: {keeper.now}))"
    )
    words = f"mirror {keeper.simulator.url} mirror --policy policy.toml"
    command = [sys.executable, "-c", code, *words.split()]
    path = {"PYTHONPATH": str(Path(__file__).parents[3])}
    for number in range(KILLS):
        process = subprocess.Popen(command, env={**os.environ, **path})
        helpers = helpers_of(process.pid)
        time.sleep(0.8 * number / KILLS)
        process.kill()
        process.wait()
        until(partial(are_gone, helpers), "their end")
        if check_whole(keeper.mirror) == len(log.leaves):
            keeper.forget()
        else:
            assert {n: read_all(keeper.mirror)[n] for n in before} == before
    keeper.copied()
