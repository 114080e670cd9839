"""Links 5 and 6: what a release says it is made of, and each part's own links."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pcrlog import limits
from pcrlog.encoding import format_time
from pcrlog.predicates import REGISTRAR, Component
from pcrlog.verification import Report
from pcrlog.verification.audits import digest_of
from tests.support.memory_log import START, key
from tests.support.scene import (
    LAB,
    LENS,
    SCOPES,
    Scene,
    artifact,
    changed,
    ladder,
    not_passed,
    source,
    status,
)

PARTS = "parts.example"
SIDECAR = f"{PARTS}/sidecar"
SHA = "5a" * 32
OTHER = "0e" * 20
LINKS_5 = {"links": [1, 2, 5]}
LINKS_6 = {"links": [1, 2, 6]}


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.log.enroll(PARTS, "provider")
    return made


def release_part(scene: Scene, sha256: str = SHA, **members: Any) -> int:
    """The sidecar's release, by its own provider."""
    product = members.pop("product", SIDECAR)
    version = members.pop("version", "1.0.0")
    return scene.release(
        version, artifact(sha256), product=product, platform="artifact", **members
    )


def rebuild_part(scene: Scene, sha256: str = SHA, by: str = LAB, **members: Any) -> int:
    return scene.reproduce(by, artifact(sha256), platform="artifact", **members)


def rely_on(scene: Scene, *parts: Component, confirmed: bool = True) -> int:
    """A release made of these parts, rebuilt, and the list found complete."""
    listed = tuple(sorted(parts, key=Component.order))
    index = scene.release(components=listed)
    scene.reproduce(components=digest_of(listed) if confirmed else None)
    return index


SIDE = Component(SIDECAR, SHA)


def both(report: Report) -> str:
    """Links 5 and 6, by their first letters."""
    return ladder(report)[4:6]


# --- the list -------------------------------------------------------------------------


def test_absent_is_missing_and_not_fine(scene: Scene) -> None:
    scene.release()
    scene.reproduce(components=digest_of(()))
    assert both(scene.report()) == "mm"


def test_no_components_is_a_claim(scene: Scene) -> None:
    scene.release(components=())
    assert both(scene.report()) == "cc"


def test_no_components_are_proven_by_who_found_the_empty_list_complete(
    scene: Scene,
) -> None:
    rely_on(scene)
    assert both(scene.report()) == "pp"
    assert scene.demand(1, 2, 5, 6).exit_code == 0


def test_a_list_is_confirmed_by_its_own_digest_alone(scene: Scene) -> None:
    release_part(scene)
    rebuild_part(scene)
    scene.review()
    scene.release(components=(SIDE,))
    for wrong in ((), (Component(SIDECAR, "0b" * 32),), (SIDE, SIDE)):
        scene.reproduce(components=digest_of(wrong))
    scene.reproduce()
    assert both(scene.report()) == "cc"
    scene.reproduce(components=digest_of((SIDE,)))
    assert both(scene.report()) == "pp"


def test_a_pass_that_does_not_count_confirms_nothing(scene: Scene) -> None:
    scene.release(components=())
    scene.reproduce(components=digest_of(()), source=source(OTHER))
    scene.reproduce(components=digest_of(()), expires=format_time(START))
    assert both(scene.report()) == "cc"


def test_a_list_is_confirmed_by_as_many_as_a_reproduction_needs(scene: Scene) -> None:
    """Too few passes count as none, also for what they say of components."""
    rely_on(scene)
    two = {"counts": {"reproduction": 2}}
    assert both(scene.report(policy=scene.policy(product=two))) == "cc"
    scene.reproduce(LENS)
    assert both(scene.report(policy=scene.policy(product=two))) == "cc"
    scene.reproduce(LENS, components=digest_of(()))
    assert both(scene.report(policy=scene.policy(product=two))) == "pp"


# --- one component --------------------------------------------------------------------


def test_a_component_that_nobody_released_is_missing(scene: Scene) -> None:
    rely_on(scene, SIDE)
    report = scene.report()
    assert both(report) == "mm"
    assert report.exit_code == 0
    report = scene.demand(1, 2, 5)
    assert not_passed(report) == {"components": "fail", "policy.links": "fail"}


def test_a_component_of_a_name_that_nobody_enrolled_is_missing(scene: Scene) -> None:
    rely_on(scene, Component("unheard.example/part", SHA))
    assert both(scene.report()) == "mm"


def test_a_component_released_by_somebody_else_is_missing(scene: Scene) -> None:
    """Its provider is the product's first part, and nobody else speaks for it."""
    release_part(scene, product=f"{PARTS}/other")
    scene.log.enroll("other.example", "provider")
    release_part(scene, product="other.example/sidecar")
    rely_on(scene, SIDE)
    assert both(scene.report()) == "mm"


def test_a_component_with_another_digest_is_missing(scene: Scene) -> None:
    release_part(scene, "0b" * 32)
    rely_on(scene, SIDE)
    assert both(scene.report()) == "mm"


def test_a_component_counts_as_its_own_links_three_and_four(scene: Scene) -> None:
    """The ladder of a component: link 3 in link 5, link 4 in link 6."""
    rely_on(scene, SIDE)
    index = release_part(scene, source=None)
    assert both(scene.report()) == "mm"
    scene.log.revoke(PARTS, "superseded", index)
    release_part(scene, version="1.0.1", build=None)
    assert both(scene.report()) == "mm"
    release_part(scene, version="1.0.2", source=source(OTHER))
    assert both(scene.report()) == "cm"
    rebuild_part(scene, source=source(OTHER))
    assert both(scene.report()) == "pm"
    scene.review(of=OTHER)
    assert both(scene.report()) == "pp"


def test_a_component_that_is_only_reviewed_is_only_claimed(scene: Scene) -> None:
    release_part(scene)
    rely_on(scene, SIDE)
    scene.review()
    assert both(scene.report()) == "cp"


def test_the_worst_of_the_components_counts(scene: Scene) -> None:
    second = Component(f"{PARTS}/second", "6b" * 32)
    release_part(scene)
    rebuild_part(scene)
    scene.review()
    rely_on(scene, SIDE, second)
    assert both(scene.report()) == "mm"
    release_part(scene, second.sha256, product=second.product)
    assert both(scene.report()) == "cp"
    rebuild_part(scene, second.sha256)
    assert both(scene.report()) == "pp"


BREAK: dict[str, Callable[[Scene, int], object]] = {
    "compromised": lambda s, i: s.log.revoke(PARTS, "compromised", i),
    "vulnerable": lambda s, i: s.log.revoke(PARTS, "vulnerable", i),
    "withdrawn": lambda s, i: s.log.revoke(PARTS, "withdrawn", i),
    "by the registrar": lambda s, i: s.log.revoke(
        REGISTRAR, "vulnerable", i, by=s.log.enrol
    ),
    "in conflict": lambda s, _: release_part(s, "0b" * 32),
    "a failed reproduction": lambda s, _: rebuild_part(s, result="fail"),
    "a failed review": lambda s, _: s.review(of=OTHER, result="fail"),
    "an unknown fail": lambda s, _: s.log.audit(
        LAB, "fuzzing", artifact(SHA), platform="artifact", result="fail"
    ),
}


@pytest.fixture
def relying(scene: Scene) -> tuple[Scene, int]:
    """A release made of one part of which all is proven; the part's index."""
    index = release_part(scene, source=source(OTHER))
    rebuild_part(scene, source=source(OTHER))
    scene.review(of=OTHER)
    scene.review()
    rely_on(scene, SIDE)
    assert both(scene.report()) == "pp"
    return scene, index


@pytest.mark.parametrize("how", BREAK)
def test_a_component_revoked_or_failed_refutes(
    relying: tuple[Scene, int], how: str
) -> None:
    scene, index = relying
    BREAK[how](scene, index)
    report = scene.report()
    assert both(report) == "ff"
    assert not_passed(report) == {"components": "fail"}
    assert report.exit_code == 4


@pytest.mark.parametrize("how", BREAK)
def test_a_component_revoked_or_failed_is_only_reported_if_the_policy_says_so(
    relying: tuple[Scene, int], how: str
) -> None:
    scene, index = relying
    BREAK[how](scene, index)
    reported = scene.demand(1, 2, components="report")
    assert both(reported) == "ff"
    assert status(reported, "components") == "fail"
    assert reported.exit_code == 0
    for number in (5, 6):
        demanded = scene.demand(1, 2, number, components="report")
        assert demanded.exit_code == 4
        assert not_passed(demanded)["components"] == "fail"


def test_an_expired_component_is_failed(scene: Scene) -> None:
    release_part(scene, expires=format_time(START))
    rely_on(scene, SIDE)
    assert both(scene.report()) == "ff"


def test_a_component_that_the_policy_distrusts_is_failed(
    relying: tuple[Scene, int],
) -> None:
    scene, index = relying
    for named in (
        {"measurements": [f"artifact/digest=sha256:{SHA}"]},
        {"statements": [scene.log.entries[index].sha256]},
        {"keys": [key(PARTS).public.keyid]},
    ):
        policy = scene.policy(head={"distrust": named})
        report = scene.report(policy=policy)
        assert both(report) == "ff"
        assert report.exit_code == 4


def test_a_revoked_component_of_an_older_release_does_not_count(
    relying: tuple[Scene, int],
) -> None:
    """The run rests on the newest release: what that is made of counts."""
    scene, index = relying
    scene.log.revoke(PARTS, "vulnerable", index)
    scene.release("1.5.0", components=())
    scene.reproduce(components=digest_of(()))
    assert both(scene.report()) == "pp"


# --- whose auditors, whose rules ------------------------------------------------------


def with_rules(scene: Scene, **rules: Any) -> Report:
    """The policy has the component's product too."""
    table = {SIDECAR: {"platforms": ["aws-nitro"], **rules}}
    return scene.report(policy=scene.policy(products=table))


def lens(*scopes: str) -> list[dict[str, object]]:
    return [{"name": LENS, "scopes": list(scopes)}]


def test_a_component_has_the_auditors_of_its_own_product(
    relying: tuple[Scene, int],
) -> None:
    scene, _ = relying
    assert both(with_rules(scene, auditors=lens(*SCOPES))) == "cp"
    rebuild_part(scene, by=LENS, source=source(OTHER))
    assert both(with_rules(scene, auditors=lens(*SCOPES))) == "pp"
    assert both(with_rules(scene, auditors=lens("reproduction"))) == "pm"
    assert both(with_rules(scene)) == "cm"


def test_a_component_has_the_counts_of_its_own_product(
    relying: tuple[Scene, int],
) -> None:
    scene, _ = relying
    auditors = [*lens(*SCOPES), {"name": LAB, "scopes": list(SCOPES)}]
    rules: dict[str, Any] = {"auditors": auditors, "counts": {"reproduction": 2}}
    assert both(with_rules(scene, **rules)) == "cp"
    rebuild_part(scene, by=LENS, source=source(OTHER))
    assert both(with_rules(scene, **rules)) == "pp"


def test_a_component_has_the_pins_of_its_own_product(
    relying: tuple[Scene, int],
) -> None:
    scene, _ = relying
    auditors = [*lens(*SCOPES), {"name": LAB, "scopes": list(SCOPES)}]
    for keyid, ends in ((key(PARTS).public.keyid, "pp"), ("0" * 64, "ff")):
        report = with_rules(scene, auditors=auditors, pins={PARTS: [keyid]})
        assert both(report) == ends


def test_a_component_has_the_lowest_version_of_its_own_product(
    relying: tuple[Scene, int],
) -> None:
    scene, _ = relying
    auditors = [*lens(*SCOPES), {"name": LAB, "scopes": list(SCOPES)}]
    for version, ends in (("1.0.0", "pp"), ("1.0.1", "ff")):
        report = with_rules(scene, auditors=auditors, lowest_version=version)
        assert both(report) == ends


def test_the_lowest_version_of_the_product_is_not_its_components(
    relying: tuple[Scene, int],
) -> None:
    scene, _ = relying
    report = scene.report(policy=scene.policy(product={"lowest_version": "1.4.2"}))
    assert both(report) == "pp"
    assert report.exit_code == 0


def test_a_component_of_a_component_has_the_auditors_of_the_product_verified(
    scene: Scene,
) -> None:
    """Not those of the component above it: the answer must not hang on the way."""
    nested = Component(f"{PARTS}/nested", "7c" * 32)
    release_part(scene, nested.sha256, product=nested.product)
    rebuild_part(scene, nested.sha256)
    scene.review()
    release_part(scene, components=(nested,))
    rebuild_part(scene, components=digest_of((nested,)))
    rebuild_part(scene, by=LENS, components=digest_of((nested,)))
    rely_on(scene, SIDE)
    assert both(scene.report()) == "pp"
    assert both(with_rules(scene, auditors=lens(*SCOPES))) == "pp"


# --- components of components ---------------------------------------------------------


def numbered(n: int) -> Component:
    return Component(f"{PARTS}/p{n}", f"{n + 1:064x}")


def chain_part(scene: Scene, n: int, below: Sequence[Component] = ()) -> Component:
    """A part numbered n of which all is proven, made of those below."""
    one, listed = numbered(n), tuple(sorted(below, key=Component.order))
    release_part(scene, one.sha256, product=one.product, components=listed)
    rebuild_part(scene, one.sha256, components=digest_of(listed))
    return one


def test_a_component_deep_down_that_is_revoked_refutes(scene: Scene) -> None:
    deepest = part = chain_part(scene, 0)
    for n in range(1, limits.COMPONENT_DEPTH):
        part = chain_part(scene, n, [part])
    scene.review()
    rely_on(scene, part)
    assert both(scene.report()) == "pp"
    [index] = scene.log.index[f"v1/product/{deepest.product}"]
    scene.log.revoke(PARTS, "vulnerable", index)
    report = scene.report()
    assert both(report) == "ff"
    assert report.exit_code == 4


def test_components_of_a_component_have_to_be_confirmed_too(scene: Scene) -> None:
    nested = chain_part(scene, 1)
    part = numbered(2)
    release_part(scene, part.sha256, product=part.product, components=(nested,))
    rebuild_part(scene, part.sha256)
    scene.review()
    rely_on(scene, part)
    assert both(scene.report()) == "cc"
    rebuild_part(scene, part.sha256, components=digest_of((nested,)))
    assert both(scene.report()) == "pp"


def test_a_component_needs_no_list_of_its_own(scene: Scene) -> None:
    release_part(scene)
    rebuild_part(scene)
    scene.review()
    rely_on(scene, SIDE)
    assert both(scene.report()) == "pp"


def test_a_component_of_two_components_is_one(scene: Scene) -> None:
    shared = chain_part(scene, 1)
    parts = [chain_part(scene, n, [shared]) for n in (2, 3)]
    scene.review()
    rely_on(scene, *parts)
    assert both(scene.report()) == "pp"
    [index] = scene.log.index[f"v1/product/{shared.product}"]
    scene.log.revoke(PARTS, "compromised", index)
    assert both(scene.report()) == "ff"


def unbounded(report: Report) -> bool:
    """Whether the walk over components was cut short: could not check."""
    if status(report, "answers.present") == "pass":
        return False
    assert status(report, "answers.present") == "unchecked"
    assert both(report) == "uu"
    assert report.exit_code == 3
    return True


def test_components_nine_deep_could_not_be_checked(scene: Scene) -> None:
    part = chain_part(scene, 0)
    for n in range(1, limits.COMPONENT_DEPTH + 1):
        part = chain_part(scene, n, [part])
    scene.review()
    rely_on(scene, part)
    assert unbounded(scene.report())
    assert unbounded(scene.demand(1, 2, components="report"))


def test_components_in_a_circle_could_not_be_checked(scene: Scene) -> None:
    first, second = numbered(1), numbered(2)
    chain_part(scene, 1, [second])
    chain_part(scene, 2, [first])
    scene.review()
    rely_on(scene, first)
    assert unbounded(scene.report())


@pytest.mark.parametrize(("more", "cut"), [(0, False), (1, True)])
def test_more_than_sixty_four_components_could_not_be_checked(
    scene: Scene, *, more: int, cut: bool
) -> None:
    below = [chain_part(scene, n) for n in range(32)]
    others = [chain_part(scene, n) for n in range(32, 62 + more)]
    parts = [chain_part(scene, 70, below), chain_part(scene, 71, others)]
    scene.review()
    rely_on(scene, *parts)
    assert unbounded(scene.report()) is cut


def test_eight_layers_of_eight_components_are_checked_in_no_time(scene: Scene) -> None:
    """Each names all eight below it: 16,777,216 paths, 64 components."""
    below: list[Component] = []
    for layer in range(8):
        below = [chain_part(scene, 8 * layer + n, below) for n in range(8)]
    scene.review()
    rely_on(scene, *below)
    inputs = scene.inputs(policy=scene.policy(product=LINKS_5))
    start = time.process_time()
    report = inputs.report()
    spent = time.process_time() - start
    assert both(report) == "pp"
    assert report.exit_code == 0
    assert spent < 5


# --- missing answers ------------------------------------------------------------------


@pytest.mark.parametrize("links", [{}, LINKS_5, LINKS_6, {"components": "report"}])
def test_every_answer_about_a_component_is_required_whatever_the_links(
    relying: tuple[Scene, int], links: dict[str, Any]
) -> None:
    scene, _ = relying
    inputs = scene.inputs(policy=scene.policy(product=links))
    assert inputs.report().exit_code == 0
    bundle = inputs.parsed
    about = f"/artifact/digest=sha256:{SHA}"
    keys = {
        *(f"v1/by/{name}{about}" for name in (PARTS, LAB, LENS, REGISTRAR)),
        *(f"v1/by/{name}/source/commit=gitCommit:{OTHER}" for name in (LAB, LENS)),
        f"v1/version/{SIDECAR}/1.0.0",
        f"v1/identity/{PARTS}",
    }
    assert keys <= bundle.answers.keys()
    for missing in keys:
        answers = {k: a for k, a in bundle.answers.items() if k != missing}
        report = inputs.tampered(changed(bundle, answers=answers))
        assert report.exit_code == 3
        assert both(report) == "uu"
        assert not_passed(report)["answers.present"] == "unchecked"
