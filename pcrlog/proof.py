"""C2SP tlog-proof files: one entry, its inclusion proof, the checkpoint it leads to.

    c2sp.org/tlog-proof@v1
    index <decimal>
    <base64 hash>                (one a line, from the leaf upwards; none if size is 1)
                                 (a blank line)
    <the checkpoint note, to the end of the file>

The optional `extra` line of the format is not authenticated; it is read and dropped,
and never written. A proof shows that an entry is in, never that none speaks against it:
that is what bundles are for.

>>> Proof.parse(Proof(3, (bytes(32),), b"note").encode()).index
3
"""

from msgspec import Struct

from pcrlog import limits
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.encoding import decode_base64, encode_base64, parse_decimal, shown
from pcrlog.errors import MalformedError
from pcrlog.merkle import HASH_SIZE, check_inclusion, leaf_hash
from pcrlog.merkle import Proof as Hashes
from pcrlog.note import UnverifiedNote, VerifierKey

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = "index "
_EXTRA = "extra "
_MOST = limits.NOTE + 100 * limits.PROOF_HASHES + 4 * limits.ENVELOPE


class Proof(Struct, frozen=True):
    """An unverified proof: the leaf's `index`, the path's `hashes`, the `note`."""

    index: int
    hashes: Hashes
    note: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Proof":
        """Read a `.tlog-proof` file.

        Raises:
            MalformedError: not of this form.
        """
        if len(data) > _MOST:
            message = f"proof has {len(data)} bytes, at most {_MOST}"
            raise MalformedError(message)
        head, blank, note = data.partition(b"\n\n")
        lines = head.decode("latin-1").split("\n")
        header, *rest = lines
        if rest and rest[0].startswith(_EXTRA):
            decode_base64(rest.pop(0).removeprefix(_EXTRA))
        if (
            not blank
            or header != _HEADER
            or not rest
            or not rest[0].startswith(_INDEX)
            or len(rest) > 1 + limits.PROOF_HASHES
        ):
            message = f"expected a {_HEADER}, found {shown(data)}"
            raise MalformedError(message)
        index = parse_decimal(rest[0].removeprefix(_INDEX))
        hashes = tuple(decode_base64(line) for line in rest[1:])
        if any(len(value) != HASH_SIZE for value in hashes):
            message = f"proof: a hash is not of {HASH_SIZE} bytes"
            raise MalformedError(message)
        return cls(index, hashes, note)

    def encode(self) -> bytes:
        """The file's bytes."""
        hashes = "".join(f"{encode_base64(value)}\n" for value in self.hashes)
        head = f"{_HEADER}\n{_INDEX}{self.index}\n{hashes}\n"
        return head.encode("ascii") + self.note

    def verify(self, entry: bytes, key: VerifierKey) -> Checkpoint:
        """The checkpoint, signed by the log's `key`, that has `entry` at `index`.

        Raises:
            MalformedError: the note is none.
            VerificationError: a signature or the path does not hold.
        """
        checkpoint = open_checkpoint(UnverifiedNote.parse(self.note), key)
        check_inclusion(
            leaf_hash(entry),
            self.index,
            checkpoint.size,
            self.hashes,
            checkpoint.root,
        )
        return checkpoint
