"""Makes a cluster: the database, a witness, the log, and a folder for each node."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from log_server.config import Config, Member, Quorum
from tests.cluster import network
from tests.cluster.crowd import Clients, Reader
from tests.cluster.nodes import Node, Part, copy
from tests.fault.storm_parts import Guarded, Provider, Submitter, wired
from tests.support import postgres as support
from tests.support.witness_process import WitnessProcess, make_witness
from tests.unit.log_server.parties import Log

WITNESS = "w1"
_PARTS: tuple[Part, ...] = ("web", "web", "web", "sequencer", "sequencer")
_PROVIDERS, _SUBMITTERS = 3, 5

Built: TypeAlias = tuple[Log, Clients, support.Postgres, list[Node]]


@contextmanager
def built(folder: Path, seed: int, lease: int) -> Iterator[Built]:
    """All that a cluster is, in an empty folder; its nodes are not started yet."""
    hub = network.is_hub()
    with ExitStack() as stack:
        server = stack.enter_context(serving_all() if hub else support.running())
        log = Log.create(folder / "log", int(time.time()), server.database())
        settings = msgspec.structs.replace(log.config.settings, lease=lease)
        log.config = Config(log.config.directory, settings)
        world = Clients(0, log.config.public, chance=random.Random(seed))
        vkey = make_witness(folder / WITNESS, "w1.example/cluster", [log.new.vkey])
        wire, url = stack.enter_context(
            wired(world.told, "0.0.0.0" if hub else "127.0.0.1")  # noqa: S104 - of the hub, where nobody else is
        )
        witness = stack.enter_context(WitnessProcess.start(folder / WITNESS))
        wire.witness = witness.port
        nodes = []
        for number, part in enumerate(_PARTS, start=1):
            place = network.place(number, log.config.settings.database or "")
            stack.callback(place.close)
            name = f"{part}{number}"
            node = Node(name, part, folder / name, place, world.broken)
            member = Member(vkey, url.replace("127.0.0.1", place.hub))
            copy(log.config, node.folder, place, Quorum(1, (member,), 2))
            nodes.append(node)
        world.webs = [node for node in nodes if node.part == "web"]
        yield log, world, server, nodes


@contextmanager
def serving_all() -> Iterator[support.Postgres]:
    """PostgreSQL for the whole hub, where nobody is but ourselves."""
    options = {"listen_addresses": "*", "max_connections": "120"}
    with support.running(durable=True, **options) as server:
        with (server.data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.0.0/16 trust\n")
        server.execute("select pg_reload_conf()")
        yield server


def crowd_of(world: Clients, log: Log, seed: int) -> list[Guarded]:
    """Submitters and readers, not started yet."""
    providers = [
        Provider(log.enrol(f"p{n}.example", "provider")) for n in range(_PROVIDERS)
    ]
    work = [Reader(world, web).work for web in world.webs]
    work += [
        Submitter(world, providers[n % _PROVIDERS], seed + n).work
        for n in range(_SUBMITTERS)
    ]
    return [Guarded(world, one) for one in work]
