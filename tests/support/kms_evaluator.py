"""AWS's evaluation of a key policy, request by request: what the analyser is held to.

Written from AWS's documents and from nothing in `workbench`: it takes the policy as
Python reads it, goes through every request of a small universe, and finds those that
are allowed. Where the documents leave a question open, there is a `World` for each
answer; a policy is safe if it is in all of them.

Requests are those that can be: PCR1 is a hash over the first part of an image, PCR2
over the rest and PCR0 over both, so PCR1 and PCR2 of one build come with its PCR0, and
PCR0 of a build comes with PCR1 and PCR2 of that build or with neither.
"""

import fnmatch
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

ACCOUNT = "111122223333"
_ROOT = f"arn:aws:iam::{ACCOUNT}:root"
SECRET = (
    *("Decrypt", "DeriveSharedSecret", "GenerateDataKey", "GenerateDataKeyPair"),
    *("GenerateRandom", "ReEncryptFrom", "Sign", "GenerateMac"),
    "ExportKey",  # which AWS may add one day
)
RULES = (
    *("PutKeyPolicy", "CreateGrant", "ReplicateKey", "ImportKeyMaterial"),
    *("UpdateAlias", "ScheduleKeyDeletion"),
)
ATTESTED = SECRET[:5]
"""Actions that take an attestation; in requests of others its keys are absent."""

_UNATTESTED = (*SECRET[5:], *RULES)
_PREFIX = "kms:recipientattestation"


class World(NamedTuple):
    """An answer to each open question."""

    upper: bool
    """KMS writes registers in upper case."""
    any_absent: bool
    """ForAnyValue with Not or IfExists is true without the key."""
    odd: bool
    """What operators come to that are not AWS's, or for other types."""
    tag: str
    """What a policy variable stands for."""


class Who(NamedTuple):
    """A caller: every name that it goes by, the narrowest first; `kind` is AWS's."""

    kind: str
    names: tuple[str, ...]
    account: str | None


CALLERS = (
    Who(
        "AWS",
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one",
            f"arn:aws:iam::{ACCOUNT}:role/app",
        ),
        ACCOUNT,
    ),
    Who("AWS", (f"arn:aws:iam::{ACCOUNT}:role/admin",), ACCOUNT),
    Who("AWS", (f"arn:aws:iam::{ACCOUNT}:role/another",), ACCOUNT),
    Who("AWS", ("arn:aws:iam::444455556666:role/app",), "444455556666"),
    Who("Service", ("s3.amazonaws.com",), None),
    Who("*", (), None),
)


def worlds(tags: Sequence[str]) -> Iterator[World]:
    """All of them."""
    flags = (False, True)
    for values in itertools.product(flags, flags, flags, tags):
        yield World(*values)


def attestations(
    builds: Sequence[Mapping[str, str]], other: str
) -> list[dict[str, str] | None]:
    """Registers of documents that can be, and None: no document."""
    found: list[dict[str, str] | None] = [None]
    parts1 = [one["PCR1"] for one in builds] + [other]
    parts2 = [one["PCR2"] for one in builds] + [other]
    for first, second in itertools.product(parts1, parts2):
        whole = [
            one["PCR0"]
            for one in builds
            if (one["PCR1"], one["PCR2"]) == (first, second)
        ]
        whole = whole or [other]
        if first == second == other:
            # Bytes that have moved from one part to another.
            whole = [*(one["PCR0"] for one in builds), other]
        found += [{"PCR0": zero, "PCR1": first, "PCR2": second} for zero in whole]
    found.append(dict.fromkeys(("PCR0", "PCR1", "PCR2"), "0" * 96))
    return found


class Request(NamedTuple):
    """What a request says; `good` if its document is a release's."""

    world: World
    good: bool
    said: Mapping[str, str]

    def value(self, name: str, attested: bool) -> str | None:  # noqa: FBT001 - as above
        """Of a condition key; one of an attestation only where the action takes one."""
        lower = name.lower()
        if _PREFIX in lower and not attested:
            return None
        return self.said.get(lower)


def requests(
    builds: Sequence[Mapping[str, str]], other: str, tags: Sequence[str]
) -> list[Request]:
    """Each document with what else a request may say, in each world."""
    released = {tuple(one.values()) for one in builds}
    return [
        Request(
            world,
            document is not None and tuple(document.values()) in released,
            _said(document, pcr8, secure, world),
        )
        for world in worlds(tags)
        for document in attestations(builds, other)
        for pcr8 in (other, "0" * 96)
        for secure in ("true", "false")
    ]


def _said(
    document: Mapping[str, str] | None, pcr8: str, secure: str, world: World
) -> dict[str, str]:
    said = {"aws:securetransport": secure}
    if document is not None:
        registers = {**document, "PCR8": pcr8, "ImageSha384": document["PCR0"]}
        for name, value in registers.items():
            spelled = value.upper() if world.upper else value
            said[f"{_PREFIX}:{name.lower()}"] = spelled
    return said


def ways_in(
    policy: Mapping[str, Any], requests: Sequence[Request]
) -> Iterator[tuple[str, Who, Request]]:
    """Requests that are allowed, and should not be; whatever IAM is asked, it allows.

    What a statement says of contexts, callers and actions does not depend on each
    other, so each is asked once: an integer has a bit for each request.
    """
    good = _bits(request.good for request in requests)
    rows = [row for row in policy["Statement"] if _in_force(row)]
    for attested, actions in ((True, ATTESTED), (False, _UNATTESTED)):
        hold = [
            _bits(_all_hold(row, one, attested) for one in requests) for row in rows
        ]
        for action, who in itertools.product(actions, CALLERS):
            let, denied = 0, 0
            for row, bits in zip(rows, hold, strict=True):
                if not _names(row, action) or not _means(row, who):
                    continue
                if row["Effect"] == "Allow":
                    let |= bits
                else:
                    denied |= bits
            through = let & ~denied & (~good if attested else -1)
            if through:
                yield action, who, requests[through.bit_length() - 1]


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << at for at, flag in enumerate(flags) if flag)


def _in_force(row: Mapping[str, Any]) -> bool:
    return row.get("Resource") == "*" and ("Action" in row or "NotAction" in row)


def _names(row: Mapping[str, Any], action: str) -> bool:
    named = any(
        fnmatch.fnmatchcase(f"kms:{action}".lower(), one.lower())
        for one in _list(row.get("Action", row.get("NotAction")))
    )
    return named is not ("NotAction" in row)


def _all_hold(row: Mapping[str, Any], request: Request, attested: bool) -> bool:  # noqa: FBT001 - as it is asked
    return all(
        _holds(operator, request.value(name, attested), _list(values), request.world)
        for operator, keys in row.get("Condition", {}).items()
        for name, values in keys.items()
    )


def _means(row: Mapping[str, Any], who: Who) -> bool:
    """Whom a statement means: an Allow as many, a Deny as few as may be."""
    principal = row.get("Principal", row.get("NotPrincipal"))
    if principal == "*":
        return "Principal" in row
    names = [(kind, one) for kind, values in principal.items() for one in _list(values)]
    account = {("AWS", _ROOT), ("AWS", ACCOUNT)} if who.account == ACCOUNT else set()
    own = {(who.kind, name) for name in who.names}
    anybody = ("AWS", "*") in names
    if "NotPrincipal" in row:
        spared = own | account
        return not spared & set(names) and not anybody
    if row["Effect"] == "Allow":
        return bool((own | account) & set(names)) or anybody
    return bool(own & set(names)) or (anybody and who.kind == "AWS")


def _holds(operator: str, value: str | None, values: list[str], world: World) -> bool:
    if operator == "Null":
        return any((value is None) is (one == "true") for one in values)
    match = re.fullmatch(
        "(ForAllValues:|ForAnyValue:)?String(Not)?(EqualsIgnoreCase|Equals|Like)(IfExists)?",
        operator,
    )
    if operator == "Bool":
        return value in values
    if match is None or not values:
        return world.odd
    quantifier, negated, kind, if_exists = match.groups()
    if value is None:
        if quantifier == "ForAnyValue:":
            return bool(negated or if_exists) and world.any_absent
        return bool(negated or if_exists or quantifier)
    told = [one.replace("${aws:PrincipalTag/pcr0}", world.tag) for one in values]
    return any(_equal(kind, value, one) for one in told) is not bool(negated)


def _equal(kind: str, value: str, pattern: str) -> bool:
    if kind == "Like":
        return fnmatch.fnmatchcase(value, pattern)
    if kind == "EqualsIgnoreCase":
        return value.lower() == pattern.lower()
    return value == pattern


def _list(value: Any) -> list[str]:
    rows = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else one for one in rows]
