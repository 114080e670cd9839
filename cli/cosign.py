"""`pcrlog cosign`: publish the result of a rebuild or a review.

What is about to be co-signed is first verified against the log, with the auditor's own
policy; the auditor's own registers are compared with the release's; and a `pass` is
refused where they differ, or where the release no longer stands.
"""

import click
from msgspec import Struct

from cli import signers
from cli.audits import CosignOptions, Work, audit_statement
from cli.logs import Access, reach
from cli.looking import is_same, look
from cli.measurements import measured
from cli.options import (
    json_option,
    measured_options,
    speak_options,
    takes,
)
from cli.output import BAD, DIM, PLAIN, Row, following, say
from cli.session import Session
from cli.speaking import (
    Plan,
    Published,
    conclude,
    find_speaker,
    published_rows,
    refuse,
    title,
    undecided,
)
from pcrlog import limits
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import by
from pcrlog.measurement import PLATFORMS, Registers
from pcrlog.predicates import Audit, Basis, Release
from pcrlog.statement import (
    CONTROLS_REVIEW,
    REPRODUCTION,
    SCOPES,
    SOURCE_REVIEW,
    Statement,
)

_SEVERITIES = ("critical", "high", "medium", "low")
_DAY = 86_400
_SHOWN = len("sha384:") + 48
"""Of a digest of 96 digits; --json has all of it."""


class Differs(Struct, frozen=True):
    """The auditor's registers and the release's, which are not the same."""

    error: str
    entry: int
    release: dict[str, str]
    ours: dict[str, str]


@click.command("cosign")
@click.argument("index", type=click.IntRange(min=0), required=False)
@click.option(
    "--scope", type=click.Choice(SCOPES), required=True, help="What was done."
)
@click.option(
    "--result",
    type=click.Choice(["pass", "qualified", "fail"]),
    required=True,
    help="What came of it; qualified for reviews only.",
)
@measured_options
@click.option(
    "--components-complete",
    is_flag=True,
    help="The release's list of components is complete.",
)
@click.option(
    "--open",
    "open_findings",
    metavar="SEVERITY=N,…",
    help="Findings that are open: critical, high, medium, low; with qualified.",
)
@click.option("--commit", metavar="HEX", help="Review a commit that nobody released.")
@click.option(
    "--basis",
    type=click.IntRange(min=0),
    metavar="INDEX",
    help="Your earlier review that this one builds on.",
)
@click.option("--report", metavar="URI:SHA256", help="The report.")
@click.option("--performed", metavar="TIME", help="When it was done; now if left out.")
@click.option("--expires", metavar="TIME", help="A time, or a duration such as 90d.")
@speak_options
@json_option
@takes(CosignOptions)
def cosign_command(session: Session, options: CosignOptions) -> int:
    """Publish the result of a rebuild or a review.

    It is about the release at INDEX (or, for a source-review, a --commit). The log is
    asked first whether that release still stands, and your registers are compared
    with it: a pass is refused where they differ (exit 4).
    """
    if options.policy is None:
        message = "cosign verifies first: --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    _check_options(options)
    access = reach(session, options)
    signer = None if options.output else signers.load(options.key)
    keyid = signer.public.keyid if signer else None
    with session.output.progress(f"asking {access.client.url}"):
        work = _find_work(session, access, options, keyid)
    own = measured(options)
    refusal = _refusal(session, options, work, own)
    if refusal is not None:
        return refusal
    statement = audit_statement(access, options, work, own, session.now)
    known = _known(work, statement, options)
    if known is not None and not options.output:
        index, digest = known.index, known.sha256
        result = Published(
            title(statement), access.origin, index, digest, known=True, proven=True
        )
        session.output.result(result, published_rows(result))
        return 0
    plan = Plan(options.key, options.output, options.wait)
    return undecided(conclude(session, access, statement, plan))


# --- what it is about ----------------------------------------------------------------


def _check_options(options: CosignOptions) -> None:
    on_source = options.scope == SOURCE_REVIEW
    own_registers = options.measurements or options.pcrs or options.artifact
    problem = None
    if (options.index is None) == (options.commit is None):
        problem = "say what it is about: INDEX of a release, or --commit HEX"
    elif options.commit and not on_source:
        problem = f"a {options.scope} is about a release: INDEX"
    elif options.basis is not None and not on_source:
        problem = "--basis belongs to a source-review"
    elif options.components_complete and options.scope != REPRODUCTION:
        problem = "--components-complete belongs to a reproduction"
    elif own_registers and on_source:
        problem = "a source-review is about a commit: no registers"
    elif (options.open_findings is None) == (options.result == "qualified"):
        problem = "--open goes with --result qualified, and is required there"
    if problem:
        raise UsageError(problem)


def _find_work(
    session: Session, access: Access, options: CosignOptions, keyid: str | None
) -> Work:
    entry = None if options.index is None else access.entry(options.index)
    release = None
    if entry is not None:
        if not isinstance(entry.predicate, Release):
            message = f"entry {entry.index} is no release: {title(entry.statement)}"
            raise UsageError(message)
        release = entry.predicate
    names = _names(access, options, release)
    found, commit = None, options.commit
    if release is None or entry is None:
        view = access.identities(*names)
    else:
        registers = entry.statement.registers
        found = look(access, release.product, registers, session.now, names)
        view = found.view
        commit = release.source.commit if release.source else None
    name = names[0] if keyid is None else find_speaker(view, names, keyid)
    work = Work(name, view, entry, release, found, commit)
    if options.scope == SOURCE_REVIEW:
        if work.commit is None:
            message = "the release names no commit: there is no source to review"
            raise UsageError(message)
        key = f"commit=gitCommit:{work.commit}"
        work.view = access.said(work.name, "source", key)
        work.basis = _basis(access, options, work.name)
    return work


def _names(
    access: Access, options: CosignOptions, release: Release | None
) -> list[str]:
    """Who may be speaking: `--as`, or the auditors of the policy."""
    if options.name:
        return [options.name]
    policy = access.rules
    rules = policy.find_product(release.product) if release else None
    of_all = [one for p in policy.products.values() for one in p.auditors]
    names = [one.name for one in (rules.auditors if rules else of_all)]
    names += [one.name for one in of_all]
    found = list(dict.fromkeys(names))
    many = len(found) > (1 if options.output else limits.AUDITORS_OF_PRODUCT)
    if not found or many:
        message = "who speaks? --as NAME (the policy does not tell)"
        raise UsageError(message)
    return found


def _basis(access: Access, options: CosignOptions, name: str) -> Basis | None:
    if options.basis is None:
        return None
    entry = access.entry(options.basis)
    review = entry.predicate
    if (
        not isinstance(review, Audit)
        or review.scope != SOURCE_REVIEW
        or review.issuer != name
    ):
        message = f"entry {entry.index} is no source-review by {name}"
        raise UsageError(message)
    commit = entry.statement.registers["commit"].partition(":")[2]
    return Basis(commit, entry.sha256)


# --- whether to say it ---------------------------------------------------------------


def _refusal(
    session: Session, options: CosignOptions, work: Work, own: Registers
) -> int | None:
    """Refuse what the log, or the auditor's own registers, speak against."""
    found, entry, release = work.found, work.entry, work.release
    if found is None or entry is None or release is None:
        return None
    against = found.releases.against(entry, release)
    if against and options.result != "fail":
        words = f"{title(entry.statement)} (entry {entry.index}) {against}"
        return refuse(session, {"error": words, "entry": entry.index}, words)
    if found.releases.conflicts:
        _, rival = found.releases.conflicts[0]
        session.output.remark(f"entry {rival.index} contradicts this release")
    if options.scope == REPRODUCTION and not own and options.result == "pass":
        message = "which registers came out? --measurements rebuilt.json"
        raise UsageError(message)
    theirs = entry.statement.registers
    required = PLATFORMS[release.platform].required
    differ = [n for n in theirs if n in own and own[n] != theirs[n]]
    differ += [n for n in required if own and n not in own]
    if differ and options.result != "fail":
        return _refuse_differing(session, entry, own, options)
    if (
        options.scope == REPRODUCTION
        and options.result == "fail"
        and own
        and not differ
    ):
        message = "these registers are the release's: that rebuild did not fail"
        raise UsageError(message)
    return None


def _refuse_differing(
    session: Session, entry: Entry, own: Registers, options: CosignOptions
) -> int:
    theirs = entry.statement.registers
    error = f"your registers are not those of entry {entry.index}: no {options.result}"
    rows = []
    for name in sorted({*theirs, *own}, key=lambda one: (len(one), one)):
        mine, its = own.get(name, "-"), theirs.get(name, "-")
        style = PLAIN if mine == its else BAD
        rows.append(Row(((f"  {name:<6} release  ", DIM),), its[:_SHOWN] + "…", style))
        rows.append(Row((("         yours    ", DIM),), mine[:_SHOWN] + "…", style))
    rows.append(say("If this is what the named commit builds to, say so:"))
    words = "pcrlog cosign --scope reproduction --result fail --measurements FILE"
    rows.append(following(f"{words} {entry.index}"))
    value = Differs(error, entry.index, dict(theirs), dict(own))
    return refuse(session, value, error, rows)


def _known(work: Work, statement: Statement, options: CosignOptions) -> Entry | None:
    """The same, said before."""
    predicate = statement.predicate
    if not isinstance(predicate, Audit):
        return None
    ignored = [] if options.performed else ["performed"]
    if options.scope == CONTROLS_REVIEW and not options.expires:
        ignored.append("expires")
    for measurement in statement.measurements:
        key = by(work.name, predicate.platform, measurement)
        for entry in reversed(work.view.ask(key)):
            if is_same(entry.statement, statement, *ignored):
                return entry
    return None
