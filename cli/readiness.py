"""Whether a policy would accept registers, and what is missing, from whom.

`pcrlog ready` asks before anything runs on them, `pcrlog staple` of what runs already.
All but the document is judged as `verify` will judge it.
"""

from msgspec import Struct

from pcrlog.errors import UncheckedError, VerificationError
from pcrlog.verification import Report
from pcrlog.verification.checks import Check
from pcrlog.verification.report import ComponentShown, Link

_OF_A_RUN = ("document.", "channel", "policy.links")
"""Checks that only a running enclave can pass, or that sum up those that it can."""


class Ready(Struct, frozen=True):
    """Whether a policy would accept registers, and what is missing, from whom."""

    ready: bool
    product: str
    version: str | None
    links: tuple[Link, ...]
    missing: tuple[str, ...]
    checks: tuple[Check, ...]
    components: tuple[ComponentShown, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 ready, 3 could not check, 4 something is missing or speaks against it."""
        if self.ready:
            return 0
        unmade = [check.status == "unchecked" for check in self.checks]
        if unmade and all(unmade):
            return UncheckedError.exit_code
        return VerificationError.exit_code


def judge(report: Report, demanded: tuple[int, ...]) -> Ready:
    """What a report that was made without a document comes to.

    Args:
        report: by `verification.foresee`.
        demanded: the links that the policy demands of the product.
    """
    checks = tuple(
        check
        for check in report.checks
        if check.required
        and check.status != "pass"
        and not check.id.startswith(_OF_A_RUN)
    )
    lacking = [
        link
        for link in report.links[1:]
        if link.number in demanded and link.status != "proven"
    ]
    return Ready(
        not checks and not lacking,
        report.product,
        report.version,
        report.links[1:],
        tuple(f"link {link.number}: {link.next}" for link in lacking),
        checks,
        report.components,
    )
