"""`verify` on machines beside AWS's enclaves: what is demanded, and what then counts.

An enclave of SGX and an instance with a TPM run what was released. What a policy
demands of a platform, what came with the document, and when it is judged are gone
through in all combinations; what each comes to is worked out anew by `_expected`, which
knows the rules in words and none of the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product as combinations
from typing import Any

import pytest

from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.collateral import Source
from pcrlog.errors import UncheckedError
from pcrlog.live import Verifier
from pcrlog.policy import Policy
from pcrlog.predicates import Binding
from pcrlog.verification import Report
from pcrlog.verification.document import Asked
from tests.support import machines
from tests.support.machines import (
    ENCLAVE,
    INSTANCE,
    NUMBERS,
    OTHER_ENCLAVE,
    OTHER_INSTANCE,
    SGX,
    SGX_RULES,
    SGX_SIMULATOR,
    TPM,
    TPM_RULES,
)
from tests.support.memory_log import START
from tests.support.pccs_server import Pccs, answers
from tests.support.scene import (
    DAY,
    EVERY_SCOPE,
    GOOD,
    HOUR,
    LAB,
    LENS,
    PRODUCT,
    Inputs,
    Scene,
    changed,
    document,
    found,
    ladder,
    not_passed,
    status,
)

NITRO = "aws-nitro"
ALL = (NITRO, TPM, SGX)
SENT = b"thirty-two bytes, and all random"
OTHER = b"what somebody else asked it with"
KEY = b"the SHA-256 of a key has as many"
KIND = "tls-spki-sha256"
OF_COLLATERAL = (
    "document.collateral",
    "document.revocation",
    "document.qe-identity",
    "document.tcb",
)
OWN = ("document.qe-report", *OF_COLLATERAL)
OUTDATED = START - 60 * DAY
ELSEWHERE = {"fmspc": "00606A000000"}


@dataclass(frozen=True)
class Given(Inputs):
    """The arguments of `verify`, with what a maker publishes."""

    collateral: bytes | None = None


class Machines:
    """One log, and the same product released for three platforms."""

    def __init__(self) -> None:
        self.scene = Scene()
        binding = Binding("public_key", "tls-spki-sha256")
        self.scene.release(binding=binding)
        self.tpm = self.scene.release(image=INSTANCE, platform=TPM, binding=binding)
        self.sgx = self.scene.release(
            image=ENCLAVE, platform=SGX, numbers=NUMBERS, binding=binding
        )

    def policy(
        self,
        *,
        sgx: Mapping[str, object] | None = None,
        tpm: Mapping[str, object] | None = None,
        nitro: Mapping[str, object] | None = None,
        head: Mapping[str, object] | None = None,
        **product: object,
    ) -> Policy:
        rules = {"platforms": list(ALL), "auditors": EVERY_SCOPE, **product}
        return self.scene.policy(
            head=head,
            platform=nitro,
            platforms={
                SGX: {**SGX_RULES, **(sgx or {})},
                TPM: {**TPM_RULES, **(tpm or {})},
            },
            product=rules,
        )

    def given(
        self,
        platform: str,
        attestation: bytes,
        image: Mapping[str, str],
        policy: Policy | None = None,
        **changes: Any,
    ) -> Given:
        """What a good run has, of which a test changes what it is about."""
        self.scene.seal()
        log = self.scene.log
        bundle = log.bundle(PRODUCT, dict(image), LAB, LENS, platform=platform)
        good = Given(
            attestation=attestation,
            bundle=bundle.encode(),
            policy=policy or self.policy(),
            now=log.now,
            nonce=SENT,
        )
        return replace(good, **changes)

    def on_sgx(
        self, quote: bytes | None = None, policy: Policy | None = None, **changes: Any
    ) -> Given:
        changes.setdefault("collateral", machines.collateral())
        quote = quote or machines.quote(nonce=SENT)
        return self.given(SGX, quote, ENCLAVE, policy, **changes)

    def on_tpm(
        self, attested: bytes | None = None, policy: Policy | None = None, **rest: Any
    ) -> Given:
        attested = attested or machines.attested(nonce=SENT)
        return self.given(TPM, attested, INSTANCE, policy, **rest)

    def on_nitro(self, policy: Policy | None = None, **changes: Any) -> Given:
        return self.given(NITRO, document(nonce=SENT), GOOD, policy, **changes)


@pytest.fixture(scope="module")
def here() -> Machines:
    return Machines()


@pytest.fixture
def fresh() -> Machines:
    """One of one's own, to speak in."""
    return Machines()


def own(report: Report) -> dict[str, str]:
    """The platform's own checks."""
    return {one.id: one.status for one in report.checks if one.id in OWN}


# --- a good run ----------------------------------------------------------------------


def test_an_enclave_of_sgx_is_verified(here: Machines) -> None:
    report = here.on_sgx().report()
    assert (report.verdict, report.platform) == ("verified", SGX)
    assert report.version == "1.4.2"
    assert own(report) == dict.fromkeys(OWN, "pass")
    assert ladder(report)[:2] == "pp"
    assert report.ground == "separate"
    assert report.registers.matched == ENCLAVE
    assert list(report.registers.unlisted) == ["MRSIGNER"]
    assert found(report, "document.time") == "our nonce: it was made since"


def test_an_instance_is_verified(here: Machines) -> None:
    report = here.on_tpm().report()
    assert (report.verdict, report.platform) == ("verified", TPM)
    assert own(report) == {}
    assert ladder(report)[:2] == "pp"
    assert report.ground == "same"
    assert report.registers.matched == INSTANCE


def test_one_product_is_on_three_platforms(here: Machines) -> None:
    for given in (here.on_nitro(), here.on_tpm(), here.on_sgx()):
        assert given.report().verdict == "verified"


def test_checks_stand_in_the_order_in_which_they_are_made(here: Machines) -> None:
    ids = [one.id for one in here.on_sgx().report().checks]
    place = ids.index("document.chain") + 1
    assert tuple(ids[place : place + len(OWN)]) == OWN
    assert ids[place + len(OWN)] == "document.time"


# --- sgx: all that is demanded, against all that comes -------------------------------

_COLLATERAL = {
    "good": machines.collateral(),
    "old": machines.collateral(OUTDATED),
    "of another machine": machines.collateral(tcb_info=ELSEWHERE),
    "false": machines.collateral().replace(b"UpToDate", b"UpToDaze", 1),
    "a machine that is out of date": machines.collateral(status="OutOfDate"),
    "none": None,
}
_UNCHECKED = ("old", "of another machine", "none")
_REFUTING = ("false", "a machine that is out of date")
_NONCES = {"ours": SENT, "another": OTHER, "none": None}


def _expected(
    *, nonce: str, sent: str, demanded: str, came: str, archived: bool, archives: bool
) -> str:
    # What is false refutes, whatever is demanded.
    if sent == "another" or came in _REFUTING:
        return "refuted"
    # A quote names no time: only our nonce says that it is not years old, and of an
    # archived one nothing does.
    if nonce == "required" and (sent == "none" or archived):
        return "unchecked"
    if demanded == "required" and came in _UNCHECKED:
        return "unchecked"
    return "unchecked" if archived and not archives else "verified"


@pytest.mark.parametrize("came", _COLLATERAL)
@pytest.mark.parametrize("demanded", ["required", "optional"])
@pytest.mark.parametrize("nonce", ["required", "optional"])
def test_a_quote_comes_to_what_is_demanded_of_it(
    here: Machines, nonce: str, demanded: str, came: str
) -> None:
    rules = {"nonce": nonce, "collateral": demanded}
    for sent, archived, archives in combinations(_NONCES, (False, True), (False, True)):
        policy = here.policy(sgx=rules, head={"archives": archives})
        report = here.on_sgx(
            policy=policy,
            nonce=_NONCES[sent],
            at=START if archived else None,
            collateral=_COLLATERAL[came],
        ).report()
        case = (sent, archived, archives)
        expected = _expected(
            nonce=nonce,
            sent=sent,
            demanded=demanded,
            came=came,
            archived=archived,
            archives=archives,
        )
        assert report.verdict == expected, case
        assert ladder(report)[0] == {"verified": "p", "refuted": "f"}.get(
            expected, "u"
        ), case


def test_no_step_passes_that_rests_on_collateral_that_does_not(here: Machines) -> None:
    for came in _UNCHECKED:
        report = here.on_sgx(collateral=_COLLATERAL[came]).report()
        assert own(report) == {
            "document.qe-report": "pass",
            **dict.fromkeys(OF_COLLATERAL, "unchecked"),
        }


def test_a_policy_says_which_machines_will_do(here: Machines) -> None:
    old = machines.collateral(status="OutOfDate", advisories=("INTEL-SA-00615",))
    lax = {"tcb": ["UpToDate", "OutOfDate"], "advisories": ["INTEL-SA-00615"]}
    given = here.on_sgx(collateral=old)
    assert given.report().verdict == "refuted"
    assert given.report(policy=here.policy(sgx=lax)).verdict == "verified"
    for name, value in lax.items():
        half = here.policy(sgx={name: value})
        assert given.report(policy=half).verdict == "refuted", name


@pytest.mark.parametrize("nonce", ["required", "optional"])
def test_a_machine_that_was_taken_back_is_refuted(here: Machines, nonce: str) -> None:
    policy = here.policy(sgx={"collateral": "optional", "nonce": nonce})
    for name, member in (("pck", "revoked"), ("ca", "revoked_by_root")):
        revoked: Any = {member: (SGX_SIMULATOR.serial(name),)}
        given = here.on_sgx(policy=policy, collateral=machines.collateral(**revoked))
        report = given.report()
        assert report.verdict == "refuted"
        assert status(report, "document.revocation") == "fail"


def test_a_quoting_enclave_of_somebody_elses_is_refuted_without_collateral(
    here: Machines,
) -> None:
    own_qe = changed(SGX_SIMULATOR.qe, mrsigner=b"m" * 32)
    quote = SGX_SIMULATOR.quote(
        Enclave(bytes.fromhex("e1" * 32), report_data=SENT), qe=own_qe
    )
    policy = here.policy(sgx={"collateral": "optional"})
    report = here.on_sgx(quote, policy, collateral=None).report()
    assert report.verdict == "refuted"
    assert status(report, "document.qe-identity") == "fail"


def test_debug_is_refuted_whatever_is_demanded(here: Machines) -> None:
    policy = here.policy(sgx={"collateral": "optional", "nonce": "optional"})
    for sent in (SENT, None):
        quote = machines.quote(nonce=sent, debug=True)
        report = here.on_sgx(quote, policy, nonce=sent, collateral=None).report()
        assert report.verdict == "refuted"
        assert status(report, "document.debug") == "fail"


def test_a_signed_time_that_is_not_there_is_not_trusted(here: Machines) -> None:
    attested = here.policy(head={"clock": "attested"}, sgx={"nonce": "optional"})
    assert here.on_sgx(policy=attested).report().verdict == "verified"
    late = START + 40 * DAY
    report = here.on_sgx(policy=attested, now=late).report()
    assert report.verdict == "unchecked"
    assert {"document.collateral", "log.freshness"} <= set(not_passed(report))


def test_a_quote_is_judged_by_what_held_then(here: Machines) -> None:
    head = {"archives": True}
    policy = here.policy(head=head, sgx={"nonce": "optional"})
    given = here.on_sgx(policy=policy, now=START + 3 * HOUR, nonce=None)
    assert given.report(at=START).verdict == "verified"
    before = START - 2 * HOUR  # and the collateral is of an hour before
    report = given.report(at=before)
    assert status(report, "document.collateral") == "unchecked"
    assert report.verdict == "unchecked"
    # Certificates, too: the PCK certificate is of 2023.
    report = given.report(at=1_600_000_000)
    assert (report.verdict, status(report, "document.chain")) == ("refuted", "fail")


def test_a_quote_without_its_certificate_needs_it_from_elsewhere(
    here: Machines,
) -> None:
    enclave = Enclave(
        bytes.fromhex("e1" * 32), isv_prod_id=1, isv_svn=2, report_data=SENT
    )
    quote = SGX_SIMULATOR.quote(enclave, certification=3)
    for optional in ({}, {"collateral": "optional"}):
        policy = here.policy(sgx=optional)
        report = here.on_sgx(quote, policy).report()
        assert report.verdict == "unchecked"
        assert status(report, "document.chain") == "unchecked"
        whole = machines.collateral(pck_chain=True)
        assert here.on_sgx(quote, policy, collateral=whole).report().verdict == (
            "verified"
        )


def test_a_root_that_the_policy_does_not_name_makes_no_machine(here: Machines) -> None:
    stranger = Simulator(b"a stranger")
    quote = stranger.document(
        registers=machines.hexes(ENCLAVE), numbers=NUMBERS, nonce=SENT
    )
    for changes in ({}, {"policy": here.policy(sgx={"collateral": "optional"})}):
        report = here.on_sgx(quote, **changes).report()
        assert (report.verdict, status(report, "document.chain")) == ("refuted", "fail")


# --- sgx: which build it is ----------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [{"ISVPRODID": 1, "ISVSVN": 1}, {"ISVPRODID": 1, "ISVSVN": 3}, {"ISVSVN": 2}, {}],
)
def test_other_numbers_are_another_build(
    here: Machines, numbers: Mapping[str, int]
) -> None:
    report = here.on_sgx(machines.quote(nonce=SENT, numbers=numbers)).report()
    assert (report.verdict, status(report, "release.match")) == ("refuted", "fail")


def test_a_release_that_names_no_numbers_is_of_any(fresh: Machines) -> None:
    fresh.scene.release("1.4.3", OTHER_ENCLAVE, platform=SGX)
    for svn in (0, 7, 65_535):
        quote = machines.quote(OTHER_ENCLAVE, nonce=SENT, numbers={"ISVSVN": svn})
        given = fresh.given(SGX, quote, OTHER_ENCLAVE)
        report = given.report(collateral=machines.collateral())
        assert (report.verdict, report.version) == ("verified", "1.4.3")
        said = f"ISVPRODID 0, ISVSVN {svn}: the release would match any other, too"
        assert said in report.remarks


def test_numbers_that_a_release_names_are_no_remark(here: Machines) -> None:
    assert not any("ISVSVN" in remark for remark in here.on_sgx().report().remarks)


def test_a_release_may_say_who_signed(fresh: Machines) -> None:
    signed = {**OTHER_ENCLAVE, "MRSIGNER": f"sha256:{'5e' * 32}"}
    fresh.scene.release("1.4.3", signed, platform=SGX)
    for image, verdict in ((signed, "verified"), (OTHER_ENCLAVE, "refuted")):
        given = fresh.given(SGX, machines.quote(image, nonce=SENT), OTHER_ENCLAVE)
        report = given.report(collateral=machines.collateral())
        assert report.verdict == verdict


def test_a_signers_other_enclaves_are_not_released_with_it(fresh: Machines) -> None:
    signed = {**OTHER_ENCLAVE, "MRSIGNER": f"sha256:{'5e' * 32}"}
    fresh.scene.release("1.4.3", signed, platform=SGX)
    third = {**signed, "MRENCLAVE": f"sha256:{'e3' * 32}"}
    given = fresh.given(SGX, machines.quote(third, nonce=SENT), third)
    report = given.report(collateral=machines.collateral())
    assert (report.verdict, status(report, "release.match")) == ("refuted", "fail")


@pytest.mark.parametrize("reason", ["compromised", "vulnerable"])
def test_a_measurement_is_revoked_with_all_its_numbers(
    fresh: Machines, reason: str
) -> None:
    fresh.scene.release(
        "2.0.0", ENCLAVE, platform=SGX, numbers={"ISVPRODID": 1, "ISVSVN": 3}
    )
    fresh.scene.log.revoke("acme.example", reason, fresh.sgx)
    for svn in (2, 3):
        numbers = {"ISVPRODID": 1, "ISVSVN": svn}
        quote = machines.quote(nonce=SENT, numbers=numbers)
        report = fresh.on_sgx(quote).report()
        assert (report.verdict, status(report, "release.valid")) == ("refuted", "fail")


@pytest.mark.parametrize(
    ("platform", "image", "other"),
    [(SGX, ENCLAVE, OTHER_ENCLAVE), (TPM, INSTANCE, OTHER_INSTANCE)],
)
def test_two_builds_of_one_version_are_a_conflict_on_their_platform(
    fresh: Machines, platform: str, image: Mapping[str, str], other: Mapping[str, str]
) -> None:
    fresh.scene.release(image=other, platform=platform)
    for given, verdict in (
        (fresh.on_sgx(), "refuted" if platform == SGX else "verified"),
        (fresh.on_tpm(), "refuted" if platform == TPM else "verified"),
        (fresh.on_nitro(), "verified"),
    ):
        report = given.report()
        assert report.verdict == verdict
        refuted = verdict == "refuted"
        expected = "fail" if refuted else "pass"
        assert status(report, "release.conflict") == expected
    assert image != other


# --- sgx: who it is that answers -----------------------------------------------------


def test_the_channel_is_the_key_in_the_second_half(here: Machines) -> None:
    policy = here.policy(channel="required")
    quote = machines.quote(nonce=SENT, public_key=KEY)
    given = here.on_sgx(quote, policy, binding={KIND: KEY})
    assert given.report().verdict == "verified"
    for shown in (None, {KIND: OTHER}, {KIND: SENT}, {KIND: SENT + KEY}, {KIND: b""}):
        report = given.report(binding=shown)
        assert report.verdict == status(report, "channel") == "unchecked"


def test_a_nonce_is_no_key(fresh: Machines) -> None:
    """Whoever asks chooses the first half, and could ask with its own key's hash."""
    fresh.scene.release(
        "1.4.3",
        OTHER_ENCLAVE,
        platform=SGX,
        binding=Binding("user_data", "tls-spki-sha256"),
    )
    policy = fresh.policy(channel="required")
    relayed = machines.quote(OTHER_ENCLAVE, nonce=KEY, public_key=OTHER)
    given = fresh.given(SGX, relayed, OTHER_ENCLAVE, policy, nonce=KEY)
    report = given.report(binding={KIND: KEY}, collateral=machines.collateral())
    assert (report.verdict, status(report, "channel")) == ("unchecked", "unchecked")


def test_one_hash_alone_in_report_data_is_user_data_and_no_nonce(
    fresh: Machines,
) -> None:
    fresh.scene.release(
        "1.4.3",
        OTHER_ENCLAVE,
        platform=SGX,
        binding=Binding("user_data", "tls-spki-sha256"),
    )
    quote = machines.quote(OTHER_ENCLAVE, nonce=None, user_data=KEY)
    for rule, sent, verdict in (
        ("optional", None, "verified"),
        ("required", None, "unchecked"),
        ("optional", SENT, "refuted"),
        ("required", SENT, "refuted"),
    ):
        policy = fresh.policy(sgx={"nonce": rule}, channel="required")
        given = fresh.given(SGX, quote, OTHER_ENCLAVE, policy, nonce=sent)
        report = given.report(binding={KIND: KEY}, collateral=machines.collateral())
        assert report.verdict == verdict, (rule, sent)
        assert status(report, "channel") == "pass"


# --- instances: all that is demanded, against all that comes -------------------------

_SIGNED = {"now": START, "an hour ago": START - HOUR, "in an hour": START + HOUR}


@pytest.mark.parametrize("clock", ["local", "attested"])
@pytest.mark.parametrize("nonce", ["required", "optional"])
@pytest.mark.parametrize("signed", _SIGNED)
def test_an_instances_document_comes_to_what_is_demanded_of_it(
    here: Machines, signed: str, nonce: str, clock: str
) -> None:
    attested = machines.attested(time=_SIGNED[signed], nonce=SENT)
    policy = here.policy(
        tpm={"nonce": nonce}, head={"clock": clock, "clock_skew": "60s"}
    )
    for sent, collateral in combinations(_NONCES, (None, b"of no use to it")):
        given = here.on_tpm(
            attested, policy, nonce=_NONCES[sent], collateral=collateral
        )
        report = given.report()
        if sent == "another":
            expected = "refuted"
        elif sent == "ours":
            # An old document cannot hold it: the clock is wrong, ours or its maker's.
            good = signed == "now" or clock == "attested"
            expected = "pass" if good else "unchecked"
            assert status(report, "document.time") == expected
            # What time it is, is then the document's word for the log's answers too:
            # an hour before its newest there were none.
            in_time = signed != "an hour ago" or clock == "local"
            expected = "verified" if good and in_time else "unchecked"
        elif signed != "now":
            expected = "refuted"
        else:
            expected = "verified" if nonce == "optional" else "unchecked"
        assert report.verdict == expected, (sent, found(report, "document.time"))
        assert own(report) == {}


def test_the_command_line_is_part_of_what_an_instance_is(here: Machines) -> None:
    added = {**INSTANCE, "PCR12": f"sha384:{'12' * 48}"}
    given = here.given(TPM, machines.attested(added, nonce=SENT), added)
    report = given.report()
    assert (report.verdict, status(report, "release.match")) == ("refuted", "fail")


def test_an_answer_about_another_command_line_is_none(here: Machines) -> None:
    added = {**INSTANCE, "PCR12": f"sha384:{'12' * 48}"}
    given = here.given(TPM, machines.attested(added, nonce=SENT), INSTANCE)
    report = given.report()
    assert report.verdict == "unchecked"
    assert status(report, "answers.present") == "unchecked"


def test_secure_boot_counts_where_the_release_says_so(fresh: Machines) -> None:
    off = {**INSTANCE, "PCR7": f"sha384:{'0f' * 48}"}
    quote = machines.attested(off, nonce=SENT)
    assert fresh.on_tpm(quote).report().verdict == "refuted"
    bare = {name: INSTANCE[name] for name in ("PCR4", "PCR12")}
    fresh.scene.release(image=bare, platform=TPM, variant="bare")
    assert fresh.on_tpm(quote).report().verdict == "verified"


@pytest.mark.parametrize("blank", ["00", "ff"])
def test_an_instance_that_measured_no_boot_is_refuted(
    here: Machines, blank: str
) -> None:
    image = {**INSTANCE, "PCR4": f"sha384:{blank * 48}"}
    policy = here.policy(tpm={"nonce": "optional"})
    given = here.given(TPM, machines.attested(image, nonce=SENT), image, policy)
    report = given.report()
    assert (report.verdict, status(report, "document.debug")) == ("refuted", "fail")


def test_anybodys_registers_count_for_nothing(here: Machines) -> None:
    """PCR8 to PCR23 are for whoever runs in the instance to extend."""
    extended = {f"PCR{n}": f"sha384:{n:02}" + 47 * "ab" for n in (8, 13, 16)}
    image = {**INSTANCE, **extended}
    report = here.on_tpm(machines.attested(image, nonce=SENT)).report()
    assert report.verdict == "verified"
    noted = [remark.partition(" ")[0] for remark in report.remarks]
    assert noted[:2] == ["PCR8", "PCR13"]
    assert not any("PCR" in remark for remark in here.on_tpm().report().remarks)


# --- one policy for several platforms ------------------------------------------------


def test_each_document_is_judged_by_the_rules_of_its_own_platform(
    here: Machines,
) -> None:
    """For each platform: nonce optional there alone, and required there alone."""
    made = {
        NITRO: lambda policy: here.on_nitro(policy, nonce=None),
        TPM: lambda policy: here.on_tpm(policy=policy, nonce=None),
        SGX: lambda policy: here.on_sgx(policy=policy, nonce=None),
    }
    names = {"nitro": NITRO, "tpm": TPM, "sgx": SGX}
    for word, platform in names.items():
        for own_rule, others in (("optional", "required"), ("required", "optional")):
            rules: dict[str, Any] = {one: {"nonce": others} for one in names}
            rules[word] = {"nonce": own_rule}
            report = made[platform](here.policy(**rules)).report()
            expected = "verified" if own_rule == "optional" else "unchecked"
            assert (report.platform, report.verdict) == (platform, expected)


def test_roots_are_those_of_the_documents_own_platform(here: Machines) -> None:
    """AWS's root makes both of its platforms; but a policy may name another for one."""
    trusting = TPM_RULES["roots"]
    policy = here.policy(nitro={"roots": trusting})
    assert here.on_nitro(policy).report().verdict == "refuted"
    assert here.on_tpm(policy=policy).report().verdict == "verified"
    mixed = here.policy(sgx={"roots": [*_roots(TPM_RULES), *_roots(SGX_RULES)]})
    assert here.on_sgx(policy=mixed).report().verdict == "verified"
    crossed = here.policy(sgx={"roots": trusting}, tpm={"roots": SGX_RULES["roots"]})
    assert here.on_sgx(policy=crossed).report().verdict == "refuted"
    assert here.on_tpm(policy=crossed).report().verdict == "refuted"


def _roots(rules: Mapping[str, object]) -> list[object]:
    named = rules["roots"]
    assert isinstance(named, list)
    return named


def test_a_platform_that_the_product_is_not_on_is_no_document_of_it(
    here: Machines,
) -> None:
    names: dict[str, Any] = {
        NITRO: here.on_nitro,
        TPM: here.on_tpm,
        SGX: here.on_sgx,
    }
    for platform, make in names.items():
        rest = [name for name in ALL if name != platform]
        report = make(policy=here.policy(platforms=rest)).report()
        assert (report.verdict, status(report, "document.form")) == ("refuted", "fail")
        assert report.platform is None


def test_a_release_is_of_its_platform_alone(fresh: Machines) -> None:
    """Registers of an instance that were released as an enclave's are not its own."""
    image = {**INSTANCE, "PCR4": f"sha384:{'d4' * 48}"}
    fresh.scene.release(
        "9.0.0", {**GOOD, "PCR12": image["PCR12"]}, platform=NITRO, variant="odd"
    )
    given = fresh.given(TPM, machines.attested(image, nonce=SENT), image)
    assert given.report().verdict == "refuted"


def test_what_a_policy_lets_sgx_do_without_is_demanded_of_no_other(
    here: Machines,
) -> None:
    """A document without a time is put up with on its own platform only."""
    policy = here.policy(sgx={"nonce": "optional", "collateral": "optional"})
    old = machines.attested(time=START - DAY, nonce=SENT)
    report = here.on_tpm(old, policy, nonce=None).report()
    assert (report.verdict, status(report, "document.time")) == ("refuted", "fail")


def test_where_no_document_is_read_all_is_demanded(here: Machines) -> None:
    lax = {"nonce": "optional", "collateral": "optional"}
    policy = here.policy(sgx=lax)
    report = here.on_sgx(b"no document", policy).report()
    required = {one.id for one in report.checks if one.required}
    assert {"document.time", "document.nonce", *OWN} <= required
    assert report.verdict == "refuted"


# --- whoever is about to talk to it --------------------------------------------------


def test_an_enclave_is_relied_on_no_longer_than_its_makers_word_holds(
    here: Machines,
) -> None:
    ends = START - HOUR + DAY
    quote = machines.quote(nonce=SENT, public_key=KEY)
    given = here.on_sgx(quote)
    word = machines.collateral(days=1)
    policy = here.policy(sgx={"max_age": "100d"}, platforms=[SGX])
    verifier = Verifier(
        policy,
        PRODUCT,
        source=_no_log,
        stapled=lambda: given.bundle,
        clock=lambda: START,
        collateral=lambda *_: word,
    )
    accepted = verifier.verify(quote, SENT, {KIND: KEY})
    assert accepted.until == ends < START + DAY


def _no_log(path: str, most: int, /) -> bytes:
    message = f"nobody is asked for {path} of {most} bytes"
    raise UncheckedError(message)


def test_a_log_is_asked_about_a_quote_whose_certificate_is_elsewhere(
    here: Machines,
) -> None:
    enclave = Enclave(
        bytes.fromhex("e1" * 32), isv_prod_id=1, isv_svn=2, report_data=SENT + KEY
    )
    quote = SGX_SIMULATOR.quote(enclave, certification=3)
    given = here.on_sgx(quote)
    asked: list[str] = []

    def log(path: str, _most: int, /) -> bytes:
        asked.append(path)
        return given.bundle or b""

    verifier = Verifier(
        given.policy,
        PRODUCT,
        source=log,
        clock=lambda: START,
        collateral=lambda *_: machines.collateral(pck_chain=True),
    )
    assert verifier.verify(quote, SENT, {KIND: KEY}).enclave.version == "1.4.2"
    [path] = asked
    assert ENCLAVE["MRENCLAVE"].partition(":")[2] in path


def test_what_held_then_does_not_take_the_place_of_what_holds_now(
    here: Machines,
) -> None:
    kept: dict[str, bytes] = {}
    source = Source(kept.get, kept.__setitem__)
    with Pccs(machines.collateral()) as service:
        policy = here.policy(sgx={"pccs": service.url})
        quote = machines.quote(nonce=SENT)
        newest = source(quote, policy, PRODUCT, Asked(START, None, SENT))
        service.answers = answers(machines.collateral(START - 5 * DAY))
        then = Asked(START, START - 4 * DAY, SENT)
        assert source(quote, policy, PRODUCT, then) != newest
        service.answers.clear()
        assert source(quote, policy, PRODUCT, Asked(START, None, SENT)) == newest
        assert source(quote, policy, PRODUCT, then) != newest
