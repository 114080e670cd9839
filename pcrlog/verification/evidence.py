"""The log's side of a verification: checkpoint, seal, answers, entries, authority.

A bundle is read only where it is asked, and each thing it gives is proven first,
against the one checkpoint that the log signed. What is missing makes a check unchecked,
what is false makes it fail; either way the asker gets nothing for it (PROTOCOL.md
section 4).
"""

from collections.abc import Sequence

from msgspec import Struct

from pcrlog import trie
from pcrlog.authority import Authority, check_target
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint, cosignatures, open_checkpoint
from pcrlog.encoding import format_time, printable
from pcrlog.entry import Entry, read_entry
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from pcrlog.index_keys import key_hash, keys_of_payload
from pcrlog.merkle import Proof, check_inclusion, consistency_roots, leaf_hash
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Policy, Quorum
from pcrlog.seal import Seal
from pcrlog.statement import predicate_type_of
from pcrlog.verification.checks import CheckStatus, Recorder

SKIPPED_FAMILY = "urn:pcrlog:info:"
"""Predicate types of this family speak neither for nor against anything."""
_TWO_HISTORIES = "two histories, a fork"


class Memory(Struct, frozen=True):
    """What an earlier live run saw: its checkpoint note.

    `proof` is what `merkle.prove_prefix` makes of the tiles of the larger of it and the
    bundle's checkpoint, if they were fetched: the hashes that lead to both roots.
    `frozen` is whether its seal was the log's last.
    """

    note: bytes
    proof: Proof | None = None
    frozen: bool = False


class Opened(Struct, frozen=True):
    """A checkpoint that the log signed, its seal, and the policy's view of the log."""

    log: Log
    note: UnverifiedNote
    checkpoint: Checkpoint
    seal: Seal


def open_log(
    bundle: Bundle, policy: Policy, recorder: Recorder, now: int
) -> Opened | None:
    """Checks `log.signature`, `log.seal`, the quorums and `log.freshness`."""
    try:
        note = UnverifiedNote.parse(bundle.note)
        origin = Checkpoint.parse(note.text).origin
    except MalformedError as error:
        recorder.note("log.signature", "fail", "a checkpoint note", str(error))
        return None
    log = policy.logs.get(origin)
    if log is None:
        expected = f"a log of the policy: {', '.join(policy.logs)}"
        recorder.note("log.signature", "unchecked", expected, printable(origin))
        return None
    try:
        checkpoint = open_checkpoint(note, log.key)
    except PcrlogError as error:
        recorder.note("log.signature", "fail", f"signed by {log.key.name}", str(error))
        return None
    found = f"checkpoint of {checkpoint.size} leaves"
    recorder.note("log.signature", "pass", f"signed by {log.key.name}", found)
    seal = _open_seal(bundle, checkpoint, recorder)
    if seal is None:
        return None
    opened = Opened(log, note, checkpoint, seal)
    _check_quorums(opened, policy, recorder, now)
    _check_freshness(opened, policy, recorder, now)
    return opened


def _open_seal(
    bundle: Bundle, checkpoint: Checkpoint, recorder: Recorder
) -> Seal | None:
    place = checkpoint.size - 1
    expected = f"the last leaf, {place}, is a seal over the {place} before it"
    try:
        check_inclusion(
            leaf_hash(bundle.seal),
            place,
            checkpoint.size,
            bundle.seal_proof,
            checkpoint.root,
        )
        seal = Seal.parse(bundle.seal)
    except UncheckedError as error:
        recorder.note("log.seal", "unchecked", expected, str(error))
        return None
    except PcrlogError as error:
        recorder.note("log.seal", "fail", expected, str(error))
        return None
    if seal.count != place:
        recorder.note("log.seal", "fail", expected, f"it counts {seal.count}")
        return None
    recorder.note("log.seal", "pass", expected, f"sealed {format_time(seal.time)}")
    return seal


def _still_counts(opened: Opened, now: int) -> bool:
    """A frozen log is not asked for freshness until `frozen_until`."""
    until = opened.log.frozen_until
    return opened.seal.frozen and until is not None and now < until


def _check_quorums(
    opened: Opened, policy: Policy, recorder: Recorder, now: int
) -> None:
    oldest, newest = now - opened.log.max_age, now + policy.clock_skew
    if _still_counts(opened, now):
        oldest, newest = 0, 2**63
    quorums: dict[str, Quorum | None] = {
        "log.witnesses": opened.log.witnesses,
        "log.index-monitors": opened.log.index_monitors,
    }
    for check, quorum in quorums.items():
        if quorum is None:
            recorder.note(check, "unchecked", "nothing: waived by the policy", "waived")
            continue
        times = cosignatures(opened.note, quorum.keys)
        fresh = sum(oldest <= time <= newest for time in times.values())
        status: CheckStatus = "pass" if fresh >= quorum.least else "unchecked"
        expected = f"at least {quorum.least} of {len(quorum.keys)}, recent"
        found = f"{fresh} recent of {len(times)} cosignatures"
        recorder.note(check, status, expected, found)


def _check_freshness(
    opened: Opened, policy: Policy, recorder: Recorder, now: int
) -> None:
    check, sealed = "log.freshness", opened.seal.time
    expected = f"sealed within the last {opened.log.max_age} s"
    found = f"sealed {format_time(sealed)}, now {format_time(now)}"
    if opened.seal.frozen:
        counts = _still_counts(opened, now)
        until = "frozen_until of the policy"
        found = "the log is frozen: nothing can be added or revoked any more"
        recorder.note(check, "pass" if counts else "unchecked", until, found)
    elif now - opened.log.max_age <= sealed <= now + policy.clock_skew:
        recorder.note(check, "pass", expected, found)
    else:
        recorder.note(check, "unchecked", expected, f"{found}: fetch a new bundle")


def check_memory(opened: Opened, memory: Memory | None, recorder: Recorder) -> None:
    """Check `log.memory`: the checkpoint against the one remembered.

    It fails only if both are signed and cannot both be true. Whoever holds both notes,
    and the hashes if they are of two sizes, then holds the evidence of a fork.
    """
    check, expected = "log.memory", "one history with the checkpoint remembered"
    if memory is None:
        recorder.note(check, "unchecked", expected, "nothing remembered of this log")
        return
    try:
        old = open_checkpoint(UnverifiedNote.parse(memory.note), opened.log.key)
    except PcrlogError as error:
        recorder.note(check, "unchecked", expected, f"memory is not usable: {error}")
        return
    new = opened.checkpoint
    found = f"remembered {old.size}, now {new.size}"
    smaller, larger = sorted((old, new), key=lambda checkpoint: checkpoint.size)
    # A frozen checkpoint is final: nothing larger can belong to the same log.
    final = memory.frozen if smaller is old else opened.seal.frozen
    if old.size == new.size and old.root == new.root:
        recorder.note(check, "pass", expected, found)
    elif old.size == new.size or final:
        recorder.note(check, "fail", expected, f"{found}: {_TWO_HISTORIES}")
    elif memory.proof is None:
        recorder.note(check, "unchecked", expected, f"{found}, no proof between them")
    else:
        status, shown = _history(smaller, larger, memory.proof)
        recorder.note(check, status, expected, f"{found}: {shown}")


def _history(
    smaller: Checkpoint, larger: Checkpoint, hashes: Proof
) -> tuple[CheckStatus, str]:
    """What the hashes show of two checkpoints that the log signed, and in words.

    They are nobody's signed word. But no other hashes than those of the log's own tree
    lead to the larger root; and then the root that they give to its first leaves is the
    log's, whatever it signed for them before.
    """
    try:
        was, now = consistency_roots(smaller.size, larger.size, hashes)
    except VerificationError as error:
        return "unchecked", str(error)
    if now != larger.root:
        return "unchecked", f"the proof does not lead to the {larger.size} leaves"
    if was != smaller.root:
        return "fail", f"{_TWO_HISTORIES}, proven by the larger tree"
    return "pass", "proven consistent"


class Evidence:
    """Verified reads from a bundle; the `ask` of a gathering."""

    def __init__(self, bundle: Bundle, opened: Opened, recorder: Recorder) -> None:
        self._bundle = bundle
        self._opened = opened
        self._recorder = recorder
        self._entries: dict[int, tuple[tuple[str, ...], Entry | None]] = {}
        self._asked: dict[str, tuple[Entry, ...]] = {}
        self.missing: list[str] = []
        self._unread = False

    def ask(self, key: str) -> Sequence[Entry]:
        """The entries under a key that has to be answered."""
        if key not in self._bundle.answers:
            self.missing.append(key)
            return ()
        return self.ask_if_there(key)

    def ask_if_there(self, key: str) -> Sequence[Entry]:
        """The entries under a key, none if the bundle does not answer it."""
        if key not in self._asked:
            self._asked[key] = self._read(key) if key in self._bundle.answers else ()
        return self._asked[key]

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was there, was proven and could be read."""
        return not self.missing and not self._unread

    def conclude(self) -> None:
        """Record what `ask` came to: all answers present, all proofs right."""
        recorder, count = self._recorder, len(self._asked)
        status: CheckStatus = "unchecked" if self.missing else "pass"
        found = f"{count} answers"
        if self.missing:
            found += f"; missing: {', '.join(self.missing[:3])}"
        recorder.note("answers.present", status, "an answer to each key", found)
        recorder.note("answers.proofs", "pass", "each proven by the seal's root", found)
        entries = f"{len(self._entries)} entries"
        recorder.note("entries.inclusion", "pass", "each in the tree", entries)

    def _read(self, key: str) -> tuple[Entry, ...]:
        answer = self._bundle.answers[key]
        indices, hashed = answer.indices, key_hash(key)
        root = self._opened.seal.root
        try:
            if indices:
                if list(indices) != sorted(set(indices)):
                    message = "indices are not ascending"
                    raise MalformedError(message)
                trie.check_presence(root, hashed, trie.value_of(indices), answer.proof)
            else:
                trie.check_absence(root, hashed, answer.proof)
        except PcrlogError as error:
            self._unread = True
            expected = "each proven by the seal's root"
            self._recorder.note("answers.proofs", "fail", expected, f"{key}: {error}")
            return ()
        found = (self._entry(index, key) for index in indices)
        return tuple(entry for entry in found if entry is not None)

    def _entry(self, index: int, key: str) -> Entry | None:
        if index not in self._bundle.entries:
            self.missing.append(f"entry {index}")
            return None
        if index not in self._entries:
            self._entries[index] = self._read_entry(index)
        keys, entry = self._entries[index]
        if keys and key not in keys:
            expected = "an entry that yields the key it is given for"
            self._recorder.note("answers.proofs", "fail", expected, f"{index}: {key}")
        return entry

    def _read_entry(self, index: int) -> tuple[tuple[str, ...], Entry | None]:
        recorder, checkpoint = self._recorder, self._opened.checkpoint
        included = self._bundle.entries[index]
        try:
            check_inclusion(
                leaf_hash(included.envelope.raw),
                index,
                checkpoint.size,
                included.proof,
                checkpoint.root,
            )
        except VerificationError as error:
            self._unread = True
            recorder.note("entries.inclusion", "fail", "each in the tree", str(error))
            return (), None
        payload = included.envelope.payload
        keys = keys_of_payload(payload) or ("none",)
        try:
            return keys, read_entry(index, included.envelope)
        except UncheckedError as error:
            if predicate_type_of(payload).startswith(SKIPPED_FAMILY):
                return keys, None
            self._unread = True
            recorder.note("entries.authority", "unchecked", _AUTHORITY, str(error))
        except MalformedError as error:
            found = f"entry {index}: {error}"
            recorder.note("entries.authority", "fail", _AUTHORITY, found)
        return keys, None


_AUTHORITY = "each said by who may say it, at its index"


def judge_entries(
    entries: Sequence[Entry], opened: Opened, recorder: Recorder, *, complete: bool
) -> tuple[Authority, frozenset[int]]:
    """Check `entries.authority`: the forward pass over all entries found, ascending.

    Where an entry could not be had or read (not `complete`), who may say what cannot be
    told: nothing is refuted by it then.

    Returns:
        The authority, and the indices of the entries that it did not accept.
    """
    authority = Authority(opened.checkpoint.origin)
    known: dict[str, Entry] = {}
    refused: set[int] = set()
    for entry in entries:
        try:
            authority.accept(entry)
            check_target(entry, known)
        except (UncheckedError, VerificationError) as error:
            refused.add(entry.index)
            complete = complete and not isinstance(error, UncheckedError)
            judged: CheckStatus = "fail" if complete else "unchecked"
            recorder.note("entries.authority", judged, _AUTHORITY, str(error))
        known.setdefault(entry.sha256, entry)
    pinned = opened.log.registrar
    if pinned not in authority.root_keys():
        seen = any(entry.index == 0 for entry in entries)
        status: CheckStatus = "fail" if seen else "unchecked"
        found = f"entry 0 has no root key {pinned}"
        recorder.note("entries.authority", status, "the policy's registrar", found)
    recorder.note("entries.authority", "pass", _AUTHORITY, f"{len(entries)} entries")
    return authority, frozenset(refused)
