"""Reading a key policy: what stands there, or a refusal that says why."""

import json
from typing import Any

import pytest

from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError
from tests.unit.workbench.kms_policies import APP, PINNED, ROOT, allow
from workbench.kms_policy import MOST, Principal, parse_key_policy

PLAIN = allow(PINNED, Sid="enclave")


def text(*statements: object, **members: object) -> bytes:
    return json.dumps({"Statement": list(statements), **members}).encode()


def test_a_policy_is_what_stands_there() -> None:
    data = text(PLAIN, Version="2012-10-17", Id="key-default-1")
    policy = parse_key_policy(data)
    [statement] = policy.statements
    assert policy.sha256 == sha256(data).hex()
    assert statement.name == "statement 1 (enclave)"
    assert statement.principals == (Principal("AWS", APP),)
    assert [one.operator for one in statement.conditions] == [
        "StringEqualsIgnoreCase"
    ] * 3


def test_one_statement_need_not_be_a_list() -> None:
    data = json.dumps({"Statement": PLAIN}).encode()
    assert parse_key_policy(data).statements == parse_key_policy(text(PLAIN)).statements


def test_scalars_that_aws_takes_for_text_are_text() -> None:
    condition = {"Bool": {"a": True}, "NumericLessThan": {"b": [1, "2"]}}
    [statement] = parse_key_policy(text(allow(condition))).statements
    assert [one.values for one in statement.conditions] == [("true",), ("1", "2")]


@pytest.mark.parametrize(
    ("principal", "account", "whole"),
    [
        (Principal("AWS", ROOT), "111122223333", True),
        (Principal("AWS", "111122223333"), "111122223333", True),
        (Principal("AWS", APP), "111122223333", False),
        (Principal("AWS", "arn:aws-cn:iam::111122223333:root"), "111122223333", True),
        (Principal("AWS", "*"), None, False),
        (Principal("AWS", "AROAEXAMPLEID"), None, False),
        (Principal("Service", "111122223333"), None, False),
    ],
    ids=range(7),
)
def test_an_account_is_known_by_its_id_and_its_root(
    principal: Principal, account: str | None, *, whole: bool
) -> None:
    assert (principal.account, principal.whole_account) == (account, whole)


def without(name: str, **members: object) -> dict[str, Any]:
    return {k: v for k, v in {**PLAIN, **members}.items() if k != name}


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a key policy"),
    "text": (b'"policy"', "an object"),
    "not UTF-8": (b'{"Statement":"\xff"}', "not a key policy"),
    "a byte order mark": (b"\xef\xbb\xbf" + text(PLAIN), "not a key policy"),
    "two values": (text(PLAIN) * 2, "Extra data"),
    "not a number": (b'{"Statement":NaN}', "NaN"),
    "deep": (b"[" * 100_000, "not a key policy"),
    "too large": (text(PLAIN) + b" " * MOST, "at most 65536 bytes"),
    "a member twice": (b'{"Statement":[],"Statement":[]}', "stands twice"),
    "a member within twice": (
        text(PLAIN).replace(b'"Sid"', b'"Effect": "Deny", "Sid"'),
        "stands twice",
    ),
    "a key twice in two cases": (
        text(allow({"StringEquals": {"kms:A": "1", "KMS:a": "2"}})),
        "each key once",
    ),
    "an answer of AWS": (
        json.dumps({"Policy": text(PLAIN).decode(), "PolicyName": "default"}).encode(),
        "--query Policy",
    ),
    "no statements": (text(), "at least one"),
    "no Statement": (b'{"Version":"2012-10-17"}', "an object"),
    "another member": (text(PLAIN, Statements=[]), "the members"),
    "a member in lower case": (text(without("Effect", effect="Allow")), "the members"),
    "no effect": (text(without("Effect")), "Allow or Deny"),
    "another effect": (text({**PLAIN, "Effect": "allow"}), "Allow or Deny"),
    "no principal": (text(without("Principal")), "a Principal"),
    "both principals": (text({**PLAIN, "NotPrincipal": "*"}), "both"),
    "both actions": (text({**PLAIN, "NotAction": "kms:*"}), "both"),
    "a principal that is text": (text({**PLAIN, "Principal": APP}), "an object"),
    "another kind of principal": (text({**PLAIN, "Principal": {"IAM": APP}}), "AWS"),
    "an action that is none": (text({**PLAIN, "Action": {"kms": 1}}), "text"),
    "an endless action": (text({**PLAIN, "Action": "kms:" + "*" * 300}), "256"),
    "a fraction": (text(allow({"NumericEquals": {"a": 1.5}})), "text"),
    "a value that is null": (text(allow({"Null": {"a": None}})), "text"),
    "lists in lists": (text(allow({"StringEquals": {"a": [["b"]]}})), "text"),
    "a Sid that is a number": (text({**PLAIN, "Sid": 1}), "Sid"),
    "a condition that is a list": (text(allow(None, Condition=[])), "an object"),
    "an operator without keys": (text(allow({"StringEquals": "a"})), "an object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_key_policy_is_refused(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(MalformedError, match=reason):
        parse_key_policy(data)


def test_what_a_policy_says_is_quoted_harmlessly() -> None:
    [statement] = parse_key_policy(text({**PLAIN, "Sid": "\x1b[31m\ud800"})).statements
    assert statement.name.isprintable()
