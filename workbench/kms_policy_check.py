"""Can anything use a key without the attestation of a released measurement?

For every Allow, principal and action: what the registers of an attestation may be (a
box, kms_policy_deny.py), less what Denies take away. The way is closed if what is left
has PCR0, PCR1 and PCR2 of released measurements, or is empty; else it is a `Path`. What
is not certain counts as allowed (conditions, resources, principals, unknown actions),
and as not denied.

The three registers may stand in lists, several releases together: PCR1 is a hash over
the first part of an image, PCR2 over the rest and PCR0 over both, so registers of two
releases do not go together. PCR0 alone is no pin: bytes can move between the parts.

Instances attest by their NitroTPM, to registers of other names. Of them PCR4 (the
image) and PCR12 (what its command line got besides) have to be released, and PCR7
(whose keys Secure Boot takes) where the release names it; and released together, since
no register is over the others: PCR4 of one release goes with PCR12 of another.

What no key policy shows is not looked at here: grants, IAM policies, who else has the
material of the key (docs/controls.md).
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, cast

from msgspec import Struct, structs

from pcrlog.errors import UsageError
from pcrlog.measurement import Registers, is_zero
from workbench.kms_policy import EVERYONE, KeyPolicy, Principal, Statement
from workbench.kms_policy_actions import (
    ACTIONS,
    Action,
    may_match,
    strange,
    surely_matches,
)
from workbench.kms_policy_conditions import (
    ANYTHING,
    MACHINE,
    OF_MACHINES,
    REGISTERS,
    Reach,
    most,
    register_of,
)
from workbench.kms_policy_deny import Box, Deny, counted, shrink

Kind: TypeAlias = Literal[
    "no-attestation",
    "any-code",
    "other-measurement",
    "debug",
    "sections",
    "boot",
    "mixture",
    "rules",
    "unknown-action",
    "write",
    "admitted",
]
"""In which way a path is open; `kms_policy_words` has the sentences."""
Finding: TypeAlias = tuple[Kind, tuple[str, ...]]
"""A kind and its details."""
_ANYBODY = Principal(EVERYONE, EVERYONE)
_SECURE_BOOT = f"{MACHINE}PCR7"


class Path(Struct, frozen=True):
    """A way past the released measurements: who may do what, by which statement.

    `details` are the values or the registers that `kind` is about.
    """

    kind: Kind
    statement: Statement
    principals: tuple[Principal, ...]
    actions: tuple[Action, ...]
    details: tuple[str, ...] = ()


class Judgement(Struct, frozen=True):
    """What a key policy lets through.

    `admitted` are ways that take the attestation of a released measurement, as all are
    to. `accepted` are paths of the kind `rules` of administrators that were named;
    `writers` may make ciphertext; `idle` are Denies that take nothing away for certain,
    with the reason.
    """

    paths: tuple[Path, ...]
    admitted: tuple[Path, ...]
    accepted: tuple[Path, ...]
    writers: tuple[Path, ...]
    idle: tuple[tuple[Statement, str], ...]

    @property
    def closed(self) -> bool:
        """Whether there is no path."""
        return not self.paths


class Released(Struct, frozen=True):
    """What registers may be: those of the released measurements, in lower-case hex.

    `registers` are of enclaves, each by itself; `machines` are builds of instances.
    Without builds of a kind, no attestation of that kind will do.
    """

    registers: dict[str, frozenset[str]]
    machines: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        released: Sequence[Registers],
        *,
        pcr0_alone: bool,
        machines: Sequence[Registers] = (),
    ) -> "Released":
        """From the registers of each release.

        Args:
            released: `PCR0` and the like to `sha384:<hex>`, of enclaves.
            pcr0_alone: whether PCR0 is enough of a pin.
            machines: the same, of instances that attest by their NitroTPM.

        Raises:
            UsageError: there are none, one lacks a register, or one is zero.
        """
        names = REGISTERS[:1] if pcr0_alone else REGISTERS
        for registers in released:
            lacking = [name for name in names if name not in registers]
            zero = [name for name in names if is_zero(registers.get(name, ":"))]
            if lacking or zero:
                what = f"has no {', '.join(lacking)}" if lacking else f"{zero[0]} is 0"
                message = f"a released measurement {what}: give all of its registers"
                raise UsageError(message)
        builds = tuple(map(_machine, machines))
        if not released and not builds:
            message = "no released measurement: there is nothing to compare with"
            raise UsageError(message)
        return cls(
            {
                name: frozenset(one[name].partition(":")[2] for one in released)
                for name in names
                if released
            },
            builds,
        )


def _machine(registers: Registers) -> dict[str, str]:
    """What of an instance's registers has to be released: PCR4, PCR12, perhaps PCR7."""
    named = {f"{MACHINE}{name}": digest for name, digest in registers.items()}
    lacking = [name for name in OF_MACHINES if name not in named]
    if lacking or is_zero(named[OF_MACHINES[0]]):
        what = f"has no {', '.join(lacking)}" if lacking else f"{OF_MACHINES[0]} is 0"
        message = f"a released measurement {what}: give all of its registers"
        raise UsageError(message)
    return {
        name: named[name].partition(":")[2]
        for name in (*OF_MACHINES, _SECURE_BOOT)
        if name in named
    }


def check_key_policy(
    policy: KeyPolicy,
    released: Released,
    administrators: Iterable[str] = (),
) -> Judgement:
    """What a key policy lets through, at most.

    Args:
        policy: the policy.
        released: what the registers may be.
        administrators: AWS principals, spelled as in the policy, who may change the
            rules: their paths of the kind `rules` are accepted.

    Raises:
        UsageError: an administrator is anybody.
    """
    trusted = tuple(administrators)
    if any("*" in name for name in trusted):
        message = "an administrator is one principal, spelled as in the policy: no *"
        raise UsageError(message)
    judged = [(one, counted(one)) for one in policy.statements if not one.allows]
    denies = [deny for _, deny in judged if isinstance(deny, Deny)]
    idle = tuple((one, why) for one, why in judged if isinstance(why, str))
    ways = [
        way
        for statement in policy.statements
        if statement.allows
        for way in _ways(statement, denies, released)
    ]
    accepted, refused = _split([one for one in ways if one.kind == "rules"], trusted)
    apart = ("rules", "write", "admitted")
    paths = [one for one in ways if one.kind not in apart] + refused
    return Judgement(
        tuple(sorted(paths, key=lambda path: path.statement.number)),
        tuple(one for one in ways if one.kind == "admitted"),
        tuple(accepted),
        tuple(one for one in ways if one.kind == "write"),
        idle,
    )


def _ways(
    statement: Statement, denies: Sequence[Deny], released: Released
) -> Iterator[Path]:
    """All that an Allow lets through, by kind."""
    box = _box(statement)
    if box is None:
        return
    actions = [one for one in _actions(statement) if one.use != "read"]
    concerned = [_bits(deny.concerns(action) for deny in denies) for action in actions]

    @functools.cache  # it depends on which Denies apply, and on nothing else
    def left(which: int) -> Box | None:
        return shrink(box, [deny for at, deny in enumerate(denies) if which >> at & 1])

    found: dict[Finding, dict[Principal, list[Action]]] = {}
    for principal in _principals(statement):
        meant = _bits(deny.means(principal) for deny in denies)
        for action, bits in zip(actions, concerned, strict=True):
            for finding in _findings(left(meant & bits), action, released):
                found.setdefault(finding, {}).setdefault(principal, []).append(action)
    for (kind, details), who in found.items():
        for actions_of, principals in _together(who).items():
            yield Path(kind, statement, tuple(principals), actions_of, details)


def _together(
    who: Mapping[Principal, Sequence[Action]],
) -> dict[tuple[Action, ...], list[Principal]]:
    """Principals by what they may do."""
    found: dict[tuple[Action, ...], list[Principal]] = {}
    for principal, actions in who.items():
        found.setdefault(tuple(actions), []).append(principal)
    return found


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << at for at, flag in enumerate(flags) if flag)


def _box(statement: Statement) -> Box | None:
    """What registers may be for an Allow to apply; None if it never does."""
    box: dict[str, Reach] = {}
    for condition in statement.conditions:
        if (register := register_of(condition.key)) is not None:
            box[register] = box.get(register, ANYTHING).both(most(condition))
    return None if any(reach.empty for reach in box.values()) else box


def _principals(statement: Statement) -> tuple[Principal, ...]:
    return (_ANYBODY,) if statement.not_principals else statement.principals


def _actions(statement: Statement) -> list[Action]:
    """Whatever an Allow may be about; one without Action may be about all."""
    patterns = statement.actions
    if patterns is None:
        return list(ACTIONS)
    if statement.not_actions:
        return [
            one for one in ACTIONS if not any(surely_matches(p, one) for p in patterns)
        ]
    found = [one for one in ACTIONS if any(may_match(p, one) for p in patterns)]
    odd = [one for one in map(strange, patterns) if one is not None]
    return list(dict.fromkeys(found + odd))


def _findings(box: Box | None, action: Action, released: Released) -> Sequence[Finding]:
    """What an action is, for whoever may do it with the registers of a box."""
    if box is None:
        return ()
    problems = _problems(box, released)
    if action.use == "write":
        return [("write", ())] if problems else ()
    if not problems:
        return [("admitted", ())] if action.use == "plaintext" else ()
    if action.use == "rules":
        return [("rules", ())]
    return [("unknown-action", ())] if action.use == "unknown" else problems


def _problems(box: Box, released: Released) -> list[Finding]:
    """In which ways a box is more than released measurements, of one kind or the other.

    Whatever has an attestation of either kind that will do is let through rightly, so
    that what is told of are the problems of the kind that the box is about.
    """
    machine = {name: one for name, one in box.items() if name.startswith(MACHINE)}
    enclave = {name: one for name, one in box.items() if name not in machine}
    found: list[list[Finding]] = []
    if released.registers:
        found.append(_of_enclaves(enclave, released))
    if released.machines:
        found.append(of_machines(machine, released.machines))
    if not all(found):
        return []
    return found[-1] if machine and not enclave else found[0]


def of_machines(box: Box, builds: Sequence[Mapping[str, str]]) -> list[Finding]:
    """In which ways a box is more than released builds of instances.

    Args:
        box: of registers of instances alone.
        builds: at least one; what each has to have.
    """
    if all(reach.absent for reach in box.values()):
        return [("no-attestation", ())]
    first = box.get(OF_MACHINES[0], ANYTHING)
    if first.but or first.absent:
        return [("any-code", tuple(sorted(box)))]
    names = list(dict.fromkeys(name for build in builds for name in build))
    fixed = {name: box[name].of for name in names if name in box and _fixes(box[name])}
    loose = [name for name in OF_MACHINES if name not in fixed]
    other = [
        f"{name}={value}"
        for name, values in fixed.items()
        for value in sorted(values - {build.get(name) for build in builds})
    ]
    found: list[Finding] = [("other-measurement", tuple(other))] if other else []
    if loose:
        return [*found, ("boot", tuple(loose))]
    return found or _together_released(fixed, builds)


def _fixes(reach: Reach) -> bool:
    return not (reach.but or reach.absent)


def _together_released(
    fixed: Mapping[str, frozenset[str]], builds: Sequence[Mapping[str, str]]
) -> list[Finding]:
    """Values that are each some build's: the first of them that no build has together.

    It ends soon: what comes before the first are no more than there are builds, times
    the values of what only some of them name.
    """
    for values in itertools.product(*map(sorted, fixed.values())):
        one = dict(zip(fixed, values, strict=True))
        near = [
            build
            for build in builds
            if all(build.get(name, value) == value for name, value in one.items())
        ]
        if not near:
            told = tuple(f"{name}={value}" for name, value in one.items())
            return [("mixture", told)]
        if all(build.keys() - one.keys() for build in near):
            return [("boot", (_SECURE_BOOT,))]
    return []


def _of_enclaves(box: Box, released: Released) -> list[Finding]:
    """In which ways a box is more than released enclaves."""
    if all(reach.absent for reach in box.values()):
        return [("no-attestation", ())]
    first = box.get("PCR0", ANYTHING)
    if first.but or first.absent:
        return [("any-code", tuple(sorted(box)))]
    zero, other, loose = [], [], []
    for name, known in released.registers.items():
        reach = box.get(name, ANYTHING)
        if reach.but or reach.absent:
            loose.append(name)
            continue
        unknown = [f"{name}={value}" for value in sorted(reach.of - known)]
        zero += [one for one in unknown if is_zero(one.replace("=", ":"))]
        other += [one for one in unknown if not is_zero(one.replace("=", ":"))]
    found: list[Finding] = []
    for kind, details in (
        ("debug", zero),
        ("other-measurement", other),
        ("sections", loose),
    ):
        if details:
            found.append((cast("Kind", kind), tuple(details)))
    return found


def _split(
    paths: Sequence[Path], administrators: Sequence[str]
) -> tuple[list[Path], list[Path]]:
    """Paths of administrators, and of others."""
    trusted = [Principal("AWS", name) for name in administrators]
    accounts = {one.account for one in trusted if one.whole_account}
    sides: tuple[list[Path], list[Path]] = ([], [])
    for path in paths:
        theirs = {
            one
            for one in path.principals
            if one in trusted or (one.whole_account and one.account in accounts)
        }
        for side, chosen in zip(sides, (True, False), strict=True):
            who = tuple(one for one in path.principals if (one in theirs) is chosen)
            if who:
                side.append(structs.replace(path, principals=who))
    return sides
