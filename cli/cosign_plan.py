"""What `pcrlog cosign --rebuild` would do, said before it is done.

The commit and where it comes from, the recipe, the command word by word, its whole
environment, and the statement that would be signed: an auditor who is about to run
somebody else's code sees all of it first.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from cli.audits import CosignOptions, Work, audit_statement
from cli.logs import Access
from cli.options import duration
from cli.output import BAD, DIM, STRONG, WARN, Row, blank, fact, say
from cli.session import Session
from cli.speaking import title
from pcrlog.entry import Entry
from pcrlog.errors import UsageError, VerificationError
from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import Document, Release
from pcrlog.published import NITRO
from pcrlog.statement import REPRODUCTION

if TYPE_CHECKING:
    from workbench.rebuild import Job

_MOST_SECONDS = 7 * 86_400
_FOREIGN = {
    "result": "--result",
    "measurements": "--measurements",
    "pcrs": "--pcr",
    "artifacts": "--artifact",
    "commit": "--commit",
    "basis": "--basis",
    "open_findings": "--open",
}
"""Options that say what a rebuild finds out, or that belong to reviews."""
_SHOWN = len("sha384:") + 32


class Planned(Struct, frozen=True):
    """A rebuild that was not done: what it would do, and what it would say.

    `expected`: the registers that are to come out. `statement`: the payload of the
    audit, as it is signed if they do; its times are those of this run.
    """

    release: int
    kind: str
    fetch_from: str
    commit: str
    recipe: Document | None
    folder: str | None
    command: tuple[str, ...]
    environment: dict[str, str]
    seconds: int
    produces: str
    expected: dict[str, str]
    auditor: str
    statement: str


class Plans(Struct, frozen=True):
    """All rebuilds that were not done."""

    dry_run: bool
    rebuilds: tuple[Planned, ...]


def checked(options: CosignOptions) -> CosignOptions:
    """The options of a rebuild, which make no others needed.

    Raises:
        UsageError: there are others, or one is missing.
    """
    given = [name for name in _FOREIGN if getattr(options, name)]
    problem = None
    if given:
        problem = f"--rebuild finds out by itself what {_FOREIGN[given[0]]} would say"
    elif options.scope not in (None, REPRODUCTION):
        problem = f"a rebuild is a reproduction, and no {options.scope}"
    elif not options.indices:
        problem = "--rebuild: of which release? INDEX (pcrlog queue lists them)"
    elif options.produces is None:
        problem = "which file does the command make? --produces result/app.eif"
    elif len(options.indices) > 1 or options.all_variants:
        problem = _of_one(options)
    if options.output and os.path.lexists(options.output):
        problem = f"{options.output} exists; it is left as it is. Name another"
    if problem:
        raise UsageError(problem)
    return replace(options, scope=REPRODUCTION, result="pass")


def _of_one(options: CosignOptions) -> str | None:
    """An option that is about one release, where there are several."""
    if options.against:
        return "--against is one released image: name its INDEX alone"
    if options.fail_on_mismatch:
        return "a fail is about one release: name its INDEX alone"
    return None


def job_of(options: CosignOptions, work: Work) -> "Job":
    """What is to be done for a release.

    Raises:
        UsageError: it names no source, or the options are not those of a rebuild.
        VerificationError: it no longer stands.
    """
    from workbench.rebuild import Job, inside, variables, words_of

    entry, release = subject(work)
    source, build = release.source, release.build
    if work.against:
        message = f"{title(entry.statement)} (entry {entry.index}) {work.against}"
        raise VerificationError(message)
    if source is None:
        message = (
            f"entry {entry.index} names no source: there is nothing to rebuild. Ask"
            f" {release.issuer} to release with --from-git"
        )
        raise UsageError(message)
    if options.against and release.platform != NITRO:
        message = f"--against is an image (.eif): on {release.platform} there is none"
        raise UsageError(message)
    seconds = duration(options.timeout, option="--timeout")
    if not 0 < seconds <= _MOST_SECONDS:
        message = f"--timeout {options.timeout}: expected a time of at most 7d"
        raise UsageError(message)
    about = {"PCRLOG_PRODUCT": release.product, "PCRLOG_VERSION": release.version}
    if release.variant:
        about["PCRLOG_VARIANT"] = release.variant
    return Job(
        fetch_from=options.fetch_from or source.uri,
        commit=source.commit,
        command=words_of(options.rebuild or ""),
        produces=inside(options.produces or ""),
        seconds=seconds,
        extra=about | variables(options.variables, os.environ),
        recipe_sha256=build.recipe.sha256 if build else None,
    )


def subject(work: Work) -> tuple[Entry, Release]:
    """The entry, and the release in it, that work is about.

    Raises:
        UsageError: it is about a commit alone.
    """
    if work.entry is None or work.release is None:  # pragma: no cover - checked before
        message = "a rebuild is of a release: INDEX"
        raise UsageError(message)
    return work.entry, work.release


def expected(work: Work) -> dict[str, str]:
    """The registers of the release that a rebuild can tell."""
    entry, release = subject(work)
    told = PLATFORMS[release.platform].required
    return {n: d for n, d in entry.statement.registers.items() if n in told}


def comparable(work: Work, own: Mapping[str, str]) -> dict[str, str]:
    """Of the registers that came out, those that say something of the build.

    PCR8 is of who signed the image: an auditor's own says nothing of the provider's.
    """
    entry, release = subject(work)
    theirs, told = entry.statement.registers, PLATFORMS[release.platform].required
    return {n: d for n, d in own.items() if n in told or theirs.get(n) == d}


def plan_of(
    session: Session, access: Access, options: CosignOptions, work: Work, job: "Job"
) -> Planned:
    """The same, said and not done."""
    from workbench.rebuild import environment, search_path

    entry, release = subject(work)
    registers = expected(work)
    recipe = release.build.recipe if release.build else None
    folder = Path(options.folder or "$FOLDER")
    path = search_path(os.environ)
    told = None if recipe is None else "the recipe's path"
    statement = audit_statement(access, options, work, registers, session.now)
    return Planned(
        release=entry.index,
        kind=title(entry.statement).removeprefix("release "),
        fetch_from=job.fetch_from,
        commit=job.commit,
        recipe=recipe,
        folder=options.folder,
        command=job.command,
        environment=environment(job, folder, path, None, told),
        seconds=job.seconds,
        produces=job.produces,
        expected=registers,
        auditor=work.name,
        statement=statement.payload.decode("ascii"),
    )


# --- for people ----------------------------------------------------------------------


def plan_rows(options: CosignOptions, plans: Sequence[Planned]) -> Iterator[Row]:
    """Plans, for people."""
    told = "nothing was fetched, run or signed; --run does it"
    yield Row((("DRY RUN: ", f"bold {WARN}"),), told, STRONG, hang=2)
    for one in plans:
        yield blank()
        yield from _one(one)
    yield blank()
    if options.fail_on_mismatch:
        yield Row((("  differs     ", BAD),), f"then it signs {REPRODUCTION} fail")
    else:
        yield fact("differs", "then nothing is signed, and it is shown what differs")
    yield Row(
        (("note: ", WARN),),
        "it is the provider's code that runs, as you. What confines it (a container, a"
        " machine that has nothing to lose) is part of the command",
    )


def _one(one: Planned) -> Iterator[Row]:
    import shlex

    from workbench.rebuild import OUTPUT

    yield say(f"entry {one.release}: {one.kind}", STRONG)
    yield fact("commit", one.commit)
    yield fact("from", one.fetch_from)
    if one.recipe is None:
        yield fact("recipe", "the release names none")
    else:
        yield fact("recipe", f"sha256 {one.recipe.sha256}")
        yield fact("", f"in the commit, or at {one.recipe.uri}")
    yield fact("folder", one.folder or "a new one; kept unless the image is the same")
    yield Row((("  runs        ", DIM),), shlex.join(one.command), STRONG, whole=True)
    lead = "with"
    for name, value in one.environment.items():
        yield Row(((f"  {lead:<12}", DIM),), f"{name}={value}", whole=True)
        lead = ""
    yield fact("at most", f"{one.seconds} s, {OUTPUT >> 20} MiB of output")
    yield fact("makes", one.produces)
    for name, value in one.expected.items():
        yield fact("expected", f"{name} {value[:_SHOWN]}…")
    yield fact("the same", f"then it signs {REPRODUCTION} pass by {one.auditor}")
