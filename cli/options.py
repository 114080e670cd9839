"""What commands have in common: the session, and options that mean the same everywhere.

`--policy FILE` (else PCRLOG_POLICY), `--log URL`, `--key URI`, `--as NAME`, `--json`,
`--output FILE` and the two ways to give registers are spelt once, here (DESIGN.md
section 4).
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import click
import msgspec
from msgspec import Struct

from cli import files
from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import format_time, parse_time
from pcrlog.errors import MalformedError, UsageError
from pcrlog.policy import Policy, parse_duration

F = TypeVar("F", bound=Callable[..., object])
OptionsT = TypeVar("OptionsT")
R = TypeVar("R")


class LogOptions(Struct, frozen=True, kw_only=True):
    """What `log_options` take, and `mirror` of `read_options`."""

    policy: str | None = None
    log: str | None = None
    mirror: str | None = None


class SpeakOptions(LogOptions, frozen=True, kw_only=True):
    """What `speak_options` take; `name` is that of `--as`."""

    key: str | None = None
    name: str | None = None
    output: str | None = None
    wait: str = "60s"


def takes(
    kind: type[OptionsT],
) -> Callable[[Callable[[Session, OptionsT], R]], Callable[..., R]]:
    """Hand a command its session, and its options and arguments as one record."""

    def decorate(function: Callable[[Session, OptionsT], R]) -> Callable[..., R]:
        @functools.wraps(function)
        def call(**options: object) -> R:
            session = click.get_current_context().find_object(Session)
            if session is None:
                message = "a command is called by cli.main, which makes the session"
                raise RuntimeError(message)
            return function(session, msgspec.convert(options, kind))

        return call

    return decorate


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it
    if value:
        ctx.find_object(Session).output.json = True  # type: ignore[union-attr] # main made it


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_json,
    help="Print the result as JSON, for programs.",
)
policy_option = click.option(
    "--policy",
    metavar="FILE",
    envvar="PCRLOG_POLICY",
    help="What you demand, and of which log; else PCRLOG_POLICY.",
)
log_option = click.option(
    "--log",
    metavar="URL",
    help="Which log: one of the policy's; without a policy, trusted for nothing.",
)
key_option = click.option(
    "--key",
    metavar="URI",
    help="What signs: a file, exec:PUBLIC:COMMAND, awskms:, gcpkms:, hsm: or hv:.",
)
as_option = click.option(
    "--as",
    "name",
    metavar="NAME",
    help="The identity that speaks; found by its key if left out.",
)
name_option = click.option(
    "--name",
    "--as",
    "name",
    metavar="NAME",
    help="Whose key it is; found by the key among the policy's names if left out.",
)
output_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the statement there, unsigned, and stop: sign it with `pcrlog sign`.",
)
wait_option = click.option(
    "--wait",
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long to wait for the log's decision.",
)


def both(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several decorators as one; the first stands first in `--help`."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


log_options = both(policy_option, log_option)
"""For whatever asks a log."""
mirror_option = click.option(
    "--mirror",
    metavar="DIR",
    help="Ask this copy of a log (pcrlog mirror) instead: no server, no network.",
)
read_options = both(policy_option, log_option, mirror_option)
"""For whatever asks a log or a mirror of it."""
speak_options = both(key_option, as_option, log_options, output_option, wait_option)
"""For whatever makes a statement."""
own_options = both(key_option, name_option, log_options, output_option, wait_option)
"""For whatever a name says of itself."""
measured_options = both(
    click.option(
        "--measurements",
        metavar="FILE",
        help="Registers, in any form in which builds print them; or the image.",
    ),
    click.option(
        "--pcr",
        "--register",
        "pcrs",
        metavar="N=HEX",
        multiple=True,
        help="A register, by number or name (MRENCLAVE=HEX); once for each.",
    ),
    click.option(
        "--artifact",
        metavar="FILE|sha256:HEX",
        help="Instead of registers: a file that is part of images.",
    ),
)
"""For whatever needs registers."""


def load_policy(path: str | None) -> Policy:
    """The policy.

    Raises:
        UsageError: none is named, or it is not one.
    """
    if path is None:
        message = (
            "no policy: --policy FILE or PCRLOG_POLICY. Make one:"
            " pcrlog-server policy DIR --url URL -o policy.toml"
        )
        raise UsageError(message)
    return Policy.parse(files.read(path, limits.POLICY))


def moment(text: str | None, now: int, *, option: str) -> str | None:
    """A time as statements spell it: given so, or as a duration from now.

    Raises:
        UsageError: neither.
    """
    if text is None:
        return None
    try:
        return format_time(parse_time(text))
    except MalformedError:
        pass
    try:
        return format_time(now + parse_duration(text))
    except MalformedError as error:
        message = f"{option}: expected 2026-11-23T07:00:00Z or, from now, 90d: {text!r}"
        raise UsageError(message) from error


def duration(text: str, *, option: str) -> int:
    """Seconds of a duration.

    Raises:
        UsageError: it is none.
    """
    try:
        return parse_duration(text)
    except MalformedError as error:
        message = f"{option}: {error}"
        raise UsageError(message) from error


def age(seconds: int) -> str:
    """A length of time in one number, as people say it: `3d`."""
    for unit, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"
