"""A whole log in memory: for tests of whatever reads a log, and never tests of its own.

It is honest: statements are judged as the real log judges them (`force` admits what it
would refuse, so that a test can show what a reader makes of that), each `seal` makes a
checkpoint, and `bundle` answers like the server. `until` and `hide` are for logs that
lie. Keys come from seeds: the same calls give the same bytes.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256

from pcrlog import index_keys, merkle, trie
from pcrlog.authority import Authority, check_target
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import Checkpoint, cosign
from pcrlog.encoding import format_time
from pcrlog.entry import Entry, parse_entry
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.errors import PcrlogError
from pcrlog.gather import Subject, gather
from pcrlog.keys import SigningKey
from pcrlog.measurement import PLATFORMS
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Identity,
    IdentityKey,
    Predicate,
    Release,
    Revocation,
)
from pcrlog.seal import FIRST_BYTE, Seal
from pcrlog.statement import encode

ORIGIN = "log.example/pcr"
START = 1_795_417_200
"""2026-11-23T07:00:00Z."""


def key(seed: str) -> SigningKey:
    """The Ed25519 key of a seed's name."""
    return SigningKey.from_seed(sha256(seed.encode()).digest())


def registers(build: str) -> dict[str, str]:
    """PCR0, PCR1 and PCR2 of an imagined build."""
    return {
        f"PCR{n}": "sha384:" + sha256(f"{build}/{n}".encode()).hexdigest() + "00" * 16
        for n in range(3)
    }


def active(*keys: SigningKey, use: str | None = None) -> list[IdentityKey]:
    """Identity keys, active."""
    return [
        IdentityKey(
            keyid=one.public.keyid,
            key=one.public.spki,
            status="active",
            use=use,  # type: ignore[arg-type] # tests pass wrong words on purpose
        )
        for one in keys
    ]


@dataclass
class MemoryLog:
    """The log; `now` is the time of the next statement and seal (unix seconds)."""

    origin: str = ORIGIN
    now: int = START
    witnesses: list[NoteSigner] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the keys and entry 0."""
        self.signer = NoteSigner(self.origin, sha256(b"log").digest())
        self.root, self.enrol = key("root"), key("enrol")
        self._empty()
        keys = [*active(self.root, use="root"), *active(self.enrol, use="enrol")]
        self.identify(REGISTRAR, keys, [self.root], issuer=REGISTRAR)

    def _empty(self) -> None:
        self.leaves: list[bytes] = []
        self.entries: dict[int, Entry] = {}
        self.by_sha: dict[str, Entry] = {}
        self.index: dict[str, list[int]] = {}
        self.trie = trie.MemoryTrie()
        self.tree = merkle.Range()
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.authority = Authority(self.origin)
        self.note = b""

    # --- statements ------------------------------------------------------------------

    def stamp(self) -> str:
        """Now, as statements spell it."""
        return format_time(self.now)

    def add(
        self,
        predicate: Predicate,
        subject: dict[str, str],
        signers: Sequence[SigningKey],
        *,
        force: bool = False,
    ) -> int:
        """Sign, judge and append a statement; its index."""
        leaf = sign_envelope(encode(predicate, subject), signers)
        return self.append(leaf, force=force)

    def append(self, leaf: bytes, *, force: bool = False) -> int:
        """Judge and append an envelope; its index."""
        index, entry = len(self.leaves), None
        try:
            entry = parse_entry(index, leaf)
            self.authority.accept(entry)
            check_target(entry, self.by_sha)
        except PcrlogError:
            if not force:
                raise
        if entry is not None:
            self.entries[index] = entry
            self.by_sha.setdefault(entry.sha256, entry)
        self._push(leaf)
        for name in index_keys.index_keys(leaf):
            self.index.setdefault(name, []).append(index)
        return index

    def identify(
        self,
        name: str,
        keys: Iterable[IdentityKey],
        signers: Sequence[SigningKey],
        *,
        issuer: str = REGISTRAR,
        roles: Sequence[str] = (),
        force: bool = False,
    ) -> int:
        """Append an identity of `name` with exactly these keys."""
        rows = tuple(sorted(keys, key=lambda one: one.keyid))
        predicate = Identity(
            log=self.origin,
            issuer=issuer,
            issued=self.stamp(),
            name=name,
            signers=tuple(sorted(one.public.keyid for one in signers)),
            roles=tuple(sorted(roles)),  # type: ignore[arg-type] # as above
            keys=rows,
            previous=self.authority.newest(name),
        )
        subject = {one.keyid: f"sha256:{one.keyid}" for one in rows}
        return self.add(predicate, subject, signers, force=force)

    def enroll(self, name: str, *roles: str, keys: Sequence[SigningKey] = ()) -> int:
        """Enrol a name with the key of its seed (or `keys`)."""
        rows = active(*(keys or [key(name)]))
        return self.identify(name, rows, [self.enrol], roles=roles)

    def common(self, issuer: str, platform: str) -> dict[str, object]:
        """The members that release, audit and revocation share."""
        identity = PLATFORMS[platform].identity if platform in PLATFORMS else (("x",),)
        return {
            "log": self.origin,
            "issuer": issuer,
            "issued": self.stamp(),
            "platform": platform,
            "identity": identity,
        }

    def release(
        self,
        product: str,
        version: str,
        subject: dict[str, str],
        *,
        platform: str = "aws-nitro",
        by: SigningKey | None = None,
        force: bool = False,
        **members: object,
    ) -> int:
        """Append a release by the product's provider."""
        issuer = product.partition("/")[0]
        predicate = Release(
            **self.common(issuer, platform),  # type: ignore[arg-type] # a dict of members
            product=product,
            version=version,
            **members,  # type: ignore[arg-type] # as above
        )
        return self.add(predicate, subject, [by or key(issuer)], force=force)

    def audit(
        self,
        issuer: str,
        scope: str,
        subject: dict[str, str],
        *,
        result: str = "pass",
        platform: str | None = None,
        by: SigningKey | None = None,
        force: bool = False,
        **members: object,
    ) -> int:
        """Append an audit; `performed` is now unless given."""
        platform = platform or ("source" if scope == "source-review" else "aws-nitro")
        members.setdefault("performed", self.stamp())
        predicate = Audit(
            **self.common(issuer, platform),  # type: ignore[arg-type] # as above
            scope=scope,
            result=result,  # type: ignore[arg-type] # as above
            **members,  # type: ignore[arg-type] # as above
        )
        return self.add(predicate, subject, [by or key(issuer)], force=force)

    def revoke(
        self,
        issuer: str,
        reason: str,
        target: int,
        *,
        by: SigningKey | None = None,
        force: bool = False,
        **members: object,
    ) -> int:
        """Append a revocation of an entry: of its measurement, or of it alone."""
        entry = self.entries[target]
        if reason not in ("compromised", "vulnerable"):
            members.setdefault("statement", entry.sha256)
        platform = getattr(entry.predicate, "platform", "aws-nitro")
        predicate = Revocation(
            **self.common(issuer, platform),  # type: ignore[arg-type] # as above
            reason=reason,
            **members,  # type: ignore[arg-type] # as above
        )
        subject = dict(entry.statement.registers)
        return self.add(predicate, subject, [by or key(issuer)], force=force)

    # --- the tree --------------------------------------------------------------------

    def _push(self, leaf: bytes) -> None:
        self.leaves.append(leaf)
        for level, index, node in self.tree.append(merkle.leaf_hash(leaf)):
            self.nodes[level, index] = node

    def node(self, level: int, index: int) -> bytes:
        """A complete subtree's root."""
        return self.nodes[level, index]

    def seal(
        self,
        *,
        frozen: bool = False,
        root: bytes | None = None,
        leaf: bytes | None = None,
    ) -> bytes:
        """Seal, sign and cosign; the checkpoint note. `root` and `leaf` may be lies."""
        seal = Seal(len(self.leaves), self.now, root or self.index_root(), frozen)
        self._push(leaf or seal.encode())
        return self.sign()

    def sign(self) -> bytes:
        """Sign and cosign all leaves so far, sealed or not; the checkpoint note."""
        checkpoint = Checkpoint(self.origin, len(self.leaves), self.tree.root())
        self.note = bytes(self.signer.sign(checkpoint.text()))
        return self.cosign(*self.witnesses)

    def cosign(self, *signers: NoteSigner) -> bytes:
        """Add cosignatures to the newest checkpoint; its note."""
        note = UnverifiedNote.parse(self.note)
        lines = [cosign(note.text, one, self.now) for one in signers]
        self.note = bytes(UnverifiedNote(note.text, (*note.lines, *lines)))
        return self.note

    def index_root(self) -> bytes:
        """The root of the index over all leaves so far."""
        self.trie.update(
            {
                index_keys.key_hash(name): trie.value_of(indices)
                for name, indices in self.index.items()
            }
        )
        return self.trie.root

    # --- other histories -------------------------------------------------------------

    def until(self, size: int) -> "MemoryLog":
        """A log with the same keys and the first `size` leaves: to go on otherwise."""
        other = copy(self)
        other._empty()
        for leaf in self.leaves[:size]:
            if leaf.startswith(FIRST_BYTE):
                other._push(leaf)
            else:
                other.append(leaf, force=True)
        other.index_root()
        other.sign()
        return other

    def hide(self, index: int) -> None:
        """Leave an entry out of the index, from the next root on."""
        for name, indices in list(self.index.items()):
            self.index[name] = [one for one in indices if one != index]
            if not self.index[name]:
                del self.index[name]
        self.trie = trie.MemoryTrie()

    # --- bundles ---------------------------------------------------------------------

    def answer(self, name: str) -> Answer:
        """The proven answer to a key, under the newest seal."""
        indices = tuple(self.index.get(name, ()))
        return Answer(indices, self.trie.prove(index_keys.key_hash(name)))

    def path_of(self, index: int) -> tuple[bytes, ...]:
        """What leads from a leaf to the root of all leaves so far."""
        return merkle.prove_inclusion(index, len(self.leaves), self.node)

    def included(self, index: int) -> Included:
        """A leaf and its inclusion in the newest checkpoint."""
        return Included(Envelope.parse(self.leaves[index]), self.path_of(index))

    def bundle(
        self,
        product: str,
        subject: dict[str, str],
        *auditors: str,
        platform: str = "aws-nitro",
    ) -> Bundle:
        """What the server would answer for a product and these registers."""
        measurements = tuple(
            f"{','.join(f'{n}={subject[n]}' for n in names)}"
            for names in PLATFORMS[platform].identity
        )
        return self.bundle_about(product, platform, measurements, *auditors)

    def bundle_about(
        self, product: str, platform: str, measurements: tuple[str, ...], *auditors: str
    ) -> Bundle:
        """The same, for measurements that are spelled out."""
        asked: dict[str, Answer] = {}

        def ask(name: str) -> list[Entry]:
            asked[name] = self.answer(name)
            return [self.entries[i] for i in asked[name].indices if i in self.entries]

        gather(
            Subject(product, platform, measurements, auditors),
            ask,
            ask,
            lambda _product, above: above,
        )
        return self.assemble(asked)

    def assemble(self, answers: dict[str, Answer]) -> Bundle:
        """A bundle of these answers and all entries that they name."""
        indices = sorted({i for answer in answers.values() for i in answer.indices})
        last = len(self.leaves) - 1
        entries = {i: self.included(i) for i in indices}
        proof = self.path_of(last)
        return Bundle(self.note, self.leaves[last], proof, answers, entries)

    def policy(self, *extra: str, products: str = "", witnesses: str = '"none"') -> str:
        """A policy's TOML that trusts this log; `products` are its tables."""
        lines = [
            'format = "pcrlog-policy/v1"',
            "version = 1",
            'valid_until = "2036-01-01T00:00:00Z"',
            *extra,
            "[[log]]",
            f'vkey = "{self.signer.public}"',
            f'url = "https://{self.origin}"',
            f'registrar = "{self.root.public.keyid}"',
            f"witnesses = {witnesses}",
            'index_monitors = "none"',
            products,
        ]
        return "\n".join(lines) + "\n"


def witness(name: str) -> NoteSigner:
    """A witness's or index monitor's key, from its name."""
    return NoteSigner(name, sha256(name.encode()).digest(), COSIGNATURE)
