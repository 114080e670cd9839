"""Which releases of a product a policy accepts now, asked of its log or of a mirror.

The same judgement as in `pcrlog ready`: everything but the document. An answer that is
missing ends it: a list that leaves a release out would lock its enclaves out. Releases
are of all platforms that attest and that the policy names for the product.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from cli.logs import Access
from cli.readiness import judge
from cli.session import Session
from pcrlog.attestation import ATTESTING
from pcrlog.bundle import Bundle
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry, read_entry
from pcrlog.errors import PcrlogError, UncheckedError, UsageError
from pcrlog.index_keys import of_product
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.policy import Policy
from pcrlog.predicates import Release, Revocation
from pcrlog.seal import Seal
from pcrlog.verification import Report, foresee

_MOST = 32
"""Measurements that the log is asked about: more of one product do not run at once."""
_ONE_BY_ONE = "--measurements FILE (to export: --bundle FILE, a bundle each)"


class Standing(Struct, frozen=True):
    """A release, and why the policy refuses it now; empty if it accepts it.

    `report` is what `verify` would say of an enclave with these registers; `ends` is
    until when the log's answers vouch for it, in unix seconds, None if refused. An
    enclave has to have the `numbers` too, which no condition on registers asks for.
    """

    index: int
    version: str
    platform: str
    registers: dict[str, str]
    numbers: dict[str, int]
    why: str
    report: Report
    ends: int | None

    @property
    def accepted(self) -> bool:
        """Whether `verify` would accept an enclave with these registers."""
        return not self.why


class Asked(Struct, frozen=True):
    """Which product, under which policy, when (unix seconds)."""

    policy: Policy
    product: str
    now: int

    @property
    def platforms(self) -> tuple[str, ...]:
        """Those of the product, as far as there are documents of them."""
        named = self.policy.product(self.product).platforms
        return tuple(name for name in named if name in ATTESTING)


def standing(session: Session, access: Access, product: str) -> list[Standing]:
    """The releases of a product, newest first, each measurement once.

    Raises:
        UsageError: the policy does not name the product, or there is no policy; or the
            product has more measurements than are asked about.
        UncheckedError: an answer is missing.
        VerificationError: an answer is not what the log committed to.
    """
    if access.policy is None:
        message = "which releases are accepted? --policy FILE (or PCRLOG_POLICY)"
        raise UsageError(message)
    access.policy.product(product)
    asked = Asked(access.policy, product, session.now)
    key = of_product(product)
    with session.output.progress(f"asking {access.source.url}") as tell:
        indices, entries = access.lookup(key).newest(key)
        if len(indices) != len(entries):
            message = (
                f"{product} has {len(indices)} releases, of which the log hands over"
                f" {len(entries)}: name the measurements, {_ONE_BY_ONE}"
            )
            raise UsageError(message)
        found = []
        for entry, release in each(entries, asked.platforms):
            tell(f"asking about {product} {release.version}")
            named = measured(release.platform, entry.statement.registers)
            data = access.fetch(product, named)
            one, unmade = stands(asked, entry, release, data)
            if unmade:
                message = f"{product} {one.version}: could not be checked: {one.why}"
                raise UncheckedError(message)
            found.append(one)
    return found


def measured(platform: str, registers: Registers) -> list[str]:
    """`<platform>/<M>`, each, by what identifies things on a platform."""
    return [f"{platform}/{m}" for m in spell(PLATFORMS[platform].identity, registers)]


def each(
    entries: Sequence[Entry], platforms: Sequence[str]
) -> list[tuple[Entry, Release]]:
    """Releases on some platforms, newest first, each set of registers once.

    Registers with other numbers are another set.
    """
    found: dict[str, tuple[Entry, Release]] = {}
    for entry in reversed(entries):
        said = entry.predicate
        if isinstance(said, Release) and said.platform in platforms:
            numbers = sorted((said.numbers or {}).items())
            registers = sorted(entry.statement.registers.items())
            key = str((said.platform, registers, numbers))
            found.setdefault(key, (entry, said))
    if len(found) > _MOST:
        message = f"more than {_MOST} measurements: name those that run, {_ONE_BY_ONE}"
        raise UsageError(message)
    return list(found.values())


def stands(
    asked: Asked, entry: Entry, release: Release, data: bytes
) -> tuple[Standing, bool]:
    """A release, as a bundle about its measurement has it.

    Returns:
        How it stands, and whether no more speaks against it than that something could
        not be checked.
    """
    registers, numbers = dict(entry.statement.registers), dict(release.numbers or {})
    report = foresee(
        registers,
        data,
        asked.policy,
        product=asked.product,
        platform=release.platform,
        now=asked.now,
        numbers=numbers,
    )
    found = judge(report, asked.policy.product(asked.product).links)
    told = [f"{check.id}: {check.found}" for check in found.checks]
    version, ends = report.version or release.version, None
    why = (*told, *found.missing, "")[0]
    if found.ready:
        bundle = Bundle.parse(data)
        why = _unvouched(report, bundle, registers, numbers)
        version = release.version if why else version
        ends = None if why else _ends(report, bundle, asked)
    unmade = found.exit_code == UncheckedError.exit_code
    standing = Standing(
        entry.index, version, release.platform, registers, numbers, why, report, ends
    )
    return standing, unmade


def _unvouched(
    report: Report, bundle: Bundle, registers: Registers, numbers: Mapping[str, int]
) -> str:
    """Why registers are not handed on, if what stands does not say the same of them.

    Only a release that does could vouch for them, and that one is revoked or void,
    older, or in no log at all.
    """
    index = report.links[1].evidence[0].index
    stands = f"release.match: what stands is entry {index}"
    if others := registers.keys() - report.registers.matched.keys():
        return f"{stands}, which does not name {', '.join(sorted(others))}"
    vouching = read_entry(index, bundle.entries[index].envelope).predicate
    theirs: Mapping[str, int] = getattr(vouching, "numbers", None) or {}
    if other := {name for name, _ in theirs.items() ^ numbers.items()}:
        return f"{stands}, which says otherwise of {', '.join(sorted(other))}"
    return ""


def _ends(report: Report, bundle: Bundle, asked: Asked) -> int:
    """Until when what was accepted is, as far as the bundle itself tells.

    That is when the log's last seal is too old, when the first of the statements that
    it rests on expires, or when a revocation takes effect that is there already.
    """
    seal, seen = Seal.parse(bundle.seal), report.checkpoint
    log = asked.policy.logs[seen.origin if seen else ""]
    fresh = log.frozen_until if seal.frozen else None
    ends = [seal.time + log.max_age if fresh is None else fresh]
    cited = {one.index for link in report.links for one in link.evidence}
    cited |= {
        one.index
        for part in report.components
        for link in part.links
        for one in link.evidence
    }
    for entry in said_in(bundle):
        said = entry.predicate
        if isinstance(said, Revocation) and said.effective is not None:
            effective = parse_time(said.effective)
            ends += [effective] if effective > asked.now else []
        elif entry.index in cited:
            expires: str | None = getattr(said, "expires", None)
            ends += [parse_time(expires)] if expires is not None else []
    return min(ends)


def said_in(bundle: Bundle) -> Iterator[Entry]:
    """The statements in a bundle that can be read; none is verified."""
    for index, one in bundle.entries.items():
        with contextlib.suppress(PcrlogError):
            yield read_entry(index, one.envelope)
