"""Patterns of actions, sets of values, and the block that is printed."""

import fnmatch
import itertools
import json

import pytest

from pcrlog.errors import UsageError
from tests.unit.workbench.kms_policies import GOOD, GREEN, OTHER, WHOLE_ACCOUNT
from workbench.kms_policy import Condition, parse_key_policy
from workbench.kms_policy_actions import (
    ACTIONS,
    UNKNOWN,
    _glob,
    may_match,
    strange,
    surely_matches,
)
from workbench.kms_policy_check import Released, check_key_policy
from workbench.kms_policy_conditions import ANYTHING, Reach, least, most, register_of
from workbench.kms_policy_render import as_json, condition_for, denials, terraform

BUILDS = [
    {name: f"sha384:{value}" for name, value in one.items()} for one in (GOOD, GREEN)
]

# --- actions --------------------------------------------------------------------------


def test_a_pattern_means_what_fnmatch_takes_it_for() -> None:
    patterns = [
        "".join(p) for n in range(5) for p in itertools.product("ab*?", repeat=n)
    ]
    texts = ["".join(t) for n in range(5) for t in itertools.product("ab", repeat=n)]
    for pattern in patterns:
        for text in texts:
            expected = fnmatch.fnmatchcase(text, pattern)
            assert _glob(pattern, text) is expected, (pattern, text)


def test_no_action_stands_in_the_table_twice() -> None:
    names = [action.name for action in ACTIONS]
    assert len(set(names)) == len(names)
    assert ACTIONS[-1] is UNKNOWN


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("kms:Decrypt", None),
        ("kms:*", None),
        ("s3:GetObject", None),
        ("kms:Export", "Export"),
        ("kms:Export*", UNKNOWN.name),
        ("decrypt", UNKNOWN.name),
        ("km\N{LATIN SMALL LETTER LONG S}:Decrypt", UNKNOWN.name),
        ("kms :Decrypt", UNKNOWN.name),
    ],
)
def test_what_names_no_known_action_is_strange(pattern: str, named: str | None) -> None:
    found = strange(pattern)
    assert (None if found is None else found.name) == named


def test_a_sign_that_is_lower_cased_into_ascii_is_not_relied_on() -> None:
    pattern = "\N{KELVIN SIGN}ms:Decrypt"
    assert may_match(pattern, ACTIONS[0])
    assert not surely_matches(pattern, ACTIONS[0])
    assert register_of("\N{KELVIN SIGN}ms:RecipientAttestation:PCR0") is None


# --- sets -----------------------------------------------------------------------------

UNIVERSE = (None, "a", "b", "c")
REACHES = [
    Reach(absent, but, frozenset(of))
    for absent in (False, True)
    for but in (False, True)
    for n in range(3)
    for of in itertools.combinations("ab", n)
]


def members(reach: Reach) -> set[str | None]:
    """Of a universe that has a value which nothing names."""
    return {
        one
        for one in UNIVERSE
        if (reach.absent if one is None else (one in reach.of) is not reach.but)
    }


def test_sets_are_sets() -> None:
    for one, other in itertools.product(REACHES, REACHES):
        ours, theirs = members(one), members(other)
        assert members(one.both(other)) == ours & theirs
        assert members(one.minus(other)) == ours - theirs
        assert one.within(other) is (ours <= theirs)
        assert one.empty is (not ours)


def test_what_is_certain_is_within_what_is_possible() -> None:
    quantifiers = ("", "ForAllValues:", "ForAnyValue:")
    kinds = ("Equals", "EqualsIgnoreCase", "Like")
    lists = ((), ("AB",), ("ab", "00"), ("a*",), ("*",), ("${x}",))
    for quantifier, negated, kind, suffix, values in itertools.product(
        quantifiers, ("", "Not"), kinds, ("", "IfExists"), lists
    ):
        operator = f"{quantifier}String{negated}{kind}{suffix}"
        condition = Condition(operator, "kms:RecipientAttestation:PCR0", values)
        assert least(condition).within(most(condition)), condition


@pytest.mark.parametrize("operator", ["NullIfExists", "StringEquals ", "Like", ""])
def test_an_operator_that_is_not_known_may_be_anything(operator: str) -> None:
    condition = Condition(operator, "kms:RecipientAttestation:PCR0", ("true",))
    assert most(condition) == ANYTHING
    assert least(condition).empty


# --- what is printed ------------------------------------------------------------------


def test_the_block_that_is_printed_closes_and_admits_every_release() -> None:
    released = Released.of(BUILDS, pcr0_alone=False)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": "*",
        **json.loads(as_json({"Condition": condition_for(BUILDS)})),
    }
    policy = parse_key_policy(json.dumps({"Statement": statement}).encode())
    judgement = check_key_policy(policy, released)
    assert judgement.closed
    assert [len(one.actions) for one in judgement.admitted] == [2]


def test_the_denials_that_are_printed_close_what_iam_lets_in() -> None:
    released = Released.of(BUILDS, pcr0_alone=False)
    rows = [WHOLE_ACCOUNT, *denials(condition_for(BUILDS))]
    policy = parse_key_policy(json.dumps({"Statement": rows}).encode())
    judgement = check_key_policy(policy, released)
    assert {path.kind for path in judgement.paths} == {"rules", "unknown-action"}
    assert judgement.idle == ()


def test_a_register_that_every_release_names_is_asked_for_too() -> None:
    signed = [{**one, "PCR8": f"sha384:{OTHER}"} for one in BUILDS]
    [keys] = condition_for(signed).values()
    assert [name.rpartition(":")[2] for name in keys] == [
        "PCR0",
        "PCR1",
        "PCR2",
        "PCR8",
    ]
    [keys] = condition_for([signed[0], BUILDS[1]]).values()
    assert len(keys) == 3


def test_a_block_is_of_whole_releases() -> None:
    with pytest.raises(UsageError, match="PCR1"):
        condition_for([{"PCR0": BUILDS[0]["PCR0"]}])


def test_terraform_has_a_block_for_each_register() -> None:
    text = terraform(condition_for(BUILDS))
    assert text.count("condition {") == 3
    assert text.count('"StringEqualsIgnoreCase"') == 3
    for value in (*GOOD.values(), *GREEN.values()):
        assert f'"{value}"' in text
