"""A cluster at work, and what can happen to it, at random.

    python -m tests.cluster.cluster --faults 100 --seed 1          (make cluster)

Three web processes, two sequencers, PostgreSQL with its commits on disk, a real witness
whose cosignature the log needs; each node in a network of its own, if that can be had
(`network`). Submitters go to any web process; each of these has a reader, who records
every checkpoint. Then parts are killed (SIGKILL), paused (SIGSTOP, and woken when
another has gone on) and cut off from the database, sometimes two at once, and the
database is killed as well. At the end all of them live, what was promised has to come,
and the whole log is audited.

How long it takes from a fault of the one who sequences to the next new checkpoint that
a reader sees is written down.

The seed fixes what happens to whom; what the machine makes of it is its own.
"""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from bench.page import Figure, write_part
from log_server.config import Config
from monitor.witness_store import NAME, read
from tests.cluster import network
from tests.cluster.crowd import Clients
from tests.cluster.making import WITNESS, built, crowd_of
from tests.cluster.network import is_hub
from tests.cluster.nodes import Node
from tests.fault.storm import is_done, kept
from tests.fault.storm_parts import until
from tests.support import postgres as support
from tests.support.audit import Audited, audit
from tests.support.shown import reading
from tests.unit.log_server.parties import Log

_NOTES = """\
Three web processes, two sequencers and PostgreSQL on this one machine, each in a
network of its own; the lease is {lease} s. Whatever was not kept would have ended it
([tests/cluster/cluster.py](../tests/cluster/cluster.py)).
"""
_LOOK = 0.01
_TAKEOVER = 60
"""Seconds after which nobody comes any more."""
_TWO = 0.25
"""How often two are struck at once, once each fault has been alone."""
_MOST = 10
_FIRST = (
    ("kill", "holder"),
    ("pause", "holder"),
    ("cut", "holder"),
    ("kill", "database"),
    ("cut", "web"),
    ("pause", "web"),
)
_OTHERS = (*_FIRST, *_FIRST[:3], ("kill", "web"), ("pause", "other"), ("cut", "other"))


@dataclass
class Summary:
    """What happened, and what came of it."""

    seed: int
    seconds: float
    lease: int
    faults: Counter[str]
    takeovers: dict[str, list[float]]
    world: Clients
    audited: Audited

    def __str__(self) -> str:
        """A few lines."""
        struck = ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items()))
        found, told = self.audited, self.world.told
        times = "".join(
            f"\n  {kind}: p50 {median(all_):.1f} s, max {max(all_):.1f} s ({len(all_)})"
            for kind, all_ in sorted(self.takeovers.items())
        )
        return (
            f"cluster: {self.faults.total()} faults ({struck}), seed {self.seed},"
            f" {self.seconds:.0f} s; {self.world.answers} answers,"
            f" {self.world.unanswered} broken off, of these {self.world.away} by 503;"
            f" {found.leaves} leaves, {len(told.indices)} statements told an index,"
            f" {found.decided} promises kept, {found.refused} refused with a reason,"
            f" {found.checkpoints} checkpoints seen, of one history; nothing lost\n"
            f"from a fault to the next new checkpoint (lease {self.lease} s):{times}"
        )

    def figures(self) -> Iterator[Figure]:
        """The same, for docs/performance.md."""
        struck = ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items()))
        yield Figure(
            "faults",
            f"{self.faults.total()} ({struck}), seed {self.seed}, in"
            f" {self.seconds:.0f} s",
        )
        yield from kept(self.world, self.audited)
        for kind, times in sorted(self.takeovers.items()):
            yield Figure(
                f"{kind} of who sequences, to the next new checkpoint",
                f"p50 {median(times):.1f} s, max {max(times):.1f} s;"
                f" {len(times)} times",
                "within seconds",
            )


@dataclass
class Cluster:
    """All that runs, and the one who strikes it."""

    log: Log
    world: Clients
    server: support.Postgres
    nodes: list[Node]
    chance: random.Random
    say: Callable[[str], object]
    faults: Counter[str] = field(default_factory=Counter)
    takeovers: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )

    # --- who is who ------------------------------------------------------------------

    def term(self) -> tuple[int, int, int]:
        """The lease's term, its holder's process, the leaves that are committed."""
        with psycopg.connect(
            self.log.config.settings.database or "", connect_timeout=2
        ) as connection:
            row = connection.execute(
                "select term, holder, (select max(size) from checkpoint) from lease"
            ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1].rpartition(" ")[2]), int(row[2])

    def holder(self) -> tuple[Node, int, int]:
        """Who sequences, in which process, in which term; it waits for somebody."""
        end = time.monotonic() + _TAKEOVER
        while time.monotonic() < end:
            with contextlib.suppress(psycopg.Error):
                term, pid, _ = self.term()
                for node in self.nodes:
                    if pid in node.processes():
                        return node, pid, term
            time.sleep(_LOOK)
        message = "nobody sequences"
        raise AssertionError(message)

    def pick(self, whom: str) -> Node:
        """The holder, the other sequencer, or any web process."""
        holder = self.holder()[0]
        if whom == "holder":
            return holder
        part = "web" if whom == "web" else "sequencer"
        others = [one for one in self.nodes if one.part == part and one is not holder]
        return self.chance.choice(others)

    # --- faults ----------------------------------------------------------------------

    def storm(self, faults: int, *, cuts: bool) -> None:
        """So many faults, one after the other."""
        first = [one for one in _FIRST if cuts or one[0] != "cut"]
        others = [one for one in _OTHERS if cuts or one[0] != "cut"]
        for number in range(faults):
            kind, whom = (
                first[number] if number < len(first) else self.chance.choice(others)
            )
            second = None
            if number >= len(first) and self.chance.random() < _TWO:
                second = self.chance.choice(others)
            self.strike(kind, whom, second)
            if self.world.broken:
                return
            self.world.ended.wait(0.2 + self.chance.random())

    def strike(self, kind: str, whom: str, second: tuple[str, str] | None) -> None:
        """One fault, or two at once, until all is well and a checkpoint has come."""
        _, _, before = self.holder()
        # Chosen first: then it may be that nobody can say who is who.
        struck = [self.fault(kind, whom)]
        struck += [self.fault(*second)] if second is not None else []
        begun = time.monotonic()
        with ExitStack() as stack:
            for one in struck:
                stack.enter_context(one)
            if whom == "holder" and second is None:
                self.takeovers[kind].append(self.next_checkpoint(before) - begun)
            self.world.ended.wait(0.2 + 2 * self.chance.random())
        healed = time.monotonic()
        came = self.world.seen.after(self.world.seen.size, _TAKEOVER)
        if came is None:
            self.world.broken.append(f"no checkpoint after {kind} of {whom}")
        elif whom == "database":
            self.takeovers["database, once it is back"].append(came - healed)
        name = f"{kind} {whom}" + (" and {} {}".format(*second) if second else "")
        self.say(f"{name}: well again after {time.monotonic() - begun:.1f} s")

    def next_checkpoint(self, before: int) -> float:
        """When somebody else has published, after the term `before`."""
        end = time.monotonic() + _TAKEOVER
        while time.monotonic() < end:
            with contextlib.suppress(psycopg.Error):
                term, _, size = self.term()
                if term > before:
                    came = self.world.seen.after(size, end - time.monotonic())
                    if came is not None:
                        return came
            time.sleep(_LOOK)
        self.world.broken.append(f"nobody took over after term {before}")
        return end

    def fault(self, kind: str, whom: str) -> AbstractContextManager[None]:
        """Something will be wrong for as long as that lasts."""
        self.faults[f"{kind} {whom}"] += 1
        if whom == "database":
            return self.without_database()
        node = self.pick(whom)
        if kind == "cut":
            return cut_off(node)
        parts = node.processes()
        # The one that works, or all of it.
        struck = parts[-1:] if self.chance.random() < 0.5 else parts
        return struck_by(kind, node, struck)

    @contextlib.contextmanager
    def without_database(self) -> Iterator[None]:
        """SIGKILL for the server; what it had promised is on disk."""
        self.server.stop(signal.SIGKILL)
        try:
            yield
        finally:
            end = time.monotonic() + _TAKEOVER
            while True:
                try:
                    self.server.start()
                    break
                except RuntimeError:
                    # Its children notice a moment later that it is gone.
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)

    # --- the end ---------------------------------------------------------------------

    def settle(self, crowd: Sequence[threading.Thread]) -> None:
        """All live: what was promised comes, and is told over HTTP as well."""
        self.world.seen.after(self.world.seen.size, _TAKEOVER)
        self.world.ended.set()
        for one in crowd:
            one.join()
        until(lambda: is_done(self.log), "a decision for all that waits", self.world)
        for envelope in sorted(self.world.told.promised):
            until(lambda e=envelope: self.world.decided(e), "a decision", self.world)  # type: ignore[misc] # bound at once
        for node in self.nodes:
            if (status := node.end()) != 0:
                self.world.broken.append(f"{node.name} ended with {status}")

    def story(self) -> str:
        """What was broken first, and what the nodes said."""
        said = [
            f"--- {node.name} said:\n{node.said.read_text('utf-8')[-3000:]}"
            for node in self.nodes
            if node.said.exists()
        ]
        return "\n".join([*self.world.broken[:_MOST], *said])


@contextlib.contextmanager
def cut_off(node: Node) -> Iterator[None]:
    """Without its database."""
    node.place.cut()
    try:
        yield
    finally:
        node.place.mend()


@contextlib.contextmanager
def struck_by(kind: str, node: Node, pids: Sequence[int]) -> Iterator[None]:
    """Some of its processes killed, or standing still."""
    node.signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP, pids)
    try:
        yield
    finally:
        if kind == "pause":
            node.signal(signal.SIGCONT, pids)


def check_witness(config: Config, folder: Path) -> None:
    """What it cosigned last is what is shown, and it never saw a fork."""
    found = read(folder / NAME)
    assert not found.forks
    [one] = [one for one in found.cosigned if one.origin == config.origin]
    with reading(config) as file:
        assert file("checkpoint").startswith(f"{config.origin}\n{one.size}\n".encode())


def run(
    folder: Path, faults: int, seed: int, lease: int, say: Callable[[str], object]
) -> Summary:
    """A cluster in an empty folder, to its end.

    Raises:
        AuditError: the log broke a promise.
        AssertionError: something was seen that cannot be.
    """
    begun = time.monotonic()
    with built(folder, seed, lease) as (log, world, server, nodes):
        cluster = Cluster(log, world, server, nodes, random.Random(seed), say)
        crowd = crowd_of(world, log, seed)
        try:
            for node in reversed(nodes):
                node.begin()
            for thread in crowd:
                thread.start()
            assert world.seen.after(0, _TAKEOVER), cluster.story()
            say(f"at work after {time.monotonic() - begun:.1f} s")
            cluster.storm(faults, cuts=is_hub())
            say(f"calm after {time.monotonic() - begun:.0f} s")
            assert not world.broken, cluster.story()
            cluster.settle(crowd)
        finally:
            # Also when it is interrupted: nothing that it started is left.
            world.ended.set()
            for node in nodes:
                node.end()
            for thread in crowd:
                if thread.ident is not None:
                    thread.join()
        audited = audit(log.config, world.told)
        check_witness(log.config, folder / WITNESS)
        assert not world.broken, cluster.story()
    return Summary(
        seed,
        time.monotonic() - begun,
        lease,
        cluster.faults,
        cluster.takeovers,
        world,
        audited,
    )


def main(arguments: Sequence[str]) -> Summary:
    """The command."""
    parser = argparse.ArgumentParser(description="Strike a cluster, and audit it.")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--lease", type=int, default=5)
    parser.add_argument(
        "--page", action="store_true", help="write its part of docs/performance.md"
    )
    options = parser.parse_args(arguments)

    def say(words: str) -> None:
        sys.stderr.write(f"cluster: {words}\n")
        sys.stderr.flush()

    network.prepare()
    why = "" if is_hub() else f"; nothing is cut: {network.absent()}"
    say(f"seed {options.seed}{why}")
    with tempfile.TemporaryDirectory(prefix="pcrlog-cluster-") as folder:
        summary = run(Path(folder), options.faults, options.seed, options.lease, say)
    sys.stdout.write(f"{summary}\n")
    if options.page:
        notes = _NOTES.format(lease=options.lease)
        write_part("cluster", summary.figures(), notes)
    return summary


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    network.enter("tests.cluster.cluster", sys.argv[1:])
    main(sys.argv[1:])
