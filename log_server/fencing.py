"""Asks a log's witnesses what they have seen of it, before anything is signed anew.

Each is asked to cosign the newest checkpoint that is here once more, which says nothing
new to it; what it answers says where it stands:

    cosigned, or at a smaller size   it has seen no more than is here
    at a larger size                 somebody has shown it more: what is here lacks it
    another history                  somebody has shown it another tree
    anything else                    it says nothing

Two quorums of a log's witnesses need not meet: one of three is a quorum, and so is
another one. So `quorum_of` is what must be heard to know that no quorum has seen more.

All that is worth nothing if these are not whom the log asks: then it finds its quorum
elsewhere. A log shows nothing that a quorum has not cosigned, so a quorum of these must
have seen what was shown; how many have not, they say themselves.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from log_server.config import Config, Member, Quorum
from log_server.couriers import Courier
from log_server.shelf import CHECKPOINT
from log_server.shelves import open_shelf
from log_server.store import CheckpointRow, Snapshot
from log_server.verdicts import Cosigned, Elsewhere, Failed, Verdict, judge
from log_server.witnesses import TIMEOUTS, ContradictedError, QuorumError
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import TransportError, UsageError
from pcrlog.note import UnverifiedNote
from pcrlog.witness import AddCheckpoint

if TYPE_CHECKING:
    from pcrlog.exchange import Answer

_SLOW = 3
"""Times the timeout, which is of silence, after which an answer is not waited for."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`names` of the witnesses that have seen no more than is here.

    `cosigned`: enough of them have cosigned just now, and so vouch for our clock.
    """

    names: tuple[str, ...]
    cosigned: bool


def quorum_of(asked: Quorum) -> int:
    """So many that any quorum of the members has one of them."""
    return max(asked.quorum, len(asked.members) - asked.quorum + 1)


def hear(
    asked: Quorum, row: CheckpointRow, published: int, clock: Callable[[], int]
) -> Heard:
    """Hear from the witnesses whether a checkpoint is the newest that there is.

    Args:
        asked: the witnesses.
        row: the newest checkpoint that is here, signed.
        published: leaves of the newest one that is known to have been shown.
        clock: unix seconds.

    Raises:
        ContradictedError: one of them has seen more, or another history.
        QuorumError: too few of them answer.
        UsageError: they are not whom the log asks.
    """
    verdicts = _ask(asked, row, clock)
    _require_none_ahead(verdicts, row)
    _require_asked(verdicts, asked, published)
    names = tuple(
        member.key.name
        for member, verdict in verdicts
        if not isinstance(verdict, Failed)
    )
    need = quorum_of(asked)
    if len(names) < need:
        why = "; ".join(
            f"{member.key.name}: {verdict.problem}"
            for member, verdict in verdicts
            if isinstance(verdict, Failed)
        )
        message = (
            f"{len(names)} of {len(asked.members)} witnesses say what they have seen,"
            f" and {need} are needed to know that nobody has shown more than is here"
            f" ({why}). Nothing was changed: promote again when they answer"
        )
        raise QuorumError(message)
    cosigned = sum(isinstance(verdict, Cosigned) for _, verdict in verdicts)
    return Heard(names, cosigned >= need)


def _ask(
    asked: Quorum, row: CheckpointRow, clock: Callable[[], int]
) -> list[tuple[Member, Verdict]]:
    """All at once; who does not answer in time has failed."""
    seconds = asked.timeout or TIMEOUTS["witness"]
    answers: SimpleQueue[tuple[Member, Answer | Exception]] = SimpleQueue()
    body = bytes(AddCheckpoint(row.size, (), row.note))
    text = UnverifiedNote.parse(row.note).text
    couriers = [
        Courier[Member](one.url, seconds, lambda who, what: answers.put((who, what)))
        for one in asked.members
    ]
    for member, courier in zip(asked.members, couriers, strict=True):
        courier.send(member, body)
        courier.close()
    found: dict[Member, Verdict] = {}
    end = time.monotonic() + _SLOW * seconds
    while len(found) < len(asked.members):
        try:
            member, outcome = answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
        if isinstance(outcome, Exception) and not isinstance(outcome, TransportError):
            raise outcome
        found[member] = judge(outcome, text, member.key, clock())
    silent = Failed("no answer")
    return [(one, found.get(one, silent)) for one in asked.members]


def require_all_shown(config: Config, snapshot: Snapshot) -> None:
    """What a bucket shows outlives the machine that put it there, and has to be here.

    Raises:
        ContradictedError: it is not.
        BucketError: the bucket cannot be asked.
    """
    if not config.publishing.at.startswith("s3://"):
        return
    shelf = open_shelf(config, lambda: None)
    try:
        shown = shelf.shown()
    finally:
        shelf.close()
    if shown is None:
        return
    checkpoint = open_checkpoint(UnverifiedNote.parse(shown), config.vkey())
    row = snapshot.checkpoint_of_size(checkpoint.size)
    if row is None or row.root != checkpoint.root:
        message = (
            f"{shelf.where}{CHECKPOINT} shows {checkpoint.size} leaves, and"
            f" {snapshot.size} are here: going on would fork the log. Take what is"
            " there: pcrlog-server standby DIR ITS_URL --poll 0, then promote again"
        )
        raise ContradictedError(message)


def _require_none_ahead(
    verdicts: list[tuple[Member, Verdict]], row: CheckpointRow
) -> None:
    """One word is enough: the other mistake, a fork, cannot be taken back."""
    ahead = [
        (verdict.size, member.key.name)
        for member, verdict in verdicts
        if isinstance(verdict, Elsewhere) and verdict.size > row.size
    ]
    if ahead:
        size, name = max(ahead)
        message = (
            f"witness {name} has seen {size} leaves, and {row.size} are here:"
            f" {size - row.size} are missing, and going on would fork the log. Bring"
            " the disk of the dead machine: pcrlog-server standby DIR ITS_FOLDER, then"
            " promote again. If that machine runs still, leave this one a standby"
        )
        raise ContradictedError(message)
    for member, verdict in verdicts:
        if isinstance(verdict, Failed) and verdict.alarm:
            message = f"witness {member.key.name}: {verdict.problem}"
            raise ContradictedError(message)


def _require_asked(
    verdicts: list[tuple[Member, Verdict]], asked: Quorum, published: int
) -> None:
    """A quorum has seen what was shown, if those who say nothing have."""
    without = [
        member.key.name
        for member, verdict in verdicts
        if isinstance(verdict, Elsewhere) and verdict.size < published
    ]
    if len(asked.members) - len(without) < asked.quorum:
        message = (
            f"{published} leaves were shown, and {', '.join(without)} did not see them:"
            " these are not the witnesses that the log asks, or they have lost what"
            " they knew. They would fence nobody off. Nothing was changed: name those"
            " with which the log ran last by --settings log.toml"
        )
        raise UsageError(message)
