"""`pcrlog ready`: would a policy accept these registers, before anything runs on them?

For whoever rolls out: everything but the document is checked as `verify` will check it,
and what is missing is named, with who would have to do it. `--wait` asks again until it
is there.
"""

import time
from collections.abc import Iterator

import click
from msgspec import Struct

from cli.ladder import check_row, link_row, told_of
from cli.logs import Access, measurements_of, platform_of, reach
from cli.measurements import wanted
from cli.options import (
    LogOptions,
    duration,
    json_option,
    log_options,
    measured_options,
    takes,
)
from cli.output import BAD, GOOD, STRONG, Row, blank
from cli.session import Session
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.measurement import Registers
from pcrlog.verification import Report, foresee
from pcrlog.verification.checks import Check
from pcrlog.verification.report import Link

_PAUSE = 10
"""Seconds between two questions to the log."""
_OF_A_RUN = ("document.", "channel", "policy.links")
"""Checks that only a running enclave can pass, or that sum up those that it can."""
_OF_LINKS = ("audits.quorum", "components", "controls")
"""Checks that say again what the missing links say better."""


class _Ready(LogOptions, frozen=True, kw_only=True):
    product: str
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    wait: str


class Ready(Struct, frozen=True):
    """Whether a policy would accept registers, and what is missing, from whom."""

    ready: bool
    product: str
    version: str | None
    links: tuple[Link, ...]
    missing: tuple[str, ...]
    checks: tuple[Check, ...]


@click.command("ready")
@log_options
@click.option("--product", required=True, help="What it is meant to be.")
@measured_options
@click.option(
    "--wait", metavar="DURATION", default="0s", help="Ask again for so long: 2h."
)
@json_option
@takes(_Ready)
def ready_command(session: Session, options: _Ready) -> int:
    """Would this policy accept these registers now?

    Exit status: 0 it would, 3 could not check, 4 it would not: what is missing is
    named, with who would have to do it.
    """
    if options.policy is None:
        message = "which policy? --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    registers = wanted(options)
    ends = time.monotonic() + duration(options.wait, option="--wait")
    while True:
        access = reach(session, options)
        access.rules.product(options.product)
        found = _ask(session, access, options.product, registers, ends=ends)
        rest = ends - time.monotonic()
        if found is not None and (found.ready or rest <= 0):
            session.output.result(found, _rows(found))
            return _status(found)
        missing = (
            found.missing if found and found.missing else ("an answer of the log",)
        )
        with session.output.progress(f"waiting for {missing[0]}"):
            time.sleep(max(min(_PAUSE, rest), 0))


def _ask(
    session: Session, access: Access, product: str, registers: Registers, *, ends: float
) -> Ready | None:
    """What the log says now; None if it does not, and there is time to ask again."""
    try:
        with session.output.progress(f"asking {access.client.url}"):
            data = access.fetch(product, measurements_of(registers))
    except UncheckedError:
        if time.monotonic() >= ends:
            raise
        return None
    report = foresee(
        registers,
        data,
        access.rules,
        product=product,
        platform=platform_of(registers),
        now=session.now,
    )
    return _judge(report, access.rules.product(product).links)


def _judge(report: Report, demanded: tuple[int, ...]) -> Ready:
    checks = tuple(
        check
        for check in report.checks
        if check.required
        and check.status != "pass"
        and not check.id.startswith(_OF_A_RUN)
    )
    lacking = [
        link
        for link in report.links[1:]
        if link.number in demanded and link.status != "proven"
    ]
    return Ready(
        not checks and not lacking,
        report.product,
        report.version,
        report.links[1:],
        tuple(f"link {link.number}: {link.next}" for link in lacking),
        checks,
    )


def _status(found: Ready) -> int:
    if found.ready:
        return 0
    unmade = [check.status == "unchecked" for check in found.checks]
    if unmade and all(unmade):
        return UncheckedError.exit_code
    return VerificationError.exit_code


def _rows(found: Ready) -> Iterator[Row]:
    if found.ready:
        words = f"this policy would accept {found.product} {found.version}"
        yield Row((("READY: ", GOOD),), words, STRONG, hang=2)
    else:
        words = f"this policy would not accept these registers as {found.product}"
        yield Row((("NOT READY: ", BAD),), words, STRONG, hang=2)
    yield blank()
    yield from (link_row(link) for link in found.links)
    if found.ready:
        return
    yield blank()
    told = [c for c in found.checks if not (found.missing and c.id in _OF_LINKS)]
    yield from (check_row(check) for check in told_of(told))
    for missing in found.missing:
        link, _, what = missing.partition(": ")
        yield Row(((f"missing, {link}: ", STRONG),), what, hang=2)
