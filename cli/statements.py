"""`pcrlog sign`, `submit`, `wait`: the steps after making a statement, one by one.

For keys that live on another machine than the network: make with `--output`, carry the
file over, `sign` with `--output`, carry it back, `submit`.
"""

import re

import click

from cli import files, signers
from cli.logs import reach
from cli.options import (
    LogOptions,
    duration,
    json_option,
    key_option,
    log_options,
    takes,
    wait_option,
)
from cli.session import Session
from cli.speaking import Plan, hand_in, prove_placed, sign, undecided, write
from pcrlog import limits
from pcrlog.envelope import Envelope
from pcrlog.errors import MalformedError, UsageError
from pcrlog.predicates import Identity
from pcrlog.statement import Statement, parse

_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Sign(LogOptions, frozen=True, kw_only=True):
    file: str
    key: str | None
    output: str | None
    wait: str
    conflict: bool


class _Submit(LogOptions, frozen=True, kw_only=True):
    file: str
    wait: str
    conflict: bool


class _Wait(LogOptions, frozen=True, kw_only=True):
    sha256: str
    wait: str


_conflict_option = click.option(
    "--conflict", is_flag=True, help="Contradict an earlier release: meant."
)


@click.command("sign")
@click.argument("file")
@key_option
@click.option(
    "-o", "--output", metavar="FILE", help="Write it there, signed, and stop."
)
@log_options
@wait_option
@_conflict_option
@json_option
@takes(_Sign)
def sign_command(session: Session, options: _Sign) -> int:
    """Sign a statement made elsewhere.

    It is then submitted, or written to --output.
    """
    statement = _unsigned(options.file)
    signer = signers.load(options.key)
    predicate = statement.predicate
    if isinstance(predicate, Identity) and predicate.signers != (signer.public.keyid,):
        message = f"this identity is to be signed by {', '.join(predicate.signers)}"
        raise UsageError(message)
    envelope = sign(statement, signer)
    if options.output is not None:
        write(session, statement, envelope, options.output)
        return 0
    return _hand_in(session, options, envelope, statement)


@click.command("submit")
@click.argument("file")
@log_options
@wait_option
@_conflict_option
@json_option
@takes(_Submit)
def submit_command(session: Session, options: _Submit) -> int:
    """Hand a signed statement to its log."""
    data = files.read(options.file, limits.ENVELOPE + 1).rstrip(b"\n")
    try:
        statement = parse(Envelope.parse(data).payload)
    except MalformedError as error:
        message = f"{options.file} is no signed statement ({error}); see: pcrlog sign"
        raise UsageError(message) from error
    return _hand_in(session, options, data, statement)


@click.command("wait")
@click.argument("sha256")
@log_options
@wait_option
@json_option
@takes(_Wait)
def wait_command(session: Session, options: _Wait) -> int:
    """Wait for the log's decision on a submission.

    SHA256 is that of the envelope, as `pcrlog submit` printed it.
    """
    if not _SHA256.fullmatch(options.sha256):
        message = "expected the SHA-256 of an envelope, as `pcrlog submit` printed it"
        raise UsageError(message)
    access = reach(session, options)
    patience = duration(options.wait, option="--wait")
    return prove_placed(session, access, options.sha256, patience)


def _unsigned(file: str) -> Statement:
    data = files.read(file, limits.ENVELOPE + 1).rstrip(b"\n")
    try:
        return parse(data)
    except MalformedError as error:
        message = f"{file} is no statement to sign: {error}"
        raise UsageError(message) from error


def _hand_in(
    session: Session, options: _Sign | _Submit, envelope: bytes, statement: Statement
) -> int:
    access = reach(session, options)
    if statement.predicate.log != access.origin:
        message = (
            f"the statement is made for {statement.predicate.log}, and"
            f" {access.client.url} is {access.origin}"
        )
        raise UsageError(message)
    plan = Plan(None, None, options.wait, options.conflict)
    return undecided(hand_in(session, access, envelope, plan))
