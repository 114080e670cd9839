"""`pcrlog controls`: does a key policy of AWS KMS demand the attestation (link 7)?

`check` reads a key policy and names every way past the released measurements; `render`
prints the condition that lets them through and nothing else. What is released, the log
is asked for (`--product`), or it is given by hand. docs/controls.md says what neither
can see.
"""

from collections.abc import Sequence

import click
from msgspec import Struct

from cli import files
from cli.controls_text import checked_of, rows_of
from cli.logs import reach
from cli.options import LogOptions, both, json_option, read_options, takes
from cli.output import Row
from cli.released import PLATFORM, Standing, standing
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
    registers = _released(session, options, pcr0_alone=options.pcr0_alone)[0]
    judgement = check_key_policy(
        policy,
        Released.of(registers, pcr0_alone=options.pcr0_alone),
        options.administrators,
    )
    checked = checked_of(policy, judgement, registers, pcr0_alone=options.pcr0_alone)
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
@json_option
@takes(_Render)
def render_command(session: Session, options: _Render) -> None:
    """Print the condition that lets released measurements through.

    All releases of a product that the policy accepts now stand in it, side by side.
    """
    from workbench.kms_policy_render import as_json, condition_for, denials, terraform

    registers, told = _released(session, options, pcr0_alone=False)
    block = condition_for(registers)
    accepted = tuple(one.version for one in told if one.accepted)
    left_out = {
        f"{one.version} (entry {one.index})": one.why
        for one in told
        if not one.accepted
    }
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


def _released(
    session: Session, options: _Released, *, pcr0_alone: bool
) -> tuple[list[Registers], list[Standing]]:
    """The registers of each released measurement; and what the log was asked about."""
    required = ("PCR0",) if pcr0_alone else None
    found: list[Registers] = [_measurement(m, required) for m in options.measurement]
    for name in options.measurements:
        found += _builds(name)
    told: list[Standing] = []
    if options.product is not None:
        told = standing(session, reach(session, options), options.product)
        found += [one.registers for one in told if one.accepted]
        if not found:
            reasons = "; ".join(f"{one.version}: {one.why}" for one in told[:3])
            message = (
                f"no release of {options.product} is accepted now ({reasons or 0})"
            )
            raise VerificationError(message)
    if not found:
        message = (
            "which measurements are released? --product NAME with --policy FILE, or"
            " --measurements build.json"
        )
        raise UsageError(message)
    return found, told


def _measurement(text: str, required: Sequence[str] | None) -> Registers:
    try:
        platform, measurement = parse_measurement(text)
        registers = registers_in(measurement)
        if platform == PLATFORM:
            check_registers(PLATFORMS[PLATFORM], registers, required)
    except MalformedError as error:
        message = f"--measurement: {error}"
        raise UsageError(message) from error
    _check_platform(platform)
    return registers


def _builds(name: str) -> list[Registers]:
    try:
        builds = parse_builds(files.read(name, MOST))
    except MalformedError as error:
        message = f"{name}: {error}"
        raise UsageError(message) from error
    for platform, _ in builds:
        _check_platform(platform)
    return [registers for _, registers in builds]


def _check_platform(platform: str) -> None:
    if platform != PLATFORM:
        message = f"KMS knows attestations of {PLATFORM}, got {platform}"
        raise UsageError(message)
