"""The forward pass over a log, for whoever copies only what is right.

Each leaf is judged at its own index (PROTOCOL.md 2.1 to 2.4), and the first that is
wrong ends it, with an error:

1. entry 0 is the registrar's identity, with the root key that the policy pins
2. a statement is canonical, and of a type that this version knows
3. its issuer may say it there (pcrlog/authority.py); its signatures are owed
4. it was not said before
5. a revocation of a statement names an earlier one of its issuer, and repeats it
6. a seal counts the leaves before it; its time does not go back; its index root is that
   of the entries before it
7. nothing comes after the seal that says `frozen`

4, 5 and the root are what the index knows (`settle`). Left to the caller: that the
leaves lead to the root that the log signed, the signatures, and that the last leaf is a
seal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cli.mirror_index import Extension
from pcrlog.authority import Authority, check_target
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from pcrlog.index_keys import payload_of
from pcrlog.keys import Owed
from pcrlog.predicates import Identity, Revocation
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE
from pcrlog.seal import Seal
from pcrlog.statement import predicate_type_of
from pcrlog.verification.evidence import SKIPPED_FAMILY


class BadEntryError(VerificationError):
    """An entry that no log may take, at `index`."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass
class Read:
    """What a run of leaves is, and what is still owed.

    `owed`: signatures, each with the entry's index; `seals` by index; `revoking`: the
    entries that revoke a statement; `sealed` and `frozen` as the pass has them after.
    """

    start: int
    leaves: Sequence[bytes]
    owed: list[tuple[int, Owed]] = field(default_factory=list)
    seals: dict[int, Seal] = field(default_factory=dict)
    revoking: list[Entry] = field(default_factory=list)
    sealed: int = 0
    frozen: bool = False

    @property
    def end(self) -> int:
        """Index after the last leaf."""
        return self.start + len(self.leaves)


class Pass:
    """The pass, from wherever it was left.

    Args:
        origin: the log's.
        registrar: keyid of the root key of entry 0.
        sealed: unix seconds of the last seal, 0 before the first.
        frozen: whether that was the last one.
    """

    def __init__(
        self, origin: str, registrar: str, *, sealed: int = 0, frozen: bool = False
    ) -> None:
        self.authority = Authority(origin)
        self.identities: list[int] = []
        """Indices of the identities that were accepted."""
        self.sealed = sealed
        self.frozen = frozen
        self._registrar = registrar

    def accept(self, index: int, leaf: bytes) -> None:
        """Take an identity that was accepted before."""
        self.authority.accept(parse_entry(index, leaf))
        self.identities.append(index)

    def read(self, start: int, leaves: Sequence[bytes]) -> Read:
        """Judge the next leaves, in order.

        Raises:
            BadEntryError: one of them is wrong.
            UncheckedError: one is of a kind that this version does not know.
        """
        found = Read(start, leaves)
        for index, leaf in enumerate(leaves, start):
            try:
                self._read(index, leaf, found)
            except (MalformedError, VerificationError) as error:
                raise _bad(index, error) from error
            except UncheckedError as error:
                message = f"entry {index}: {error}"
                raise UncheckedError(message) from error
        found.sealed, found.frozen = self.sealed, self.frozen
        return found

    def _read(self, index: int, leaf: bytes, found: Read) -> None:
        if self.frozen:
            message = "it comes after the log was frozen"
            raise VerificationError(message)
        if leaf.startswith(SEAL_FIRST_BYTE):
            found.seals[index] = self._read_seal(index, Seal.parse(leaf))
        else:
            self._read_statement(index, leaf, found)
        if index == 0 and self._registrar not in self.authority.root_keys():
            message = (
                "it is not an identity of the registrar with the root key"
                f" {self._registrar}, which the policy pins"
            )
            raise VerificationError(message)

    def _read_seal(self, index: int, seal: Seal) -> Seal:
        if seal.count != index:
            message = f"the seal counts {seal.count} leaves before it"
            raise VerificationError(message)
        if seal.time < self.sealed:
            message = f"its time goes back from {self.sealed} to {seal.time}"
            raise VerificationError(message)
        self.sealed, self.frozen = seal.time, seal.frozen
        return seal

    def _read_statement(self, index: int, leaf: bytes, found: Read) -> None:
        try:
            entry = parse_entry(index, leaf)
        except UncheckedError:
            if _is_skipped(leaf):
                return
            raise
        predicate = entry.predicate
        if isinstance(predicate, Identity):
            # What comes next rests on it, so its signatures are not owed.
            self.authority.accept(entry)
            self.identities.append(index)
            return
        owed = self.authority.judge_unverified(entry)
        found.owed += ((index, one) for one in owed)
        if isinstance(predicate, Revocation) and predicate.statement is not None:
            found.revoking.append(entry)


def settle(
    read: Read,
    extension: Extension,
    statement: Callable[[bytes], int | None],
    leaf: Callable[[int], bytes],
) -> None:
    """Hold the leaves of a run against the index over them.

    Args:
        read: the run.
        extension: what the index makes of the same leaves.
        statement: SHA-256 of a statement to where it stands first.
        leaf: index to a leaf before the run's end.

    Raises:
        BadEntryError: a wrong root, a repeat, a revocation of what is not there.
    """
    for index, root in extension.roots:
        seal = read.seals[index]
        if seal.root != root:
            message = (
                f"the index root in the seal is {seal.root.hex()}, the entries before"
                f" it make {root.hex()}"
            )
            raise _bad(index, VerificationError(message))
    for index, first in extension.repeats:
        message = f"the same statement is entry {first} already"
        raise _bad(index, VerificationError(message))
    for entry in read.revoking:
        digest = entry.predicate.statement or ""  # type: ignore[union-attr] # it revokes
        at = statement(bytes.fromhex(digest))
        known = {}
        if at is not None and at < entry.index:
            target = parse_entry(at, leaf(at))
            known[target.sha256] = target
        try:
            check_target(entry, known)
        except VerificationError as error:
            raise _bad(entry.index, error) from error


def _bad(index: int, error: PcrlogError) -> BadEntryError:
    words = str(error)
    own = words.startswith((f"entry {index} ", f"entry {index}:"))
    return BadEntryError(words if own else f"entry {index}: {words}", index)


def _is_skipped(leaf: bytes) -> bool:
    payload = payload_of(leaf)
    return payload is not None and predicate_type_of(payload).startswith(SKIPPED_FAMILY)
