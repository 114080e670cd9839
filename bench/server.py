"""`make bench-server`: how much a log takes in and gives out, on this machine alone.

A real server with its two processes, durable, signatures checked, index and seal
included; the load comes from here, so it shares the cores with what it measures. Each
figure stands beside a limit that was measured in the same run: a skeleton without a log
behind it, signature checks, commits, a bare function that answers the same bytes.
"""

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256, sha384
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench.load import Loaded, get, load, post
from bench.submission import free_port, server, started, wait_for
from pcrlog.encoding import encode_base64, encode_json, format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import Release
from pcrlog.request import encode as encode_request
from pcrlog.statement import encode

_ORIGIN = "log.example/pcr"
_SERVER = "import sys; from log_server.commands import main; sys.exit(main())"
_PROVIDERS = 8
_THREADS = 128
_UNLIMITED = {"rate_per_address": 0, "rate_per_identity": 0, "most_waiting": 1_000_000}
_WAIT = "/api/v1/entries?wait=30"
_NDJSON = "application/x-ndjson"
_BATCH = 1000


class Log(NamedTuple):
    """A log that is served, and those who may release in it."""

    folder: Path
    port: int
    keys: dict[str, SigningKey]


@contextmanager
def running() -> Iterator[Log]:
    """A log with some providers and no rate limits."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        keys = {f"p{n}.example": SigningKey.generate() for n in range(_PROVIDERS)}
        server(folder, "init", "log", "--origin", _ORIGIN)
        settings = folder / "log" / "log.toml"
        rows = (
            row
            for row in settings.read_text().splitlines()
            if row.partition(" =")[0] not in {*_UNLIMITED, "threads"}
        )
        more = [f"{name} = {value}" for name, value in _UNLIMITED.items()]
        settings.write_text("\n".join([f"threads = {_THREADS}", *more, *rows]) + "\n")
        for provider, key in keys.items():
            request = encode_request(_ORIGIN, provider, [key])
            (folder / "request").write_bytes(request)
            words = ["enroll", "log", "--name", provider, "--role", "provider"]
            server(folder, *words, "--request", "request")
        port = free_port()
        listen = ["--listen", f"127.0.0.1:{port}"]
        with started(folder, _SERVER, "serve", "log", *listen):
            wait_for(port)
            yield Log(folder, port, keys)


def releases(keys: dict[str, SigningKey], start: int = 0) -> Iterator[bytes]:
    """Envelopes without end: releases of new measurements, by each provider in turn."""
    number, names = start, list(keys)
    issued = format_time(int(time.time()))
    while True:
        issuer = names[number % len(names)]
        registers = {
            f"PCR{n}": "sha384:" + sha384(f"{number}/{n}".encode()).hexdigest()
            for n in range(3)
        }
        release = Release(
            log=_ORIGIN,
            issuer=issuer,
            issued=issued,
            platform="aws-nitro",
            identity=(("PCR0",),),
            product=f"{issuer}/app-{number // (1000 * len(names))}",
            version=f"1.0.{number}",
        )
        yield sign_envelope(encode(release, registers), [keys[issuer]])
        number += 1


# --- what is taken in -----------------------------------------------------------------


class Singles(NamedTuple):
    """One statement a request: the log, the skeleton, and the log at half its rate."""

    log: Loaded
    skeleton: Loaded
    half: Loaded


def singles(number: int) -> Singles:
    """Submit statements one a request, each answered when it is published."""
    with running() as log:
        source = releases(log.keys)
        _submit(log.port, islice(source, 500))
        taken = _submit(log.port, islice(source, number))
        half = _submit(log.port, islice(source, number // 2), rate=taken.rate / 2)
        bare = _skeleton(log, list(islice(source, number)))
    return Singles(taken, bare, half)


def _submit(port: int, bodies: Iterator[bytes], rate: float | None = None) -> Loaded:
    requests = [post(_WAIT, body) for body in bodies]
    found = load(port, requests, rate=rate)
    if set(found.statuses) != {201}:
        message = f"not all were published: {found.statuses}"
        raise RuntimeError(message)
    return found


def _skeleton(log: Log, bodies: Sequence[bytes]) -> Loaded:
    folder = log.folder / "skeleton"
    folder.mkdir()
    spkis = [encode_base64(key.public.spki) for key in log.keys.values()]
    (folder / "keys.json").write_bytes(encode_json(spkis))
    port = free_port()
    command = [sys.executable, "-m", "bench.skeleton", str(folder), str(port)]
    with subprocess.Popen([*command, str(_THREADS)]) as process:
        try:
            wait_for(port)
            load(port, [post(_WAIT, body) for body in bodies[:500]])
            return load(port, [post(_WAIT, body) for body in bodies])
        finally:
            process.terminate()


class Batches(NamedTuple):
    """Statements a second in batches of a thousand, with `connections` at once."""

    number: int
    rate: float
    latency: float


def batches(number: int, connections: int = 4) -> Batches:
    """Submit statements a thousand a request."""
    with running() as log:
        source = releases(log.keys)
        requests = []
        for _ in range(number // _BATCH):
            lines = b"".join(one + b"\n" for one in islice(source, _BATCH))
            requests.append(post(_WAIT, lines, _NDJSON))
        found = load(log.port, requests, connections=connections)
        if set(found.statuses) != {200}:
            message = f"not all batches were taken: {found.statuses}"
            raise RuntimeError(message)
        size = _size(log)
    if size < number:
        message = f"{number} statements were submitted, and the log has {size} leaves"
        raise RuntimeError(message)
    rate = found.rate * _BATCH
    return Batches(number, rate, found.latency(0.5))


def _size(log: Log) -> int:
    note = (log.folder / "log" / "public" / "checkpoint").read_text()
    return int(note.splitlines()[1])


# --- what is given out ----------------------------------------------------------------


class Reads(NamedTuple):
    """Answers a second: tiles, /checkpoint, bundles asked once and again."""

    tiles: Loaded
    checkpoint: Loaded
    once: Loaded
    again: Loaded


def reads(number: int = 2000) -> Reads:
    """Ask for what verifiers and mirrors ask for."""
    with running() as log:
        found = list(islice(releases(log.keys), number))
        _submit(log.port, iter(found))
        bundles = [get(_bundle(one, log)) for one in range(number)]
        tile = get("/tile/0/000")
        load(log.port, [tile] * 2000)
        return Reads(
            load(log.port, [tile] * 20_000),
            load(log.port, [get("/checkpoint")] * 20_000),
            load(log.port, bundles),
            load(log.port, bundles),
        )


def _bundle(number: int, log: Log) -> str:
    names = list(log.keys)
    issuer = names[number % len(names)]
    pcr0 = sha384(f"{number}/0".encode()).hexdigest()
    product = f"{issuer}/app-{number // (1000 * len(names))}"
    return (
        f"/api/v1/bundle?product={product}&measurement=aws-nitro/PCR0%3Dsha384:{pcr0}"
    )


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
