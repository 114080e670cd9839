r"""Seals: the log's own line about itself, the last leaf of each checkpoint.

    pcrlog/seal/v1
    <number of leaves before this one>
    <unix time in seconds>
    <base64 root of the index over all leaves before this one>
    frozen                                  (only in the last leaf that a log ever has)

ASCII, each line ended by LF (PROTOCOL.md 2.4). A leaf that starts with `p` is a seal;
one with another first line is of a version that this code does not know.

>>> Seal.parse(Seal(7, 1795590000, bytes(32)).encode()).count
7
"""

from msgspec import Struct

from pcrlog.encoding import (
    LATEST,
    decode_base64,
    encode_base64,
    parse_decimal,
    shown,
)
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.merkle import HASH_SIZE

FIRST_BYTE = b"p"
_HEADER = "pcrlog/seal/v1"
_FROZEN = "frozen"


class Seal(Struct, frozen=True):
    """`count` leaves before it, `time` (unix seconds), index `root`, `frozen`."""

    count: int
    time: int
    root: bytes
    frozen: bool = False

    @classmethod
    def parse(cls, leaf: bytes) -> "Seal":
        """Read a leaf.

        Raises:
            UncheckedError: a version of seals that is not known here.
            MalformedError: not a seal.
        """
        lines = leaf.decode("latin-1").split("\n")
        if lines[0] != _HEADER:
            message = f"expected a seal {_HEADER}, found {shown(lines[0])}"
            known = leaf.startswith(b"pcrlog/seal/")
            raise UncheckedError(message) if known else MalformedError(message)
        frozen = lines[4:5] == [_FROZEN]
        if lines[4 + frozen :] != [""]:
            message = "expected a seal of four lines, and `frozen` or nothing after"
            raise MalformedError(message)
        root = decode_base64(lines[3])
        if len(root) != HASH_SIZE:
            message = f"seal: root has {len(root)} bytes, want {HASH_SIZE}"
            raise MalformedError(message)
        # A report writes the time out: later ones would have no spelling.
        time = parse_decimal(lines[2], LATEST)
        return cls(parse_decimal(lines[1]), time, root, frozen)

    def encode(self) -> bytes:
        """The leaf."""
        root = encode_base64(self.root)
        lines = [_HEADER, str(self.count), str(self.time), root]
        return "\n".join([*lines, *[_FROZEN] * self.frozen, ""]).encode("ascii")
