"""What a key policy lets through: the table of AWS's rules, and what is said of it."""

import json

import pytest

from pcrlog.errors import UsageError
from tests.unit.workbench.kms_policies import (
    ADMIN,
    APP,
    GOOD,
    GREEN,
    OTHER,
    PINNED,
    ROOT,
    ROWS,
    ZERO,
    Statement,
    allow,
    deny,
    key,
    pin,
    unless,
)
from workbench.kms_policy import parse_key_policy
from workbench.kms_policy_check import Judgement, Released, check_key_policy
from workbench.kms_policy_words import mend, who, why

BUILDS = [
    {name: f"sha384:{value}" for name, value in one.items()} for one in (GOOD, GREEN)
]
RELEASED = Released.of(BUILDS, pcr0_alone=False)


def judge(
    *statements: Statement,
    released: Released = RELEASED,
    administrators: tuple[str, ...] = (),
) -> Judgement:
    whole = {"Version": "2012-10-17", "Statement": list(statements)}
    policy = parse_key_policy(json.dumps(whole).encode())
    return check_key_policy(policy, released, administrators)


def kinds(judgement: Judgement) -> set[str]:
    return {path.kind for path in judgement.paths}


@pytest.mark.parametrize("name", ROWS)
def test_a_policy_lets_through_what_aws_says(name: str) -> None:
    row = ROWS[name]
    found = judge(*row.statements, administrators=row.administrators)
    assert kinds(found) == row.kinds, row.rule
    assert found.closed is (not row.kinds)


def test_the_table_is_large_enough_and_has_both_answers() -> None:
    closed = sum(not row.kinds for row in ROWS.values())
    assert len(ROWS) >= 60
    assert 20 <= closed <= len(ROWS) - 20


@pytest.mark.parametrize("name", ROWS)
def test_every_path_is_explained_and_can_be_mended(name: str) -> None:
    row = ROWS[name]
    found = judge(*row.statements, administrators=row.administrators)
    for path in (*found.paths, *found.admitted, *found.accepted, *found.writers):
        assert path.actions
        assert path.principals
        assert all(who(one, path.statement) for one in path.principals)
        assert why(path)
        assert mend(path)


def test_a_pin_on_pcr0_alone_is_enough_for_whoever_says_so() -> None:
    alone = Released.of(BUILDS, pcr0_alone=True)
    assert judge(allow(pin(PCR0=GOOD["PCR0"])), released=alone).closed
    assert kinds(judge(allow(pin(PCR0=OTHER)), released=alone)) == {"other-measurement"}


def test_a_release_that_is_not_given_is_none() -> None:
    green = Released.of(BUILDS[1:], pcr0_alone=False)
    assert kinds(judge(allow(PINNED), released=green)) == {"other-measurement"}


@pytest.mark.parametrize(
    "released",
    [
        [],
        [{"PCR0": BUILDS[0]["PCR0"]}],
        [{**BUILDS[0], "PCR2": f"sha384:{ZERO}"}],
    ],
    ids=["none", "PCR0 alone", "zeros"],
)
def test_released_measurements_are_whole(released: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError, match="measurement"):
        Released.of(released, pcr0_alone=False)


def test_an_administrator_is_somebody() -> None:
    with pytest.raises(UsageError, match="no \\*"):
        judge(allow(PINNED), administrators=("*",))


def test_a_way_in_names_who_and_what_by_which_statement() -> None:
    [path] = judge(
        allow(PINNED), allow(action=["kms:Decrypt", "kms:Sign"], Sid="open")
    ).paths
    assert path.statement.name == "statement 2 (open)"
    assert [one.value for one in path.principals] == [APP]
    assert [action.name for action in path.actions] == ["Decrypt", "Sign"]


def test_who_may_do_the_same_stands_together() -> None:
    statement = allow(
        action=["kms:Decrypt", "kms:Sign"], Principal={"AWS": [APP, ADMIN, ROOT]}
    )
    [path] = judge(statement).paths
    assert [one.value for one in path.principals] == [APP, ADMIN, ROOT]
    assert "IAM" in why(path)
    [one, other] = judge(
        statement, deny(action="kms:Sign", Principal={"AWS": APP})
    ).paths
    assert one.kind == other.kind


def test_what_is_let_through_is_told() -> None:
    found = judge(allow(PINNED, ["kms:Decrypt", "kms:Encrypt", "kms:PutKeyPolicy"]))
    [admitted] = found.admitted
    assert [action.name for action in admitted.actions] == ["Decrypt"]
    assert found.closed


def test_who_may_write_is_told_and_is_no_path() -> None:
    found = judge(allow(action="kms:Encrypt"))
    [writer] = found.writers
    assert found.closed
    assert [action.name for action in writer.actions] == ["Encrypt"]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (deny(Resource=None), "no effect"),
        (deny(Resource="arn:aws:kms:x:1:key/1"), "something else"),
        (deny({"Bool": {"aws:SecureTransport": "false"}}), "aws:SecureTransport"),
        (deny(pin("StringEquals", PCR0=GOOD["PCR0"])), "not certain"),
    ],
    ids=["no resource", "another", "another key", "case"],
)
def test_a_deny_that_is_not_counted_is_told(statement: Statement, reason: str) -> None:
    [(_, why_not)] = judge(allow(PINNED), statement).idle
    assert reason in why_not


def test_denies_of_one_register_each_close_together_in_any_order() -> None:
    closing = unless(**GOOD)
    for order in (closing, closing[::-1], [*closing, *closing]):
        assert judge(allow(action="kms:*"), *order).closed


def test_a_deny_of_two_conditions_counts_once_the_other_holds() -> None:
    """Whatever is left has PCR0 of zeros, so the condition on PCR0 holds for all."""
    both = {"StringEquals": {key("PCR0"): ZERO}, "Null": {key("PCR8"): "true"}}
    assert judge(
        allow(pin(PCR0=ZERO, PCR1=ZERO, PCR2=ZERO)),
        deny({"Null": {key("PCR8"): "false"}}),
        deny(both),
    ).closed


def test_many_principals_and_many_denies_take_no_time() -> None:
    names = [f"arn:aws:iam::{number:012}:role/r" for number in range(800)]
    statements = [allow(Principal={"AWS": names}, action="kms:*")]
    statements += [deny(Principal={"AWS": name}) for name in names[:200]]
    found = judge(*statements)
    assert {len(path.principals) for path in found.paths} == {600}
