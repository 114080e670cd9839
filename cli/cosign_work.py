"""What an audit is about: releases or a commit; who speaks; what a review builds on.

One command may be about several: every INDEX that is named, and with --all-variants
every other release of the same version that stands. A source-review speaks of a commit,
so releases of the same commit are one.
"""

from collections.abc import Iterator

from cli.audits import CosignOptions, Work
from cli.cosign_basis import chain
from cli.logs import Access
from cli.looking import look
from cli.session import Session
from cli.speaking import find_speaker, title
from pcrlog import limits
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import of_version
from pcrlog.predicates import Release
from pcrlog.statement import SOURCE_REVIEW

MOST = 64
"""Audits that one command makes."""


def find_works(
    session: Session, access: Access, options: CosignOptions, keyid: str | None
) -> list[Work]:
    """What the options are about, each with what the log says of it.

    Raises:
        UsageError: no release, no source to review, or nobody who may be speaking.
    """
    if not options.indices:
        return [_of_commit(access, options, keyid)]
    works: dict[object, Work] = {}
    for index in dict.fromkeys(options.indices):
        work = _of_release(session, access, options, keyid, access.entry(index))
        works.setdefault(_what(options, work), work)
        for entry in variants(work) if options.all_variants else ():
            work = _of_release(session, access, options, keyid, entry)
            if not work.against:
                works.setdefault(_what(options, work), work)
    if len(works) > MOST:
        message = f"{len(works)} audits at once, at most {MOST}: name each INDEX"
        raise UsageError(message)
    if options.scope == SOURCE_REVIEW:
        for work in works.values():
            _add_source(access, options, work)
    return list(works.values())


def _what(options: CosignOptions, work: Work) -> object:
    """What makes two audits the same."""
    if options.scope == SOURCE_REVIEW:
        return work.commit
    entry = work.entry
    registers = (
        () if entry is None else tuple(sorted(entry.statement.registers.items()))
    )
    product = work.release.product if work.release else ""
    return (product, registers)


def variants(work: Work) -> Iterator[Entry]:
    """The releases of a version, the newest first."""
    found, release = work.found, work.release
    if found is None or release is None:  # pragma: no cover - it is of a release
        return
    of_all = found.view.ask(of_version(release.product, release.version))
    if len(of_all) > MOST:
        message = f"{len(of_all)} releases of that version: name each INDEX"
        raise UsageError(message)
    for entry in reversed(of_all):
        said = entry.predicate
        if isinstance(said, Release) and said.product == release.product:
            yield entry


def _release(entry: Entry) -> Release:
    if isinstance(entry.predicate, Release):
        return entry.predicate
    message = f"entry {entry.index} is no release: {title(entry.statement)}"
    raise UsageError(message)


def _of_commit(access: Access, options: CosignOptions, keyid: str | None) -> Work:
    names = _names(access, options, None)
    view = access.identities(*names)
    name = names[0] if keyid is None else find_speaker(view, names, keyid)
    work = Work(name, view, commit=options.commit)
    _add_source(access, options, work)
    return work


def _of_release(
    session: Session,
    access: Access,
    options: CosignOptions,
    keyid: str | None,
    entry: Entry,
) -> Work:
    release = _release(entry)
    names = _names(access, options, release)
    registers = entry.statement.registers
    found = look(access, release.product, registers, session.now, names)
    name = names[0] if keyid is None else find_speaker(found.view, names, keyid)
    commit = release.source.commit if release.source else None
    return Work(name, found.view, entry, release, found, commit)


def _add_source(access: Access, options: CosignOptions, work: Work) -> None:
    """What the speaker has said of the commit already, and what it builds on."""
    if work.commit is None:
        message = "the release names no commit: there is no source to review"
        raise UsageError(message)
    work.view = access.said(work.name, "source", f"commit=gitCommit:{work.commit}")
    if options.basis is not None:
        work.basis = chain(access, work.name, options.basis)


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
