"""`pcrlog revoke`: say that a release or an audit no longer stands (PROTOCOL.md 2.3).

`compromised` and `vulnerable` hold for the measurement, for good, whatever product it
is released as; the other reasons for the one statement.
"""

import click

from cli import signers
from cli.logs import reach
from cli.looking import is_same
from cli.options import (
    SpeakOptions,
    json_option,
    moment,
    speak_options,
    takes,
)
from cli.session import Session
from cli.speaking import (
    Plan,
    Published,
    check_speaker,
    compose,
    conclude,
    published_rows,
    title,
    undecided,
)
from pcrlog.encoding import format_time
from pcrlog.errors import UsageError
from pcrlog.index_keys import by
from pcrlog.predicates import REGISTRAR, Audit, Document, Release, Revocation
from pcrlog.statement import MEASUREMENT_REASONS, STATEMENT_REASONS


class _Revoke(SpeakOptions, frozen=True, kw_only=True):
    index: int
    reason: str
    effective: str | None
    reference: str | None


@click.command("revoke")
@click.argument("index", type=click.IntRange(min=0))
@click.option(
    "--reason",
    type=click.Choice([*MEASUREMENT_REASONS, *STATEMENT_REASONS]),
    required=True,
    help="compromised and vulnerable hold for the registers, for good.",
)
@click.option("--effective", metavar="TIME", help="From when; a time or a duration.")
@click.option("--reference", metavar="URI:SHA256", help="A document about it.")
@speak_options
@json_option
@takes(_Revoke)
def revoke_command(session: Session, options: _Revoke) -> int:
    """Say that a release or an audit no longer stands."""
    access = reach(session, options)
    with session.output.progress(f"asking {access.client.url}"):
        entry = access.entry(options.index)
        target = entry.predicate
        if not isinstance(target, Release | Audit):
            message = f"entry {entry.index} cannot be revoked: {title(entry.statement)}"
            raise UsageError(message)
        issuer = options.name or target.issuer
        _check(options, target, issuer)
        view = access.said(issuer, target.platform, entry.statement.measurements[0])
    of_measurement = options.reason in MEASUREMENT_REASONS
    predicate = Revocation(
        log=access.origin,
        issuer=issuer,
        issued=format_time(session.now),
        platform=target.platform,
        identity=target.identity,
        reason=options.reason,
        statement=None if of_measurement else entry.sha256,
        effective=moment(options.effective, session.now, option="--effective"),
        reference=_reference(options.reference),
    )
    statement = compose(predicate, entry.statement.registers)
    if options.output is None:
        check_speaker(view, issuer, signers.load(options.key).public.keyid)
        for measurement in statement.measurements:
            for known in view.ask(by(issuer, target.platform, measurement)):
                if is_same(known.statement, statement):
                    result = Published(
                        title(statement),
                        access.origin,
                        known.index,
                        known.sha256,
                        known=True,
                        proven=access.log is not None,
                    )
                    session.output.result(result, published_rows(result))
                    return 0
    plan = Plan(options.key, options.output, options.wait)
    return undecided(conclude(session, access, statement, plan))


def _check(options: _Revoke, target: Release | Audit, issuer: str) -> None:
    of_measurement = options.reason in MEASUREMENT_REASONS
    problem = None
    if of_measurement and isinstance(target, Audit):
        problem = f"{options.reason} is said of a release; an audit can be erroneous"
    elif of_measurement and options.effective:
        problem = f"{options.reason} holds at once and for good: no --effective"
    elif issuer not in (REGISTRAR, target.issuer) and not of_measurement:
        problem = f"only {target.issuer} can revoke its statement"
    elif issuer == REGISTRAR and not of_measurement:
        reasons = " or ".join(MEASUREMENT_REASONS)
        problem = f"the registrar revokes as {reasons} only"
    if problem:
        raise UsageError(problem)


def _reference(text: str | None) -> Document | None:
    if text is None:
        return None
    uri, _, digest = text.rpartition(":")
    return Document(uri, digest)
