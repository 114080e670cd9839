"""What provokes each kind of alert: the rows of the table in docs/monitoring.md."""

from dataclasses import dataclass

from monitor.alerts import KINDS
from tests.support.happenings import HAPPENINGS
from tests.support.lies import LIES

HEAD = ("kind", "how it was provoked", "seconds", "evidence")
_SLOW = {"stale": "; seconds since its last seal, with a `max_age` of 8 s"}
_PATIENCE = "; the monitor waits 0.3 s for a byte instead of 10"


@dataclass(frozen=True)
class Provoked:
    """A row but for its seconds; `name` is that of a lie, or the kind."""

    name: str
    kind: str
    how: str
    left: str


def _rows() -> list[Provoked]:
    rows = [
        Provoked(
            lie.name,
            f"`{lie.alert}`",
            lie.does + _SLOW.get(lie.name, "") + _PATIENCE * lie.patience,
            f"`{lie.evidence}`" if lie.evidence else "",
        )
        for lie in LIES
        if lie.alert is not None
    ]
    rows += [Provoked(one.alert, f"`{one.alert}`", one.does, "") for one in HAPPENINGS]
    places = {f"`{kind}`": place for place, kind in enumerate(KINDS)}
    return sorted(rows, key=lambda row: places[row.kind])


PROVOKED = _rows()
