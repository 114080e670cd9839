"""`pcrlog queue`: what is left for an auditor to do, oldest first.

The releases of watched products that stand, and that no audit of a scope speaks of.
What counts as an audit is what `verify` counts (PROTOCOL.md 2.3): passes that have not
expired, are not revoked or void, and whose basis stands, from as many auditors as the
policy asks for; and fails until their auditor revokes them. With `--as NAME` only what
NAME said counts, whatever findings it left open: that is one's own list of work.

So do the components that these releases name, as far as the chain of `verify` goes:
reproductions and source-reviews of them are what links 5 and 6 rest on.

An audit speaks of registers and commits, not of an envelope: releases of the same
registers are one line, that of the newest one that stands, as old as the first.

With `--expiring 30d` the list is of what counts now and will not then: audits that run
out, so that links which are proven today are not tomorrow. The one that runs out first
comes first.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import click

from cli.logs import reach
from cli.looking import look
from cli.options import (
    LogOptions,
    duration,
    json_option,
    read_options,
    takes,
)
from cli.queued_search import Search, missing, rules_of, scopes_of
from cli.queued_text import Queue, Waiting, rows_of
from cli.session import Session
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import of_issuer, of_product
from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import Release
from pcrlog.statement import CONTROLS_REVIEW, SCOPES
from pcrlog.verification.releases import Releases

MOST = 2_048
"""Statements of one product, or one provider, that are looked at: the newest."""
_GONE = "revoked, expired or void"
_FOREIGN = "of a platform that this version does not know"
_UNRELEASED = "component that its provider has not released"
_CUT = "not all of its components are listed: too many, too deep, or in a circle"


class _Queue(LogOptions, frozen=True, kw_only=True):
    products: tuple[str, ...]
    scopes: tuple[str, ...]
    name: str | None
    expiring: str | None


@click.command("queue")
@read_options
@click.option(
    "--product",
    "products",
    metavar="NAME/PRODUCT",
    multiple=True,
    help="Watch this one, or NAME/*; once for each. The policy's if left out.",
)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="Audits of this scope; once for each. Those of the auditors if left out.",
)
@click.option(
    "--as",
    "name",
    metavar="NAME",
    help="What this auditor has left to do; else what the policy's have.",
)
@click.option(
    "--expiring",
    metavar="DURATION",
    help="Instead: what counts now and will have run out then, such as 30d.",
)
@json_option
@takes(_Queue)
def queue_command(session: Session, options: _Queue) -> None:
    """List releases that nobody has audited yet, oldest first.

    With them the releases of their components, each said to be a part of which product.
    With --expiring: those whose audits will have run out by then.

    Releases that no longer stand are left out, and those that cannot be audited in the
    scope, since they name no source, or no controls.
    """
    if options.policy is None:
        message = "which audits count, a policy says: --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    access = reach(session, options)
    ahead = None
    if options.expiring is not None:
        ahead = duration(options.expiring, option="--expiring")
    search = Search(session, access, options.name, options.scopes, ahead)
    watched = options.products or tuple(access.rules.products)
    for product in watched:
        access.rules.product(product)
    found: dict[int, tuple[int, Waiting]] = {}
    with session.output.progress(f"asking {access.source.url}") as tell:
        for product in dict.fromkeys(watched):
            for since, one in _of_product(search, product, tell):
                before = found.get(one.index)
                found[one.index] = (since, before[1].beside(one) if before else one)
    ordered = sorted(
        found.values(), key=lambda row: (row[1].until or "", row[0], row[1].index)
    )
    waiting = tuple(one for _, one in ordered)
    queue = Queue(
        access.origin,
        options.name,
        search.expiring,
        waiting,
        search.left_out,
        search.older,
    )
    session.output.result(queue, rows_of(queue, session.now))


# --- what there is -------------------------------------------------------------------


def _of_product(
    search: Search, product: str, tell: Callable[[str], None]
) -> Iterator[tuple[int, Waiting]]:
    """What waits of a product (or of `name/*`), each with where it was first said."""
    if search.own(product):
        return
    provider, _, segment = product.partition("/")
    key = of_issuer(provider) if segment == "*" else of_product(product)
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in _entries(search, key):
        said = entry.predicate
        if not isinstance(said, Release) or said.issuer != provider:
            continue
        registers = tuple(sorted(entry.statement.registers.items()))
        groups.setdefault((said.product, said.platform, registers), []).append(entry)
    for number, group in enumerate(groups.values(), 1):
        tell(f"looking at {product}: {number} of {len(groups)}")
        yield from _of_group(search, group)


def _entries(search: Search, key: str) -> list[Entry]:
    """The newest entries under a key, ascending."""
    there, entries = search.access.under(key)
    search.older += max(there - MOST, 0)
    return list(islice(entries, MOST))[::-1]


def _of_group(search: Search, group: list[Entry]) -> Iterator[tuple[int, Waiting]]:
    """What waits of releases of the same registers, and of their components."""
    release = group[0].predicate
    if not isinstance(release, Release):  # pragma: no cover - they were chosen as such
        return
    if release.platform not in PLATFORMS:
        search.leave_out(_FOREIGN)
        return
    product, now = release.product, search.session.now
    rules = rules_of(search, product, product)
    registers = dict(group[0].statement.registers)
    found = look(search.access, product, registers, now, search.names(product))
    judge, subject = found.releases.judge, found.releases.subject
    releases = Releases(judge, subject, rules, registers)
    yield from _waits(search, releases)
    yield from _of_parts(search, releases, product)


def _of_parts(
    search: Search, releases: Releases, whole: str
) -> Iterator[tuple[int, Waiting]]:
    """What waits of the components below a release, one level after another.

    The walk that gathered the answers was bounded (limits.py): what it left out is not
    here. Of one product's components each is looked at once.
    """
    todo = [releases]
    while todo:
        above = todo.pop(0)
        release = above.newest_valid
        for one in (release and release[1].components) or ():
            key = (whole, one.product, one.sha256)
            if key in search.parts:
                continue
            subject = above.subject.parts.get((one.product, one.sha256))
            if subject is None:
                search.remark(f"{whole}: {_CUT}")
                continue
            search.parts.add(key)
            rules = rules_of(search, one.product, whole)
            part = Releases(above.judge, subject, rules)
            todo.append(part)
            if not search.own(one.product):
                yield from _waits(search, part, (whole,))


def _waits(
    search: Search, releases: Releases, part_of: tuple[str, ...] = ()
) -> Iterator[tuple[int, Waiting]]:
    """The newest release that stands, if audits of it wait."""
    if releases.newest_valid is None:
        search.leave_out(_GONE if releases.matching else _UNRELEASED)
        return
    entry, release = releases.newest_valid
    standing = [e for e, said in releases.matching if not releases.against(e, said)]
    scopes = scopes_of(search, releases.rules, release.product)
    if part_of:  # What is no enclave is handed no secrets.
        scopes = tuple(one for one in scopes if one != CONTROLS_REVIEW)
    found, ends = missing(search, releases, release, scopes)
    if not found:
        return
    platform, issued = release.platform, standing[0].predicate.issued
    yield (
        standing[0].index,
        Waiting(
            entry.index,
            entry.sha256,
            release.product,
            release.version,
            release.variant,
            platform,
            tuple(f"{platform}/{one}" for one in entry.statement.measurements),
            found,
            release.source.commit if release.source else None,
            issued,
            max(search.session.now - parse_time(issued), 0),
            ends,
            part_of,
        ),
    )
