"""Two checkpoints of one log that cannot both be: proven, and kept for everybody.

A fork is proven, never guessed: the hashes of the larger tree lead to the larger root,
and give another root than the smaller one that was signed as well. Hashes that lead
nowhere are damage, and convict nobody.
"""

from pathlib import Path
from typing import NamedTuple

from log_server.repair import place
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import sha256
from pcrlog.errors import PcrlogError
from pcrlog.evidence import TwoCheckpoints, bare_note, encode, verify_evidence
from pcrlog.merkle import HASH_SIZE, Proof, consistency_roots, prove_prefix
from pcrlog.note import VerifierKey
from pcrlog.reader import Fetch
from pcrlog.tiles import FULL, HEIGHT, Tile, node_reader

_DIGITS = 16


class Signed(NamedTuple):
    """A checkpoint, and the note in which the log signed it."""

    checkpoint: Checkpoint
    note: bytes


def proof_of_fork(old: Checkpoint, new: Checkpoint, fetch: Fetch) -> Proof:
    """What proves that the larger `new` does not begin with `old`; empty: nothing does.

    Args:
        old: verified here; not empty.
        new: signed by the log.
        fetch: has the hash tiles of `new`, unverified.
    """

    def tile(level: int, index: int) -> bytes:
        width = min(FULL, (new.size >> HEIGHT * level) - FULL * index)
        return fetch(Tile(level, index, width).path(), FULL * HASH_SIZE)

    try:
        proof = prove_prefix(old.size, new.size, node_reader(tile))
        was, now = consistency_roots(old.size, new.size, proof)
    except PcrlogError:
        return ()
    return proof if now == new.root and was != old.root else ()


def keep_evidence(
    folder: Path, key: VerifierKey, signed: tuple[Signed, Signed], proof: Proof
) -> tuple[Path, str]:
    """Write a pcrlog-evidence/v1 of two checkpoints; where it is, and what it shows.

    Args:
        folder: where to.
        key: the log's.
        signed: the smaller one first.
        proof: that of `proof_of_fork`; empty if both are of one size.
    """
    ordered = signed if proof else sorted(signed, key=lambda one: one.checkpoint.root)
    first, second = (bare_note(one.note, key)[1] for one in ordered)
    data = encode(TwoCheckpoints(checkpoints=(first, second), proof=proof))
    path = folder / f"checkpoints-{sha256(data).hex()[:_DIGITS]}.json"
    place(path, data)
    return path, verify_evidence(data, key).found
