"""`pcrlog staple`: keeps a fresh bundle beside an attestation endpoint.

For whoever runs an enclave: clients take the bundle from the folder that a web server
hands out, and need not tell the log whom they talk to. As a small daemon it renews the
bundle every few minutes until SIGTERM; with `--once` it does so once, for cron. When
the log does not answer, or not truly, the last good bundle stays, the health file says
what is wrong, and the next rounds come later and later. staple_round.py has what a
round does, staple_folder.py what lies there.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from cli.logs import reach
from cli.measurements import measured
from cli.options import (
    LogOptions,
    duration,
    json_option,
    load_policy,
    measured_options,
    read_options,
    takes,
)
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, fact
from cli.session import Session
from cli.staple_folder import WELL_KNOWN, Folder, Health
from cli.staple_round import Round
from cli.state import State
from cli.well_known import WellKnown, host_of
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UsageError,
    VerificationError,
)

_LONGEST = 3600
"""Seconds between rounds, at most, while they fail (unless `--every` is longer)."""
_DIGITS = 24
"""Characters of a register, for people."""


class _Staple(LogOptions, frozen=True, kw_only=True):
    product: str
    out: str
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    newest: int
    once: bool
    every: str
    attestation: str | None
    bundle_url: str | None


class _EndedError(BaseException):
    """SIGTERM or SIGINT: whatever is going on is left; no file is left half written."""


@click.command("staple")
@click.option(
    "--follow",
    "product",
    metavar="NAME/PRODUCT",
    required=True,
    help="What runs behind the endpoint.",
)
@click.option("--out", metavar="DIR", required=True, help="The folder to keep.")
@read_options
@measured_options
@click.option(
    "--newest",
    metavar="N",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Without registers: so many releases of the product, blue and green.",
)
@click.option("--once", is_flag=True, help="One round, and end: for cron.")
@click.option(
    "--every",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="How often the log is asked.",
)
@click.option(
    "--attestation",
    metavar="URL",
    help="Where the enclave answers: also write DIR/.well-known/pcrlog.",
)
@click.option(
    "--bundle-url",
    metavar="URL",
    help="Where DIR's bundle is served; on the root of that host if left out.",
)
@json_option
@takes(_Staple)
def staple_command(session: Session, options: _Staple) -> int:
    """Keep a fresh bundle beside an attestation endpoint.

    A bundle that cannot be verified is never written. Exit status with --once: 0 a
    fresh bundle is there and the policy accepts what it is about, 3 the log could not
    be asked, 4 its answer was false, or the policy does not accept what runs there.
    """
    policy = load_policy(options.policy)
    policy.product(options.product)
    every = duration(options.every, option="--every")
    if every == 0:
        message = "--every: expected a duration of a second or more"
        raise UsageError(message)
    measured(options)
    folder = Folder(Path(options.out), options.product)
    _well_known(options, folder, ["log.example"])
    with folder.kept():
        if options.once:
            return _once(session, options, folder)
        _keep_on(session, options, folder, every)
    return 0


def _once(session: Session, options: _Staple, folder: Folder) -> int:
    """One round; the exit status."""
    try:
        health = _round(session, options, folder)
    except PcrlogError as error:
        _show(session, folder.tell_failure(error, session.now), folder)
        return error.exit_code
    _show(session, health, folder)
    return 0 if health.accepted else VerificationError.exit_code


def _keep_on(session: Session, options: _Staple, folder: Folder, every: int) -> None:
    """Rounds until the end; what changed is told."""
    told: tuple[object, ...] = ()
    with _ended():
        while True:
            try:
                health = _round(session, options, folder)
            except PcrlogError as error:
                health = folder.tell_failure(error, session.now)
            news = (health.renewed, health.condition, health.problems)
            if news != told:
                _show(session, health, folder)
            told = news
            longest = max(every, _LONGEST)
            time.sleep(min(every * 2 ** min(health.failures, 16), longest))


@contextmanager
def _ended() -> Iterator[None]:
    """SIGTERM and SIGINT end what is done here, in order."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise _EndedError

    before = [(n, signal.signal(n, end)) for n in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    except _EndedError:
        pass
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _round(session: Session, options: _Staple, folder: Folder) -> Health:
    """One round, by the policy and the registers as they are now."""
    access = reach(session, options)
    registers = measured(options) or None
    with session.output.progress(f"asking {access.source.url}"):
        one = Round(access, folder, State(session.state_directory), session.now)
        health = one.run(registers, options.newest)
    _well_known(options, folder, [access.origin], write=True)
    return health


def _well_known(
    options: _Staple, folder: Folder, logs: list[str], *, write: bool = False
) -> None:
    """Check the URLs of the well-known file, and write it if there is one to write.

    Raises:
        UsageError: they are no URLs that it may hold.
    """
    if options.attestation is None:
        if options.bundle_url is not None:
            message = "--bundle-url goes with --attestation"
            raise UsageError(message)
        return
    host = host_of(options.attestation)
    root, _, _ = options.attestation.removeprefix("https://").partition("/")
    said = WellKnown(
        format="pcrlog-well-known/v1",
        product=options.product,
        attestation=options.attestation,
        bundle=options.bundle_url or f"https://{root}/{folder.name}",
        logs=tuple(logs),
    )
    data = said.encode()
    try:
        WellKnown.parse(data, host)
    except MalformedError as error:
        message = f"--attestation, --bundle-url: {error}"
        raise UsageError(message) from error
    if write:
        folder.write(WELL_KNOWN, data)


def _show(session: Session, health: Health, folder: Folder) -> None:
    session.output.result(health, _rows(health, folder))


def _rows(health: Health, folder: Folder) -> Iterator[Row]:
    """A health file, for people."""
    style = {"fresh": GOOD, "failing": WARN, "stale": BAD}[health.condition]
    path = folder.directory / folder.name
    lead = ((f"{health.condition}: ", style),)
    if health.renewed is None:
        yield Row(lead, f"there is no bundle of {health.product} yet", STRONG)
    else:
        words = f"{path}, renewed {health.renewed}, {health.bytes} bytes"
        yield Row(lead, words, STRONG)
        yield fact("log", f"{health.log}, {health.size} entries")
        yield fact("sealed", f"{health.sealed}; good until {health.fresh_until}")
    for problem in health.problems:
        yield Row((("problem: ", BAD),), problem, hang=2)
    for one in health.releases:
        word = "accepts" if one.accepted else "does not accept"
        [(name, digest), *_] = one.registers.items()
        version = one.version or f"{name}={digest[:_DIGITS]}…"
        yield Row((("  ", DIM),), f"the policy {word} {version}")
        for missing in one.missing:
            yield Row((("    ", DIM),), missing, DIM)
