"""Verifying a file: each kind by its own proof."""

from typing import assert_never

from pcrlog.evidence.answers import unauthorised, wrong_answer
from pcrlog.evidence.checkpoints import beyond_frozen, two_checkpoints
from pcrlog.evidence.file import (
    BadLeaf,
    BeyondFrozen,
    TwoCheckpoints,
    TwoLeaves,
    Unauthorised,
    WrongAnswer,
    WrongIndex,
    parse,
)
from pcrlog.evidence.index import wrong_index
from pcrlog.evidence.leaves import bad_leaf, two_leaves
from pcrlog.evidence.proven import Proven
from pcrlog.note import VerifierKey


def verify_evidence(data: bytes, key: VerifierKey) -> Proven:
    """What `data`, a `pcrlog-evidence/v1`, proves against the log whose key is `key`.

    Raises:
        MalformedError: not of the format.
        VerificationError: a signature or a proof in it does not hold.
        UncheckedError: all of it holds, and it proves nothing; or it takes a later
            version to tell.
    """
    match parse(data):
        case TwoCheckpoints() as file:
            found = two_checkpoints(file, key)
        case BeyondFrozen() as file:
            found = beyond_frozen(file, key)
        case BadLeaf() as file:
            found = bad_leaf(file, key)
        case TwoLeaves() as file:
            found = two_leaves(file, key)
        case Unauthorised() as file:
            found = unauthorised(file, key)
        case WrongAnswer() as file:
            found = wrong_answer(file, key)
        case WrongIndex() as file:
            found = wrong_index(file, key)
        case file:
            assert_never(file)
    return found
