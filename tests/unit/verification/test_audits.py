"""What auditors say for and against a release (PROTOCOL.md 2.3)."""

from collections.abc import Callable
from typing import Any

import pytest

from pcrlog import limits
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.policy import Policy
from pcrlog.predicates import Basis, Control, OpenFindings
from pcrlog.verification import Report
from pcrlog.verification.audits import digest_of
from tests.support.memory_log import START, active, key
from tests.support.scene import (
    BAD,
    COMMIT,
    CONTROL,
    DAY,
    EVERY_SCOPE,
    GOOD,
    LAB,
    LENS,
    PROVIDER,
    RECIPE,
    SCOPES,
    Scene,
    compromise,
    document,
    found,
    ladder,
    link,
    not_passed,
    source,
    status,
)

SECOND = key("lab.example, the second key")
OLDER = "0d" * 20
CLEAN = OpenFindings(critical=0, high=0, medium=0, low=0)
REASONS = ("withdrawn", "erroneous", "superseded")
SAY: dict[str, Callable[..., int]] = {
    "reproduction": Scene.reproduce,
    "source-review": Scene.review,
}
LINK = {"reproduction": 3, "source-review": 4}


@pytest.fixture
def scene() -> Scene:
    """A release with source and recipe, at index 4."""
    made = Scene()
    assert made.release() == 4
    return made


def links(scene: Scene, **product: Any) -> Report:
    """The report under defaults that demand no audit."""
    return scene.report(policy=scene.policy(product=product))


def counted(scene: Scene, number: int, **product: Any) -> bool:
    """Whether a link is proven, which is so only if a pass counts."""
    report = links(scene, **product)
    if link(report, number) == "proven":
        return True
    assert link(report, number) in {"claimed", "missing"}
    return False


def failed(report: Report, number: int) -> bool:
    """Whether a fail counts: against its own link, and against link 2."""
    if status(report, "audits.fails") == "pass":
        assert "failed" not in (link(report, number), link(report, 2))
        return False
    assert status(report, "audits.fails") == "fail"
    assert link(report, number) == link(report, 2) == "failed"
    assert report.exit_code == 4
    return True


def pinned(scene: Scene, name: str = LAB) -> Policy:
    pins = {name: [key(name).public.keyid]}
    return scene.policy(product={"pins": pins})


def add_key(scene: Scene, *by_name: str, name: str = LAB) -> None:
    """The registrar gives an auditor a second key; `by_name` agree to it."""
    signers = [scene.log.enrol, *map(key, by_name)]
    rows = active(key(name), SECOND)
    scene.log.identify(name, rows, signers, roles=["auditor"])


# --- quorums --------------------------------------------------------------------------


def test_nothing_is_proven_that_nobody_audited(scene: Scene) -> None:
    assert ladder(links(scene)) == "ppcmmmm"


@pytest.mark.parametrize("scope", LINK)
def test_a_pass_proves_the_link_of_its_scope_and_no_other(
    scene: Scene, scope: str
) -> None:
    SAY[scope](scene, LAB)
    report = links(scene)
    assert ladder(report) == {3: "pppmmmm", 4: "ppcpmmm"}[LINK[scope]]
    assert report.links[LINK[scope] - 1].by == (LAB,)
    [cited] = report.links[LINK[scope] - 1].evidence
    assert (cited.index, cited.keyid) == (5, key(LAB).public.keyid)


def test_what_the_policy_demands_and_nobody_gave_refutes(scene: Scene) -> None:
    report = scene.demand(1, 2, 3)
    assert not_passed(report) == {"audits.quorum": "fail", "policy.links": "fail"}
    assert found(report, "audits.quorum") == "reproduction 0 of 1"
    scene.reproduce()
    assert scene.demand(1, 2, 3).exit_code == 0


@pytest.mark.parametrize("scope", LINK)
def test_a_quorum_counts_distinct_identities(scene: Scene, scope: str) -> None:
    two = {"counts": {scope: 2}}
    SAY[scope](scene, LAB)
    scene.log.now += 1
    SAY[scope](scene, LAB)
    assert not counted(scene, LINK[scope], **two)
    SAY[scope](scene, LENS)
    assert counted(scene, LINK[scope], **two)


def test_too_few_passes_count_as_none(scene: Scene) -> None:
    scene.reproduce()
    scene.review()
    report = links(scene, counts={"reproduction": 2, "source-review": 2})
    assert ladder(report) == "ppcmmmm"


@pytest.mark.parametrize("scope", LINK)
def test_an_auditor_counts_for_its_scopes_alone(scene: Scene, scope: str) -> None:
    [other] = set(LINK) - {scope}
    SAY[scope](scene, LAB)
    assert not counted(scene, LINK[scope], auditors=[{"name": LAB, "scopes": [other]}])
    assert counted(scene, LINK[scope], auditors=[{"name": LAB, "scopes": [scope]}])


@pytest.mark.parametrize("result", ["pass", "fail"])
@pytest.mark.parametrize("scope", LINK)
def test_an_auditor_that_the_policy_does_not_name_counts_for_nothing(
    scene: Scene, scope: str, result: str
) -> None:
    SAY[scope](scene, LAB, result=result)
    report = links(scene, auditors=EVERY_SCOPE[1:])
    assert ladder(report) == "ppcmmmm"
    assert report.exit_code == 0


@pytest.mark.parametrize("scope", LINK)
def test_a_fail_counts_for_its_auditors_scopes_alone(scene: Scene, scope: str) -> None:
    [other] = set(LINK) - {scope}
    SAY[scope](scene, LAB, result="fail")
    rules = {"auditors": [{"name": LAB, "scopes": [other]}]}
    assert not failed(links(scene, **rules), LINK[scope])
    assert failed(links(scene), LINK[scope])


def test_an_auditor_that_is_the_provider_does_not_count() -> None:
    scene = Scene()
    roles = ["auditor", "provider"]
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, active(key(PROVIDER)), signers, roles=roles)
    scene.release()
    scene.reproduce(PROVIDER)
    scene.review(PROVIDER)
    rules = {"auditors": [{"name": PROVIDER, "scopes": list(SCOPES)}]}
    report = scene.report(auditors=(PROVIDER,), policy=scene.policy(product=rules))
    assert ladder(report) == "ppcmmmm"
    scene.reproduce(PROVIDER, result="fail")
    report = scene.report(auditors=(PROVIDER,), policy=scene.policy(product=rules))
    assert failed(report, 3)


def test_an_auditor_with_a_key_of_the_provider_cannot_be(scene: Scene) -> None:
    with pytest.raises(VerificationError, match=r"belongs to acme.example, for ever"):
        scene.log.enroll("other.example", "auditor", keys=[key(PROVIDER)])


# --- reproductions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("released", "rebuilt", "counts"),
    [
        (GOOD, GOOD, True),
        (GOOD, GOOD | {"PCR1": BAD["PCR1"]}, False),
        (GOOD, GOOD | {"PCR8": BAD["PCR0"]}, False),
        (GOOD | {"PCR8": BAD["PCR0"]}, GOOD, True),
        (GOOD | {"PCR8": BAD["PCR0"]}, GOOD | {"PCR8": BAD["PCR0"]}, True),
        (GOOD | {"PCR8": BAD["PCR0"]}, GOOD | {"PCR8": BAD["PCR1"]}, False),
        (GOOD, BAD, False),
    ],
)
def test_a_reproduction_names_no_register_that_differs(
    released: dict[str, str], rebuilt: dict[str, str], *, counts: bool
) -> None:
    scene = Scene()
    scene.release(image=released)
    scene.reproduce(image=rebuilt)
    report = scene.report(released)
    assert (link(report, 3) == "proven") is counts
    assert report.exit_code == 0


@pytest.mark.parametrize("register", ["PCR0", "PCR1", "PCR2"])
def test_a_reproduction_has_the_registers_that_the_platform_requires(
    scene: Scene, register: str
) -> None:
    fewer = {name: digest for name, digest in GOOD.items() if name != register}
    with pytest.raises(MalformedError, match=f"register {register} is missing"):
        scene.reproduce(image=fewer)


def test_a_reproduction_is_of_the_same_commit(scene: Scene) -> None:
    scene.reproduce(source=source(OLDER))
    assert not counted(scene, 3)
    scene.reproduce()
    assert counted(scene, 3)


def test_a_reproduction_is_by_the_same_recipe_if_it_names_one(scene: Scene) -> None:
    scene.reproduce(recipe="0" * 64)
    assert not counted(scene, 3)
    scene.reproduce(recipe=RECIPE.sha256)
    assert counted(scene, 3)


def test_a_release_without_a_recipe_is_rebuilt_by_none(scene: Scene) -> None:
    scene.release("1.5.0", build=None, components=())
    scene.reproduce(recipe=RECIPE.sha256, components=digest_of(()))
    report = links(scene)
    assert (link(report, 3), link(report, 5)) == ("missing", "proven")


@pytest.mark.parametrize("missing", ["source", "build"])
def test_a_pass_cannot_stand_in_for_the_providers_word(missing: str) -> None:
    scene = Scene()
    members: dict[str, Any] = {missing: None}
    scene.release(**members)
    scene.reproduce()
    assert link(links(scene), 3) == "missing"


def test_a_failed_reproduction_that_shares_the_image_counts(scene: Scene) -> None:
    other = GOOD | {"PCR1": BAD["PCR1"], "PCR2": BAD["PCR2"]}
    scene.reproduce(image=other, result="fail")
    assert failed(links(scene), 3)


def test_a_failed_reproduction_of_another_image_does_not_count(scene: Scene) -> None:
    scene.reproduce(image=GOOD | {"PCR0": BAD["PCR0"]}, result="fail")
    assert not failed(links(scene), 3)


def test_a_failed_reproduction_from_another_commit_counts(scene: Scene) -> None:
    """It shares the measurement: whatever was rebuilt, it was not what runs."""
    scene.reproduce(source=source(OLDER), result="fail")
    assert failed(links(scene), 3)


# --- audits speak of their subject, not of an envelope --------------------------------


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_renewed_release_keeps_its_audits(when: str) -> None:
    scene = Scene()

    def audit(moment: str) -> None:
        if moment == when:
            scene.reproduce()
            scene.review()

    audit("before")
    index = scene.release("1.4.2", expires=format_time(START + 1))
    audit("between")
    scene.release("1.4.3")
    scene.log.revoke(PROVIDER, "superseded", index)
    audit("after")
    report = scene.demand(1, 2, 3, 4)
    assert (report.version, report.exit_code) == ("1.4.3", 0)


@pytest.mark.parametrize("scope", LINK)
def test_a_renewed_release_keeps_its_fails(scene: Scene, scope: str) -> None:
    SAY[scope](scene, LAB, result="fail")
    scene.release("1.5.0")
    scene.log.revoke(PROVIDER, "superseded", 4)
    assert failed(links(scene), LINK[scope])


# --- passes ---------------------------------------------------------------------------


@pytest.mark.parametrize("scope", LINK)
@pytest.mark.parametrize(("ahead", "counts"), [(1, True), (0, False)])
def test_a_pass_counts_until_it_expires(
    scene: Scene, scope: str, ahead: int, *, counts: bool
) -> None:
    SAY[scope](scene, LAB, expires=format_time(START + ahead))
    assert counted(scene, LINK[scope]) is counts


def test_at_replaces_now_for_a_pass_that_expired_since(scene: Scene) -> None:
    scene.reproduce(expires=format_time(START))
    before = START - 60
    report = scene.report(
        attestation=document(time=before),
        at=before,
        policy=scene.policy(head={"archives": True}, product={"links": [1, 2, 3]}),
    )
    assert report.exit_code == 0


@pytest.mark.parametrize("scope", LINK)
@pytest.mark.parametrize(("ahead", "counts"), [(300, True), (301, False)])
def test_a_pass_performed_in_the_future_counts_for_nothing(
    scene: Scene, scope: str, ahead: int, *, counts: bool
) -> None:
    """The future begins where our clock may no longer be wrong: after the skew."""
    SAY[scope](scene, LAB, performed=format_time(START + ahead))
    assert counted(scene, LINK[scope]) is counts


@pytest.mark.parametrize("scope", LINK)
def test_a_fail_performed_in_the_future_counts(scene: Scene, scope: str) -> None:
    SAY[scope](scene, LAB, result="fail", performed=format_time(START + DAY))
    assert failed(links(scene), LINK[scope])


@pytest.mark.parametrize("scope", LINK)
@pytest.mark.parametrize("reason", [*REASONS, "disliked"])
def test_a_revoked_pass_counts_for_nothing(
    scene: Scene, scope: str, reason: str
) -> None:
    index = SAY[scope](scene, LAB)
    assert counted(scene, LINK[scope])
    scene.log.revoke(LAB, reason, index)
    assert not counted(scene, LINK[scope])


@pytest.mark.parametrize(("ahead", "counts"), [(1, True), (0, False)])
def test_a_pass_is_revoked_from_effective_on(
    scene: Scene, ahead: int, *, counts: bool
) -> None:
    index = scene.reproduce()
    effective = format_time(START + ahead)
    scene.log.revoke(LAB, "withdrawn", index, effective=effective)
    assert counted(scene, 3) is counts


def test_a_pass_revoked_by_a_key_that_was_stolen_stays_revoked(scene: Scene) -> None:
    add_key(scene, LAB)
    index = scene.reproduce(by=SECOND)
    made = scene.log.revoke(LAB, "withdrawn", index)
    compromise(scene, LAB, since=made)
    assert not counted(scene, 3)


@pytest.mark.parametrize("scope", LINK)
def test_a_void_pass_counts_for_nothing(scene: Scene, scope: str) -> None:
    add_key(scene, LAB)
    index = SAY[scope](scene, LAB)
    compromise(scene, LAB, since=index)
    assert not counted(scene, LINK[scope])
    scene.log.now += 1
    SAY[scope](scene, LAB, by=SECOND)
    assert counted(scene, LINK[scope])


def test_a_pass_before_the_compromise_counts(scene: Scene) -> None:
    add_key(scene, LAB)
    index = scene.reproduce()
    compromise(scene, LAB, since=index + 1)
    assert counted(scene, 3)


@pytest.mark.parametrize("scope", LINK)
def test_a_pass_by_a_key_that_is_not_pinned_counts_for_nothing(
    scene: Scene, scope: str
) -> None:
    add_key(scene)
    SAY[scope](scene, LAB, by=SECOND)
    assert counted(scene, LINK[scope])
    assert not counted(scene, LINK[scope], pins={LAB: [key(LAB).public.keyid]})
    scene.log.now += 1
    SAY[scope](scene, LAB)
    assert counted(scene, LINK[scope], pins={LAB: [key(LAB).public.keyid]})


@pytest.mark.parametrize("what", ["statements", "keys"])
def test_a_distrusted_pass_counts_for_nothing(scene: Scene, what: str) -> None:
    index = scene.reproduce()
    named = {
        "statements": scene.log.entries[index].sha256,
        "keys": key(LAB).public.keyid,
    }[what]
    policy = scene.policy(head={"distrust": {what: [named]}})
    report = scene.report(policy=policy)
    assert link(report, 3) == "claimed"
    assert report.exit_code == 0


def test_what_a_provider_revokes_of_an_auditors_changes_nothing(scene: Scene) -> None:
    index = scene.reproduce()
    with pytest.raises(VerificationError, match="of another issuer"):
        scene.log.revoke(PROVIDER, "withdrawn", index)


# --- qualified ------------------------------------------------------------------------

LIMITS = {"critical": 0, "high": 2}


@pytest.mark.parametrize(
    ("findings", "limits_", "counts"),
    [
        (CLEAN, LIMITS, True),
        (OpenFindings(critical=0, high=2, medium=9, low=9), LIMITS, True),
        (OpenFindings(critical=0, high=3, medium=0, low=0), LIMITS, False),
        (OpenFindings(critical=1, high=0, medium=0, low=0), LIMITS, False),
        (OpenFindings(critical=9, high=9, medium=9, low=9), {}, True),
        (CLEAN, None, False),
        (OpenFindings(critical=0, high=0, medium=1, low=1), {"low": 0}, False),
        (OpenFindings(critical=0, high=0, medium=1, low=1), {"medium": 0}, False),
    ],
)
def test_qualified_is_a_pass_within_the_limits_of_open_findings(
    scene: Scene,
    findings: OpenFindings,
    limits_: dict[str, int] | None,
    *,
    counts: bool,
) -> None:
    scene.review(result="qualified", open=findings)
    rules = {} if limits_ is None else {"open_findings": limits_}
    assert counted(scene, 4, **rules) is counts
    assert not failed(links(scene, **rules), 4)


# --- fails ----------------------------------------------------------------------------


@pytest.mark.parametrize("scope", LINK)
def test_a_later_pass_does_not_lift_a_fail(scene: Scene, scope: str) -> None:
    SAY[scope](scene, LAB, result="fail")
    scene.log.now += DAY
    SAY[scope](scene, LAB)
    SAY[scope](scene, LENS)
    assert failed(links(scene), LINK[scope])


@pytest.mark.parametrize("scope", LINK)
@pytest.mark.parametrize("reason", REASONS)
def test_its_auditors_revocation_lifts_a_fail(
    scene: Scene, scope: str, reason: str
) -> None:
    index = SAY[scope](scene, LAB, result="fail")
    SAY[scope](scene, LAB)
    assert failed(links(scene), LINK[scope])
    scene.log.revoke(LAB, reason, index)
    assert not failed(links(scene), LINK[scope])
    assert counted(scene, LINK[scope])


def test_each_fail_is_lifted_on_its_own(scene: Scene) -> None:
    first = scene.reproduce(result="fail")
    scene.log.now += 1
    second = scene.reproduce(result="fail")
    scene.log.revoke(LAB, "erroneous", first)
    assert failed(links(scene), 3)
    scene.log.revoke(LAB, "erroneous", second)
    assert not failed(links(scene), 3)


def test_a_fail_is_not_lifted_by_another_auditor(scene: Scene) -> None:
    index = scene.reproduce(result="fail")
    with pytest.raises(VerificationError, match="of another issuer"):
        scene.log.revoke(LENS, "erroneous", index)


@pytest.mark.parametrize("reason", ["compromised", "vulnerable"])
def test_a_fail_is_not_lifted_by_a_revocation_of_the_measurement(
    scene: Scene, reason: str
) -> None:
    index = scene.reproduce(result="fail")
    scene.log.revoke(LAB, reason, index)
    assert failed(links(scene), 3)


@pytest.mark.parametrize("statement", [True, False])
def test_a_fail_is_not_lifted_for_an_unknown_reason(
    scene: Scene, *, statement: bool
) -> None:
    index = scene.reproduce(result="fail")
    named = scene.log.entries[index].sha256 if statement else None
    scene.log.revoke(LAB, "disliked", index, statement=named)
    assert failed(links(scene), 3)


@pytest.mark.parametrize(("ahead", "stands"), [(1, True), (0, False)])
def test_a_fail_is_lifted_from_effective_on(
    scene: Scene, ahead: int, *, stands: bool
) -> None:
    index = scene.reproduce(result="fail")
    effective = format_time(START + ahead)
    scene.log.revoke(LAB, "erroneous", index, effective=effective)
    assert failed(links(scene), 3) is stands


@pytest.mark.parametrize("scope", LINK)
def test_a_void_revocation_does_not_lift_a_fail(scene: Scene, scope: str) -> None:
    add_key(scene, LAB)
    index = SAY[scope](scene, LAB, by=SECOND, result="fail")
    made = scene.log.revoke(LAB, "erroneous", index)
    assert not failed(links(scene), LINK[scope])
    compromise(scene, LAB, since=made)
    assert failed(links(scene), LINK[scope])


@pytest.mark.parametrize("scope", LINK)
def test_a_revocation_by_a_key_that_is_not_pinned_does_not_lift_a_fail(
    scene: Scene, scope: str
) -> None:
    add_key(scene)
    index = SAY[scope](scene, LAB, result="fail")
    scene.log.revoke(LAB, "erroneous", index, by=SECOND)
    assert not failed(links(scene), LINK[scope])
    assert failed(scene.report(policy=pinned(scene)), LINK[scope])
    scene.log.revoke(LAB, "withdrawn", index)
    assert not failed(scene.report(policy=pinned(scene)), LINK[scope])


@pytest.mark.parametrize("scope", LINK)
def test_a_fail_needs_no_pin(scene: Scene, scope: str) -> None:
    add_key(scene)
    SAY[scope](scene, LAB, by=SECOND, result="fail")
    assert failed(scene.report(policy=pinned(scene)), LINK[scope])


@pytest.mark.parametrize("scope", LINK)
def test_a_fail_outlives_its_key_and_its_auditors_role(
    scene: Scene, scope: str
) -> None:
    add_key(scene, LAB)
    index = SAY[scope](scene, LAB, result="fail")
    compromise(scene, LAB, since=index)
    assert scene.log.authority.is_void(scene.log.entries[index])
    assert failed(links(scene), LINK[scope])
    rows = scene.log.authority.newest_identity(LAB)
    assert rows is not None
    scene.log.identify(LAB, rows.keys, [scene.log.enrol], roles=[])
    assert failed(links(scene), LINK[scope])


@pytest.mark.parametrize("what", ["statements", "keys"])
def test_a_fail_that_the_policy_distrusts_counts(scene: Scene, what: str) -> None:
    """Distrust takes away what speaks for something."""
    index = scene.reproduce(result="fail")
    named = {
        "statements": scene.log.entries[index].sha256,
        "keys": key(LAB).public.keyid,
    }[what]
    policy = scene.policy(head={"distrust": {what: [named]}})
    assert failed(scene.report(policy=policy), 3)


def test_a_fail_does_not_expire(scene: Scene) -> None:
    with pytest.raises(MalformedError, match="a fail does not expire"):
        scene.reproduce(result="fail", expires=format_time(START + DAY))


def test_a_fail_counts_though_it_was_made_after_the_time_asked_about(
    scene: Scene,
) -> None:
    scene.log.now = START
    scene.reproduce(result="fail")
    before = START - DAY
    report = scene.report(
        attestation=document(time=before),
        at=before,
        nonce=None,
        policy=scene.policy(head={"archives": True}),
    )
    assert failed(report, 3)


# --- scopes of later versions ---------------------------------------------------------


def test_a_pass_of_an_unknown_scope_counts_for_nothing(scene: Scene) -> None:
    scene.log.audit(LAB, "fuzzing", GOOD)
    report = links(scene)
    assert ladder(report) == "ppcmmmm"
    assert report.exit_code == 0


@pytest.mark.parametrize("scopes", [["reproduction"], ["source-review"], list(SCOPES)])
def test_a_fail_of_an_unknown_scope_counts(scene: Scene, scopes: list[str]) -> None:
    scene.log.audit(LAB, "fuzzing", GOOD, result="fail")
    report = links(scene, auditors=[{"name": LAB, "scopes": scopes}])
    assert not_passed(report) == {"audits.fails": "fail", "policy.links": "fail"}
    assert ladder(report) == "pfcmmmm"


def test_a_fail_of_an_unknown_scope_on_the_source_counts(scene: Scene) -> None:
    subject = {"commit": f"gitCommit:{COMMIT}"}
    scene.log.audit(LAB, "fuzzing", subject, platform="source", result="fail")
    assert status(links(scene), "audits.fails") == "fail"


# --- source reviews -------------------------------------------------------------------


def test_a_review_is_of_the_commit_that_was_released(scene: Scene) -> None:
    scene.review(of=OLDER)
    assert not counted(scene, 4)
    scene.review()
    assert counted(scene, 4)


def test_without_a_commit_nothing_was_reviewed() -> None:
    scene = Scene()
    scene.release(source=None)
    scene.review()
    assert link(links(scene), 4) == "missing"


@pytest.mark.parametrize("how", ["valid", "revoked", "expired", "void", "other PCR1"])
def test_a_fail_on_source_holds_for_every_commit_ever_released(how: str) -> None:
    scene = Scene()
    spare = key("acme.example, the spare key")
    rows = active(key(PROVIDER), spare)
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    build = GOOD | {"PCR1": BAD["PCR1"]} if how == "other PCR1" else GOOD
    members = {"expires": format_time(START)} if how == "expired" else {}
    old = scene.release("1.4.1", build, source=source(OLDER), **members)
    if how == "revoked":
        scene.log.revoke(PROVIDER, "superseded", old)
    scene.release(by=spare)
    if how == "void":
        compromise(scene, PROVIDER, since=old)
    scene.review()
    assert links(scene).exit_code == 0
    scene.review(of=OLDER, result="fail")
    assert failed(links(scene), 4)


@pytest.mark.parametrize("result", ["pass", "fail"])
def test_a_fail_on_source_holds_for_every_commit_that_was_rebuilt(
    scene: Scene, result: str
) -> None:
    index = scene.reproduce(LENS, source=source(OLDER), result=result)
    scene.review(of=OLDER, result="fail")
    assert failed(links(scene), 4)
    scene.log.revoke(LENS, "erroneous", index)
    assert failed(links(scene), 4)


def test_a_rebuilt_commit_counts_if_its_auditor_does(scene: Scene) -> None:
    scene.reproduce(LENS, source=source(OLDER))
    scene.review(LAB, of=OLDER, result="fail")
    lab = {"name": LAB, "scopes": ["source-review"]}
    assert not failed(links(scene, auditors=[lab]), 4)
    lens = {"name": LENS, "scopes": ["source-review"]}
    assert not failed(links(scene, auditors=[lab, lens]), 4)
    lens = {"name": LENS, "scopes": ["reproduction"]}
    assert failed(links(scene, auditors=[lab, lens]), 4)


def test_a_fail_on_source_of_other_products_and_builds_does_not_count(
    scene: Scene,
) -> None:
    scene.release(product=f"{PROVIDER}/other", source=source(OLDER))
    scene.release("1.4.1", BAD, source=source(OLDER))
    scene.review(of=OLDER, result="fail")
    assert not failed(links(scene), 4)


# --- what a review builds on ----------------------------------------------------------


def based(scene: Scene, basis: int, of: str = COMMIT, by: str = LENS) -> int:
    """A review that builds on an earlier one."""
    entry = scene.log.entries[basis]
    commit = entry.statement.registers["commit"].partition(":")[2]
    return scene.review(by, of, basis=Basis(commit, entry.sha256))


def test_a_pass_on_a_basis_that_stands_counts(scene: Scene) -> None:
    based(scene, scene.review(of=OLDER))
    assert counted(scene, 4)


def test_a_basis_of_the_same_commit_stands(scene: Scene) -> None:
    first = scene.review(expires=format_time(START))
    assert not counted(scene, 4)
    based(scene, first)
    assert counted(scene, 4)


def test_a_missing_basis_counts_for_nothing(scene: Scene) -> None:
    scene.review(basis=Basis(OLDER, "0" * 64))
    assert not counted(scene, 4)


def test_a_basis_of_another_auditor_is_missing(scene: Scene) -> None:
    based(scene, scene.review(LAB, OLDER))
    rules = {"auditors": [EVERY_SCOPE[1]]}
    assert not counted(scene, 4, **rules)


def test_a_basis_that_came_later_is_missing(scene: Scene) -> None:
    """Its hash could be known before; it was not in the log."""
    other = Scene()
    later = other.log.entries[other.review(of=OLDER)]
    scene.review(basis=Basis(OLDER, later.sha256))
    index = scene.review(of=OLDER)
    assert scene.log.entries[index].sha256 == later.sha256
    assert not counted(scene, 4)
    scene.log.now += 1
    scene.review(basis=Basis(OLDER, later.sha256))
    assert counted(scene, 4)


def test_a_basis_of_another_commit_than_named_is_missing(scene: Scene) -> None:
    first = scene.log.entries[scene.review(of="0e" * 20)]
    scene.review(of=OLDER)
    scene.review(basis=Basis(OLDER, first.sha256))
    assert not counted(scene, 4)


@pytest.mark.parametrize("reason", [*REASONS, "disliked"])
def test_a_revoked_basis_takes_its_passes_with_it(scene: Scene, reason: str) -> None:
    first = scene.review(of=OLDER)
    based(scene, first)
    scene.log.revoke(LENS, reason, first)
    assert not counted(scene, 4)


def test_a_void_basis_takes_its_passes_with_it(scene: Scene) -> None:
    add_key(scene, LENS, name=LENS)
    first = scene.review(of=OLDER)
    entry = scene.log.entries[first]
    scene.review(by=SECOND, basis=Basis(OLDER, entry.sha256))
    assert counted(scene, 4)
    compromise(scene, LENS, since=first)
    assert not counted(scene, 4)


def test_a_basis_by_a_key_that_is_not_pinned_takes_its_passes_with_it(
    scene: Scene,
) -> None:
    add_key(scene, name=LENS)
    first = scene.review(of=OLDER, by=SECOND)
    based(scene, first)
    assert counted(scene, 4)
    assert not counted(scene, 4, pins={LENS: [key(LENS).public.keyid]})


def test_a_failed_basis_takes_its_passes_with_it(scene: Scene) -> None:
    based(scene, scene.review(of=OLDER, result="fail"))
    assert not counted(scene, 4)


def test_a_fail_on_the_commit_of_a_basis_takes_its_passes_with_it(scene: Scene) -> None:
    based(scene, scene.review(of=OLDER))
    assert counted(scene, 4)
    index = scene.review(of=OLDER, result="fail")
    assert not counted(scene, 4)
    assert not failed(links(scene), 4)
    scene.log.revoke(LENS, "erroneous", index)
    assert counted(scene, 4)


def test_a_basis_may_have_expired(scene: Scene) -> None:
    based(scene, scene.review(of=OLDER, expires=format_time(START - 1)))
    assert counted(scene, 4)


def build_on(scene: Scene, bases: int) -> int:
    """A pass that builds on that many reviews, each on the one before; the deepest."""
    deepest = last = scene.review(of=f"{bases:02x}" * 20)
    for n in range(bases - 1, 0, -1):
        last = based(scene, last, f"{n:02x}" * 20)
    based(scene, last)
    return deepest


def test_reviews_may_build_on_each_other_eight_deep(scene: Scene) -> None:
    deepest = build_on(scene, limits.BASIS_CHAIN)
    assert counted(scene, 4)
    scene.log.revoke(LENS, "erroneous", deepest)
    assert not counted(scene, 4)


def test_nine_deep_nobody_looks(scene: Scene) -> None:
    build_on(scene, limits.BASIS_CHAIN + 1)
    report = links(scene)
    assert report.exit_code == 3
    assert status(report, "answers.present") == "unchecked"
    assert link(report, 4) == "unchecked"


# --- controls reviews -----------------------------------------------------------------


@pytest.fixture
def controlled() -> Scene:
    scene = Scene()
    assert scene.release(controls=(CONTROL,)) == 4
    return scene


def test_controls_that_are_listed_are_claimed(controlled: Scene) -> None:
    assert link(links(controlled), 7) == "claimed"


def test_a_controls_review_proves_exactly_this_list(controlled: Scene) -> None:
    other = digest_of((CONTROL, Control("kms-policy", "c1" * 32)))
    controlled.review_controls(4, controls=other)
    controlled.review_controls(4, controls=digest_of(()))
    assert not counted(controlled, 7)
    controlled.review_controls(4)
    assert counted(controlled, 7)


def test_no_controls_at_all_can_be_reviewed_too() -> None:
    scene = Scene()
    index = scene.release(controls=())
    assert link(links(scene), 7) == "claimed"
    scene.review_controls(index)
    assert link(links(scene), 7) == "proven"


def test_without_a_list_nothing_was_reviewed(scene: Scene) -> None:
    scene.review_controls(4)
    assert link(links(scene), 7) == "missing"


def test_a_controls_review_counts_for_ninety_days(controlled: Scene) -> None:
    controlled.review_controls(4)
    start = controlled.log.now
    for age, counts in ((90 * DAY - 1, True), (90 * DAY, False)):
        controlled.log.now = start + age
        controlled.seal(frozen=False)
        assert counted(controlled, 7) is counts


def test_a_controls_review_older_than_ninety_days_counts_at_no_time(
    controlled: Scene,
) -> None:
    """`at` replaces now for what expires, not for how old a review may be."""
    controlled.review_controls(4)
    start, at = controlled.log.now, START + DAY
    for age, came_to in ((90 * DAY, "proven"), (90 * DAY + 1, "claimed")):
        controlled.log.now = start + age
        controlled.seal(frozen=False)
        policy = controlled.policy(head={"archives": True})
        report = controlled.report(
            attestation=document(time=at), at=at, nonce=None, policy=policy
        )
        assert link(report, 7) == came_to


def test_a_failed_controls_review_fails_its_link(controlled: Scene) -> None:
    controlled.review_controls(4, LAB)
    controlled.review_controls(4, LENS, result="fail", controls="0" * 64)
    report = links(controlled)
    assert failed(report, 7)
    assert status(report, "controls") == "fail"


def test_a_controls_review_has_the_registers_of_the_release(controlled: Scene) -> None:
    signed = GOOD | {"PCR8": BAD["PCR0"]}
    index = controlled.release("1.4.3", signed, controls=(CONTROL,))
    controlled.review_controls(index)
    assert link(controlled.report(), 7) == "claimed"
    assert link(controlled.report(signed), 7) == "proven"
