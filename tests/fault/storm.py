"""The storm: a log at work, and SIGKILL for each of its processes at random times.

    python -m tests.fault.storm --kills 500 --seed 1        (make storm)

The real server, six submitters of three providers, a real witness whose cosignature the
log needs, and a reader. One thread kills parts of `serve` (the parent, the web process,
the sequencer; now and then two of them, or while they start), another one the witness;
what died is started again. At the end everybody lives once more, what was promised has
to come, and the whole log is audited (tests/support/audit.py).

The seed fixes who is killed after how long; what the machine makes of it is its own.
"""

import argparse
import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.page import Figure, write_part
from log_server.config import Config, Member, Quorum
from log_server.databases import intake_database
from log_server.intake import IntakeReader
from monitor.witness_store import NAME, read
from tests.e2e.served import Served, children_of, free_port, is_running, open_files
from tests.fault.storm_parts import (
    Guarded,
    Provider,
    Reader,
    Submitter,
    Wire,
    World,
    until,
    wired,
)
from tests.support.audit import Audited, audit
from tests.support.witness_process import WitnessProcess, make_witness
from tests.unit.log_server.parties import Log

PROVIDERS, THREADS = 3, 6
_WITNESS = 0.4
"""At most so much of the kills is of the witness."""
_EARLY, _TWO = 0.2, 0.4
"""How often a `serve` is struck while it starts; how often two of its parts are."""
_LOOK = 0.05
_MOST, _WORDS = 10, 5000
_ENDS = {0, 2, 3, -signal.SIGKILL, -signal.SIGTERM}
"""How a `serve` ends here: in order; the port or the lock was not free yet; a part of
it was killed; it was killed; it was ended before it could listen for that."""
_NOTES = """\
Whatever was not kept would have ended it: after the last kill the whole log is audited
against all that it told anybody ([tests/support/audit.py](../tests/support/audit.py)).
The table of faults, each step of a batch struck before and after it takes effect, by a
kill, an error and a hang, runs with the tests
([test_log_faults.py](../tests/fault/test_log_faults.py)).
"""


@dataclass
class Summary:
    """What a storm was, and what came of it."""

    seed: int
    kills: Counter[str]
    starts: list[float]
    seconds: float
    world: World
    audited: Audited

    def __str__(self) -> str:
        """One line."""
        killed = ", ".join(f"{name} {n}" for name, n in sorted(self.kills.items()))
        start = sorted(self.starts)[len(self.starts) // 2] if self.starts else 0
        found, told = self.audited, self.world.told
        return (
            f"storm: {self.kills.total()} kills ({killed}), seed {self.seed},"
            f" {self.seconds:.0f} s; {self.world.answers} answers,"
            f" {self.world.unanswered} broken off; {found.leaves} leaves,"
            f" {len(told.indices)} statements told an index, {found.decided} promises"
            f" kept, {found.refused} refused with a reason, {found.checkpoints}"
            f" checkpoints seen, of one history; `serve` starts in {start:.1f} s;"
            " nothing lost"
        )

    def figures(self) -> Iterator[Figure]:
        """The same, for docs/performance.md."""
        killed = ", ".join(f"{name} {n}" for name, n in sorted(self.kills.items()))
        yield Figure(
            "kills",
            f"{self.kills.total()} ({killed}), seed {self.seed}"
            f" in {self.seconds:.0f} s",
        )
        yield from kept(self.world, self.audited)
        start = sorted(self.starts)[len(self.starts) // 2] if self.starts else 0
        yield Figure("start of `serve`, p50", f"{start:.1f} s")


def kept(world: World, found: Audited) -> Iterator[Figure]:
    """What was asked, and that all that was promised was kept."""
    yield Figure(
        "requests", f"{world.answers:,} answered, {world.unanswered:,} broken off"
    )
    yield Figure(
        "201 and 202 kept",
        f"{len(world.told.indices):,} statements told an index, {found.decided:,} told"
        f" later, {found.refused:,} refused with a reason",
        "all of them",
    )
    yield Figure(
        "checkpoints that were seen", f"{found.checkpoints:,}", "of one history"
    )


@dataclass
class Storm:
    """The killing; `left` kills are still to come."""

    log: Log
    world: World
    witness: Path
    left: int
    seed: int
    say: Callable[[str], object]
    kills: Counter[str] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)
    said: str = ""
    # Guards `left` and `kills`.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kill(self, name: str, pid: int) -> None:
        """One more, if one more is to be."""
        with self.lock:
            if self.left == 0:
                return
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self.left -= 1
            self.kills[name] += 1
            if self.left % 25 == 0:
                self.say(f"{self.kills.total()} killed, {self.left} to go")

    def goes_on(self) -> bool:
        """Whether there are kills left, and a reason for them."""
        return self.left > 0 and not self.world.broken

    # --- serve -----------------------------------------------------------------------

    def server(self) -> None:
        """Start `serve` and kill of it, until no kill is left."""
        chance = random.Random(f"serve {self.seed}")
        while self.goes_on():
            begun = time.monotonic()
            served = Served.start(self.log, port=self.world.port)
            if chance.random() < _EARLY:
                # While it starts.
                time.sleep(chance.random() * 1.5)
            elif self.ready(served):
                self.starts.append(time.monotonic() - begun)
                time.sleep(chance.random() * 0.6)
            parts = parts_of(served)
            for name in chance.sample(
                sorted(parts), k=min(len(parts), self.some(chance))
            ):
                self.kill(name, parts[name])
            self.end(served)

    @staticmethod
    def some(chance: random.Random) -> int:
        return 2 if chance.random() < _TWO else 1

    def ready(self, served: Served) -> bool:
        assert served.process.stdout is not None
        return served.process.stdout.readline().startswith("serving")

    def end(self, served: Served) -> None:
        """All that is left of it ends by itself; why it ended has to be our doing."""
        children = served.children
        try:
            if not self.goes_on():
                # Nobody may have been killed this time.
                served.process.terminate()
            code, err = served.wait()
        finally:
            served.close()
        self.said = err[-_WORDS:]
        until(lambda: not any(map(is_running, children)), "the end of all", self.world)
        if code not in _ENDS:
            self.world.broken.append(f"serve ended with {code}")

    def story(self) -> str:
        """What was broken first, and what the last `serve` said."""
        return "\n".join([*self.world.broken[:_MOST], "serve said:", self.said])

    # --- witness ---------------------------------------------------------------------

    def witnesses(self, wire: Wire) -> None:
        """Start the witness and kill it, until no kill is left."""
        chance = random.Random(f"witness {self.seed}")
        while self.goes_on():
            with WitnessProcess.start(self.witness) as running:
                wire.witness = running.port
                time.sleep(chance.random() * 1.5)
                # It starts faster than a log; that should die more often.
                while self.goes_on() and not self.is_witness_next():
                    time.sleep(_LOOK)
                self.kill("witness", running.process.pid)

    def is_witness_next(self) -> bool:
        with self.lock:
            return self.kills["witness"] <= _WITNESS * self.kills.total()


def parts_of(served: Served) -> dict[str, int]:
    """The processes of a `serve` that live, by what they have open."""
    found = {} if served.process.poll() is not None else {"serve": served.process.pid}
    for pid in children_of(served.process.pid):
        with contextlib.suppress(OSError):
            files = open_files(pid)
            if "sequencer.lock" in files:
                found["sequencer"] = pid
            elif "intake.db" in files:
                found["worker"] = pid
    return {name: pid for name, pid in found.items() if is_running(pid)}


def run(folder: Path, kills: int, seed: int, say: Callable[[str], object]) -> Summary:
    """A storm in an empty folder, to its end.

    Raises:
        AuditError: the log broke a promise.
        AssertionError: something was seen that cannot be.
    """
    begun = time.monotonic()
    log = Log.create(folder / "log", int(time.time()))
    providers = [
        Provider(log.enrol(f"p{n}.example", "provider")) for n in range(PROVIDERS)
    ]
    world = World(free_port(), log.config.public)
    vkey = make_witness(folder / "w1", "w1.example/storm", [log.new.vkey])
    with wired(world.told) as (wire, url):
        require(log, vkey, url)
        storm = Storm(log, world, folder / "w1", kills, seed, say)
        killers: list[Callable[[], object]] = [
            storm.server,
            functools.partial(storm.witnesses, wire),
        ]
        submitters = [
            Submitter(world, providers[n % PROVIDERS], seed + n).work
            for n in range(THREADS)
        ]
        crowd = [Guarded(world, one) for one in (Reader(world).work, *submitters)]
        killing = [Guarded(world, one) for one in killers]
        try:
            for thread in (*crowd, *killing):
                thread.start()
            for thread in killing:
                thread.join()
            say(f"calm after {time.monotonic() - begun:.0f} s")
            assert not world.broken, storm.story()
            with WitnessProcess.start(storm.witness) as running:
                wire.witness = running.port
                settle(log, world, crowd)
        finally:
            # Also when it is interrupted: nothing that it started is left.
            storm.left = 0
            world.ended.set()
            for thread in (*killing, *crowd):
                thread.join()
    audited = audit(log.config, world.told)
    check_witness(log.config, storm.witness)
    assert not world.broken, storm.story()
    seconds = time.monotonic() - begun
    return Summary(seed, storm.kills, storm.starts, seconds, world, audited)


def require(log: Log, vkey: str, url: str) -> None:
    """Have the log ask its witness from its next start on."""
    quorum = Quorum(1, (Member(vkey, url),), timeout=2)
    settings = msgspec.structs.replace(log.config.settings, witnesses=quorum)
    (log.config.directory / "log.toml").write_bytes(settings.toml())
    log.config = Config.load(log.config.directory)


def settle(log: Log, world: World, crowd: Sequence[threading.Thread]) -> None:
    """Everybody lives: what was promised comes, and is told over HTTP as well."""
    served = Served.start(log, port=world.port)
    try:
        served.wait_until_served()
        time.sleep(1)
        world.ended.set()
        for one in crowd:
            one.join()
        until(lambda: is_done(log), "a decision for all that waits", world)
        for envelope in sorted(world.told.promised):
            until(lambda e=envelope: world.decided(e), "a decision", world)  # type: ignore[misc] # bound at once
        code, err = served.end()
        assert code == 0, err
    finally:
        served.close()


def is_done(log: Log) -> bool:
    """Whether nothing waits, and all is published."""
    with log.snapshot() as snapshot:
        intake = IntakeReader(intake_database(log.config))
        waits = intake.after(snapshot.taken(), 1)
        intake.close()
        return not waits and snapshot.published_size() == snapshot.size


def check_witness(config: Config, folder: Path) -> None:
    """What it cosigned last is the log's, and it never saw a fork."""
    found = read(folder / NAME)
    assert not found.forks
    [one] = [one for one in found.cosigned if one.origin == config.origin]
    note = (config.public / "checkpoint").read_bytes()
    assert note.startswith(f"{config.origin}\n{one.size}\n".encode())


def main(arguments: Sequence[str] | None = None) -> Summary:
    """The command."""
    parser = argparse.ArgumentParser(description="Kill a log at work, and audit it.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--page", action="store_true", help="write its part of docs/performance.md"
    )
    options = parser.parse_args(arguments)

    def say(words: str) -> None:
        sys.stderr.write(f"storm: {words}\n")
        sys.stderr.flush()

    say(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="pcrlog-storm-") as folder:
        summary = run(Path(folder), options.kills, options.seed, say)
    sys.stdout.write(f"{summary}\n")
    if options.page:
        write_part("storm", summary.figures(), _NOTES)
    return summary


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
