"""`pcrlog queue`: what waits for an auditor, and what counts as done."""

import json
from typing import Any

import pytest

from pcrlog.encoding import format_time
from pcrlog.predicates import Basis, OpenFindings
from tests.support.memory_log import registers
from tests.support.scene import (
    CONTROL,
    DAY,
    LAB,
    LENS,
    PRODUCT,
    Scene,
    compromise,
    source,
)
from tests.unit.cli.mirroring import Keeper
from tests.unit.cli.world import World, withhold

LOG = "--policy policy.toml"
OPEN = OpenFindings(critical=0, high=3, medium=0, low=0)


def asked(world: World, *words: str) -> dict[str, Any]:
    world.log.seal()
    ran = world.run(f"queue {LOG} --json", *words)
    assert ran.status == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def waiting(world: World, *words: str) -> list[tuple[int, list[str]]]:
    return [(one["index"], one["scopes"]) for one in asked(world, *words)["waiting"]]


REPRODUCTION, REVIEW = "--scope reproduction", "--scope source-review"


# --- what waits ----------------------------------------------------------------------


def test_what_nobody_audited_waits_oldest_first(world: World) -> None:
    first = world.scene.release("1.0.0", registers("a"))
    world.log.now += 3 * DAY
    second = world.scene.release("1.1.0", registers("b"))
    world.log.now += DAY
    found = asked(world)
    assert [one["index"] for one in found["waiting"]] == [first, second]
    assert [one["age"] for one in found["waiting"]] == [4 * DAY, DAY]
    assert found["waiting"][0]["scopes"] == ["reproduction", "source-review"]
    # Neither lists its controls, so there is nothing to review.
    assert found["left_out"] == {"controls-review: names no list of controls": 2}


def test_an_audit_that_passes_is_done(world: World) -> None:
    index = world.scene.release()
    world.scene.reproduce()
    assert waiting(world) == [(index, ["source-review"])]
    world.scene.review()
    assert waiting(world) == []
    assert "nothing in" in world.run(f"queue {LOG}").out


def test_controls_wait_where_they_are_listed(world: World) -> None:
    index = world.scene.release(controls=(CONTROL,))
    scope = "--scope controls-review"
    assert waiting(world, scope) == [(index, ["controls-review"])]
    world.scene.review_controls(index)
    assert waiting(world, scope) == []
    world.log.now += 91 * DAY
    assert waiting(world, scope) == [(index, ["controls-review"])]


def test_as_many_auditors_as_the_policy_asks_for(world: World) -> None:
    world.write_policy(product={"counts": {"source-review": 2}})
    index = world.scene.release()
    world.scene.review(LENS)
    assert waiting(world, REVIEW) == [(index, ["source-review"])]
    assert waiting(world, REVIEW, f"--as {LENS}") == []
    world.scene.review(LAB)
    assert waiting(world, REVIEW) == []


def test_a_renewed_release_is_one_line_as_old_as_the_first(world: World) -> None:
    world.scene.release()
    world.log.now += DAY
    renewed = world.scene.release("1.4.3")
    [one] = asked(world, REVIEW)["waiting"]
    assert (one["index"], one["version"], one["age"]) == (renewed, "1.4.3", DAY)


def test_releases_of_all_products_of_a_name_are_watched(world: World) -> None:
    world.write_policy(products={"acme.example/*": {"platforms": ["aws-nitro"]}})
    world.scene.release()
    other = world.scene.release(image=registers("o"), product="acme.example/other")
    assert waiting(world, REVIEW, "--product acme.example/*")[1][0] == other
    assert len(waiting(world, REVIEW)) == 2
    ran = world.run(f"queue {LOG}")
    assert ran.err.count("names no auditors for acme.example/other") == 1


# --- what no longer stands -----------------------------------------------------------


@pytest.mark.parametrize("reason", ["vulnerable", "withdrawn"])
def test_what_is_revoked_does_not_wait(world: World, reason: str) -> None:
    index = world.scene.release()
    world.log.revoke("acme.example", reason, index)
    found = asked(world)
    assert found["waiting"] == []
    assert found["left_out"] == {"revoked, expired or void": 1}


def test_what_has_expired_does_not_wait(world: World) -> None:
    world.scene.release(expires=format_time(world.log.now + DAY))
    assert len(waiting(world)) == 1
    world.log.now += 2 * DAY
    assert waiting(world) == []


def test_what_names_no_source_cannot_be_rebuilt(world: World) -> None:
    world.scene.release(source=None)
    found = asked(world, REPRODUCTION)
    assert found["waiting"] == []
    assert found["left_out"] == {"reproduction: names no source": 1}


def test_what_is_of_a_platform_to_come_is_counted(world: World) -> None:
    subject = {"x": "sha256:" + "ab" * 32}
    world.log.release(PRODUCT, "1.0.0", subject, platform="intel-tdx")
    found = asked(world)
    assert found["waiting"] == []
    assert list(found["left_out"]) == ["of a platform that this version does not know"]


def test_a_long_queue_is_cut_for_people(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.queued_text._SHOWN", 1)
    world.scene.release("1.0.0", registers("a"))
    world.scene.release("1.1.0", registers("b"))
    world.log.seal()
    assert "and 1 more; --json" in world.run(f"queue {LOG}").out


# --- what runs out -------------------------------------------------------------------


def test_what_runs_out_is_listed_before_it_has(world: World) -> None:
    index = world.scene.release(controls=(CONTROL,))
    world.scene.reproduce()
    world.scene.review(expires=format_time(world.log.now + 60 * DAY))
    world.scene.review_controls(index)
    assert waiting(world, "--expiring 30d") == []
    assert "runs out in 30d" in world.run(f"queue {LOG} --expiring 30d").out
    assert waiting(world, "--expiring 70d") == [(index, ["source-review"])]
    both = [(index, ["source-review", "controls-review"])]
    assert waiting(world, "--expiring 100d") == both
    assert "in 60d" in world.run(f"queue {LOG} --expiring 100d").out
    world.log.now += 61 * DAY
    assert waiting(world, "--expiring 10d") == []  # it waits now
    assert waiting(world, "--expiring 0d") == []  # and has not run out
    assert waiting(world) == [(index, ["source-review"])]


def test_what_runs_out_first_comes_first(world: World) -> None:
    first = world.scene.release("1.0.0", registers("a"), source=source("aa" * 20))
    second = world.scene.release("1.1.0", registers("b"), source=source("bb" * 20))
    world.scene.review(of="aa" * 20, expires=format_time(world.log.now + 9 * DAY))
    world.scene.review(of="bb" * 20, expires=format_time(world.log.now + 5 * DAY))
    found = asked(world, REVIEW, "--expiring 10d")["waiting"]
    assert [one["index"] for one in found] == [second, first]
    assert found[0]["until"] == format_time(world.log.now + 5 * DAY)


def test_a_quorum_runs_out_with_the_auditor_that_makes_it(world: World) -> None:
    world.write_policy(product={"counts": {"source-review": 2}})
    index = world.scene.release()
    world.scene.review(LENS, expires=format_time(world.log.now + 9 * DAY))
    world.scene.review(LAB, expires=format_time(world.log.now + 2 * DAY))
    assert waiting(world, REVIEW, "--expiring 3d") == [(index, ["source-review"])]
    world.scene.review(LAB)  # a later one does not run out
    assert waiting(world, REVIEW, "--expiring 3d") == []
    assert waiting(world, REVIEW, f"--expiring 10d --as {LAB}") == []
    assert waiting(world, REVIEW, f"--expiring 10d --as {LENS}") != []


def test_a_time_ahead_is_a_duration(world: World) -> None:
    ran = world.run(f"queue {LOG} --expiring soon")
    assert ran.status == 2
    assert "--expiring" in ran.err


# --- what counts as an audit ---------------------------------------------------------


def test_a_pass_that_was_revoked_or_is_void_or_expired_is_none(world: World) -> None:
    index = world.scene.release()
    audit = world.scene.review(LENS)
    world.log.revoke(LENS, "erroneous", audit)
    assert waiting(world, REVIEW) == [(index, ["source-review"])]
    world.scene.review(LENS, expires=format_time(world.log.now + DAY))
    assert waiting(world, REVIEW) == []
    world.log.now += 2 * DAY
    assert waiting(world, REVIEW) == [(index, ["source-review"])]
    world.scene.review(LAB)
    assert waiting(world, REVIEW) == []
    compromise(world.scene, LAB, since=0)
    assert waiting(world, REVIEW) == [(index, ["source-review"])]


def test_a_pass_of_another_commit_or_other_registers_is_none(world: World) -> None:
    index = world.scene.release()
    world.scene.review(of="cd" * 20)
    world.scene.reproduce(source=source("cd" * 20))
    assert waiting(world) == [(index, ["reproduction", "source-review"])]


def test_a_fail_is_an_audit_until_its_auditor_revokes_it(world: World) -> None:
    index = world.scene.release()
    fail = world.scene.reproduce(result="fail")
    assert waiting(world, REPRODUCTION) == []
    world.log.revoke(LAB, "erroneous", fail)
    assert waiting(world, REPRODUCTION) == [(index, ["reproduction"])]


def test_a_review_whose_basis_fell_is_none(world: World) -> None:
    index = world.scene.release()
    basis = world.scene.review(of="cd" * 20)
    said = Basis("cd" * 20, world.log.entries[basis].sha256)
    world.scene.review(basis=said)
    assert waiting(world, REVIEW) == []
    world.log.revoke(LENS, "erroneous", basis)
    assert waiting(world, REVIEW) == [(index, ["source-review"])]


def test_findings_beyond_the_policy_are_work_for_others_and_not_for_oneself(
    world: World,
) -> None:
    world.write_policy(product={"open_findings": {"high": 0}})
    index = world.scene.release()
    world.scene.review(LENS, result="qualified", open=OPEN)
    assert waiting(world, REVIEW) == [(index, ["source-review"])]
    assert waiting(world, REVIEW, f"--as {LENS}") == []


# --- for oneself ---------------------------------------------------------------------


def test_what_others_did_is_still_ones_own_to_do(world: World) -> None:
    index = world.scene.release()
    world.scene.review(LENS)
    assert waiting(world, REVIEW, f"--as {LAB}") == [(index, ["source-review"])]
    assert waiting(world, REVIEW, "--as new.example") == [(index, ["source-review"])]


def test_a_provider_audits_nothing_of_its_own(world: World) -> None:
    world.scene.release()
    ran = world.run(f"queue {LOG} --as acme.example --json")
    assert json.loads(ran.out)["waiting"] == []
    assert "nobody counts as an auditor of their own" in ran.err


# --- how it is asked -----------------------------------------------------------------


def test_people_read_one_line_for_each_and_what_comes_next(world: World) -> None:
    index = world.scene.release(variant="x86_64")
    world.log.now += 90 * 60
    world.log.seal()
    out = world.run(f"queue {LOG}").out
    line = f"{index}     1h  {PRODUCT} 1.4.2 (x86_64): reproduction, source-review"
    assert line in out
    assert f"pcrlog cosign --rebuild COMMAND --produces IMAGE {index}" in out
    out = world.run(f"queue {LOG} --scope source-review").out
    assert f"--scope source-review --result RESULT {index}" in out


@pytest.mark.parametrize(
    "words",
    [
        "queue --log https://log.example/pcr",
        f"queue {LOG} --product other.example/x",
        f"queue {LOG} --scope nonsense",
    ],
)
def test_a_queue_is_of_watched_products_by_a_policy(world: World, words: str) -> None:
    assert world.run(words).status == 2


def test_more_than_are_looked_at_are_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.queued.MOST", 1)
    world.scene.release("1.0.0", registers("a"))
    second = world.scene.release("1.1.0", registers("b"))
    found = asked(world, REVIEW)
    assert [one["index"] for one in found["waiting"]] == [second]
    assert found["older"] == 1
    assert "older ones not looked at" in world.run(f"queue {LOG}").out


def test_what_the_log_does_not_hand_over_at_once_is_read_one_by_one(
    world: World,
) -> None:
    first = world.scene.release("1.0.0", registers("a"))
    second = world.scene.release("1.1.0", registers("b"))
    world.log.seal()
    key = f"v1/product/{PRODUCT}"
    whole = world.log.assemble({key: world.log.answer(key)})
    entries = {second: whole.entries[second]}
    short = type(whole)(
        whole.note, whole.seal, whole.seal_proof, whole.answers, entries
    )
    world.lies["api/v1/lookup"] = lambda: (200, short.encode())
    ran = world.run(f"queue {LOG} --json {REVIEW}")
    found = [one["index"] for one in json.loads(ran.out)["waiting"]]
    assert found == [first, second]


def test_what_is_read_one_by_one_belongs_under_the_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.scene.release()
    other = world.scene.release("2.0.0", registers("o"), product="acme.example/other")
    world.log.index[f"v1/product/{PRODUCT}"].append(other)
    world.log.seal()
    withhold(world, monkeypatch, other)
    ran = world.run(f"queue {LOG}")
    assert ran.status == 4
    told = " ".join(ran.err.split())
    assert f"entry {other} does not belong under v1/product/{PRODUCT}" in told


def test_a_log_that_is_silent_could_not_be_asked(world: World) -> None:
    world.lies["api/v1/lookup"] = lambda: (503, b"")
    assert world.run(f"queue {LOG}").status == 3


def test_a_mirror_gives_the_same_queue(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log itself is asked over HTTP, and the mirror without it."""
    Scene(keeper.simulator.log).release("1.4.9", registers("waits"))
    keeper.simulator.log.seal()
    keeper.copied()
    status, online, err = keeper.run("queue --json")
    assert status == 0, err
    assert len(json.loads(online)["waiting"]) > 0
    monkeypatch.delattr("pcrlog.transport.Client._once")
    assert keeper.run("queue --mirror mirror --json") == (0, online, "")
