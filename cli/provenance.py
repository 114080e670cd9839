"""`pcrlog verify --provenance`: who built what runs, says the release's provenance.

The release names provenance by digest; whoever has the file can hold it against that,
check it offline, and read who signed it. It changes no link: link 3 stays claimed, and
the report then says "built by". What does not hold is refused: the provider named it.
"""

from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from cli.release_provenance import KIND, opened
from cli.session import Session
from pcrlog.bundle import Bundle
from pcrlog.entry import Entry, read_entry
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.predicates import Release

if TYPE_CHECKING:
    from pcrlog.verification.report import Report
    from workbench.provenance import Provenance

_SOURCE = 3


class Options(Protocol):
    """The options of `verify` that are about provenance."""

    @property
    def provenance(self) -> str | None:
        """A file."""
        ...

    @property
    def trusted_root(self) -> str | None:
        """A file: what is believed of Sigstore."""
        ...

    @property
    def built_by(self) -> str | None:
        """Whom its certificate has to name."""
        ...


def told(
    session: Session, options: Options, report: "Report", bundle: bytes | None
) -> "tuple[Report, Report]":
    """The report with what provenance says: for programs, and for people.

    Raises:
        UsageError: no provenance can be read, or nobody to believe is named.
        VerificationError: it does not hold, or is not what the release names.
        UncheckedError: the release names no image, so that it could be of anything.
    """
    if options.provenance is None:
        if options.trusted_root or options.built_by:
            message = "--trusted-root and --built-by go with --provenance FILE"
            raise UsageError(message)
        return report, report
    released = _released(report, bundle)
    if released is None:
        return report, report  # it says itself why there is no release to rest on
    entry, release = released
    found = opened(session, options.provenance, options.trusted_root, options.built_by)
    named = [one.sha256 for one in release.references or () if one.kind == KIND]
    if found.sha256 not in named:
        others = ", ".join(f"{one[:16]}…" for one in named) or "none"
        message = (
            f"{options.provenance} (sha256 {found.sha256[:16]}…) is not the provenance"
            f" that entry {entry.index} names: {others}"
        )
        raise VerificationError(message)
    from workbench.provenance import check

    file = release.image.sha256 if release.image else None
    if file is None:
        message = (
            f"entry {entry.index} names no image that this provenance could be about:"
            " it says nothing of what runs"
        )
        raise UncheckedError(message)
    open_ = check(found, file, release.source.commit if release.source else None)
    return _with(report, entry, found, open_)


def _released(report: "Report", bundle: bytes | None) -> tuple[Entry, Release] | None:
    """The release that the report rests on, which it has proven."""
    cited = report.links[1].evidence if len(report.links) > 1 else ()
    if not cited or bundle is None:
        return None
    index = cited[0].index
    entry = read_entry(index, Bundle.parse(bundle).entries[index].envelope)
    said = entry.predicate
    return (entry, said) if isinstance(said, Release) else None


def _with(
    report: "Report", entry: Entry, found: "Provenance", open_: tuple[str, ...]
) -> "tuple[Report, Report]":
    by = f"built by {found.signer}"
    remark = (
        f"{by}, says {found.issuer or 'its certificate'} (provenance of entry"
        f" {entry.index}, of {found.time}): somebody to believe, and no rebuild; and"
        f" that what they built boots to this is {entry.predicate.issuer}'s word"
    )
    remarks = (*report.remarks, remark, *open_)
    whole = replace(report, remarks=remarks)
    links = tuple(
        replace(link, by=(*link.by, by))
        if link.number == _SOURCE and link.status == "claimed"
        else link
        for link in report.links
    )
    return whole, replace(whole, links=links)
