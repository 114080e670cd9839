"""`pcrlog lookup` and `identify`: what the log holds under one key of its index.

The answer is complete, by the index's own proof. Neither command ever says verified:
who says something is no check that it is true, fresh or unrevoked.
"""

from collections.abc import Iterator

import click
from msgspec import Struct

from cli import files
from cli.attested import trust_of
from cli.logs import reach
from cli.options import (
    LogOptions,
    json_option,
    load_policy,
    read_options,
    takes,
)
from cli.output import DIM, STRONG, WARN, Row, say
from cli.session import Session
from cli.speaking import title
from pcrlog import attestation, limits
from pcrlog.entry import Entry
from pcrlog.errors import MalformedError, UsageError
from pcrlog.index_keys import of_identity, of_measurement, of_product
from pcrlog.measurement import PLATFORMS, parse_measurement, registers_in, spell


class _Lookup(LogOptions, frozen=True, kw_only=True):
    measurement: str | None
    product: str | None
    identity: str | None


class _Identify(LogOptions, frozen=True, kw_only=True):
    document: str


class Found(Struct, frozen=True):
    """One entry under the key."""

    index: int
    sha256: str
    keyid: str
    title: str
    issued: str


class LookedUp(Struct, frozen=True):
    """What is under a key of the index: all `indices`, and the newest `entries`.

    `proven` to be all, if there is a policy.
    """

    log: str
    key: str
    proven: bool
    indices: tuple[int, ...]
    entries: tuple[Found, ...]


@click.command("lookup")
@read_options
@click.option("--measurement", metavar="PLATFORM/M", help="Releases of a measurement.")
@click.option("--product", help="Releases of a product.")
@click.option("--identity", metavar="NAME", help="The identities of a name.")
@json_option
@takes(_Lookup)
def lookup_command(session: Session, options: _Lookup) -> None:
    """List releases or identities, with the index's proof."""
    _show(session, options, _key(options))


@click.command("identify")
@click.argument("document")
@read_options
@json_option
@takes(_Identify)
def identify_command(session: Session, options: _Identify) -> None:
    """What does the log call this? Never says verified.

    DOCUMENT is an attestation document: its signature and chain are checked, not its
    age, and not what speaks against the releases that are found.
    """
    raw = files.read(options.document, 2 * limits.ATTESTATION + limits.SPKI)
    document, unmade = _genuine(raw, options.policy, session.now)
    for one in unmade:
        session.output.remark(f"not checked: {one.check}: {one.found}")
    identity = PLATFORMS[document.platform].identity
    [measurement, *_] = spell(identity, document.registers)
    if document.debug:
        session.output.remark(document.debug)
    _show(session, options, of_measurement(document.platform, measurement))


def _key(options: _Lookup) -> str:
    given = [options.measurement, options.product, options.identity]
    if sum(one is not None for one in given) != 1:
        message = "look up what? --product, --identity or --measurement, one of them"
        raise UsageError(message)
    if options.product is not None:
        return of_product(options.product)
    if options.identity is not None:
        return of_identity(options.identity)
    text = options.measurement or ""
    try:
        platform, measurement = parse_measurement(text)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    known = PLATFORMS.get(platform)
    named = registers_in(measurement)
    # Any other spelling is another key, under which there is nothing: true, and no
    # answer to what was asked.
    if known is not None and measurement not in spell(known.identity, named):
        spelt = ",".join(f"{one}=…" for one in known.identity[0])
        message = f"--measurement: expected {platform}/{spelt}, found {text[:80]}"
        raise UsageError(message)
    return of_measurement(platform, measurement)


def _genuine(
    raw: bytes, policy_file: str | None, now: int
) -> tuple[attestation.Document, list[attestation.Outcome]]:
    data = attestation.decode_input(raw)
    platform, _ = attestation.recognise(data)
    policy = None if policy_file is None else load_policy(policy_file)
    trust = trust_of(platform.name, policy, now, None)
    return attestation.genuine(platform.name, data, trust)


def _show(session: Session, options: LogOptions, key: str) -> None:
    access = reach(session, options)
    with session.output.progress(f"asking {access.source.url}"):
        indices, entries = access.lookup(key).newest(key)
    found = tuple(map(_found, entries))
    shown = LookedUp(access.origin, key, access.log is not None, indices, found)
    session.output.result(shown, _rows(shown))


def _found(entry: Entry) -> Found:
    said = entry.predicate
    return Found(
        entry.index, entry.sha256, entry.keyid, title(entry.statement), said.issued
    )


def _rows(shown: LookedUp) -> Iterator[Row]:
    if not shown.indices:
        yield say(f"{shown.log} has no entry under {shown.key}", STRONG)
    for entry in shown.entries:
        lead = ((f"{entry.index:>8}  ", STRONG), (f"{entry.issued[:10]}  ", DIM))
        yield Row(lead, f"{entry.title} (key {entry.keyid[:16]}…)")
    older = len(shown.indices) - len(shown.entries)
    if older > 0:
        yield say(f"          and {older} older ones; pcrlog show INDEX", DIM)
    if shown.proven:
        proof = f"these are all entries under {shown.key}: proven by the index"
        yield say(proof, DIM)
    else:
        yield say("not checked: no policy", WARN)
    if shown.indices:
        yield say(
            "Whether they still stand is not said here: pcrlog verify, pcrlog ready",
            DIM,
        )
