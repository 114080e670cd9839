"""What a policy demands, seen in what a run comes to (PROTOCOL.md section 4)."""

from typing import Any

import pytest

from pcrlog.encoding import sha256
from pcrlog.errors import UsageError
from pcrlog.policy import Policy
from pcrlog.verification import Report, foresee
from tests.support.memory_log import START, key, witness
from tests.support.scene import (
    EVERY_SCOPE,
    GOOD,
    LAB,
    LENS,
    M1,
    PRODUCT,
    PROVIDER,
    SCOPES,
    W1,
    Scene,
    found,
    ladder,
    not_passed,
    quorum,
    status,
)

QUORUMS = {"witnesses": "log.witnesses", "index_monitors": "log.index-monitors"}


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A release that an auditor rebuilt."""
    made = Scene()
    made.release()
    made.reproduce()
    return made


@pytest.fixture(scope="module")
def complete() -> Scene:
    """A release of which all seven links are proven."""
    made = Scene()
    made.complete()
    return made


def required(report: Report) -> set[str]:
    return {check.id for check in report.checks if check.required}


# --- products -------------------------------------------------------------------------


def test_a_product_that_the_policy_does_not_name_is_no_question(scene: Scene) -> None:
    inputs = scene.inputs()
    for product in (f"{PROVIDER}/other", "other.example/wallet"):
        with pytest.raises(UsageError, match=f"does not name {product}"):
            inputs.report(product=product)
        with pytest.raises(UsageError, match=f"does not name {product}"):
            foresee(
                GOOD,
                inputs.bundle or b"",
                inputs.policy,
                product=product,
                platform="aws-nitro",
                now=START,
            )


def test_a_policy_may_name_all_products_of_a_provider(scene: Scene) -> None:
    text = scene.policy_text().replace(PRODUCT, f"{PROVIDER}/*")
    assert scene.report(policy=Policy.parse(text.encode())).exit_code == 0


def test_a_products_own_table_comes_before_its_providers(scene: Scene) -> None:
    strict = {"platforms": ["aws-nitro"], "links": [1, 2, 4]}
    policy = scene.policy(products={f"{PROVIDER}/*": strict})
    assert scene.report(policy=policy).exit_code == 0
    text = scene.policy_text(product=strict, products={f"{PROVIDER}/*": strict})
    assert scene.report(policy=Policy.parse(text.encode())).exit_code == 4


def test_by_default_a_provider_is_enough_and_links_one_and_two(scene: Scene) -> None:
    text = scene.policy_text(product={"auditors": []})
    report = scene.report(policy=Policy.parse(text.encode()))
    assert not_passed(report) == {}
    assert ladder(report) == "ppcmmmm"
    assert found(report, "policy.links") == "1 proven, 2 proven"


def test_the_report_names_the_policy_by_its_hash(scene: Scene) -> None:
    text = scene.policy_text().encode()
    report = scene.report(policy=Policy.parse(text))
    assert report.policy_sha256 == sha256(text).hex()
    commented = text + b"\n# another file\n"
    other = scene.report(policy=Policy.parse(commented))
    assert other.policy_sha256 == sha256(commented).hex()
    assert other.exit_code == 0


# --- links ----------------------------------------------------------------------------

ALL = tuple(range(1, 8))


@pytest.mark.parametrize("number", ALL)
def test_a_link_that_is_demanded_has_to_be_proven(number: int) -> None:
    """Only what the release says and nobody confirmed: links 3 to 7 lack something."""
    made = Scene()
    made.release(components=(), controls=())
    report = made.demand(number)
    assert ladder(report) == "ppcmccc"
    assert report.exit_code == (0 if number <= 2 else 4)
    assert (status(report, "policy.links") == "pass") is (number <= 2)


@pytest.mark.parametrize("number", ALL)
def test_a_link_that_is_demanded_and_proven_will_do(
    complete: Scene, number: int
) -> None:
    report = complete.demand(number)
    assert not_passed(report) == {}
    assert report.trust_ends_at == 7


def test_links_that_are_not_demanded_are_reported_all_the_same(complete: Scene) -> None:
    assert ladder(complete.demand(1, 2)) == "ppppppp"


def test_nothing_that_is_not_demanded_is_required(scene: Scene) -> None:
    optional = {"audits.quorum", "components", "controls"}
    assert required(scene.demand(1, 2)).isdisjoint(optional)
    for links, wanted in (
        ([3], {"audits.quorum"}),
        ([4], {"audits.quorum"}),
        ([5], {"components"}),
        ([6], {"components"}),
        ([7], {"audits.quorum", "controls"}),
    ):
        assert required(scene.demand(*links)) & optional == wanted


# --- quorums --------------------------------------------------------------------------


@pytest.mark.parametrize("which", QUORUMS)
def test_a_waived_quorum_reads_unchecked_and_is_not_required(
    scene: Scene, which: str
) -> None:
    report = scene.report(policy=scene.policy(log={which: "none"}))
    assert not_passed(report) == {}
    assert status(report, QUORUMS[which]) == "unchecked"
    assert "waived" in found(report, QUORUMS[which])
    assert QUORUMS[which] not in required(report)
    [other] = set(QUORUMS) - {which}
    assert QUORUMS[other] in required(report)


def test_a_quorum_that_is_not_waived_is_required(scene: Scene) -> None:
    assert set(QUORUMS.values()) <= required(scene.report())


@pytest.mark.parametrize("which", QUORUMS)
def test_a_quorum_cannot_be_left_out(scene: Scene, which: str) -> None:
    text = scene.policy_text()
    start = text.index(f'"{which}" = ')
    end = text.index("]}", start) + 2
    without = text[:start].rstrip(", ") + text[end:]
    with pytest.raises(UsageError, match=which):
        Policy.parse(without.encode())


def test_a_quorum_is_of_that_many_of_its_keys(scene: Scene) -> None:
    others = [witness(f"w{n}.example") for n in range(3, 6)]
    for least, keys, exit_code in (
        (1, [W1, *others], 0),
        (2, [W1, *others], 3),
        (1, others, 3),
    ):
        policy = scene.policy(log={"witnesses": quorum(least, *keys)})
        assert scene.report(policy=policy).exit_code == exit_code


def test_a_quorum_that_nobody_could_reach_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="a quorum of 2 cannot be reached by 1"):
        scene.policy(log={"index_monitors": quorum(2, M1)})


# --- auditors -------------------------------------------------------------------------


def test_a_count_that_its_auditors_cannot_reach_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="3 reproduction passes from 2 auditors"):
        scene.policy(product={"counts": {"reproduction": 3}})
    with pytest.raises(UsageError, match="an auditor stands twice"):
        scene.policy(product={"auditors": [EVERY_SCOPE[0], EVERY_SCOPE[0]]})


def test_no_more_than_eight_auditors_count(scene: Scene) -> None:
    nine = [{"name": f"a{n}.example", "scopes": list(SCOPES)} for n in range(9)]
    scene.policy(product={"auditors": nine[:8]})
    with pytest.raises(UsageError):
        scene.policy(product={"auditors": nine})


@pytest.mark.parametrize("name", [LAB, LENS])
def test_every_auditor_of_the_policy_has_to_be_answered_for(
    scene: Scene, name: str
) -> None:
    inputs = scene.inputs(auditors=tuple({LAB, LENS} - {name}))
    report = inputs.report()
    assert not_passed(report)["answers.present"] == "unchecked"
    one = scene.policy(
        product={"auditors": [a for a in EVERY_SCOPE if a["name"] != name]}
    )
    assert inputs.report(policy=one).exit_code == 0


def test_an_auditor_that_is_not_enrolled_says_nothing(scene: Scene) -> None:
    """Its answers, that there are none, are in the bundle nonetheless."""
    auditors = [*EVERY_SCOPE, {"name": "unheard.example", "scopes": list(SCOPES)}]
    policy = scene.policy(product={"auditors": auditors})
    names = (LAB, LENS, "unheard.example")
    assert scene.report(policy=policy, auditors=names).exit_code == 0
    assert scene.report(policy=policy).exit_code == 3


# --- distrust -------------------------------------------------------------------------


def test_distrust_of_what_is_not_there_changes_nothing(scene: Scene) -> None:
    distrust = {
        "statements": ["0" * 64],
        "keys": ["1" * 64],
        "measurements": [
            f"aws-nitro/PCR0=sha384:{'0a' * 48}",
            f"artifact/digest=sha256:{'0a' * 32}",
        ],
    }
    assert scene.report(policy=scene.policy(head={"distrust": distrust})).exit_code == 0


def test_distrust_of_the_newest_release_leaves_the_one_before() -> None:
    made = Scene()
    made.release("1.4.1")
    index = made.release("1.4.2")
    named = {"statements": [made.log.entries[index].sha256]}
    report = made.report(policy=made.policy(head={"distrust": named}))
    assert (report.version, report.exit_code) == ("1.4.1", 0)
    assert status(report, "policy.distrust") == "pass"


def test_a_measurement_is_distrusted_in_its_one_spelling(scene: Scene) -> None:
    for wrong in ("aws-nitro", GOOD["PCR0"], f"aws-nitro/PCR0={GOOD['PCR0'].upper()}"):
        with pytest.raises(UsageError, match="expected aws-nitro"):
            scene.policy(head={"distrust": {"measurements": [wrong]}})


# --- the file -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"head": {"mood": "good"}},
        {"head": {"distrust": {"names": []}}},
        {"log": {"mood": "good"}},
        {"platform": {"mood": "good"}},
        {"product": {"mood": "good"}},
        {"product": {"counts": {"fuzzing": 1}}},
        {"product": {"open_findings": {"awful": 0}}},
        {"product": {"links": [0]}},
        {"product": {"links": [8]}},
        {"product": {"channel": "none"}},
        {"product": {"platforms": []}},
        {"product": {"platforms": ["amd-sev-snp"]}},
        {"product": {"lowest_version": "one"}},
        {"head": {"clock": "wall"}},
        {"head": {"valid_until": "2036-01-01"}},
        {"log": {"registrar": "root"}},
        {"platforms": {"amd-sev-snp": {"roots": ["builtin"]}}},
        {"products": {"wallet": {"platforms": ["aws-nitro"]}}},
    ],
    ids=str,
)
def test_a_demand_that_cannot_be_understood_is_an_error(
    scene: Scene, changes: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="policy: "):
        scene.policy(**changes)


def test_pins_name_keys_by_name(scene: Scene) -> None:
    pins = {PROVIDER: [key(PROVIDER).public.keyid], LAB: [key(LAB).public.keyid]}
    policy = scene.policy(product={"pins": pins, "links": [1, 2, 3]})
    assert scene.report(policy=policy).exit_code == 0
    with pytest.raises(UsageError):
        scene.policy(product={"pins": {PROVIDER: ["short"]}})
