"""A key policy of AWS KMS, read strictly: what stands in it, and nothing made of it.

    {"Version": "2012-10-17", "Statement": [
      {"Sid": "enclave", "Effect": "Allow",
       "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"},
       "Action": "kms:Decrypt", "Resource": "*",
       "Condition": {"StringEqualsIgnoreCase":
         {"kms:RecipientAttestation:PCR0": ["9d4a...", "03be..."]}}}]}

A member that is not AWS's, a member or a condition key that stands twice, a value that
is neither text nor a list of it: all refused, since a reader that guesses may guess
otherwise than AWS does. What a well-formed policy means, `kms_policy_check` says.

>>> policy = parse_key_policy(b'{"Statement":{"Effect":"Allow","Principal":"*",'
...                           b'"Action":"kms:*","Resource":"*"}}')
>>> policy.statements[0].name
'statement 1'
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from msgspec import Struct

from pcrlog.encoding import printable, sha256, shown
from pcrlog.errors import MalformedError

T = TypeVar("T")

MOST = 65_536
"""Bytes of a file: AWS takes policies of 32 KiB, and a file may have more spaces."""
LONGEST_ACTION = 256
"""Characters of one action; none of AWS's has a quarter of them."""
EVERYONE = "*"
_MEMBERS = {"Version", "Id", "Statement"}
_OF_STATEMENT = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_KINDS = ("AWS", "Service", "Federated", "CanonicalUser")
_ACCOUNT = re.compile(r"[0-9]{12}|arn:[a-z-]+:iam::([0-9]{12}):root")
_OF_ACCOUNT = re.compile(r"arn:[a-z-]+:(?:iam|sts)::([0-9]{12}):.+")


class Principal(Struct, frozen=True):
    """Who: `kind` is AWS, Service, Federated, CanonicalUser, or `*` for anybody."""

    kind: str
    value: str

    @property
    def account(self) -> str | None:
        """The account that an AWS principal belongs to, if its name tells."""
        if self.kind != "AWS":
            return None
        if self.whole_account:
            return self.value if self.value.isdigit() else self.value.split(":")[4]
        match = _OF_ACCOUNT.fullmatch(self.value)
        return match[1] if match else None

    @property
    def whole_account(self) -> bool:
        """Whether it is an account: then that account's IAM decides who may."""
        return self.kind == "AWS" and _ACCOUNT.fullmatch(self.value) is not None

    @property
    def anybody(self) -> bool:
        """`"*"` or `{"AWS": "*"}`."""
        return self.value == EVERYONE


class Condition(Struct, frozen=True):
    """One operator on one key; several values mean any of them."""

    operator: str
    key: str
    values: tuple[str, ...]


class Statement(Struct, frozen=True):
    """A statement; `number` is its place, from 1.

    `actions` and `resources` are None if it has neither that member nor its `Not`:
    AWS stores such a statement, and gives it no effect.
    """

    number: int
    sid: str | None
    allows: bool
    principals: tuple[Principal, ...]
    not_principals: bool
    actions: tuple[str, ...] | None
    not_actions: bool
    resources: tuple[str, ...] | None
    not_resources: bool
    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        sid = f" ({printable(self.sid, 60)})" if self.sid else ""
        return f"statement {self.number}{sid}"


class KeyPolicy(Struct, frozen=True):
    """A key policy, and the hex SHA-256 of the bytes that it was read from."""

    sha256: str
    statements: tuple[Statement, ...]


def parse_key_policy(data: bytes) -> KeyPolicy:
    """A key policy from its JSON.

    Raises:
        MalformedError: not JSON, too large, or not of the form of a key policy.
    """
    if len(data) > MOST:
        _refuse("it", f"at most {MOST} bytes", f"{len(data)}")
    whole = _members("it", _load(data), _MEMBERS)
    rows = whole.get("Statement")
    rows = rows if isinstance(rows, list) else [rows]
    statements = tuple(_statement(at, row) for at, row in enumerate(rows, 1))
    if not statements:
        _refuse("Statement", "at least one", "none")
    return KeyPolicy(sha256(data).hex(), statements)


def _load(data: bytes) -> object:
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        message = f"not a key policy: {printable(str(error))}"
        raise MalformedError(message) from error
    if isinstance(value, Mapping) and isinstance(value.get("Policy"), str):
        message = (
            "that is the whole answer of get-key-policy: write its Policy alone (aws"
            " kms get-key-policy --query Policy --output text)"
        )
        raise MalformedError(message)
    return value


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{shown(twice)} stands twice"
        raise MalformedError(message)
    return dict(pairs)


def _no_number(text: str) -> NoReturn:
    message = f"{text} is not JSON"
    raise ValueError(message)


def _statement(number: int, value: object) -> Statement:
    where = f"statement {number}"
    row = _members(where, value, _OF_STATEMENT)
    sid, effect = row.get("Sid"), row.get("Effect")
    if sid is not None and not isinstance(sid, str):
        _refuse(f"{where}: Sid", "text", sid)
    if effect not in ("Allow", "Deny"):
        _refuse(f"{where}: Effect", "Allow or Deny", effect)
    principals, not_principals = _either(where, row, "Principal", _principals)
    if principals is None:
        _refuse(where, "a Principal, as key policies have", "none")
    actions, not_actions = _either(where, row, "Action", _texts)
    resources, not_resources = _either(where, row, "Resource", _texts)
    if any(len(action) > LONGEST_ACTION for action in actions or ()):
        _refuse(f"{where}: Action", f"at most {LONGEST_ACTION} characters", "more")
    return Statement(
        number,
        sid,
        effect == "Allow",
        principals,
        not_principals,
        actions,
        not_actions,
        resources,
        not_resources,
        _conditions(f"{where}: Condition", row.get("Condition", {})),
    )


def _either(
    where: str,
    row: Mapping[str, object],
    name: str,
    read: Callable[[str, object], tuple[T, ...]],
) -> tuple[tuple[T, ...] | None, bool]:
    """A member or its `Not`, and which of them it was."""
    other = f"Not{name}"
    if name in row and other in row:
        _refuse(where, f"{name} or {other}", "both")
    for one in (name, other):
        if one in row:
            return read(f"{where}: {one}", row[one]), one == other
    return None, False


def _principals(where: str, value: object) -> tuple[Principal, ...]:
    if value == EVERYONE:
        return (Principal(EVERYONE, EVERYONE),)
    named = _members(where, value, set(_KINDS))
    return tuple(
        Principal(kind, text)
        for kind, values in named.items()
        for text in _texts(f"{where}: {kind}", values)
    )


def _conditions(where: str, value: object) -> tuple[Condition, ...]:
    found = []
    for operator, keys in _members(where, value, None).items():
        named = _members(f"{where}: {shown(operator)}", keys, None)
        if len({key.lower() for key in named}) != len(named):
            # Keys differ in more than case; what AWS makes of two that do not is
            # nowhere said.
            _refuse(f"{where}: {shown(operator)}", "each key once", "a key twice")
        found += [
            Condition(operator, key, _texts(f"{where}: {shown(key)}", values))
            for key, values in named.items()
        ]
    return tuple(found)


def _texts(where: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(_text(where, one) for one in values)


def _text(where: str, value: object) -> str:
    """Text; of the other scalars, those that AWS takes for text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 2**53:
        return str(value)
    if not isinstance(value, str):
        _refuse(where, "text, or a list of texts", value)
    return value


def _members(where: str, value: object, known: set[str] | None) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        _refuse(where, "an object", value)
    for name in value:
        if known is not None and name not in known:
            _refuse(where, f"the members {', '.join(sorted(known))}", name)
    return value


def _refuse(where: str, expected: str, found: object) -> NoReturn:
    if not isinstance(found, str):
        found = "nothing" if found is None else f"a {type(found).__name__}"
    message = f"not a key policy: {where}: expected {expected}, found {shown(found)}"
    raise MalformedError(message)
