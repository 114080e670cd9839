"""Which releases of a product a policy accepts now, asked of its log or of a mirror.

The same judgement as in `pcrlog ready`: everything but the document. An answer that is
missing ends it: a list that leaves a release out would lock its enclaves out.
"""

from collections.abc import Sequence

from msgspec import Struct

from cli.logs import Access, measurements_of
from cli.readiness import judge
from cli.session import Session
from pcrlog.entry import Entry
from pcrlog.errors import UncheckedError, UsageError
from pcrlog.index_keys import of_product
from pcrlog.measurement import Registers
from pcrlog.predicates import Release
from pcrlog.verification import foresee

PLATFORM = "aws-nitro"
_MOST = 32
"""Measurements that the log is asked about: more of one product do not run at once."""


class Standing(Struct, frozen=True):
    """A release, and why the policy refuses it now; empty if it accepts it."""

    index: int
    version: str
    registers: dict[str, str]
    why: str

    @property
    def accepted(self) -> bool:
        """Whether `verify` would accept an enclave with these registers."""
        return not self.why


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
    key = of_product(product)
    with session.output.progress(f"asking {access.source.url}") as tell:
        indices, entries = access.lookup(key).newest(key)
        if len(indices) != len(entries):
            message = (
                f"{product} has {len(indices)} releases, of which the log hands over"
                f" {len(entries)}: name the measurements, --measurements FILE"
            )
            raise UsageError(message)
        found = []
        for entry, release in _each(entries):
            tell(f"asking about {product} {release.version}")
            registers = dict(entry.statement.registers)
            why = _against(session, access, product, registers)
            found.append(Standing(entry.index, release.version, registers, why))
    return found


def _each(entries: Sequence[Entry]) -> list[tuple[Entry, Release]]:
    """Releases on the platform, newest first, each set of registers once."""
    found: dict[str, tuple[Entry, Release]] = {}
    for entry in reversed(entries):
        said = entry.predicate
        if isinstance(said, Release) and said.platform == PLATFORM:
            found.setdefault(
                str(sorted(entry.statement.registers.items())), (entry, said)
            )
    if len(found) > _MOST:
        message = (
            f"more than {_MOST} measurements: name those that run, --measurements FILE"
        )
        raise UsageError(message)
    return list(found.values())


def _against(
    session: Session, access: Access, product: str, registers: Registers
) -> str:
    """What speaks against registers; empty if the policy would accept them."""
    report = foresee(
        registers,
        access.fetch(product, measurements_of(registers)),
        access.rules,
        product=product,
        platform=PLATFORM,
        now=session.now,
    )
    found = judge(report, access.rules.product(product).links)
    told = [f"{check.id}: {check.found}" for check in found.checks]
    if found.exit_code == UncheckedError.exit_code:
        message = f"{product} {report.version}: could not be checked: {told[0]}"
        raise UncheckedError(message)
    return (*told, *found.missing, "")[0]
