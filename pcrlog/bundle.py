"""Bundles: all that verification needs to ask of a log, with its proofs, in one file.

    {"answers": [{"indices": [4, 9], "key": "v1/by/…", "path": [[7, 0], [2, 5]]}, …],
     "checkpoint": the note with its cosignatures,
     "entries": [{"index": 4, "proof": [1, 3], "signatures": […], "statement": {…}}, …],
     "format": "pcrlog-bundle/v1",
     "hashes": [base64, …],
     "seal": {"leaf": the last leaf, "proof": [2, 6]}}

Canonical JSON, at most 1 MiB, 1,024 entries, 512 answers (PROTOCOL.md section 4). Every
hash stands once in `hashes` and is named by its place there. An answer maps a key to
all its indices: `path` is the trie proof, (bit, hash) from leaf to root; where the key
is absent, `other` names the key and the value of the leaf found in its place. An entry
is its statement, as JSON, and its signatures: the envelope, and so the leaf, is
rebuilt from them byte for byte. Nothing in a bundle is checked by reading it.

>>> bundle = Bundle(b"note", b"seal", (bytes(32),), {}, {})
>>> Bundle.parse(bundle.encode()) == bundle
True
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from pcrlog import limits, trie
from pcrlog.encoding import decode_json, encode_json, prepare
from pcrlog.envelope import Envelope, Signature
from pcrlog.errors import MalformedError
from pcrlog.merkle import HASH_SIZE, Proof

_Hash = Annotated[bytes, Meta(min_length=HASH_SIZE, max_length=HASH_SIZE)]
_Ref = Annotated[int, Meta(ge=0, le=limits.BUNDLE // 44)]
_Index = Annotated[int, Meta(ge=0, le=limits.INTEGER)]
_Path = Annotated[tuple[_Ref, ...], Meta(max_length=limits.PROOF_HASHES)]
_ODD_NUMBER = re.compile(rb"[:,\[](?:-|[0-9]+[.eE]|[0-9]{16})")
"""Finds each number that is none of the protocol's, and more besides."""
_Step = tuple[Annotated[int, Meta(ge=0, le=255)], _Ref]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class _Answer(_Part, frozen=True):
    key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}\Z")]
    path: Annotated[tuple[_Step, ...], Meta(max_length=limits.TRIE_DEPTH)]
    indices: tuple[_Index, ...]
    other: tuple[_Ref, _Ref] | None = None


class _Entry(_Part, frozen=True):
    index: _Index
    proof: _Path
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=2)]
    statement: dict[str, Any]


class _Seal(_Part, frozen=True):
    leaf: Annotated[str, Meta(pattern=r"^[\n -~]{0,256}\Z")]
    proof: _Path


class _Bundle(_Part, frozen=True):
    format: Literal["pcrlog-bundle/v1"]
    checkpoint: Annotated[str, Meta(max_length=limits.NOTE)]
    seal: _Seal
    answers: Annotated[tuple[_Answer, ...], Meta(max_length=limits.BUNDLE_ANSWERS)]
    entries: Annotated[tuple[_Entry, ...], Meta(max_length=limits.BUNDLE_ENTRIES)]
    hashes: tuple[_Hash, ...]


prepare(_Bundle)


class Answer(Struct, frozen=True):
    """All `indices` (ascending) under a key, and the trie `proof` of that."""

    indices: tuple[int, ...]
    proof: bytes


class Included(Struct, frozen=True):
    """A statement's envelope, whose bytes are the leaf, and its inclusion `proof`."""

    envelope: Envelope
    proof: Proof


class Bundle(Struct, frozen=True):
    """A bundle, unverified: checkpoint `note`, last leaf `seal` with its proof.

    `answers` by key string, `entries` by index.
    """

    note: bytes
    seal: bytes
    seal_proof: Proof
    answers: Mapping[str, Answer]
    entries: Mapping[int, Included]

    @classmethod
    def parse(cls, data: bytes) -> "Bundle":
        """Read a bundle.

        Raises:
            MalformedError: too large, not canonical, a hash that is not in the table,
                a key or an index twice.
        """
        if len(data) > limits.BUNDLE:
            message = f"bundle has {len(data)} bytes, at most {limits.BUNDLE}"
            raise MalformedError(message)
        raw = decode_json(data, _Bundle, ascii_only=False)
        keys = [answer.key for answer in raw.answers]
        indices = [entry.index for entry in raw.entries]
        if keys != sorted(set(keys)) or indices != sorted(set(indices)):
            message = "bundle: expected answers and entries ascending, each once"
            raise MalformedError(message)
        hashes = _Hashes(list(raw.hashes))
        answers = {
            a.key: Answer(a.indices, _trie_proof(a, hashes)) for a in raw.answers
        }
        entries = {
            e.index: Included(
                Envelope.rebuild(_payload(e), e.signatures),
                hashes.path(e.proof),
            )
            for e in raw.entries
        }
        seal_proof = hashes.path(raw.seal.proof)
        hashes.check_used()
        note, seal = raw.checkpoint.encode(), raw.seal.leaf.encode()
        return cls(note, seal, seal_proof, answers, entries)

    def encode(self) -> bytes:
        """The bundle's bytes."""
        hashes = _Hashes([])
        answers = [_raw_answer(k, a, hashes) for k, a in sorted(self.answers.items())]
        entries = [_raw_entry(i, e, hashes) for i, e in sorted(self.entries.items())]
        seal = _Seal(self.seal.decode(), hashes.refs(self.seal_proof))
        rows, table = (tuple(answers), tuple(entries)), tuple(hashes.values)
        return encode_json(
            _Bundle("pcrlog-bundle/v1", self.note.decode(), seal, *rows, table)
        )


def _payload(entry: _Entry) -> bytes:
    """The bundle is canonical, so these are the bytes that stand in it."""
    payload = encode_json(entry.statement)
    if not payload.isascii():
        message = f"bundle: entry {entry.index} has characters beyond ASCII"
        raise MalformedError(message)
    if _ODD_NUMBER.search(payload):
        _check_numbers(entry)
    return payload


def _check_numbers(entry: _Entry) -> None:
    """Check that a statement has no numbers but integers 0 to 2^53-1.

    Others have several spellings, and each language writes its own.
    """
    left: list[object] = [entry.statement]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, float) or (
            isinstance(value, int) and not 0 <= value <= limits.INTEGER
        ):
            message = f"bundle: entry {entry.index}: number {value}, want 0..2^53-1"
            raise MalformedError(message)


class _Hashes:
    """The table of hashes, in the order of their first use; read or filled."""

    def __init__(self, values: list[bytes]) -> None:
        self.values = values
        self._places: dict[bytes, int] = {}
        self._used = 0

    def path(self, refs: Sequence[int]) -> Proof:
        used, known = self._used, len(self.values)
        for ref in refs:
            if ref > used or ref >= known:
                message = "bundle: expected hashes in the order of their first use"
                raise MalformedError(message)
            used += ref == used
        self._used = used
        return tuple([self.values[ref] for ref in refs])

    def check_used(self) -> None:
        """Check that the table is what `encode` writes: each hash once, none idle."""
        if self._used != len(self.values) or len(set(self.values)) != self._used:
            message = "bundle: a hash stands twice in the table, or is not used"
            raise MalformedError(message)

    def refs(self, values: Sequence[bytes]) -> tuple[int, ...]:
        for value in values:
            if value not in self._places:
                self._places[value] = len(self.values)
                self.values.append(value)
        return tuple(self._places[value] for value in values)


def _trie_proof(answer: _Answer, hashes: _Hashes) -> bytes:
    bits = [bit for bit, _ in answer.path]
    if bits != sorted(set(bits), reverse=True):
        message = f"bundle: {answer.key}: bits of a path decrease"
        raise MalformedError(message)
    present, other = bool(answer.indices), answer.other
    if (present and other) or (not present and bool(bits) and not other):
        message = (
            f"bundle: {answer.key}: `other` goes with absence, and is needed there"
        )
        raise MalformedError(message)
    path = hashes.path([ref for _, ref in answer.path])
    leaf = hashes.path(other) if other else ()
    steps = list(zip(bits, path, strict=True))
    return trie.encode_proof(steps, (leaf[0], leaf[1]) if leaf else None)


def _raw_answer(key: str, answer: Answer, hashes: _Hashes) -> _Answer:
    other, steps = trie.split_proof(answer.proof, present=bool(answer.indices))
    refs = hashes.refs([sibling for _, sibling in steps])
    path = tuple((bit, ref) for (bit, _), ref in zip(steps, refs, strict=True))
    if other is None:
        return _Answer(key, path, answer.indices)
    key_ref, value_ref = hashes.refs(other)
    return _Answer(key, path, answer.indices, (key_ref, value_ref))


def _raw_entry(index: int, entry: Included, hashes: _Hashes) -> _Entry:
    payload = msgspec.json.decode(entry.envelope.payload, type=dict[str, Any])
    return _Entry(index, hashes.refs(entry.proof), entry.envelope.rows, payload)
