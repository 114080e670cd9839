"""What is wrong for a while: a log that does not answer, stands still, or is alone.

A condition is told once, when it begins, and ends by itself. Ages are half of what the
policy allows: its users are refused when the whole age is over, and that would be late
to hear of it.
"""

from collections.abc import Iterator
from typing import Literal

from monitor.alerts import Alert
from monitor.state import State
from pcrlog.checkpoint import cosignatures
from pcrlog.encoding import format_time
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Quorum

_Kind = Literal["unreachable", "stale", "quorum-lost"]
SHOWN_LIES = ("bad-signature", "bad-tiles", "rollback")
"""Lies in what a log shows that may end: a mistake of its web server looks the same."""


def freshness(
    log: Log, skew: int, note: bytes, sealed: int, now: int
) -> Iterator[tuple[_Kind, str | None]]:
    """Whether a checkpoint is recent and cosigned: what is wrong, or None.

    Args:
        log: the policy's view of the log.
        skew: seconds by which clocks may differ.
        note: the checkpoint as the log shows it.
        sealed: unix seconds of its seal.
        now: unix seconds.
    """
    oldest, newest = now - log.max_age // 2, now + skew
    stale = None
    if sealed < oldest:
        stale = f"its last seal is of {format_time(sealed)}"
    elif sealed > newest:
        stale = f"its last seal is of {format_time(sealed)}, which is yet to come"
    yield "stale", stale
    missing = [
        words
        for name, quorum in (
            ("witnesses", log.witnesses),
            ("index monitors", log.index_monitors),
        )
        if quorum is not None
        and (words := _missing(name, quorum, note, oldest, newest))
    ]
    yield "quorum-lost", "; ".join(missing) or None


def _missing(
    name: str, quorum: Quorum, note: bytes, oldest: int, newest: int
) -> str | None:
    times = cosignatures(UnverifiedNote.parse(note), quorum.keys)
    recent = sum(oldest <= time <= newest for time in times.values())
    if recent >= quorum.least:
        return None
    silent = sorted(key.name for key in quorum.keys if key not in times)
    words = f"{recent} of {quorum.least} {name} cosigned it lately"
    return words + f" (not: {', '.join(silent)})" * bool(silent)


def tell(state: State, log: str, kind: str, found: str | None, now: int) -> None:
    """Begin, go on with, or end a condition; inside a transaction."""
    known = {one.kind for one in state.conditions()}
    if found is None:
        state.end_condition(kind)
    elif kind not in known:
        about = f"since {format_time(now)}"
        state.set_condition(Alert.of(kind, log, about, found, time=now))
