"""What the machine found: where the verifier did not do what docs/protocol.md says."""

from pcrlog.predicates import Component
from tests.support.scene import HOUR, PROVIDER, Scene, artifact, link, status

SIDECAR = Component(f"{PROVIDER}/sidecar", "5a" * 32)
BASE = Component(f"{PROVIDER}/base", "ba" * 32)


def tower() -> Scene:
    """The product has a part, that one has a part of its own, and that is revoked."""
    scene = Scene()
    indices = [
        scene.release(
            image=artifact(one.sha256),
            product=one.product,
            platform="artifact",
            components=below,
        )
        for one, below in ((SIDECAR, (BASE,)), (BASE, ()))
    ]
    scene.log.revoke("registrar", "compromised", indices[-1], by=scene.log.enrol)
    scene.release(components=(SIDECAR,))
    return scene


def test_a_part_of_a_part_that_is_revoked_fails_link_5() -> None:
    """1, the decision on components: its own links 5 and 6 then count as well."""
    report = tower().report()
    assert link(report, 5) == "failed"
    assert status(report, "components") == "fail"


def test_a_part_of_a_part_that_is_revoked_fails_link_5_of_a_stale_run_too() -> None:
    """4.3: in an incomplete run, evidence against still fails check and link."""
    scene = tower()
    report = scene.report(now=scene.log.now + 25 * HOUR)
    assert status(report, "log.freshness") == "unchecked"
    assert link(report, 5) == "failed"
    assert status(report, "components") == "fail"
