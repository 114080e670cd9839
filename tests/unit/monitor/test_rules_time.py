"""What time alone brings: a release without an audit, and what runs out."""

from pathlib import Path
from typing import Any

import pytest

from monitor.alerts import Alert
from pcrlog.encoding import format_time
from pcrlog.entry import Entry
from pcrlog.errors import VerificationError
from tests.support.memory_log import registers
from tests.support.scene import BAD, DAY, HOUR, LAB, LENS, PRODUCT, PROVIDER, Scene
from tests.unit.monitor.watching import Watcher, kinds

AUDITED = {"unaudited_after": "24h"}
WITHIN = {"expiring_within": "7d"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def watched(folder: Path, scene: Scene, **watch: Any) -> Watcher:
    product = watch.pop("product", None)
    made = Watcher(folder, scene, watch, product)
    made.read()
    return made


def later(watch: Watcher, seconds: int) -> list[Alert]:
    """What is told when so much time has gone by."""
    return watch.time(watch.scene.log.now + seconds)


# --- unaudited -----------------------------------------------------------------------


def test_unaudited_is_told_once_when_its_time_has_come(
    folder: Path, scene: Scene
) -> None:
    index = scene.release()
    watch = watched(folder, scene, **AUDITED)
    assert later(watch, DAY - 1) == []
    [alert] = later(watch, DAY)
    assert (alert.kind, alert.entries) == ("unaudited", (index,))
    assert later(watch, DAY + 1) == []


def test_unaudited_is_told_once_though_its_round_is_repeated(
    folder: Path, scene: Scene
) -> None:
    scene.release()
    watch = watched(folder, scene, **AUDITED)
    [first] = later(watch, DAY)
    watch.start()
    watch.read()
    [again] = later(watch, DAY + HOUR)
    assert again.id == first.id


def test_unaudited_counts_from_the_seal(folder: Path, scene: Scene) -> None:
    scene.release()
    watch = Watcher(folder, scene, dict(AUDITED))
    watch.read(sealed=scene.log.now - HOUR)
    assert kinds(later(watch, DAY - HOUR)) == ["unaudited"]


@pytest.mark.parametrize("by", [LAB, LENS])
def test_a_release_that_an_auditor_passed_is_audited(
    folder: Path, scene: Scene, by: str
) -> None:
    scene.release()
    scene.reproduce(by)
    assert later(watched(folder, scene, **AUDITED), DAY) == []


def test_an_audit_that_came_before_the_release_counts(
    folder: Path, scene: Scene
) -> None:
    scene.review()
    scene.release()
    assert later(watched(folder, scene, **AUDITED), DAY) == []


def test_a_fail_or_a_pass_of_something_else_is_no_audit(
    folder: Path, scene: Scene
) -> None:
    scene.release()
    scene.reproduce(LAB, BAD)
    scene.reproduce(LENS, result="fail")
    assert kinds(later(watched(folder, scene, **AUDITED), DAY)) == ["unaudited"]


def test_a_pass_that_was_taken_back_is_no_audit(folder: Path, scene: Scene) -> None:
    scene.release()
    scene.log.revoke(LAB, "erroneous", scene.reproduce(LAB))
    assert "unaudited" in kinds(later(watched(folder, scene, **AUDITED), DAY))


def test_what_the_policy_demands_is_what_is_missing(folder: Path, scene: Scene) -> None:
    scene.release()
    scene.reproduce(LAB)
    product = {"links": [1, 2, 3, 4], "counts": {"reproduction": 2}}
    [alert] = later(watched(folder, scene, **AUDITED, product=product), DAY)
    assert "1 of 2 reproduction passes, 0 of 1 source-review passes" in alert.found


def test_a_revoked_release_needs_no_audit(folder: Path, scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "withdrawn", scene.release())
    assert later(watched(folder, scene, **AUDITED), DAY) == []


def test_a_renewed_release_is_not_waited_for_again(folder: Path, scene: Scene) -> None:
    scene.release()
    watch = watched(folder, scene, **AUDITED)
    later(watch, DAY)
    scene.log.now += 2 * DAY
    scene.release()
    watch.read()
    assert later(watch, 2 * DAY) == []


def test_without_an_auditor_that_counts_nothing_is_unaudited(
    folder: Path, scene: Scene
) -> None:
    scene.release()
    watch = watched(folder, scene, **AUDITED, product={"auditors": []})
    assert later(watch, DAY) == []


def test_the_rule_is_off_unless_it_is_asked_for(folder: Path, scene: Scene) -> None:
    scene.release(expires=format_time(scene.log.now + DAY))
    assert later(watched(folder, scene), DAY) == []


# --- expiring ------------------------------------------------------------------------


def expires(scene: Scene, days: int) -> dict[str, Any]:
    return {"expires": format_time(scene.log.now + days * DAY)}


def test_expiring_is_told_once_before_a_release_runs_out(
    folder: Path, scene: Scene
) -> None:
    index = scene.release(**expires(scene, 30))
    watch = watched(folder, scene, **WITHIN)
    assert later(watch, 23 * DAY - 1) == []
    [alert] = later(watch, 23 * DAY)
    assert (alert.kind, alert.entries) == ("expiring", (index,))
    assert later(watch, 24 * DAY) == []


def test_a_release_that_was_renewed_does_not_expire(folder: Path, scene: Scene) -> None:
    scene.release(**expires(scene, 30))
    scene.log.now += DAY
    scene.release()
    assert later(watched(folder, scene, **WITHIN), 23 * DAY) == []


def test_a_release_that_was_renewed_for_no_longer_expires(
    folder: Path, scene: Scene
) -> None:
    scene.release(**expires(scene, 10))
    scene.release(**expires(scene, 9))
    assert kinds(later(watched(folder, scene, **WITHIN), 3 * DAY)) == ["expiring"]


def test_a_revoked_release_does_not_expire(folder: Path, scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "withdrawn", scene.release(**expires(scene, 3)))
    assert later(watched(folder, scene, **WITHIN), 0) == []


def test_what_has_run_out_long_ago_is_not_told(folder: Path, scene: Scene) -> None:
    scene.release(**expires(scene, 3))
    watch = watched(folder, scene, **WITHIN)
    assert later(watch, 3 * DAY) == []
    assert watch.state.facts("expiring") == {}


def test_an_audit_that_runs_out_is_told(folder: Path, scene: Scene) -> None:
    scene.release()
    index = scene.review(**expires(scene, 10))
    watch = watched(folder, scene, **WITHIN)
    [alert] = later(watch, 3 * DAY)
    assert (alert.kind, alert.about, alert.entries) == ("expiring", PRODUCT, (index,))


def test_an_audit_that_came_before_the_release_runs_out_too(
    folder: Path, scene: Scene
) -> None:
    scene.review(**expires(scene, 10))
    scene.release()
    assert kinds(later(watched(folder, scene, **WITHIN), 3 * DAY)) == ["expiring"]


@pytest.mark.parametrize("how", ["renewed", "revoked", "of a revoked release"])
def test_an_audit_that_nobody_needs_to_renew_is_not_told(
    folder: Path, scene: Scene, how: str
) -> None:
    release = scene.release()
    audit = scene.review(**expires(scene, 10))
    if how == "renewed":
        scene.log.now += HOUR
        scene.review(**expires(scene, 30))
    elif how == "revoked":
        scene.log.revoke(LENS, "withdrawn", audit)
    else:
        scene.log.revoke(PROVIDER, "withdrawn", release)
    assert later(watched(folder, scene, **WITHIN), 3 * DAY) == []


def test_an_audit_of_somebody_else_is_not_remembered(
    folder: Path, scene: Scene
) -> None:
    scene.release(product=f"{PROVIDER}/other", image=BAD)
    scene.reproduce(LAB, BAD, **expires(scene, 3))
    assert watched(folder, scene, **WITHIN).state.facts("expiring") == {}


def test_time_passes_in_a_process_that_has_read_nothing(
    folder: Path, scene: Scene
) -> None:
    index = scene.release()
    watch = watched(folder, scene, **AUDITED)
    identities = [
        (i, scene.log.leaves[i])
        for i in range(index)
        if not scene.log.leaves[i].startswith(b"p")
    ]
    with watch.state.transaction():
        watch.state.advance(watch.state.verified(), identities)
    watch.start()
    watch.history.size = index + 1
    assert kinds(later(watch, DAY)) == ["unaudited"]


# --- what cannot be read -------------------------------------------------------------


@pytest.mark.parametrize("reads", range(4))
def test_nothing_is_forgotten_while_what_it_is_about_cannot_be_read(
    folder: Path, scene: Scene, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0.0", "2.0.0"):
        scene.release(version, registers(version), **expires(scene, 3))
    watch = watched(folder, scene, **AUDITED, **WITHIN)
    before = [watch.state.facts(rule) for rule in ("unaudited", "expiring")]
    entry, had = watch.history.entry, 0

    def fail(index: int) -> Entry:
        nonlocal had
        had += 1
        if had > reads:
            message = f"entry {index} cannot be read"
            raise VerificationError(message)
        return entry(index)

    now = scene.log.now + DAY
    with monkeypatch.context() as patch:
        patch.setattr(watch.history, "entry", fail)
        with pytest.raises(VerificationError):
            watch.rules.time(now)
    after = [watch.state.facts(rule) for rule in ("unaudited", "expiring")]
    assert after == before
    assert kinds(watch.time(now)) == ["unaudited"] * 2 + ["expiring"] * 2
    assert watch.state.facts("unaudited") == {}
