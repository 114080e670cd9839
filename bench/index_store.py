"""`python -m bench.index_store`: how fast the log's index grows, and what it takes.

The sequencer's own code and tables, durable: index, trie, tree and commit, in batches
of 3,000 keys into a log that has been filled in the same way. What comes before is left
out: leaves are short, made up, and judged by nobody. Half are releases of new
measurements (five keys, three of them new), half audits of these (two, one new).
"""

import argparse
import cProfile
import pstats
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from log_server.batch import Batch, Leaf, Sealed
from log_server.config import Config
from log_server.creation import create_log
from log_server.databases import log_database
from log_server.draft import Draft
from log_server.index_pages import prove
from log_server.ledger import Ledger
from log_server.progress import Progress
from log_server.store import Store
from pcrlog.checkpoint import Checkpoint
from pcrlog.index_keys import key_hash
from pcrlog.seal import Seal

_ORIGIN = "log.example/pcr"
_NOW = 1_795_590_000
_LEAVES = 1500
"""Of a batch: 3,000 new keys, and a few that have many indices."""
_RELEASES_PER_PRODUCT = 1000
_TIDY_AFTER = 128
"""Batches, as in the sequencer."""
_PARTS = 10
"""Parts of the way whose rates are told."""
_PROOFS = 2000
_TABLES = ("index_entry", "trie_page", "trie_page_before")


class Keys(NamedTuple):
    """Of a batch: how many keys, seconds for index and for all the rest of it.

    `busy`: of both, seconds of this process on a core; machines are shared.
    """

    number: int
    indexing: float
    writing: float
    busy: float


def made_up() -> Iterator[tuple[bytes, list[str]]]:
    """Leaves and their keys, without end."""
    for number in count():
        one = f"PCR0=sha384:{number:096x}"
        product = f"acme.example/wallet-{number // _RELEASES_PER_PRODUCT}"
        yield (
            b"{release %d" % number,
            [
                f"v1/by/acme.example/aws-nitro/{one}",
                f"v1/version/{product}/1.0.{number}",
                f"v1/measurement/aws-nitro/{one}",
                f"v1/product/{product}",
                "v1/issuer/acme.example",
            ],
        )
        yield (
            b"{audit %d" % number,
            [f"v1/by/lab.example/aws-nitro/{one}", "v1/issuer/lab.example"],
        )


class Filling:
    """A log that is filled, batch by batch."""

    def __init__(self, config: Config) -> None:
        self._ledger = Ledger(log_database(config), config.vkey())
        self._progress = Progress.load(self._ledger.snapshot())
        self._leaves = made_up()

    def batch(self) -> Keys:
        """One batch."""
        progress = self._progress
        draft = Draft(self._ledger.snapshot(), progress)
        for leaf, keys in islice(self._leaves, _LEAVES):
            row = Leaf(draft.size, leaf, sha256(leaf).digest(), "release")
            draft.add_leaf(row, keys)
        began, busy = time.perf_counter(), time.process_time()
        update, grown = draft.grow_index()
        indexed = time.perf_counter() - began
        seal = Seal(draft.size, progress.time, update.root, frozen=False)
        draft.add_seal(seal.encode())
        checkpoint = Checkpoint(_ORIGIN, draft.size, draft.tree.root())
        batch = Batch(
            number=progress.batch + 1,
            taken_before=progress.taken,
            taken=progress.taken,
            decisions=(),
            tree=draft.tree,
            leaves=tuple(draft.leaves),
            tiles={place: bytes(hashes) for place, hashes in draft.tiles.items()},
            update=update,
            grown=grown,
            given_more={},
            words=frozenset(),
            sealed=Sealed(seal, checkpoint),
        )
        began = time.perf_counter()
        self._ledger.append(batch, b"")
        if batch.number % _TIDY_AFTER == 0:
            self._ledger.tidy()
        committed = time.perf_counter() - began
        busy = time.process_time() - busy
        progress.advance(batch)
        return Keys(len(draft.keys), indexed, committed, busy)

    def close(self) -> None:
        """Put all that is committed into the file, and close it."""
        self._ledger.tidy()
        self._ledger.close()


def fill(config: Config, number: int, *, profile: bool) -> None:
    """Grow the index to `number` keys; tell the rate of each part, and a profile."""
    log, done, part = Filling(config), 0, number // _PARTS
    profiler = cProfile.Profile()
    while done < number:
        found: list[Keys] = []
        last = done + part >= number
        if last and profile:
            profiler.enable()
        while sum(one.number for one in found) < part:
            found.append(log.batch())
        profiler.disable()
        keys = sum(one.number for one in found)
        indexing = sum(one.indexing for one in found)
        writing = sum(one.writing for one in found)
        busy = sum(one.busy for one in found)
        done += keys
        print(
            f"{done:>9,} keys: {keys / (indexing + writing):,.0f} a second;"
            f" µs a key: {indexing / keys * 1e6:.1f} index,"
            f" {writing / keys * 1e6:.1f} commit; {busy / keys * 1e6:.1f} of them on a"
            " core"
            f"{', with the profiler' * (last and profile)}",
            flush=True,
        )
    log.close()
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(16)


def answer(config: Config) -> None:
    """How fast it starts and proves, and what it takes."""
    began = time.perf_counter()
    ledger = Ledger(log_database(config), config.vkey())
    Progress.load(ledger.snapshot())
    print(f"start: {(time.perf_counter() - began) * 1e3:.0f} ms")
    ledger.close()
    store = Store(log_database(config))
    with store.committed() as snapshot:
        newest = snapshot.checkpoint()
        assert newest is not None
        for behind in (0, 1):
            index = snapshot.index_at(snapshot.checkpoint(newest.batch - behind))
            keys = [
                key_hash(key) for _, some in islice(made_up(), _PROOFS) for key in some
            ]
            began = time.perf_counter()
            for key in keys:
                prove(index, key)
            took = (time.perf_counter() - began) / len(keys)
            print(f"proof, {behind} batches behind: {took * 1e6:.0f} µs")
    store.close()


def sizes(config: Config, number: int) -> None:
    """Bytes a key, by table."""
    with closing(sqlite3.connect(config.log_db)) as database:
        for table in _TABLES:
            [size] = database.execute(
                "select sum(pgsize) from dbstat where name = ?", (table,)
            ).fetchone()
            print(f"{table}: {(size or 0) / number:.1f} bytes a key")


def main() -> None:
    """Fill a log, and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.index_store")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--profile", action="store_true", help="of the last tenth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name) / "log"
        create_log(folder, _ORIGIN, root_key=None, clock=lambda: _NOW)
        config = Config.load(folder)
        fill(config, options.keys, profile=options.profile)
        answer(config)
        sizes(config, options.keys)
    status = Path("/proc/self/status").read_text("ascii")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    print(f"memory: {int(peak[1]) / 1024 if peak else 0:.0f} MiB")


if __name__ == "__main__":
    main()
