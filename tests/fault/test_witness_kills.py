"""kill -9 of a witness at every step: its cosignatures stay on one history.

All that ever left it, over all incarnations, is held against itself and against what is
on disk. PCRLOG_KILLS says how many are killed; 20 by default, 100 in CI.
"""

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.witness_store import NAME, create, read
from pcrlog.checkpoint import Checkpoint
from pcrlog.note import UnverifiedNote
from tests.support.killed import FORK_AT, SIGNER, SIZE, Answered, Life, live, logs
from tests.unit.monitor.witnessed import NOW, times

KILLS = int(
    os.environ.get("PCRLOG_KILLS", "100" if os.environ.get("CI") == "true" else "20")
)
POINTS = ["compared", "stored", "committed", "answered", "half-sent", "sent"]
Line = tuple[int, bytes, int]
"""Size, root and time of a cosignature."""

pytestmark = pytest.mark.e2e


def lines(answers: list[Answered]) -> dict[str, list[Line]]:
    """What was cosigned of each log; each line is checked."""
    found: dict[str, list[Line]] = {}
    for one in answers:
        [seconds] = times(one.note, one.lines, SIGNER.public)
        checkpoint = Checkpoint.parse(UnverifiedNote.parse(one.note).text)
        line = checkpoint.size, checkpoint.root, seconds
        found.setdefault(checkpoint.origin, []).append(line)
    return found


def check_one_history(
    cosigned: list[Line], honest: list[bytes], fork: list[bytes]
) -> None:
    """All lie on one history, and time went the way of growth."""
    roots: dict[int, bytes] = {}
    span: dict[int, tuple[int, int]] = {}
    for size, root, seconds in cosigned:
        assert roots.setdefault(size, root) == root, f"two trees of {size} leaves"
        first, last = span.get(size, (seconds, seconds))
        span[size] = min(first, seconds), max(last, seconds)
    for smaller, larger in pairwise(sorted(span)):
        assert span[smaller][1] <= span[larger][0], "a time went back"
    told = {size: root for size, root in roots.items() if size > FORK_AT}
    assert any(
        all(root == history[size] for size, root in told.items())
        for history in (honest, fork)
    ), "cosigned both histories"


def check_disk(folder: Path, cosigned: dict[str, list[Line]]) -> None:
    """Nothing left that is not on disk, or was replaced there by what extends it."""
    stored = {one.origin: one for one in read(folder / NAME).cosigned}
    for origin, told in cosigned.items():
        size, root, seconds = max(told, key=lambda line: (line[0], line[2]))
        now = stored[origin]
        assert (now.size, now.time) >= (size, seconds)
        assert now.size > size or now.root == root


def test_whatever_kills_it_it_never_contradicts_itself(tmp_path: Path) -> None:
    create(tmp_path / NAME, str(SIGNER.public), NOW)
    histories = {
        log.origin: tuple(
            [one.checkpoint(size).root for size in range(SIZE + 1)]
            for one in (log, fork)
        )
        for log, fork in logs()
    }
    chance = random.Random(4)
    told: list[Answered] = []
    for kill in range(KILLS):
        # The clock is set back now and then, by less than a witness bears.
        now = NOW + kill - chance.randrange(5)
        point, number = POINTS[kill % len(POINTS)], chance.randrange(1, 12)
        answers, killed = live(Life(tmp_path, kill, now, point, number))
        assert killed, point
        told += answers
        cosigned = lines(told)
        check_disk(tmp_path, cosigned)
    for origin, found in lines(told).items():
        check_one_history(found, *histories[origin])
    assert len(told) > KILLS
    assert set(lines(told)) == set(histories)


def test_an_incarnation_that_is_let_live_refuses_the_fork_and_keeps_it(
    tmp_path: Path,
) -> None:
    create(tmp_path / NAME, str(SIGNER.public), NOW)
    told, killed = live(Life(tmp_path, 0, NOW, "", 0))
    assert not killed
    assert len(told) > 20
    found = read(tmp_path / NAME)
    assert found.forks
    check_disk(tmp_path, lines(told))
