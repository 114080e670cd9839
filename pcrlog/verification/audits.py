"""Which audits count, for the release that a run rests on (PROTOCOL.md 2.3).

An audit speaks of its subject, not of an envelope. A pass counts while nothing is wrong
with it: its auditor counts for its scope, is not the provider, speaks with a key that
is not void, and has not revoked it; it has not expired. A fail counts until its own
auditor revokes it, outlives its key, and on source holds for every commit that was ever
released or rebuilt as this measurement.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from pcrlog import limits
from pcrlog.encoding import encode_json, parse_time, sha256
from pcrlog.entry import Entry
from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import Audit, Component, Control
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SCOPES, SOURCE_REVIEW
from pcrlog.verification.judge import revocations
from pcrlog.verification.releases import Releases

_DAY = 86_400


def digest_of(items: Sequence[Component] | Sequence[Control]) -> str:
    """How an audit names a release's whole list: SHA-256 of its canonical JSON."""
    return sha256(encode_json(items)).hex()


class Audits:
    """The audits that speak for and against a subject's releases."""

    def __init__(self, releases: Releases) -> None:
        self.judge = releases.judge
        self.subject = releases.subject
        self.rules = releases.rules
        self._release = releases.newest_valid
        # By auditor and commit: whether a fail stands there. Many may build on one.
        self._failed: dict[tuple[str, str], bool] = {}

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
            if isinstance(audit, Audit) and audit.issuer in self.auditors_of(
                audit.scope
            ):
                yield entry, audit

    def _about(self) -> Iterator[Entry]:
        for name in self.subject.auditors:
            yield from self.subject.statements.get(name, ())

    def _withdrawn(self, entry: Entry, pool: Iterable[Entry], *, lifting: bool) -> bool:
        """Whether an auditor has revoked this audit of its own."""
        issuer = entry.predicate.issuer
        said = [
            found
            for found, revocation in revocations(pool)
            if revocation.issuer == issuer and revocation.statement is not None
        ]
        pins = self.rules.pins if lifting else None
        return self.judge.revocation_of(entry, said, pins) is not None

    def _fails_in(self, pool: Sequence[Entry]) -> Iterator[tuple[Entry, Audit]]:
        """Fails that stand: only their own auditor's revocation lifts them."""
        for entry, audit in self._audits(pool):
            if audit.result == "fail" and not self._withdrawn(
                entry, pool, lifting=True
            ):
                yield entry, audit

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
            for entry, audit in self._fails_in(pool):
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
            and not self.judge.silent(entry, self.rules.pins)
            and not self._withdrawn(entry, pool, lifting=False)
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
        if self._release is None or self._release[1].source is None:
            return []
        entry, release = self._release
        source = self._release[1].source
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
        if self._release is None or self._release[1].components is None:
            return []
        digest = digest_of(self._release[1].components)
        return [
            (e, audit) for e, audit in self.reproductions if audit.components == digest
        ]

    @cached_property
    def controls_reviews(self) -> list[tuple[Entry, Audit]]:
        """Controls reviews of exactly the release's list, not older than 90 days."""
        if self._release is None or self._release[1].controls is None:
            return []
        digest = digest_of(self._release[1].controls)
        oldest = self.judge.now - limits.CONTROLS_REVIEW_DAYS * _DAY
        return [
            (entry, audit)
            for entry, audit in self._measured_passes(self._release[0], CONTROLS_REVIEW)
            if audit.controls == digest and parse_time(audit.performed) >= oldest
        ]

    @cached_property
    def source_reviews(self) -> list[tuple[Entry, Audit]]:
        """Source reviews that pass the commit of the release."""
        if self._release is None or self._release[1].source is None:
            return []
        commit = self._release[1].source.commit
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
        place = (audit.issuer, audit.basis.commit)
        pool = self._reviews_of(*place)
        if place not in self._failed:
            self._failed[place] = any(self._fails_in(pool))
        if depth >= limits.BASIS_CHAIN or self._failed[place]:
            return False
        return any(
            one.sha256 == audit.basis.sha256
            and one.index < entry.index
            and not self.judge.silent(one, self.rules.pins)
            and not self._withdrawn(one, pool, lifting=False)
            and self._basis_stands(one, found, depth + 1)
            for one, found in self._audits(pool)
        )

    def foundation(self, audit: Audit) -> list[Audit]:
        """What a counted source review builds on, the newest first."""
        found: list[Audit] = []
        while audit.basis is not None and len(found) <= limits.BASIS_CHAIN:
            pool = self._reviews_of(audit.issuer, audit.basis.commit)
            earlier = (e for e in pool if e.sha256 == audit.basis.sha256)
            said = next(earlier, None)
            if said is None or not isinstance(said.predicate, Audit):
                break
            audit = said.predicate
            found.append(audit)
        return found

    def _reviews_of(self, name: str, commit: str) -> Sequence[Entry]:
        return self.subject.reviews.get(name, {}).get(commit, ())


def distinct(audits: Iterable[tuple[Entry, Audit]]) -> list[str]:
    """Quorums count distinct identities."""
    return list(dict.fromkeys(audit.issuer for _, audit in audits))
