"""How fast a monitor makes the index of a log by itself, and what that takes.

The index process alone, as a monitor that catches up uses it: runs of leaves handed
over, the index over each committed, in a file that grows. Half of the leaves are
releases of new measurements, half reproductions of them, a seal after each batch; what
no index reads (signatures) is as long as it is in a log, and made up.
"""

import json
import re
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha384
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from monitor.indexing import IndexProcess
from pcrlog.encoding import encode_base64
from pcrlog.seal import Seal

_BATCH = 1000
"""Leaves between two seals: about as many as a busy log takes at once."""
_RUN = 4096
"""Leaves that are handed over at once: as many as a follower does."""
_RELEASES_PER_PRODUCT = 1000
_KIB = 1024


class IndexRate(NamedTuple):
    """Of `entries` leaves: a second, bytes of memory and of disk, ms to hand over."""

    entries: int
    rate: float
    memory: int
    disk: int
    handover: float


def index_rate(number: int) -> IndexRate:
    """Index `number` leaves in a process of its own; making them up is not counted."""
    rows, done, took, slowest = leaves(), 0, 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        index = IndexProcess(Path(name) / "index.db")
        assert index.size == 0  # it has started
        while done < number:
            run = list(islice(rows, min(_RUN, number - done)))
            began = time.perf_counter()
            index.begin(run)
            slowest = max(slowest, time.perf_counter() - began)
            index.extension()
            index.commit()
            took += time.perf_counter() - began
            done += len(run)
        memory = peak(index.pid)
        index.close()
        disk = sum(path.stat().st_size for path in Path(name).iterdir())
    return IndexRate(number, number / took, memory, disk, slowest * 1e3)


def leaves() -> Iterator[bytes]:
    """The leaves of a log that never ends."""
    index = 0
    for statement in _statements():
        if index % _BATCH == _BATCH - 1:
            yield Seal(index, index, bytes(32), frozen=False).encode()
            index += 1
        yield _envelope(statement)
        index += 1


def _statements() -> Iterator[dict[str, object]]:
    number = 0
    while True:
        subject = [
            {
                "digest": {"sha384": sha384(f"{number}/{n}".encode()).hexdigest()},
                "name": f"PCR{n}",
            }
            for n in range(3)
        ]
        common = {
            "identity": [["PCR0"]],
            "issued": "2026-11-23T07:00:00Z",
            "log": "log.example/pcr",
            "platform": "aws-nitro",
            "source": {"commit": f"{number:040x}", "uri": "https://git.example/wallet"},
        }
        release = {
            "issuer": "acme.example",
            "product": f"acme.example/wallet-{number // _RELEASES_PER_PRODUCT}",
            "version": f"1.0.{number}",
        }
        audit = {
            "issuer": "lab.example",
            "performed": "2026-11-23T07:00:00Z",
            "result": "pass",
            "scope": "reproduction",
        }
        for kind, own in (("release", release), ("audit", audit)):
            yield {
                "_type": "https://in-toto.io/Statement/v1",
                "predicate": {**common, **own},
                "predicateType": f"urn:pcrlog:{kind}:v1",
                "subject": subject,
            }
        number += 1


def _envelope(statement: dict[str, object]) -> bytes:
    payload = json.dumps(statement, separators=(",", ":")).encode()
    table = {
        "payload": encode_base64(payload),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "0" * 64, "sig": encode_base64(bytes(64))}],
    }
    return json.dumps(table, separators=(",", ":")).encode()


def peak(pid: int) -> int:
    """Bytes of memory that a process had at most."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * _KIB if found else 0
