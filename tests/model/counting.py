"""What counts for and against a release (docs/protocol.md 1 and 2.3)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tests.model.authority import View
from tests.model.statements import (
    DAY,
    FIRST_KIND,
    REGISTRAR,
    REQUIRED,
    SCOPES,
    SECOND_KIND,
    Entry,
    Json,
    seconds,
    sha256,
)

WORST_FIRST = ("failed", "unchecked", "missing", "claimed", "proven")
BASIS_STEPS = 8
CONTROLS_REVIEW = 90 * DAY
SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?",
    re.ASCII,
)


def worst(*statuses: str) -> str:
    """1: where several hold, the worst wins."""
    return min(statuses, key=WORST_FIRST.index)


def precedence(version: str) -> tuple[object, ...] | None:
    """SemVer 2.0.0, rule 11; None for what is not SemVer without build metadata."""
    match = SEMVER.fullmatch(version)
    if not match:
        return None
    numbers = tuple(int(number) for number in match.groups()[:3])
    if match[4] is None:
        return (*numbers, 1)
    parts = [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in match[4].split(".")
    ]
    return (*numbers, 0, *parts)


@dataclass(frozen=True)
class Rules:
    """The table of a product in a policy, with the defaults of 4.6."""

    table: Json
    lowest_version: str | None

    def auditors(self, scope: str | None = None) -> set[str]:
        """Those that count for a scope; all of them for none."""
        return {
            auditor["name"]
            for auditor in self.table.get("auditors", [])
            if scope is None or scope in auditor["scopes"]
        }

    def count(self, scope: str) -> int:
        return int(self.table.get("counts", {}).get(scope, 1))


@dataclass(frozen=True)
class Subject:
    """4.1: what is verified: a product as a thing that was measured."""

    product: str
    platform: str
    measured: frozenset[str]
    registers: dict[str, str] | None  # of the document; None for a component

    @property
    def provider(self) -> str:
        return self.product.partition("/")[0]


@dataclass(frozen=True)
class Context:
    """What a run knows when it begins to count."""

    entries: list[Entry]  # accepted, found, no repeats
    view: View
    policy: Json
    now: int
    expiry: int  # what `expires` is compared with: now, or `at`
    complete: bool


class Counting:
    """One subject, under the rules of its product."""

    def __init__(self, context: Context, subject: Subject, rules: Rules) -> None:
        self.context = context
        self.subject = subject
        self.rules = rules
        self.fails = list(self._fails())

    # -- speaking and lifting

    def distrusted(self, entry: Entry) -> bool:
        distrust = self.context.policy.get("distrust", {})
        return (
            entry.sha256 in distrust.get("statements", [])
            or entry.signers[0] in distrust.get("keys", [])
            or bool(entry.measured & set(distrust.get("measurements", [])))
        )

    def speaks(self, entry: Entry) -> bool:
        pins = self.rules.table.get("pins", {}).get(entry.issuer)
        view = self.context.view
        return (
            not view.is_void(entry)
            and not self.distrusted(entry)
            and (pins is None or entry.signers[0] in view.pinned(entry.issuer, pins))
        )

    def _effective(self, revocation: Entry) -> bool:
        effective = revocation.predicate.get("effective")
        return effective is None or self.context.now >= seconds(effective)

    def _may_lift(self, revocation: Entry) -> bool:
        known = revocation.predicate["reason"] in FIRST_KIND | SECOND_KIND
        return known and self.speaks(revocation)

    def _said(self, kind: str) -> list[Entry]:
        return [entry for entry in self.context.entries if entry.kind == kind]

    # -- releases

    def revocations(self, release: Entry) -> list[Entry]:
        """Revoked, by its provider or the registrar."""
        return [
            one
            for one in self._said("revocation")
            if one.issuer in (release.issuer, REGISTRAR)
            and one.measured & release.measured
            and one.predicate.get("statement") in (None, release.sha256)
            and self._effective(one)
        ]

    def expired(self, entry: Entry) -> bool:
        expires = entry.predicate.get("expires")
        return expires is not None and self.context.expiry >= seconds(expires)

    def valid(self, release: Entry) -> bool:
        return (
            self.speaks(release)
            and not self.revocations(release)
            and not self.expired(release)
        )

    @cached_property
    def candidates(self) -> list[Entry]:
        """4.1: the releases of the product with the measurement."""
        return [
            one
            for one in self._said("release")
            if one.predicate["product"] == self.subject.product
            and one.measured & self.subject.measured
        ]

    @cached_property
    def matching(self) -> list[Entry]:
        document = self.subject.registers
        return [
            one
            for one in self.candidates
            if document is None or one.registers.items() <= document.items()
        ]

    @cached_property
    def rests_on(self) -> Entry | None:
        valid = [one for one in self.matching if self.valid(one)]
        return valid[-1] if valid else None

    def _disputes(self, release: Entry) -> bool:
        """Conflict: it counts as one side of one."""
        lifted = any(self._may_lift(one) for one in self.revocations(release))
        return not self.context.view.is_void(release) and not lifted

    @cached_property
    def conflict(self) -> bool:
        same = ("product", "version", "platform", "variant")
        return any(
            all(one.predicate.get(m) == other.predicate.get(m) for m in same)
            and any(
                other.registers.get(name, value) != value
                for name, value in one.registers.items()
            )
            and self._disputes(one)
            and self._disputes(other)
            for one in self.matching
            for other in self._said("release")
        )

    @cached_property
    def too_low(self) -> bool:
        """Version: lower than the policy asks for, or not SemVer."""
        if self.rules.lowest_version is None or not self.matching:
            return False
        least = precedence(self.rules.lowest_version)
        assert least is not None
        versions = [
            precedence(one.predicate["version"])
            for one in self.candidates
            if not self.context.view.is_void(one)
        ]
        return not versions or any(one is None or one < least for one in versions)

    @cached_property
    def distrust(self) -> bool:
        """4.7, policy.distrust."""
        measurements = self.context.policy.get("distrust", {}).get("measurements", [])
        if self.subject.measured & set(measurements):
            return True
        newest = self.matching[-1] if self.matching else None
        return newest is not None and not self.rests_on and self.distrusted(newest)

    # -- audits

    def _revocations_of_audit(self, audit: Entry) -> list[Entry]:
        return [
            one
            for one in self._said("revocation")
            if one.issuer == audit.issuer
            and one.predicate.get("statement") == audit.sha256
            and self._effective(one)
        ]

    def _stands(self, fail: Entry) -> bool:
        return not any(map(self._may_lift, self._revocations_of_audit(fail)))

    def _commits(self) -> set[str]:
        """The commits that a fail on source may speak of."""
        reproductions = [
            one
            for one in self._said("audit")
            if one.predicate["scope"] == "reproduction"
            and one.issuer in self.rules.auditors("reproduction")
            and one.measured & self.subject.measured
        ]
        commits = [one.commit for one in [*self.candidates, *reproductions]]
        return {f"source/commit=gitCommit:{commit}" for commit in commits if commit}

    def _fails(self) -> Iterable[Entry]:
        about = self.subject.measured | self._commits()
        for one in self._said("audit"):
            scope = one.predicate["scope"]
            counted = self.rules.auditors(scope if scope in SCOPES else None)
            if (
                one.predicate["result"] == "fail"
                and one.issuer in counted
                and one.measured & about
                and self._stands(one)
            ):
                yield one

    def _is_pass(self, audit: Entry) -> bool:
        said = audit.predicate
        limits = self.rules.table.get("open_findings")
        if said["result"] == "qualified":
            return limits is not None and all(
                said["open"][severity] <= limit for severity, limit in limits.items()
            )
        return bool(said["result"] == "pass")

    def _fits(self, audit: Entry, release: Entry) -> bool:
        """The table of what each scope asks for besides."""
        said, own = audit.predicate, release.predicate
        scope = said["scope"]
        if scope == "source-review":
            commit = f"source/commit=gitCommit:{release.commit}"
            return audit.measured == {commit} and self._basis_stands(audit)
        equal = (
            said["platform"] == own["platform"]
            and set(audit.registers) >= REQUIRED[said["platform"]]
            and audit.registers.items() <= release.registers.items()
        )
        if scope == "reproduction":
            recipe = own.get("build", {}).get("recipe", {}).get("sha256")
            recipes = {said.get("recipe"), recipe} - {None}
            return equal and audit.commit == release.commit and len(recipes) < 2
        age = self.context.now - seconds(said["performed"])
        named = "controls" in own and said["controls"] == sha256(own["controls"])
        return equal and named and age <= CONTROLS_REVIEW

    def _basis_stands(self, audit: Entry, steps: int = 0) -> bool:
        basis = audit.predicate.get("basis")
        if basis is None:
            return True
        commit = f"source/commit=gitCommit:{basis['commit']}"
        said = [
            one
            for one in self._said("audit")
            if one.issuer == audit.issuer and one.measured == {commit}
        ]
        if any(o.predicate["result"] == "fail" and self._stands(o) for o in said):
            return False
        return steps < BASIS_STEPS and any(
            one.sha256 == basis["sha256"]
            and one.index < audit.index
            and self.speaks(one)
            and not self._revocations_of_audit(one)
            and self._basis_stands(one, steps + 1)
            for one in said
        )

    def passes(self, scope: str) -> list[Entry]:
        """The passes that count, for the release that the run rests on."""
        skew = int(self.context.policy.get("clock_skew", "300s")[:-1])
        release = self.rests_on
        if release is None:
            return []
        return [
            one
            for one in self._said("audit")
            if one.predicate["scope"] == scope
            and one.issuer in self.rules.auditors(scope) - {self.subject.provider}
            and self._is_pass(one)
            and self.speaks(one)
            and not self.expired(one)
            and not self._revocations_of_audit(one)
            and seconds(one.predicate["performed"]) <= self.context.now + skew
            and self._fits(one, release)
        ]

    def enough(self, scope: str, among: list[Entry] | None = None) -> bool:
        passes = self.passes(scope) if among is None else among
        return len({one.issuer for one in passes}) >= self.rules.count(scope)

    # -- links

    def failed(self, scope: str) -> bool:
        return any(one.predicate["scope"] == scope for one in self.fails)

    @cached_property
    def invalid(self) -> bool:
        """4.7, release.valid: releases match, and none of them is valid."""
        return bool(self.matching) and not self.rests_on

    @cached_property
    def refused(self) -> bool:
        """Evidence against it that holds in an incomplete run too."""
        return (
            self.invalid
            or self.conflict
            or (bool(self.candidates) and self.too_low)
            or bool(self.fails)
            or self.distrust
        )

    def links(self) -> dict[int, str]:
        """Links 2, 3, 4 and 7."""
        found = {
            2: self._provider(),
            3: self._source(),
            4: self._review(),
            7: self._controls(),
        }
        if not self.context.complete:
            found = {n: worst(status, "unchecked") for n, status in found.items()}
        return found

    def _provider(self) -> str:
        if self.refused:
            return "failed"
        return "proven" if self.rests_on else "missing"

    def _source(self) -> str:
        said = self.rests_on.predicate if self.rests_on else {}
        if self.failed("reproduction"):
            return "failed"
        if "source" not in said or "build" not in said:
            return "missing"
        return "proven" if self.enough("reproduction") else "claimed"

    def _review(self) -> str:
        if self.failed("source-review"):
            return "failed"
        return "proven" if self.enough("source-review") else "missing"

    def _controls(self) -> str:
        said = self.rests_on.predicate if self.rests_on else {}
        if self.failed("controls-review"):
            return "failed"
        if "controls" not in said:
            return "missing"
        return "proven" if self.enough("controls-review") else "claimed"

    def own_list(self) -> str:
        """Links 5 and 6 of a list by itself."""
        said = self.rests_on.predicate if self.rests_on else {}
        if "components" not in said:
            return "missing"
        name = sha256(said["components"])
        naming = [
            one
            for one in self.passes("reproduction")
            if one.predicate.get("components") == name
        ]
        return "proven" if self.enough("reproduction", naming) else "claimed"
