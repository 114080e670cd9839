"""`pcrlog cosign --rebuild`: fetch, build, measure, compare, and say what was found.

Without --run it is shown what would be done: the commit and where it comes from, the
recipe, the command word by word, its whole environment, and what would be signed. How
it is done, `workbench.rebuild` says. Then the log is asked anew: what was released an
hour ago may have been revoked while the build ran.

A build that fails, or makes nothing, is no audit: it could not be checked (3), since a
network that was down would look the same. A build that makes another image is shown
with what differs (4), and is published as a fail if --fail-on-mismatch says so, and
nothing else explains it (`cosign_mismatch.doubt`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from cli import files, images, signers
from cli.audits import CosignOptions, Work
from cli.cosign_folder import folder_of, remove
from cli.cosign_mismatch import Made, doubt, refuse_mismatch, tell_mismatch
from cli.cosign_plan import (
    Plans,
    checked,
    comparable,
    job_of,
    plan_of,
    plan_rows,
    subject,
)
from cli.cosign_saying import Saying, differing, say_all
from cli.cosign_work import find_works
from cli.logs import reach
from cli.session import Session
from pcrlog.encoding import sha256
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.predicates import Release
from pcrlog.published import (
    ARTIFACT,
    MOST,
    NITROTPM,
    SGX,
    check_build,
    collect,
    parse_pairs,
)
from pcrlog.sgx_builds import MRSIGNER
from pcrlog.statement import REPRODUCTION
from pcrlog.transport import Client

if TYPE_CHECKING:
    from workbench.rebuild import Built, Job, Rebuild


_PRINTED = (SGX, NITROTPM)
"""Platforms of whose builds another tool says the registers: that file is made."""


class _Found(Struct, frozen=True):
    """What one rebuild came to: the file's registers and SHA-256, and where it lies.

    `absent`: what the commit only points at, and the build did not have.
    """

    registers: dict[str, str]
    sha256: str
    built: "Built"
    folder: Path
    absent: tuple[str, ...]


def rebuild(session: Session, options: CosignOptions) -> int:
    """Show, or do, the rebuilds that the options name; the exit status."""
    options = checked(options)
    access = reach(session, options)
    signs = options.key is not None or (options.run and not options.output)
    keyid = signers.load(options.key).public.keyid if signs else None
    with session.output.progress(f"asking {access.client.url}"):
        works = find_works(session, access, options, keyid)
    jobs = [(work, job_of(options, work)) for work in works]
    # Made before anything is run: it refuses what could not be said afterwards.
    plans = [plan_of(session, access, options, *one) for one in jobs]
    if options.output and len(jobs) > 1:
        message = f"-o {options.output} is for one statement: name one INDEX at a time"
        raise UsageError(message)
    if not options.run:
        result = Plans(dry_run=True, rebuilds=tuple(plans))
        session.output.result(result, plan_rows(options, plans))
        return 0
    found = {}
    for work, job in jobs:
        entry, _ = subject(work)
        with folder_of(options, entry.index, many=len(jobs) > 1) as folder:
            found[entry.index] = _rebuild_one(session, options, work, job, folder)
    return _conclude(session, options, keyid, found)


# --- doing it ------------------------------------------------------------------------


def _rebuild_one(
    session: Session, options: CosignOptions, work: Work, job: "Job", folder: Path
) -> _Found:
    """Fetch, build and measure.

    Raises:
        UncheckedError: the commit or the recipe cannot be had, or nothing came out.
    """
    from workbench.pointers import absent
    from workbench.rebuild import Rebuild

    entry, release = subject(work)
    doing = Rebuild(job, folder, os.environ)
    try:
        with session.output.progress(f"fetching {job.commit[:12]}"):
            checkout = doing.fetch()
            recipe = _recipe(options, release, doing)
    except PcrlogError:
        if options.folder is None:
            remove(folder)  # there is nothing in it to look at
        raise
    if checkout.submodules:
        session.output.remark(
            f"the commit names {len(checkout.submodules)} submodules, which are not"
            " fetched: your command has to (git submodule update --init --recursive)"
        )
    if checkout.filtered:
        session.output.remark(
            f"{len(checkout.filtered)} files of the commit are in LFS, or have another"
            " filter, and are as the commit has them: your command has to fetch them"
            " (git lfs pull)"
        )
    name = release.product
    with session.output.progress(f"building {name}") as tell:
        built = doing.build(checkout, recipe, lambda line: tell(f"{name}: {line}"))
    if built.file is None:
        raise UncheckedError(_nothing(built, entry.index))
    registers, digest = _measured(session, release, built.file)
    lacking = absent(checkout.folder, checkout.submodules, checkout.filtered)
    return _Found(registers, digest, built, folder, lacking)


def _recipe(options: CosignOptions, release: Release, doing: "Rebuild") -> str | None:
    """The path of the recipe that the release names, found by its digest.

    Raises:
        UncheckedError: it is nowhere.
    """
    from workbench.checkout import RECIPE

    if release.build is None:
        return None
    named = doing.find_recipe()
    if named is not None:
        return named
    uri, digest = release.build.recipe.uri, release.build.recipe.sha256
    data, where = b"", "the commit"
    if options.recipe is not None:
        data, where = files.read(options.recipe, RECIPE), options.recipe
    elif uri.startswith("https://") and release.source and uri != release.source.uri:
        base, _, path = uri.rpartition("/")
        data, where = Client(base)(path, RECIPE), f"the commit, nor at {uri}"
    if sha256(data).hex() != digest:
        message = (
            f"the release's recipe (sha256 {digest[:16]}…) is not in {where}: ask"
            f" {release.issuer} for it, and name it: --recipe FILE"
        )
        raise UncheckedError(message)
    return doing.keep_recipe(data)


def _nothing(built: "Built", index: int) -> str:
    """Why there is nothing to measure, and what can be said then."""
    last = "; ".join(built.ran.last[-3:])
    ends = f", and ends: {last}" if last else ""
    return (
        f"{built.problem}. What it printed is in {built.log}{ends}. If the commit"
        f" cannot be built: pcrlog cosign --scope {REPRODUCTION} --result fail {index}"
    )


def _measured(
    session: Session, release: Release, file: Path
) -> tuple[dict[str, str], str]:
    """The registers of what came out, and the SHA-256 of the file.

    Raises:
        UncheckedError: it is no image, or does not say registers of the platform.
    """
    import hashlib

    from workbench.rebuild import opened

    with opened(file) as made:
        if release.platform == ARTIFACT:
            digest = hashlib.file_digest(made, "sha256").hexdigest()
            return {"digest": f"sha256:{digest}"}, digest
        if release.platform in _PRINTED:
            data = made.read(MOST + 1)
            return _printed(release.platform, data), sha256(data).hex()
        try:
            image = images.measured(made, str(file), session.output)
        except (MalformedError, VerificationError) as error:
            message = f"what the command made is no image: {error}"
            raise UncheckedError(message) from error
    return dict(image.registers), image.sha256


def _printed(platform: str, data: bytes) -> dict[str, str]:
    """The registers that a file says, without who signed it: that is not the build's.

    Raises:
        UncheckedError: it is too large, of no form, or of another platform.
    """
    if len(data) > MOST:
        message = f"what the command made has more than {MOST} bytes: no registers"
        raise UncheckedError(message)
    try:
        build = check_build(collect(parse_pairs(data)))
    except MalformedError as error:
        message = f"what the command made says no registers: {error}"
        raise UncheckedError(message) from error
    if build.platform != platform:
        message = f"what the command made is of {build.platform}, want {platform}"
        raise UncheckedError(message)
    return {name: d for name, d in build.registers.items() if name != MRSIGNER}


# --- what came of it -----------------------------------------------------------------


def _conclude(
    session: Session,
    options: CosignOptions,
    keyid: str | None,
    found: Mapping[int, _Found],
) -> int:
    """Ask the log anew, and say what was found; the exit status."""
    access = reach(session, options)
    options = replace(options, indices=tuple(found), all_variants=False)
    with session.output.progress(f"asking {access.client.url}"):
        works = find_works(session, access, options, keyid)
    sayings = []
    for work in works:
        entry, _ = subject(work)
        one = found[entry.index]
        own = comparable(work, one.registers)
        made = Made(str(one.built.file), own, str(one.built.log))
        result = "fail" if differing(work, own) else "pass"
        if result == "pass":
            _tell_same(session, work, one)
        else:
            why = doubt(work, own, one.absent)
            if why or not options.fail_on_mismatch:
                return refuse_mismatch(session, options, work, made, why)
            tell_mismatch(session, options, work, made)
        sayings.append(Saying(work, _as(options, result), own))
    status = say_all(session, access, sayings)
    for saying in sayings:
        entry, _ = subject(saying.work)
        if options.folder is None and saying.options.result == "pass":
            folder = found[entry.index].folder
            if not remove(folder):
                session.output.remark(f"{folder} could not be removed whole")
    return status


def _as(options: CosignOptions, result: str) -> CosignOptions:
    """The options with a result; a fail does not expire, and confirms no list."""
    if result == "pass":
        return replace(options, result=result)
    return replace(options, result=result, expires=None, components_complete=False)


def _tell_same(session: Session, work: Work, one: _Found) -> None:
    _, release = subject(work)
    commit = one.built.checkout.commit[:12]
    session.output.remark(f"commit {commit} builds to what was released")
    image = None if release.platform in _PRINTED else release.image
    if image is not None and image.sha256 != one.sha256:
        session.output.remark(
            "the file is not the one that the release names: it differs in what no"
            " register covers (pcrlog diff tells)"
        )
