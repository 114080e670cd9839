"""`pcrlog release`: publish which registers a version of a product boots to.

It looks first (DESIGN.md section 4): a valid release that differs only in when it was
made is left alone, and its index printed; registers that are revoked are refused; what
contradicts another release is refused by the log, unless `--conflict` says that it is
meant.
"""

import re
from collections.abc import Iterator

import click
import msgspec

from cli import release_provenance, signers
from cli.logs import Access, reach
from cli.looking import Found, look
from cli.measurements import wanted_build
from cli.options import (
    json_option,
    measured_options,
    speak_options,
    takes,
)
from cli.release_members import ReleaseOptions, statement_of
from cli.session import Session
from cli.speaking import (
    Plan,
    Published,
    check_speaker,
    conclude,
    published_rows,
    refuse,
    title,
    undecided,
)
from pcrlog.published import Build
from pcrlog.statement import Statement

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RECIPE = 1_048_576


@click.command("release")
@click.option("--product", required=True, metavar="NAME/PRODUCT", help="What it is.")
@click.option("--version", required=True, help="Which version.")
@click.option("--variant", help="Which of several builds of a version, such as x86_64.")
@measured_options
@click.option(
    "--number",
    "numbers",
    metavar="NAME=N",
    multiple=True,
    help="A number that the document has to have: ISVSVN=2 (SGX); once for each.",
)
@click.option("--source", metavar="URI", help="Where the source is; with --commit.")
@click.option("--commit", metavar="HEX", help="The commit that was built.")
@click.option(
    "--recipe",
    metavar="FILE|URI",
    help="How to build: a file of the source, or a URI (URI#sha256:HEX, or fetched).",
)
@click.option("--recipe-uri", metavar="URI", help="Where a recipe FILE is published.")
@click.option(
    "--from-git",
    metavar="[DIR]",
    is_flag=False,
    flag_value=".",
    help="Take source, commit and recipe FILE from a clean, pushed git working tree.",
)
@click.option(
    "--remote",
    metavar="NAME",
    help="With --from-git: whose address the source is; else that of the branch.",
)
@click.option(
    "--component",
    "components",
    metavar="PRODUCT:SHA256|FILE",
    multiple=True,
    help="A part that somebody else releases; once for each.",
)
@click.option("--no-components", is_flag=True, help="Say that there are none.")
@click.option(
    "--control",
    "controls",
    metavar="KIND:SHA256|FILE[:URI]",
    multiple=True,
    help="What hands secrets to the enclave, such as a key policy; once for each.",
)
@click.option("--no-controls", is_flag=True, help="Say that there are none.")
@click.option("--image", metavar="FILE", help="The image file; its digest and size.")
@click.option(
    "--binding",
    metavar="FIELD:KIND",
    help="How it names its key: public_key or user_data, tls-spki-sha256 and the like.",
)
@click.option("--expires", metavar="TIME", help="A time, or a duration such as 90d.")
@click.option(
    "--reference",
    "references",
    metavar="KIND:URI:SHA256",
    multiple=True,
    help="A document about the release: sbom, vex, slsa-provenance and the like.",
)
@release_provenance.options
@click.option("--conflict", is_flag=True, help="Contradict an earlier release: meant.")
@speak_options
@json_option
@takes(ReleaseOptions)
def release_command(session: Session, options: ReleaseOptions) -> int:
    """Publish which registers a version boots to.

    The product's first part is who speaks. Doing it again changes nothing.
    """
    build = wanted_build(options, options.numbers)
    registers = build.registers
    if options.from_git is not None or options.remote is not None:
        from cli import from_git

        taken = from_git.members(session, options)
        options = msgspec.structs.replace(options, **taken)
    provenance = release_provenance.reference(session, options, registers)
    if provenance is not None:  # which is about this file: so the release names it
        file = release_provenance.file_of(options)
        options = msgspec.structs.replace(options, image=file)
    access = reach(session, options)
    statement = statement_of(access, options, build, session.now, provenance)
    for weakness in _weaknesses(build, options.binding):
        session.output.remark(weakness)
    with session.output.progress(f"asking {access.client.url}"):
        found = look(access, options.product, registers, session.now)
    condemned = found.condemned
    if condemned is not None:
        reason = getattr(condemned.predicate, "reason", "revoked")
        words = (
            f"{condemned.predicate.issuer} revoked these registers as {reason}, for"
            f" good (entry {condemned.index}). Build anew, and release that"
        )
        return refuse(session, {"error": words, "entry": condemned.index}, words)
    known = found.same(statement)
    if known is not None and options.output is None:
        index, digest = known.index, known.sha256
        result = Published(
            title(statement),
            access.origin,
            index,
            digest,
            known=True,
            proven=access.log is not None,
        )
        session.output.result(result, published_rows(result))
        return 0
    return _publish(session, access, options, statement, found)


def _weaknesses(build: Build, binding: str | None) -> Iterator[str]:
    """What an enclave of SGX leaves open if its release says no more than it does."""
    if build.platform != "intel-sgx":
        return
    if "MRSIGNER" not in build.registers:
        yield (
            "MRSIGNER is not named: whoever signs this enclave anew can open what it"
            " seals for its signer (--register MRSIGNER=HEX)"
        )
    if not build.numbers:
        yield (
            "no ISVSVN and ISVPRODID are named: the same enclave signed with any others"
            " will match (--number ISVSVN=N)"
        )
    if binding is not None and binding.startswith("user_data"):
        yield (
            "with user_data an enclave holds its key where a nonce belongs: nobody can"
            " ask whether it is alive (public_key is the second half of report data)"
        )


def _publish(
    session: Session,
    access: Access,
    options: ReleaseOptions,
    statement: Statement,
    found: Found,
) -> int:
    if options.output is None:
        keyid = signers.load(options.key).public.keyid
        check_speaker(found.view, statement.predicate.issuer, keyid)
    plan = Plan(options.key, options.output, options.wait, options.conflict)
    return undecided(conclude(session, access, statement, plan))
