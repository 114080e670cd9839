r"""C2SP tlog-witness: what a log asks of a witness, and what the witness answers.

`POST <prefix>/add-checkpoint`, each line ended by LF (FORMATS.md section 4.2):

    old <size that the witness last cosigned, 0 at first>
    <base64 hash of the consistency proof>            (0 to 63 lines)

    <checkpoint note, as the log signed it>

    200  accepted and on disk: the witness's signature lines, and nothing else
    400  not such a request, or old > size
    403  no signature by a known key of that log
    404  a log that this witness does not know
    409  `old` is not its latest size, which the body says: `<decimal>LF`,
         text/x.tlog.size
    422  the proof does not hold; or old = size, and another root: a fork
    429  too often

`GET <prefix>/<hex SHA-256 of the origin>/checkpoint` is the latest note that it
cosigned, with the log's lines and its own.

>>> asked = AddCheckpoint(0, (), b"log.example/pcr\n0\n...\n\n...\n")
>>> AddCheckpoint.parse(bytes(asked)) == asked
True
"""

from collections.abc import Sequence

from msgspec import Struct

from pcrlog import limits
from pcrlog.encoding import decode_base64, encode_base64, parse_decimal, sha256, shown
from pcrlog.errors import MalformedError
from pcrlog.merkle import HASH_SIZE, Proof
from pcrlog.note import SignatureLine, UnverifiedNote

ADD_CHECKPOINT = "add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
_OLD = "old "
_LINE = 128
"""More than any line above the note has."""
REQUEST = limits.NOTE + (limits.PROOF_HASHES + 2) * _LINE
"""The largest legal request, in bytes."""


class AddCheckpoint(Struct, frozen=True):
    """A request, unverified: `old` size, consistency `proof`, the `note`'s bytes."""

    old: int
    proof: Proof
    note: bytes

    @classmethod
    def parse(cls, data: bytes) -> "AddCheckpoint":
        """Read a request's body.

        Raises:
            MalformedError: too large, not of its form, more than 63 hashes.
        """
        if len(data) > REQUEST:
            message = f"add-checkpoint has {len(data)} bytes, at most {REQUEST}"
            raise MalformedError(message)
        head, blank, note = data.partition(b"\n\n")
        first, *rows = head.decode("latin-1").split("\n")
        if not blank or not first.startswith(_OLD):
            message = (
                f"expected `old <size>`, hashes, a blank line; found {shown(first)}"
            )
            raise MalformedError(message)
        if len(rows) > limits.PROOF_HASHES:
            message = f"{len(rows)} hashes in a proof, at most {limits.PROOF_HASHES}"
            raise MalformedError(message)
        proof = tuple(decode_base64(row) for row in rows)
        for one in proof:
            if len(one) != HASH_SIZE:
                message = (
                    f"expected hashes of {HASH_SIZE} bytes, found one of {len(one)}"
                )
                raise MalformedError(message)
        old = parse_decimal(first.removeprefix(_OLD), limits.TREE_SIZE)
        return cls(old, proof, note)

    def __bytes__(self) -> bytes:
        """The request's body."""
        lines = [f"{_OLD}{self.old}", *map(encode_base64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.note


def monitoring_path(origin: str) -> str:
    """Where a witness shows what it last cosigned of a log, below its prefix."""
    return f"{sha256(origin.encode()).hex()}/checkpoint"


def encode_size(size: int) -> bytes:
    """The body of a 409."""
    return f"{size}\n".encode()


def parse_size(body: bytes) -> int:
    """The size that a witness says it is at.

    Raises:
        MalformedError: not a decimal and LF.
    """
    text = body.decode("latin-1")
    if not text.endswith("\n"):
        message = f"expected `<size>` and LF, found {shown(text)}"
        raise MalformedError(message)
    return parse_decimal(text[:-1], limits.TREE_SIZE)


def encode_lines(lines: Sequence[SignatureLine]) -> bytes:
    """The body of a 200."""
    return "".join(f"{line}\n" for line in lines).encode()


def parse_lines(body: bytes) -> tuple[SignatureLine, ...]:
    """The signature lines of a 200; nobody has checked them.

    Raises:
        MalformedError: anything but signature lines, or none.
    """
    note = UnverifiedNote.parse(b"\n\n" + body)
    if note.text != "\n":
        message = f"expected signature lines alone, found {shown(note.text)}"
        raise MalformedError(message)
    return note.lines
