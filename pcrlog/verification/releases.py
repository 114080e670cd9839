"""Which release a run rests on, and what speaks against it (PROTOCOL.md 2.3).

compromised and vulnerable hold for a measurement, whatever the product and for good;
other revocations for one statement. Two builds of one version are a conflict, until one
of them is void or rightly revoked. A measurement counts as the lowest version that it
was ever released under.
"""

from collections.abc import Mapping
from functools import cached_property

from pcrlog.entry import Entry
from pcrlog.errors import MalformedError
from pcrlog.gather import Subject
from pcrlog.index_keys import by
from pcrlog.measurement import Registers
from pcrlog.policy_file import Product
from pcrlog.predicates import REGISTRAR, Release
from pcrlog.semver import semver
from pcrlog.verification.judge import Judge


class Releases:
    """The releases of one subject, judged under the rules for its product.

    `registers` and `numbers` are the document's; where there is none, all that is
    lacking matches.
    """

    def __init__(
        self,
        judge: Judge,
        subject: Subject,
        rules: Product,
        registers: Registers | None = None,
        numbers: Mapping[str, int] | None = None,
    ) -> None:
        self.judge = judge
        self.subject = subject
        self.rules = rules
        self._registers = registers
        self._numbers = numbers
        # By index: whether it conflicts no longer. Each is asked once, however many
        # releases it might contradict.
        self._settled: dict[int, bool] = {}

    @cached_property
    def matching(self) -> list[tuple[Entry, Release]]:
        """Releases all of whose registers, and numbers, the document has."""
        have, counted = self._registers, self._numbers
        return [
            (entry, release)
            for entry, release in self.subject.releases
            if (have is None or entry.statement.registers.items() <= have.items())
            and (counted is None or (release.numbers or {}).items() <= counted.items())
        ]

    @cached_property
    def newest_valid(self) -> tuple[Entry, Release] | None:
        """The release that the run rests on."""
        for entry, release in reversed(self.matching):
            if not self.against(entry, release):
                return entry, release
        return None

    def against(self, entry: Entry, release: Release) -> str:
        """Why a release is not valid; empty if it is."""
        reason = self.judge.silent(entry, self.rules.pins)
        if reason:
            return reason
        revocation = self._revoked(entry)
        if revocation is not None:
            said = revocation.predicate
            what = getattr(said, "reason", "")
            return f"is revoked by {said.issuer} as {what} (entry {revocation.index})"
        if self.judge.expired(release.expires):
            return f"expired at {release.expires}"
        return ""

    def _revoked(self, entry: Entry, *, lifting: bool = False) -> Entry | None:
        statements = self.subject.statements
        said = (*statements[self.subject.provider], *statements[REGISTRAR])
        pins = self.rules.pins if lifting else None
        return self.judge.revocation_of(entry, said, pins)

    @cached_property
    def conflicts(self) -> list[tuple[Entry, Entry]]:
        """Pairs (release, rival) of one version that differ in a register.

        Any release of this measurement is asked about, not only the newest: a conflict
        cannot be shed by releasing the same build under another version. Only what is
        void, or rightly revoked, no longer counts; on either side.
        """
        return [
            (entry, rival)
            for entry, release in self.matching
            if not self._is_settled(entry)
            for rival in self._rivals(release.version)
            if differs(entry, release, rival) and not self._is_settled(rival)
        ]

    def _rivals(self, version: str) -> list[Entry]:
        """Releases of a version, and candidates: known without its answer."""
        found = {entry.index: entry for entry in self.subject.rivals.get(version, ())}
        found.update((entry.index, entry) for entry, _ in self.subject.releases)
        return [found[index] for index in sorted(found)]

    def _is_settled(self, rival: Entry) -> bool:
        if rival.index not in self._settled:
            self._settled[rival.index] = self._settle(rival)
        return self._settled[rival.index]

    def _settle(self, rival: Entry) -> bool:
        """Whether a release no longer conflicts: void, or revoked by who may lift."""
        if self.judge.authority.is_void(rival):
            return True
        subject = self.subject
        measurements = rival.statement.measurements
        if set(measurements) & set(subject.measurements):
            return self._revoked(rival, lifting=True) is not None
        said = [
            entry
            for name in (subject.provider, REGISTRAR)
            for measurement in measurements
            for entry in subject.rival_statements.get(
                by(name, subject.platform, measurement), ()
            )
        ]
        return self.judge.revocation_of(rival, said, self.rules.pins) is not None

    @property
    def below_lowest(self) -> bool:
        """Whether the policy refuses the version that this measurement counts as."""
        wanted = self.rules.lowest_version
        if wanted is None or not self.matching:
            return False
        try:
            return semver(self.lowest_version()) < semver(wanted)
        except MalformedError:
            return True

    def lowest_version(self) -> str:
        """The lowest version that this measurement was ever released under.

        Raises:
            MalformedError: there is none, or one of them is not SemVer.
        """
        versions = [
            release.version
            for entry, release in self.subject.releases
            if not self.judge.authority.is_void(entry)
        ]
        if not versions:
            message = "no release that is not void"
            raise MalformedError(message)
        return min(versions, key=semver)


def differs(entry: Entry, release: Release, rival: Entry) -> bool:
    """Whether a rival is another build of the same version (PROTOCOL.md 2.3)."""
    other = rival.predicate
    theirs = rival.statement.registers
    return (
        isinstance(other, Release)
        and (other.product, other.version) == (release.product, release.version)
        and (other.platform, other.variant) == (release.platform, release.variant)
        and any(
            theirs.get(name, digest) != digest
            for name, digest in entry.statement.registers.items()
        )
    )
