"""The size of a bundle in a large log: a release, two audits, a million entries.

The tree and the index are whole and real, as are all entries that the bundle names;
the others, which a bundle shows only as hashes, are drawn from a seed: as many leaves,
and as many index keys as releases and audits in equal parts would have.
"""

import gzip
import random
from hashlib import sha256

from bench.scene import AUDITORS, PRODUCT, populate
from tests.support.memory_log import MemoryLog, registers, witness

_KEYS_PER_ENTRY = 2
"""A release has three keys of its own (by, measurement, version), an audit one (by);
those of products and issuers are shared."""


def bundle_sizes(size: int) -> tuple[int, int]:
    """Bytes of the bundle in a log of about `size` entries, plain and with gzip."""
    draw = random.Random(size)
    log = MemoryLog(witnesses=[witness("w1.example"), witness("w2.example")])
    # The entries that count lie apart: enrolled early, released late.
    _fill(log, size // 2, draw)
    populate(log)
    _fill(log, size - len(log.leaves) - 1, draw)
    others = {
        draw.randbytes(32): draw.randbytes(32) for _ in range(_KEYS_PER_ENTRY * size)
    }
    log.trie.update(others)
    log.seal()
    data = log.bundle(PRODUCT, registers("1.4.2"), *AUDITORS).encode()
    return len(data), len(gzip.compress(data))


def _fill(log: MemoryLog, number: int, draw: random.Random) -> None:
    """Append `number` leaves of which only the hash is known."""
    for _ in range(number):
        log.leaves.append(b"")
        leaf = sha256(draw.randbytes(32)).digest()
        for level, index, node in log.tree.append(leaf):
            log.nodes[level, index] = node
