"""Split views: what others have seen of the log, as a monitor asks them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.alerts import Alert
from monitor.comparison import Comparison
from monitor.views import Views
from monitor.withheld import WITHHELD
from pcrlog.note import NoteSigner
from pcrlog.witness import monitoring_path
from tests.support.log_simulator import Manner, Reply, refused
from tests.support.memory_log import witness
from tests.unit.monitor.viewed import Viewed, grow, log_of, viewing

W1 = witness("w1.example")
QUORUM = f'{{ quorum = 1, keys = ["{W1.public}"] }}'
TEXT = "text/plain; charset=utf-8"


@dataclass
class Others:
    """What a witness and another monitor answer, on the log's own server."""

    view: Viewed
    notes: dict[str, Reply] = field(default_factory=dict)
    seconds: float = 0.0

    def show(self, name: str, note: bytes, manner: Manner = "whole") -> None:
        self.notes[name] = Reply(200, note, TEXT, manner=manner)

    def twist(self, path: str, reply: Reply) -> Reply:
        for name, other in self.notes.items():
            if path.startswith(f"{name}/"):
                asked = path.removeprefix(f"{name}/")
                wanted = {monitoring_path(self.view.log.origin), "latest"}
                return other if asked in wanted else refused(404, "no", asked)
        return reply

    @contextmanager
    def views(self) -> Iterator[Views]:
        config, log = self.view.config, self.view.log
        made = Views(
            config,
            self.view.source,
            self.view.evidence,
            lambda: log.now,
            monotonic=lambda: self.seconds,
        )
        try:
            yield made
        finally:
            self.view.simulator.release.set()
            made.close()

    def look(self, views: Views) -> list[Alert]:
        """All are asked again."""
        self.seconds += 3600
        assert views.due(self.seconds)
        return views.look(self.view.ours)


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Others]:
    monkeypatch.setattr("monitor.views._LATER", 5.0)
    log = log_of(seals=3)
    with viewing(tmp_path, log, witnesses=QUORUM) as view:
        base = view.simulator.url
        rows = [
            f'[[view]]\nname = "w1.example"\nurl = "{base}/w1"',
            '[[view]]\nname = "other"\nkind = "checkpoint"',
            f'url = "{base}/other/latest"',
        ]
        path = tmp_path / "monitor.toml"
        path.write_text(path.read_text() + "\n".join(rows) + "\n")
        view.config = view.config.load(path)
        made = Others(view)
        made.show("w1", log.note)
        made.show("other", log.note)
        view.simulator.twist = made.twist
        yield made


def cosigned(log_seals: int, *signers: NoteSigner, build: str = "good") -> bytes:
    log = log_of(build, seals=log_seals)
    return log.cosign(*signers)


def test_others_who_see_what_we_see_are_no_alert(others: Others) -> None:
    with others.views() as views:
        assert others.look(views) == []
        assert views.problems == {}
    asked = {path.partition("/pcr/")[2] for path in others.view.simulator.asked}
    assert f"w1/{monitoring_path(others.view.log.origin)}" in asked
    assert "other/latest" in asked


@pytest.mark.parametrize("who", ["w1", "other"])
@pytest.mark.parametrize("seals", [1, 3])
def test_another_history_that_somebody_saw_is_an_equivocation(
    others: Others, who: str, seals: int
) -> None:
    others.show(who, cosigned(seals, W1, build="evil"))
    with others.views() as views:
        [alert] = others.look(views)
    assert alert.kind == "equivocation"
    assert alert.found.startswith(f"{who}.example shows" if who == "w1" else who)
    assert others.view.proven(alert.evidence).kind == "checkpoints"


def test_what_is_told_once_has_the_same_id_the_next_time(others: Others) -> None:
    others.show("w1", cosigned(1, W1, build="evil"))
    others.show("other", cosigned(1, build="evil"))
    with others.views() as views:
        ids = {alert.id for _ in range(2) for alert in others.look(views)}
    assert len(ids) == 1


def test_who_is_asked_only_now_and_then_is_not_due_in_between(others: Others) -> None:
    with others.views() as views:
        assert views.due(0)
        others.look(views)
        asked = len(others.view.simulator.asked)
        assert not views.due(others.seconds)
        assert views.due(others.seconds + 30)
        assert views.look(others.view.ours) == []
        assert len(others.view.simulator.asked) == asked


# --- what the log keeps back ----------------------------------------------------------


def test_a_log_that_is_a_moment_behind_is_no_alert(others: Others) -> None:
    others.show("other", cosigned(5))
    with others.views() as views:
        assert others.look(views) == []
        others.view.log.now += WITHHELD - 1
        assert others.look(views) == []


def test_what_the_log_keeps_back_is_a_rollback(others: Others) -> None:
    others.show("other", cosigned(5))
    with others.views() as views:
        others.look(views)
        others.view.log.now += WITHHELD
        others.show("other", cosigned(6))
        [alert] = others.look(views)
    assert alert.kind == "rollback"
    assert "other shows" in alert.found


def test_a_cosignature_says_how_long_the_log_keeps_it_back(others: Others) -> None:
    others.show("w1", cosigned(5, W1))
    others.view.log.now += WITHHELD
    with others.views() as views:
        [alert] = others.look(views)
    assert alert.kind == "rollback"


def test_what_the_log_shows_at_last_is_forgotten(others: Others) -> None:
    others.show("other", cosigned(5))
    with others.views() as views:
        others.look(views)
        grow(others.view.log, 2)
        others.view.log.now += WITHHELD
        assert others.look(views) == []
        others.show("other", cosigned(9))
        assert others.look(views) == []


def test_what_waits_for_a_quorum_is_no_rollback(others: Others) -> None:
    log = others.view.log
    published = log.note
    waiting = grow(log)
    log.note = published
    others.show("w1", waiting)
    log.now += 10 * WITHHELD
    with others.views() as views:
        assert others.look(views) == []
        log.now += 10 * WITHHELD
        assert others.look(views) == []
        assert views.problems == {}


def test_what_a_quorum_cosigned_and_the_log_keeps_back_is_a_rollback(
    others: Others,
) -> None:
    log = others.view.log
    published = log.note
    grow(log)
    others.show("w1", log.cosign(W1))
    log.note = published
    with others.views() as views:
        assert others.look(views) == []
        log.now += WITHHELD
        [alert] = others.look(views)
    assert (alert.kind, alert.severity) == ("rollback", "alarm")
    assert "its quorum may be missing: ask the operator" in alert.found


# --- what says nothing about the log --------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refused(404, "no", "no"), "404"),
        (refused(500, "no", "no"), "500"),
        (Reply(302, b"", TEXT, location="http://127.0.0.1:1/"), "302"),
        (Reply(200, b"garbage", TEXT), "not a checkpoint"),
        (Reply(200, b"x" * 70_000, TEXT), "more than"),
        (Reply(200, b"x" * 70_000, TEXT, manner="endless"), "more than"),
    ],
    ids=["absent", "broken", "elsewhere", "garbage", "large", "endless"],
)
def test_a_view_that_is_of_no_use_is_a_problem_and_no_alert(
    others: Others, reply: Reply, words: str
) -> None:
    others.notes["w1"] = reply
    with others.views() as views:
        assert others.look(views) == []
        assert set(views.problems) == {"w1.example"}
        assert words in views.problems["w1.example"]
        others.show("w1", others.view.log.note)
        others.look(views)
        assert views.problems == {}


def test_a_mistake_of_ours_in_one_view_ends_no_round(
    others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.show("other", cosigned(1, build="evil"))
    with others.views() as views:

        class BrokenError(Exception):
            pass

        real = views.comparer.compare

        def compare(theirs: bytes, ours: bytes, *, frozen: bool) -> Comparison:
            if theirs == others.view.log.note:
                message = "broken"
                raise BrokenError(message)
            return real(theirs, ours, frozen=frozen)

        monkeypatch.setattr(views.comparer, "compare", compare)
        [alert] = others.look(views)
        assert alert.kind == "equivocation"
        assert views.problems == {"w1.example": "BrokenError: broken"}


def test_who_hangs_holds_up_nobody(
    others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.views._FIRST", 0.5)
    monkeypatch.setattr("monitor.views._LATER", 0.5)
    others.show("w1", b"", manner="hangs")
    others.show("other", cosigned(1, build="evil"))
    with others.views() as views:
        assert [alert.kind for alert in others.look(views)] == ["equivocation"]
        assert views.problems == {"w1.example": "it has not answered yet"}
        assert [alert.kind for alert in others.look(views)] == ["equivocation"]


def test_who_is_slow_is_heard_in_a_later_round(
    others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.views._FIRST", 0.0)
    others.show("w1", cosigned(1, W1, build="evil"))
    heard: list[Alert] = []
    with others.views() as views:
        heard += others.look(views)
        end = time.monotonic() + 10
        while not heard and time.monotonic() < end:
            if views.due(others.seconds):
                heard += views.look(others.view.ours)
            time.sleep(0.01)
    assert [alert.kind for alert in heard] == ["equivocation"]


def test_before_anything_is_verified_nobody_is_asked(others: Others) -> None:
    others.view.ours = type(others.view.ours)(0, (), b"", 0, frozen=False)
    with others.views() as views:
        assert others.look(views) == []
    assert others.view.simulator.asked == []
