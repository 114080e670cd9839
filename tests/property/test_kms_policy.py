"""The analyser against a brute-force evaluator: it may never say safe where one is not.

The evaluator (tests/support/kms_evaluator.py) asks request by request; the analyser has
sets. That the analyser says open where nothing gets through is allowed, and counted.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import kms_evaluator as aws
from tests.unit.workbench.kms_policies import (
    ADMIN,
    APP,
    GOOD,
    GREEN,
    OTHER,
    ROOT,
    ROWS,
    ZERO,
    key,
)
from workbench.kms_policy import parse_key_policy
from workbench.kms_policy_check import Released, check_key_policy

BUILDS = [GOOD, GREEN]
RELEASED = Released.of(
    [{name: f"sha384:{value}" for name, value in one.items()} for one in BUILDS],
    pcr0_alone=False,
)
TAG = "${aws:PrincipalTag/pcr0}"

OPERATORS = [
    *("StringEquals", "StringEqualsIgnoreCase", "StringLike"),
    *("StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike"),
    *("StringEqualsIfExists", "StringEqualsIgnoreCaseIfExists"),
    *("StringNotEqualsIgnoreCaseIfExists", "StringLikeIfExists"),
    *("ForAnyValue:StringEquals", "ForAllValues:StringEqualsIgnoreCase"),
    *("ForAnyValue:StringNotEquals", "ForAllValues:StringNotEqualsIgnoreCase"),
    *("ForAnyValue:StringEqualsIfExists", "ArnEquals", "stringequals", "Null"),
]
LISTS = {
    name: [
        [GOOD[name]],
        [GOOD[name], GREEN[name]],
        [GOOD[name].upper()],
        [GOOD[name], OTHER],
        [ZERO],
        [OTHER],
        [GOOD[name][:10] + "*"],
        ["*"],
        [TAG],
        [],
    ]
    for name in GOOD
}


@cache
def requests() -> list[aws.Request]:
    return aws.requests(BUILDS, OTHER, (GOOD["PCR0"], OTHER))


def ways_in(policy: dict[str, Any]) -> list[tuple[str, aws.Who, aws.Request]]:
    return list(aws.ways_in(policy, requests()))


def closed(policy: dict[str, Any]) -> bool:
    read = parse_key_policy(json.dumps(policy).encode())
    return check_key_policy(read, RELEASED).closed


def never_wrongly_safe(policy: dict[str, Any]) -> None:
    if closed(policy):
        assert ways_in(policy) == []


# --- all small policies ---------------------------------------------------------------


def conditions() -> Iterator[dict[str, Any]]:
    """Each operator with each list, on all three registers alike."""
    for operator in OPERATORS:
        if operator == "Null":
            for value in (["true"], ["false"], ["true", "false"], []):
                yield {operator: {key(name): value for name in GOOD}}
            continue
        for at in range(len(LISTS["PCR0"])):
            yield {operator: {key(name): LISTS[name][at] for name in GOOD}}


def statement(effect: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {
        "Effect": effect,
        "Principal": {"AWS": APP} if effect == "Allow" else "*",
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": condition,
    }


def apart(condition: dict[str, Any]) -> list[dict[str, Any]]:
    """A Deny for each key of a condition."""
    return [
        statement("Deny", {operator: {name: values}})
        for operator, keys in condition.items()
        for name, values in keys.items()
    ]


def test_no_condition_of_an_allow_is_wrongly_safe() -> None:
    for condition in conditions():
        never_wrongly_safe({"Statement": [statement("Allow", condition)]})


def test_no_condition_of_a_deny_is_wrongly_safe() -> None:
    allow = statement("Allow", {})
    for condition in conditions():
        never_wrongly_safe({"Statement": [allow, *apart(condition)]})
        never_wrongly_safe({"Statement": [allow, statement("Deny", condition)]})


@pytest.mark.parametrize("name", ROWS)
def test_no_row_of_the_table_is_wrongly_safe(name: str) -> None:
    row = ROWS[name]
    if not row.kinds and not row.administrators:
        policy = {"Statement": row.statements}
        assert closed(policy)
        assert ways_in(policy) == []


# --- policies at random ---------------------------------------------------------------

PRINCIPALS: list[Any] = [
    "*",
    {"AWS": "*"},
    {"AWS": APP},
    {"AWS": [APP, ADMIN]},
    {"AWS": ADMIN},
    {"AWS": ROOT},
    {"AWS": aws.ACCOUNT},
    {"AWS": aws.CALLERS[0].names[0]},
    {"AWS": aws.CALLERS[3].names[0]},
    {"Service": "s3.amazonaws.com"},
]
ACTIONS: list[Any] = [
    *("kms:Decrypt", "kms:*", "*", "kms:GenerateDataKey*", "kms:Put*", "kms:Sign"),
    *("KMS:DECRYPT", "kms:?ecrypt", "kms:ExportKey", "kms:CreateGrant", "s3:*"),
    ["kms:Decrypt", "kms:DescribeKey"],
    ["kms:Describe*", "kms:List*"],
]


CONDITIONS = [*("Bool", "Null") * 2, *OPERATORS]


def pinned(column: int = 0, operator: str = "StringEqualsIgnoreCase") -> dict[str, Any]:
    return {operator: {key(name): LISTS[name][column] for name in GOOD}}


def closing(column: int, operator: str, action: Any) -> list[dict[str, Any]]:
    rows = apart(pinned(column, operator))
    return [{**row, "Action": action} for row in rows]


@st.composite
def closed_policies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Statements that are closed, nearly always: by their conditions, or by Denies."""
    column = draw(st.integers(0, 2))
    if draw(st.booleans()):
        kind = draw(st.sampled_from(OPERATORS[:3]))
        rows = [statement("Allow", pinned(column, kind))]
        return rows + [statement("Allow", pinned(1))] * draw(st.integers(0, 1))
    operator = draw(st.sampled_from([one for one in OPERATORS if "Not" in one]))
    action = draw(st.sampled_from(["kms:*", "*", "kms:Decrypt"]))
    allow = statement("Allow", {})
    if draw(st.booleans()):
        allow |= {"Principal": draw(st.sampled_from(PRINCIPALS)), "Action": action}
    return [allow, *closing(column, operator, action)]


@st.composite
def conditions_changed(draw: st.DrawFn, row: dict[str, Any]) -> dict[str, Any]:
    """A statement with one condition put in, or out, or said otherwise."""
    block = {operator: dict(keys) for operator, keys in row["Condition"].items()}
    places = [(operator, str(name)) for operator in block for name in block[operator]]
    mostly = draw(st.integers(0, 3))
    if places and mostly:
        operator, name = draw(st.sampled_from(places))
        values = block[operator].pop(name)
    else:
        name = key(draw(st.sampled_from([*GOOD, "ImageSha384", "PCR8"])))
        values = [OTHER]
    if not draw(st.integers(0, 3)):
        return {**row, "Condition": block}
    operator = draw(st.sampled_from(CONDITIONS))
    if operator == "Bool":
        name, values = "aws:SecureTransport", [draw(st.sampled_from(["true", "false"]))]
    elif operator == "Null":
        values = [draw(st.sampled_from(["true", "false"]))]
    elif draw(st.booleans()):
        register = name.rpartition(":")[2]
        values = draw(st.sampled_from(LISTS.get(register, LISTS["PCR0"])))
    block.setdefault(operator, {})[name] = values
    return {**row, "Condition": block}


@st.composite
def changed(draw: st.DrawFn, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with one thing about one statement changed."""
    at = draw(st.integers(0, len(rows) - 1))
    row = dict(rows[at])
    what = draw(st.sampled_from(["condition"] * 4 + ["who", "what", "where", "all"]))
    if what == "condition":
        row = draw(conditions_changed(row))
    elif what == "who":
        row.pop("Principal", row.pop("NotPrincipal", None))
        member = draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))
        row[member] = draw(st.sampled_from(PRINCIPALS[member == "NotPrincipal" :]))
    elif what == "what":
        row.pop("Action", row.pop("NotAction", None))
        member = draw(st.sampled_from(["Action", "Action", "NotAction"]))
        row[member] = draw(st.sampled_from(ACTIONS))
    elif what == "where":
        row["Resource"] = "arn:aws:kms:x:1:key/1"
    else:
        row["Effect"] = "Deny" if row["Effect"] == "Allow" else "Allow"
    return [*rows[:at], row, *rows[at + 1 :]]


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Closed policies, with up to three things changed."""
    rows = draw(closed_policies())
    for _ in range(draw(st.integers(0, 3))):
        rows = draw(changed(rows))
    return {"Statement": rows}


@settings(max_examples=600, deadline=None)
@given(policies())
@example({"Statement": [statement("Allow", {"Null": {key("PCR0"): ["false"]}})]})
def test_what_is_called_closed_lets_no_request_through(policy: dict[str, Any]) -> None:
    never_wrongly_safe(policy)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(policies())
def test_what_is_called_closed_lets_nothing_through_however_long_one_looks(
    policy: dict[str, Any],
) -> None:
    never_wrongly_safe(policy)
