"""`pcrlog export`: what a policy accepts now, for verifiers that do not know the log.

Only what `verify` would accept is handed on, document aside; what is left out is told,
with the reason. A feed says until when it may be believed, and is to be made anew by
then: it cannot take anything back (docs/exporting.md).
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct, structs

from cli import files
from cli.logs import log_of, reach
from cli.options import LogOptions, json_option, load_policy, read_options, takes
from cli.output import GOOD, WARN, Row, fact
from cli.released import Asked, Standing, each, said_in, standing, stands
from cli.session import Session
from pcrlog import limits
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.entry import Entry
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.policy import Log, Policy
from pcrlog.predicates import Release

if TYPE_CHECKING:
    from workbench.feed import Feed


class _Export(LogOptions, frozen=True, kw_only=True):
    product: str
    form: str | None
    bundle: str | None
    output: str | None
    force: bool


class LeftOut(Struct, frozen=True):
    """A release that is not handed on, and why: by the policy, or by the form."""

    version: str
    index: int
    why: str


class Exported(Struct, frozen=True):
    """A feed that was written: which versions are in it, which are not, until when."""

    file: str
    format: str
    product: str
    versions: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    until: str


@click.command("export")
@click.argument("product")
@click.option("--jsonl", "form", flag_value="jsonl", help="JSON, a release a line.")
@click.option("--rvps", "form", flag_value="rvps", help="A message for Trustee's RVPS.")
@click.option(
    "--corim", "form", flag_value="corim", help="A CoRIM in CBOR, not signed."
)
@read_options
@click.option("--bundle", metavar="FILE", help="By this bundle alone, offline.")
@click.option(
    "-o", "--output", metavar="FILE", help="Where to write; else standard output."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@json_option
@takes(_Export)
def export_command(session: Session, options: _Export) -> None:
    """Hand accepted releases to other verifiers.

    Those of PRODUCT that the policy accepts now, document aside; what the policy or the
    form leaves out is told. Nothing is written if there is none (4), or if an answer is
    missing (3).
    """
    if options.form is None:
        message = "in which form? --jsonl, --rvps or --corim"
        raise UsageError(message)
    target = None if options.output == "-" else options.output
    if target is None and (options.form == "corim" or session.output.json):
        message = "where to? -o FILE"
        raise UsageError(message)
    policy = load_policy(options.policy)
    policy.product(options.product)
    told, log = _told(session, options, policy)
    left_out = [
        LeftOut(one.version, one.index, one.why) for one in told if not one.accepted
    ]
    accepted = [one for one in told if one.accepted]
    if not accepted:
        platforms = Asked(policy, options.product, session.now).platforms
        raise _nothing(options.product, left_out, platforms)
    feed = _feed(policy, log, options.product, accepted)
    feed, others = _limited(options.form, feed)
    left_out += others
    if not feed.releases:
        raise _nothing(options.product, left_out, ())
    data = _encode(options.form, feed)
    if target is not None:
        files.write_new(target, data, force=options.force)
    if target is None:
        for one in left_out:
            session.output.remark(f"left out: {one.version}: {one.why}")
        sys.stdout.write(data.decode())
        return
    exported = Exported(
        *(target, options.form, options.product),
        tuple(one.version for one in feed.releases),
        tuple(left_out),
        format_time(feed.until),
    )
    session.output.result(exported, _rows(exported))


def _nothing(
    product: str, left_out: Sequence[LeftOut], platforms: Sequence[str]
) -> VerificationError:
    reasons = "; ".join(f"{one.version}: {one.why}" for one in left_out[:3])
    reasons = reasons or f"there is none on {' or '.join(platforms) or 'any machine'}"
    message = (
        f"no release of {product} is accepted now ({reasons}): take what was exported"
        " before out of use"
    )
    return VerificationError(message)


def _limited(form: str, feed: "Feed") -> tuple["Feed", list[LeftOut]]:
    """The feed with what its form can say, and what that leaves out."""
    from workbench.feed import kept

    releases, others = kept(form, feed.releases)
    left_out = [LeftOut(one.version, one.index, why) for one, why in others]
    return structs.replace(feed, releases=releases), left_out


def _encode(form: str, feed: "Feed") -> bytes:
    if form == "corim":
        from workbench import corim

        return corim.encode(feed)
    from workbench.feed import as_lines, as_rvps

    return as_lines(feed) if form == "jsonl" else as_rvps(feed)


def _rows(exported: Exported) -> Iterator[Row]:
    body = f"{exported.file}, {exported.product} {', '.join(exported.versions)}"
    yield Row((("exported: ", GOOD),), body)
    for one in exported.left_out:
        told = f"{one.version} (entry {one.index}): {one.why}"
        yield Row((("left out: ", WARN),), told, hang=2)
    yield fact("until", f"{exported.until}: export it again before")


# --- what is accepted -----------------------------------------------------------------


def _told(
    session: Session, options: _Export, policy: Policy
) -> tuple[list[Standing], Log]:
    """Each release and why it is refused, and the log that they are in."""
    if options.bundle is not None:
        if options.log is not None or options.mirror is not None:
            message = "--bundle, --log or --mirror, one of them"
            raise UsageError(message)
        return _of_bundle(session, options, policy, options.bundle)
    access = reach(session, options)
    if access.log is None:  # pragma: no cover - with a policy there is one
        raise UsageError(options.product)
    return standing(session, access, options.product), access.log


def _of_bundle(
    session: Session, options: _Export, policy: Policy, file: str
) -> tuple[list[Standing], Log]:
    """The releases that a bundle is about; it does not say that there are no others."""
    data = files.read(file, limits.BUNDLE)
    try:
        bundle = Bundle.parse(data)
    except MalformedError as error:
        message = f"{file}: {error}"
        raise VerificationError(message) from error
    log = log_of(policy, bundle.note)
    releases = [one for one in said_in(bundle) if _is_of(options.product, one)]
    found: list[Standing] = []
    unchecked: list[str] = []
    asked = Asked(policy, options.product, session.now)
    for entry, release in each(releases, asked.platforms):
        one, unmade = stands(asked, entry, release, data)
        found.append(one)
        unchecked += [one.why] if unmade else []
    if unchecked and not any(one.accepted for one in found):
        message = f"{file}: could not be checked: {unchecked[0]}"
        raise UncheckedError(message)
    return found, log


def _is_of(product: str, entry: Entry) -> bool:
    """Whether a statement is a release of a product."""
    said = entry.predicate
    return isinstance(said, Release) and said.product == product


def _feed(
    policy: Policy, log: Log, product: str, accepted: Sequence[Standing]
) -> "Feed":
    from workbench import feed

    seen = [one.report.checkpoint for one in accepted if one.report.checkpoint]
    ends = [one.ends for one in accepted if one.ends is not None]
    return feed.Feed(
        product=product,
        log=log.key.name,
        size=min(one.size for one in seen),
        sealed=min(one.time for one in seen),
        until=min(policy.valid_until, *ends),
        policy_sha256=policy.sha256,
        releases=tuple(
            feed.Release(
                version=one.version,
                platform=one.report.platform or "",
                registers=one.registers,
                index=one.report.links[1].evidence[0].index,
                links={link.number: link.status for link in one.report.links[1:]},
                numbers=one.numbers,
            )
            for one in accepted
        ),
    )
