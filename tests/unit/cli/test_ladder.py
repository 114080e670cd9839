"""The ladder of links for people: why link 1 could not be checked."""

import pytest

from cli.ladder import rows_of
from pcrlog.predicates import Binding
from pcrlog.verification import Report
from tests.support.scene import BAD, GOOD, HOUR, Scene, document

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
