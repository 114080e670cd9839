"""What a log keeps back: when it is owed, and what pays for it."""

import pytest

from monitor.withheld import WITHHELD, Debts
from pcrlog.checkpoint import Checkpoint, cosign
from pcrlog.encoding import sha256
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.policy import Quorum
from tests.support.memory_log import MemoryLog, witness

LOG = MemoryLog()
W1, W2, W3, I1 = (witness(f"{name}.example") for name in ("w1", "w2", "w3", "i1"))
WITNESSES = Quorum(2, tuple(one.public for one in (W1, W2, W3)))
MONITORS = Quorum(1, (I1.public,))


class Owing:
    """Debts, and the clock by which they grow."""

    def __init__(self, *quorums: Quorum | None) -> None:
        self.now = 10_000
        self.debts = Debts(quorums, lambda: self.now)

    def owe(
        self,
        size: int,
        *signers: NoteSigner,
        shown: int = 5,
        tiles: bool = True,
        ahead: int = 0,
    ) -> tuple[int, int] | None:
        """Somebody shows a checkpoint, cosigned now; size and seconds of what is owed.

        `ahead`: seconds by which the clocks of those who cosign are wrong.
        """
        checkpoint = Checkpoint(LOG.origin, size, sha256(bytes([size])))
        note = LOG.signer.sign(checkpoint.text())
        lines = [cosign(note.text, one, self.now + ahead) for one in signers]
        data = bytes(UnverifiedNote(note.text, (*note.lines, *lines)))
        found = self.debts.owe(checkpoint, data, shown, tiles=tiles)
        return None if found is None else (found[0].size, found[1])


def test_what_has_no_tiles_is_owed_since_it_was_first_seen() -> None:
    owing = Owing(WITNESSES, MONITORS)
    assert owing.owe(6, tiles=False) is None
    owing.now += WITHHELD - 1
    assert owing.owe(6, tiles=False) is None
    owing.now += 1
    assert owing.owe(6, tiles=False) == (6, WITHHELD)


def test_what_waits_for_a_quorum_is_never_owed() -> None:
    owing = Owing(WITNESSES, MONITORS)
    for _ in range(10):
        assert owing.owe(6, W1, I1) is None
        assert owing.owe(6, W1, W1) is None
        owing.now += WITHHELD


def test_a_quorum_that_comes_late_begins_the_time_then() -> None:
    owing = Owing(WITNESSES, MONITORS)
    assert owing.owe(6, W1, W2) is None
    owing.now += 10 * WITHHELD
    assert owing.owe(6, I1) is None
    owing.now += WITHHELD - 1
    assert owing.owe(6) is None
    owing.now += 1
    assert owing.owe(6) == (6, WITHHELD)


def test_cosignatures_that_several_show_make_one_quorum() -> None:
    owing = Owing(WITNESSES, None)
    assert owing.owe(6, W1) is None
    assert owing.owe(6, W3) is None
    owing.now += WITHHELD
    assert owing.owe(6) == (6, WITHHELD)


def test_cosignatures_of_two_checkpoints_make_no_quorum() -> None:
    owing = Owing(WITNESSES, None)
    for _ in range(3):
        assert owing.owe(6, W1) is None
        assert owing.owe(7, W2) is None
        owing.now += WITHHELD


def test_a_waived_quorum_cannot_be_waited_for() -> None:
    owing = Owing(None, None)
    assert owing.owe(6) is None
    owing.now += WITHHELD
    assert owing.owe(6) == (6, WITHHELD)


def test_a_cosigner_whose_clock_is_ahead_does_not_put_it_off() -> None:
    owing = Owing(MONITORS)
    assert owing.owe(6, I1, ahead=10**6) is None
    owing.now += WITHHELD
    assert owing.owe(6, I1, ahead=10**6) == (6, WITHHELD)


@pytest.mark.parametrize("tiles", [True, False])
def test_a_log_that_is_always_a_moment_behind_owes_nothing(*, tiles: bool) -> None:
    owing = Owing(None, None)
    for size in range(6, 60):
        assert owing.owe(size, shown=size - 1, tiles=tiles) is None
        owing.now += 30


def test_the_oldest_is_named_as_long_as_it_is_owed() -> None:
    owing = Owing(None, None)
    owing.owe(6)
    owing.now += WITHHELD
    assert owing.owe(7) == (6, WITHHELD)
    owing.now += 1
    assert owing.owe(8) == (6, WITHHELD + 1)
    owing.debts.pay(6)
    assert owing.owe(8, shown=6) is None
    owing.now += WITHHELD
    assert owing.owe(8, shown=6) == (7, WITHHELD + 1)


def test_what_nobody_cosigned_makes_nothing_forgotten_that_others_did() -> None:
    owing = Owing(WITNESSES, None)
    owing.owe(6, W1)
    owing.owe(7, W1, W2)
    for size in range(10, 210):
        owing.owe(size)
    owing.owe(6, W2)
    owing.now += WITHHELD
    assert owing.owe(8) == (6, WITHHELD)
    owing.debts.pay(6)
    assert owing.owe(8, shown=6) == (7, WITHHELD)
