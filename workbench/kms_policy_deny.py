"""What the Deny statements of a key policy take away for certain.

A Deny counts where all of it is certain: that it is in force, that it means this
principal and this action, that each of its conditions holds. AWS ANDs the conditions of
a statement, so a Deny with two of them protects only what both name: it is counted when
all but one hold for everything that is left, and then takes away what that one names.

IAM policies and grants cannot pass a Deny of the key policy, so that it closes paths
that this file does not show.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from workbench.kms_policy import EVERYONE, Principal, Statement
from workbench.kms_policy_actions import (
    UNKNOWN,
    Action,
    may_match,
    strange,
    surely_matches,
)
from workbench.kms_policy_conditions import ANYTHING, Reach, least, register_of

Box: TypeAlias = Mapping[str, Reach]
"""What each register may be, independently of the others; ANYTHING if not named."""


class Deny(Struct, frozen=True):
    """A Deny that can be counted: it takes away what is in all of `least`."""

    statement: Statement
    least: dict[str, Reach]

    def means(self, principal: Principal) -> bool:
        """Whether it is certain to concern all that an Allow's principal stands for."""
        named = self.statement.principals
        if self.statement.not_principals:
            return _apart(principal, named)
        return any(
            one.kind == EVERYONE
            or (one.anybody and one.kind == principal.kind)
            or (one == principal and not principal.whole_account)
            for one in named
        )

    def concerns(self, action: Action) -> bool:
        """Whether it is certain to concern an action."""
        patterns = self.statement.actions or ()
        if not self.statement.not_actions:
            return any(surely_matches(one, action) for one in patterns)
        if action is UNKNOWN and any(strange(one) for one in patterns):
            return False
        return not any(may_match(one, action) for one in patterns)


def counted(statement: Statement) -> Deny | str:
    """A Deny as far as it is certain, or why nothing of it is."""
    if statement.actions is None or statement.resources is None:
        return "without Action or Resource, AWS gives a statement no effect"
    if statement.not_resources or EVERYONE not in statement.resources:
        return 'its Resource is not "*", so it may be about something else'
    reaches: dict[str, Reach] = {}
    for condition in statement.conditions:
        register = register_of(condition.key)
        if register is None:
            return f"its condition on {condition.key} need not hold"
        reach = reaches.get(register, ANYTHING).both(least(condition))
        if reach.empty:
            return f"{condition.operator} on {condition.key} is not certain to hold"
        reaches[register] = reach
    return Deny(statement, reaches)


def shrink(box: Box, denies: Sequence[Deny]) -> Box | None:
    """What the Denies leave of a box at most; None if nothing."""
    left = dict(box)
    again = True
    while again:
        again = False
        for deny in denies:
            outside = [
                register
                for register, reach in deny.least.items()
                if not left.get(register, ANYTHING).within(reach)
            ]
            if not outside:
                return None
            [register, *more] = outside
            before = left.get(register, ANYTHING)
            after = before.minus(deny.least[register])
            if more or after == before:
                continue
            left[register] = after
            again = True
    return left


def _apart(principal: Principal, excepted: Sequence[Principal]) -> bool:
    """Whether a principal is certain to be none of those that a NotPrincipal names.

    A role and its sessions are looked at one after the other, so an exception for a
    session, or for the account, may be one for the role too.
    """
    if principal.account is None or principal.whole_account:
        return False
    for one in excepted:
        if one.account is None:
            return False
        near = one.whole_account or ":sts:" in one.value or ":sts:" in principal.value
        if one.account == principal.account and (near or one == principal):
            return False
    return True
