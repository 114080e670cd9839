"""What counts for and against a release (PROTOCOL.md 2.3), over proven entries.

A `Judge` holds what does not change in one run: authority, policy, clock. A `Standing`
is its view of one subject: which releases still speak, which audits pass, which fail,
and which conflicts stand. Nothing here decides a verdict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import encode_json, parse_time, sha256
from pcrlog.entry import Entry
from pcrlog.errors import MalformedError
from pcrlog.gather import Subject
from pcrlog.index_keys import by
from pcrlog.measurement import PLATFORMS, Registers
from pcrlog.policy import Policy, Product, semver
from pcrlog.predicates import REGISTRAR, Audit, Component, Control, Release, Revocation
from pcrlog.statement import (
    CONTROLS_REVIEW,
    REPRODUCTION,
    SCOPES,
    SOURCE_REVIEW,
)

_DAY = 86_400


def digest_of(items: Sequence[Component] | Sequence[Control]) -> str:
    """How an audit names a release's whole list: SHA-256 of its canonical JSON."""
    return sha256(encode_json(items)).hex()


@dataclass(frozen=True)
class Judge:
    """One run's judgement: `now` for evidence, `at` for what expires (unix seconds)."""

    authority: Authority
    policy: Policy
    now: int
    at: int

    def expired(self, expires: str | None) -> bool:
        """Whether a statement has run out."""
        return expires is not None and self.at >= parse_time(expires)

    def speaks(self, entry: Entry, pins: Mapping[str, Sequence[str]]) -> bool:
        """Whether a statement may speak for something: not void, pinned, trusted."""
        return not self.silent(entry, pins)

    def silent(self, entry: Entry, pins: Mapping[str, Sequence[str]]) -> str:
        """Why a statement speaks for nothing; empty if it does."""
        distrust = self.policy.distrust
        issuer = entry.predicate.issuer
        if self.authority.is_void(entry):
            return "is void: its key was declared compromised, or lost its standing"
        if entry.sha256 in distrust.statements or entry.keyid in distrust.keys:
            return "is distrusted by the policy"
        if issuer in pins:
            pinned = self.authority.pinned(issuer, pins[issuer])
            if entry.keyid not in pinned:
                return f"is signed by {entry.keyid[:16]}…, which the policy does not pin"
        return ""

    def effective(self, revocation: Revocation) -> bool:
        """Whether a revocation of a statement has begun to hold."""
        effective = revocation.effective
        return effective is None or parse_time(effective) <= self.now


class Standing:
    """One subject, judged under the rules for its product."""

    def __init__(
        self,
        judge: Judge,
        subject: Subject,
        rules: Product,
        registers: Registers | None = None,
    ) -> None:
        self.judge = judge
        self.subject = subject
        self.rules = rules
        self._registers = registers

    # --- releases --------------------------------------------------------------------

    @cached_property
    def matching(self) -> list[tuple[Entry, Release]]:
        """Releases all of whose registers the document has (any, without one)."""
        have = self._registers
        return [
            (entry, release)
            for entry, release in self.subject.releases
            if have is None
            or entry.statement.registers.items() <= have.items()
        ]

    @cached_property
    def release(self) -> tuple[Entry, Release] | None:
        """The newest valid release: what the run rests on."""
        for entry, release in reversed(self.matching):
            if not self.against(entry, release):
                return entry, release
        return None

    def against(self, entry: Entry, release: Release) -> str:
        """Why a release is not valid; empty if it is."""
        reason = self.judge.silent(entry, self.rules.pins)
        if reason:
            return reason
        revocation = self.revoked(entry)
        if revocation is not None:
            predicate = revocation.predicate
            what = getattr(predicate, "reason", "")
            return f"is revoked by {predicate.issuer} as {what} (entry {revocation.index})"
        if self.judge.expired(release.expires):
            return f"expired at {release.expires}"
        return ""

    def revoked(self, entry: Entry, *, lifting: bool = False) -> Entry | None:
        """The revocation that holds for a release of this measurement, if any.

        Args:
            entry: the release.
            lifting: count only revocations that may speak for something, since this
                one would lift a conflict.
        """
        statements = self.subject.statements
        ours = self._revocations(statements.get(entry.predicate.issuer, ()))
        registrar = self._revocations(statements.get(REGISTRAR, ()))
        return self._first_revoking(entry, ours, registrar, lifting=lifting)

    def _first_revoking(
        self,
        entry: Entry,
        ours: Iterable[tuple[Entry, Revocation]],
        registrar: Iterable[tuple[Entry, Revocation]],
        *,
        lifting: bool,
    ) -> Entry | None:
        for candidate, revocation in (*ours, *registrar):
            if lifting and self.judge.silent(candidate, self.rules.pins):
                continue
            if revocation.statement is None or (
                revocation.statement == entry.sha256
                and self.judge.effective(revocation)
            ):
                return candidate
        return None

    @staticmethod
    def _revocations(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Revocation]]:
        for entry in entries:
            if isinstance(entry.predicate, Revocation):
                yield entry, entry.predicate

    @cached_property
    def conflicts(self) -> list[tuple[Entry, Entry]]:
        """Pairs (release, rival) of one version that differ in a register."""
        return [
            (entry, rival)
            for entry, release in self.matching
            if not self.judge.silent(entry, self.rules.pins)
            and not self.revoked(entry)
            for rival in self.subject.rivals.get(release.version, ())
            if self._differs(entry, release, rival) and not self._withdrawn(rival)
        ]

    @staticmethod
    def _differs(entry: Entry, release: Release, rival: Entry) -> bool:
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

    def _withdrawn(self, rival: Entry) -> bool:
        """Whether a rival no longer counts: void, or revoked by who may lift."""
        if self.judge.authority.is_void(rival):
            return True
        subject = self.subject
        measurements = rival.statement.measurements
        if set(measurements) & set(subject.measurements):
            return self.revoked(rival, lifting=True) is not None
        said = [
            self._revocations(
                entry
                for measurement in measurements
                for entry in subject.rival_statements.get(
                    by(name, subject.platform, measurement), ()
                )
            )
            for name in (subject.provider, REGISTRAR)
        ]
        return self._first_revoking(rival, said[0], said[1], lifting=True) is not None

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

    # --- audits ----------------------------------------------------------------------

    def auditors_of(self, scope: str) -> list[str]:
        """The auditors that count for a scope; those of an unknown one are all."""
        return [
            auditor.name
            for auditor in self.rules.auditors
            if scope in auditor.scopes or scope not in SCOPES
        ]

    def _independent(self, entry: Entry) -> bool:
        """An auditor that shares a name or key with the provider does not count."""
        provider = self.subject.provider
        owner = self.judge.authority.owner(entry.keyid)
        return provider not in (entry.predicate.issuer, owner)

    def _audits(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Audit]]:
        for entry in entries:
            audit = entry.predicate
            if isinstance(audit, Audit) and audit.issuer in self.auditors_of(audit.scope):
                yield entry, audit

    def _about(self) -> Iterator[Entry]:
        for name in self.subject.auditors:
            yield from self.subject.statements.get(name, ())

    def _withdrawn_audit(self, entry: Entry, pool: Iterable[Entry], *, lift: bool) -> bool:
        ours = (
            pair
            for pair in self._revocations(pool)
            if pair[0].predicate.issuer == entry.predicate.issuer
            and pair[1].statement is not None
        )
        return self._first_revoking(entry, ours, (), lifting=lift) is not None

    def _fails_in(self, pool: Sequence[Entry]) -> Iterator[Entry]:
        """Fails that stand: only their own auditor's revocation lifts them."""
        for entry, audit in self._audits(pool):
            if audit.result == "fail" and not self._withdrawn_audit(
                entry, pool, lift=True
            ):
                yield entry

    @cached_property
    def fails(self) -> dict[str, list[Entry]]:
        """The counted fails that stand, by scope."""
        found: dict[str, list[Entry]] = {}
        about = list(self._about())
        commits = self._source_commits
        reviews = [
            [entry for commit in commits for entry in by_commit.get(commit, ())]
            for by_commit in self.subject.reviews.values()
        ]
        for pool in (about, *reviews):
            for entry in self._fails_in(pool):
                audit = entry.predicate
                if isinstance(audit, Audit):
                    found.setdefault(audit.scope, []).append(entry)
        return found

    @property
    def _source_commits(self) -> list[str]:
        """Commits whose fails count: of every release and counted reproduction."""
        commits = [r.source.commit for _, r in self.subject.releases if r.source]
        for _, audit in self._audits(self._about()):
            if audit.scope == REPRODUCTION and audit.source is not None:
                commits.append(audit.source.commit)
        return list(dict.fromkeys(commits))

    def _passes(self, entry: Entry, audit: Audit, pool: Iterable[Entry]) -> bool:
        """Whether an audit speaks for its subject now."""
        performed = parse_time(audit.performed)
        good = audit.result == "pass" or (
            audit.result == "qualified" and self._within_limits(audit)
        )
        return (
            good
            and audit.scope in SCOPES
            and performed <= self.judge.now + self.judge.policy.clock_skew
            and not self.judge.expired(audit.expires)
            and self._independent(entry)
            and self.judge.speaks(entry, self.rules.pins)
            and not self._withdrawn_audit(entry, pool, lift=False)
        )

    def _within_limits(self, audit: Audit) -> bool:
        most = self.rules.open_findings
        if most is None or audit.open is None:
            return False
        return all(
            getattr(audit.open, severity) <= number for severity, number in most.items()
        )

    @cached_property
    def reproductions(self) -> list[tuple[Entry, Audit]]:
        """Passes: same registers, same commit as the release that the run rests on."""
        if self.release is None or self.release[1].source is None:
            return []
        entry, release = self.release
        source = self.release[1].source
        return [
            (found, audit)
            for found, audit in self._measured_passes(entry, REPRODUCTION)
            if audit.source is not None
            and audit.source.commit == source.commit
            and (
                audit.recipe is None
                or release.build is None
                or audit.recipe == release.build.recipe.sha256
            )
        ]

    def _measured_passes(
        self, release: Entry, scope: str
    ) -> Iterator[tuple[Entry, Audit]]:
        about = list(self._about())
        ours = release.statement.registers
        platform = PLATFORMS.get(self.subject.platform)
        for entry, audit in self._audits(about):
            named = entry.statement.registers
            if (
                audit.scope == scope
                and platform is not None
                and all(name in named for name in platform.required)
                and all(ours.get(name) == digest for name, digest in named.items())
                and self._passes(entry, audit, about)
            ):
                yield entry, audit

    @cached_property
    def components_confirmed(self) -> list[tuple[Entry, Audit]]:
        """Reproductions that found exactly this list of components complete."""
        if self.release is None or self.release[1].components is None:
            return []
        digest = digest_of(self.release[1].components)
        return [(e, audit) for e, audit in self.reproductions if audit.components == digest]

    @cached_property
    def controls_reviews(self) -> list[tuple[Entry, Audit]]:
        """Controls reviews of exactly the release's list, not older than 90 days."""
        if self.release is None or self.release[1].controls is None:
            return []
        digest = digest_of(self.release[1].controls)
        oldest = self.judge.now - limits.CONTROLS_REVIEW_DAYS * _DAY
        return [
            (entry, audit)
            for entry, audit in self._measured_passes(self.release[0], CONTROLS_REVIEW)
            if audit.controls == digest and parse_time(audit.performed) >= oldest
        ]

    @cached_property
    def source_reviews(self) -> list[tuple[Entry, Audit]]:
        """Source reviews that pass the commit of the release."""
        if self.release is None or self.release[1].source is None:
            return []
        commit = self.release[1].source.commit
        found = []
        for name in self.auditors_of(SOURCE_REVIEW):
            pool = self._reviews_of(name, commit)
            found += [
                (entry, audit)
                for entry, audit in self._audits(pool)
                if audit.scope == SOURCE_REVIEW
                and self._passes(entry, audit, pool)
                and self._basis_stands(entry, audit)
            ]
        return found

    def _basis_stands(self, entry: Entry, audit: Audit, depth: int = 0) -> bool:
        """Whether all that a review builds on stands; a basis may have expired."""
        if audit.basis is None:
            return True
        pool = self._reviews_of(audit.issuer, audit.basis.commit)
        if depth >= limits.BASIS_CHAIN or any(self._fails_in(pool)):
            return False
        return any(
            one.sha256 == audit.basis.sha256
            and one.index < entry.index
            and self.judge.speaks(one, self.rules.pins)
            and not self._withdrawn_audit(one, pool, lift=False)
            and self._basis_stands(one, found, depth + 1)
            for one, found in self._audits(pool)
        )

    def _reviews_of(self, name: str, commit: str) -> Sequence[Entry]:
        return self.subject.reviews.get(name, {}).get(commit, ())


def distinct(audits: Iterable[tuple[Entry, Audit]]) -> list[str]:
    """Quorums count distinct identities."""
    return list(dict.fromkeys(audit.issuer for _, audit in audits))
