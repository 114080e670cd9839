"""The statement of a release, from the options: each member from its own words."""

import re
from pathlib import Path

from cli import files
from cli.logs import Access
from cli.options import SpeakOptions, moment
from cli.speaking import common, compose
from pcrlog.errors import UsageError
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
from pcrlog.published import Build as Built
from pcrlog.statement import Statement
from pcrlog.transport import fetch_file

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RECIPE = 1_048_576


class ReleaseOptions(SpeakOptions, frozen=True, kw_only=True):
    """What `pcrlog release` takes."""

    product: str
    version: str
    variant: str | None
    measurements: str | None
    pcrs: tuple[str, ...]
    artifact: str | None
    numbers: tuple[str, ...]
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
    provenance: str | None
    provenance_uri: str | None
    trusted_root: str | None
    built_by: str | None
    conflict: bool


def statement_of(
    access: Access,
    options: ReleaseOptions,
    built: Built,
    now: int,
    provenance: Reference | None,
) -> Statement:
    """What the provider says, signed by nobody yet.

    Raises:
        UsageError: options that exclude each other, or no such file.
    """
    if options.no_components and options.components:
        message = "--no-components and --component exclude each other"
        raise UsageError(message)
    if options.no_controls and options.controls:
        message = "--no-controls and --control exclude each other"
        raise UsageError(message)
    components = sorted(map(_component, options.components), key=Component.order)
    controls = sorted(map(_control, options.controls), key=Control.order)
    listed = [*map(_reference, options.references), provenance]
    references = sorted(filter(None, listed), key=Reference.order)
    issuer = options.name or options.product.partition("/")[0]
    predicate = Release(
        **common(access, issuer, now, built.platform),  # type: ignore[arg-type] # a dict of members
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
        numbers=built.numbers or None,
    )
    return compose(predicate, built.registers)


def _source(options: ReleaseOptions) -> Source | None:
    if (options.source is None) != (options.commit is None):
        message = "--source and --commit belong together: where, and which"
        raise UsageError(message)
    if options.source is None or options.commit is None:
        return None
    return Source(options.source, options.commit)


def _build(options: ReleaseOptions) -> Build | None:
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
    product, _, named = text.partition(":")
    return Component(product, _named(named, "--component PRODUCT:SHA256, or a FILE"))


def _control(text: str) -> Control:
    kind, _, rest = text.partition(":")
    named, _, uri = rest.partition(":")
    digest = _named(named, "--control KIND:SHA256[:URI], or a FILE for SHA256")
    return Control(kind, digest, uri or None)


def _named(text: str, option: str) -> str:
    """A digest, or that of a file."""
    if not _SHA256.fullmatch(text) and Path(text).is_file():
        return files.digest(text)[0]
    return _digest(text, option)


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
