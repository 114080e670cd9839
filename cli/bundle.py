"""`pcrlog bundle`: fetch what verifying offline needs, in one file.

A provider staples it beside the attestation document; a client that never asks the log
tells it nothing. It is fit for use as long as the policy's `max_age` says.
"""

import click
from msgspec import Struct

from cli import files
from cli.logs import measurements_of, reach
from cli.measurements import wanted
from cli.options import (
    LogOptions,
    json_option,
    measured_options,
    read_options,
    takes,
)
from cli.output import GOOD, Row, fact, following
from cli.session import Session
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError, UsageError
from pcrlog.measurement import parse_measurement
from pcrlog.seal import Seal


class _Bundle(LogOptions, frozen=True, kw_only=True):
    product: str
    measurement: str | None
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    output: str
    force: bool


class Fetched(Struct, frozen=True):
    """A bundle written to a file."""

    file: str
    bytes: int
    log: str
    size: int
    time: int
    answers: int
    entries: int


@click.command("bundle")
@read_options
@click.option("--product", required=True, help="What it is about.")
@click.option(
    "--measurement", metavar="PLATFORM/M", help="Such as aws-nitro/PCR0=sha384:HEX."
)
@measured_options
@click.option("-o", "--output", metavar="FILE", required=True, help="Where to write.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@json_option
@takes(_Bundle)
def bundle_command(session: Session, options: _Bundle) -> None:
    """Fetch what verifying offline needs, in one file.

    The checkpoint, its quorums and its freshness are checked before it is written.
    """
    if options.policy is None:
        message = "a bundle is checked before it is written: --policy FILE"
        raise UsageError(message)
    wanted = _measurements(options)
    access = reach(session, options)
    with session.output.progress(f"asking {access.source.url}"):
        data = access.fetch(options.product, wanted)
    files.write_new(options.output, data, force=options.force)
    bundle = Bundle.parse(data)
    seal = Seal.parse(bundle.seal)
    shown = Fetched(
        options.output,
        len(data),
        access.origin,
        seal.count + 1,
        seal.time,
        len(bundle.answers),
        len(bundle.entries),
    )
    told = f"{shown.answers} answers and {shown.entries} entries, {shown.bytes} bytes"
    session.output.result(
        shown,
        [
            Row((("wrote: ", GOOD),), f"{options.output}: {told}"),
            fact("log", f"{access.origin}, {shown.size} entries"),
            fact("sealed", format_time(seal.time)),
            following(
                f"pcrlog verify --bundle {options.output} --product"
                f" {options.product} --url URL"
            ),
        ],
    )


def _measurements(options: _Bundle) -> list[str]:
    if options.measurement is None:
        return measurements_of(wanted(options))
    if options.measurements or options.pcrs or options.artifact:
        message = "--measurement says it all: leave out what else gives registers"
        raise UsageError(message)
    try:
        platform, measurement = parse_measurement(options.measurement)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    return [f"{platform}/{measurement}"]
