"""`pcrlog queue`: what is left for an auditor to do, oldest first.

The releases of watched products that stand, and that no audit of a scope speaks of.
What counts as an audit is what `verify` counts (PROTOCOL.md 2.3): passes that have not
expired, are not revoked or void, and whose basis stands, from as many auditors as the
policy asks for; and fails until their auditor revokes them. With `--as NAME` only what
NAME said counts, whatever findings it left open: that is one's own list of work.

An audit speaks of registers and commits, not of an envelope: releases of the same
registers are one line, that of the newest one that stands, as old as the first.

With `--expiring 30d` the list is of what counts now and will not then: audits that run
out, so that links which are proven today are not tomorrow. The one that runs out first
comes first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click
import msgspec
from msgspec.structs import replace

from cli.expiry import until
from cli.logs import Access, reach
from cli.looking import look
from cli.options import (
    LogOptions,
    duration,
    json_option,
    read_options,
    takes,
)
from cli.queued_text import Queue, Waiting, rows_of
from cli.session import Session
from pcrlog.encoding import format_time, parse_time
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import of_issuer, of_product
from pcrlog.measurement import PLATFORMS
from pcrlog.policy import Auditor, Counts, Product
from pcrlog.predicates import Release
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SCOPES, SOURCE_REVIEW
from pcrlog.verification.audits import Audits
from pcrlog.verification.releases import Releases

MOST = 2_048
"""Statements of one product, or one provider, that are looked at: the newest."""
_GONE = "revoked, expired or void"
_FOREIGN = "of a platform that this version does not know"


class _Queue(LogOptions, frozen=True, kw_only=True):
    products: tuple[str, ...]
    scopes: tuple[str, ...]
    name: str | None
    expiring: str | None


@dataclass
class _Search:
    """One run: how the log is asked, for whom, and what is counted on the way."""

    session: Session
    access: Access
    name: str | None
    scopes: tuple[str, ...]
    expiring: int | None
    left_out: dict[str, int] = field(default_factory=dict)
    older: int = 0
    _told: set[str] = field(default_factory=set)

    def remark(self, text: str) -> None:
        if text not in self._told:
            self.session.output.remark(text)
        self._told.add(text)

    def leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


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
    search = _Search(session, access, options.name, options.scopes, ahead)
    watched = options.products or tuple(access.rules.products)
    for product in watched:
        access.rules.product(product)
    found: dict[int, tuple[int, Waiting]] = {}
    with session.output.progress(f"asking {access.source.url}") as tell:
        for product in dict.fromkeys(watched):
            for since, one in _of_product(search, product, tell):
                found[one.index] = (since, one)
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
    search: _Search, product: str, tell: Callable[[str], None]
) -> Iterator[tuple[int, Waiting]]:
    """What waits of a product (or of `name/*`), each with where it was first said."""
    provider, _, segment = product.partition("/")
    if provider == search.name:
        search.remark(f"{product}: nobody counts as an auditor of their own")
        return
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
        one = _of_group(search, group)
        if one is not None:
            yield one


def _entries(search: _Search, key: str) -> Iterator[Entry]:
    """All entries under a key, ascending: the log hands over the newest at once."""
    indices, newest = search.access.lookup(key).newest(key)
    handed = {entry.index: entry for entry in newest}
    search.older += max(len(indices) - MOST, 0)
    for index in indices[-MOST:]:
        yield handed[index] if index in handed else search.access.entry(index)


def _of_group(search: _Search, group: list[Entry]) -> tuple[int, Waiting] | None:
    """What waits of releases of the same registers."""
    release = group[0].predicate
    if not isinstance(release, Release):  # pragma: no cover - they were chosen as such
        return None
    if release.platform not in PLATFORMS:
        search.leave_out(_FOREIGN)
        return None
    rules, now = _rules(search, release), search.session.now
    registers = dict(group[0].statement.registers)
    names = [auditor.name for auditor in rules.auditors]
    found = look(search.access, release.product, registers, now, names)
    judge, subject = found.releases.judge, found.releases.subject
    releases = Releases(judge, subject, rules, registers)
    standing = [e for e, said in releases.matching if not releases.against(e, said)]
    if releases.newest_valid is None:
        search.leave_out(_GONE)
        return None
    entry, release = releases.newest_valid
    scopes = _scopes(search, rules, release)
    missing, ends = _missing(search, releases, release, scopes)
    if not missing:
        return None
    platform = release.platform
    return standing[0].index, Waiting(
        entry.index,
        entry.sha256,
        release.product,
        release.version,
        release.variant,
        platform,
        tuple(f"{platform}/{one}" for one in entry.statement.measurements),
        missing,
        release.source.commit if release.source else None,
        standing[0].predicate.issued,
        max(now - parse_time(standing[0].predicate.issued), 0),
        ends,
    )


# --- what counts ---------------------------------------------------------------------


def _rules(search: _Search, release: Release) -> Product:
    """The policy's rules; for one's own work, with nobody but oneself in them."""
    rules = search.access.rules.product(release.product)
    if search.name is None:
        return rules
    theirs = [one.scopes for one in rules.auditors if one.name == search.name]
    scopes = tuple(dict.fromkeys((*(theirs[0] if theirs else SCOPES), *search.scopes)))
    own = msgspec.convert({"name": search.name, "scopes": scopes}, Auditor)
    return replace(rules, auditors=(own,), counts=Counts(), open_findings={})


def _scopes(search: _Search, rules: Product, release: Release) -> tuple[str, ...]:
    """The scopes asked about: as told, or those of the auditors."""
    if search.scopes:
        return search.scopes
    theirs = {scope for auditor in rules.auditors for scope in auditor.scopes}
    if not theirs:
        search.remark(
            f"the policy names no auditors for {release.product}: --scope, or --as NAME"
        )
    return tuple(scope for scope in SCOPES if scope in theirs)


def _missing(
    search: _Search, releases: Releases, release: Release, scopes: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """The scopes that wait; and, of what is expiring, when the first runs out."""
    audits = Audits(releases)
    lacking = {
        REPRODUCTION: release.source is None and "no source",
        SOURCE_REVIEW: release.source is None and "no source",
        CONTROLS_REVIEW: release.controls is None and "no list of controls",
    }
    found: dict[str, str] = {}
    for scope in scopes:
        if lacking[scope]:
            search.leave_out(f"{scope}: names {lacking[scope]}")
        elif scope not in audits.fails:
            ends = until(audits, scope)
            if search.expiring is None and ends is None:
                found[scope] = ""
            elif search.expiring is not None and ends is not None:
                then = format_time(search.session.now + search.expiring)
                if ends <= then:  # times of one form compare as they are spelt
                    found[scope] = ends
    return tuple(found), min(found.values(), default="") or None
