"""`pcrlog controls`: does a key policy of AWS KMS demand the attestation (link 7)?

`check` reads a key policy and names every way past the released measurements; `render`
prints the condition that lets them through and nothing else. What is released, the log
is asked for (`--product`), or it is given by hand. KMS takes attestations of enclaves
(aws-nitro) and of instances (aws-nitrotpm), and of nobody else. docs/controls.md says
what neither command can see.
"""

from collections.abc import Sequence

import click
from msgspec import Struct

from cli import files
from cli.controls_text import checked_of, rows_of
from cli.logs import reach
from cli.options import LogOptions, both, json_option, read_options, takes
from cli.output import Row
from cli.released import Standing, standing
from cli.session import Session
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.measurement import (
    PLATFORMS,
    Registers,
    check_registers,
    parse_measurement,
    registers_in,
)
from pcrlog.published import MOST, parse_builds

ENCLAVES, MACHINES = "aws-nitro", "aws-nitrotpm"
_KNOWN = (ENCLAVES, MACHINES)


class _Released(LogOptions, frozen=True, kw_only=True):
    product: str | None
    measurement: tuple[str, ...]
    measurements: tuple[str, ...]


class _Check(_Released, frozen=True, kw_only=True):
    file: str
    administrators: tuple[str, ...]
    pcr0_alone: bool


class _Render(_Released, frozen=True, kw_only=True):
    form: str
    platform: str | None


class _Found(Struct, frozen=True):
    """Registers that are released, and the releases that the log was asked about."""

    registers: dict[str, list[Registers]]
    told: list[Standing]

    @property
    def all(self) -> list[Registers]:
        """Those of enclaves, then those of instances."""
        return [one for name in _KNOWN for one in self.registers[name]]


class Rendered(Struct, frozen=True):
    """The condition block, and the releases that it is for; `left_out` with reasons.

    `deny` are statements that close a key to all else, whoever asks.
    """

    condition: dict[str, dict[str, list[str]]]
    terraform: str
    deny: tuple[dict[str, object], ...]
    released: tuple[dict[str, str], ...]
    versions: tuple[str, ...]
    left_out: dict[str, str]


_released_options = both(
    read_options,
    click.option(
        "--measurement",
        metavar="PLATFORM/M",
        multiple=True,
        help="A released measurement: aws-nitro/PCR0=…,PCR1=…,PCR2=…",
    ),
    click.option(
        "--measurements",
        metavar="FILE",
        multiple=True,
        help="Registers of released builds, in any form that builds print.",
    ),
    click.option(
        "--product", help="Ask the log which releases of it are accepted now."
    ),
)


@click.group("controls")
def controls_command() -> None:
    """Does what hands over secrets demand this attestation?"""


@controls_command.command("check")
@click.argument("file", metavar="POLICY.json")
@_released_options
@click.option(
    "--administrator",
    "administrators",
    metavar="ARN",
    multiple=True,
    help="Who is meant to change the policy, spelled as in it.",
)
@click.option(
    "--pcr0-alone", is_flag=True, help="Take a condition on PCR0 alone for a pin."
)
@json_option
@takes(_Check)
def check_command(session: Session, options: _Check) -> int:
    """Can anything use the key without a released measurement?

    Exit status: 0 nothing can, as far as a key policy shows; 4 something can, or the
    file is not a key policy; 3 the log could not be asked.
    """
    from workbench.kms_policy import MOST as LARGEST
    from workbench.kms_policy import parse_key_policy
    from workbench.kms_policy_check import Released, check_key_policy

    policy = parse_key_policy(files.read(options.file, LARGEST))
    found = _released(session, options, pcr0_alone=options.pcr0_alone)
    judgement = check_key_policy(
        policy,
        Released.of(
            found.registers[ENCLAVES],
            pcr0_alone=options.pcr0_alone,
            machines=found.registers[MACHINES],
        ),
        options.administrators,
    )
    checked = checked_of(policy, judgement, found.all, pcr0_alone=options.pcr0_alone)
    for one in found.told:
        if one.accepted and one.platform not in _KNOWN and not session.output.json:
            session.output.remark(f"{one.version}: {_not_here(one.platform)}")
    session.output.result(checked, rows_of(checked, options.file))
    return 0 if checked.closed else VerificationError.exit_code


@controls_command.command("render")
@_released_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "terraform", "deny"]),
    default="json",
    show_default=True,
    help="As in a policy, as in Terraform, or as statements that deny all else.",
)
@click.option(
    "--platform",
    type=click.Choice(_KNOWN),
    help="For these releases, if there are releases of both.",
)
@json_option
@takes(_Render)
def render_command(session: Session, options: _Render) -> None:
    """Print the condition that lets released measurements through.

    All releases of a product that the policy accepts now stand in it, side by side.
    """
    from workbench.kms_policy_render import (
        as_json,
        condition_for,
        condition_for_machines,
        denials,
        terraform,
    )

    found = _released(session, options, pcr0_alone=False)
    platform = _one_of(found, options.platform)
    registers = found.registers[platform]
    make = condition_for if platform == ENCLAVES else condition_for_machines
    block = make(registers)
    left_out = _left_out(found.told, (platform,))
    accepted = tuple(
        one.version for one in found.told if one.accepted and one.platform == platform
    )
    rendered = Rendered(
        block,
        terraform(block),
        denials(block),
        tuple(map(dict, registers)),
        accepted,
        left_out,
    )
    if not session.output.json:
        for version, why in left_out.items():
            session.output.remark(f"left out: {version}: {why}")
        if accepted:
            session.output.remark(f"for {options.product} {', '.join(accepted)}")
    forms = {
        "json": as_json({"Condition": block}),
        "terraform": rendered.terraform,
        "deny": as_json(rendered.deny),
    }
    lines = forms[options.form].rstrip("\n").split("\n")
    session.output.result(rendered, (Row((), line, whole=True) for line in lines))


# --- what is released ----------------------------------------------------------------


def _released(session: Session, options: _Released, *, pcr0_alone: bool) -> _Found:
    """The registers of each released measurement; and what the log was asked about."""
    required = ("PCR0",) if pcr0_alone else None
    given = [_measurement(m, required) for m in options.measurement]
    for name in options.measurements:
        given += _builds(name)
    told: list[Standing] = []
    if options.product is not None:
        told = standing(session, reach(session, options), options.product)
        given += [
            (one.platform, one.registers)
            for one in told
            if one.accepted and one.platform in _KNOWN
        ]
        if not given:
            reasons = [f"{n}: {why}" for n, why in _left_out(told, _KNOWN).items()]
            message = (
                f"no release of {options.product} is accepted now, of those that KMS"
                f" takes an attestation of ({'; '.join(reasons[:3]) or 0})"
            )
            raise VerificationError(message)
    if not given:
        message = (
            "which measurements are released? --product NAME with --policy FILE, or"
            " --measurements build.json"
        )
        raise UsageError(message)
    by_platform = {
        name: [registers for platform, registers in given if platform == name]
        for name in _KNOWN
    }
    return _Found(by_platform, told)


def _left_out(told: Sequence[Standing], platforms: Sequence[str]) -> dict[str, str]:
    """Releases that are not used, and why: as a policy has it, or KMS."""
    return {
        f"{one.version} (entry {one.index})": one.why or _not_here(one.platform)
        for one in told
        if not one.accepted or one.platform not in platforms
    }


def _not_here(platform: str) -> str:
    if platform in _KNOWN:
        return f"it is on {platform}: a condition of its own"
    return f"AWS KMS takes no attestation of {platform}"


def _one_of(found: _Found, named: str | None) -> str:
    """The platform to print a condition for.

    Raises:
        UsageError: there are releases of both, or none of the one that is named.
    """
    there = [name for name in _KNOWN if found.registers[name]]
    if named is None and len(there) > 1:
        message = (
            f"one condition lets through releases of {' or '.join(there)}, not of both:"
            " --platform, and an Allow for each"
        )
        raise UsageError(message)
    if named is not None and named not in there:
        message = f"no release on {named}; there are some on {', '.join(there)}"
        raise UsageError(message)
    return named or there[0]


def _measurement(text: str, required: Sequence[str] | None) -> tuple[str, Registers]:
    try:
        platform, measurement = parse_measurement(text)
        registers = registers_in(measurement)
        if platform in _KNOWN:
            wanted = required if platform == ENCLAVES else None
            check_registers(PLATFORMS[platform], registers, wanted)
    except MalformedError as error:
        message = f"--measurement: {error}"
        raise UsageError(message) from error
    _check_platform(platform)
    return platform, registers


def _builds(name: str) -> list[tuple[str, Registers]]:
    try:
        builds = parse_builds(files.read(name, MOST))
    except MalformedError as error:
        message = f"{name}: {error}"
        raise UsageError(message) from error
    for one in builds:
        _check_platform(one.platform)
    return [(one.platform, one.registers) for one in builds]


def _check_platform(platform: str) -> None:
    if platform not in _KNOWN:
        message = f"KMS knows attestations of {' and '.join(_KNOWN)}, got {platform}"
        raise UsageError(message)
