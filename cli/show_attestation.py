"""`pcrlog show-attestation`: what a document of any platform claims, for people.

It is unverified, and marked so, until its steps are taken (pcrlog.attestation): those
that need nothing but the document and the vendor's root, or the policy's, are taken
here. That a genuine machine signed it is all they can say; whether it is fresh, and who
vouches for what it measured, `pcrlog verify` says.
"""

from collections.abc import Iterable, Iterator

import click
from msgspec import Struct

from cli import files
from cli.attested import platform_option, trust_of
from cli.options import json_option, load_policy, policy_option, takes
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, say
from cli.session import Session
from pcrlog import attestation, limits
from pcrlog.attestation import Document, Outcome
from pcrlog.encoding import parse_time
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.measurement import is_blank

_MARK = {"pass": ("ok   ", GOOD), "fail": ("FAIL ", BAD), "unchecked": ("?    ", WARN)}


class _Show(Struct, frozen=True, kw_only=True):
    document: str
    policy: str | None
    platform: str | None
    collateral: str | None
    at: str | None


class Claimed(Struct, frozen=True):
    """What a document claims, and which of its steps could be taken.

    `genuine`: all of them, so that a machine of the platform signed these claims.
    """

    platform: str
    genuine: bool
    claims: tuple[tuple[str, str], ...]
    steps: tuple[Outcome, ...]


@click.command("show-attestation")
@click.argument("document", metavar="FILE")
@policy_option
@platform_option
@click.option("--collateral", metavar="FILE", help="Of its maker (intel-sgx).")
@click.option("--at", metavar="TIME", help="As of then: certificates, and collateral.")
@json_option
@takes(_Show)
def show_attestation_command(session: Session, options: _Show) -> int:
    """Print what an attestation document claims.

    FILE is a document of any platform: its bytes, base64 or hex. What it claims is
    unverified; its signature and chain are then checked, under the vendor's root or the
    policy's. Whether it is fresh, and what it measured: pcrlog verify.
    """
    raw = files.read(options.document, 3 * limits.ATTESTATION)
    names = attestation.ATTESTING if options.platform is None else (options.platform,)
    try:
        data = attestation.decode_input(raw)
        platform, stage = attestation.recognise(data, names)
        now = session.now if options.at is None else parse_time(options.at)
    except MalformedError as error:
        message = f"{options.document}: {error}"
        raise UsageError(message) from error
    policy = None if options.policy is None else load_policy(options.policy)
    trust = trust_of(platform.name, policy, now, options.collateral)
    steps: list[Outcome] = []
    genuine = False
    claims = list(platform.claims(stage))
    for one in platform.walk(stage, trust):
        if isinstance(one, Document):
            genuine = all(step.status == "pass" for step in steps)
            claims += (row for row in _beside(one) if row not in claims)
        else:
            steps.append(one)
    shown = Claimed(platform.name, genuine, tuple(claims), tuple(steps))
    session.output.result(shown, _rows(shown))
    failed = any(step.status == "fail" for step in steps)
    return VerificationError.exit_code if failed else 0


def _beside(document: Document) -> Iterator[tuple[str, str]]:
    """What else is to be known of it: some platforms tell that of a document alone."""
    if document.debug:
        yield "debug", document.debug
    yield from (("unusual", note) for note in document.notes)


def _gathered(claims: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The claims, with registers that are blank in one line each: they say nothing."""
    blank: dict[str, list[str]] = {}
    for name, value in claims:
        if is_blank(value):
            blank.setdefault(value[-1], []).append(name)
        else:
            yield name, value
    for digit, names in sorted(blank.items()):
        yield "all ones" if digit == "f" else "all zero", ", ".join(names)


def _rows(shown: Claimed) -> Iterator[Row]:
    if shown.genuine:
        yield say(f"GENUINE: a machine of {shown.platform} signed this", STRONG)
    else:
        headline = f"UNVERIFIED: what a document of {shown.platform} claims"
        yield say(headline, WARN)
    width = 2 + max(len(name) for name, _ in shown.claims)
    for name, value in _gathered(shown.claims):
        yield Row(((f"  {name:<{width}}", DIM),), value)
    for step in shown.steps:
        yield Row((_MARK[step.status], (f"{step.check:<22}", DIM)), step.found)
    yield say(
        "Not checked here: whether it is fresh, who it answered, and who vouches for"
        " what it measured. pcrlog verify",
        DIM,
    )
