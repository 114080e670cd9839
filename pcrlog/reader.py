"""Verified reads of one log: whatever comes back has been proven first.

A `Reader` asks a `Fetch` for bytes by path below the log's URL and believes none of
them: checkpoints are opened with the log's key, hashes from tiles are used only in
proofs that end in a checkpoint's root, answers come in bundles that are checked as
`verify` checks them (PROTOCOL.md section 4), and all checkpoints that one reader meets
have to be of one history. What is missing or stale raises `UncheckedError`, what is
false `VerificationError`.

No answer is ever remembered beyond the reader; a reader is made for one run.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol
from urllib.parse import quote, urlencode

from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import (
    InconsistencyError,
    MalformedError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.merkle import (
    HASH_SIZE,
    Node,
    Proof,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    prove_prefix,
)
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Policy
from pcrlog.policy_file import Distrust
from pcrlog.tiles import FULL, MAX_ENTRY, Tile, node_reader, parse_bundle
from pcrlog.verification.checks import ANSWERS, LOG, Demands, Recorder
from pcrlog.verification.evidence import Evidence, Opened, judge_entries, open_log

SKEW = 300
"""Seconds by which clocks may differ where no policy says otherwise."""
_ENTRY_BUNDLE = FULL * (MAX_ENTRY + 2)
_HELD = 4
"""Entry bundles that a reader holds: a log may make each of them 8 MB large."""
_LOOKUPS = ("measurement", "product", "identity", "issuer")


class AbsentError(TransportError):
    """The server answered that there is nothing at that path."""


class Fetch(Protocol):
    """Reads a path below the log's URL."""

    def __call__(self, path: str, most: int, /) -> bytes:
        """The body, of at most `most` bytes.

        Raises:
            AbsentError: there is nothing at that path.
            TransportError: no answer, or none that is usable.
        """
        ...


def bundle_path(
    product: str, measurements: Iterable[str], auditors: Iterable[str]
) -> str:
    """Where a log serves the bundle for a product; `<platform>/<M>` each."""
    query = [
        ("product", product),
        *(("measurement", one) for one in measurements),
        *(("auditor", one) for one in auditors),
    ]
    return "api/v1/bundle?" + urlencode(query, safe="/", quote_via=quote)


def lookup_path(key: str) -> str:
    """Where a log serves the bundle with the one answer to an index key.

    Raises:
        UsageError: a kind of key that has no lookup.
    """
    kind, _, value = key.removeprefix("v1/").partition("/")
    if kind not in _LOOKUPS:
        message = f"no lookup by {kind}; there are {', '.join(_LOOKUPS)}"
        raise UsageError(message)
    return "api/v1/lookup?" + urlencode({kind: value}, safe="/", quote_via=quote)


class Answers:
    """A bundle whose checkpoint and seal are proven; each answer is, when asked for."""

    def __init__(self, bundle: Bundle, opened: Opened, demands: Demands) -> None:
        self.opened = opened
        self._bundle = bundle
        self._demands = demands

    @property
    def size(self) -> int:
        """Leaves in the tree that these answers are about."""
        return self.opened.checkpoint.size

    def ask(self, key: str) -> tuple[Entry, ...]:
        """All entries under an index key, ascending; who said them is not checked.

        Raises:
            VerificationError: a proof does not hold, or an entry is malformed.
            UncheckedError: no answer to this key, or an entry of an unknown type.
        """
        recorder = Recorder()
        evidence = Evidence(self._bundle, self.opened, recorder)
        found = evidence.ask(key)
        evidence.conclude()
        _raise(recorder, (*ANSWERS[:3], "entries.authority"), self._demands, key)
        return tuple(found)

    def ask_if_there(self, key: str) -> tuple[Entry, ...]:
        """The same, but nothing if the bundle does not answer this key."""
        recorder = Recorder()
        evidence = Evidence(self._bundle, self.opened, recorder)
        found = evidence.ask_if_there(key)
        evidence.conclude()
        _raise(recorder, ANSWERS[1:3], self._demands, key)
        return tuple(found)

    def newest(self, key: str) -> tuple[tuple[int, ...], tuple[Entry, ...]]:
        """All indices under a key, and those of their entries that the log handed over.

        Long answers come with their newest entries only.
        """
        recorder = Recorder()
        entries = Evidence(self._bundle, self.opened, recorder).ask(key)
        _raise(recorder, (*ANSWERS[1:3], "entries.authority"), self._demands, key)
        if key not in self._bundle.answers:
            message = f"the log does not answer {key}"
            raise UncheckedError(message)
        return self._bundle.answers[key].indices, tuple(entries)

    def judge(self, entries: Sequence[Entry]) -> Authority:
        """Who may say what, from entries in ascending order.

        Raises:
            VerificationError: the log took an entry from somebody who may not say it,
                or its registrar is not the policy's.
            UncheckedError: an entry is signed by a key of an unknown algorithm.
        """
        recorder = Recorder()
        # Every answer was complete, or asking would have raised.
        authority, _ = judge_entries(entries, self.opened, recorder, complete=True)
        _raise(recorder, ("entries.authority",), self._demands)
        return authority


class Reader:
    """Reads one log of a policy.

    Args:
        fetch: gets bytes by path; nothing it gives is believed.
        log: the key, registrar, ages and quorums to hold the log to.
        now: unix seconds.
        skew: seconds by which the log's clock may be ahead.
    """

    def __init__(self, fetch: Fetch, log: Log, now: int, *, skew: int = SKEW) -> None:
        self._fetch = fetch
        self._log = log
        self._now = now
        self._policy = _policy_of(log, skew)
        self._demands = Demands(
            nonce=False,
            channel=False,
            witnesses=log.witnesses is not None,
            index_monitors=log.index_monitors is not None,
            links=(),
            components=False,
            archived=False,
            archives=False,
        )
        self._newest: tuple[Checkpoint, bytes] | None = None
        self._tiles: dict[str, bytes] = {}
        self._bundles: list[str] = []

    # --- the tree --------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """The log's newest checkpoint: signed, and of one history with those met.

        Quorums and freshness are not asked for here; answers are held to them.
        """
        note = self._fetch("checkpoint", limits.NOTE)
        checkpoint = open_checkpoint(UnverifiedNote.parse(note), self._log.key)
        self._meet(checkpoint, note)
        return checkpoint

    def entry(self, index: int, checkpoint: Checkpoint | None = None) -> bytes:
        """The bytes of leaf `index`, proven to be in `checkpoint` (or the newest).

        Raises:
            UncheckedError: the tree has no such leaf yet.
            VerificationError: what the tiles give does not lead to the root.
        """
        tree = checkpoint or self.checkpoint()
        if not 0 <= index < tree.size:
            message = (
                f"the log has {tree.size} entries, so none with index {index} (yet)"
            )
            raise UncheckedError(message)
        place = index // FULL
        data, width = self._tile(None, place, tree.size)
        leaf = parse_bundle(data, width)[index % FULL]
        proof = prove_inclusion(index, tree.size, self._nodes(tree.size))
        check_inclusion(leaf_hash(leaf), index, tree.size, proof, tree.root)
        return leaf

    def consistency(self, old: Checkpoint, new: Checkpoint) -> Proof:
        """The proof, checked, that the tree of `new` extends that of `old`.

        Raises:
            VerificationError: the tiles do not lead from the one to the other.
        """
        if not 0 < old.size <= new.size:
            message = f"nothing leads from {old.size} entries to {new.size}"
            raise VerificationError(message)
        proof = prove_consistency(old.size, new.size, self._nodes(new.size))
        check_consistency(old.size, new.size, proof, old.root, new.root)
        return proof

    def prefix(self, old: int, new: int) -> Proof:
        """The hashes for `merkle.consistency_roots`, from the tiles of `new` leaves.

        Unverified: where they lead to, and whether to what the log signed, is for that
        function to tell.

        Raises:
            VerificationError: not 0 < old < new.
        """
        if not 0 < old < new:
            message = f"nothing leads from {old} entries to {new}"
            raise VerificationError(message)
        return prove_prefix(old, new, self._nodes(new))

    # --- answers ---------------------------------------------------------------------

    def open(self, data: bytes) -> Answers:
        """A bundle of this log: signature, seal, quorums and freshness checked.

        Raises:
            VerificationError: a signature or proof does not hold.
            UncheckedError: stale, or a quorum is missing.
        """
        bundle, recorder = Bundle.parse(data), Recorder()
        opened = open_log(bundle, self._policy, recorder, self._now)
        wanted = [check for check in LOG if self._demands.require(check, "unchecked")]
        _raise(recorder, wanted, self._demands)
        if opened is None:  # pragma: no cover - the checks above say why, and raise
            message = "the log's answer has no checkpoint of this log"
            raise UncheckedError(message)
        self._meet(opened.checkpoint, bytes(opened.note))
        return Answers(bundle, opened, self._demands)

    def lookup(self, key: str) -> Answers:
        """The log's answer to one index key, opened."""
        return self.open(self._fetch(lookup_path(key), limits.BUNDLE))

    def answer(self, key: str) -> tuple[Entry, ...]:
        """All entries under one index key: complete, by the index's own proof."""
        return self.lookup(key).ask(key)

    # --- one history -----------------------------------------------------------------

    def _meet(self, checkpoint: Checkpoint, note: bytes) -> None:
        if self._newest is None or self._newest[0].size == 0:
            self._newest = (checkpoint, note)
            return
        (known, ours), new = self._newest, checkpoint
        if known == new or new.size == 0:
            return
        if known.size == new.size:
            message = f"the log shows two trees of size {new.size}: a fork"
            raise InconsistencyError(message, ours=ours, theirs=note)
        old, new = sorted((known, new), key=lambda one: one.size)
        self.consistency(old, new)
        if new is checkpoint:
            self._newest = (checkpoint, note)

    # --- tiles: used in proofs only, so that each use ends in a root -----------------

    def _tile(self, level: int | None, index: int, size: int) -> tuple[bytes, int]:
        """A tile's bytes and width, as wide as it is in the tree of `size`."""
        grown = size >> 8 * (level or 0)
        width = min(FULL, grown - index * FULL)
        try:
            return self._file(Tile(level, index, width)), width
        except AbsentError:
            # A partial tile may be dropped once the full one is there.
            if width == FULL:
                raise
        return self._file(Tile(level, index)), FULL

    def _file(self, tile: Tile) -> bytes:
        path = tile.path()
        if path not in self._tiles:
            most = _ENTRY_BUNDLE if tile.level is None else FULL * HASH_SIZE
            self._tiles[path] = self._fetch(path, most)
            if tile.level is None:
                self._bundles.append(path)
                for oldest in self._bundles[:-_HELD]:
                    del self._tiles[oldest]
                self._bundles = self._bundles[-_HELD:]
        return self._tiles[path]

    def _nodes(self, size: int) -> Node:
        """Nodes, unverified: for proofs that are then checked."""
        return node_reader(lambda level, index: self._tile(level, index, size)[0])


def read_statement(index: int, leaf: bytes) -> Entry:
    """A proven leaf as a statement.

    Raises:
        VerificationError: the log took what is no legal statement.
        UncheckedError: of a kind that this version does not know, or a seal.
    """
    if leaf.startswith(b"p"):
        message = f"entry {index} is a seal, not a statement; the next ones may be"
        raise UncheckedError(message)
    try:
        return parse_entry(index, leaf)
    except MalformedError as error:
        message = f"entry {index}: {error}"
        raise VerificationError(message) from error


def _policy_of(log: Log, skew: int) -> Policy:
    """A policy of this log and of nothing else."""
    return Policy(
        sha256="",
        version=0,
        valid_until=limits.INTEGER,
        clock_skew=skew,
        clock_attested=False,
        archives=False,
        distrust=Distrust(),
        logs={log.key.name: log},
        platforms={},
        products={},
    )


def _raise(
    recorder: Recorder, wanted: Sequence[str], demands: Demands, about: str = ""
) -> None:
    """Raise for the first check of `wanted` that did not pass."""
    lead = f"{about}: " if about else ""
    for check in recorder.checks(demands):
        if check.id not in wanted:
            continue
        message = f"{lead}{check.id}: expected {check.expected}; found {check.found}"
        if check.status == "fail":
            raise VerificationError(message)
        if check.status == "unchecked" and check.found != "not reached":
            raise UncheckedError(message)
