"""`pcrlog ready`: would a policy accept these registers, before anything runs on them?

For whoever rolls out: everything but the document is checked as `verify` will check it,
and what is missing is named, with who would have to do it. `--wait` asks again until it
is there, or until waiting is in vain: registers that were revoked as compromised or
vulnerable never will be.
"""

import math
import time
from collections.abc import Iterator

import click

from cli.ladder import check_row, ladder, told_of
from cli.logs import Access, measurements_of, reach
from cli.looking import look
from cli.measurements import wanted_build
from cli.options import (
    LogOptions,
    duration,
    json_option,
    log_options,
    measured_options,
    takes,
)
from cli.output import BAD, GOOD, STRONG, Row, blank
from cli.readiness import Ready, judge
from cli.session import Session
from pcrlog.errors import UncheckedError, UsageError
from pcrlog.measurement import Registers
from pcrlog.published import Build
from pcrlog.verification import foresee

_PAUSE = 10
"""Seconds between two questions to the log."""
_EVER = "ever"
"""`--wait` without a duration."""
_OF_LINKS = ("audits.quorum", "components", "controls")
"""Checks that say again what the missing links say better."""


class _Ready(LogOptions, frozen=True, kw_only=True):
    product: str
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    wait: str


@click.command("ready")
@log_options
@click.option("--product", required=True, help="What it is meant to be.")
@measured_options
@click.option(
    "--wait",
    metavar="[DURATION]",
    is_flag=False,
    flag_value=_EVER,
    default="0s",
    help="Ask again until it would, for so long at most: 2h, or seconds.",
)
@json_option
@takes(_Ready)
def ready_command(session: Session, options: _Ready) -> int:
    """Would this policy accept these registers now?

    Exit status: 0 it would, 3 could not check, 4 it would not: what is missing is
    named, with who would have to do it. With --wait, 3 and 4 are what it came to when
    the time was over.
    """
    if options.policy is None:
        message = "which policy? --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    build = wanted_build(options)
    registers = build.registers
    begun = time.monotonic()
    ends = begun + _patience(options.wait)
    while True:
        access = reach(session, options)
        access.rules.product(options.product)
        found = _ask(session, access, options.product, build, ends=ends)
        rest = ends - time.monotonic()
        if found is not None and (
            found.ready
            or rest <= 0
            or _in_vain(access, found, registers, now=session.now)
        ):
            session.output.result(found, _rows(found))
            return found.exit_code
        missing = (
            found.missing if found and found.missing else ("an answer of the log",)
        )
        waited = f"{(time.monotonic() - begun) // 60:.0f}m"
        with session.output.progress(f"waiting ({waited}) for {missing[0]}"):
            time.sleep(max(min(_PAUSE, rest), 0))


def _patience(text: str) -> float:
    """Seconds: of a duration, or a number of them, or without end."""
    if text == _EVER:
        return math.inf
    seconds = f"{text}s" if text.isascii() and text.isdigit() else text
    return duration(seconds, option="--wait")


def _in_vain(access: Access, found: Ready, registers: Registers, *, now: int) -> bool:
    """Whether these registers are revoked for good.

    Other refusals can end: a fail is lifted, a conflict settled, a release renewed.
    """
    if not any(check.id == "release.valid" for check in found.checks):
        return False
    try:
        said = look(access, found.product, registers, now)
    except UncheckedError:
        return False
    return said.condemned is not None


def _ask(
    session: Session, access: Access, product: str, build: Build, *, ends: float
) -> Ready | None:
    """What the log says now; None if it does not, and there is time to ask again."""
    try:
        with session.output.progress(f"asking {access.client.url}"):
            data = access.fetch(product, measurements_of(build.registers))
    except UncheckedError:
        if time.monotonic() >= ends:
            raise
        return None
    report = foresee(
        build.registers,
        data,
        access.rules,
        product=product,
        platform=build.platform,
        now=session.now,
        numbers=build.numbers or None,
    )
    return judge(report, access.rules.product(product).links)


def _rows(found: Ready) -> Iterator[Row]:
    if found.ready:
        words = f"this policy would accept {found.product} {found.version}"
        yield Row((("READY: ", GOOD),), words, STRONG, hang=2)
    else:
        words = f"this policy would not accept these registers as {found.product}"
        yield Row((("NOT READY: ", BAD),), words, STRONG, hang=2)
    yield blank()
    yield from ladder(found.links, found.components)
    if found.ready:
        return
    yield blank()
    told = [c for c in found.checks if not (found.missing and c.id in _OF_LINKS)]
    yield from (check_row(check) for check in told_of(told))
    for missing in found.missing:
        link, _, what = missing.partition(": ")
        yield Row(((f"missing, {link}: ", STRONG),), what, hang=2)
