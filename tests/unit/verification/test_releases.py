"""What counts for and against a release (PROTOCOL.md 2.3): the provider's side."""

import pytest

from pcrlog.encoding import format_time
from pcrlog.policy import Policy
from pcrlog.predicates import REGISTRAR
from pcrlog.verification import Report
from tests.support.memory_log import START, active, key, registers
from tests.support.scene import (
    BAD,
    GOOD,
    HOUR,
    LAB,
    PRODUCT,
    PROVIDER,
    Scene,
    changed,
    compromise,
    document,
    found,
    link,
    not_passed,
    retire,
    status,
)

OTHER = "other.example"
SECOND = key("acme.example, the second key")
MEASUREMENT = ("compromised", "vulnerable")
STATEMENT = ("withdrawn", "erroneous", "superseded")
M = f"aws-nitro/PCR0={GOOD['PCR0']}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def refuted_by(report: Report, check: str) -> str:
    """What the check found that refutes the run, and link 2 with it."""
    assert report.exit_code == 4
    assert status(report, check) == "fail"
    assert link(report, 2) == "failed"
    return found(report, check)


def verified(report: Report) -> str | None:
    """The version that a verified run rests on."""
    assert not_passed(report) == {}
    assert report.exit_code == 0
    return report.version


def add_key(scene: Scene) -> int:
    """The provider and the registrar give the provider a second key."""
    return scene.log.identify(
        PROVIDER,
        active(key(PROVIDER), SECOND),
        [scene.log.enrol, key(PROVIDER)],
        roles=["provider"],
    )


# --- which release --------------------------------------------------------------------


def test_the_document_has_all_registers_of_the_release(scene: Scene) -> None:
    signed = GOOD | {"PCR8": BAD["PCR0"]}
    scene.release(image=signed)
    assert verified(scene.report(signed)) == "1.4.2"
    report = scene.report(GOOD)
    assert status(report, "release.match") == "fail"
    assert "other registers differ" in found(report, "release.match")
    assert report.exit_code == 4


def test_the_document_may_have_more_registers_than_the_release(scene: Scene) -> None:
    scene.release()
    report = scene.report(GOOD | {"PCR8": BAD["PCR0"]})
    assert verified(report) == "1.4.2"
    assert report.registers.matched == GOOD
    assert report.registers.unlisted["PCR8"] == BAD["PCR0"]
    assert "PCR4" in report.registers.unlisted


@pytest.mark.parametrize("register", ["PCR1", "PCR2"])
def test_the_same_image_with_another_register_is_not_the_release(
    scene: Scene, register: str
) -> None:
    scene.release()
    report = scene.report(GOOD | {register: BAD[register]})
    assert not_passed(report)["release.match"] == "fail"


def test_a_product_is_released_under_its_own_name_alone(scene: Scene) -> None:
    """Another's release of the same image says nothing of acme's wallet."""
    scene.log.enroll(OTHER, "provider")
    scene.release(product=f"{OTHER}/wallet")
    report = scene.report()
    assert not_passed(report)["release.match"] == "fail"
    assert link(report, 2) == "missing"


def test_another_product_of_the_provider_is_another_product(scene: Scene) -> None:
    scene.release(product=f"{PROVIDER}/other")
    assert not_passed(scene.report())["release.match"] == "fail"


def test_the_run_rests_on_the_newest_valid_release(scene: Scene) -> None:
    scene.release("1.4.2")
    scene.release("1.5.0")
    third = scene.release("1.6.0")
    assert verified(scene.report()) == "1.6.0"
    scene.log.revoke(PROVIDER, "withdrawn", third)
    assert verified(scene.report()) == "1.5.0"


def test_newest_is_by_the_order_of_the_log_not_by_version(scene: Scene) -> None:
    scene.release("2.0.0")
    scene.release("1.4.2")
    assert verified(scene.report()) == "1.4.2"


@pytest.mark.parametrize(("before", "exit_code"), [(1, 0), (0, 4), (-1, 4)])
def test_a_release_is_expired_from_expires_on(
    scene: Scene, before: int, exit_code: int
) -> None:
    scene.release(expires=format_time(START + before))
    report = scene.report()
    assert report.exit_code == exit_code
    if exit_code:
        assert "expired at" in refuted_by(report, "release.valid")


def test_a_release_that_expired_leaves_the_one_before_it(scene: Scene) -> None:
    scene.release("1.4.2")
    scene.release("1.5.0", expires=format_time(START))
    assert verified(scene.report()) == "1.4.2"


# --- revocations of a measurement -----------------------------------------------------


@pytest.mark.parametrize("reason", MEASUREMENT)
def test_a_revoked_measurement_is_revoked_earlier_and_later(
    scene: Scene, reason: str
) -> None:
    first = scene.release("1.4.2")
    second = scene.release("1.5.0")
    scene.log.revoke(PROVIDER, reason, second)
    words = refuted_by(scene.report(), "release.valid")
    assert words.endswith(f"is revoked by {PROVIDER} as {reason} (entry {second + 1})")
    scene.release("1.6.0")
    refuted_by(scene.report(), "release.valid")
    # Nor does it help to take back every release but the last.
    for index in (first, second):
        scene.log.revoke(PROVIDER, "withdrawn", index)
    refuted_by(scene.report(), "release.valid")


@pytest.mark.parametrize("reason", MEASUREMENT)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_measurement_is_revoked_for_every_product_of_its_issuer(
    scene: Scene, reason: str, order: str
) -> None:
    if order == "after":
        scene.release()
    index = scene.release(product=f"{PROVIDER}/other")
    scene.log.revoke(PROVIDER, reason, index)
    if order == "before":
        scene.release()
    refuted_by(scene.report(), "release.valid")


@pytest.mark.parametrize("reason", MEASUREMENT)
def test_the_registrar_revokes_a_measurement_for_anybody(
    scene: Scene, reason: str
) -> None:
    scene.log.enroll(OTHER, "provider")
    index = scene.release(product=f"{OTHER}/app")
    scene.log.revoke(REGISTRAR, reason, index, by=scene.log.enrol)
    scene.release()
    words = refuted_by(scene.report(), "release.valid")
    assert f"is revoked by registrar as {reason}" in words


@pytest.mark.parametrize("reason", MEASUREMENT)
@pytest.mark.parametrize("name", [OTHER, LAB])
def test_nobody_else_revokes_a_providers_measurement(
    scene: Scene, reason: str, name: str
) -> None:
    scene.log.enroll(OTHER, "provider")
    index = scene.release()
    scene.log.revoke(name, reason, index)
    assert verified(scene.report()) == "1.4.2"


def test_a_measurement_is_its_identity_registers_alone(scene: Scene) -> None:
    """PCR1 and PCR2 differ; PCR0 says what runs."""
    index = scene.release(image=GOOD | {"PCR1": BAD["PCR1"], "PCR2": BAD["PCR2"]})
    scene.release("1.5.0")
    scene.log.revoke(PROVIDER, "vulnerable", index)
    refuted_by(scene.report(), "release.valid")


def test_another_measurement_is_not_revoked(scene: Scene) -> None:
    index = scene.release("1.4.1", BAD)
    scene.release()
    scene.log.revoke(PROVIDER, "compromised", index)
    assert verified(scene.report()) == "1.4.2"


def test_build_anew_is_the_way_out(scene: Scene) -> None:
    index = scene.release("1.4.2")
    scene.log.revoke(PROVIDER, "vulnerable", index)
    fixed = registers("fixed")
    scene.release("1.4.3", fixed)
    assert verified(scene.report(fixed)) == "1.4.3"


# --- revocations of a statement -------------------------------------------------------


@pytest.mark.parametrize("reason", STATEMENT)
def test_a_revoked_statement_is_revoked_alone(scene: Scene, reason: str) -> None:
    first = scene.release("1.4.2")
    scene.log.revoke(PROVIDER, reason, first)
    words = refuted_by(scene.report(), "release.valid")
    assert words.endswith(f"is revoked by {PROVIDER} as {reason} (entry {first + 1})")
    scene.release("1.5.0")
    assert verified(scene.report()) == "1.5.0"


@pytest.mark.parametrize("reason", STATEMENT)
@pytest.mark.parametrize(("ahead", "exit_code"), [(1, 0), (0, 4), (-1, 4)])
def test_a_statement_is_revoked_from_effective_on(
    scene: Scene, reason: str, ahead: int, exit_code: int
) -> None:
    index = scene.release()
    effective = format_time(START + ahead)
    scene.log.revoke(PROVIDER, reason, index, effective=effective)
    assert scene.report().exit_code == exit_code


@pytest.mark.parametrize("statement", [True, False])
def test_an_unknown_reason_revokes(scene: Scene, *, statement: bool) -> None:
    scene.release("1.4.1")
    index = scene.release()
    named = scene.log.entries[index].sha256 if statement else None
    scene.log.revoke(PROVIDER, "disliked", index, statement=named)
    report = scene.report()
    if statement:
        assert verified(report) == "1.4.1"
    else:
        assert "as disliked" in refuted_by(report, "release.valid")


def test_a_revocation_outlives_the_key_that_signed_it(scene: Scene) -> None:
    """Else a thief would un-revoke by having the key declared compromised."""
    add_key(scene)
    index = scene.release(by=SECOND)
    for reason in (*MEASUREMENT, *STATEMENT):
        made = scene.log.revoke(PROVIDER, reason, index)
        compromise(scene, PROVIDER, since=made)
        refuted_by(scene.report(), "release.valid")
        scene = Scene()
        add_key(scene)
        index = scene.release(by=SECOND)


# --- void, distrusted, not pinned -----------------------------------------------------


def test_a_void_release_is_not_valid(scene: Scene) -> None:
    add_key(scene)
    index = scene.release()
    compromise(scene, PROVIDER, since=index)
    assert "is void" in refuted_by(scene.report(), "release.valid")
    scene.release("1.5.0", by=SECOND)
    assert verified(scene.report()) == "1.5.0"


def test_a_release_before_the_compromise_stays_valid(scene: Scene) -> None:
    add_key(scene)
    scene.release()
    compromise(scene, PROVIDER, since=len(scene.log.leaves))
    assert verified(scene.report()) == "1.4.2"


def test_a_release_by_a_key_retired_since_stays_valid(scene: Scene) -> None:
    add_key(scene)
    scene.release()
    retire(scene, PROVIDER, by=SECOND)
    assert verified(scene.report()) == "1.4.2"


def pin(scene: Scene, name: str = PROVIDER, *keys: str) -> Policy:
    pinned = list(keys) or [key(name).public.keyid]
    return scene.policy(product={"pins": {name: pinned}})


def test_a_release_is_signed_by_a_pinned_key(scene: Scene) -> None:
    scene.release()
    assert verified(scene.report(policy=pin(scene))) == "1.4.2"
    report = scene.report(policy=pin(scene, PROVIDER, "0" * 64))
    assert "does not pin" in refuted_by(report, "release.valid")


def test_a_pinned_key_hands_its_pin_on(scene: Scene) -> None:
    add_key(scene)
    scene.release(by=SECOND)
    assert verified(scene.report(policy=pin(scene))) == "1.4.2"


def test_a_key_that_the_registrar_adds_is_flagged_and_satisfies_no_pin(
    scene: Scene,
) -> None:
    rows = active(key(PROVIDER), SECOND)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    index = scene.release(by=SECOND)
    report = scene.report()
    assert verified(report) == "1.4.2"
    assert any(
        f"entry {index} is signed by a key of {PROVIDER} that the registrar alone"
        in remark
        for remark in report.remarks
    )
    refuted_by(scene.report(policy=pin(scene)), "release.valid")


def test_a_key_that_the_name_adds_is_not_flagged(scene: Scene) -> None:
    add_key(scene)
    scene.release(by=SECOND)
    assert not any("registrar alone" in one for one in scene.report().remarks)


@pytest.mark.parametrize("reason", [*MEASUREMENT, *STATEMENT])
def test_a_revocation_needs_no_pin(scene: Scene, reason: str) -> None:
    rows = active(key(PROVIDER), SECOND)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    index = scene.release()
    scene.log.revoke(PROVIDER, reason, index, by=SECOND)
    refuted_by(scene.report(policy=pin(scene)), "release.valid")


@pytest.mark.parametrize("what", ["statement", "key"])
def test_a_distrusted_statement_or_key_speaks_for_nothing(
    scene: Scene, what: str
) -> None:
    add_key(scene)
    index = scene.release()
    named = {
        "statement": {"statements": [scene.log.entries[index].sha256]},
        "key": {"keys": [key(PROVIDER).public.keyid]},
    }[what]
    policy = scene.policy(head={"distrust": named})
    report = scene.report(policy=policy)
    assert "is distrusted" in refuted_by(report, "release.valid")
    assert f"entry {index}" in refuted_by(report, "policy.distrust")
    scene.release("1.5.0", by=SECOND)
    assert verified(scene.report(policy=policy)) == "1.5.0"


def test_a_distrusted_measurement_is_refused_whoever_releases_it(scene: Scene) -> None:
    scene.release()
    for named, exit_code in ((M, 4), (M.replace(GOOD["PCR0"], BAD["PCR0"]), 0)):
        policy = scene.policy(head={"distrust": {"measurements": [named]}})
        assert scene.report(policy=policy).exit_code == exit_code


# --- conflicts ------------------------------------------------------------------------


def conflict(report: Report) -> bool:
    """Whether a conflict stands; if so, it refutes."""
    if status(report, "release.conflict") == "pass":
        assert report.exit_code == 0
        return False
    refuted_by(report, "release.conflict")
    return True


@pytest.mark.parametrize("register", ["PCR0", "PCR1", "PCR2"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_two_builds_of_one_version_are_in_conflict(
    scene: Scene, register: str, order: str
) -> None:
    rival = GOOD | {register: BAD[register]}
    builds = [rival, GOOD] if order == "before" else [GOOD, rival]
    for build in builds:
        scene.release(image=build)
    assert conflict(scene.report())
    assert conflict(scene.report(rival))


def test_a_register_that_only_one_names_is_no_difference(scene: Scene) -> None:
    scene.release()
    scene.release(image=GOOD | {"PCR8": BAD["PCR0"]})
    assert not conflict(scene.report())
    scene.release(image=GOOD | {"PCR8": BAD["PCR1"]})
    assert not conflict(scene.report())
    assert conflict(scene.report(GOOD | {"PCR8": BAD["PCR1"]}))


def test_the_same_build_again_is_no_conflict(scene: Scene) -> None:
    scene.release()
    scene.log.now += HOUR
    scene.release()
    assert not conflict(scene.report())


@pytest.mark.parametrize(
    ("ours", "theirs", "stands"),
    [
        (None, None, True),
        ("x86_64", "x86_64", True),
        (None, "x86_64", False),
        ("x86_64", None, False),
        ("x86_64", "aarch64", False),
    ],
)
def test_absent_is_a_variant_like_any_other(
    scene: Scene, ours: str | None, theirs: str | None, *, stands: bool
) -> None:
    scene.release(variant=ours)
    scene.release(image=BAD, variant=theirs)
    assert conflict(scene.report()) is stands


def test_other_versions_products_and_platforms_are_no_rivals(scene: Scene) -> None:
    scene.release()
    scene.release("1.4.3", BAD)
    scene.release(product=f"{PROVIDER}/other", image=BAD)
    scene.release(image={"digest": "sha256:" + "1" * 64}, platform="artifact")
    assert not conflict(scene.report())


def test_an_expired_rival_counts(scene: Scene) -> None:
    scene.release()
    scene.release(image=BAD, expires=format_time(START - 1))
    assert conflict(scene.report())


def test_a_conflict_is_not_shed_by_another_version(scene: Scene) -> None:
    scene.release("1.4.2")
    scene.release("1.4.2", BAD)
    scene.release("1.5.0")
    report = scene.report()
    assert report.version == "1.5.0"
    assert conflict(report)


def test_a_conflict_of_two_candidates_is_seen_without_the_answer_of_the_version(
    scene: Scene,
) -> None:
    scene.release()
    scene.release(image=GOOD | {"PCR1": BAD["PCR1"]})
    inputs = scene.inputs()
    answers = dict(inputs.parsed.answers)
    del answers[f"v1/version/{PRODUCT}/1.4.2"]
    report = inputs.tampered(scene.log.assemble(answers))
    assert status(report, "answers.present") == "unchecked"
    assert status(report, "release.conflict") == "fail"
    assert (report.verdict, link(report, 2)) == ("refuted", "failed")


def test_a_conflict_of_an_expired_release_stands(scene: Scene) -> None:
    scene.release("1.4.2", expires=format_time(START - 1))
    scene.release("1.4.2", BAD)
    scene.release("1.5.0")
    assert conflict(scene.report())


def test_a_void_rival_does_not_count(scene: Scene) -> None:
    add_key(scene)
    scene.release(by=SECOND)
    rival = scene.release(image=BAD)
    assert conflict(scene.report())
    compromise(scene, PROVIDER, since=rival)
    assert not conflict(scene.report())


def test_a_void_release_of_ours_is_in_no_conflict(scene: Scene) -> None:
    add_key(scene)
    index = scene.release("1.4.2")
    scene.release("1.4.2", BAD, by=SECOND)
    scene.release("1.5.0", by=SECOND)
    assert conflict(scene.report())
    compromise(scene, PROVIDER, since=index)
    assert not conflict(scene.report())


@pytest.mark.parametrize("reason", [*MEASUREMENT, *STATEMENT])
def test_a_revoked_rival_does_not_count(scene: Scene, reason: str) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    scene.log.revoke(PROVIDER, reason, rival)
    assert not conflict(scene.report())


@pytest.mark.parametrize("reason", STATEMENT)
def test_a_revoked_rival_of_the_same_image_does_not_count(
    scene: Scene, reason: str
) -> None:
    scene.release()
    rival = scene.release(image=GOOD | {"PCR1": BAD["PCR1"]})
    assert conflict(scene.report())
    scene.log.revoke(PROVIDER, reason, rival)
    assert not conflict(scene.report())


@pytest.mark.parametrize("reason", MEASUREMENT)
def test_a_rival_that_the_registrar_revoked_does_not_count(
    scene: Scene, reason: str
) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    scene.log.revoke(REGISTRAR, reason, rival, by=scene.log.enrol)
    assert not conflict(scene.report())


def test_a_rival_revoked_by_an_auditor_counts(scene: Scene) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    scene.log.revoke(LAB, "compromised", rival)
    assert conflict(scene.report())


def test_our_own_release_revoked_is_in_no_conflict(scene: Scene) -> None:
    index = scene.release("1.4.2")
    scene.release("1.4.2", BAD)
    scene.release("1.5.0")
    scene.log.revoke(PROVIDER, "withdrawn", index)
    assert not conflict(scene.report())


@pytest.mark.parametrize("which", ["the rival's", "our own's"])
def test_a_void_revocation_lifts_no_conflict(scene: Scene, which: str) -> None:
    add_key(scene)
    index = scene.release("1.4.2", by=SECOND)
    rival = scene.release("1.4.2", BAD, by=SECOND)
    scene.release("1.5.0", by=SECOND)
    made = scene.log.revoke(
        PROVIDER, "withdrawn", rival if which == "the rival's" else index
    )
    assert not conflict(scene.report())
    compromise(scene, PROVIDER, since=made)
    assert conflict(scene.report())


@pytest.mark.parametrize("which", ["the rival's", "our own's"])
def test_a_revocation_by_a_key_that_is_not_pinned_lifts_no_conflict(
    scene: Scene, which: str
) -> None:
    rows = active(key(PROVIDER), SECOND)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    index = scene.release("1.4.2")
    rival = scene.release("1.4.2", BAD)
    scene.release("1.5.0")
    target = rival if which == "the rival's" else index
    scene.log.revoke(PROVIDER, "withdrawn", target, by=SECOND)
    assert not conflict(scene.report())
    assert conflict(scene.report(policy=pin(scene)))
    scene.log.revoke(PROVIDER, "erroneous", target)
    assert not conflict(scene.report(policy=pin(scene)))


def test_a_revocation_that_is_not_yet_effective_lifts_no_conflict(scene: Scene) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    for ahead, stands in ((1, True), (0, False)):
        effective = format_time(START + ahead)
        scene.log.revoke(PROVIDER, "withdrawn", rival, effective=effective)
        assert conflict(scene.report()) is stands


def test_a_revocation_for_an_unknown_reason_lifts_no_conflict(scene: Scene) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    scene.log.revoke(PROVIDER, "disliked", rival)
    assert conflict(scene.report())


def test_a_rival_by_a_key_that_is_not_pinned_counts(scene: Scene) -> None:
    """A pin asks of what speaks for something; a conflict speaks against."""
    rows = active(key(PROVIDER), SECOND)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    scene.release()
    scene.release(image=BAD, by=SECOND)
    assert conflict(scene.report(policy=pin(scene)))


def test_our_release_by_a_key_that_is_not_pinned_counts(scene: Scene) -> None:
    rows = active(key(PROVIDER), SECOND)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    scene.release("1.4.2", by=SECOND)
    scene.release("1.4.2", BAD)
    scene.release("1.5.0")
    assert conflict(scene.report(policy=pin(scene)))


@pytest.mark.parametrize("missing", [PROVIDER, REGISTRAR])
def test_a_missing_answer_about_a_rival_leaves_the_conflict_standing(
    scene: Scene, missing: str
) -> None:
    """It is asked for, but need not be there: its lack alone changes no verdict."""
    scene.release()
    rival = scene.release(image=BAD)
    who = {PROVIDER: key(PROVIDER), REGISTRAR: scene.log.enrol}[missing]
    scene.log.revoke(missing, "compromised", rival, by=who)
    inputs = scene.inputs()
    assert not conflict(inputs.report())
    bundle = inputs.parsed
    named = f"v1/by/{missing}/aws-nitro/PCR0={BAD['PCR0']}"
    answers = {k: a for k, a in bundle.answers.items() if k != named}
    assert len(answers) == len(bundle.answers) - 1
    report = inputs.tampered(changed(bundle, answers=answers))
    assert status(report, "answers.present") == "pass"
    assert conflict(report)


def test_a_missing_answer_about_a_rival_that_stands_no_longer_changes_nothing(
    scene: Scene,
) -> None:
    scene.release()
    rival = scene.release(image=BAD)
    scene.log.revoke(PROVIDER, "compromised", rival)
    inputs = scene.inputs()
    bundle = inputs.parsed
    named = f"v1/by/{REGISTRAR}/aws-nitro/PCR0={BAD['PCR0']}"
    answers = {k: a for k, a in bundle.answers.items() if k != named}
    assert inputs.tampered(changed(bundle, answers=answers)).exit_code == 0


# --- the lowest version ---------------------------------------------------------------


def lowest(scene: Scene, version: str) -> Report:
    return scene.report(policy=scene.policy(product={"lowest_version": version}))


@pytest.mark.parametrize(
    ("released", "demanded", "exit_code"),
    [
        ("1.4.2", "1.4.2", 0),
        ("1.4.2", "1.4.3", 4),
        ("1.10.0", "1.9.0", 0),
        ("1.9.0", "1.10.0", 4),
        ("2.0.0-rc.1", "2.0.0", 4),
        ("2.0.0", "2.0.0-rc.1", 0),
        ("2.0.0-rc.2", "2.0.0-rc.10", 4),
        ("2.0.0-rc.10", "2.0.0-rc.2", 0),
        ("2.0.0-alpha", "2.0.0-alpha.1", 4),
        ("2.0.0-1", "2.0.0-alpha", 4),
        ("2.0.0-alpha", "2.0.0-1", 0),
        ("2.0.0-beta", "2.0.0-alpha.beta", 0),
        ("2024-11", "1.0.0", 4),
        ("v2.0.0", "1.0.0", 4),
        ("2.0", "1.0.0", 4),
        ("02.0.0", "1.0.0", 4),
        ("2.0.0-01", "1.0.0", 4),
    ],
)
def test_versions_compare_as_semver_and_what_is_not_semver_is_refused(
    scene: Scene, released: str, demanded: str, exit_code: int
) -> None:
    scene.release(released)
    report = lowest(scene, demanded)
    assert report.exit_code == exit_code
    if exit_code:
        refuted_by(report, "release.version")


def test_without_a_lowest_version_any_version_will_do(scene: Scene) -> None:
    scene.release("november")
    assert verified(scene.report()) == "november"


@pytest.mark.parametrize("how", ["plain", "revoked", "expired", "other registers"])
def test_an_old_build_under_a_new_version_counts_as_the_old_one(
    scene: Scene, how: str
) -> None:
    members = {"expires": format_time(START - 1)} if how == "expired" else {}
    build = GOOD | {"PCR1": BAD["PCR1"]} if how == "other registers" else GOOD
    old = scene.release("1.0.0", build, **members)
    if how == "revoked":
        scene.log.revoke(PROVIDER, "superseded", old)
    scene.release("2.0.0")
    assert scene.report().version == "2.0.0"
    words = refuted_by(lowest(scene, "2.0.0"), "release.version")
    assert "counts as 1.0.0" in words
    assert lowest(scene, "1.0.0").exit_code == 0


def test_an_old_build_relabelled_later_counts_as_the_old_one(scene: Scene) -> None:
    scene.release("2.0.0")
    scene.release("1.0.0")
    refuted_by(lowest(scene, "2.0.0"), "release.version")


def test_a_version_that_a_void_release_gave_does_not_count(scene: Scene) -> None:
    add_key(scene)
    old = scene.release("1.0.0")
    scene.release("2.0.0", by=SECOND)
    refuted_by(lowest(scene, "2.0.0"), "release.version")
    compromise(scene, PROVIDER, since=old)
    assert verified(lowest(scene, "2.0.0")) == "2.0.0"


def test_versions_of_another_product_or_build_do_not_count(scene: Scene) -> None:
    scene.release("1.0.0", product=f"{PROVIDER}/other")
    scene.release("1.0.0", BAD)
    scene.release("2.0.0")
    assert verified(lowest(scene, "2.0.0")) == "2.0.0"


def test_one_release_that_is_not_semver_spoils_the_lowest_version(scene: Scene) -> None:
    scene.release("november")
    scene.release("2.0.0")
    assert verified(scene.report()) == "2.0.0"
    refuted_by(lowest(scene, "1.0.0"), "release.version")


def test_a_measurement_without_any_release_that_speaks_has_no_version(
    scene: Scene,
) -> None:
    add_key(scene)
    index = scene.release("2.0.0")
    compromise(scene, PROVIDER, since=index)
    words = refuted_by(lowest(scene, "1.0.0"), "release.version")
    assert words == "no release that is not void"


def test_what_nobody_released_has_no_version(scene: Scene) -> None:
    report = lowest(scene, "1.0.0")
    assert status(report, "release.version") == "unchecked"
    assert link(report, 2) == "missing"
    assert not_passed(report)["release.match"] == "fail"
    assert report.exit_code == 4


# --- archived -------------------------------------------------------------------------


def archived(scene: Scene, at: int) -> Report:
    return scene.report(
        policy=scene.policy(head={"archives": True}),
        attestation=document(time=at),
        at=at,
        nonce=None,
    )


def test_at_replaces_now_for_what_expires(scene: Scene) -> None:
    scene.release(expires=format_time(START))
    assert scene.report().exit_code == 4
    assert archived(scene, START - 1).exit_code == 0
    assert archived(scene, START).exit_code == 4


@pytest.mark.parametrize("reason", [*MEASUREMENT, *STATEMENT])
def test_evidence_against_counts_whenever_it_was_made(
    scene: Scene, reason: str
) -> None:
    scene.log.now = START - 9 * HOUR
    index = scene.release()
    scene.log.now = START
    scene.log.revoke(PROVIDER, reason, index)
    refuted_by(archived(scene, START - 8 * HOUR), "release.valid")


def test_a_revocation_effective_since_then_counts(scene: Scene) -> None:
    index = scene.release()
    effective = format_time(START - 1)
    scene.log.revoke(PROVIDER, "withdrawn", index, effective=effective)
    refuted_by(archived(scene, START - HOUR), "release.valid")


def test_a_second_leaf_of_one_statement_counts_for_nothing(scene: Scene) -> None:
    """Signed again by a key that is not void: the payload is in the log already."""
    add_key(scene)
    index = scene.release()
    entry = scene.log.entries[index]
    compromise(scene, PROVIDER, since=index)
    again = scene.resign(entry, SECOND)
    assert again > index
    report = scene.report()
    assert "is void" in refuted_by(report, "release.valid")
    assert status(report, "entries.authority") == "pass"
