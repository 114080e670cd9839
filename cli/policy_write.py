"""`pcrlog policy write`: a policy to cite by its digest, as policy_levels.py has it."""

import click
from msgspec import Struct, structs

from cli import files
from cli.options import json_option, takes
from cli.output import GOOD, Row, fact, following
from cli.policy_edit import Demands
from cli.policy_levels import LEVELS, facts_of, write
from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import parse_time, sha256
from pcrlog.errors import MalformedError, UsageError
from pcrlog.policy import Policy


class _Write(Struct, frozen=True, kw_only=True):
    level: str
    known: str
    product: str
    log: str | None
    auditors: tuple[str, ...]
    pins: tuple[str, ...]
    lowest_version: str | None
    valid_until: str | None
    output: str


class Written(Struct, frozen=True):
    """A policy of a level: `level`, `product`, and the digest to cite it by."""

    file: str
    level: str
    product: str
    sha256: str


@click.command("write")
@click.argument("level", type=click.Choice(LEVELS))
@click.argument("known", metavar="FILE")
@click.argument("product")
@click.option("--log", metavar="URL", help="Which log in FILE, if of several.")
@click.option(
    "--auditor",
    "auditors",
    metavar="NAME:SCOPE,…",
    multiple=True,
    help="An auditor that counts, and for what.",
)
@click.option(
    "--pin",
    "pins",
    metavar="NAME=KEYID",
    multiple=True,
    help="Trust this key of a name, and what it adds.",
)
@click.option("--lowest-version", metavar="V", help="Refuse what is older.")
@click.option("--valid-until", metavar="TIME", help="Instead of that of FILE.")
@click.option("-o", "--output", metavar="FILE", required=True, help="Where to write.")
@json_option
@takes(_Write)
def write_policy(session: Session, options: _Write) -> None:
    """Write the policy basic, reviewed or strict of PRODUCT, to cite by its digest.

    FILE is a policy that knows the log, its witnesses and platforms. The same facts
    give the same bytes, whoever writes them.
    """
    from cli.logs import choose

    policy = Policy.parse(files.read(options.known, limits.POLICY))
    log = choose(policy, options.log)
    facts = facts_of(policy, log, options.product, _demands(options))
    if options.valid_until is not None:
        facts = structs.replace(facts, valid_until=_time(options.valid_until))
    text = write(options.level, facts, session.now)
    files.write_new(options.output, text)
    digest = sha256(text).hex()
    session.output.result(
        Written(options.output, options.level, options.product, digest),
        [
            Row((("written: ", GOOD),), f"{options.output}, {options.level}"),
            fact("sha256", digest),
            following(f"pcrlog policy explain {options.output}"),
        ],
    )


def _demands(options: _Write) -> Demands:
    return Demands(
        auditors=options.auditors,
        counts=(),
        links=None,
        lowest_version=options.lowest_version,
        pins=options.pins,
        channel=None,
        open_findings=None,
        components=None,
        platforms=(),
    )


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except MalformedError as error:
        message = f"--valid-until: {error}"
        raise UsageError(message) from error
