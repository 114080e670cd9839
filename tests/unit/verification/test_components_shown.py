"""Links 5 and 6 by name: which component a chain ends at, and why."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcrlog.predicates import Component
from pcrlog.verification import Report, links
from pcrlog.verification.audits import digest_of
from pcrlog.verification.report import ComponentShown, Share
from tests.support.scene import LAB, LENS, Scene, artifact, found, source

PARTS, BASE = "parts.example", "base.example"
SIDECAR, IMAGE = f"{PARTS}/sidecar", f"{BASE}/image"
SHA, SHB = "5a" * 32, "0b" * 32
OTHER = "0e" * 20
SIDE, UNDER = Component(SIDECAR, SHA), Component(IMAGE, SHB)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    for name in (PARTS, BASE):
        made.log.enroll(name, "provider")
    return made


def part(scene: Scene, one: Component = SIDE, **members: Any) -> int:
    """A component's release, from source that nobody reviewed."""
    members.setdefault("source", source(OTHER))
    return scene.release(
        "1.0.0",
        artifact(one.sha256),
        product=one.product,
        platform="artifact",
        **members,
    )


def rebuilt(scene: Scene, one: Component = SIDE, **members: Any) -> int:
    members.setdefault("source", source(OTHER))
    return scene.reproduce(LAB, artifact(one.sha256), platform="artifact", **members)


def rely_on(scene: Scene, *parts: Component, confirmed: bool = True) -> None:
    """A release that is rebuilt, reviewed, and made of these parts."""
    scene.release(components=parts)
    scene.reproduce(components=digest_of(parts) if confirmed else None)
    scene.review()


def only(report: Report) -> ComponentShown:
    [one] = report.components
    return one


def shares(one: ComponentShown) -> tuple[Share, Share]:
    five, six = one.links
    assert (five.number, six.number) == (5, 6)
    return five, six


# --- one component, from nothing to proven --------------------------------------------


def test_a_release_without_components_names_none(scene: Scene) -> None:
    scene.release(components=())
    assert scene.report().components == ()
    assert Scene().report().components == ()


def test_what_nobody_released_is_where_trust_ends_by_name(scene: Scene) -> None:
    rely_on(scene, SIDE)
    report = scene.report()
    one = only(report)
    assert (one.product, one.sha256, one.version, one.depth) == (SIDECAR, SHA, None, 1)
    for share in shares(one):
        assert share.status == "missing"
        assert share.found == "parts.example has released no such artifact"
        assert share.next.startswith("parts.example: release it")
        assert SHA in share.next
    assert report.headline.endswith(
        "; trust ends at parts.example/sidecar (5a5a5a5a5a5a…): parts.example has"
        " released no such artifact"
    )
    assert report.links[4].next == one.links[0].next
    assert report.links[5].next == one.links[1].next


def test_a_sidecar_without_source_is_where_trust_ends_by_name(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene, source=None)
    report = scene.demand(1, 2, 5)
    five, six = shares(only(report))
    assert five.status == six.status == "missing"
    assert five.found == six.found == "its release names no source"
    assert five.by == (PARTS,)
    assert [cited.index for cited in five.evidence] == [index]
    assert "parts.example: release parts.example/sidecar 1.0.0 with" in five.next
    assert found(report, "components") == (
        "link 5 missing (parts.example/sidecar 1.0.0: its release names no source),"
        " link 6 missing (parts.example/sidecar 1.0.0: its release names no source)"
    )
    assert report.headline.startswith("REFUTED: components: link 5 missing (parts")


def test_source_without_a_recipe_can_be_reviewed_and_not_rebuilt(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene, build=None)
    five, six = shares(only(scene.report()))
    assert five.found == "its release names no recipe"
    assert six.found == "nobody has reviewed its source"
    assert six.next == (
        "an auditor: review the source of parts.example/sidecar 1.0.0 (pcrlog cosign"
        f" --scope source-review {index})"
    )


def test_a_component_is_claimed_until_somebody_rebuilds_it(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene)
    report = scene.report()
    five, _ = shares(only(report))
    assert (five.status, five.by) == ("claimed", (PARTS,))
    assert five.found == "nobody has rebuilt it"
    assert five.next.endswith(
        f"(pcrlog cosign --rebuild … {index}, or --scope reproduction {index})"
    )
    assert "trust ends at parts.example/sidecar 1.0.0: nobody" in report.headline
    audit = rebuilt(scene)
    two = {"counts": {"reproduction": 2}}
    five, _ = shares(only(scene.report(policy=scene.policy(product=two))))
    assert five.found == "only 1 of 2 auditors have rebuilt it"
    report = scene.report()
    five, _ = shares(only(report))
    assert (five.status, five.by, five.found, five.next) == ("proven", (LAB,), "", "")
    assert [cited.index for cited in five.evidence] == [index, audit]
    assert report.headline.startswith("VERIFIED TO LINK 5 OF 7: ")
    assert report.headline.endswith(
        "trust ends at parts.example/sidecar 1.0.0: nobody has reviewed its source"
    )


def test_a_component_that_is_rebuilt_and_reviewed_is_proven_by_name(
    scene: Scene,
) -> None:
    rely_on(scene, SIDE)
    part(scene)
    rebuilt(scene)
    review = scene.review(LENS, OTHER)
    report = scene.report()
    five, six = shares(only(report))
    assert five.status == six.status == "proven"
    assert six.by == (LENS,)
    assert review in {cited.index for cited in six.evidence}
    assert "trust ends at" not in report.headline


# --- against it -----------------------------------------------------------------------


def test_a_revoked_component_is_named_with_its_revocation(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene)
    revocation = scene.log.revoke(PARTS, "vulnerable", index)
    report = scene.report()
    one = only(report)
    assert one.version == "1.0.0"
    for share in shares(one):
        assert share.status == "failed"
        assert share.found == (
            f"release {index} is revoked by parts.example as vulnerable (entry"
            f" {revocation})"
        )
    assert "parts.example/sidecar 1.0.0: release" in found(report, "components")
    assert "a new build without this parts.example/sidecar" in report.links[4].next


def test_a_component_that_somebody_failed_to_rebuild_is_failed_by_them(
    scene: Scene,
) -> None:
    rely_on(scene, SIDE)
    part(scene)
    fail = rebuilt(scene, result="fail")
    five, six = shares(only(scene.report()))
    for share in (five, six):
        assert (share.status, share.by) == ("failed", (LAB,))
        assert [cited.index for cited in share.evidence] == [fail]
        assert "lab.example failed it" in share.found


def test_a_conflict_is_not_told_as_by_who_rebuilt_it(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene)
    rebuilt(scene)
    part(scene, Component(SIDECAR, SHB))
    for share in shares(only(scene.report())):
        assert (share.status, share.by) == ("failed", ())
        assert [cited.index for cited in share.evidence] == [index]
        assert "in conflict" in share.found


# --- components of components ---------------------------------------------------------


def test_what_is_below_is_named_and_not_what_is_above_it(scene: Scene) -> None:
    """A sidecar that is fine stays so; the base image below it is to blame."""
    rely_on(scene, SIDE)
    part(scene, components=(UNDER,))
    rebuilt(scene, components=digest_of((UNDER,)))
    report = scene.report()
    side, under = report.components
    assert (side.product, side.depth) == (SIDECAR, 1)
    assert (under.product, under.depth) == (IMAGE, 2)
    assert shares(side)[0].status == "proven"
    assert shares(under)[0].status == "missing"
    assert report.links[4].status == "missing"
    assert report.links[4].next.startswith("base.example: release it")
    assert "trust ends at base.example/image (0b0b" in report.headline


def test_a_list_of_a_component_that_nobody_confirmed_is_said(scene: Scene) -> None:
    rely_on(scene, SIDE)
    index = part(scene, components=(UNDER,))
    rebuilt(scene)
    part(scene, UNDER)
    rebuilt(scene, UNDER)
    report = scene.report()
    side, under = report.components
    five, _ = shares(side)
    assert five.status == "claimed"
    assert five.found == "nobody confirmed its own list of components"
    assert f"--components-complete {index}" in five.next
    assert shares(under)[0].status == "proven"
    assert report.links[4].status == "claimed"


def test_a_list_of_a_component_that_too_few_confirmed_is_said(scene: Scene) -> None:
    rely_on(scene, SIDE)
    part(scene, components=(UNDER,))
    rebuilt(scene, components=digest_of((UNDER,)))
    scene.reproduce(LENS, artifact(SHA), platform="artifact", source=source(OTHER))
    two = scene.policy(product={"counts": {"reproduction": 2}})
    five, _ = shares(scene.report(policy=two).components[0])
    assert five.found == "only 1 of 2 auditors confirmed its own list of components"


def test_a_component_that_two_name_is_told_once(scene: Scene) -> None:
    rely_on(scene, UNDER, SIDE)
    part(scene, components=(UNDER,))
    assert [one.product for one in scene.report().components] == [IMAGE, SIDECAR]


def test_what_the_release_names_itself_stands_outermost(scene: Scene) -> None:
    """Though another component names it too, and comes first."""
    first, second = (Component(f"{PARTS}/{name}", SHA) for name in "ab")
    rely_on(scene, first, second)
    part(scene, first, components=(second,))
    part(scene, second)
    found = [(one.product, one.depth) for one in scene.report().components]
    assert found == [(f"{PARTS}/a", 1), (f"{PARTS}/b", 1)]


def test_where_one_way_is_cut_another_still_tells_what_failed(scene: Scene) -> None:
    chain = [Component(f"{PARTS}/p{n}", f"{n:02x}" * 32) for n in range(1, 9)]
    bad, beside = Component(f"{PARTS}/z", SHA), Component(f"{PARTS}/y", SHB)
    for one, below in pairwise([*chain, bad]):
        part(scene, one, components=(below,))
    part(scene, beside, components=(bad,))
    scene.log.revoke(PARTS, "vulnerable", part(scene, bad))
    rely_on(scene, chain[0], beside)
    report = scene.report()
    told = {one.product: shares(one)[0].status for one in report.components}
    assert told[bad.product] == "failed"
    assert f"link 5 failed ({PARTS}/z 1.0.0: release" in report.headline


def test_a_circle_ends_and_is_could_not_check(scene: Scene) -> None:
    rely_on(scene, SIDE)
    part(scene, components=(UNDER,))
    part(scene, UNDER, components=(SIDE,))
    report = scene.report()
    assert [one.product for one in report.components] == [SIDECAR, IMAGE]
    for one in report.components:
        assert {share.status for share in one.links} == {"unchecked"}
        assert all("ask again" in share.next for share in one.links)
    assert report.exit_code == 3


def test_what_is_too_deep_is_named_and_not_checked(scene: Scene) -> None:
    chain = [Component(f"{PARTS}/p{n}", f"{n:02x}" * 32) for n in range(1, 11)]
    for one, below in pairwise(chain):
        part(scene, one, components=(below,))
    rely_on(scene, chain[0])
    report = scene.report()
    assert [one.depth for one in report.components] == list(range(1, 10))
    last = report.components[-1].links[0]
    assert (last.status, last.found) == (
        "unchecked",
        "too many components, too deep, or in a circle",
    )


# --- whose turn it is -----------------------------------------------------------------


def test_an_unconfirmed_list_comes_before_what_is_on_it(scene: Scene) -> None:
    rely_on(scene, SIDE, confirmed=False)
    part(scene)
    report = scene.report()
    assert report.links[4].status == "claimed"
    assert report.links[4].next.startswith("an auditor: confirm the list is complete")
    assert "trust ends at" not in report.headline
    assert found(report, "components") == (
        "link 5 claimed, link 6 missing (parts.example/sidecar 1.0.0: nobody has"
        " reviewed its source)"
    )


def test_a_list_that_too_few_confirmed_is_confirmed_by_nobody(scene: Scene) -> None:
    rely_on(scene, SIDE)
    two = {"counts": {"reproduction": 2}}
    link = scene.report(policy=scene.policy(product=two)).links[4]
    assert (link.status, link.by, link.evidence) == ("missing", (), ())


def test_an_absent_list_is_the_providers(scene: Scene) -> None:
    scene.release()
    report = scene.report()
    assert report.components == ()
    assert report.links[4].next.startswith("the provider: list the components")


# --- the rows are the link ------------------------------------------------------------


STATES = ("none", "bare", "claimed", "rebuilt", "reviewed", "bad")


def come_to(
    scene: Scene, one: Component, state: str, below: tuple[Component, ...]
) -> None:
    """Bring a component to a state, made of what is below it."""
    if state == "none":
        return
    commit = one.sha256[:40]
    origin = None if state == "bare" else source(commit)
    index = part(scene, one, source=origin, components=below or None)
    if state in ("rebuilt", "reviewed"):
        listed = digest_of(below) if below else None
        rebuilt(scene, one, source=origin, components=listed)
    if state == "reviewed":
        scene.review(LENS, commit)
    if state == "bad":
        scene.log.revoke(PARTS, "compromised", index)


@given(
    states=st.lists(
        st.tuples(st.sampled_from(STATES), st.booleans()), min_size=1, max_size=4
    ),
    confirmed=st.booleans(),
)
def test_a_link_is_the_worst_of_its_list_and_of_all_rows(
    *, states: list[tuple[str, bool]], confirmed: bool
) -> None:
    """Whatever components have come to, and whether one is below another or beside."""
    scene = Scene()
    scene.log.enroll(PARTS, "provider")
    beside: list[Component] = []
    below: tuple[Component, ...] = ()
    for number, (state, nested) in enumerate(states):
        one = Component(f"{PARTS}/p{number}", f"{number + 1:02x}" * 32)
        come_to(scene, one, state, below if nested else ())
        beside += () if nested else below
        below = (one,)
    rely_on(scene, *sorted({*beside, *below}, key=Component.order), confirmed=confirmed)
    report = scene.report()
    own: links.Status = "proven" if confirmed else "claimed"
    for number in (5, 6):
        shown = [one.links[number - 5] for one in report.components]
        statuses = [share.status for share in shown]
        assert report.links[number - 1].status == links.worst(own, *statuses)
        for share in shown:
            assert (share.status == "proven") is (share.next == "")
            assert (share.status == "proven") is (share.found == "")
