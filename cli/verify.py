"""`pcrlog verify`: is this enclave what its provider says, and what speaks against it?

The document comes from a file, or fresh from the enclave (`--url`), with a nonce and
over a connection whose certificate it has to name. The log's answers come from a bundle
(`--bundle`: nothing is then fetched) or from the log of the policy. All judgement is in
`pcrlog.verify`; here is what it is given.
"""

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import click
import msgspec

from cli import files
from cli.ladder import rows_of
from cli.options import (
    LogOptions,
    Session,
    json_option,
    load_policy,
    log_options,
    takes,
)
from cli.state import State
from pcrlog import attestation, limits
from pcrlog.encoding import decode_hex, parse_time
from pcrlog.errors import MalformedError, TransportError, UsageError
from pcrlog.measurement import PLATFORMS, spell
from pcrlog.policy import Log, Policy
from pcrlog.verification import Memory, Report, verify
from pcrlog.verification.evidence import FROZEN_WORDS

_NONCE = 32
_LIVE = ("log.signature", "log.witnesses", "log.index-monitors", "log.freshness")
_KINDS = ("tls-spki-sha256", "tls-cert-sha256", "raw-key")


class _Verify(LogOptions, frozen=True, kw_only=True):
    product: str
    attestation: str | None
    url: str | None
    bundle: str | None
    nonce: str | None
    at: str | None
    bindings: tuple[str, ...]
    no_channel: bool


@click.command("verify")
@log_options
@click.option("--product", required=True, help="What it is meant to be.")
@click.option("--attestation", metavar="FILE", help="Its document: CBOR, base64 or hex.")
@click.option("--url", help="Where it answers: asked with a fresh nonce.")
@click.option("--bundle", metavar="FILE", help="The log's answers; nothing is fetched.")
@click.option("--nonce", metavar="HEX", help="What you sent it, with --attestation.")
@click.option(
    "--binding",
    "bindings",
    metavar="KIND:HEX",
    multiple=True,
    help="What your own connection to it showed, with --attestation.",
)
@click.option("--at", metavar="TIME", help="Judge an archived document as of then.")
@click.option(
    "--no-channel", is_flag=True, help="With --url: it need not name its certificate."
)
@json_option
@takes(_Verify)
def verify_command(session: Session, options: _Verify) -> int:
    """Check an enclave against everything the log says.

    Exit status: 0 verified, 3 could not check, 4 refuted.
    """
    policy = load_policy(options.policy)
    policy.product(options.product)
    evidence = _evidence(session, options)
    bundle = _bundle(session, options, policy, evidence.document)
    logs = _Memory(session, options, policy)
    if options.url is not None and not options.no_channel:
        policy = _with_channel(policy, options.product)
    report = verify(
        evidence.document,
        bundle,
        policy,
        product=options.product,
        now=session.now,
        at=_time(options.at),
        nonce=evidence.nonce,
        binding=evidence.binding,
        memory=logs.recall(bundle),
    )
    remarks = logs.conclude(report, live=options.at is None)
    session.output.result(report, rows_of(report))
    for remark in remarks:
        session.output.remark(remark)
    return report.exit_code
