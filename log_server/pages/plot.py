"""Growth as a curve: sizes over time, as the path of an inline SVG."""

from collections.abc import Sequence

from msgspec import Struct

from log_server.store import CheckpointRow

WIDTH, HEIGHT = 720, 100
POINTS = 72


class Growth(Struct, frozen=True):
    """The curve, the area below it, and what its ends are: sizes and unix seconds."""

    curve: str
    area: str
    first: int
    last: int
    first_size: int
    size: int


def growth_of(rows: Sequence[CheckpointRow]) -> Growth | None:
    """The growth that checkpoints show, ascending; None of fewer than two moments.

    The lowest point is an empty log: a curve that began anywhere else would lie.
    """
    if not rows or rows[-1].time <= rows[0].time:
        return None
    first, last = rows[0], rows[-1]
    points = [
        (
            WIDTH * (row.time - first.time) / (last.time - first.time),
            HEIGHT - (HEIGHT - 2) * row.size / last.size,
        )
        for row in rows
    ]
    # A log grows in steps: flat until the next checkpoint.
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    steps += [f"H{x:.1f}V{y:.1f}" for x, y in points[1:]]
    curve = "".join(steps)
    area = f"{curve}V{HEIGHT}H{points[0][0]:.1f}Z"
    return Growth(curve, area, first.time, last.time, first.size, last.size)
