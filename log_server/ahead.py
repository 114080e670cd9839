"""Reads the rows of a batch and verifies their signatures, on all processors at once.

To be judged, a statement has to wait for the ones before it; to be read and verified it
has not. So the sequencer does that for all of a batch first. It is only a head start:
judged at its index, a statement may owe another signature, if an identity before it has
changed a key; what was not verified here is verified then.
"""

from collections.abc import Sequence

from log_server.intake import Waiting
from log_server.signatures import Signatures
from pcrlog.authority import Authority
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import PcrlogError
from pcrlog.keys import Owed


class Ahead:
    """What is known of a row before its turn.

    `entry` is as the bytes say, at an index that is not its own yet; None: they are to
    be read again, for the error that they raise.
    """

    __slots__ = ("_error", "_owed", "entry")

    def __init__(
        self,
        entry: Entry | None = None,
        owed: Sequence[Owed] = (),
        error: PcrlogError | None = None,
    ) -> None:
        self.entry = entry
        self._owed = owed
        self._error = error

    def verify(self, owed: Sequence[Owed]) -> None:
        """Check signatures, unless just these were.

        Raises:
            VerificationError: one does not verify.
        """
        if not owed or not _same(owed, self._owed):
            for one in owed:
                one.verify()
        elif self._error is not None:
            raise self._error


def _same(some: Sequence[Owed], others: Sequence[Owed]) -> bool:
    """Whether they are the same signatures by the same keys over the same bytes."""
    return len(some) == len(others) and all(
        (one.key.spki, one.signature, one.message)
        == (other.key.spki, other.signature, other.message)
        for one, other in zip(some, others, strict=True)
    )


NOTHING = Ahead()


def look_ahead(
    rows: Sequence[Waiting], index: int, authority: Authority, signatures: Signatures
) -> list[Ahead]:
    """Read rows, and verify what each would owe if it were the next entry, `index`."""
    read = [_read(row, index, authority) for row in rows]
    verdicts = signatures.verify([owed for _, owed in read])
    return [
        Ahead(entry, owed, verdict)
        for (entry, owed), verdict in zip(read, verdicts, strict=True)
    ]


def _read(
    row: Waiting, index: int, authority: Authority
) -> tuple[Entry | None, Sequence[Owed]]:
    try:
        entry = parse_entry(index, row.envelope)
    except PcrlogError:
        return None, ()
    try:
        return entry, authority.judge_unverified(entry)
    except PcrlogError:
        return entry, ()
