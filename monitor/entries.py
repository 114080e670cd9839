"""The forward pass over a log: is every leaf well-formed, and said by who may say it?

Each leaf is appended to the tree and judged at its own index (PROTOCOL.md 2.1 to 2.4):

1. entry 0 is the registrar's identity, with the root key that the policy pins
2. a statement is canonical, and of a kind and type that this version knows
3. its signatures are right, and its issuer may say it there (pcrlog/authority.py)
4. a revocation of a statement names an earlier one of its issuer, and repeats it
5. a seal counts the leaves before it; its time does not go back
6. nothing comes after the seal that says `frozen`

That a payload stands once, and what the index root before a seal is, the index knows
(index.py): `compare` puts both together. Left to the caller: that the leaves lead to
the root that the log signed, and that a checkpoint ends in a seal (`ends_in_seal`).

What is wrong never stops the pass: it is a finding, and the next leaf is looked at.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from monitor.index import Extension
from pcrlog.authority import Authority, check_target
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from pcrlog.index_keys import payload_of
from pcrlog.merkle import Range, leaf_hash
from pcrlog.policy import Log
from pcrlog.predicates import Identity, Revocation
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE
from pcrlog.seal import Seal
from pcrlog.statement import predicate_type_of, require_known

SKIPPED_FAMILY = "urn:pcrlog:info:"
"""Types that an older reader passes over (PROTOCOL.md 2.5)."""

Find = Callable[[str], tuple[int, bytes] | None]
"""Hex SHA-256 of a statement to its index and leaf, or None: where it stands first."""


class Finding(Struct, frozen=True):
    """What is wrong with the entry `index`: a kind of alerts.KINDS, and in words."""

    kind: str
    index: int
    words: str


class Batch(Struct, frozen=True):
    """What was read.

    `entries` are the statements that are well-formed and rightly there, `identities`
    the leaves of those that are identities, by index; `seals` all seals that could be
    read, by index.
    """

    findings: tuple[Finding, ...]
    entries: tuple[Entry, ...]
    identities: tuple[tuple[int, bytes], ...]
    seals: tuple[tuple[int, Seal], ...]


def authority_of(origin: str, identities: Iterable[tuple[int, bytes]]) -> Authority:
    """The judgement as it was after these identities, which it accepted before.

    Raises:
        PcrlogError: they are not what was accepted.
    """
    authority = Authority(origin)
    for index, leaf in identities:
        authority.accept(parse_entry(index, leaf))
    return authority


class Reading:
    """The pass, from wherever it was left.

    Args:
        log: whose leaves come.
        tree: over the leaves read so far; it grows.
        authority: of the identities read so far; it learns.
        sealed: unix seconds of the last seal, 0 before the first.
        frozen: whether that was the last one.
        find: statements of before; asked for what is revoked, and not in the batch,
            when all else is judged. What it raises says nothing of an entry and ends
            the pass: `tree` and `authority` are then spoilt, `findings` still hold.
    """

    def __init__(
        self,
        log: Log,
        tree: Range,
        authority: Authority,
        *,
        sealed: int,
        frozen: bool,
        find: Find,
    ) -> None:
        self.tree = tree
        self.authority = authority
        self.sealed = sealed
        self.frozen = frozen
        self.ends_in_seal = False
        """Whether the last leaf that was read here is a seal."""
        self.findings: list[Finding] = []
        """What is wrong with the leaves that were read last."""
        self._log = log
        self._find = find

    def read(self, leaves: Sequence[bytes]) -> Batch:
        """Read the next leaves, in order.

        Raises:
            PcrlogError: what `find` raised.
        """
        batch = _Draft()
        self.findings = batch.findings
        for leaf in leaves:
            index = self.tree.size
            self.tree.append(leaf_hash(leaf))
            self.ends_in_seal = False
            if self.frozen:
                kind = "bad-seal" if leaf.startswith(SEAL_FIRST_BYTE) else "bad-entry"
                batch.note(kind, index, "it comes after the log was frozen")
            if leaf.startswith(SEAL_FIRST_BYTE):
                self._read_seal(index, leaf, batch)
            else:
                self._read_statement(index, leaf, batch)
            if index == 0 and self._log.registrar not in self.authority.root_keys():
                words = (
                    "entry 0 is not an identity of the registrar with the root key"
                    f" {self._log.registrar}, which the policy pins"
                )
                batch.note("unauthorised-entry", index, words)
        # Last, since reading what is revoked may fail: a log that withholds it must not
        # keep from being told what else is wrong.
        batch.entries = [one for one in batch.entries if self._has_target(one, batch)]
        return batch.done()

    def _has_target(self, entry: Entry, batch: "_Draft") -> bool:
        """Whether there is what an entry revokes, if it revokes a statement."""
        predicate = entry.predicate
        if not isinstance(predicate, Revocation) or predicate.statement is None:
            return True
        target = self._target(predicate.statement, entry.index, batch)
        try:
            check_target(entry, {} if target is None else {target.sha256: target})
        except VerificationError as error:
            batch.note("unauthorised-entry", entry.index, str(error))
            return False
        return True

    def _target(self, sha256: str, before: int, batch: "_Draft") -> Entry | None:
        target = batch.read.get(sha256)
        if target is not None and target.index < before:
            return target
        found = self._find(sha256)
        return _well_formed(*found) if found and found[0] < before else None

    def _read_seal(self, index: int, leaf: bytes, batch: "_Draft") -> None:
        try:
            seal = Seal.parse(leaf)
        except UncheckedError as error:
            batch.note("unknown-entry", index, str(error))
            return
        except MalformedError as error:
            batch.note("bad-seal", index, str(error))
            return
        if seal.count != index:
            words = f"it counts {seal.count} leaves before it, there are {index}"
            batch.note("bad-seal", index, words)
        if seal.time < self.sealed:
            words = f"its time goes back from {self.sealed} to {seal.time}"
            batch.note("bad-seal", index, words)
        self.sealed = seal.time
        self.frozen = self.frozen or seal.frozen
        self.ends_in_seal = True
        batch.seals.append((index, seal))

    def _read_statement(self, index: int, leaf: bytes, batch: "_Draft") -> None:
        try:
            entry = parse_entry(index, leaf)
        except UncheckedError as error:
            if not _is_skipped(leaf):
                batch.note("unknown-entry", index, str(error))
        except MalformedError as error:
            batch.note("bad-entry", index, str(error))
        else:
            self._judge(entry, batch)
            batch.read.setdefault(entry.sha256, entry)

    def _judge(self, entry: Entry, batch: "_Draft") -> None:
        index = entry.index
        try:
            require_known(entry.statement)
        except MalformedError as error:
            batch.note("unknown-entry", index, str(error))
        try:
            self.authority.accept(entry)
        except UncheckedError as error:
            batch.note("unknown-entry", index, str(error))
        except VerificationError as error:
            batch.note("unauthorised-entry", index, str(error))
        else:
            batch.entries.append(entry)
            if isinstance(entry.predicate, Identity):
                batch.identities.append((index, entry.envelope.raw))


class _Draft:
    """A batch in the making, and all its well-formed statements by SHA-256."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.entries: list[Entry] = []
        self.identities: list[tuple[int, bytes]] = []
        self.seals: list[tuple[int, Seal]] = []
        self.read: dict[str, Entry] = {}

    def note(self, kind: str, index: int, words: str) -> None:
        self.findings.append(Finding(kind, index, words))

    def done(self) -> Batch:
        self.findings.sort(key=lambda one: one.index)
        return Batch(
            tuple(self.findings),
            tuple(self.entries),
            tuple(self.identities),
            tuple(self.seals),
        )


def _well_formed(index: int, leaf: bytes) -> Entry | None:
    try:
        return parse_entry(index, leaf)
    except PcrlogError:
        # It was a finding when it was read, and is nothing that can be revoked.
        return None


def _is_skipped(leaf: bytes) -> bool:
    payload = payload_of(leaf)
    return payload is not None and predicate_type_of(payload).startswith(SKIPPED_FAMILY)


def compare(
    seals: Iterable[tuple[int, Seal]], extension: Extension
) -> tuple[Finding, ...]:
    """What the index says of the same leaves: roots of seals, and what was said before.

    Args:
        seals: those of the batch.
        extension: what the index made of the leaves of the batch.
    """
    roots = dict(extension.roots)
    findings = [
        Finding(
            "bad-index",
            index,
            f"the index root in it is {seal.root.hex()}; the entries before it make"
            f" {roots[index].hex()}",
        )
        for index, seal in seals
        if seal.root != roots[index]
    ]
    findings += [
        Finding("bad-entry", index, f"the same statement is entry {first} already")
        for index, first in extension.repeats
    ]
    return tuple(findings)
