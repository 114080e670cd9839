"""Conditions on an attestation: which values of a register they let through.

A condition speaks of one register, which in a request is absent (there is no
attestation, or it does not have it) or has one value. `most` gives all that AWS might
let through, `least` what it lets through for certain: an Allow is judged by the one, a
Deny by the other, so that what is not understood never makes a policy safer.

AWS's rules (IAM User Guide, condition operators; KMS Developer Guide, conditions for
Nitro enclaves and NitroTPM), and what is made of them:

    several values         any of them; none of them where the operator has Not
    the key is absent      false, but for Not...: true
    ...IfExists            true if the key is absent
    ForAllValues:          true if the key is absent
    ForAnyValue:           false if the key is absent; in `most`, true with Not...
    Null "true", "false"   the key is absent, present
    ${...}, other words    anything may be let through, nothing is for certain

The registers' hex is compared without case: KMS is not said to write it in lower case,
so a Deny that depends on case is not relied on. `ImageSha384` is PCR0. Registers of an
enclave and of an instance have names of their own; no request needs to have both.

>>> strict = Condition("StringEquals", "kms:RecipientAttestation:PCR0", ("AB",))
>>> most(strict) == Reach(absent=False, but=False, of=frozenset({"ab"}))
True
>>> least(strict).empty
True
"""

import re

from msgspec import Struct

from workbench.kms_policy import Condition

REGISTERS = ("PCR0", "PCR1", "PCR2")
"""What pins the code of an enclave: all of it, first part and rest."""
MACHINE = "NitroTPM"
"""How names of registers begin that an instance attests to; an enclave has none."""
OF_MACHINES = (f"{MACHINE}PCR4", f"{MACHINE}PCR12")
"""What pins what an instance runs: its image, and what the command line got besides."""
PREFIX = "kms:RecipientAttestation:"
_KEY = re.compile(
    r"kms:recipientattestation:(?:"
    r"(imagesha384)|pcr([0-9]|[12][0-9]|3[01])|nitrotpmpcr([0-9]|1[0-9]|2[0-3]))"
)
_OPERATOR = re.compile(
    r"(ForAllValues:|ForAnyValue:)?"
    r"String(Not)?(Equals|EqualsIgnoreCase|Like)(IfExists)?"
)
_NULL = "Null"


class Reach(Struct, frozen=True):
    """A set of what a register may be: absent or not, and values in lower case.

    `of` are the values, or with `but` all others.
    """

    absent: bool
    but: bool
    of: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Nothing is let through."""
        return not (self.absent or self.but or self.of)

    def both(self, other: "Reach") -> "Reach":
        """What is in both."""
        absent = self.absent and other.absent
        if self.but and other.but:
            return Reach(absent, but=True, of=self.of | other.of)
        if self.but or other.but:
            these, out = (other.of, self.of) if self.but else (self.of, other.of)
            return Reach(absent, but=False, of=these - out)
        return Reach(absent, but=False, of=self.of & other.of)

    def minus(self, other: "Reach") -> "Reach":
        """What is in this one and not in the other."""
        return self.both(Reach(not other.absent, but=not other.but, of=other.of))

    def within(self, other: "Reach") -> bool:
        """Whether all of it is in the other."""
        return self.minus(other).empty


ANYTHING = Reach(absent=True, but=True)
NOTHING = Reach(absent=False, but=False)


def register_of(key: str) -> str | None:
    """The register that a condition key names; None for other keys."""
    # Outside ASCII, some signs are lower-cased into it, such as the sign for kelvin.
    match = _KEY.fullmatch(key.lower()) if key.isascii() else None
    if match is None:
        return None
    if match[3]:
        return f"{MACHINE}PCR{match[3]}"
    return "PCR0" if match[1] else f"PCR{match[2]}"


def most(condition: Condition) -> Reach:
    """All of its register that a condition might let through."""
    match = _OPERATOR.fullmatch(condition.operator)
    if condition.operator == _NULL:
        return _null(condition) or ANYTHING
    if match is None or not condition.values or _variable(condition):
        return ANYTHING
    _, negated, kind, _ = match.groups()
    absent = _absent_at_most(match)
    if negated or (kind == "Like" and any(map(_wild, condition.values))):
        return Reach(absent, but=True)
    return Reach(absent, but=False, of=_lower(condition.values))


def least(condition: Condition) -> Reach:
    """What of its register a condition lets through for certain."""
    match = _OPERATOR.fullmatch(condition.operator)
    if condition.operator == _NULL:
        return _null(condition) or NOTHING
    if match is None or not condition.values or _variable(condition):
        return NOTHING
    _, negated, kind, _ = match.groups()
    absent = _absent_at_least(match)
    if negated:
        wild = kind == "Like" and any(map(_wild, condition.values))
        named = _lower(condition.values)
        return Reach(absent, but=False) if wild else Reach(absent, but=True, of=named)
    if kind == "Like" and any(not value.strip("*") for value in condition.values):
        return Reach(absent, but=True)
    return Reach(absent, but=False, of=_certain(kind, condition.values))


def _absent_at_most(match: re.Match[str]) -> bool:
    quantifier, negated, _, if_exists = match.groups()
    return bool(negated or if_exists) or quantifier == "ForAllValues:"


def _absent_at_least(match: re.Match[str]) -> bool:
    return _absent_at_most(match) and match[1] != "ForAnyValue:"


def _certain(kind: str, values: tuple[str, ...]) -> frozenset[str]:
    """The values that are met in whatever case KMS writes them."""
    return _lower(
        tuple(
            value
            for value in values
            if kind == "EqualsIgnoreCase"
            or (
                value.lower() == value.upper() and not (kind == "Like" and _wild(value))
            )
        )
    )


def _null(condition: Condition) -> Reach | None:
    if not condition.values or not set(condition.values) <= {"true", "false"}:
        return None
    return Reach("true" in condition.values, but="false" in condition.values)


def _variable(condition: Condition) -> bool:
    return any("${" in value for value in condition.values)


def _wild(value: str) -> bool:
    return "*" in value or "?" in value


def _lower(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(value.lower() for value in values)
