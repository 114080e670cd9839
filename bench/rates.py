"""How fast statements are sequenced and indexed, and what an entry takes on disk.

A log in a temporary folder, as `pcrlog-server init` makes it, with one writer and no
web process in between: statements are queued, and the sequencer works through them in
batches as large as it takes. Half are releases of new measurements, half reproductions
of them, of a thousand releases a product at most.
"""

import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256, sha384
from pathlib import Path
from typing import Any, NamedTuple

from log_server.config import Config
from log_server.creation import create_log
from log_server.databases import intake_database
from log_server.direct import open_sequencer
from log_server.enrolment import prepare, submit
from log_server.intake import IntakeWriter, Submission
from pcrlog import index_keys, trie
from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import Audit, Release, Source
from pcrlog.request import Request
from pcrlog.request import encode as encode_request
from pcrlog.statement import encode

ORIGIN = "log.example/pcr"
PROVIDER, AUDITOR = "acme.example", "lab.example"
_RELEASES_PER_PRODUCT = 1000
_BATCH = 1000
"""Entries that a monitor indexes at once: about as many as a busy batch has."""


class Rates(NamedTuple):
    """Of `entries` statements: a second, and bytes an entry."""

    entries: int
    sequenced: float
    indexed: float
    database: float
    files: float


def rates(number: int) -> Rates:
    """Sequence `number` statements, then index the same leaves over again."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        keys = {one: SigningKey.generate() for one in (PROVIDER, AUDITOR)}
        config = _create(Path(name) / "log", keys)
        rows = list(statements(number, keys))
        before = _sizes(config)
        took = _sequence(config, rows)
        after = _sizes(config)
        database, files = (
            (new - old) / number for old, new in zip(before, after, strict=True)
        )
    return Rates(number, number / took, number / _index(rows), database, files)


def _now() -> int:
    return int(time.time())


def _create(folder: Path, keys: dict[str, SigningKey]) -> Config:
    create_log(folder, ORIGIN, root_key=None, clock=_now)
    config = Config.load(folder)
    for name, role in ((PROVIDER, "provider"), (AUDITOR, "auditor")):
        request = Request.parse(encode_request(ORIGIN, name, [keys[name]]))
        enrolment = prepare(config, name, [role], request, _now)
        submit(config, enrolment.envelope, _now)
    return config


def statements(number: int, keys: dict[str, SigningKey]) -> Iterator[bytes]:
    """Envelopes: releases and reproductions of them, in equal parts."""
    for n in range(number // 2):
        registers = {
            f"PCR{i}": "sha384:" + sha384(f"{n}/{i}".encode()).hexdigest()
            for i in range(3)
        }
        source = Source("https://git.example/acme/wallet", f"{n:040x}")
        common: dict[str, Any] = {
            "log": ORIGIN,
            "issued": format_time(_now()),
            "platform": "aws-nitro",
            "identity": (("PCR0",),),
        }
        product = f"{PROVIDER}/wallet-{n // _RELEASES_PER_PRODUCT}"
        release = Release(
            issuer=PROVIDER,
            product=product,
            version=f"1.0.{n}",
            source=source,
            **common,
        )
        audit = Audit(
            issuer=AUDITOR,
            scope="reproduction",
            result="pass",
            performed=format_time(_now()),
            source=source,
            **common,
        )
        yield sign_envelope(encode(release, registers), [keys[PROVIDER]])
        yield sign_envelope(encode(audit, registers), [keys[AUDITOR]])


def _sequence(config: Config, rows: list[bytes]) -> float:
    """Seconds from the first round to the last published checkpoint."""
    queued = [
        Submission(row, sha256(row).digest(), conflict_accepted=False, received=_now())
        for row in rows
    ]
    with open_sequencer(config, _now) as sequencer:
        writer = IntakeWriter(intake_database(config), lambda: 0, lambda: None)
        for submission in queued:
            writer.put(submission)
        writer.close()
        began = time.perf_counter()
        while sequencer.round():
            pass
        return time.perf_counter() - began


def _index(rows: list[bytes]) -> float:
    """Seconds to compute the index over the leaves, as an index monitor does."""
    grown, lists = trie.MemoryTrie(), dict[bytes, list[int]]()
    began = time.perf_counter()
    for start in range(0, len(rows), _BATCH):
        touched: set[bytes] = set()
        for index, leaf in enumerate(rows[start : start + _BATCH], start):
            for key in index_keys.index_keys(leaf):
                hashed = index_keys.key_hash(key)
                lists.setdefault(hashed, []).append(index)
                touched.add(hashed)
        grown.update({key: trie.value_of(lists[key]) for key in touched})
    return time.perf_counter() - began


def _sizes(config: Config) -> tuple[int, int]:
    """Bytes of log.db with its WAL, and of the public files."""
    wal = config.log_db.with_name(f"{config.log_db.name}-wal")
    database = sum(
        path.stat().st_size for path in (config.log_db, wal) if path.exists()
    )
    files = (path for path in config.public.rglob("*") if path.is_file())
    return database, sum(path.stat().st_size for path in files)
