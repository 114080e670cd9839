r"""C2SP tlog-checkpoint and tlog-cosignature: what a log signs, who signs beside it.

A checkpoint is a signed note whose text is three lines, and never more (an extension
line is refused: what it would carry is in the seal, PROTOCOL.md 2.4):

    <origin>
    <size of the tree, decimal>
    <base64 root>

A cosignature line (type 0x04) holds, after its key hash, a u64 of unix seconds and an
Ed25519 signature over `cosignature/v1 LF time <seconds> LF` and the whole text.

>>> checkpoint = Checkpoint("log.example/pcr", 0, bytes(32))
>>> Checkpoint.parse(checkpoint.text()) == checkpoint
True
"""

from collections.abc import Iterable

from msgspec import Struct

from pcrlog import limits
from pcrlog.encoding import (
    decode_base64,
    encode_base64,
    parse_decimal,
    shown,
)
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.merkle import HASH_SIZE
from pcrlog.note import (
    COSIGNATURE,
    NoteSigner,
    SignatureLine,
    UnverifiedNote,
    VerifierKey,
)

_LINES = 3
_COSIGNATURE_SIZE = 8 + 64


class Checkpoint(Struct, frozen=True):
    """The state of a log: `origin`, `size` in leaves, `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a checkpoint's text; whoever calls this has checked its signature.

        Raises:
            MalformedError: not three lines, or one of another form.
        """
        lines = text.split("\n")
        if len(lines) != _LINES + 1 or lines[_LINES] or not lines[0]:
            message = f"expected a checkpoint of three lines, found {shown(text)}"
            raise MalformedError(message)
        root = decode_base64(lines[2])
        if len(root) != HASH_SIZE:
            message = f"checkpoint: root has {len(root)} bytes, want {HASH_SIZE}"
            raise MalformedError(message)
        return cls(lines[0], parse_decimal(lines[1]), root)

    def text(self) -> str:
        """The three lines."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


def open_checkpoint(note: UnverifiedNote, key: VerifierKey) -> Checkpoint:
    """The checkpoint in `note`, signed by the log's `key`.

    Raises:
        MalformedError: its text is no checkpoint.
        VerificationError: not signed by this key, or of another origin than its name.
    """
    checkpoint = Checkpoint.parse(note.verify(key))
    if checkpoint.origin != key.name:
        message = f"checkpoint is of {shown(checkpoint.origin)}, want {key.name}"
        raise VerificationError(message)
    return checkpoint


def _message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def cosign(text: str, signer: NoteSigner, seconds: int) -> SignatureLine:
    """A cosignature line at `seconds` for a checkpoint's text."""
    signature = signer.raw(_message(text, seconds))
    return signer.line(seconds.to_bytes(8) + signature)


def cosignatures(
    note: UnverifiedNote, keys: Iterable[VerifierKey]
) -> dict[VerifierKey, int]:
    """Who of `keys` (type 0x04) cosigned `note`, and when (unix seconds, the newest).

    A line that does not verify is no cosignature: that of a witness says nothing
    against the log (PROTOCOL.md section 4, Verdict).
    """
    found: dict[VerifierKey, int] = {}
    for key in keys:
        for signature in note.of(key):
            seconds = int.from_bytes(signature[:8])
            if key.kind != COSIGNATURE or len(signature) != _COSIGNATURE_SIZE:
                continue
            if seconds > limits.COSIGNATURE_TIME:
                continue
            try:
                key.check(signature[8:], _message(note.text, seconds))
            except VerificationError:
                continue
            found[key] = max(seconds, found.get(key, 0))
    return found
