"""`pcrlog component`: the parts of images that were made elsewhere, links 5 and 6.

A sidecar or a base image is a file with a release of its own, by its own provider, on
the platform `artifact` (PROTOCOL.md 2.1); a release of an image names it by digest.
`add` is `pcrlog release` for such a file: the same statement, the same questions first.
`list` is what `verify` will say of the components of a release, asked beforehand: each
by name, how far its own chain goes, and who would have to do what next.
"""

from collections.abc import Iterator
from itertools import islice

import click
from msgspec import Struct

from cli import files
from cli.ladder import MARKS, cited
from cli.logs import Access, measurements_of, reach
from cli.options import LogOptions, json_option, read_options, takes
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, following, say
from cli.release import release_command
from cli.session import Session
from pcrlog.entry import Entry
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.index_keys import of_product
from pcrlog.predicates import Release
from pcrlog.verification import Report, foresee
from pcrlog.verification.checks import CheckStatus
from pcrlog.verification.components import NUMBERS, name_of
from pcrlog.verification.report import ComponentShown, Link

_OF_ENCLAVES = {
    "measurements",
    "pcrs",
    "artifact",
    "numbers",
    "image",
    "binding",
    "controls",
    "no_controls",
}
"""Options of `release` that say something of an image, and nothing of a file."""


_ABOUT_IT = (
    "policy.valid",
    "log.",
    "answers.",
    "entries.",
    "release.",
    "audits.fails",
    "policy.distrust",
)
"""Checks of the release itself, whatever the policy demands of links and documents."""
_MOST = 256
"""Releases of a product among which the newest of the policy's platforms is sought."""


class _List(LogOptions, frozen=True, kw_only=True):
    index: int | None
    product: str | None


class Listed(Struct, frozen=True):
    """The components of a release, as a policy would have them judged now.

    `index` is of the newest release of the same registers that stands, or else of the
    one that was asked about. `named` is how many components it names, null if it says
    nothing of them. `links` are its links 5 and 6 as a whole; `against` what speaks
    against the release itself, and `unsure` what could not be checked of it, each empty
    if nothing is. One that does not stand has no `components`: nothing rests on them.
    """

    log: str
    product: str
    version: str
    index: int
    named: int | None
    against: str
    unsure: str
    links: tuple[Link, ...]
    components: tuple[ComponentShown, ...]

    @property
    def exit_code(self) -> int:
        """0 listed, 3 could not check, 4 one of them failed, or the release did."""
        found = {link.status for link in self.links}
        found |= {share.status for one in self.components for share in one.links}
        if self.against or "failed" in found:
            return VerificationError.exit_code
        unsure = self.unsure or "unchecked" in found
        return UncheckedError.exit_code if unsure else 0


@click.group("component")
def component_command() -> None:
    """Release a part of images, and see how far its chain goes."""


@component_command.command(
    "add",
    params=[one for one in release_command.params if one.name not in _OF_ENCLAVES],
)
@click.argument("file", metavar="FILE|sha256:HEX")
@click.pass_context
def add(context: click.Context, /, file: str, **options: object) -> int:
    """Release a file that is a part of images: a sidecar, a base image.

    The product's first part is who speaks. What the release says of its source, recipe
    and components is what links 5 and 6 of others will rest on.
    """
    session = context.find_object(Session)
    digest = file.removeprefix("sha256:")
    if digest == file:
        digest, _ = files.digest(file)
    status: int = context.invoke(
        release_command, artifact=f"sha256:{digest}", **options
    )
    if session is not None and status in (0, UncheckedError.exit_code):
        session.output.remark(
            f"whoever builds with it names it so: pcrlog release --component"
            f" {options['product']}:{digest}"
        )
    return status


@component_command.command("list")
@click.argument("index", type=click.IntRange(min=0), required=False)
@click.option("--product", metavar="NAME/PRODUCT", help="Its newest release.")
@read_options
@json_option
@takes(_List)
def list_(session: Session, options: _List) -> int:
    """List the components of a release, and what each of them lacks.

    The release is the entry INDEX, or the newest one of --product. Exit status: 0
    listed, 3 could not check, 4 a component failed, or the release itself.
    """
    if (options.index is None) == (options.product is None):
        message = "of which release? INDEX, or --product for its newest: one of them"
        raise UsageError(message)
    if options.policy is None:
        message = "whose audits count? --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    access = reach(session, options)
    with session.output.progress(f"asking {access.source.url}"):
        entry, release = _release(access, options)
        rules = access.rules.product(release.product)
        registers = dict(entry.statement.registers)
        report = foresee(
            registers,
            access.fetch(release.product, measurements_of(registers)),
            access.rules,
            product=release.product,
            platform=release.platform,
            now=session.now,
        )
    rests_on = report.links[1].evidence
    if rests_on and rests_on[0].index != entry.index:
        session.output.remark(
            f"entry {entry.index} is not the newest release of its registers that"
            f" stands. Entry {rests_on[0].index} is: what it names is what counts"
        )
        entry, release = _release_at(access, rests_on[0].index)
    listed = Listed(
        access.origin,
        release.product,
        release.version,
        entry.index,
        None if release.components is None else len(release.components),
        _told(report, "fail"),
        _told(report, "unchecked"),
        tuple(link for link in report.links if link.number in NUMBERS),
        report.components,
    )
    session.output.result(listed, _rows(listed, release, rules.counts.reproduction))
    return listed.exit_code


def _release(access: Access, options: _List) -> tuple[Entry, Release]:
    """The release that is asked about."""
    if options.index is not None:
        return _release_at(access, options.index)
    product = options.product or ""
    platforms = access.rules.product(product).platforms
    for entry in islice(access.under(of_product(product))[1], _MOST):
        said = entry.predicate
        if isinstance(said, Release) and said.platform in platforms:
            return entry, said
    message = (
        f"{access.origin} has no release of {product} for {', '.join(platforms)}:"
        f" pcrlog lookup --product {product}"
    )
    raise UsageError(message)


def _release_at(access: Access, index: int) -> tuple[Entry, Release]:
    entry = access.entry(index)
    if isinstance(entry.predicate, Release):
        return entry, entry.predicate
    message = f"entry {index} is no release: pcrlog show {index}"
    raise UsageError(message)


def _told(report: Report, status: CheckStatus) -> str:
    """The first check of this status that is of the release, not of its components."""
    return next(
        (
            f"{check.id}: {check.found}"
            for check in report.checks
            if check.id.startswith(_ABOUT_IT)
            and check.required
            and check.status == status
        ),
        "",
    )


# --- for people -----------------------------------------------------------------------


def _rows(listed: Listed, release: Release, asked: int) -> Iterator[Row]:
    """All of it; `asked` auditors have to confirm a list."""
    name = f"{listed.product} {listed.version}"
    told = "nothing of components, not even none"
    if listed.named is not None:
        told = f"{listed.named or 'no'} component{'' if listed.named == 1 else 's'}"
    yield say(f"{name} names {told} (entry {listed.index})", STRONG)
    if listed.against:
        yield Row((("  against it: ", BAD),), listed.against)
    if listed.unsure:
        yield Row((("  could not check: ", WARN),), listed.unsure)
    if listed.named and not listed.components:
        words = "its components are not judged: nothing rests on what does not stand"
        yield say(f"  {words}", DIM)
        return
    for one in listed.components:
        yield from _component(one)
    if listed.named is not None:
        yield from _list(listed, release, asked)


def _component(one: ComponentShown) -> Iterator[Row]:
    edge = "  " * one.depth
    yield Row(((f"{edge}{name_of(one)}", STRONG),))
    yield Row(((f"{edge}  sha256 ", DIM),), one.sha256, DIM, whole=True)
    told = ""
    for share in one.links:
        mark, style = MARKS[share.status]
        what = "source" if share.number == NUMBERS[0] else "audit"
        lead = (
            (f"{edge}  {mark} ", style),
            (f"{share.number} {what:<8}{share.status:<11}", ""),
        )
        yield Row(lead, share.found or cited(share), DIM)
        if share.next and share.next != told:
            yield Row(((f"{edge}    next: ", DIM),), share.next)
        told = share.next or told


def _list(listed: Listed, release: Release, asked: int) -> Iterator[Row]:
    """Whether as many auditors as are asked for found the list complete."""
    link = listed.links[0]
    provider = listed.product.partition("/")[0]
    if link.status == "unchecked":
        words = "whether it is complete could not be checked"
        yield Row((("  the list: ", WARN),), words, DIM)
        return
    if link.by and link.by != (provider,):
        yield Row((("  the list: ", GOOD),), f"confirmed by {cited(link)}", DIM)
        return
    who = "nobody has" if asked == 1 else f"fewer than {asked} auditors have"
    yield Row((("  the list: ", WARN),), f"{who} confirmed that it is complete", DIM)
    if release.source is None:
        return  # Who finds a list complete has rebuilt it, from its source.
    words = f"--components-complete {listed.index}"
    yield following(f"pcrlog cosign --rebuild COMMAND --produces FILE {words}")
    yield following(f"pcrlog cosign --scope reproduction {words}")
