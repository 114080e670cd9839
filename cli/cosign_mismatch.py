"""What is shown when another image comes out of a rebuild than was released."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import Struct

from cli import images
from cli.audits import CosignOptions, Work
from cli.cosign_plan import expected, subject
from cli.cosign_saying import register_rows
from cli.cosign_work import variants
from cli.output import DIM, Row, fact, following, say
from cli.session import Session
from cli.speaking import refuse
from pcrlog.encoding import shown
from pcrlog.errors import UsageError
from pcrlog.predicates import Release
from pcrlog.published import ARTIFACT
from pcrlog.statement import REPRODUCTION

if TYPE_CHECKING:
    from workbench.comparing import Comparison

_SHOWN = len("sha384:") + 16


class Made(Struct, frozen=True):
    """What came out of a rebuild: an image's or an artifact's file, and its registers.

    `log`: the file with what the build printed.
    """

    file: str
    registers: dict[str, str]
    log: str


class Mismatch(Struct, frozen=True):
    """A rebuild from which something else came out than was released."""

    error: str
    entry: int
    release: dict[str, str]
    ours: Made
    differences: "Comparison | None"


def compare(
    session: Session, options: CosignOptions, work: Work, made: Made
) -> "Comparison | None":
    """What differs, down to the files if the released image is at hand.

    Raises:
        UsageError: what is said to be the released image is not.
    """
    entry, release = subject(work)
    if release.platform == ARTIFACT:
        return None
    from workbench.comparing import Side, compare_images, compare_registers

    theirs = entry.statement.registers
    if options.against is None:
        return compare_registers(theirs, made.registers)
    with ExitStack() as stack:
        sides = []
        for path in (options.against, made.file):
            file = stack.enter_context(images.opened(path))
            sides.append(Side(file, images.measured(file, path, session.output)))
        a, b = sides
        if any(a.image.registers.get(n) != d for n, d in expected(work).items()):
            message = (
                f"{options.against} is not the image that entry {entry.index} releases:"
                f" its PCR0 is {a.image.registers['PCR0'][:_SHOWN]}…"
            )
            raise UsageError(message)
        with session.output.progress("comparing") as tell:
            return compare_images(a, b, images.telling(tell, "both"))


def doubt(work: Work, own: Mapping[str, str], absent: Sequence[str]) -> str:
    """Why what came out is nothing to hold against the release; empty if it may be.

    Args:
        work: the release.
        own: the registers that came out.
        absent: what the commit points at, and the build did not have.
    """
    _, release = subject(work)
    wanted = {name: own.get(name) for name in expected(work)}
    for other in variants(work):
        said, theirs = other.predicate, other.statement.registers
        if not isinstance(said, Release) or said.variant == release.variant:
            continue
        if {name: theirs.get(name) for name in wanted} == wanted:
            named, ours = said.variant or "none", release.variant or "none"
            return (
                f"it is what entry {other.index} releases, variant {named}: this is"
                f" variant {ours}"
            )
    if absent:
        return (
            f"{shown(absent[0])} was not there, of {len(absent)} submodules and files"
            " in LFS that the commit only points at: the command has to fetch them"
        )
    return ""


def refuse_mismatch(
    session: Session, options: CosignOptions, work: Work, made: Made, why: str
) -> int:
    """Show a mismatch of which nothing is published; the exit status.

    `why` is what else may explain it (`doubt`).
    """
    entry, _ = subject(work)
    compared = compare(session, options, work, made)
    error = (
        f"another {_kind(compared)} came out: nothing is said of entry {entry.index}"
    )
    theirs = dict(entry.statement.registers)
    value = Mismatch(error, entry.index, theirs, made, compared)
    rows = [*_rows(theirs, made, compared)]
    if why:
        session.output.remark(why)
    rows.append(say("If this is what the commit builds to, say so:"))
    given = "--artifact" if compared is None else "--measurements"
    command = f"pcrlog cosign --scope {REPRODUCTION} --result fail {given}"
    rows.append(following(f"{command} {shlex.quote(made.file)} {entry.index}"))
    return refuse(session, value, error, rows)


def tell_mismatch(
    session: Session, options: CosignOptions, work: Work, made: Made
) -> None:
    """Show a mismatch that is about to be published, beside what is."""
    entry, _ = subject(work)
    compared = compare(session, options, work, made)
    session.output.remark(
        f"another {_kind(compared)} came out of entry {entry.index}'s commit"
    )
    theirs = dict(entry.statement.registers)
    session.output.beside(_rows(theirs, made, compared))


def _kind(compared: "Comparison | None") -> str:
    return "file" if compared is None else "image"


def _rows(
    theirs: dict[str, str], made: Made, compared: "Comparison | None"
) -> Iterator[Row]:
    if compared is not None and compared.differences:
        from cli.differences import rows_of

        yield say("A is the released image, B is yours", DIM)
        yield from rows_of(compared)
    else:
        yield from register_rows(theirs, made.registers)
        if compared is not None and "PCR0" in theirs:
            words = "With the released image, --against IMAGE.eif names the files"
            yield say(words, DIM)
    yield fact("kept", made.file)
    yield fact("output", made.log)
