"""`pcrlog sign`, `submit`, `wait`: the steps after making a statement, one by one.

For keys that live on another machine than the network: make with `--output`, carry the
file over, `sign` with `--output`, carry it back, `submit`.
"""

import re

import click

from cli import files, signers
from cli.batches import Given, hand_in_all
from cli.logs import Access, reach
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

_NDJSON = ".ndjson"
_LARGEST = 256 << 20
"""Bytes of a file of statements: some 100,000 of them."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Sign(LogOptions, frozen=True, kw_only=True):
    file: str
    key: str | None
    output: str | None
    wait: str
    conflict: bool


class _Submit(LogOptions, frozen=True, kw_only=True):
    files: tuple[str, ...]
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
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@log_options
@wait_option
@_conflict_option
@json_option
@takes(_Submit)
def submit_command(session: Session, options: _Submit) -> int:
    """Hand signed statements to their log.

    A FILE is what `pcrlog sign` writes; one that is called .ndjson has such a statement
    on each line. Of several each is decided by itself.
    """
    given = [one for file in options.files for one in _signed(file)]
    if len(given) == 1:
        return _hand_in(session, options, given[0].envelope, given[0].statement)
    access = reach(session, options)
    for one in given:
        _require_log(access, one.statement, one.source)
    plan = Plan(None, None, options.wait, options.conflict)
    return hand_in_all(session, access, given, plan)


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


def _signed(file: str) -> list[Given]:
    """The signed statements in a file.

    Raises:
        UsageError: there is none, or something else.
    """
    if not file.endswith(_NDJSON):
        data = files.read(file, limits.ENVELOPE + 1).rstrip(b"\n")
        return [_read_signed(data, file)]
    lines = files.read(file, _LARGEST).rstrip(b"\n").split(b"\n")
    if not lines[0]:
        message = f"{file} has no lines; want a signed statement on each"
        raise UsageError(message)
    return [_read_signed(one, f"{file}:{n}") for n, one in enumerate(lines, 1)]


def _read_signed(data: bytes, source: str) -> Given:
    try:
        return Given(source, data, parse(Envelope.parse(data).payload))
    except MalformedError as error:
        message = f"{source} is no signed statement ({error}); see: pcrlog sign"
        raise UsageError(message) from error


def _require_log(access: Access, statement: Statement, what: str) -> None:
    if statement.predicate.log != access.origin:
        message = (
            f"{what} is made for {statement.predicate.log}, and {access.client.url} is"
            f" {access.origin}"
        )
        raise UsageError(message)


def _hand_in(
    session: Session, options: _Sign | _Submit, envelope: bytes, statement: Statement
) -> int:
    access = reach(session, options)
    _require_log(access, statement, "the statement")
    plan = Plan(None, None, options.wait, options.conflict)
    return undecided(hand_in(session, access, envelope, plan))
