"""The numbered checks of a verification, which of them are required, and the verdict.

tests/vectors/tables/verdicts.json is the table of refusals and verdicts, and stood
before the code (PROTOCOL.md section 4, Required, Verdict, Checks). A check that nobody
recorded is unchecked: forgetting one can never verify.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

from msgspec import Struct

from pcrlog.measurement import PLATFORMS

CheckStatus: TypeAlias = Literal["pass", "fail", "unchecked"]
Verdict: TypeAlias = Literal["verified", "unchecked", "refuted"]

CHECKS = (
    "policy.valid",
    "document.form",
    "document.signature",
    "document.chain",
    "document.time",
    "document.nonce",
    "document.debug",
    "channel",
    "log.signature",
    "log.witnesses",
    "log.index-monitors",
    "log.freshness",
    "log.memory",
    "log.seal",
    "answers.present",
    "answers.proofs",
    "entries.inclusion",
    "entries.authority",
    "release.match",
    "release.valid",
    "release.conflict",
    "release.version",
    "audits.quorum",
    "audits.fails",
    "components",
    "controls",
    "policy.distrust",
    "policy.ground",
    "policy.links",
)

LINK_1 = CHECKS[1:7]
"""The checks of the document itself, but for those of its platform."""
LOG = tuple(name for name in CHECKS if name.startswith("log.") and name != "log.memory")
ANSWERS = CHECKS[14:18]
_BEFORE_PLATFORMS_OWN = "document.chain"
OF_COLLATERAL = frozenset(
    check for platform in PLATFORMS.values() for check in platform.of_collateral
)
"""Those that cannot be made without what a maker publishes of its machines."""
NOT_REACHED = "not reached"
"""What a check found that nobody recorded."""
_WORSE = {"pass": 0, "unchecked": 1, "fail": 2}


class Check(Struct, frozen=True):
    """One check: its stable `id`, what it came to, what was expected and found."""

    id: str
    status: CheckStatus
    required: bool
    expected: str
    found: str


class Demands(Struct, frozen=True, dict=True):
    """What of a policy decides which checks are required."""

    nonce: bool
    channel: bool
    witnesses: bool
    index_monitors: bool
    links: tuple[int, ...]
    components: bool
    archived: bool
    archives: bool
    time: bool = True
    """Whether the document has to say when it was made, or hold our nonce."""
    collateral: bool = True
    platforms_own: tuple[str, ...] = ()
    """Checks that the document's platform adds."""

    @property
    def link_1(self) -> tuple[str, ...]:
        """The checks of the document itself."""
        return (*LINK_1, *self.platforms_own)

    @cached_property
    def _waived(self) -> frozenset[str]:
        """Checks that may go unchecked."""
        links = set(self.links)
        demanded = {
            "document.nonce": self.nonce and not self.archived,
            "document.time": self.time,
            **dict.fromkeys(OF_COLLATERAL, self.collateral),
            "channel": self.channel,
            "log.witnesses": self.witnesses,
            "log.index-monitors": self.index_monitors,
            "log.memory": False,
            "audits.quorum": bool(links & {3, 4, 7}),
            "components": bool(links & {5, 6}),
            "controls": bool(links & {7}),
        }
        return frozenset(check for check, wanted in demanded.items() if not wanted)

    def require(self, check: str, status: CheckStatus) -> bool:
        """Whether a check with this status may decide the verdict."""
        if check not in self._waived:
            return True
        refuting = {"document.nonce", "document.time", "log.memory", "controls"}
        refuting |= OF_COLLATERAL
        if self.components:
            refuting.add("components")
        return status == "fail" and check in refuting


class Recorder:
    """Collects what the checks of one run came to; the worst of several stays."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[CheckStatus, str, str]] = {}

    def note(self, check: str, status: CheckStatus, expected: str, found: str) -> None:
        """Record one outcome of a check."""
        before = self._found.get(check)
        if before is None or _WORSE[status] > _WORSE[before[0]]:
            self._found[check] = (status, expected, found)

    def status(self, check: str) -> CheckStatus:
        """What a check came to so far."""
        return self._found.get(check, ("unchecked", "", ""))[0]

    def all(self, checks: Sequence[str], status: CheckStatus = "pass") -> bool:
        """Whether all of `checks` came to `status`."""
        return all(self.status(check) == status for check in checks)

    def any(self, checks: Sequence[str], status: CheckStatus) -> bool:
        """Whether any of `checks` came to `status`."""
        return any(self.status(check) == status for check in checks)

    def checks(self, demands: Demands) -> Iterator[Check]:
        """All checks in their order; a platform's own after the document's chain."""
        place = CHECKS.index(_BEFORE_PLATFORMS_OWN) + 1
        for check in (*CHECKS[:place], *demands.platforms_own, *CHECKS[place:]):
            status, expected, found = self._found.get(
                check, ("unchecked", "", NOT_REACHED)
            )
            required = demands.require(check, status)
            yield Check(check, status, required, expected, found)


def verdict(checks: Sequence[Check], demands: Demands) -> Verdict:
    """The verdict over all checks; fail closed.

    An archived document is never better than unchecked, unless the policy has
    `archives`.
    """
    required = [check for check in checks if check.required]
    if any(check.status == "fail" for check in required):
        return "refuted"
    if any(check.status == "unchecked" for check in required):
        return "unchecked"
    if demands.archived and not demands.archives:
        return "unchecked"
    return "verified"
