"""Reports: words first, then links and checks (PROTOCOL.md section 4, Report)."""

import json
from typing import Any

import pytest

from pcrlog.encoding import encode_json
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.note import UnverifiedNote
from pcrlog.predicates import Binding
from pcrlog.verification import Report, foresee
from pcrlog.verification.checks import CHECKS
from pcrlog.verification.links import NAMES
from tests.support.memory_log import START, key
from tests.support.scene import (
    BAD,
    GOOD,
    LAB,
    LENS,
    NONCE,
    PRODUCT,
    PROVIDER,
    Scene,
    document,
    ladder,
    link,
    not_passed,
    status,
)


def said(*steps: str, **release: Any) -> Scene:
    """A release, rebuilt and reviewed if it is said so."""
    scene = Scene()
    scene.release(**release)
    if "rebuilt" in steps:
        scene.reproduce()
    if "reviewed" in steps:
        scene.review()
    return scene


@pytest.fixture(scope="module")
def report() -> Report:
    """Of a run that is verified to link 4."""
    return said("rebuilt", "reviewed").demand(1, 2, 3, 4)


# --- the headline ---------------------------------------------------------------------


def test_nobody_else_has_looked() -> None:
    assert said().report().headline == (
        "VERIFIED TO LINK 2 OF 7: this is what acme.example released as wallet 1.4.2;"
        " nobody else has looked"
    )


def test_who_rebuilt_and_who_reviewed_is_named(report: Report) -> None:
    assert report.headline == (
        "VERIFIED TO LINK 4 OF 7: this is what acme.example released as wallet 1.4.2;"
        " lab.example rebuilt it from its source; lens.example reviewed that source"
    )


def test_several_who_rebuilt_are_all_named() -> None:
    scene = said("rebuilt")
    scene.reproduce(LENS)
    assert "lab.example and lens.example rebuilt it" in scene.report().headline


def test_a_gap_is_named() -> None:
    """A review of the source helps little while nobody rebuilt it."""
    headline = said("reviewed").report().headline
    assert headline.startswith("VERIFIED TO LINK 2 OF 7: ")
    assert headline.endswith("; link 3 is claimed in between")


def test_a_link_that_failed_is_named_even_where_it_is_only_reported() -> None:
    scene = Scene()
    scene.complete()
    [index] = scene.log.index["v1/product/parts.example/sidecar"]
    scene.log.revoke("parts.example", "vulnerable", index)
    report = scene.demand(1, 2, components="report")
    assert report.headline.startswith("VERIFIED TO LINK 4 OF 7: ")
    assert report.headline.endswith("; but link 5 and 6 failed")


def test_all_seven_are_told() -> None:
    scene = Scene()
    scene.complete()
    report = scene.report()
    assert report.trust_ends_at == 7
    assert report.headline.startswith("VERIFIED TO LINK 7 OF 7: ")
    for words in ("components are complete", "reviewed who gets the secrets"):
        assert words in report.headline


@pytest.mark.parametrize(
    ("made", "headline"),
    [
        (
            lambda: Scene().report(),
            "REFUTED: release.match: none: nobody who may say so says what this is",
        ),
        (
            lambda: said().report(nonce=None),
            "COULD NOT CHECK: document.nonce: none was sent: no proof of life",
        ),
        (
            lambda: said().report(bundle=None),
            "COULD NOT CHECK: log.signature: no bundle",
        ),
        (
            lambda: said().report(at=START),
            "COULD NOT CHECK: policy.links: 1 unchecked, 2 proven",
        ),
    ],
)
def test_a_headline_says_what_was_wrong(made: Any, headline: str) -> None:
    assert made().headline == headline


def test_an_archived_document_says_nothing_of_now() -> None:
    """Also where the policy does not even ask for link 1."""
    scene = said()
    policy = scene.policy(product={"links": [2]})
    report = scene.report(at=START, nonce=None, policy=policy)
    assert not_passed(report) == {}
    assert report.exit_code == 3
    assert report.headline == (
        "COULD NOT CHECK: an archived document was genuine then, and says nothing of"
        " now"
    )


# --- members --------------------------------------------------------------------------


def test_the_report_is_canonical_json_with_the_members_of_the_protocol(
    report: Report,
) -> None:
    data = report.to_json()
    value = json.loads(data)
    assert encode_json(value) == data
    assert value["format"] == "pcrlog-report/v1"
    assert set(value) == {
        "archived",
        "checkpoint",
        "checks",
        "components",
        "format",
        "ground",
        "headline",
        "infrastructure",
        "links",
        "platform",
        "policy_sha256",
        "product",
        "public_key",
        "registers",
        "remarks",
        "trust_ends_at",
        "user_data",
        "verdict",
        "version",
    }
    assert [check["id"] for check in value["checks"]] == list(CHECKS)
    for check in value["checks"]:
        assert set(check) == {"id", "status", "required", "expected", "found"}
    assert [link["number"] for link in value["links"]] == list(NAMES)
    for shown in value["links"]:
        assert set(shown) == {"number", "name", "status", "by", "evidence", "next"}


def test_the_same_run_gives_the_same_report() -> None:
    inputs = said("rebuilt").inputs()
    assert inputs.report().to_json() == inputs.report().to_json()


@pytest.mark.parametrize(
    ("verdict", "exit_code", "error"),
    [
        ("verified", 0, None),
        ("unchecked", 3, UncheckedError),
        ("refuted", 4, VerificationError),
    ],
)
def test_a_verdict_has_its_exit_code_and_error(
    verdict: str, exit_code: int, error: type[Exception] | None
) -> None:
    scene = said()
    nonces = {"verified": NONCE, "unchecked": None, "refuted": b"?"}
    report = scene.report(nonce=nonces[verdict])
    assert (report.verdict, report.exit_code) == (verdict, exit_code)
    if error is None:
        assert report.verified().version == "1.4.2"
    else:
        with pytest.raises(error, match=r"document\.nonce"):
            report.verified()


def test_registers_are_those_matched_and_those_that_no_release_lists() -> None:
    image = GOOD | {"PCR8": BAD["PCR0"]}
    scene = said()
    registers = scene.report(image).registers
    assert registers.matched == GOOD
    assert set(registers.unlisted) == {f"PCR{n}" for n in range(3, 16)}
    assert registers.unlisted["PCR8"] == BAD["PCR0"]
    nothing = scene.report(BAD).registers
    assert nothing.matched == {}
    assert nothing.unlisted.items() >= BAD.items()


def test_what_the_enclave_carries_is_in_hex() -> None:
    report = said().report(attestation=document(public_key=b"\x00k", user_data=b""))
    assert (report.public_key, report.user_data) == ("006b", "")
    enclave = report.verified()
    assert (enclave.public_key, enclave.user_data) == (b"\x00k", b"")


def test_the_checkpoint_is_there_to_be_compared_with_others() -> None:
    scene = said()
    report = scene.report()
    assert report.checkpoint is not None
    assert report.checkpoint.origin == scene.log.origin
    assert report.checkpoint.size == len(scene.log.leaves)
    assert report.checkpoint.root == scene.log.tree.root().hex()
    assert report.checkpoint.time == START
    assert report.checkpoint.note.encode() == scene.log.note
    assert len(UnverifiedNote.parse(report.checkpoint.note.encode()).lines) == 4


def test_platform_product_and_version_are_what_was_found() -> None:
    scene = said()
    report = scene.report()
    assert (report.product, report.platform, report.version) == (
        PRODUCT,
        "aws-nitro",
        "1.4.2",
    )
    report = scene.report(BAD)
    assert (report.product, report.version) == (PRODUCT, None)
    assert scene.report(attestation=b"").platform is None


# --- links ----------------------------------------------------------------------------


def test_each_link_says_who_stands_behind_it(report: Report) -> None:
    shown = {link.number: link for link in report.links}
    assert ladder(report) == "ppppmmm"
    assert [shown[n].by for n in range(1, 8)] == [
        ("run",),
        ("run",),
        (LAB,),
        (LENS,),
        (),
        (),
        (),
    ]
    assert [[cited.index for cited in shown[n].evidence] for n in (2, 3, 4)] == [
        [4],
        [5],
        [6],
    ]
    assert shown[3].evidence[0].keyid == key(LAB).public.keyid


def test_what_is_claimed_is_claimed_by_the_provider() -> None:
    report = said(components=(), controls=()).report()
    assert ladder(report) == "ppcmccc"
    for number in (3, 5, 6, 7):
        assert report.links[number - 1].by == (PROVIDER,)
        assert report.links[number - 1].evidence == ()


def test_a_failed_link_is_failed_by_who_failed_it() -> None:
    scene = said("rebuilt")
    index = scene.reproduce(LENS, result="fail")
    report = scene.report()
    shown = report.links[2]
    assert (shown.status, shown.by) == ("failed", (LENS,))
    assert [cited.index for cited in shown.evidence] == [index]


def test_what_is_not_proven_says_who_would_have_to_do_what(report: Report) -> None:
    for shown in report.links:
        assert bool(shown.next) is (shown.status != "proven")
    unasked = Scene().report(bundle=None)
    assert all("ask again" in shown.next for shown in unasked.links[1:])


def test_a_claim_asks_an_auditor_and_a_lack_asks_the_provider() -> None:
    silent, claimed = Scene().report(), said("released").report()
    assert silent.links[1].next.startswith("the provider")
    assert claimed.links[2].status == "claimed"
    assert claimed.links[2].next.startswith("an auditor")


# --- remarks --------------------------------------------------------------------------


def test_a_channel_that_is_not_bound_is_remarked() -> None:
    scene = said(binding=Binding("public_key", "raw-key"))
    data = document(public_key=b"k")
    remark = "an enclave like this one answered"
    open_ = scene.report(attestation=data)
    bound = scene.report(attestation=data, binding={"raw-key": b"k"})
    assert any(remark in one for one in open_.remarks)
    assert not any(remark in one for one in bound.remarks)


def test_what_is_unusual_about_a_document_is_remarked() -> None:
    scene = said()
    unusual = scene.report(attestation=document(mood=b"good"))
    assert unusual.exit_code == 0
    assert any("field unknown to pcrlog: 'mood'" in one for one in unusual.remarks)


# --- what a run would say -------------------------------------------------------------


def foreseen(scene: Scene, image: dict[str, str], **rules: Any) -> Report:
    scene.seal()
    return foresee(
        image,
        scene.log.bundle(PRODUCT, image, LAB, LENS).encode(),
        scene.policy(product=rules),
        product=PRODUCT,
        platform="aws-nitro",
        now=START,
    )


def test_to_foresee_is_to_verify_without_a_document() -> None:
    scene = said("rebuilt", "reviewed")
    report, real = foreseen(scene, GOOD), scene.report()
    assert ladder(report) == "u" + ladder(real)[1:]
    assert report.version == real.version
    assert (report.verdict, report.archived) == ("unchecked", False)
    for check in ("policy.valid", *CHECKS[8:]):
        if check != "policy.links":
            assert status(report, check) == status(real, check)


def test_to_foresee_is_never_to_verify() -> None:
    scene = Scene()
    scene.complete()
    report = foreseen(scene, GOOD, links=[2])
    assert link(report, 1) == "unchecked"
    assert report.trust_ends_at == 0
    assert report.verdict == "unchecked"
    with pytest.raises(UncheckedError):
        report.verified()


@pytest.mark.parametrize("platform", ["artifact", "amd-sev-snp", ""])
def test_nothing_is_foreseen_on_a_platform_that_the_policy_does_not_name(
    platform: str,
) -> None:
    inputs = said().inputs()
    with pytest.raises(UsageError, match=r"expected .*aws-nitro"):
        foresee(
            GOOD,
            inputs.bundle or b"",
            inputs.policy,
            product=PRODUCT,
            platform=platform,
            now=START,
        )


def test_what_would_be_refuted_is_foreseen() -> None:
    scene = said()
    assert foreseen(scene, BAD).verdict == "refuted"
    scene.log.revoke(PROVIDER, "vulnerable", 4)
    report = foreseen(scene, GOOD)
    assert not_passed(report)["release.valid"] == "fail"
    assert report.verdict == "refuted"
