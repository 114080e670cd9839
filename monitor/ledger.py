"""delivery.db: how far each sink has come.

A sink that is new begins after the newest alert that any sink has taken. So one that
is added is not told of the past; but what nobody was told is told to the first sink
that there is, to one that got another name, and all of it after delivery.db was lost.
If monitor.db was made anew its numbers begin anew, and so does every sink.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from monitor import config
from monitor.state import State, connect


class SinkStanding(Struct, frozen=True):
    """How a sink is.

    `delivered` is the number of the last alert that it took, `pending` how many wait,
    `failing` since when it refuses (unix seconds) or None, `problem` what it last said.
    """

    name: str
    kind: str
    delivered: int
    pending: int
    failing: int | None
    problem: str | None


class Ledger:
    """The file; for one thread.

    Args:
        path: it is made if it is not there.
        read_only: for whoever only asks.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._database = connect(path, read_only=read_only)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def enrol(self, names: Sequence[str], newest: int) -> None:
        """Give each sink its place, before the first round.

        Args:
            names: of all sinks there are now.
            newest: the number of the newest alert.
        """
        self._database.execute("begin immediate")
        # Numbers that monitor.db has not given: it was made anew, or put back.
        self._database.execute(
            "update sink set delivered = ?, failing = null, problem = null"
            " where delivered > ?",
            (newest, newest),
        )
        row = self._database.execute("select max(delivered) from sink").fetchone()
        self._database.executemany(
            "insert into sink values (?, ?, null, null) on conflict (name) do nothing",
            [(name, row[0] or 0) for name in names],
        )
        self._database.execute("commit")

    def delivered(self, name: str) -> int:
        """The number of the last alert that a sink took."""
        row = self._database.execute(
            "select delivered from sink where name = ?", (name,)
        ).fetchone()
        return int(row[0])

    def keep_taken(self, name: str, seq: int, words: str | None) -> None:
        """An alert was taken; it never goes back, whoever else delivers."""
        self._database.execute(
            "update sink set delivered = max(delivered, ?), failing = null, problem = ?"
            " where name = ?",
            (seq, words, name),
        )

    def keep_refused(self, name: str, now: int, problem: str) -> None:
        """An alert was refused: since when, is kept from the first time."""
        self._database.execute(
            "update sink set failing = coalesce(failing, ?), problem = ?"
            " where name = ?",
            (now, problem, name),
        )

    def standing(self, name: str) -> tuple[int, int | None, str | None]:
        """Delivered, failing and problem of a sink; nothing of one that is unknown."""
        row = self._database.execute(
            "select delivered, failing, problem from sink where name = ?", (name,)
        ).fetchone()
        return (0, None, None) if row is None else (row[0], row[1], row[2])


def standings(settings: config.Config) -> list[SinkStanding]:
    """How each sink of a configuration is, read from the state, by whoever asks.

    Before the first start there is no state: then nothing waits.
    """
    path = settings.state / "delivery.db"
    sinks = [(one.name, _kind(one)) for one in settings.settings.sink]
    if not path.is_file():
        return [SinkStanding(name, kind, 0, 0, None, None) for name, kind in sinks]
    ledger = Ledger(path, read_only=True)
    state = State(settings.state / "monitor.db", read_only=True)
    try:
        found = []
        for name, kind in sinks:
            delivered, failing, problem = ledger.standing(name)
            pending = state.count_after(delivered)
            found.append(SinkStanding(name, kind, delivered, pending, failing, problem))
        return found
    finally:
        state.close()
        ledger.close()


def _kind(settings: config.Sink) -> str:
    return {config.Webhook: "webhook", config.Smtp: "smtp"}.get(
        type(settings), "stdout"
    )
