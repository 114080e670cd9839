"""Is it my business? Each rule fires where it should, and not where it should not.

A case is a story on a log, what is watched of it, and the kinds that are told of its
last statements. Every story is told in one run, in runs of one entry, and in two runs
cut at each place: what is told is the same.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.alerts import KINDS, Alert
from pcrlog.predicates import Component
from tests.support.memory_log import active, key, registers
from tests.support.scene import (
    BAD,
    DAY,
    GOOD,
    LAB,
    LENS,
    PROVIDER,
    Scene,
    artifact,
    compromise,
    retire,
    source,
)
from tests.unit.monitor.watching import Watcher, kinds

OTHER = f"{PROVIDER}/other"
RIVAL = "rival.example"
PART = ("parts.example/sidecar", "5a" * 32)
INNER = ("parts.example/inner", "1b" * 32)
MORE = "cd" * 20
"""Another commit."""
LAST_ENROLMENT = 3
MINE: dict[str, Any] = {"identities": (PROVIDER,)}
LISTED: dict[str, Any] = {"identities": (PROVIDER,), "statements": ()}
LAB_IS_MINE: dict[str, Any] = {"products": (), "identities": (LAB,), "statements": ()}

Story = Callable[[Scene], object]
STORIES: dict[str, tuple[str, Story, dict[str, Any], list[str]]] = {}
"""By name: kind, story, what is watched, and what is told."""


def told(kind: str, *expected: str, **watch: Any) -> Callable[[Story], Story]:
    """A story in which these kinds are told; no kinds: nothing is."""

    def keep(story: Story) -> Story:
        name = story.__name__.strip("_").replace("_", " ")
        assert name not in STORIES
        STORIES[name] = (kind, story, watch, list(expected))
        return story

    return keep


def component(scene: Scene, of: tuple[str, str] = PART, **members: Any) -> Component:
    """A component, released by its provider."""
    provider = of[0].partition("/")[0]
    if scene.log.authority.newest(provider) is None:
        scene.log.enroll(provider, "provider")
    scene.release(
        "1.0.0", artifact(of[1]), product=of[0], platform="artifact", **members
    )
    return Component(*of)


# --- unexpected-release --------------------------------------------------------------


@told("unexpected-release", "unexpected-release", expected=("builds",))
def _a_release_on_no_list(scene: Scene) -> None:
    scene.release(image=BAD)


@told("unexpected-release", expected=("builds",))
def _a_release_on_the_list(scene: Scene) -> None:
    scene.release()


@told("unexpected-release")
def _without_a_list_nothing_is_unexpected(scene: Scene) -> None:
    scene.release(image=BAD)


@told("unexpected-release", "unexpected-release", expected=())
def _with_an_empty_list_everything_is(scene: Scene) -> None:
    scene.release()


@told("unexpected-release", expected=())
def _anothers_product_is_not_my_business(scene: Scene) -> None:
    scene.log.enroll(RIVAL, "provider")
    scene.release(image=BAD, product=f"{RIVAL}/wallet")
    scene.release(image=registers("o"), product=OTHER)


@told(
    "unexpected-release",
    "unexpected-release",
    expected=(),
    products=(f"{PROVIDER}/*",),
)
def _all_products_of_a_provider(scene: Scene) -> None:
    scene.release(product=OTHER)


@told("unexpected-release", "unexpected-release", expected=(), products=(), **MINE)
def _all_releases_of_an_identity(scene: Scene) -> None:
    scene.release(product=OTHER)


@told(
    "unexpected-release",
    "unexpected-release",
    expected=(),
    products=(),
    keys=(key(PROVIDER).public.keyid,),
)
def _all_releases_by_a_key(scene: Scene) -> None:
    scene.release(product=OTHER)


# --- conflicting-release -------------------------------------------------------------


@told("conflicting-release", "conflicting-release")
def _two_builds_of_one_version(scene: Scene) -> None:
    scene.release()
    scene.release(image=BAD)


@told("conflicting-release")
def _two_variants_of_one_version(scene: Scene) -> None:
    scene.release()
    scene.release(image=BAD, variant="debug")


@told("conflicting-release", "revoked")
def _a_build_in_place_of_a_revoked_one(scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "withdrawn", scene.release())
    scene.release(image=BAD)


@told("conflicting-release", "conflicting-release", "revoked")
def _a_conflict_is_told_though_it_was_settled_later(scene: Scene) -> None:
    first = scene.release()
    scene.release(image=BAD)
    scene.log.revoke(PROVIDER, "withdrawn", first)


@told("conflicting-release", "signed-after-compromise")
def _a_build_in_place_of_a_thiefs(scene: Scene) -> None:
    new = key("new")
    scene.log.identify(
        PROVIDER,
        active(key(PROVIDER), new),
        [scene.log.enrol, key(PROVIDER)],
        roles=("provider",),
    )
    first = scene.release(image=BAD, by=key(PROVIDER))
    compromise(scene, PROVIDER, first)
    scene.release(by=new)


@told("conflicting-release", "conflicting-release")
def _a_conflict_is_told_once_however_often_it_is_renewed(scene: Scene) -> None:
    scene.release()
    scene.release(image=BAD)
    scene.log.now += DAY
    scene.release(image=BAD)
    scene.release()


# --- measurement-reuse ---------------------------------------------------------------


@told("measurement-reuse", "measurement-reuse")
def _anothers_release_of_my_build(scene: Scene) -> None:
    scene.release()
    scene.log.enroll(RIVAL, "provider")
    scene.release(product=f"{RIVAL}/purse")
    scene.log.now += DAY
    scene.release(product=f"{RIVAL}/purse")


@told("measurement-reuse", "measurement-reuse")
def _my_release_of_anothers_build(scene: Scene) -> None:
    scene.log.enroll(RIVAL, "provider")
    scene.release(product=f"{RIVAL}/purse")
    scene.release()


@told("measurement-reuse", "measurement-reuse")
def _two_products_of_mine_with_one_build(scene: Scene) -> None:
    scene.release(product=OTHER)
    scene.release()


@told("measurement-reuse")
def _renewing_a_release_reuses_nothing(scene: Scene) -> None:
    scene.release()
    scene.log.now += DAY
    scene.release()


# --- relabelled ----------------------------------------------------------------------


@told("relabelled", "relabelled")
def _an_old_build_under_a_new_version(scene: Scene) -> None:
    scene.release("1.0.0")
    scene.release("2.0.0")


@told("relabelled", "revoked", "relabelled")
def _a_revoked_build_that_is_released_again(scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "withdrawn", scene.release())
    scene.log.now += DAY
    scene.release()


@told("relabelled")
def _a_new_build_under_a_new_version(scene: Scene) -> None:
    scene.release("1.0.0")
    scene.release("2.0.0", BAD)


# --- audit-dissent -------------------------------------------------------------------


@told("audit-dissent", "audit-dissent")
def _a_reproduction_that_fails(scene: Scene) -> None:
    scene.release()
    scene.reproduce(result="fail")


@told("audit-dissent", "audit-dissent")
def _a_source_review_that_fails(scene: Scene) -> None:
    scene.release()
    scene.review(result="fail")


@told("audit-dissent")
def _a_pass(scene: Scene) -> None:
    scene.release()
    scene.reproduce()
    scene.review()


@told("audit-dissent")
def _a_fail_about_something_else(scene: Scene) -> None:
    scene.release()
    scene.reproduce(image=BAD, result="fail")
    scene.review(of=MORE, result="fail")


@told("audit-dissent")
def _a_fail_by_an_auditor_whom_nobody_counts(scene: Scene) -> None:
    scene.log.enroll("crank.example", "auditor")
    scene.release()
    scene.reproduce("crank.example", result="fail")


@told("audit-dissent", "audit-dissent", "audit-dissent")
def _a_pass_against_a_fail(scene: Scene) -> None:
    scene.release()
    scene.reproduce(LAB, result="fail")
    scene.reproduce(LENS)


@told("audit-dissent", "audit-dissent")
def _a_pass_after_the_fail_was_lifted(scene: Scene) -> None:
    scene.release()
    fail = scene.reproduce(LAB, result="fail")
    scene.log.revoke(LAB, "erroneous", fail)
    scene.reproduce(LENS)


@told("audit-dissent", "audit-dissent", "audit-dissent")
def _fails_that_came_before_the_release(scene: Scene) -> None:
    scene.reproduce(LAB, result="fail")
    scene.review(LENS, result="fail")
    scene.release()
    scene.log.now += DAY
    scene.release()


@told("audit-dissent")
def _a_fail_that_was_lifted_before_the_release(scene: Scene) -> None:
    scene.log.revoke(LAB, "erroneous", scene.reproduce(LAB, result="fail"))
    scene.release()


@told("audit-dissent", "audit-dissent")
def _a_fail_of_a_commit_that_was_rebuilt(scene: Scene) -> None:
    scene.release()
    scene.reproduce(source=source(MORE))
    scene.review(of=MORE, result="fail")


@told("audit-dissent", "audit-dissent")
def _a_fail_of_a_commit_before_it_was_rebuilt(scene: Scene) -> None:
    scene.release()
    scene.review(of=MORE, result="fail")
    scene.reproduce(source=source(MORE))
    scene.log.now += DAY
    scene.reproduce(LENS, source=source(MORE))


@told("audit-dissent", "audit-dissent")
def _a_fail_of_a_component(scene: Scene) -> None:
    scene.release(components=(component(scene),))
    scene.reproduce(LAB, artifact(PART[1]), platform="artifact", result="fail")


# --- revoked -------------------------------------------------------------------------


@told("revoked", "revoked")
def _a_release_that_is_revoked(scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "withdrawn", scene.release())


@told("revoked", "relabelled", "revoked", "revoked")
def _a_measurement_that_is_revoked(scene: Scene) -> None:
    first = scene.release("1.0.0")
    scene.release("2.0.0")
    scene.log.revoke(PROVIDER, "vulnerable", first)


@told("revoked", "revoked")
def _a_measurement_that_the_registrar_revokes(scene: Scene) -> None:
    scene.log.revoke("registrar", "compromised", scene.release(), by=scene.log.enrol)


@told("revoked")
def _anothers_release_that_is_revoked(scene: Scene) -> None:
    scene.release()
    scene.log.revoke(PROVIDER, "vulnerable", scene.release(image=BAD, product=OTHER))


@told("revoked", "measurement-reuse")
def _anothers_revocation_of_my_measurement(scene: Scene) -> None:
    scene.release()
    scene.log.enroll(RIVAL, "provider")
    scene.log.revoke(RIVAL, "compromised", scene.release(product=f"{RIVAL}/purse"))


@told("revoked", "revoked")
def _a_pass_that_is_revoked(scene: Scene) -> None:
    scene.release()
    scene.log.revoke(LAB, "erroneous", scene.reproduce())


@told("revoked", "measurement-reuse", "revoked", "relabelled")
def _a_measurement_that_was_revoked_before_it_was_mine(scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "vulnerable", scene.release(product=OTHER))
    scene.release()
    scene.log.now += DAY
    scene.release()


# --- component-revoked ---------------------------------------------------------------


@told("component-revoked", "component-revoked")
def _a_component_that_is_revoked(scene: Scene) -> None:
    part = component(scene)
    index = len(scene.log.leaves) - 1
    scene.release(components=(part,))
    scene.log.revoke("parts.example", "vulnerable", index)


@told("component-revoked", "component-revoked")
def _a_component_whose_release_is_revoked(scene: Scene) -> None:
    part = component(scene)
    index = len(scene.log.leaves) - 1
    scene.release(components=(part,))
    scene.log.revoke("parts.example", "superseded", index)


@told("component-revoked", "component-revoked")
def _a_component_that_was_revoked_before(scene: Scene) -> None:
    part = component(scene)
    scene.log.revoke("parts.example", "vulnerable", len(scene.log.leaves) - 1)
    scene.release(components=(part,))
    scene.log.now += DAY
    scene.release(components=(part,))


@told("component-revoked", "component-revoked")
def _a_component_of_a_component(scene: Scene) -> None:
    inner = component(scene, INNER)
    index = len(scene.log.leaves) - 1
    scene.release(components=(component(scene, components=(inner,)),))
    scene.log.revoke("parts.example", "vulnerable", index)


@told("component-revoked", "component-revoked")
def _a_component_of_a_component_that_is_released_late(scene: Scene) -> None:
    inner = component(scene, INNER)
    scene.log.revoke("parts.example", "vulnerable", len(scene.log.leaves) - 1)
    scene.release(components=(Component(*PART),))
    component(scene, components=(inner,))


@told("component-revoked")
def _a_component_of_somebody_else(scene: Scene) -> None:
    component(scene)
    index = len(scene.log.leaves) - 1
    scene.release()
    scene.log.revoke("parts.example", "vulnerable", index)


@told("component-revoked")
def _a_component_that_was_renewed_before_it_was_named(scene: Scene) -> None:
    component(scene)
    scene.log.revoke("parts.example", "superseded", len(scene.log.leaves) - 1)
    scene.log.now += DAY
    scene.release(components=(component(scene),))


# --- unexpected-statement ------------------------------------------------------------


@told("unexpected-statement", "unexpected-statement", **LAB_IS_MINE)
def _an_audit_in_my_name(scene: Scene) -> None:
    scene.reproduce(LAB)


@told("unexpected-statement", "unexpected-statement", "revoked", **LISTED)
def _a_revocation_in_my_name(scene: Scene) -> None:
    scene.log.revoke(PROVIDER, "compromised", scene.release())


@told(
    "unexpected-statement",
    "unexpected-statement",
    products=(),
    keys=(key(LAB).public.keyid,),
    statements=(),
)
def _an_audit_with_my_key(scene: Scene) -> None:
    scene.reproduce(LAB)


@told("unexpected-statement", **LAB_IS_MINE)
def _an_audit_in_anothers_name(scene: Scene) -> None:
    scene.reproduce(LENS)


@told("unexpected-statement", products=(), identities=(LAB,))
def _without_a_list_of_statements_none_is_unexpected(scene: Scene) -> None:
    scene.reproduce(LAB)


# --- key-change, registrar-acted -----------------------------------------------------


@told("key-change", "key-change", **MINE)
def _my_key_is_retired(scene: Scene) -> None:
    new = key("new")
    scene.log.identify(
        PROVIDER,
        active(key(PROVIDER), new),
        [scene.log.enrol, key(PROVIDER)],
        roles=("provider",),
    )


@told("key-change", **MINE)
def _anothers_key_is_changed(scene: Scene) -> None:
    new = key("new")
    scene.log.identify(
        LAB, active(key(LAB), new), [scene.log.enrol, key(LAB)], roles=("auditor",)
    )


@told("registrar-acted", "key-change", "registrar-acted", **MINE)
def _the_registrar_adds_a_key_to_my_name(scene: Scene) -> None:
    scene.log.identify(
        PROVIDER,
        active(key(PROVIDER), key("theirs")),
        [scene.log.enrol],
        roles=("provider",),
    )


# --- signed-after-compromise ---------------------------------------------------------


@told("signed-after-compromise", "signed-after-compromise")
def _what_a_thief_released(scene: Scene) -> None:
    compromise(scene, PROVIDER, scene.release())


@told("signed-after-compromise")
def _a_compromise_after_which_nothing_was_signed(scene: Scene) -> None:
    scene.release()
    compromise(scene, PROVIDER, len(scene.log.leaves))


@told("signed-after-compromise", "signed-after-compromise")
def _what_a_thief_of_an_auditors_key_passed(scene: Scene) -> None:
    scene.release()
    compromise(scene, LAB, scene.reproduce(LAB))


@told("signed-after-compromise")
def _a_compromise_of_somebody_else(scene: Scene) -> None:
    scene.log.enroll(RIVAL, "provider")
    compromise(scene, RIVAL, scene.release(product=f"{RIVAL}/purse"))


# --- the tests -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a list of builds in it."""
    hexes = {name: one.partition(":")[2] for name, one in GOOD.items()}
    lines = [f"{digits} {name}\n" for name, digits in hexes.items()]
    (tmp_path / "builds").write_text("".join(lines))
    return tmp_path


def watcher(folder: Path, name: str) -> tuple[Watcher, int]:
    """A log with its story, watched; and where the story begins."""
    scene = Scene()
    begins = len(scene.log.leaves)
    STORIES[name][1](scene)
    scene.log.seal()
    return Watcher(folder, scene, dict(STORIES[name][2])), begins


def of_story(found: list[Alert]) -> list[str]:
    """The kinds told, without those of the enrolments with which each scene begins."""
    return kinds(one for one in found if min(one.entries) > LAST_ENROLMENT)


@pytest.mark.parametrize("name", STORIES)
def test_each_story_is_told_as_it_should_be(name: str, folder: Path) -> None:
    watch, _ = watcher(folder, name)
    found = watch.read()
    assert sorted(of_story(found)) == sorted(STORIES[name][3])


@pytest.mark.parametrize("name", STORIES)
def test_it_does_not_matter_how_the_log_is_cut(name: str, folder: Path) -> None:
    whole, _ = watcher(folder, name)
    first = {one.id: one.kind for one in whole.read()}
    size = len(whole.scene.log.leaves)
    cuts = [[one] for one in range(1, size)] + [list(range(1, size))]
    for cut in cuts:
        whole.start()
        again = {one.id: one.kind for one in whole.cut(cut)}
        assert again == first, cut


@pytest.mark.parametrize("name", STORIES)
def test_a_restart_between_two_entries_changes_nothing(name: str, folder: Path) -> None:
    whole, begins = watcher(folder, name)
    first = {one.id: one.kind for one in whole.read()}
    size = len(whole.scene.log.leaves)
    for place in range(begins, size):
        whole.start()
        found = whole.read(to=place)
        read_to, authority = whole.read_to, whole.authority
        whole.start()
        whole.read_to, whole.authority = read_to, authority
        found += whole.read()
        assert {one.id: one.kind for one in found} == first, place


@pytest.mark.parametrize("name", STORIES)
def test_a_round_that_is_repeated_tells_the_same(name: str, folder: Path) -> None:
    whole, _ = watcher(folder, name)
    first = [one.id for one in whole.read()]
    whole.start()
    whole.scene.log.now += 60
    assert [one.id for one in whole.read()] == first
    assert len(set(first)) == len(first)


KINDS_OF_RULES = list(KINDS)[list(KINDS).index("unexpected-release") :]
OF_TIME = {
    "unaudited",
    "expiring",
    "live-mismatch",
    "live-unchecked",
    "unreadable-list",
}


def test_each_kind_has_a_story_in_which_it_is_told_and_one_in_which_it_is_not() -> None:
    for kind in set(KINDS_OF_RULES) - OF_TIME:
        expected = [told for of, _, _, told in STORIES.values() if of == kind]
        assert any(kind in one for one in expected), kind
        assert any(kind not in one for one in expected) or kind == "registrar-acted"


def test_docs_rules_md_explains_each_kind() -> None:
    text = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    assert sorted(re.findall(r"(?m)^### (.+)$", text)) == sorted(KINDS_OF_RULES)


def test_what_stands_on_the_list_of_statements_is_known(folder: Path) -> None:
    scene = Scene()
    index = scene.release()
    taken = scene.log.revoke(PROVIDER, "compromised", index)
    known = tuple(scene.log.entries[one].sha256 for one in (index, taken))
    watch = {"identities": (PROVIDER,), "statements": known, "expected": ()}
    assert of_story(Watcher(folder, scene, watch).read()) == []


def test_a_key_change_that_was_announced_is_known(folder: Path) -> None:
    scene = Scene()
    new = key("new")
    rows = active(key(PROVIDER), new)
    signers = [scene.log.enrol, key(PROVIDER)]
    index = scene.log.identify(PROVIDER, rows, signers, roles=("provider",))
    known = (scene.log.entries[index].sha256,)
    watch = {"identities": (PROVIDER,), "statements": known}
    assert of_story(Watcher(folder, scene, watch).read()) == []


def test_my_own_key_that_i_retire_is_told(folder: Path) -> None:
    scene = Scene()
    signers = [scene.log.enrol, key(PROVIDER)]
    rows = active(key(PROVIDER), key("new"))
    scene.log.identify(PROVIDER, rows, signers, roles=("provider",))
    retire(scene, PROVIDER, by=key("new"))
    watch = Watcher(folder, scene, dict(MINE))
    last = watch.read()[-1]
    assert last.kind == "key-change"
    assert "retired" in last.found


def test_an_enrolment_with_keys_that_are_mine_is_not_told(folder: Path) -> None:
    watch = {"identities": (PROVIDER,), "keys": (key(PROVIDER).public.keyid,)}
    assert Watcher(folder, Scene(), watch).read() == []


def test_an_enrolment_of_my_name_with_another_key_is_told(folder: Path) -> None:
    watch = {"identities": (PROVIDER,), "keys": (key("mine").public.keyid,)}
    assert kinds(Watcher(folder, Scene(), watch).read()) == ["key-change"]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_stories_told_one_after_another_do_not_depend_on_cuts(
    data: st.DataObject, folder: Path
) -> None:
    names = ["a pass against a fail", "a release that is revoked"]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    scene = Scene()
    for name in chosen:
        STORIES[name][1](scene)
        scene.log.now += DAY
    scene.log.seal()
    watch = Watcher(folder, scene, dict(MINE))
    first = [one.id for one in watch.read()]
    cuts = data.draw(st.sets(st.integers(1, len(scene.log.leaves) - 1)))
    watch.start()
    assert [one.id for one in watch.cut(cuts)] == first
    watch.close()


# --- what somebody else can make of it -----------------------------------------------


def asked(watch: Watcher) -> int:
    """How often the index was asked for what is told of the newest entries."""
    under, count = watch.history.under, 0

    def counted(key: str) -> Sequence[int]:
        nonlocal count
        count += 1
        return under(key)

    watch.history.under = counted  # type: ignore[method-assign] # to count
    watch.read()
    return count


def layered(folder: Path, width: int) -> tuple[Watcher, int]:
    """A release of mine with components each of which names all of the next layer.

    Also the place before it. The ones at the bottom are revoked.
    """
    scene = Scene()
    below: list[Component] = []
    for layer in range(8):
        named = {"components": tuple(below)} if below else {}
        below = [
            component(
                scene, (f"parts.example/p{one}", f"{layer + 1}{one}" * 32), **named
            )
            for one in range(width)
        ]
        if not layer:
            last = len(scene.log.leaves) - 1
            for one in range(width):
                scene.log.revoke("parts.example", "vulnerable", last - one)
    place = len(scene.log.leaves)
    scene.release(components=tuple(below))
    return Watcher(folder, scene), place


def test_a_component_is_looked_at_once_on_however_many_ways(folder: Path) -> None:
    watch, place = layered(folder, 4)
    watch.read(to=place)
    assert asked(watch) < 300
    found = [one for one in watch.told if one.kind == "component-revoked"]
    assert len(found) == len({one.id for one in found}) == 4


def test_many_components_that_come_late_are_looked_at_until_there_are_too_many(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ours.PARTS", 3)
    monkeypatch.setattr("monitor.rules_statements.PARTS", 3)
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    names = [(f"parts.example/p{one}", f"{one:02x}" * 32) for one in range(1, 7)]
    for name in names:
        component(scene, name)
        scene.log.revoke("parts.example", "vulnerable", len(scene.log.leaves) - 1)
    scene.release(components=(Component(*PART),))
    for name in names:
        scene.log.now += DAY
        component(scene, components=(Component(*name),))
    found = Watcher(folder, scene).read()
    told = [one.found for one in found if one.kind == "component-revoked"]
    assert [words.split()[0] for words in told] == [name for name, _ in names[:2]]


def test_a_component_whose_releases_were_all_taken_back_is_told_once(
    folder: Path,
) -> None:
    scene = Scene()
    for _ in range(3):
        scene.log.now += DAY
        component(scene)
        scene.log.revoke("parts.example", "superseded", len(scene.log.leaves) - 1)
    last = len(scene.log.leaves) - 1
    index = scene.release(components=(Component(*PART),))
    [alert] = [
        one for one in Watcher(folder, scene).read() if one.kind == "component-revoked"
    ]
    assert alert.entries == (last, index)


def test_of_what_was_said_against_a_component_the_first_is_told(folder: Path) -> None:
    scene = Scene()
    part = component(scene)
    first = len(scene.log.leaves)
    for _ in range(3):
        scene.log.now += DAY
        scene.log.revoke("parts.example", "vulnerable", first - 1)
    index = scene.release(components=(part,))
    [alert] = [
        one for one in Watcher(folder, scene).read() if one.kind == "component-revoked"
    ]
    assert alert.entries == (first, index)


def test_what_a_stranger_said_of_mine_is_not_read_when_he_takes_it_back(
    folder: Path,
) -> None:
    scene = Scene()
    scene.log.enroll("crank.example", "auditor")
    scene.release()
    target = scene.reproduce("crank.example", result="fail")
    watch = Watcher(folder, scene)
    watch.read()
    scene.log.revoke("crank.example", "erroneous", target)
    assert asked(watch) == 0


def test_a_compromise_of_a_strangers_key_is_nothing_to_look_up(folder: Path) -> None:
    scene = Scene()
    scene.log.enroll(RIVAL, "provider")
    watch = Watcher(folder, scene)
    watch.read()
    compromise(scene, RIVAL, 1)
    assert asked(watch) == 0
