"""What a log can be held to: whether a `pcrlog-evidence/v1` proves what it says.

Knowing the log's key alone, offline (file.py has the format). A file convicts only
by what the log signed: each note by its signature, each leaf by its path to a signed
root, each answer by the root in a seal that is itself such a leaf. Whatever rests on
the sender's word, or on something that a later version might understand, convicts
nobody (`UncheckedError`).

An entry of kind `authority` is judged by the identities that the log's own index gives,
so either the entry is one that nobody may make, or the index hides the identity that
allows it, or an identity before it was one that nobody may make: the log signed all
three.
"""

from pcrlog.evidence.answers import keys_to_judge
from pcrlog.evidence.file import (
    FORMAT,
    MOST,
    BadLeaf,
    BeyondFrozen,
    File,
    Leaves,
    Listed,
    TwoCheckpoints,
    TwoLeaves,
    Unauthorised,
    WrongAnswer,
    WrongIndex,
    encode,
    notes_of,
    parse,
    unverified_origin,
)
from pcrlog.evidence.proven import Proven, bare_note
from pcrlog.evidence.verify import verify_evidence

__all__ = [
    "FORMAT",
    "MOST",
    "BadLeaf",
    "BeyondFrozen",
    "File",
    "Leaves",
    "Listed",
    "Proven",
    "TwoCheckpoints",
    "TwoLeaves",
    "Unauthorised",
    "WrongAnswer",
    "WrongIndex",
    "bare_note",
    "encode",
    "keys_to_judge",
    "notes_of",
    "parse",
    "unverified_origin",
    "verify_evidence",
]
