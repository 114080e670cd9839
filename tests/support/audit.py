"""The audit of a whole log after a fault: what it is, and what it ever told anybody.

    told = Told()
    ...                      # told.receipt(...), told.promise(...), told.show(...)
    audit(config, told)      # raises AuditError with all that is wrong

`check` of log_server/fsck.py finds what is wrong in the folder alone; it is shipped as
`pcrlog-server fsck`. This adds what only those outside can know:

1. every receipt (201, 200) names an index at which the statement stands
2. every promise (202) was decided, once: an index, or a refusal with its reason;
   whoever was told a decision before was told the same; nothing waits any more
3. all checkpoints that ever left the process, shown or asked of a witness, are of one
   history: consistent one with the next, by proofs from the files that everybody reads
4. those files alone, read without log.db, make the tree that is shown, and at each seal
   the index that it names

`check_shown` is 4 without the index: it holds at every moment, also in the middle of a
publication, and while a process hangs.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from log_server.config import Config
from log_server.databases import intake_database, log_database
from log_server.fsck import check
from log_server.intake import IntakeReader
from log_server.store import Snapshot, Store
from pcrlog import merkle, trie
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope
from pcrlog.errors import PcrlogError
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.merkle import HASH_SIZE
from pcrlog.note import UnverifiedNote
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, HEIGHT, Tile, node_reader, parse_bundle, tiles_of
from tests.support.shown import reading


class AuditError(AssertionError):
    """A promise was broken; the message has one line for each."""


class Told:
    """What a log has told the world; for any number of threads."""

    def __init__(self) -> None:
        # Guards all below.
        self._lock = threading.Lock()
        self.indices: dict[bytes, set[int]] = {}
        self.refusals: dict[bytes, set[str]] = {}
        self.promised: set[bytes] = set()
        self.checkpoints: set[bytes] = set()

    def receipt(self, envelope: bytes, index: int) -> None:
        """Its statement stands at `index`: 201, 200, or the decision when asked."""
        with self._lock:
            self.indices.setdefault(envelope, set()).add(index)

    def promise(self, envelope: bytes) -> None:
        """It will be decided: 202."""
        with self._lock:
            self.promised.add(envelope)

    def refusal(self, envelope: bytes, problem: str) -> None:
        """It was promised a decision, and this is it: the slug of the problem."""
        with self._lock:
            self.refusals.setdefault(envelope, set()).add(problem)

    def show(self, note: bytes) -> None:
        """A checkpoint left the process, shown or asked of a witness."""
        with self._lock:
            self.checkpoints.add(note)


@dataclass
class Audited:
    """What was audited, in numbers; `wrong` is empty, or it was raised."""

    leaves: int = 0
    receipts: int = 0
    decided: int = 0
    refused: int = 0
    checkpoints: int = 0
    wrong: list[str] = field(default_factory=list)

    def require(self, condition: object, message: str) -> None:
        if not condition:
            self.wrong.append(message)


def audit(config: Config, told: Told) -> Audited:
    """Hold a log that nobody writes against all that it told.

    Raises:
        AuditError: something is wrong.
    """
    found = Audited(wrong=[f"fsck: {line}" for line in check(config).wrong])
    leaves = check_shown(config, found)
    _check_index(leaves, found)
    store = Store(log_database(config))
    try:
        with store.committed() as snapshot:
            size = snapshot.size
            found.require(len(leaves) == size, f"{len(leaves)} of {size} leaves shown")
            _check_promises(snapshot, told, leaves, found)
            _check_nothing_waits(config, snapshot, found)
    finally:
        store.close()
    _check_history(config, told, len(leaves), found)
    if found.wrong:
        raise AuditError("\n".join(found.wrong))
    return found


# --- what is shown -------------------------------------------------------------------


def check_shown(config: Config, found: Audited | None = None) -> list[bytes]:
    """The leaves that everybody can read at this moment.

    They make the tree of the checkpoint that is shown. Without `found`, it raises.
    """
    with reading(config) as read:
        note = UnverifiedNote.parse(read("checkpoint"))
        checkpoint = open_checkpoint(note, config.vkey())
        leaves = list(_leaves(read, checkpoint.size))
    root = merkle.root([merkle.leaf_hash(leaf) for leaf in leaves])
    last = leaves[-1][:1] if leaves else b""
    wrong = [] if found is None else found.wrong
    if root != checkpoint.root or last != b"p":
        wrong.append(f"the leaves that are shown are not those of {checkpoint.size}")
    if wrong and found is None:
        raise AuditError("\n".join(wrong))
    if found is not None:
        found.leaves = len(leaves)
    return leaves


def _leaves(read: Callable[[str], bytes], size: int) -> Iterator[bytes]:
    for tile in tiles_of(size):
        if tile.level == 0:
            data = read(Tile(None, tile.index, tile.width).path())
            yield from parse_bundle(data, tile.width)


def _check_index(leaves: list[bytes], found: Audited) -> None:
    """Each seal names the index over all leaves before it."""
    lists: dict[str, list[int]] = {}
    grown: set[str] = set()
    index = trie.MemoryTrie()
    for number, leaf in enumerate(leaves):
        if leaf.startswith(b"p"):
            index.update({key_hash(key): trie.value_of(lists[key]) for key in grown})
            grown.clear()
            same = Seal.parse(leaf).root == index.root
            found.require(same, f"seal {number}: it names another index")
        for key in index_keys(leaf):
            lists.setdefault(key, []).append(number)
            grown.add(key)


# --- what was told -------------------------------------------------------------------


def _check_promises(
    snapshot: Snapshot, told: Told, leaves: list[bytes], found: Audited
) -> None:
    places: dict[bytes, list[int]] = {}
    for number, leaf in enumerate(leaves):
        if leaf.startswith(b"{"):
            places.setdefault(_statement(leaf), []).append(number)
    for statement, where in places.items():
        found.require(len(where) == 1, f"{statement.hex()} stands at {where}")
    for envelope, indices in told.indices.items():
        found.receipts += 1
        where = places.get(_statement(envelope), [])
        same = indices == set(where)
        found.require(same, f"{_name(envelope)}: told {indices}, stands at {where}")
    for envelope in told.promised:
        _check_promise(snapshot, told, envelope, places, found)


def _check_promise(
    snapshot: Snapshot,
    told: Told,
    envelope: bytes,
    places: dict[bytes, list[int]],
    found: Audited,
) -> None:
    name, where = _name(envelope), places.get(_statement(envelope), [])
    decision = snapshot.decision(sha256(envelope))
    refusals = told.refusals.get(envelope, set())
    if decision is None:
        found.require(condition=False, message=f"{name}: promised, and not decided")
    elif decision.index is not None:
        found.decided += 1
        same = [decision.index] == where and not refusals
        message = f"{name}: decided {decision.index} {refusals}, stands at {where}"
        found.require(same, message)
    else:
        found.refused += 1
        reason = decision.problem and decision.detail
        found.require(reason, f"{name}: refused without a reason")
        same = refusals <= {decision.problem} and envelope not in told.indices
        found.require(same, f"{name}: {decision.problem}, told otherwise {refusals}")


def _check_nothing_waits(config: Config, snapshot: Snapshot, found: Audited) -> None:
    intake = IntakeReader(intake_database(config))
    rows = intake.after(snapshot.taken(), 1)
    intake.close()
    found.require(not rows, "something waits for its decision")


def _statement(envelope: bytes) -> bytes:
    return sha256(Envelope.parse(envelope).payload)


def _name(envelope: bytes) -> str:
    return f"envelope {sha256(envelope).hex()[:16]}"


# --- what left the process -----------------------------------------------------------


def _check_history(config: Config, told: Told, size: int, found: Audited) -> None:
    with reading(config) as read:
        notes = [*told.checkpoints, read("checkpoint")]
        checkpoints = _one_a_size(config, notes, found)
        found.checkpoints = len(checkpoints)
        node = node_reader(_tiles(read, size))
        for old, new in pairwise(checkpoints[n] for n in sorted(checkpoints)):
            try:
                proof = merkle.prove_consistency(old.size, new.size, node)
                merkle.check_consistency(old.size, new.size, proof, old.root, new.root)
            except PcrlogError as error:
                message = f"checkpoints of {old.size} and {new.size} leaves: {error}"
                found.require(condition=False, message=message)


def _one_a_size(
    config: Config, notes: Iterable[bytes], found: Audited
) -> dict[int, Checkpoint]:
    vkey = config.vkey()
    checkpoints: dict[int, Checkpoint] = {}
    for note in notes:
        try:
            one = open_checkpoint(UnverifiedNote.parse(note), vkey)
        except PcrlogError as error:
            found.require(condition=False, message=f"a checkpoint: {error}")
            continue
        same = checkpoints.setdefault(one.size, one) == one
        found.require(same, f"two checkpoints of {one.size} leaves")
    return checkpoints


def _tiles(read: Callable[[str], bytes], size: int) -> Callable[[int, int], bytes]:
    """The hash tiles of a tree of `size` leaves, as they are served."""

    @cache
    def tile(level: int, index: int) -> bytes:
        width = min(FULL, (size >> HEIGHT * level) - FULL * index)
        data = read(Tile(level, index, width).path())
        return data[: width * HASH_SIZE]

    return tile
