"""The proof file of each leaf of a log, under a checkpoint that two others cosigned.

This log asks nobody, so a witness and an index monitor are made up here, and sign as
such do, with our code. test_their_witnesses.py has a log that asks.
"""

from log_server.bundles import proof_of
from pcrlog.checkpoint import cosign
from pcrlog.note import UnverifiedNote
from pcrlog.proof import Proof
from tests.interop.published import Published
from tests.support.memory_log import witness

WITNESSES = [witness("w1.example/a"), witness("m1.example/index")]
TIMES = [1_795_417_200, 2**40]
"""When each of them signed."""


def cosigned(published: Published) -> list[Proof]:
    """As the server hands them out, but for the two lines."""
    with published.log.snapshot() as snapshot:
        proofs = [proof_of(snapshot, index)[0] for index in range(published.size)]
    note = UnverifiedNote.parse(proofs[0].note)
    lines = [
        cosign(note.text, signer, seconds)
        for signer, seconds in zip(WITNESSES, TIMES, strict=True)
    ]
    both = bytes(UnverifiedNote(note.text, (*note.lines, *lines)))
    return [Proof(proof.index, proof.hashes, both) for proof in proofs]
