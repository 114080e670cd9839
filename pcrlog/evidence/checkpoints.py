"""Two checkpoints that cannot both be: another history, or one after the last."""

from pcrlog.errors import MalformedError, VerificationError
from pcrlog.evidence.file import BeyondFrozen, TwoCheckpoints
from pcrlog.evidence.proven import Proven, nothing, opened, seal_of, single
from pcrlog.merkle import consistency_roots
from pcrlog.note import VerifierKey


def two_checkpoints(file: TwoCheckpoints, key: VerifierKey) -> Proven:
    """Two roots for the same leaves."""
    old, new = (opened(note, key) for note in file.checkpoints)
    if old.size == new.size and not file.proof:
        if old.root == new.root:
            nothing(f"both checkpoints are of one tree of {old.size} leaves")
        if old.root > new.root:
            message = "evidence: expected checkpoints of one size ascending by root"
            raise MalformedError(message)
        found = (
            f"the log signed two trees of {old.size} leaves: root {old.root.hex()},"
            f" and root {new.root.hex()}"
        )
        return Proven("checkpoints", key.name, found, (old, new))
    was, now = consistency_roots(old.size, new.size, file.proof)
    if now != new.root:
        message = f"the proof does not lead to the root of {new.size} leaves"
        raise VerificationError(message)
    if was == old.root:
        nothing(f"the tree of {new.size} leaves extends that of {old.size}")
    found = (
        f"the log signed a tree of {old.size} leaves with root {old.root.hex()}, and"
        f" one of {new.size} leaves of which the first {old.size} have root {was.hex()}"
    )
    return Proven("checkpoints", key.name, found, (old, new))


def beyond_frozen(file: BeyondFrozen, key: VerifierKey) -> Proven:
    """A tree that has grown after the log's last seal."""
    old, new = (opened(note, key) for note in file.checkpoints)
    index, leaf = single(file.entry, old)
    if index != old.size - 1 or not seal_of(leaf).frozen or old.size >= new.size:
        nothing("no checkpoint is larger than one whose last leaf is frozen")
    found = (
        f"the log sealed for the last time with leaf {index}, and then signed a tree of"
        f" {new.size} leaves"
    )
    return Proven("frozen", key.name, found, (old, new), (index,))
