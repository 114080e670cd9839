"""What a monitor knows now, in one value: for page, metrics, health and `status`.

It is read from the state of another process or thread, by connections of its own, and
changes nothing. Before the first round there is nothing to read, which is no error.
"""

from collections import Counter

from msgspec import Struct

from monitor.alerts import Alert
from monitor.config import Config, seconds
from monitor.ledger import SinkStanding, standings
from monitor.state import VIEWS, Condition, Round, State, Verified

ALERTS = 50
"""Newest alerts that are shown."""
_ROUNDS = 1000
_NEVER = Verified(0, (), b"", 0, frozen=False)
_LATE_POLLS, _LATE_SECONDS = 10, 120


class Overview(Struct, frozen=True, kw_only=True):
    """One reading.

    `tainted` is the kind of the first lie the log was caught in, `rounds` and `alerts`
    are newest first, `kinds` counts all alerts there ever were, `views` says what is
    wrong with each that could not be asked, `late` is the age in seconds at which the
    last round is too old.
    """

    log: str
    verified: Verified = _NEVER
    tainted: str | None = None
    conditions: tuple[Condition, ...] = ()
    rounds: tuple[Round, ...] = ()
    alerts: tuple[Alert, ...] = ()
    kinds: dict[str, int] = {}
    sinks: tuple[SinkStanding, ...] = ()
    views: dict[str, str] = {}
    late: float = _LATE_SECONDS

    @classmethod
    def read(cls, config: Config, *, alerts: int = ALERTS) -> "Overview":
        """Read the state of a configuration, with the newest `alerts`."""
        path = config.state / "monitor.db"
        log, sinks = config.log.key.name, tuple(standings(config))
        late = max(_LATE_POLLS * seconds(config.settings.poll), _LATE_SECONDS)
        if not path.is_file():
            return cls(log=log, sinks=sinks, late=late)
        state = State(path, read_only=True)
        try:
            return cls(
                log=log,
                verified=_NEVER if state.log() is None else state.verified(),
                tainted=state.fact("follow", "tainted"),
                conditions=tuple(state.conditions()),
                rounds=tuple(state.rounds(_ROUNDS)),
                alerts=tuple(alert for _, alert in state.newest_alerts(alerts)),
                kinds=state.alerts_by_kind(),
                sinks=sinks,
                views=state.facts(VIEWS),
                late=late,
            )
        finally:
            state.close()

    def outcomes(self) -> dict[str, int]:
        """How many of the rounds that are kept ended how."""
        return Counter(one.outcome for one in self.rounds)

    def clean_age(self, now: int) -> int | None:
        """Seconds since a round came out clean; None: none is known."""
        times = (one.time for one in self.rounds if one.outcome == "clean")
        return next((max(0, now - time) for time in times), None)

    def looks(self, now: int) -> bool:
        """Whether the monitor works: it looked lately, and could."""
        if not self.rounds:
            return False
        last = self.rounds[0]
        return last.outcome != "unchecked" and now - last.time <= self.late

    def word(self, now: int) -> str:
        """The state of all in one word: `lied`, `blind`, `wrong` or `verified`."""
        if self.tainted is not None:
            return "lied"
        if not self.looks(now):
            return "blind"
        if self.conditions or self.rounds[0].outcome == "alerts":
            return "wrong"
        return "verified"
