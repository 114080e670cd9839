"""A leaf that no log may take, and two that may not both be in one log."""

from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import format_time
from pcrlog.entry import Entry, parse_leaf
from pcrlog.envelope import FIRST_BYTE, Envelope
from pcrlog.errors import MalformedError
from pcrlog.evidence.file import BadLeaf, TwoLeaves
from pcrlog.evidence.proven import Proven, nothing, opened, seal_of, single
from pcrlog.note import VerifierKey
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE


def bad_leaf(file: BadLeaf, key: VerifierKey) -> Proven:
    """A leaf that no log may take at its place."""
    checkpoint = opened(file.checkpoint, key)
    index, leaf = single(file.entry, checkpoint)
    found = _fault(index, leaf, checkpoint)
    if found is None:
        nothing(f"leaf {index} is a leaf like any other")
    return Proven("leaf", key.name, found, (checkpoint,), (index,))


def _fault(index: int, leaf: bytes, checkpoint: Checkpoint) -> str | None:
    """Why no log may take this leaf at this place."""
    last = index == checkpoint.size - 1
    if last and leaf.startswith(FIRST_BYTE):
        return f"leaf {index}, the last of a checkpoint, is no seal"
    try:
        read = parse_leaf(index, leaf)
    except MalformedError as error:
        return f"leaf {index} is not well-formed: {error}"
    if isinstance(read, Entry):
        made_for = read.predicate.log
        ours = made_for == checkpoint.origin
        return None if ours else f"leaf {index} is made for the log {made_for}"
    if read.count != index:
        return f"leaf {index} is a seal that counts {read.count} leaves before it"
    if read.frozen and not last:
        return f"leaf {index} is a seal for the last time, and leaves follow it"
    return None


def two_leaves(file: TwoLeaves, key: VerifierKey) -> Proven:
    """A statement that stands twice, or seals whose times go back."""
    checkpoint = opened(file.checkpoint, key)
    (first, one), (second, other) = (single(e, checkpoint) for e in file.entries)
    if first >= second:
        message = f"evidence: expected two leaves, ascending; found {first}, {second}"
        raise MalformedError(message)
    seals = one.startswith(SEAL_FIRST_BYTE) and other.startswith(SEAL_FIRST_BYTE)
    found = _gone_back(one, other) if seals else _said_twice(one, other)
    found = f"leaves {first} and {second} {found}"
    return Proven("leaves", key.name, found, (checkpoint,), (first, second))


def _gone_back(one: bytes, other: bytes) -> str:
    before, after = seal_of(one).time, seal_of(other).time
    if before <= after:
        nothing("the times of the seals do not go back")
    return (
        f"are seals whose times go back, from {format_time(before)} to"
        f" {format_time(after)}"
    )


def _said_twice(one: bytes, other: bytes) -> str:
    try:
        payload, again = (Envelope.parse(leaf).payload for leaf in (one, other))
    except MalformedError as error:
        nothing(str(error))
    if payload != again:
        nothing("the two leaves are different statements")
    return "are the same statement: a log takes it once"
