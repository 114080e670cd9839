"""The condition that lets the attestations of some releases through, and no others.

One list a register, so that the releases of a product that stand side by side (blue and
green) are all let through; kms_policy_check.py says why that lets no mixture through.

>>> build = {f"PCR{n}": "sha384:" + f"{n + 1}" * 96 for n in range(3)}
>>> [operator] = condition_for([build])
>>> operator, sorted(condition_for([build])[operator])[0]
('StringEqualsIgnoreCase', 'kms:RecipientAttestation:PCR0')
>>> print(terraform(condition_for([build]))[:56])
condition {
  test     = "StringEqualsIgnoreCase"
  variable
"""

import json
from collections.abc import Sequence
from typing import TypeAlias

from pcrlog.errors import UsageError
from pcrlog.measurement import Registers
from workbench.kms_policy_actions import ACTIONS
from workbench.kms_policy_check import Released, of_machines
from workbench.kms_policy_conditions import (
    MACHINE,
    OF_MACHINES,
    PREFIX,
    REGISTERS,
    Reach,
)

Block: TypeAlias = dict[str, dict[str, list[str]]]
"""Operator, key, values: a Condition of a policy."""
_OPERATOR = "StringEqualsIgnoreCase"
_NOT = "StringNotEqualsIgnoreCase"
_DENIED = ("plaintext", "use")


def condition_for(released: Sequence[Registers]) -> Block:
    """The condition block of some releases of enclaves.

    A register beyond PCR0 to PCR2 is asked for if every release names it.

    Args:
        released: `PCR0` and the like to `sha384:<hex>`, for each release.

    Raises:
        UsageError: there are none, or one lacks PCR0, PCR1 or PCR2, or has zeros there.
    """
    Released.of(released, pcr0_alone=False)
    return {_OPERATOR: _values(PREFIX, REGISTERS, released)}


def condition_for_machines(released: Sequence[Registers]) -> Block:
    """The condition block of some releases of instances, which attest by a NitroTPM.

    A register beyond PCR4 and PCR12 is asked for if every release names it.

    Args:
        released: `PCR4` and the like to `sha384:<hex>`, for each release.

    Raises:
        UsageError: there are none; one lacks PCR4 or PCR12, or has zeros in PCR4; or
            lists of them would let through what nobody released.
    """
    builds = Released.of((), pcr0_alone=False, machines=released).machines
    first = tuple(name.removeprefix(MACHINE) for name in OF_MACHINES)
    keys = _values(f"{PREFIX}{MACHINE}", first, released)
    box = {
        key.removeprefix(PREFIX): Reach(absent=False, but=False, of=frozenset(values))
        for key, values in keys.items()
    }
    if of_machines(box, builds):
        message = (
            "in lists, registers of one of these releases would do with those of"
            " another: render one at a time (--measurement), each for an Allow of its"
            " own"
        )
        raise UsageError(message)
    return {_OPERATOR: keys}


def _values(
    prefix: str, first: Sequence[str], released: Sequence[Registers]
) -> dict[str, list[str]]:
    """The values of each register that all releases name, `first` first."""
    common = set.intersection(*(set(one) for one in released))
    names = [*first, *sorted(common - set(first), key=lambda n: int(n[3:]))]
    return {
        f"{prefix}{name}": sorted({one[name].partition(":")[2] for one in released})
        for name in names
    }


def denials(block: Block) -> tuple[dict[str, object], ...]:
    """Statements that deny a key to all that does not meet the condition.

    One for each register: in one statement, they would deny only what has none of them.
    They bind whoever IAM policies and grants let in, too.
    """
    return tuple(
        {
            "Sid": f"OnlyReleased{key.removeprefix(PREFIX)}",
            "Effect": "Deny",
            "Principal": "*",
            "Action": [f"kms:{one.name}" for one in ACTIONS if one.use in _DENIED],
            "Resource": "*",
            "Condition": {_NOT: {key: values}},
        }
        for keys in block.values()
        for key, values in keys.items()
    )


def as_json(part: object) -> str:
    """A part of a policy, as it stands there."""
    return json.dumps(part, indent=2)


def terraform(block: Block) -> str:
    """As it stands in a `statement` of Terraform's `aws_iam_policy_document`."""
    found = []
    for operator, keys in block.items():
        for key, values in keys.items():
            listed = "".join(f"    {json.dumps(value)},\n" for value in values)
            found.append(
                "condition {\n"
                f"  test     = {json.dumps(operator)}\n"
                f"  variable = {json.dumps(key)}\n"
                f"  values = [\n{listed}  ]\n"
                "}\n"
            )
    return "".join(found)
