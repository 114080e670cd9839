"""`pcrlog cosign`: publish the result of a rebuild or a review.

What is about to be co-signed is first verified against the log, with the auditor's own
policy; the auditor's own registers are compared with the release's; and a `pass` is
refused where they differ, or where the release no longer stands. With --rebuild the
command does the rebuild itself (cosign_rebuild.py), and its result is what came of it.
"""

from collections.abc import Sequence

import click
from msgspec import Struct

from cli import signers
from cli.audits import CosignOptions
from cli.cosign_saying import matched, say_all
from cli.cosign_work import find_works
from cli.logs import reach
from cli.measurements import measured
from cli.options import both, json_option, speak_options, takes
from cli.session import Session
from pcrlog.errors import UsageError
from pcrlog.measurement import Registers
from pcrlog.sgx_builds import MRSIGNER
from pcrlog.statement import REPRODUCTION, SCOPES, SOURCE_REVIEW

_own_options = both(
    click.option(
        "--measurements",
        metavar="FILE",
        multiple=True,
        help="Your registers, or your image; once for each of several releases.",
    ),
    click.option(
        "--pcr",
        "--register",
        "pcrs",
        metavar="N=HEX",
        multiple=True,
        help="A register, by number or name.",
    ),
    click.option(
        "--artifact",
        "artifacts",
        metavar="FILE|sha256:HEX",
        multiple=True,
        help="Instead of registers: a file that is part of images.",
    ),
)
_rebuild_options = both(
    click.option(
        "--rebuild",
        metavar="COMMAND",
        help="Rebuild it: run this in the release's commit. No shell reads it.",
    ),
    click.option(
        "--produces",
        metavar="PATH",
        help="With --rebuild: the image (or what says its registers) that it makes.",
    ),
    click.option(
        "--run",
        is_flag=True,
        help="With --rebuild: do it. Without, it is only shown what would be done.",
    ),
    click.option(
        "--fail-on-mismatch",
        is_flag=True,
        help="With --rebuild: if another image comes out, publish a fail.",
    ),
    click.option(
        "--against",
        metavar="IMAGE.eif",
        help="With --rebuild: the released image, to show which files differ.",
    ),
    click.option(
        "--fetch-from",
        metavar="DIR|URI",
        help="With --rebuild: a clone to take the commit from; else the source's URI.",
    ),
    click.option(
        "--recipe",
        metavar="FILE",
        help="With --rebuild: the release's recipe, if it is not in the commit.",
    ),
    click.option(
        "--env",
        "variables",
        metavar="NAME[=VALUE]",
        multiple=True,
        help="With --rebuild: what else the command's environment has.",
    ),
    click.option(
        "--folder",
        metavar="DIR",
        help="With --rebuild: where, and kept; else a new one, kept on a mismatch.",
    ),
    click.option(
        "--timeout",
        metavar="DURATION",
        default="1h",
        show_default=True,
        help="With --rebuild: when the command is ended.",
    ),
)


@click.command("cosign")
@click.argument("indices", metavar="[INDEX]...", type=click.IntRange(min=0), nargs=-1)
@click.option("--scope", type=click.Choice(SCOPES), help="What was done.")
@click.option(
    "--result",
    type=click.Choice(["pass", "qualified", "fail"]),
    help="What came of it; qualified for reviews only.",
)
@click.option(
    "--all-variants",
    is_flag=True,
    help="Of each INDEX all releases of the same version that stand.",
)
@_own_options
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
@_rebuild_options
@speak_options
@json_option
@takes(CosignOptions)
def cosign_command(session: Session, options: CosignOptions) -> int:
    """Publish the result of a rebuild or a review.

    It is about the release at INDEX, or several (or, for a source-review, a --commit).
    The log is asked first whether that release still stands, and your registers are
    compared with it: a pass is refused where they differ (exit 4).

    With --rebuild COMMAND --produces PATH the rebuild is done for you; without --run it
    is shown and not done. Exit status then: 0 the same, 3 nothing came out, 4 another
    image.
    """
    if options.policy is None:
        message = "cosign verifies first: --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    if options.rebuild is not None:
        from cli.cosign_rebuild import rebuild

        return rebuild(session, options)
    _check_options(options)
    access = reach(session, options)
    signer = None if options.output else signers.load(options.key)
    keyid = signer.public.keyid if signer else None
    with session.output.progress(f"asking {access.client.url}"):
        works = find_works(session, access, options, keyid)
    return say_all(session, access, matched(works, options, _owns(options)))


class _Own(Struct, frozen=True):
    measurements: str | None = None
    pcrs: tuple[str, ...] = ()
    artifact: str | None = None


def _owns(options: CosignOptions) -> Sequence[Registers]:
    """The auditor's own registers, of one or of several builds."""
    files = options.measurements
    if options.pcrs:
        if len(files) > 1 or options.artifacts:
            message = "--pcr is of one build: beside one --measurements at most"
            raise UsageError(message)
        return [_rebuilt(_Own(files[0] if files else None, options.pcrs))]
    found = [_rebuilt(_Own(file)) for file in files]
    return found + [_rebuilt(_Own(artifact=one)) for one in options.artifacts]


def _rebuilt(own: _Own) -> Registers:
    """What came out, without who signed it: an auditor has another key, by nature."""
    return {name: d for name, d in measured(own).items() if name != MRSIGNER}


def _check_options(options: CosignOptions) -> None:
    on_source = options.scope == SOURCE_REVIEW
    own_registers = options.measurements or options.pcrs or options.artifacts
    several = options.all_variants or len(options.indices) > 1
    problem = None
    if options.scope is None or options.result is None:
        problem = "say what was done, and what came of it: --scope and --result"
    elif (not options.indices) == (options.commit is None):
        problem = "say what it is about: INDEX of a release, or --commit HEX"
    elif options.commit and not on_source:
        problem = f"a {options.scope} is about a release: INDEX"
    elif several and options.result == "fail":
        problem = "a fail is about one release: name its INDEX alone"
    else:
        problem = _misplaced(options, on_source=on_source)
    if problem is None and own_registers and on_source:
        problem = "a source-review is about a commit: no registers"
    if problem:
        raise UsageError(problem)


def _misplaced(options: CosignOptions, *, on_source: bool) -> str | None:
    """An option that belongs to another scope or result."""
    of_rebuild = (
        *(options.produces, options.against, options.fetch_from, options.recipe),
        *(options.folder, options.variables, options.run, options.fail_on_mismatch),
    )
    if any(of_rebuild):
        return "--produces, --run and the like go with --rebuild COMMAND"
    if options.basis is not None and not on_source:
        return "--basis belongs to a source-review"
    if options.components_complete and options.scope != REPRODUCTION:
        return "--components-complete belongs to a reproduction"
    if (options.open_findings is None) == (options.result == "qualified"):
        return "--open goes with --result qualified, and is required there"
    return None
