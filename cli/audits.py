"""The statement of an audit, from the options and what they are about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from cli.logs import Access, View
from cli.looking import Found
from cli.options import SpeakOptions, moment
from cli.speaking import common, compose
from pcrlog import limits
from pcrlog.encoding import format_time, parse_time
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.measurement import Registers, subject_of
from pcrlog.predicates import Audit, Basis, Document, OpenFindings, Release
from pcrlog.statement import CONTROLS_REVIEW, SOURCE_REVIEW, Statement
from pcrlog.verification.audits import digest_of

_SEVERITIES = ("critical", "high", "medium", "low")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_DAY = 86_400


class CosignOptions(SpeakOptions, frozen=True, kw_only=True):
    """What `pcrlog cosign` takes."""

    indices: tuple[int, ...]
    all_variants: bool
    scope: str | None
    result: str | None
    measurements: tuple[str, ...]
    pcrs: tuple[str, ...]
    artifacts: tuple[str, ...]
    components_complete: bool
    open_findings: str | None
    commit: str | None
    basis: int | None
    report: str | None
    performed: str | None
    expires: str | None
    rebuild: str | None
    produces: str | None
    run: bool
    fail_on_mismatch: bool
    against: str | None
    fetch_from: str | None
    recipe: str | None
    variables: tuple[str, ...]
    folder: str | None
    timeout: str


class Earlier(Struct, frozen=True):
    """A review that another one builds on."""

    index: int
    sha256: str
    commit: str
    result: str
    performed: str


@dataclass
class Work:
    """Who speaks, about which release (or commit), and what the log says of it."""

    name: str
    view: View
    entry: Entry | None = None
    release: Release | None = None
    found: Found | None = None
    commit: str | None = None
    basis: Sequence[Earlier] = ()
    """What it builds on, the newest first: that one is the basis."""

    @property
    def against(self) -> str:
        """Why the release no longer stands; empty if it does, or if there is none."""
        if self.found is None or self.entry is None or self.release is None:
            return ""
        return self.found.releases.against(self.entry, self.release)


def audit_statement(
    access: Access, options: CosignOptions, work: Work, own: Registers, now: int
) -> Statement:
    """What the auditor says, signed by nobody yet.

    Raises:
        UsageError: the release, or the options, do not give what such an audit needs.
    """
    performed = moment(options.performed, now, option="--performed")
    performed = performed or format_time(now)
    expires = moment(options.expires, now, option="--expires")
    members: dict[str, object] = {
        "scope": options.scope,
        "result": options.result,
        "performed": performed,
        "report": _report(options.report),
        "open": _open(options.open_findings),
    }
    if options.scope == SOURCE_REVIEW:
        platform = "source"
        registers: Registers = {"commit": f"gitCommit:{work.commit}"}
        if work.basis:
            members["basis"] = Basis(work.basis[0].commit, work.basis[0].sha256)
    else:
        platform, registers = _about_release(options, work, own, members)
        if options.scope == CONTROLS_REVIEW and options.result != "fail":
            latest = parse_time(performed) + limits.CONTROLS_REVIEW_DAYS * _DAY
            expires = expires or format_time(latest)
    if expires is not None and parse_time(expires) <= now:
        message = f"it would have run out already, at {expires}: --expires, --performed"
        raise UsageError(message)
    predicate = Audit(
        **common(access, work.name, now, platform),  # type: ignore[arg-type] # a dict of members
        **members,  # type: ignore[arg-type] # as above
        expires=expires,
    )
    return compose(predicate, registers)


def _about_release(
    options: CosignOptions, work: Work, own: Registers, members: dict[str, object]
) -> tuple[str, Registers]:
    """Platform and registers of an audit of a release; fills in its `members`."""
    entry, release = work.entry, work.release
    if entry is None or release is None:  # pragma: no cover - options are checked
        message = f"a {options.scope} is about a release: INDEX"
        raise UsageError(message)
    registers = dict(entry.statement.registers)
    if options.scope == CONTROLS_REVIEW:
        if release.controls is None:
            message = "the release lists no controls (not even none): nothing to review"
            raise UsageError(message)
        members["controls"] = digest_of(release.controls)
        return release.platform, registers
    if release.source is None:
        message = "the release names no source: there was nothing to rebuild"
        raise UsageError(message)
    members["source"] = release.source
    members["recipe"] = release.build.recipe.sha256 if release.build else None
    if options.components_complete:
        if release.components is None:
            message = "the release lists no components (not even none)"
            raise UsageError(message)
        members["components"] = digest_of(release.components)
    if options.result == "fail":
        members["found"] = subject_of(own)
        return release.platform, registers
    # A register that a rebuild cannot tell (such as PCR3, a role) is left out.
    return release.platform, {n: d for n, d in registers.items() if n in own}


def _report(text: str | None) -> Document | None:
    if text is None:
        return None
    uri, _, digest = text.rpartition(":")
    return Document(uri, digest)


def _open(text: str | None) -> OpenFindings | None:
    if text is None:
        return None
    pairs = [part.strip().partition("=")[::2] for part in text.split(",")]
    # All four, each once: a severity that is left out, or said twice, is no zero.
    if sorted(name for name, _ in pairs) != sorted(_SEVERITIES) or not all(
        _NUMBER.fullmatch(number) for _, number in pairs
    ):
        message = f"--open: expected critical=0,high=0,medium=0,low=0, got {text!r}"
        raise UsageError(message)
    return OpenFindings(**{name: int(number) for name, number in pairs})
