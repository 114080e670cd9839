"""What speaks for something, and what takes it back (PROTOCOL.md 2.2, 2.3).

A `Judge` holds what does not change in one run: the authority over all entries found,
the policy, the clocks. releases.py and audits.py ask it; nothing here or there decides
a verdict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from pcrlog.authority import Authority
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry
from pcrlog.policy import Policy
from pcrlog.predicates import Revocation
from pcrlog.statement import MEASUREMENT_REASONS, STATEMENT_REASONS

_REASONS = MEASUREMENT_REASONS + STATEMENT_REASONS
"""Another reason revokes (PROTOCOL.md 2.5), but lifts nothing."""
Pins = Mapping[str, Sequence[str]]
"""Name to the keyids that a policy pins for it."""


class Judge(Struct, frozen=True):
    """One run's judgement: `now` for evidence, `at` for what expires (unix seconds)."""

    authority: Authority
    policy: Policy
    now: int
    at: int

    def expired(self, expires: str | None) -> bool:
        """Whether a statement has run out."""
        return expires is not None and self.at >= parse_time(expires)

    def silent(self, entry: Entry, pins: Pins) -> str:
        """Why a statement speaks for nothing; empty if it may speak for something."""
        distrust = self.policy.distrust
        issuer = entry.predicate.issuer
        if self.authority.is_void(entry):
            return "is void: its key was declared compromised, or lost its standing"
        if (
            entry.sha256 in distrust.statements
            or entry.keyid in distrust.keys
            or self._distrusted(entry)
        ):
            return "is distrusted by the policy"
        if issuer in pins:
            pinned = self.authority.pinned(issuer, pins[issuer])
            if entry.keyid not in pinned:
                return (
                    f"is signed by {entry.keyid[:16]}…, which the policy does not pin"
                )
        return ""

    def _distrusted(self, entry: Entry) -> bool:
        platform = getattr(entry.predicate, "platform", "")
        named = {f"{platform}/{m}" for m in entry.statement.measurements}
        return not named.isdisjoint(self.policy.distrust.measurements)

    def revocation_of(
        self, entry: Entry, said: Iterable[Entry], lifting: Pins | None = None
    ) -> Entry | None:
        """What revokes a statement, among statements about the same measurement.

        Args:
            entry: a release or audit.
            said: statements by its issuer or, for releases, the registrar.
            lifting: None where the revocation is evidence against, which outlives its
                key; the pins where it would lift a fail or a conflict, for which it has
                to speak.
        """
        for candidate, revocation in revocations(said):
            # First what is cheap: a log may hold hundreds about something else.
            if revocation.statement is not None and not (
                revocation.statement == entry.sha256 and self._effective(revocation)
            ):
                continue
            if lifting is None or not (
                revocation.reason not in _REASONS or self.silent(candidate, lifting)
            ):
                return candidate
        return None

    def _effective(self, revocation: Revocation) -> bool:
        effective = revocation.effective
        return effective is None or parse_time(effective) <= self.now


def revocations(said: Iterable[Entry]) -> Iterator[tuple[Entry, Revocation]]:
    """The revocations among statements."""
    for entry in said:
        if isinstance(entry.predicate, Revocation):
            yield entry, entry.predicate
