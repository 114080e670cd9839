"""`pcrlog release`: publish which registers a version of a product boots to.

It looks first (DESIGN.md section 4): a valid release that differs only in when it was
made is left alone, and its index printed; registers that are revoked are refused; what
contradicts another release is refused by the log, unless `--conflict` says that it is
meant.
"""

import re

import click
import msgspec

from cli import files, signers
from cli.logs import Access, platform_of, reach
from cli.looking import Found, look
from cli.measurements import wanted
from cli.options import (
    SpeakOptions,
    json_option,
    measured_options,
    moment,
    speak_options,
    takes,
)
from cli.session import Session
from cli.speaking import (
    Plan,
    Published,
    check_speaker,
    common,
    compose,
    conclude,
    published_rows,
    refuse,
    title,
    undecided,
)
from pcrlog.errors import UsageError
from pcrlog.measurement import Registers
from pcrlog.predicates import (
    Binding,
    Build,
    Component,
    Control,
    Document,
    Image,
    Reference,
    Release,
    Source,
)
from pcrlog.statement import Statement
from pcrlog.transport import fetch_file

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RECIPE = 1_048_576


class _Release(SpeakOptions, frozen=True, kw_only=True):
    product: str
    version: str
    variant: str | None
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    source: str | None
    commit: str | None
    recipe: str | None
    recipe_uri: str | None
    from_git: str | None
    remote: str | None
    components: tuple[str, ...]
    no_components: bool
    controls: tuple[str, ...]
    no_controls: bool
    image: str | None
    binding: str | None
    expires: str | None
    references: tuple[str, ...]
    conflict: bool


@click.command("release")
@click.option("--product", required=True, metavar="NAME/PRODUCT", help="What it is.")
@click.option("--version", required=True, help="Which version.")
@click.option("--variant", help="Which of several builds of a version, such as x86_64.")
@measured_options
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
    metavar="PRODUCT:SHA256",
    multiple=True,
    help="A part that somebody else releases; once for each.",
)
@click.option("--no-components", is_flag=True, help="Say that there are none.")
@click.option(
    "--control",
    "controls",
    metavar="KIND:SHA256[:URI]",
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
@click.option("--conflict", is_flag=True, help="Contradict an earlier release: meant.")
@speak_options
@json_option
@takes(_Release)
def release_command(session: Session, options: _Release) -> int:
    """Publish which registers a version boots to.

    The product's first part is who speaks. Doing it again changes nothing.
    """
    registers = wanted(options)
    if options.from_git is not None or options.remote is not None:
        from cli import from_git

        taken = from_git.members(session, options)
        options = msgspec.structs.replace(options, **taken)
    access = reach(session, options)
    statement = _statement(access, options, registers, session.now)
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


def _publish(
    session: Session,
    access: Access,
    options: _Release,
    statement: Statement,
    found: Found,
) -> int:
    if options.output is None:
        keyid = signers.load(options.key).public.keyid
        check_speaker(found.view, statement.predicate.issuer, keyid)
    plan = Plan(options.key, options.output, options.wait, options.conflict)
    return undecided(conclude(session, access, statement, plan))


def _statement(
    access: Access, options: _Release, registers: Registers, now: int
) -> Statement:
    if options.no_components and options.components:
        message = "--no-components and --component exclude each other"
        raise UsageError(message)
    if options.no_controls and options.controls:
        message = "--no-controls and --control exclude each other"
        raise UsageError(message)
    components = sorted(map(_component, options.components), key=Component.order)
    controls = sorted(map(_control, options.controls), key=Control.order)
    references = sorted(map(_reference, options.references), key=Reference.order)
    issuer = options.name or options.product.partition("/")[0]
    predicate = Release(
        **common(access, issuer, now, platform_of(registers)),  # type: ignore[arg-type] # a dict of members
        product=options.product,
        version=options.version,
        variant=options.variant,
        expires=moment(options.expires, now, option="--expires"),
        image=_image(options.image),
        source=_source(options),
        build=_build(options),
        components=tuple(components) if components or options.no_components else None,
        controls=tuple(controls) if controls or options.no_controls else None,
        binding=_binding(options.binding),
        references=tuple(references) or None,
    )
    return compose(predicate, registers)


def _source(options: _Release) -> Source | None:
    if (options.source is None) != (options.commit is None):
        message = "--source and --commit belong together: where, and which"
        raise UsageError(message)
    if options.source is None or options.commit is None:
        return None
    return Source(options.source, options.commit)


def _build(options: _Release) -> Build | None:
    """The recipe: a file's digest, or what is at a URI.

    A file without a URI of its own is one of the source tree: it is found there by its
    digest.
    """
    recipe = options.recipe
    if recipe is None:
        return None
    if "://" not in recipe:
        uri = options.recipe_uri or options.source
        if uri is None:
            message = f"where is {recipe} published? --recipe-uri URI, or --source"
            raise UsageError(message)
        return Build(Document(uri, files.digest(recipe)[0]))
    uri, mark, digest = recipe.partition("#sha256:")
    if not mark:
        digest = fetch_file(uri, _RECIPE)
    return Build(Document(uri, digest))


def _image(file: str | None) -> Image | None:
    if file is None:
        return None
    digest, size = files.digest(file)
    return Image(digest, size)


def _binding(text: str | None) -> Binding | None:
    if text is None:
        return None
    field, _, kind = text.partition(":")
    return Binding(field, kind)  # type: ignore[arg-type] # compose() checks the words


def _component(text: str) -> Component:
    product, _, digest = text.rpartition(":")
    return Component(product, _digest(digest, "--component PRODUCT:SHA256"))


def _control(text: str) -> Control:
    kind, _, rest = text.partition(":")
    digest, _, uri = rest.partition(":")
    return Control(kind, _digest(digest, "--control KIND:SHA256[:URI]"), uri or None)


def _reference(text: str) -> Reference:
    kind, _, rest = text.partition(":")
    uri, _, digest = rest.rpartition(":")
    found = _digest(digest, "--reference KIND:URI:SHA256")
    return Reference(kind, uri, found)  # type: ignore[arg-type] # compose() checks the word


def _digest(text: str, option: str) -> str:
    if _SHA256.fullmatch(text):
        return text
    message = f"{option}: expected 64 lower-case hex digits, got {text[:70]!r}"
    raise UsageError(message)
