"""The machine dies, its standby takes over, and the old one comes back: for real.

Two machines are two folders, each with processes of its own; the witness is ours, as a
process. Submitters are threads of the test, so that what they were told is known.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from log_server.config import Config, Member, Quorum
from tests.e2e.served import SECONDS, Served, children_of, free_port, until
from tests.fault.storm_parts import Guarded, Provider, Reader, Submitter, World
from tests.support.audit import audit
from tests.support.witness_process import WitnessProcess, make_witness
from tests.unit.log_server.parties import Log

pytestmark = pytest.mark.e2e

REFUSED = 4


def command(*arguments: object) -> "subprocess.Popen[str]":
    """`pcrlog-server`, beside this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "log_server", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object) -> tuple[int, str]:
    """`pcrlog-server` to its end; its exit status and all that it said."""
    process = command(*arguments)
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out + err


@dataclass
class Machines:
    """A log on one machine, its standby on another, who submits, and who watches."""

    log: Log
    folder: Path
    url: str
    world: World
    standbys: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def follow(self) -> "subprocess.Popen[str]":
        """Start the standby's process."""
        first = [] if self.folder.exists() else self._first()
        self.standbys.append(
            command("standby", self.folder, self.url, "--poll", "0.05", *first)
        )
        return self.standbys[-1]

    def _first(self) -> list[object]:
        home = self.log.config.directory
        return ["--vkey", home / "log.vkey", "--settings", home / "log.toml"]

    def holds(self) -> int:
        """The leaves that the standby shows."""
        try:
            text = (self.folder / "public" / "checkpoint").read_text("utf-8")
        except FileNotFoundError:
            return 0
        return int(text.split("\n")[1])

    def promote(self) -> Log:
        """Promote it, with all that the dead one's disk has."""
        home = self.log.config.directory
        shutil.copy(self.log.config.log_key, self.folder / "keys" / "log.skey")
        code, said = run("standby", self.folder, home)
        assert code == 0, said
        code, said = run("promote", self.folder, "--intake", home / "intake.db")
        assert code == 0, said
        assert "fenced by w1.example/a" in said
        config = Config.load(self.folder)
        return Log(config, self.log.new, self.log.clock, self.log.registrar)


def kill(served: Served) -> None:
    """The power fails, for all of it at once."""
    pids = [served.process.pid, *children_of(served.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    served.wait()


@pytest.fixture
def witness(log: Log, tmp_path: Path) -> Iterator[WitnessProcess]:
    """The log demands its cosignature."""
    vkey = make_witness(tmp_path / "w1", "w1.example/a", [log.new.vkey])
    with WitnessProcess.start(tmp_path / "w1") as running:
        quorum = Quorum(1, (Member(vkey, running.url),))
        settings = msgspec.structs.replace(log.config.settings, witnesses=quorum)
        (log.config.directory / "log.toml").write_bytes(settings.toml())
        log.config = Config.load(log.config.directory)
        yield running


@contextmanager
def at_work(world: World, log: Log) -> Iterator[None]:
    """Submitters and a reader, until the end of the block."""
    providers = [Provider(log.enrol(f"p{n}.example", "provider")) for n in (1, 2)]
    works = [Submitter(world, one, seed).work for seed, one in enumerate(providers)]
    crowd = [Guarded(world, one) for one in (*works, Reader(world).work)]
    for one in crowd:
        one.start()
    try:
        yield
    finally:
        world.ended.set()
        for one in crowd:
            one.join()


@pytest.mark.usefixtures("witness")
def test_the_machine_dies_its_standby_takes_over_and_the_old_one_is_refused(
    log: Log, witness: WitnessProcess, tmp_path: Path
) -> None:
    port, chance = free_port(), random.Random(7)
    world = World(port, tmp_path / "shown")
    # The name of the log leads to one port, wherever it is served.
    machines = Machines(log, tmp_path / "standby", f"http://127.0.0.1:{port}", world)
    world.public.symlink_to(log.config.public)
    with ExitStack() as stack, at_work(world, log):
        primary = Served.start(log, port=port)
        stack.callback(primary.close)
        primary.wait_until_served()
        for _ in range(4):
            # It is killed at any moment, and goes on where it was.
            before = machines.holds()
            standby = machines.follow()
            stack.callback(standby.kill)
            until(lambda b=before: machines.holds() > b, "the standby")  # type: ignore[misc] # bound at once
            time.sleep(chance.random() * 0.3)
            standby.kill()
            standby.communicate()
        standby = machines.follow()
        stack.callback(standby.kill)
        before = machines.holds()
        until(lambda: machines.holds() > before, "the standby")
        kill(primary)
        standby.terminate()
        _, said = standby.communicate(timeout=SECONDS)
        assert (standby.returncode, said.splitlines()[0][:9]) == (0, "following")
        new = machines.promote()
        moved = tmp_path / "moved"
        moved.symlink_to(new.config.public)
        moved.replace(world.public)
        served = Served.start(new, port=port)
        stack.callback(served.close)
        served.wait_until_served()
        answered = world.answers
        until(lambda: world.answers > answered + 20, "submissions that go on")
        _require_refused(log, witness)
        until(lambda: world.answers > answered + 40, "submissions that go on")
        world.ended.set()
        until(lambda: not threads_of(world), "the end of the crowd")
        for envelope in sorted(world.told.promised):
            until(lambda e=envelope: world.decided(e), "a decision")  # type: ignore[misc] # bound at once
        assert served.end()[0] == 0
    assert not world.broken, world.broken[0]
    found = audit(new.config, world.told)
    assert found.receipts > 40
    assert found.checkpoints > 20


def threads_of(world: World) -> list[threading.Thread]:
    return [
        one
        for one in threading.enumerate()
        if isinstance(one, Guarded) and one._broken is world.broken
    ]


def _require_refused(log: Log, witness: WitnessProcess) -> None:
    """The old machine comes back: it ends with 4, and has signed nothing."""
    home = log.config.directory
    shown = (home / "public" / "checkpoint").read_bytes()
    with log.snapshot() as snapshot:
        before = snapshot.checkpoint()
    old = Served.start(log)
    try:
        code, said = old.wait()
    finally:
        old.close()
    assert code == REFUSED, said
    assert "log.db is an old copy" in said
    with log.snapshot() as snapshot:
        assert snapshot.checkpoint() == before
    assert (home / "public" / "checkpoint").read_bytes() == shown
    assert "fork" not in witness.said()


def test_a_standby_says_in_json_what_has_changed_and_ends_by_a_signal(
    log: Log, tmp_path: Path
) -> None:
    port = free_port()
    served = Served.start(log, port=port).wait_until_served()
    machines = Machines(
        log, tmp_path / "standby", f"http://127.0.0.1:{port}", World(port, tmp_path)
    )
    first = machines._first()
    standby = command(
        *("standby", machines.folder, machines.url, "--poll", "0.1", "--json", *first)
    )
    try:
        assert standby.stdout is not None
        told = json.loads(standby.stdout.readline())
        assert (told["state"], told["size"]) == ("following", 2)
        assert served.end()[0] == 0
        told = json.loads(standby.stdout.readline())
        assert told["state"] == "unreachable"
        assert "could not ask" in told["detail"]
        served = Served.start(log, port=port).wait_until_served()
        assert json.loads(standby.stdout.readline())["state"] == "following"
        standby.send_signal(signal.SIGINT)
        assert standby.wait(SECONDS) == 0
    finally:
        standby.kill()
        standby.communicate()
        served.close()
