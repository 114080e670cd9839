"""Link 8: on whom all the others rest, and a policy that demands that they are two."""

from typing import Any, get_args

import pytest
from msgspec import structs

from pcrlog.measurement import PLATFORMS, Ground
from pcrlog.verification import Report, foresee
from pcrlog.verification.ground import Infrastructure, Word
from tests.support.scene import GOOD, PRODUCT, Scene
from tests.support.vectors import ROOT
from tests.test_docs import code, section, tables


def said() -> Scene:
    scene = Scene()
    scene.release()
    return scene


# --- who makes the hardware, who runs the machines ------------------------------------


@pytest.mark.parametrize(
    ("platform", "product", "ground"),
    [
        ({}, {}, "unknown"),
        ({"operator": "intel"}, {}, "same"),
        ({"operator": "acme"}, {}, "separate"),
        ({"operator": "intel"}, {"operator": "acme"}, "separate"),
        ({}, {"operator": "intel"}, "same"),
        ({"operator": "Intel "}, {}, "same"),
        ({"operator": ""}, {}, "unknown"),
        ({"operator": " "}, {"operator": ""}, "unknown"),
    ],
)
def test_the_ground_is_who_makes_the_hardware_and_who_runs_the_machines(
    platform: dict[str, str],
    product: dict[str, str],
    ground: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a platform whose machines anybody may run."""
    others_run_it(monkeypatch)
    scene = said()
    policy = scene.policy(platform=platform, product=product)
    report = scene.report(policy=policy)
    assert report.ground == ground
    below = report.infrastructure
    assert (below.maker, below.forgers) == ("intel", ("Intel, with its keys",))
    named = product.get("operator", platform.get("operator", "")).strip()
    assert below.operator == (named or None)


def others_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the platform were one of those whose maker runs none of its machines."""
    nitro = PLATFORMS["aws-nitro"]
    facts = Ground("intel", "Intel", ("Intel, with its keys",), alone=False)
    other = structs.replace(nitro, ground=facts)
    monkeypatch.setitem(PLATFORMS, nitro.name, other)


@pytest.mark.parametrize("operator", [None, "aws", "acme"])
def test_who_runs_nitro_is_known_whatever_a_policy_says(operator: str | None) -> None:
    scene = said()
    rules = {"operator": operator} if operator else {}
    report = scene.report(policy=scene.policy(platform=rules))
    assert report.ground == "same"
    assert (report.infrastructure.maker, report.infrastructure.operator) == (
        "aws",
        "aws",
    )
    assert all(one.startswith("AWS, with ") for one in report.infrastructure.forgers)


def test_without_a_document_nobody_knows_the_ground() -> None:
    scene = said()
    policy = scene.policy(platform={"operator": "aws"})
    report = scene.report(policy=policy, attestation=b"")
    assert report.ground == "unknown"
    assert report.infrastructure == Infrastructure(None, None, ())


# --- the ground as a demand -----------------------------------------------------------


def separate(scene: Scene, **changes: Any) -> Report:
    """Under a policy that demands a separate ground."""
    rules = {"ground": "separate", **changes.pop("product", {})}
    return scene.report(policy=scene.policy(product=rules, **changes))


def of_ground(report: Report) -> tuple[str, str]:
    [check] = [one for one in report.checks if one.id == "policy.ground"]
    assert check.required
    return check.status, check.found


def test_a_ground_that_is_not_demanded_passes() -> None:
    report = said().report()
    assert of_ground(report) == ("pass", "same")
    assert report.verdict == "verified"


@pytest.mark.parametrize("operator", ["aws", "acme"])
def test_nitro_never_has_a_separate_ground(operator: str) -> None:
    report = separate(said(), platform={"operator": operator})
    told = "aws makes the hardware and runs the machines"
    assert of_ground(report) == ("fail", told)
    assert report.verdict == "refuted"
    assert report.headline == f"REFUTED: policy.ground: {told}"


def test_a_separate_ground_is_a_matter_of_who_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others_run_it(monkeypatch)
    scene = said()
    apart = separate(scene, platform={"operator": "cloud.example"})
    told = "intel makes the hardware, cloud.example runs the machines"
    assert of_ground(apart) == ("pass", told)
    assert apart.verdict == "verified"
    one = separate(scene, product={"operator": "intel"})
    assert (of_ground(one)[0], one.verdict) == ("fail", "refuted")
    nobody = separate(scene)
    told = "the policy does not say who runs the machines of intel"
    assert of_ground(nobody) == ("unchecked", told)
    assert nobody.verdict == "unchecked"


def test_without_a_platform_the_ground_could_not_be_checked() -> None:
    scene = said()
    policy = scene.policy(product={"ground": "separate"})
    report = scene.report(policy=policy, attestation=b"")
    assert of_ground(report) == ("unchecked", "no hardware that is known of")


def test_the_ground_is_foreseen() -> None:
    scene = said()
    inputs = scene.inputs(policy=scene.policy(product={"ground": "separate"}))
    assert inputs.bundle is not None
    report = foresee(
        GOOD,
        inputs.bundle,
        inputs.policy,
        product=PRODUCT,
        platform="aws-nitro",
        now=inputs.now,
    )
    assert of_ground(report)[0] == "fail"


# --- docs/trust-model.md --------------------------------------------------------------

TRUST_MODEL = (ROOT / "docs" / "trust-model.md").read_text(encoding="utf-8")


def test_the_trust_model_has_the_grounds_of_the_code() -> None:
    rows = tables(section(TRUST_MODEL, "Each platform"))["platform"]
    told = {code(name)[0]: (code(maker)[0], by, who) for name, maker, by, who in rows}
    assert told == {
        platform.name: (
            platform.ground.maker,
            "its maker alone" if platform.ground.alone else "whom the policy names",
            "; ".join(platform.ground.forgers),
        )
        for platform in PLATFORMS.values()
        if platform.ground is not None
    }


def test_what_attests_has_a_ground_and_nothing_else_has() -> None:
    for platform in PLATFORMS.values():
        assert (platform.ground is not None) == platform.attests


def test_the_trust_model_explains_every_word() -> None:
    rows = tables(section(TRUST_MODEL, "The ground in a report"))["ground"]
    assert [code(row[0])[0] for row in rows] == list(get_args(Word))
