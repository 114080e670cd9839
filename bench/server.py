"""`make bench-server`: how much a log takes in and gives out, on this machine alone.

A real server with its two processes, durable, signatures checked, index and seal
included; the load comes from here, so it shares the cores with what it measures. Each
figure stands beside a limit that was measured in the same run: a skeleton without a log
behind it, signature checks, commits, a bare function that answers the same bytes.

Prints figures as they come and writes their part of docs/performance.md. Exit status 1
if one is not as asked.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench.grown import WAIT, Grown, grow
from bench.inside import head_of, rows_of
from bench.load import CONNECTIONS, Loaded, get, load, post
from bench.made import releases
from bench.page import Figure, table, write_part
from bench.served import Log, running
from bench.stages import Stages, watch
from bench.submission import free_port, wait_for
from pcrlog.encoding import encode_base64, encode_json
from pcrlog.keys import SigningKey

_WARM = 500
_SAMPLES = 200
_LOADED = 4000
"""Requests for a second of load, where there is no wrk."""
_MS = 1e3

# What is asked for.
_SINGLES, _SHARE, _SLOWEST = 1200, 0.6, 0.5
_BATCHED = 3000
_GROWN = 0.7
_FILES = 0.9
_BUNDLES, _AGAIN, _BUNDLE_SECONDS = 300, 3000, 0.02
_START_SECONDS, _MEMORY = 2.0, 400 << 20


# --- what is taken in -----------------------------------------------------------------


class Singles(NamedTuple):
    """One statement a request: the log, the skeleton, bare Granian, the log at half.

    `busy`: seconds of a core a statement, by process. `stages`: at half its rate.
    """

    log: Loaded
    busy: dict[str, float]
    half: Loaded
    stages: Stages
    skeleton: Loaded
    bare: Loaded


def singles(number: int) -> Singles:
    """Submit statements one a request, each answered when it is published."""
    with running() as log:
        source = releases(log.keys)
        _submit(log.port, list(islice(source, _WARM)))
        bodies = list(islice(source, number))
        before = log.busy()
        taken = _submit(log.port, bodies)
        busy = {name: (s - before[name]) / number for name, s in log.busy().items()}
        bodies = list(islice(source, number))
        rate = max(_SINGLES / 2, taken.rate / 2)
        pause = 0.5 * number / rate / _SAMPLES
        few = list(islice(source, _SAMPLES))
        watching = watch(log.folder, log.port, few, pause)
        half = _submit(log.port, bodies, rate=rate)
        stages = watching.end()
        bodies = list(islice(source, number))
        skeleton = _skeleton(log, bodies)
        with _serving("files", log.folder) as port:
            bare = load(port, [post(WAIT, body) for body in bodies])
    return Singles(taken, busy, half, stages, skeleton, bare)


def _submit(port: int, bodies: Sequence[bytes], rate: float | None = None) -> Loaded:
    found = load(port, [post(WAIT, body) for body in bodies], rate=rate)
    if set(found.statuses) != {201}:
        message = f"not all were published: {found.statuses}"
        raise RuntimeError(message)
    return found


def _skeleton(log: Log, bodies: Sequence[bytes]) -> Loaded:
    folder = log.folder / "skeleton"
    folder.mkdir()
    spkis = [encode_base64(key.public.spki) for key in log.keys.values()]
    (folder / "keys.json").write_bytes(encode_json(spkis))
    with _serving("statements", folder) as port:
        load(port, [post(WAIT, body) for body in bodies[:_WARM]])
        return load(port, [post(WAIT, body) for body in bodies])


@contextmanager
def _serving(what: str, folder: Path) -> Iterator[int]:
    """One of the skeletons; its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.skeleton", what, str(folder), str(port)]
    with subprocess.Popen(command) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


# --- what is given out ----------------------------------------------------------------


class Files(NamedTuple):
    """Answers a second: the log's, and those of a bare function, for the same file."""

    path: str
    log: float
    bare: float


def files(seconds: int) -> list[Files]:
    """Ask for a full tile and for /checkpoint, each for some seconds."""
    with running() as log:
        _submit(log.port, list(islice(releases(log.keys), 300)))
        with _serving("files", log.folder / "public") as bare:
            return [
                Files(
                    path,
                    _answers(log.port, path, seconds),
                    _answers(bare, path, seconds),
                )
                for path in ("/tile/0/000", "/checkpoint")
            ]


def _answers(port: int, path: str, seconds: int) -> float:
    """Answers a second, by wrk if it is there: our own load costs more than they do."""
    if shutil.which("wrk") is None:
        return load(port, [get(path)] * (seconds * _LOADED)).rate
    url = f"http://127.0.0.1:{port}{path}"
    words = ["wrk", "-t1", "-c32", f"-d{seconds}s", url]
    told = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    if "Non-2xx" in told:
        message = f"{path} was refused: {told}"
        raise RuntimeError(message)
    return float(told.partition("Requests/sec:")[2].split()[0])


# --- limits of the machine ------------------------------------------------------------


class Limits(NamedTuple):
    """A second, in one thread: signature checks, commits of a row, node hashes."""

    checks: float
    commits: float
    hashes: float


def limits() -> Limits:
    """What nothing that runs here can exceed."""
    signer, message = SigningKey.generate(), b"x" * 900
    signature, public = signer.sign(message), signer.public
    checks = _rate(3000, lambda: public.verify(signature, message))
    node = b"\1" + bytes(64)
    hashes = _rate(200_000, lambda: sha256(node).digest())
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        database = sqlite3.connect(Path(name) / "rows.db", isolation_level=None)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("create table row (envelope blob)")
        commits = _rate(
            1000, lambda: database.execute("insert into row values (?)", (message,))
        )
        database.close()
    return Limits(checks, commits, hashes)


def _rate(number: int, once: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(number):
        once()
    return number / (time.perf_counter() - began)


# --- figures --------------------------------------------------------------------------


def limit_figures(found: Limits) -> Iterator[Figure]:
    """What this machine does at most."""
    yield Figure(
        "limits: signature checks, one thread", f"{found.checks:,.0f} a second"
    )
    yield Figure("limits: commits of one row", f"{found.commits:,.0f} a second")
    yield Figure("limits: hashes of a node", f"{found.hashes:,.0f} a second")


def single_figures(found: Singles, beside: Limits) -> Iterator[Figure]:
    """Statements that come one a request."""
    share = found.log.rate / found.skeleton.rate
    yield Figure(
        f"single statements, published, {CONNECTIONS} connections",
        f"{found.log.rate:,.0f} a second; {share:.0%} of the skeleton's"
        f" {found.skeleton.rate:,.0f}; {found.log.rate / beside.checks:.0%} of bare"
        f" signature checks; {found.log.rate / found.bare.rate:.0%} of bare Granian",
        "at least 1,200 a second, 60 % of the skeleton",
        found.log.rate >= _SINGLES and share >= _SHARE,
    )
    web, sequencer = (1e6 * found.busy[name] for name in ("web", "sequencer"))
    yield Figure(
        "single statements, time of a core each",
        f"{web:.0f} us in the web process, {sequencer:.0f} us in the sequencer",
    )
    slowest = found.half.latency(0.99)
    yield Figure(
        f"single statements at {found.half.rate:,.0f} a second, until published",
        f"p50 {found.half.latency(0.5) * _MS:.0f} ms, p99 {slowest * _MS:.0f} ms",
        "p99 at most 500 ms at half of 1,200",
        slowest <= _SLOWEST,
    )
    for name, times in zip(Stages._fields, found.stages, strict=True):
        low, high = times[len(times) // 2], times[int(0.99 * len(times))]
        yield Figure(
            f"at that rate, one more until it is {name}",
            f"p50 {low * _MS:.0f} ms, p99 {high * _MS:.0f} ms",
        )


def file_figures(found: Sequence[Files]) -> Iterator[Figure]:
    """Tiles and the checkpoint."""
    for one in found:
        yield Figure(
            f"GET {one.path}",
            f"{one.log:,.0f} a second, {one.log / one.bare:.0%} of a bare WSGI"
            f" function's {one.bare:,.0f}",
            "at least 90 %",
            one.log >= _FILES * one.bare,
        )


def grown_figures(found: Grown, beside: Limits) -> Iterator[Figure]:
    """A log that grows."""
    yield from _batch_figures(found, beside)
    yield from _bundle_figures(found)
    for one in found.standing:
        yield Figure(
            f"a log of {one.entries:,} leaves: start to first answer",
            f"{one.started:.2f} s",
            "under 2 s",
            one.started < _START_SECONDS,
        )
        yield Figure(
            f"a log of {one.entries:,} leaves: memory of all its processes, at work",
            f"{one.resident / 2**20:.0f} MiB",
            "under 400 MB",
            one.resident < _MEMORY,
        )
        yield Figure(
            f"a log of {one.entries:,} leaves: disk",
            f"{one.database:,.0f} bytes of log.db an entry, {one.files:,.0f} of files",
        )


def _batch_figures(found: Grown, beside: Limits) -> Iterator[Figure]:
    [*stretches, grown] = found.stretches
    for one in found.stretches:
        yield Figure(
            f"batches, entries {one.first:,} to {one.last:,}",
            f"{one.rate:,.0f} a second; {1e6 * one.web:.0f} us of a core in the web"
            f" process, {1e6 * one.sequencer:.0f} us in the sequencer",
        )
    yield Figure(
        f"batches of 1,000, sustained for {stretches[-1].last:,} entries",
        f"{found.sustained:,.0f} a second, {found.sustained / beside.checks:.0%} of"
        " bare signature checks",
        "at least 3,000 a second",
        found.sustained >= _BATCHED,
    )
    share = grown.rate / stretches[0].rate
    yield Figure(
        f"the same at {grown.first:,} entries",
        f"{grown.rate:,.0f} a second, {share:.0%} of the first stretch",
        "at least 70 % of that up to 100,000",
        share >= _GROWN,
    )


def _bundle_figures(found: Grown) -> Iterator[Figure]:
    name, bundles = f"bundles, {found.bundles.entries:,} entries", found.bundles
    for what, all_out, half, asked in (
        ("each asked for once", bundles.once, bundles.half, _BUNDLES),
        ("asked for again", bundles.again, bundles.half_again, _AGAIN),
    ):
        slowest = half.latency(0.99)
        yield Figure(
            f"{name}, {what}",
            f"{all_out.rate:,.0f} a second; p99 {slowest * _MS:.1f} ms at"
            f" {half.rate:,.0f} a second",
            f"at least {asked:,} a second; p99 under 20 ms at half that",
            all_out.rate >= asked and slowest < _BUNDLE_SECONDS,
        )


_NOTES = """\
One statement a request, or a thousand lines a request over four connections, are
answered when they are published ([bench/server.py](../bench/server.py)); the load
generator runs on the same cores. The skeleton has the same HTTP, the same parsing, the
same signature check and the same commits, and no log behind it
([bench/skeleton.py](../bench/skeleton.py)). Durable, integrated and published are what
[bench/stages.py](../bench/stages.py) says. From the first size of the grown log to the
last one, entries went through the same sequencer and store, without HTTP before it
([bench/grown.py](../bench/grown.py)).
"""
_INSIDE = """
### Where the time of an entry goes in the sequencer

By the clock, with nothing but the loader beside it, for entries from one size of a log
to another ([bench/inside.py](../bench/inside.py)). A signature is checked twice: by the
web process, which takes in nothing else, and by the sequencer, which does not believe
it. What grows with the log is reading and writing pages: keys are hashes, so each new
one lies on a page of its own, and each such page is written twice, to the WAL and to
the file.
"""


def main() -> int:
    """Measure, and print each figure as it comes; 0 if all are as asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--singles", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=5, help="for each file")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--grown", type=int, default=3_000_000)
    parser.add_argument("--last", type=int, default=60_000)
    parser.add_argument("--no-page", action="store_true", help="write nothing")
    options = parser.parse_args()
    found: list[Figure] = []
    inside = ""

    def tell(figures: Iterator[Figure]) -> None:
        for figure in figures:
            print(f"{figure.name}\n    {figure.value}", flush=True)
            if figure.asked:
                print(f"    asked: {figure.verdict}", flush=True)
            found.append(figure)

    beside = limits()
    tell(limit_figures(beside))
    tell(single_figures(singles(options.singles), beside))
    tell(file_figures(files(options.seconds)))
    for told in grow(options.entries, options.grown, options.last):
        if isinstance(told, Grown):
            tell(grown_figures(told, beside))
            inside = table(head_of(told.inside), rows_of(told.inside))
            print(inside)
        else:
            print(f"    ... {told}", flush=True)
    if not options.no_page:
        write_part("server", found, f"{_NOTES}{_INSIDE}\n{inside}")
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
