"""`pcrlog verify`: is this enclave what its provider says, and what speaks against it?

The document comes from a file, or fresh from the enclave (`--url`), with a nonce and
over a connection whose certificate it has to name. The log's answers come from a bundle
(`--bundle`: nothing is then fetched) or from the log of the policy. A HOST says where
these are, and is believed in nothing (well_known.py). All judgement is in
`pcrlog.verify`; here is what it is given.
"""

from collections.abc import Iterator, Mapping

import click
import msgspec
from msgspec import Struct

from cli import files
from cli.attested import platform_option
from cli.options import (
    LogOptions,
    json_option,
    load_policy,
    read_options,
    takes,
)
from cli.output import Row
from cli.past import Past
from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import decode_hex, parse_time
from pcrlog.errors import MalformedError, PcrlogError, UsageError
from pcrlog.policy import Policy
from pcrlog.verification import Report, verify
from pcrlog.verification.document import Asked

_NONCE = 32
_KINDS = ("tls-spki-sha256", "tls-cert-sha256", "raw-key")
_BINDING = 512


class _Verify(LogOptions, frozen=True, kw_only=True):
    host: str | None
    product: str | None
    attestation: str | None
    url: str | None
    bundle: str | None
    platform: str | None
    collateral: str | None
    nonce: str | None
    at: str | None
    bindings: tuple[str, ...]
    no_channel: bool
    report: str | None
    provenance: str | None
    trusted_root: str | None
    built_by: str | None


@click.command("verify")
@click.argument("host", required=False)
@read_options
@click.option("--product", help="What it is meant to be; with HOST, if you know.")
@click.option(
    "--attestation", metavar="FILE", help="Its document: CBOR, base64 or hex."
)
@click.option("--url", help="Where it answers: asked with a fresh nonce.")
@click.option("--bundle", metavar="FILE", help="The log's answers; nothing is fetched.")
@platform_option
@click.option(
    "--collateral",
    metavar="FILE",
    help="What its maker publishes of it (intel-sgx); else as the policy says.",
)
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
@click.option(
    "--report", metavar="FILE", help="Write a page to file, with all evidence."
)
@click.option(
    "--provenance", metavar="FILE", help="The release's SLSA provenance: built by whom?"
)
@click.option(
    "--trusted-root", metavar="FILE", help="Which Sigstore is believed, for it."
)
@click.option("--built-by", metavar="URI", help="Whom its certificate must name.")
@json_option
@takes(_Verify)
def verify_command(session: Session, options: _Verify) -> int:
    """Check an enclave against everything the log says.

    It is at --url, or its document in --attestation; or a HOST, such as
    wallet.acme.example, says where it is (/.well-known/pcrlog), and is believed in
    nothing.

    Exit status: 0 verified, 3 could not check, 4 refuted.
    """
    policy = load_policy(options.policy)
    if options.report is not None:
        from cli.report_writing import require_new

        require_new(options.report)
    options, product, stapled = _resolved(session, options, policy)
    policy = _on_platform(policy, product, options.platform)
    given = _given(session, options)
    collateral = _collateral(session, options, policy, product, given)
    given = msgspec.structs.replace(given, collateral=collateral)
    data = stapled
    if stapled is not None:
        data = _fitting(session, policy, product, given, stapled)
    if data is None:
        data = _bundle(session, options, policy, given, product)
    past = Past(session, options, policy, data)
    demands = policy
    if options.url is not None and not options.no_channel:
        from pcrlog.online import with_channel

        demands = with_channel(policy, product)
    now = session.now
    report = verify(
        given.document,
        data,
        demands,
        product=product,
        now=now,
        at=given.at,
        nonce=given.nonce,
        binding=given.binding,
        memory=past.memory,
        collateral=collateral,
    )
    past.conclude(report, live=given.at is None)
    shown = told = report
    if options.provenance or options.trusted_root or options.built_by:
        from cli import provenance

        shown, told = provenance.told(session, options, report, data)
    session.output.result(shown, _rows(told))
    if options.report is not None:
        from cli.report_writing import Call, write_report

        call = Call(
            document=given.document,
            bundle=data,
            product=product,
            now=now,
            at=given.at,
            nonce=given.nonce,
            binding=given.binding,
            memory=past.memory,
            channel=demands is not policy,
            collateral=collateral,
            platform=options.platform,
        )
        write_report(session, options.report, options.policy, call, report)
    if demands is not policy and _goes_without(policy, report, product):
        session.output.remark(
            "it is --url that requires the channel, not the policy: with --no-channel"
            " any enclave of this kind will do, wherever it is"
        )
    return report.exit_code


def _rows(report: Report) -> Iterator[Row]:
    from cli.ladder import rows_of

    yield from rows_of(report)


# --- what is verified ----------------------------------------------------------------


def _resolved(
    session: Session, options: _Verify, policy: Policy
) -> tuple[_Verify, str, bytes | None]:
    """The options, the product, and a stapled bundle: as a HOST has them, if named.

    Raises:
        UsageError: neither a HOST nor a product.
    """
    if options.host is None:
        if options.product is None:
            message = "what is it meant to be? --product NAME/PRODUCT (or a HOST)"
            raise UsageError(message)
        return options, options.product, None
    if options.url is not None or options.attestation is not None:
        message = "HOST, --url or --attestation: one of them says what is verified"
        raise UsageError(message)
    from cli.well_known import resolve

    alone = options.bundle is None and options.mirror is None and options.log is None
    found = resolve(session, options.host, policy, options.product, alone=alone)
    log = found.log or options.log
    taken = msgspec.structs.replace(options, url=found.url, log=log)
    return taken, found.product, found.bundle


def _on_platform(policy: Policy, product: str, platform: str | None) -> Policy:
    """The policy, of which the product has to be there, and on this platform."""
    policy.product(product)
    if platform is None:
        return policy
    from pcrlog.online import on_platform

    return on_platform(policy, product, platform)


class _Given(Struct, frozen=True):
    """A document, and what its asker knows of how it came, and of its machine."""

    document: bytes
    nonce: bytes | None
    binding: Mapping[str, bytes] | None
    at: int | None
    collateral: bytes | None = None

    def asked(self, now: int) -> Asked:
        return Asked(now, self.at, self.nonce, self.collateral)


def _given(session: Session, options: _Verify) -> _Given:
    if (options.url is None) == (options.attestation is None):
        message = "what is to be verified? --url URL, or --attestation FILE"
        raise UsageError(message)
    if options.attestation is None or options.url is not None:
        return _ask(session, options)
    document = files.read(options.attestation, 2 * limits.ATTESTATION + limits.SPKI)
    try:
        nonce = None if options.nonce is None else decode_hex(options.nonce)
        at = None if options.at is None else parse_time(options.at)
        binding = dict(map(_binding, options.bindings))
    except MalformedError as error:
        raise UsageError(str(error)) from error
    return _Given(document, nonce, binding or None, at)


def _ask(session: Session, options: _Verify) -> _Given:
    """A fresh document, and what the connection shows."""
    import secrets

    from pcrlog.enclave import fetch_attestation

    if options.nonce or options.at or options.bindings:
        message = "--nonce, --binding and --at go with --attestation, not with --url"
        raise UsageError(message)
    nonce, url = secrets.token_bytes(_NONCE), options.url or ""
    with session.output.progress(f"asking the enclave at {url}"):
        answer = fetch_attestation(url, nonce)
    return _Given(answer.document, nonce, answer.binding, None)


def _binding(text: str) -> tuple[str, bytes]:
    kind, _, value = text.partition(":")
    if kind not in _KINDS or len(value) > _BINDING:
        message = f"--binding: expected {' or '.join(_KINDS)}, then :HEX, got {text!r}"
        raise UsageError(message)
    return kind, decode_hex(value)


def _collateral(
    session: Session, options: _Verify, policy: Policy, product: str, given: _Given
) -> bytes | None:
    """What the maker publishes of the machine, from the file or as the policy says."""
    if options.collateral is not None:
        return files.read(options.collateral, limits.COLLATERAL)
    if options.bundle is not None:
        return None  # Nothing is fetched.
    from cli.state import State
    from pcrlog.collateral import Source

    asked = given.asked(session.now)
    state = State(session.state_directory)

    def remember(name: str, data: bytes) -> None:
        try:
            state.remember_collateral(name, data)
        except UsageError as error:  # It is good nevertheless, if only for now.
            session.output.remark(str(error))

    source = Source(state.recall_collateral, remember)
    try:
        with session.output.progress("asking for collateral"):
            return source(given.document, policy, product, asked)
    except PcrlogError as error:
        session.output.remark(f"no collateral: {error}")
        return None


# --- what the log says ---------------------------------------------------------------


def _fitting(
    session: Session, policy: Policy, product: str, given: _Given, stapled: bytes
) -> bytes | None:
    """A stapled bundle that answers all that this run asks; else the log is asked."""
    from cli.well_known import fitting

    try:
        asked = given.asked(session.now)
        return fitting(given.document, stapled, policy, product, asked)
    except PcrlogError as error:
        session.output.remark(f"the stapled bundle will not do: {error}")
        return None


def _bundle(
    session: Session, options: _Verify, policy: Policy, given: _Given, product: str
) -> bytes | None:
    """The log's answers, from the file or from the log; None if there are none."""
    if options.bundle is not None:
        if options.mirror is not None:
            message = "--bundle or --mirror, one of them: a bundle is all that is read"
            raise UsageError(message)
        return files.read(options.bundle, limits.BUNDLE)
    from cli.logs import source_of
    from pcrlog.online import wanted_bundle

    source, _ = source_of(options, policy)
    asked = given.asked(session.now)
    path = wanted_bundle(given.document, policy, product, asked)
    if path is None:
        return None  # No genuine document: nothing to ask the log about.
    try:
        with session.output.progress(f"asking {source.url}"):
            return source(path, limits.BUNDLE)
    except PcrlogError as error:
        session.output.remark(str(error))
        return None


# --- what is told besides ------------------------------------------------------------


def _goes_without(policy: Policy, report: Report, product: str) -> bool:
    """Whether --no-channel is worth telling of: nobody showed a wrong key."""
    from cli.ladder import OTHER_KEY

    [channel] = [check for check in report.checks if check.id == "channel"]
    return (
        policy.product(product).channel != "required"
        and report.verdict == "unchecked"
        and channel.status == "unchecked"
        and not channel.found.startswith(OTHER_KEY)
    )
