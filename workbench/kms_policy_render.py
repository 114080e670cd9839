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

from pcrlog.measurement import Registers
from workbench.kms_policy_actions import ACTIONS
from workbench.kms_policy_check import Released
from workbench.kms_policy_conditions import PREFIX, REGISTERS

Block: TypeAlias = dict[str, dict[str, list[str]]]
"""Operator, key, values: a Condition of a policy."""
_OPERATOR = "StringEqualsIgnoreCase"
_NOT = "StringNotEqualsIgnoreCase"
_DENIED = ("plaintext", "use")


def condition_for(released: Sequence[Registers]) -> Block:
    """The condition block of some releases.

    A register beyond PCR0 to PCR2 is asked for if every release names it.

    Args:
        released: `PCR0` and the like to `sha384:<hex>`, for each release.

    Raises:
        UsageError: there are none, or one lacks PCR0, PCR1 or PCR2, or has zeros there.
    """
    Released.of(released, pcr0_alone=False)
    common = set.intersection(*(set(one) for one in released))
    names = [*REGISTERS, *sorted(common - set(REGISTERS), key=lambda n: int(n[3:]))]
    return {
        _OPERATOR: {
            f"{PREFIX}{name}": sorted({one[name].partition(":")[2] for one in released})
            for name in names
        }
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
