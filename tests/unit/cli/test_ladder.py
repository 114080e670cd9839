"""The ladder of links for people: why link 1 could not be checked."""

import pytest

from cli.ladder import rows_of
from pcrlog.predicates import Binding
from pcrlog.verification import Report
from tests.support import machines
from tests.support.machines import SGX
from tests.support.scene import (
    BAD,
    GOOD,
    HOUR,
    LAB,
    LENS,
    PRODUCT,
    PROVIDER,
    Inputs,
    Scene,
    document,
)

BINDING = Binding("user_data", "tls-spki-sha256")
REQUIRED = {"channel": "required"}


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.release(binding=BINDING)
    return made


def link_1(report: Report) -> str:
    """The line of link 1, its spaces made one."""
    lines = [
        "".join(text for text, _ in line)
        for row in rows_of(report)
        for line in row.lines(100, cut=False)
    ]
    [found] = [line for line in lines if line.startswith(("  ✓ 1", "  ? 1", "  ✗ 1"))]
    return " ".join(found.split())


def test_where_nobody_released_anything_the_channel_could_not_be_checked(
    scene: Scene,
) -> None:
    found = scene.report(BAD, policy=scene.policy(product=REQUIRED))
    assert found.verdict == "refuted"
    assert link_1(found) == (
        "? 1 attestation unchecked no release says where it names its key"
    )


def test_without_the_logs_answers_nobody_is_said_to_have_said_nothing(
    scene: Scene,
) -> None:
    found = scene.report(bundle=None, policy=scene.policy(product=REQUIRED))
    assert link_1(found).endswith("unchecked no answer to where it names its key")


def test_a_check_that_is_shown_below_is_not_said_twice(scene: Scene) -> None:
    found = scene.report(policy=scene.policy(product=REQUIRED))
    assert found.verdict == "unchecked"
    assert link_1(found) == "? 1 attestation unchecked"


def test_beside_what_refutes_the_unmade_check_is_named(scene: Scene) -> None:
    found = scene.report(BAD, nonce=None)
    told = "document.nonce: none was sent: no proof of life"
    assert link_1(found) == f"? 1 attestation unchecked {told}"


def test_an_archived_document_is_said_to_be_one(scene: Scene) -> None:
    now = scene.log.now
    old = document(GOOD, time=now - HOUR)
    found = scene.report(attestation=old, at=now - HOUR)
    told = "an archived document says nothing of now"
    assert link_1(found) == f"? 1 attestation unchecked {told}"


def test_a_link_that_is_proven_or_failed_needs_no_reason(scene: Scene) -> None:
    assert link_1(scene.report()) == "✓ 1 attestation proven this run"
    found = scene.report(attestation=b"none")
    assert link_1(found) == "✗ 1 attestation failed"


# --- machines of another maker --------------------------------------------------------

FRESH = bytes(range(32))


def of_sgx(scene: Scene, nonce: bytes | None = FRESH, **rules: object) -> Inputs:
    """A good run, without collateral, of an enclave of SGX."""
    scene.release(image=machines.ENCLAVE, platform=SGX)
    tables = {SGX: {**machines.SGX_RULES, **rules}}
    policy = scene.policy(platforms=tables, product={"platforms": [SGX]})
    scene.seal()
    bundle = scene.log.bundle(
        PRODUCT, machines.ENCLAVE, LAB, LENS, platform=SGX
    ).encode()
    return Inputs(
        machines.quote(nonce=FRESH), bundle, policy, scene.log.now, nonce=nonce
    )


def words(report: Report) -> str:
    return " ".join(
        "".join(text for text, _ in line)
        for row in rows_of(report)
        for line in row.lines(100, cut=False)
    )


def test_checks_of_a_platform_are_read_like_the_others(scene: Scene) -> None:
    found = of_sgx(scene).report()
    assert found.verdict == "unchecked"
    said = " ".join(words(found).split())
    for check in ("collateral", "revocation", "qe-identity", "tcb"):
        assert f"? document.{check} expected" in said
    assert "what the maker says of its machines now: --collateral FILE" in said
    assert "all of this rests on Intel, which makes the hardware: Intel could" in said


def test_what_link_1_lacks_of_a_platforms_own_is_named_beside_what_refutes(
    scene: Scene,
) -> None:
    inputs = of_sgx(scene)
    scene.log.revoke(PROVIDER, "vulnerable", max(scene.log.entries))
    scene.seal()
    bundle = scene.log.bundle(PRODUCT, machines.ENCLAVE, LAB, LENS, platform=SGX)
    found = inputs.report(bundle=bundle.encode())
    assert found.verdict == "refuted"
    assert "unchecked document.collateral: no collateral" in link_1(found)


def test_a_document_that_names_no_time_asks_for_a_nonce_and_for_no_clock(
    scene: Scene,
) -> None:
    found = of_sgx(scene, nonce=None, collateral="optional").report()
    said = " ".join(words(found).split())
    assert "? document.time expected" in said
    assert "next: ask the enclave yourself: --url URL" in said
    assert "clock" not in said.partition("next: ")[2]


def test_what_nobody_demands_is_not_in_the_way(scene: Scene) -> None:
    inputs = of_sgx(scene, collateral="optional")
    assert inputs.report().verdict == "verified"
