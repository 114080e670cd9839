"""What a follower remembers of a log beside what is verified: facts of monitor.db.

    tainted     the kind of the first lie that the log was caught in; for ever
    unknown     the first entry that could not be judged; for as long as the state lives
    shown       the largest checkpoint that it showed to everybody, whether it could be
                followed or not: what it signed and then withholds, it signed
    pinned      the `first` of the configuration that its history was held to
    unheard     rounds in a row without an answer, over restarts: cron starts each anew

Each is written inside a transaction of the caller's.
"""

from monitor.state import State

FOLLOW = "follow"
"""The rule under which these facts are kept."""
TAINTED = "tainted"
_UNKNOWN, _SHOWN, _PINNED, _UNHEARD = "unknown", "shown", "pinned", "unheard"


class Remembered:
    """The facts, by name."""

    def __init__(self, state: State) -> None:
        self._state = state

    def tainted(self) -> str | None:
        """The kind of the first lie, if there was one."""
        return self._state.fact(FOLLOW, TAINTED)

    def taint(self, kind: str) -> None:
        """The log was caught."""
        if self.tainted() is None:
            self._state.remember(FOLLOW, TAINTED, kind)

    def unknown(self) -> str | None:
        """Why not all of the log could be judged, if so.

        An entry is judged once: a newer version reads the log anew.
        """
        index = self._state.fact(FOLLOW, _UNKNOWN)
        if index is None:
            return None
        return f"entry {index} is of a kind or type that this version does not know"

    def note_unknown(self, index: int) -> None:
        """An entry could not be judged."""
        if self._state.fact(FOLLOW, _UNKNOWN) is None:
            self._state.remember(FOLLOW, _UNKNOWN, str(index))

    def shown(self) -> bytes | None:
        """The note of the largest checkpoint that was shown to everybody."""
        note = self._state.fact(FOLLOW, _SHOWN)
        return None if note is None else note.encode()

    def note_shown(self, note: str) -> None:
        """A larger one was shown."""
        self._state.remember(FOLLOW, _SHOWN, note)

    def pinned(self) -> str | None:
        """The pin that was checked last."""
        return self._state.fact(FOLLOW, _PINNED)

    def note_pinned(self, pin: str) -> None:
        """The log's history contains this pin."""
        self._state.remember(FOLLOW, _PINNED, pin)

    def count_unheard(self) -> int:
        """One more round without an answer; how many it were in a row."""
        count = int(self._state.fact(FOLLOW, _UNHEARD) or "0") + 1
        self._state.remember(FOLLOW, _UNHEARD, str(count))
        return count

    def note_heard(self) -> None:
        """There was an answer."""
        if self._state.fact(FOLLOW, _UNHEARD) is not None:
            self._state.remember(FOLLOW, _UNHEARD, None)
