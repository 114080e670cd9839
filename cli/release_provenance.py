"""`pcrlog release --provenance`: a build service's word, checked, kept by its digest.

The bundle is verified before it is named for ever: its signatures, offline, against the
trusted root that the provider names; that it is about the file that is released, and
that this file has the registers that are; and,
if it says from which commit, that this is the release's. The release then has it as a
reference, by digest; whoever has the file can check it again (`pcrlog verify
--provenance`). It proves who built, and link 3 stays claimed until an auditor rebuilds.
"""

from typing import TYPE_CHECKING, Final, Protocol

import click

from cli import files, images
from cli.options import both
from cli.session import Session
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.measurement import Registers
from pcrlog.predicates import Reference

if TYPE_CHECKING:
    from workbench.provenance import Provenance

KIND: Final = "slsa-provenance"
options = both(
    click.option(
        "--provenance",
        metavar="FILE",
        help="SLSA provenance in a Sigstore bundle; checked, and kept as a reference.",
    ),
    click.option("--provenance-uri", metavar="URI", help="Where it is published."),
    click.option(
        "--trusted-root", metavar="FILE", help="Which Sigstore is believed, for it."
    ),
    click.option("--built-by", metavar="URI", help="Whom its certificate must name."),
)
"""What `release` takes for it."""


class Options(Protocol):
    """The options of `release` that are about provenance."""

    @property
    def provenance(self) -> str | None:
        """A file."""
        ...

    @property
    def provenance_uri(self) -> str | None:
        """Where it is published."""
        ...

    @property
    def trusted_root(self) -> str | None:
        """A file: what is believed of Sigstore."""
        ...

    @property
    def built_by(self) -> str | None:
        """Whom its certificate has to name."""
        ...

    @property
    def image(self) -> str | None:
        """The image's file."""
        ...

    @property
    def artifact(self) -> str | None:
        """The artifact's file, or its digest."""
        ...

    @property
    def measurements(self) -> str | None:
        """A file of registers, or the image's."""
        ...

    @property
    def commit(self) -> str | None:
        """Hex."""
        ...


def reference(
    session: Session, given: Options, registers: Registers
) -> Reference | None:
    """The reference to provenance, if the options name one.

    Raises:
        UsageError: they leave out what it is about, or held against.
        VerificationError: it does not hold, or is about something else.
    """
    if given.provenance is None:
        if given.provenance_uri or given.built_by or given.trusted_root:
            message = (
                "--provenance-uri, --trusted-root and --built-by go with --provenance"
            )
            raise UsageError(message)
        return None
    if given.provenance_uri is None:
        message = "where is the provenance published? --provenance-uri https://…"
        raise UsageError(message)
    found = opened(session, given.provenance, given.trusted_root, given.built_by)
    from workbench.provenance import check

    _check_image(session, given, registers)
    for remark in check(found, _file(given), given.commit):
        session.output.remark(remark)
    session.output.remark(
        f"built by {found.signer}, says {found.issuer or 'the certificate'}; link 3"
        " stays claimed until an auditor rebuilds it"
    )
    return Reference(KIND, given.provenance_uri, found.sha256)


def opened(
    session: Session, file: str, trusted_root: str | None, built_by: str | None
) -> "Provenance":
    """A file of provenance, verified.

    Raises:
        UsageError: no trusted root is named, or none can be read.
        VerificationError: it does not hold, or somebody else signed it.
    """
    from workbench.provenance import MOST, verify

    if trusted_root is None:
        message = (
            "which Sigstore is believed? --trusted-root trusted_root.json, as Sigstore,"
            " or whoever runs an instance, publishes it"
        )
        raise UsageError(message)
    data = files.read(file, MOST)
    with session.output.progress(f"checking {file}"):
        try:
            found = verify(data, trusted_root)
        except MalformedError as error:
            message = f"{file}: {error}"
            raise UsageError(message) from error
    if built_by is not None and found.signer != built_by:
        message = f"{file}: signed by {found.signer}, and not by {built_by}"
        raise VerificationError(message)
    return found


def file_of(given: Options) -> str | None:
    """The image's file: as it is named, or as it was measured."""
    if given.image is None and given.measurements:
        return given.measurements if images.is_image(given.measurements) else None
    return given.image


def _check_image(session: Session, given: Options, registers: Registers) -> None:
    """Check that the image that is named has the registers that are released.

    Raises:
        UsageError: it is no image, or has others.
    """
    if given.image is None:
        return
    with images.opened(given.image) as file:
        try:
            found = images.measured(file, given.image, session.output).registers
        except (MalformedError, VerificationError) as error:
            raise UsageError(str(error)) from error
    wrong = [n for n, d in found.items() if registers.get(n, d) != d]
    if wrong:
        message = (
            f"{given.image} is not what is released: its {', '.join(wrong)} is another."
            " Provenance of it would say nothing of what runs"
        )
        raise UsageError(message)


def _file(given: Options) -> str:
    """SHA-256 of the file that is released.

    Raises:
        UsageError: no option names it.
    """
    image = file_of(given)
    if given.artifact is not None:
        digest = given.artifact.removeprefix("sha256:")
        if digest != given.artifact:
            return digest
        image = given.artifact
    if image is None:
        message = "which file is the provenance about? --image app.eif"
        raise UsageError(message)
    return files.digest(image)[0]
