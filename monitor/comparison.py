"""Does a checkpoint that somebody else holds fit what we have verified?

A log that shows one history to us and another one to somebody else signs both. Whoever
holds a checkpoint of the other one only has to hold it against ours:

    same          the tree that we verified
    consistent    older or newer, and proven to be of one history with it
    newer         larger than what the log shows us, and no tiles for it
    pending       the same, and its tiles are there: it may wait for a quorum
    withheld      newer or pending for longer than an honest log takes (withheld.py)
    equivocation  the log signed it, and it is not of our history
    unchecked     not signed by the log, or what is needed cannot be had

An equivocation is proven, never guessed: the log's own tiles lead to the larger of two
roots that it signed, and give another root than the smaller one. Tiles that lead to
nothing prove nothing.

>>> Comparison("newer", "5 leaves").exit_code, Comparison("same", "").exit_code
(3, 0)
"""

from typing import Literal, Protocol

from msgspec import Struct, structs

from monitor.alerts import Alert
from monitor.evidence_files import EvidenceFiles
from monitor.withheld import Debts
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import encode_base64, printable
from pcrlog.errors import PcrlogError, UncheckedError, VerificationError
from pcrlog.merkle import EMPTY_ROOT, Node, consistency_roots, prove_prefix
from pcrlog.note import UnverifiedNote, VerifierKey

Verdict = Literal[
    "same",
    "consistent",
    "newer",
    "pending",
    "withheld",
    "equivocation",
    "unchecked",
]
_KINDS = {"equivocation": "equivocation", "withheld": "rollback"}
"""What is told, by verdict."""
_SHOWN = 300


class Shown(Protocol):
    """What a log shows now, unverified; `source.Source` is one."""

    def note(self) -> bytes:
        """Its checkpoint."""
        ...

    def node(self, size: int) -> Node:
        """Roots of subtrees of the tree of `size`."""
        ...


class Comparison(Struct, frozen=True):
    """What a comparison came to: `found` in words, about which `checkpoint`.

    `evidence` is the name of a file that proves an equivocation; `owed` what is
    withheld for longest; `shown` the leaves of the tree that the log shows, or that is
    verified here.
    """

    verdict: Verdict
    found: str
    checkpoint: Checkpoint | None = None
    evidence: str | None = None
    owed: Checkpoint | None = None
    shown: int = 0

    @property
    def exit_code(self) -> int:
        """0 of one history, 3 could not be told, 4 a lie."""
        if self.verdict in {"same", "consistent"}:
            return 0
        if self.verdict == "equivocation":
            return VerificationError.exit_code
        return UncheckedError.exit_code

    def alert(self, log: str, whose: str, now: int) -> Alert | None:
        """What to tell of it, if anything; `whose`: who holds the checkpoint."""
        kind, checkpoint = _KINDS.get(self.verdict), self.owed or self.checkpoint
        if kind is None or checkpoint is None:
            return None
        about, words = named(checkpoint), f"{printable(whose, _SHOWN)}: {self.found}"
        return Alert.of(kind, log, about, words, time=now, evidence=self.evidence)


def named(checkpoint: Checkpoint) -> str:
    """A checkpoint, as alerts name it."""
    return f"checkpoint {checkpoint.size} {encode_base64(checkpoint.root)[:12]}"


def is_prefix(old: Checkpoint, new: Checkpoint, node: Node) -> bool:
    """Whether the tree of `new` begins with that of `old`: proven, either way.

    Args:
        old: of no more leaves than `new`.
        new: whose root the log signed.
        node: roots of subtrees of the tree of `new`, unverified.

    Raises:
        TransportError: they cannot be had.
        VerificationError: they do not lead to the root of `new`.
    """
    if old.size == new.size:
        return old.root == new.root
    if old.size == 0:
        return old.root == EMPTY_ROOT
    hashes = prove_prefix(old.size, new.size, node)
    was, now = consistency_roots(old.size, new.size, hashes)
    if now != new.root:
        message = f"the log's tiles do not lead to its root of {new.size} leaves"
        raise VerificationError(message)
    return was == old.root


class Comparer:
    """Holds checkpoints of one log against ours.

    Args:
        key: the log's.
        log: what it shows.
        evidence: where files that prove it wrong go.
        debts: what remembers for how long the log keeps something back; None: nobody
            does, and nothing is ever found withheld.
    """

    def __init__(
        self,
        key: VerifierKey,
        log: Shown,
        evidence: EvidenceFiles,
        debts: Debts | None = None,
    ) -> None:
        self.key = key
        self._log = log
        self._evidence = evidence
        self._debts = debts

    def compare(
        self, theirs: bytes, ours: bytes, *, frozen: bool = False
    ) -> Comparison:
        """Hold the note `theirs` against `ours`, which is verified.

        Args:
            theirs: a checkpoint note, from anywhere.
            ours: the last verified one; empty if there is none yet.
            frozen: whether ours is the last that there can be.
        """
        found = self._compare(theirs, ours, frozen=frozen)
        if self._debts is None or found.checkpoint is None:
            return found
        if found.verdict not in {"newer", "pending"}:
            self._debts.pay(found.shown)
            return found
        tiles = found.verdict == "pending"
        owed = self._debts.owe(found.checkpoint, theirs, found.shown, tiles=tiles)
        return found if owed is None else _withheld(found, *owed)

    def _compare(self, theirs: bytes, ours: bytes, *, frozen: bool) -> Comparison:
        try:
            new = open_checkpoint(UnverifiedNote.parse(theirs), self.key)
        except PcrlogError as error:
            words = f"not a checkpoint that {self.key.name} signed: {error}"
            return Comparison("unchecked", words)
        if not ours:
            return Comparison("unchecked", "nothing is verified of this log yet", new)
        mine = open_checkpoint(UnverifiedNote.parse(ours), self.key)
        try:
            if new.size <= mine.size:
                return self._older(_Signed(new, theirs), _Signed(mine, ours))
            if frozen:
                words = f"{new.size} leaves, and it was frozen with {mine.size}"
                return self._lie(_Signed(mine, ours), _Signed(new, theirs), new, words)
            return self._newer(_Signed(new, theirs), _Signed(mine, ours))
        except PcrlogError as error:
            words = f"{new.size} leaves could not be compared: {error}"
            return Comparison("unchecked", words, new)

    def _older(self, new: "_Signed", mine: "_Signed") -> Comparison:
        theirs, ours = new.checkpoint, mine.checkpoint
        if theirs == ours:
            words = f"the tree of {ours.size} leaves that is verified here"
            return Comparison("same", words, theirs, shown=ours.size)
        if is_prefix(theirs, ours, self._log.node(ours.size)):
            words = f"the first {theirs.size} of {ours.size} verified leaves"
            return Comparison("consistent", words, theirs, shown=ours.size)
        words = f"a tree of {theirs.size} leaves that is not of the history seen here"
        return self._lie(new, mine, theirs, words)

    def _newer(self, new: "_Signed", mine: "_Signed") -> Comparison:
        theirs, ours = new.checkpoint, mine.checkpoint
        note = self._log.note()
        shown = open_checkpoint(UnverifiedNote.parse(note), self.key)
        if shown.size < theirs.size:
            return self._unshown(new, mine, shown)
        now, node = _Signed(shown, note), self._log.node(shown.size)
        if not is_prefix(theirs, shown, node):
            words = f"{theirs.size} leaves, not of the {shown.size} that the log shows"
            return self._lie(new, now, theirs, words)
        if not is_prefix(ours, shown, node):
            words = f"{shown.size} leaves that do not extend the verified {ours.size}"
            return self._lie(mine, now, shown, words)
        words = f"{theirs.size} leaves, of the {shown.size} that the log shows now"
        return Comparison("consistent", words, theirs, shown=shown.size)

    def _unshown(
        self, new: "_Signed", mine: "_Signed", shown: Checkpoint
    ) -> Comparison:
        """The log shows less than it signed.

        It writes its tiles before it asks anybody to cosign. So as long as a quorum
        is missing, they are there, and its checkpoint is not.
        """
        theirs, ours = new.checkpoint, mine.checkpoint
        try:
            extends = is_prefix(ours, theirs, self._log.node(theirs.size))
        except PcrlogError:
            words = f"{theirs.size} leaves; the log shows {shown.size}, and no tiles"
            return Comparison("newer", words, theirs, shown=shown.size)
        if not extends:
            words = f"{theirs.size} leaves that do not extend the verified {ours.size}"
            return self._lie(mine, new, theirs, words)
        words = f"{theirs.size} leaves, in the log's tiles; the log shows {shown.size}"
        return Comparison("pending", words, theirs, shown=shown.size)

    def _lie(
        self, old: "_Signed", new: "_Signed", about: Checkpoint, words: str
    ) -> Comparison:
        node = self._log.node(new.checkpoint.size)
        evidence = self._evidence.checkpoints(old.note, new.note, node)
        return Comparison("equivocation", words, about, evidence)


def _withheld(found: Comparison, owed: Checkpoint, seconds: int) -> Comparison:
    """`found`, and that the log keeps `owed` back for so long."""
    words = f"{found.found}; it withholds {owed.size} for {seconds} s"
    if found.verdict == "pending":
        words += " (its quorum may be missing: ask the operator)"
    return structs.replace(found, verdict="withheld", found=words, owed=owed)


class _Signed(Struct, frozen=True):
    checkpoint: Checkpoint
    note: bytes
