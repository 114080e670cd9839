"""`pcrlog queue` of components: they wait under their own names, as a part of what."""

import json
from typing import Any

import pytest

from pcrlog.predicates import Component
from tests.support.memory_log import registers
from tests.support.scene import (
    CONTROL,
    DAY,
    LAB,
    LENS,
    PRODUCT,
    Scene,
    artifact,
    source,
)
from tests.unit.cli.mirroring import Keeper
from tests.unit.cli.world import World

PARTS, BASE = "parts.example", "base.example"
SIDECAR, IMAGE = f"{PARTS}/sidecar", f"{BASE}/image"
SIDE, UNDER = Component(SIDECAR, "5a" * 32), Component(IMAGE, "0b" * 32)
OTHER = "0e" * 20
LOG = "--policy policy.toml"
BOTH = ["reproduction", "source-review"]
UNRELEASED = "component that its provider has not released"


@pytest.fixture
def parts(world: World) -> World:
    """Two providers of parts."""
    world.log.enroll(PARTS, "provider")
    world.log.enroll(BASE, "provider")
    return world


def part(world: World, one: Component = SIDE, **members: Any) -> int:
    """A component's release, from source that nobody reviewed."""
    members.setdefault("source", source(OTHER))
    return world.scene.release(
        "1.0.0",
        artifact(one.sha256),
        product=one.product,
        platform="artifact",
        **members,
    )


def whole(world: World, *components: Component, **members: Any) -> int:
    """A release of these parts, of which nothing is left to do but its parts."""
    index = world.scene.release(components=components, **members)
    world.scene.reproduce()
    world.scene.review()
    return index


def asked(world: World, *words: str) -> dict[str, Any]:
    world.log.seal()
    ran = world.run(f"queue {LOG} --json", *words)
    assert ran.status == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def waiting(world: World, *words: str) -> list[tuple[int, list[str]]]:
    return [(one["index"], one["scopes"]) for one in asked(world, *words)["waiting"]]


def test_a_part_waits_under_its_own_name_as_a_part_of_what(parts: World) -> None:
    whole(parts, SIDE)
    index = part(parts)
    [one] = asked(parts)["waiting"]
    assert (one["index"], one["product"], one["scopes"]) == (index, SIDECAR, BOTH)
    assert (one["platform"], one["part_of"]) == ("artifact", [PRODUCT])
    assert one["measurements"] == [f"artifact/digest=sha256:{SIDE.sha256}"]
    out = parts.run(f"queue {LOG}").out
    line = f"{SIDECAR} 1.0.0, part of {PRODUCT}: reproduction, source-review"
    assert line in " ".join(out.split())
    assert f"cosign --rebuild COMMAND --produces FILE {index}" in out


def test_an_audit_of_a_part_is_done(parts: World) -> None:
    whole(parts, SIDE)
    index = part(parts)
    subject = artifact(SIDE.sha256)
    parts.scene.reproduce(LAB, subject, platform="artifact", source=source(OTHER))
    assert waiting(parts) == [(index, ["source-review"])]
    parts.scene.review(LENS, of=OTHER)
    assert waiting(parts) == []
    assert waiting(parts, f"--as {LENS}")[-1] == (index, ["reproduction"])


def test_a_release_that_waits_stands_beside_its_parts(parts: World) -> None:
    index = parts.scene.release(components=(SIDE,))
    parts.log.now += DAY
    below = part(parts)
    found = asked(parts)["waiting"]
    assert [(one["index"], one["part_of"]) for one in found] == [
        (index, []),
        (below, [PRODUCT]),
    ]


def test_parts_of_parts_wait_too_and_each_once(parts: World) -> None:
    under = part(parts, UNDER)
    side = part(parts, components=(UNDER,))
    whole(parts, UNDER, SIDE)
    parts.scene.release("1.5.0", registers("b"), components=(SIDE,))
    found = asked(parts, "--scope reproduction")["waiting"]
    below = [(one["index"], one["part_of"]) for one in found if one["part_of"]]
    assert below == [(under, [PRODUCT]), (side, [PRODUCT])]


def test_parts_in_a_circle_are_listed_once(parts: World) -> None:
    whole(parts, SIDE)
    side, under = (
        part(parts, components=(UNDER,)),
        part(parts, UNDER, components=(SIDE,)),
    )
    assert [index for index, _ in waiting(parts)] == [side, under]


def test_what_the_walk_does_not_reach_is_told(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcrlog.limits.COMPONENT_DEPTH", 1)
    whole(parts, SIDE)
    side = part(parts, components=(UNDER,))
    part(parts, UNDER)
    assert waiting(parts) == [(side, BOTH)]
    told = " ".join(parts.run(f"queue {LOG}").err.split())
    assert f"{PRODUCT}: not all of its components are listed" in told


def test_a_part_of_two_watched_products_is_one_line(parts: World) -> None:
    other = "acme.example/other"
    auditors = [{"name": name, "scopes": BOTH} for name in (LAB, LENS)]
    one = {"platforms": ["aws-nitro"], "auditors": auditors}
    two = one | {"counts": {"reproduction": 2}}
    parts.write_policy(product=one, products={other: two})
    whole(parts, SIDE)
    parts.scene.release("2.0.0", registers("o"), product=other, components=(SIDE,))
    index = part(parts)
    subject = artifact(SIDE.sha256)
    parts.scene.reproduce(LAB, subject, platform="artifact", source=source(OTHER))
    found = {one["index"]: one for one in asked(parts)["waiting"]}
    # One auditor is enough for the wallet's parts, and not for the other's.
    assert found[index]["scopes"] == BOTH
    assert found[index]["part_of"] == [PRODUCT, other]


def test_a_part_that_is_watched_itself_is_one_line_too(parts: World) -> None:
    rules = {"platforms": ["artifact"], "auditors": [{"name": LAB, "scopes": BOTH}]}
    parts.write_policy(products={SIDECAR: rules})
    whole(parts, SIDE)
    index = part(parts)
    [one] = asked(parts)["waiting"]
    assert (one["index"], one["part_of"]) == (index, [PRODUCT])
    assert waiting(parts, f"--product {SIDECAR}") == [(index, BOTH)]


def test_auditors_of_the_part_count_where_the_policy_names_it(parts: World) -> None:
    own = {
        "platforms": ["artifact"],
        "auditors": [{"name": "new.example", "scopes": ["source-review"]}],
    }
    parts.write_policy(products={SIDECAR: own})
    parts.log.enroll("new.example", "auditor")
    whole(parts, SIDE)
    index = part(parts)
    parts.scene.review(LENS, of=OTHER)
    watched = f"--product {PRODUCT}"
    assert waiting(parts, watched) == [(index, ["source-review"])]
    parts.scene.review("new.example", of=OTHER)
    assert waiting(parts, watched) == []


def test_what_nobody_released_or_no_longer_stands_is_counted(parts: World) -> None:
    whole(parts, UNDER, SIDE)
    index = part(parts)
    parts.log.revoke(PARTS, "vulnerable", index)
    found = asked(parts, "--scope reproduction")
    assert found["waiting"] == []
    assert found["left_out"] == {"revoked, expired or void": 1, UNRELEASED: 1}


def test_parts_of_a_release_that_no_longer_stands_do_not_wait(parts: World) -> None:
    index = whole(parts, SIDE)
    part(parts)
    parts.log.revoke("acme.example", "withdrawn", index)
    assert waiting(parts) == []


def test_of_a_part_nobody_reviews_controls(parts: World) -> None:
    index = whole(parts, SIDE, controls=(CONTROL,))
    part(parts)
    scope = "--scope controls-review"
    assert waiting(parts, scope) == [(index, ["controls-review"])]
    assert asked(parts, scope)["left_out"] == {}


def test_a_maker_of_parts_audits_none_of_its_own(parts: World) -> None:
    index = whole(parts, SIDE)
    part(parts)
    parts.log.seal()
    ran = parts.run(f"queue {LOG} --json --as {PARTS}")
    assert [one["index"] for one in json.loads(ran.out)["waiting"]] == [index]
    assert f"{SIDECAR}: nobody counts as an auditor of their own" in ran.err


def test_an_audit_of_a_part_that_runs_out_is_listed(parts: World) -> None:
    whole(parts, SIDE)
    index = part(parts)
    ends = "2026-12-23T07:00:00Z"
    parts.scene.review(LENS, of=OTHER, expires=ends)
    assert waiting(parts, "--expiring 10d") == []
    [one] = asked(parts, "--expiring 40d")["waiting"]
    assert (one["index"], one["scopes"], one["until"]) == (index, BOTH[1:], ends)


def test_a_mirror_lists_the_same_parts(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = keeper.simulator.log
    log.enroll(PARTS, "provider")
    scene = Scene(log)
    scene.release("1.4.9", registers("waits"), components=(SIDE,))
    index = scene.release(
        "1.0.0", artifact(SIDE.sha256), product=SIDECAR, platform="artifact"
    )
    log.seal()
    keeper.copied()
    status, online, err = keeper.run("queue --json")
    assert status == 0, err
    found = {one["index"]: one["part_of"] for one in json.loads(online)["waiting"]}
    assert found[index] == [PRODUCT]
    monkeypatch.delattr("pcrlog.transport.Client._once")
    assert keeper.run("queue --json --mirror mirror") == (0, online, "")
