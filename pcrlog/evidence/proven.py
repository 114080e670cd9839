"""What a file proves, and how each thing in it is held to what the log signed."""

from typing import NoReturn

from msgspec import Struct

from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.evidence.file import Leaves
from pcrlog.merkle import check_range, leaf_hash
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.seal import Seal


class Proven(Struct, frozen=True):
    """What a file proves: its `kind`, the log's `origin`, `found` in words.

    `checkpoints` are those that the log signed, `entries` the indices that show it.
    """

    kind: str
    origin: str
    found: str
    checkpoints: tuple[Checkpoint, ...]
    entries: tuple[int, ...] = ()


def nothing(why: str) -> NoReturn:
    """Say that a file does not convict, however well it is made.

    Raises:
        UncheckedError: always.
    """
    message = f"this file does not prove what it says: {why}"
    raise UncheckedError(message)


def opened(note: str | bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note that the log signed."""
    data = note if isinstance(note, bytes) else note.encode()
    return open_checkpoint(UnverifiedNote.parse(data), key)


def bare_note(data: bytes, key: VerifierKey) -> tuple[Checkpoint, str]:
    """A checkpoint that the log signed, and its note with the log's own line alone.

    Who cosigned it makes no other evidence of it.

    Raises:
        MalformedError: no checkpoint note.
        VerificationError: the log did not sign it.
    """
    note = UnverifiedNote.parse(data)
    checkpoint = open_checkpoint(note, key)
    own = tuple(
        line
        for line in dict.fromkeys(note.lines)
        if (line.name, line.key_hash) == (key.name, key.key_hash)
    )
    return checkpoint, bytes(UnverifiedNote(note.text, own)).decode()


def check_included(leaves: Leaves, checkpoint: Checkpoint) -> None:
    """Check that leaves are in the tree, at their place."""
    hashes = [leaf_hash(leaf) for leaf in leaves.leaves]
    size, root = checkpoint.size, checkpoint.root
    check_range(hashes, leaves.first, size, leaves.proof, root)


def single(leaves: Leaves, checkpoint: Checkpoint) -> tuple[int, bytes]:
    """Index and bytes of the one leaf, proven to be in the tree."""
    check_included(leaves, checkpoint)
    if len(leaves.leaves) != 1:
        message = f"evidence: expected one leaf, found {len(leaves.leaves)}"
        raise MalformedError(message)
    return leaves.first, leaves.leaves[0]


def seal_of(leaf: bytes) -> Seal:
    """A leaf that has to be a seal."""
    try:
        return Seal.parse(leaf)
    except MalformedError as error:
        nothing(str(error))
