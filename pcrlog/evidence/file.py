r"""`pcrlog-evidence/v1`: one file that shows what a log did wrong, to anybody.

    {"checkpoints": [NOTE, NOTE], "format": "pcrlog-evidence/v1",
     "kind": "checkpoints", "proof": [base64 hash, …]}

Canonical JSON, at most 16 MiB, complete in itself: whoever knows the log's key verifies
it offline, and believes neither the file nor its sender. Besides
`format` and `kind`, a file has exactly the members of its kind:

    kind          members                       what the log signed
    checkpoints   checkpoints, proof            two trees that cannot both be. Of one
                                                size: other roots, `proof` is empty. Of
                                                sizes m < n: `proof` is that of
                                                merkle.consistency_roots, and leads to
                                                the root of n and to another one of m
    frozen        checkpoints, entry            a tree larger than the one of m leaves,
                                                whose last leaf (entry) is `frozen`
    leaf          checkpoint, entry             a leaf that no log may take
    leaves        checkpoint, entries           two leaves that may not both be
    authority     bundle, entry                 an entry that nobody may make
    answer        bundle, entry                 an answer that lacks an entry which has
                                                its key, or lists one that has not
    index         checkpoint, entries, lists,   a seal whose root is not that of the
                  nodes                         index over the leaves before it

NOTE is a checkpoint note, with the log's signature line at least; two stand ascending
by size, then by root. `entry` and each of `entries` are leaves in a row, with the
hashes that lead from them to the checkpoint's root (merkle.check_range; for one leaf,
its inclusion proof of RFC 6962):

    {"first": index, "leaves": [base64, …], "proof": [base64 hash, …]}

`bundle` is a whole pcrlog-bundle/v1, and the checkpoint is the one in it; its seal may
be any of the tree, at the place that it counts. Its answers show, complete by the
index's own proof, what is needed to judge the entry: of `authority`,
`v1/identity/registrar`, `v1/identity/<name>` for the name that speaks and any other
that its keys belong to, and, for a revocation of a statement, its `v1/by` keys. In
`index`, `entries` are all leaves from a seal to the wrong one, or from leaf 0; `nodes`
are those that `trie.update` visits from the first seal's root, ascending by hash;
`lists` has, ascending by key, the indices before the first seal of each key that the
leaves have: {"indices": [4, 9], "key": "v1/by/…"}.

>>> file = parse(EXAMPLE.encode())
>>> file.checkpoints[0].partition("\n")[0], encode(file) == EXAMPLE.encode()
('log.example/pcr', True)
"""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Raw, Struct

from pcrlog import limits
from pcrlog.bundle import Bundle
from pcrlog.encoding import decode_json, encode_json, prepare
from pcrlog.errors import MalformedError
from pcrlog.merkle import HASH_SIZE

FORMAT: Final = "pcrlog-evidence/v1"
MOST = 16 << 20
"""Bytes of a file. What cannot be shown in fewer, such as an index whose seals are very
far apart, has to be shown by running a monitor."""

EXAMPLE = (
    r'{"checkpoints":["log.example/pcr\n1\nIBJ4cbuYUG/LLrJqsPcmqX/QQHwDFAmKRBjjH0CrdKY='
    r"\n\n— log.example/pcr 95rMCX+dKmQRX+R4q9oR2CQau0kMDuPb1r94ofg0kjE0AnmnezQSzGZsMj"
    r'8VllLOiCZyld9Xn/6EWcfBpHBUTwe4TwY=\n","log.example/pcr\n1\n0Nc2CrefWKseHj/mStd+LqC'
    r"8B+NrX0btIiPt2SmN+ek=\n\n— log.example/pcr 95rMCX7dxWGh8ghUETtA1DlHM7eGwso7B16zyB"
    r"O6U9LHFl/th3v4mWbIpd/cmot2m4EmT6XyzDbgK+jgS7fOfNfciQY=\n"
    r'"],"format":"pcrlog-evidence/v1","kind":"checkpoints","proof":[]}'
)
"""Two trees of one leaf, of the log
`log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx`."""

_Note = Annotated[str, Meta(min_length=1, max_length=limits.NOTE)]
_Hash = Annotated[bytes, Meta(min_length=HASH_SIZE, max_length=HASH_SIZE)]
_Index = Annotated[int, Meta(ge=0, le=limits.INTEGER)]
_Node = Annotated[bytes, Meta(min_length=1, max_length=3 + 2 * HASH_SIZE)]
Hashes: TypeAlias = Annotated[
    tuple[_Hash, ...], Meta(max_length=2 * limits.PROOF_HASHES)
]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _File(_Part, frozen=True, kw_only=True, tag_field="kind"):
    format: Literal["pcrlog-evidence/v1"] = FORMAT


class Leaves(_Part, frozen=True):
    """Leaves in a row from index `first`, and the `proof` that they are in the tree."""

    first: _Index
    leaves: Annotated[tuple[bytes, ...], Meta(min_length=1)]
    proof: Hashes


class Listed(_Part, frozen=True):
    """The `indices` under a `key`, ascending."""

    key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}\Z")]
    indices: tuple[_Index, ...]


class TwoCheckpoints(_File, frozen=True, kw_only=True, tag="checkpoints"):
    """Two checkpoints that cannot both be."""

    checkpoints: tuple[_Note, _Note]
    proof: Hashes = ()


class BeyondFrozen(_File, frozen=True, kw_only=True, tag="frozen"):
    """A checkpoint after the last one."""

    checkpoints: tuple[_Note, _Note]
    entry: Leaves


class BadLeaf(_File, frozen=True, kw_only=True, tag="leaf"):
    """A leaf that no log may take."""

    checkpoint: _Note
    entry: Leaves


class TwoLeaves(_File, frozen=True, kw_only=True, tag="leaves"):
    """Two leaves that may not both be in one log."""

    checkpoint: _Note
    entries: tuple[Leaves, Leaves]


class _Judged(_File, frozen=True, kw_only=True):
    bundle: Raw
    entry: Leaves

    def parsed(self) -> Bundle:
        """The bundle.

        Raises:
            MalformedError: it is none.
        """
        return Bundle.parse(bytes(self.bundle))


class Unauthorised(_Judged, frozen=True, kw_only=True, tag="authority"):
    """An entry that nobody may make."""


class WrongAnswer(_Judged, frozen=True, kw_only=True, tag="answer"):
    """An answer of the index that its entries contradict."""


class WrongIndex(_File, frozen=True, kw_only=True, tag="index"):
    """A seal whose root is not that of the index."""

    checkpoint: _Note
    entries: Leaves
    lists: tuple[Listed, ...]
    nodes: tuple[_Node, ...]


File: TypeAlias = (
    TwoCheckpoints
    | BeyondFrozen
    | BadLeaf
    | TwoLeaves
    | Unauthorised
    | WrongAnswer
    | WrongIndex
)
prepare(File)


def parse(data: bytes) -> File:
    """Read a file; nothing in it is checked yet.

    Raises:
        MalformedError: too large, not canonical, not of this format.
    """
    if len(data) > MOST:
        message = f"evidence has {len(data)} bytes, at most {MOST}"
        raise MalformedError(message)
    file: File = decode_json(data, File, ascii_only=False)  # type: ignore[arg-type] # mypy has no word for a union as a value
    if isinstance(file, Unauthorised | WrongAnswer):
        file.parsed()  # for its one spelling
    return file


def encode(file: File) -> bytes:
    """The file's bytes.

    Raises:
        MalformedError: it would be too large.
    """
    data = encode_json(file)
    if len(data) > MOST:
        message = f"evidence would have {len(data)} bytes, at most {MOST}"
        raise MalformedError(message)
    return data


def notes_of(file: File) -> tuple[bytes, ...]:
    """The checkpoint notes in a file, unverified."""
    if isinstance(file, TwoCheckpoints | BeyondFrozen):
        return tuple(note.encode() for note in file.checkpoints)
    if isinstance(file, Unauthorised | WrongAnswer):
        return (file.parsed().note,)
    return (file.checkpoint.encode(),)


def unverified_origin(file: File) -> str:
    """Which log the file says that it is about: good for choosing a key, no more."""
    return notes_of(file)[0].decode().partition("\n")[0]
