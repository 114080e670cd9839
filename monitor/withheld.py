"""What a log signed and does not show, and for how long.

A log may sign a larger tree and show it to one user only. To everybody else it is a log
that is a moment behind, which honest ones are as well. What tells them apart is time:

    no tiles     owed since a key that the policy knows cosigned it, else since it was
                 first seen here
    its tiles    pending for as long as the policy's quorums have not cosigned it; owed
                 since they have. A log publishes at once what its quorum cosigned.

Each view shows one cosignature or two, so those of all who show the same checkpoint are
put together. What the log shows pays for all that is not larger: a log that seals all
the time is always a moment behind, and never two minutes.

Only what the log signed is ever asked about, and little of that is kept.
"""

from collections.abc import Callable, Sequence
from threading import Lock

from msgspec import Struct, field

from pcrlog.checkpoint import Checkpoint, cosignatures
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.policy import Quorum

WITHHELD = 120
"""Seconds after which a log should show what it signed: its tiles come first."""
_KEPT = 64
"""Checkpoints of which a log has shown nobody else a larger one."""


class _Debt(Struct):
    first: int
    """Unix seconds of when it was first seen."""
    times: dict[VerifierKey, int] = field(default_factory=dict)
    """Who cosigned it, and when at the earliest."""
    since: int | None = None
    """Since when the log could show it; None: it waits for its quorum."""


class Debts:
    """What one log owes; for several threads.

    Args:
        quorums: the policy's; None is waived, and asks for no cosignature.
        clock: unix seconds.
    """

    def __init__(
        self, quorums: Sequence[Quorum | None], clock: Callable[[], int]
    ) -> None:
        self._quorums = [one for one in quorums if one is not None]
        self._clock = clock
        self._debts: dict[Checkpoint, _Debt] = {}
        self._lock = Lock()

    def pay(self, shown: int) -> None:
        """The log shows a tree of so many leaves."""
        with self._lock:
            self._pay(shown)

    def owe(
        self, checkpoint: Checkpoint, note: bytes, shown: int, *, tiles: bool
    ) -> tuple[Checkpoint, int] | None:
        """Somebody holds what the log does not show.

        Args:
            checkpoint: signed by the log, larger than what it shows.
            note: that checkpoint, with whatever cosignatures.
            shown: leaves of the tree that the log shows.
            tiles: whether its tiles are there.

        Returns:
            What is withheld for longest, and for how many seconds; None: nothing that
            an honest log could not keep back.
        """
        keys = [key for one in self._quorums for key in one.keys]
        times = cosignatures(UnverifiedNote.parse(note), keys)
        now = self._clock()
        with self._lock:
            self._pay(shown)
            debt = self._debts.pop(checkpoint, None) or _Debt(now)
            for key, time in times.items():
                debt.times[key] = min(time, debt.times.get(key, time))
            debt.since = self._since(debt, now, tiles=tiles)
            self._debts[checkpoint] = debt
            longest = self._longest(now)
            if len(self._debts) > _KEPT:
                del self._debts[min(self._debts, key=self._worth)]
            return longest

    def _pay(self, shown: int) -> None:
        self._debts = {
            one: debt for one, debt in self._debts.items() if one.size > shown
        }

    def _since(self, debt: _Debt, now: int, *, tiles: bool) -> int | None:
        if not tiles:
            return min([debt.first, *debt.times.values()])
        complete = [debt.first] * (not self._quorums)
        for quorum in self._quorums:
            times = sorted(debt.times[key] for key in quorum.keys if key in debt.times)
            if len(times) < quorum.least:
                return None
            complete.append(times[quorum.least - 1])
        # A cosigner whose clock is ahead does not put it off for ever.
        return min(max(complete), now if debt.since is None else debt.since)

    def _worth(self, checkpoint: Checkpoint) -> tuple[bool, int, int]:
        """What to forget first: what nobody cosigned, and of what is owed the newest.

        Whoever hands in what the log signed for nobody else makes nothing forgotten
        that others have cosigned.
        """
        debt = self._debts[checkpoint]
        return (debt.since is not None, len(debt.times), -(debt.since or debt.first))

    def _longest(self, now: int) -> tuple[Checkpoint, int] | None:
        owed = [
            (debt.since, one)
            for one, debt in self._debts.items()
            if debt.since is not None
        ]
        if not owed:
            return None
        since, checkpoint = min(owed, key=lambda each: (each[0], each[1].size))
        return (checkpoint, now - since) if now - since >= WITHHELD else None
