"""Whole verifications: what counts for and against a release (sections 1, 2.3, 2.5)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pcrlog.encoding import encode_json, format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import REGISTRAR, Basis, Component, OpenFindings
from pcrlog.verification.audits import digest_of
from tests.conformance.family import Stage
from tests.conformance.stories import Stories, Story
from tests.support.memory_log import active, key
from tests.support.scene import (
    BAD,
    CONTROL,
    DAY,
    EVERY_SCOPE,
    GOOD,
    LAB,
    LENS,
    PROVIDER,
    RECIPE,
    Inputs,
    artifact,
    compromise,
    document,
    retire,
    source,
)

OTHER = "other.example"
SECOND = key("second")
OLDER = "0e" * 20
SHA = "5a" * 32
SIDECAR = "parts.example/sidecar"
_NO_MATCH = (
    "release.match fail, release.valid unchecked, release.conflict unchecked,"
    " policy.links fail"
)
_NOT_VALID = "release.valid fail, policy.links fail"
_FAILS = "audits.fails fail, policy.links fail"
_CONFLICT = "release.conflict fail, policy.links fail"


def then(*steps: Callable[[Stage], object], **policy: Any) -> Story:
    """These steps, and the verification after them under such a policy."""

    def story(s: Stage) -> Inputs:
        for step in steps:
            step(s)
        return s.inputs(policy=s.policy(**policy))

    return story


def released(**members: Any) -> Callable[[Stage], int]:
    """A release."""
    return lambda s: s.release(**members)


def add_key(name: str, *, agreed: bool = True) -> Callable[[Stage], int]:
    """A second key of a name, by the registrar and, if agreed, the name."""

    def step(s: Stage) -> int:
        signers = [s.log.enrol, *([key(name)] if agreed else [])]
        role = "provider" if name == PROVIDER else "auditor"
        return s.log.identify(name, active(key(name), SECOND), signers, roles=[role])

    return step


def revoke(
    name: str,
    reason: str,
    back: int = 1,
    *,
    by: SigningKey | None = None,
    **members: Any,
) -> Callable[[Stage], int]:
    """A revocation of the entry `back` before the last."""

    def step(s: Stage) -> int:
        signer = by or (s.log.enrol if name == REGISTRAR else None)
        target = max(s.log.entries) + 1 - back
        return s.log.revoke(name, reason, target, by=signer, **members)

    return step


def lose(name: str, back: int) -> Callable[[Stage], int]:
    """The key of a name is declared compromised since `back` entries ago."""
    return lambda s: compromise(s, name, since=len(s.log.leaves) - back)


# --- releases -------------------------------------------------------------------------

releases = Stories("releases", "Matching, valid, revoked, pinned, distrusted (2.3).")
_EIGHT = {"PCR8": BAD["PCR0"]}


def _asked(build: dict[str, str], *steps: Callable[[Stage], object]) -> Story:
    def story(s: Stage) -> Inputs:
        for step in steps:
            step(s)
        return s.inputs(build)

    return story


releases.refuted(
    "no-release",
    "pmmmmmm",
    _NO_MATCH,
    "in a complete run, none there is none",
    then(),
)
releases.verified(
    "more-registers-than-the-release",
    "ppcmmmm",
    "the document has every register that the release names",
    _asked(GOOD | _EIGHT, released()),
)
releases.refuted(
    "fewer-registers-than-the-release",
    "pmmmmmm",
    _NO_MATCH,
    "the document has every register that the release names",
    _asked(GOOD, released(image=GOOD | _EIGHT)),
)
releases.refuted(
    "another-pcr1",
    "pmmmmmm",
    _NO_MATCH,
    "with the same digest",
    _asked(GOOD | {"PCR1": BAD["PCR1"]}, released()),
)


def _by_another(s: Stage) -> int:
    s.log.enroll(OTHER, "provider")
    return s.release(product=f"{OTHER}/wallet")


releases.refuted(
    "released-by-another",
    "pmmmmmm",
    _NO_MATCH,
    "only the product's provider releases it",
    then(_by_another),
)
releases.verified(
    "newest-by-index",
    "ppcmmmm",
    "the run rests on the valid matching release with the largest index",
    then(released(version="2.0.0"), released(version="1.0.0")),
)
for _reason in ("compromised", "vulnerable"):
    releases.refuted(
        f"{_reason}-then-released-again",
        "pfmmmmm",
        _NOT_VALID,
        "it holds for good: build anew",
        then(released(), revoke(PROVIDER, _reason), released(version="1.5.0")),
    )
    releases.refuted(
        f"{_reason}-by-the-registrar",
        "pfmmmmm",
        _NOT_VALID,
        "the registrar's takes everybody's",
        then(_by_another, revoke(REGISTRAR, _reason), released()),
    )
    releases.refuted(
        f"{_reason}-under-another-product",
        "pfmmmmm",
        _NOT_VALID,
        "every release with that measurement, whatever its product",
        then(
            released(),
            lambda s: s.release(product=f"{PROVIDER}/other"),
            revoke(PROVIDER, _reason),
        ),
    )
releases.verified(
    "vulnerable-says-another",
    "ppcmmmm",
    "a provider's takes its own alone",
    then(_by_another, revoke(OTHER, "vulnerable"), released()),
)
for _reason in ("withdrawn", "erroneous", "superseded"):
    releases.refuted(
        _reason,
        "pfmmmmm",
        _NOT_VALID,
        "that statement",
        then(released(), revoke(PROVIDER, _reason)),
    )
    releases.verified(
        f"{_reason}-then-released-again",
        "ppcmmmm",
        "that statement alone",
        then(released(), revoke(PROVIDER, _reason), released(version="1.5.0")),
    )


def _effective(ahead: int) -> Story:
    return then(
        released(),
        lambda s: revoke(
            PROVIDER, "withdrawn", effective=format_time(s.log.now + ahead)
        )(s),
    )


releases.verified(
    "withdrawn-from-the-next-second", "ppcmmmm", "from effective on", _effective(1)
)
releases.refuted(
    "withdrawn-from-this-second",
    "pfmmmmm",
    _NOT_VALID,
    "now >= effective",
    _effective(0),
)
releases.refuted(
    "revoked-by-a-key-lost-since",
    "pfmmmmm",
    _NOT_VALID,
    "a revocation counts although its key was compromised since",
    then(
        add_key(PROVIDER),
        released(by=SECOND),
        revoke(PROVIDER, "withdrawn"),
        lose(PROVIDER, 1),
    ),
)
releases.refuted(
    "by-a-key-lost-since",
    "pfmmmmm",
    _NOT_VALID,
    "a valid release is not void",
    then(add_key(PROVIDER), released(), lose(PROVIDER, 1)),
)
releases.verified(
    "before-the-key-was-lost",
    "ppcmmmm",
    "from since on",
    then(add_key(PROVIDER), released(), lose(PROVIDER, 0)),
)
releases.verified(
    "by-a-key-retired-since",
    "ppcmmmm",
    "retirement voids nothing",
    then(add_key(PROVIDER), released(), lambda s: retire(s, PROVIDER, by=SECOND)),
)
_PINS = {"product": {"pins": {PROVIDER: [key(PROVIDER).public.keyid]}}}
releases.verified(
    "pinned", "ppcmmmm", "signed by a pinned key", then(released(), **_PINS)
)
releases.verified(
    "pin-handed-on",
    "ppcmmmm",
    "keys that a pinned key adds are pinned",
    then(add_key(PROVIDER), released(by=SECOND), **_PINS),
)
releases.refuted(
    "not-pinned",
    "pfmmmmm",
    _NOT_VALID,
    "keys that the registrar alone adds never satisfy a pin",
    then(add_key(PROVIDER, agreed=False), released(by=SECOND), **_PINS),
)
releases.refuted(
    "revoked-by-a-key-not-pinned",
    "pfmmmmm",
    _NOT_VALID,
    "a revocation counts although its key is not pinned",
    then(
        add_key(PROVIDER, agreed=False),
        released(),
        revoke(PROVIDER, "withdrawn", by=SECOND),
        **_PINS,
    ),
)


def _distrust(kind: str) -> Story:
    def story(s: Stage) -> Inputs:
        at = s.release()
        named = {
            "statements": s.log.entries[at].sha256,
            "keys": key(PROVIDER).public.keyid,
            "measurements": f"aws-nitro/PCR0={GOOD['PCR0']}",
        }[kind]
        return s.inputs(policy=s.policy(head={"distrust": {kind: [named]}}))

    return story


for _kind in ("statements", "keys"):
    releases.refuted(
        f"distrusted-{_kind}",
        "pfmmmmm",
        "release.valid fail, policy.distrust fail, policy.links fail",
        "what is distrusted speaks for nothing",
        _distrust(_kind),
    )
releases.refuted(
    "distrusted-measurements",
    "pfmmmmm",
    "release.valid fail, policy.distrust fail, policy.links fail",
    "by a measurement of its own",
    _distrust("measurements"),
)


def _lowest(version: str) -> dict[str, object]:
    return {"product": {"lowest_version": version}}


releases.verified(
    "lowest-version",
    "ppcmmmm",
    "the lowest version is high enough",
    then(released(), **_lowest("1.4.2")),
)
_TOO_LOW = "release.version fail, policy.links fail"
releases.refuted(
    "below-the-lowest-version",
    "pfcmmmm",
    _TOO_LOW,
    "lower is refused",
    then(released(), **_lowest("1.4.3")),
)
releases.refuted(
    "relabelled",
    "pfcmmmm",
    _TOO_LOW,
    "a measurement counts as the lowest version it was ever released under",
    then(
        released(version="1.0.0"),
        revoke(PROVIDER, "withdrawn"),
        released(version="9.0.0"),
        **_lowest("1.4.2"),
    ),
)
releases.verified(
    "relabelled-by-a-thief",
    "ppcmmmm",
    "void ones are not included",
    then(
        add_key(PROVIDER),
        released(version="1.0.0"),
        lose(PROVIDER, 1),
        released(version="9.0.0", by=SECOND),
        **_lowest("1.4.2"),
    ),
)
releases.refuted(
    "prerelease",
    "pfcmmmm",
    _TOO_LOW,
    "by SemVer 2.0.0",
    then(released(version="1.4.2-rc.1"), **_lowest("1.4.2")),
)
releases.refuted(
    "not-semver",
    "pfcmmmm",
    _TOO_LOW,
    "what is not SemVer fails",
    then(released(version="2026.11"), **_lowest("1.4.2")),
)

# --- conflicts ------------------------------------------------------------------------

conflicts = Stories("conflicts", "Two releases of one version that differ (2.3).")
_RIVAL = GOOD | {"PCR1": BAD["PCR1"]}
conflicts.refuted(
    "same-image-another-pcr1",
    "pfcmmmm",
    _CONFLICT,
    "a register that both name differs",
    then(released(), released(image=_RIVAL)),
)
conflicts.refuted(
    "another-image",
    "pfcmmmm",
    _CONFLICT,
    "same product, version, platform",
    then(released(image=BAD), released()),
)
conflicts.verified(
    "another-version",
    "ppcmmmm",
    "another version is no conflict",
    then(released(image=BAD, version="1.4.1"), released()),
)
conflicts.verified(
    "another-variant",
    "ppcmmmm",
    "nor is another variant",
    then(released(image=BAD, variant="arm64"), released()),
)
conflicts.refuted(
    "same-variant",
    "pfcmmmm",
    _CONFLICT,
    "variants are the same",
    then(released(image=BAD, variant="arm64"), released(variant="arm64")),
)
conflicts.verified(
    "a-register-of-one",
    "ppcmmmm",
    "a register that both name",
    then(released(), released(image=GOOD | _EIGHT)),
)
conflicts.verified(
    "rival-withdrawn",
    "ppcmmmm",
    "nor revoked ones, on either side",
    then(released(image=BAD), revoke(PROVIDER, "withdrawn"), released()),
)
conflicts.verified(
    "rival-vulnerable",
    "ppcmmmm",
    "by a revocation that may lift",
    then(released(image=BAD), revoke(PROVIDER, "vulnerable"), released()),
)
conflicts.refuted(
    "rival-expired",
    "pfcmmmm",
    _CONFLICT,
    "expired ones count",
    then(released(image=BAD, expires="2026-01-01T00:00:00Z"), released()),
)
conflicts.verified(
    "rival-void",
    "ppcmmmm",
    "void releases do not count",
    then(
        add_key(PROVIDER), released(image=BAD), lose(PROVIDER, 1), released(by=SECOND)
    ),
)
conflicts.refuted(
    "lifted-by-a-void-revocation",
    "pfcmmmm",
    _CONFLICT,
    "a revocation lifts only while it is not void",
    then(
        add_key(PROVIDER),
        released(image=BAD),
        revoke(PROVIDER, "withdrawn"),
        lose(PROVIDER, 1),
        released(by=SECOND),
    ),
)
conflicts.refuted(
    "lifted-for-an-unknown-reason",
    "pfcmmmm",
    _CONFLICT,
    "an unknown reason lifts nothing",
    then(released(image=BAD), revoke(PROVIDER, "disliked"), released()),
)
conflicts.refuted(
    "rival-not-pinned",
    "pfcmmmm",
    _CONFLICT,
    "those by a key that is not pinned count",
    then(
        add_key(PROVIDER, agreed=False),
        released(image=BAD, by=SECOND),
        released(),
        **_PINS,
    ),
)
conflicts.refuted(
    "shed-by-a-new-version",
    "pfcmmmm",
    _CONFLICT,
    "every matching release is asked for conflicts, not only the newest",
    then(released(image=BAD), released(), released(version="1.4.3")),
)

# --- audits ---------------------------------------------------------------------------

audits = Stories("audits", "Passes, fails, bases, quorums (2.3).")
_THREE = {"product": {"links": [1, 2, 3]}}
_FOUR = {"product": {"links": [1, 2, 4]}}
_LACKS = "audits.quorum fail, policy.links fail"


def rebuilt(auditor: str = LAB, **members: Any) -> Callable[[Stage], int]:
    """A reproduction."""
    return lambda s: s.reproduce(auditor, **members)


def reviewed(auditor: str = LENS, **members: Any) -> Callable[[Stage], int]:
    """A source review."""
    return lambda s: s.review(auditor, **members)


audits.verified(
    "reproduced",
    "pppmmmm",
    "link 3: a counted reproduction, pass",
    then(released(), rebuilt(), **_THREE),
)
audits.verified(
    "reproduced-before-the-release",
    "pppmmmm",
    "audits may come before the release that they help",
    then(rebuilt(), released(), **_THREE),
)
audits.verified(
    "reviewed",
    "ppcpmmm",
    "link 4: a counted source-review of that commit",
    then(released(), reviewed(), **_FOUR),
)
audits.refuted(
    "nobody-reproduced",
    "ppcmmmm",
    _LACKS,
    "too few, in a complete run",
    then(released(), **_THREE),
)
for _word, _why, _step in (
    (
        "another-commit",
        "its source.commit is the release's",
        rebuilt(source=source(OLDER)),
    ),
    ("another-recipe", "its recipe is that of the release", rebuilt(recipe="0" * 64)),
    (
        "more-registers",
        "all that it names equal the release's",
        rebuilt(image=GOOD | _EIGHT),
    ),
    (
        "expired",
        "a pass counts if it is not expired",
        lambda s: s.reproduce(expires=format_time(s.log.now)),
    ),
    (
        "ahead-of-the-skew",
        "performed is not later than now plus the skew",
        lambda s: s.reproduce(performed=format_time(s.log.now + 301)),
    ),
):
    audits.refuted(
        f"reproduced-{_word}",
        "ppcmmmm",
        _LACKS,
        _why,
        then(released(), _step, **_THREE),
    )
audits.verified(
    "reproduced-by-its-recipe",
    "pppmmmm",
    "where both name one",
    then(released(), rebuilt(recipe=RECIPE.sha256), **_THREE),
)
audits.verified(
    "performed-within-the-skew",
    "pppmmmm",
    "performed may be ahead by the skew",
    then(
        released(),
        lambda s: s.reproduce(performed=format_time(s.log.now + 300)),
        **_THREE,
    ),
)
_TWO = {"product": {"links": [1, 2, 3], "counts": {"reproduction": 2}}}
audits.refuted(
    "one-of-two",
    "ppcmmmm",
    _LACKS,
    "with two asked for and one there",
    then(released(), rebuilt(), **_TWO),
)
audits.verified(
    "two-of-two",
    "pppmmmm",
    "as many as the policy asks for",
    then(released(), rebuilt(), rebuilt(LENS), **_TWO),
)
_ONLY_REVIEWS = {
    "product": {
        "links": [1, 2, 3],
        "auditors": [{"name": LAB, "scopes": ["source-review"]}],
    }
}
audits.refuted(
    "auditor-of-another-scope",
    "ppcmmmm",
    _LACKS,
    "for its scope",
    then(released(), rebuilt(), **_ONLY_REVIEWS),
)
audits.refuted(
    "auditor-not-named",
    "ppcmmmm",
    _LACKS,
    "if the policy says so",
    then(
        released(), rebuilt(), product={"links": [1, 2, 3], "auditors": EVERY_SCOPE[1:]}
    ),
)
for _word, _lacks in (("source", _LACKS), ("build", "policy.links fail")):
    audits.refuted(
        f"without-{_word}",
        "ppmmmmm",
        _lacks,
        "a pass cannot stand in for the provider's own word",
        then(released(**{_word: None}), rebuilt(), **_THREE),
    )
audits.refuted(
    "pass-revoked",
    "ppcmmmm",
    _LACKS,
    "if its auditor has not revoked it",
    then(released(), rebuilt(), revoke(LAB, "withdrawn"), **_THREE),
)
audits.verified(
    "pass-revoked-by-another",
    "pppmmmm",
    "an auditor's revocation",
    then(
        released(),
        rebuilt(),
        revoke(PROVIDER, "withdrawn", 2),
        released(version="1.5.0"),
        **_THREE,
    ),
)
audits.refuted(
    "pass-void",
    "ppcmmmm",
    _LACKS,
    "a pass counts if it speaks",
    then(released(), add_key(LAB), rebuilt(), lose(LAB, 1), **_THREE),
)
_FOUND = {"result": "fail"}
audits.refuted(
    "reproduction-failed",
    "pffmmmm",
    _FAILS,
    "a counted fail of any scope",
    then(released(), rebuilt(**_FOUND)),
)
audits.refuted(
    "review-failed",
    "pfcfmmm",
    _FAILS,
    "fails link 2, and its own",
    then(released(), reviewed(**_FOUND)),
)
audits.refuted(
    "failed-then-passed",
    "pffmmmm",
    _FAILS,
    "a later pass does not lift it",
    then(released(), rebuilt(**_FOUND), rebuilt()),
)
audits.verified(
    "fail-lifted",
    "ppcmmmm",
    "it stands until its auditor revokes it",
    then(released(), rebuilt(**_FOUND), revoke(LAB, "erroneous")),
)
audits.refuted(
    "fail-lifted-for-an-unknown-reason",
    "pffmmmm",
    _FAILS,
    "it lifts a fail only if it may lift",
    then(released(), rebuilt(**_FOUND), revoke(LAB, "disliked", statement=None)),
)
audits.refuted(
    "fail-of-a-lost-key",
    "pffmmmm",
    _FAILS,
    "it outlives its key",
    then(released(), add_key(LAB), rebuilt(**_FOUND), lose(LAB, 1)),
)
audits.refuted(
    "fail-by-a-key-not-pinned",
    "pffmmmm",
    _FAILS,
    "it needs no pin",
    then(
        released(),
        add_key(LAB, agreed=False),
        rebuilt(by=SECOND, **_FOUND),
        product={"pins": {LAB: [key(LAB).public.keyid]}},
    ),
)
audits.refuted(
    "fail-shares-the-image",
    "pffmmmm",
    _FAILS,
    "if it shares an M",
    then(released(), rebuilt(image=_RIVAL, **_FOUND)),
)
audits.verified(
    "fail-on-another-image",
    "ppcmmmm",
    "if it shares an M",
    then(released(), rebuilt(image=BAD, **_FOUND)),
)
audits.refuted(
    "fail-of-an-unknown-scope",
    "pfcmmmm",
    _FAILS,
    "an unknown scope: a pass counts for nothing, a fail counts",
    then(released(), lambda s: s.log.audit(LAB, "side-channels", GOOD, result="fail")),
)
audits.verified(
    "pass-of-an-unknown-scope",
    "ppcmmmm",
    "a pass counts for nothing",
    then(released(), lambda s: s.log.audit(LAB, "side-channels", GOOD)),
)
audits.refuted(
    "failed-commit-of-an-older-release",
    "pfcfmmm",
    _FAILS,
    "the fails count on the commits of every release with that measurement",
    then(
        released(version="1.0.0", source=source(OLDER)),
        released(),
        reviewed(of=OLDER, **_FOUND),
    ),
)
audits.refuted(
    "failed-commit-of-a-reproduction",
    "pfcfmmm",
    _FAILS,
    "and of every reproduction by an auditor that counts",
    then(released(), rebuilt(source=source(OLDER)), reviewed(of=OLDER, **_FOUND)),
)


def qualified(**limits: int) -> Story:
    """A review with two medium findings, under such limits."""
    rules = {"links": [1, 2, 4], **({"open_findings": limits} if limits else {})}
    found = OpenFindings(0, 0, 2, 5)
    return then(released(), reviewed(result="qualified", open=found), product=rules)


audits.verified(
    "qualified",
    "ppcpmmm",
    "every severity listed at or below its number",
    qualified(critical=0, medium=2),
)
audits.refuted(
    "qualified-beyond", "ppcmmmm", _LACKS, "at or below its number", qualified(medium=1)
)
audits.refuted(
    "qualified-without-limits",
    "ppcmmmm",
    _LACKS,
    "without open_findings a qualified audit counts for nothing",
    qualified(),
)


def based(*, fail: bool = False, revoked: bool = False, auditor: str = LENS) -> Story:
    """A review that builds on one of an older commit."""

    def story(s: Stage) -> Inputs:
        s.release()
        at = s.review(auditor, OLDER)
        basis = Basis(OLDER, s.log.entries[at].sha256)
        s.review(LENS, basis=basis)
        if fail:
            s.log.now += 1
            s.review(LENS, OLDER, result="fail")
        if revoked:
            s.log.revoke(LENS, "withdrawn", at)
        return s.inputs(policy=s.policy(**_FOUR))

    return story


audits.verified(
    "basis", "ppcpmmm", "a basis stands: there, before, speaking, not revoked", based()
)
audits.refuted(
    "basis-failed", "ppcmmmm", _LACKS, "no fail on that commit stands", based(fail=True)
)
audits.refuted(
    "basis-revoked",
    "ppcmmmm",
    _LACKS,
    "not revoked by its auditor",
    based(revoked=True),
)
audits.refuted(
    "basis-of-another", "ppcmmmm", _LACKS, "by the same issuer", based(auditor=LAB)
)


def deep(steps: int) -> Story:
    """A review on a review on a review..."""

    def story(s: Stage) -> Inputs:
        s.release()
        basis = None
        for n in range(steps, -1, -1):
            commit = "ab" * 20 if n == 0 else f"{n:02x}" * 20
            at = s.review(LENS, commit, basis=basis)
            basis = Basis(commit, s.log.entries[at].sha256)
        return s.inputs(policy=s.policy(**_FOUR))

    return story


audits.verified("basis-8-deep", "ppcpmmm", "at most 8 steps", deep(8))
audits.unchecked(
    "basis-9-deep",
    "puuuuuu",
    "answers.present unchecked, release.valid unchecked, release.conflict unchecked,"
    " release.version unchecked, audits.quorum unchecked, audits.fails unchecked,"
    " policy.links unchecked",
    "a basis chain that goes on after 8 steps could not be checked",
    deep(9),
)

# --- components and controls ----------------------------------------------------------

parts = Stories("parts", "Links 5, 6 and 7: components and controls (sections 1, 4.1).")
_SIDE = (Component(SIDECAR, SHA),)
_5 = {"product": {"links": [1, 2, 5]}}
_56 = {"product": {"links": [1, 2, 5, 6]}}


def _made_of(*components: Component, confirmed: bool = True) -> Callable[[Stage], int]:
    def step(s: Stage) -> int:
        s.release(components=components)
        return s.reproduce(components=digest_of(components) if confirmed else None)

    return step


def _part(**members: Any) -> Callable[[Stage], Component]:
    return lambda s: s.part(SIDECAR, SHA, **members)


_NO_PARTS = "components fail, policy.links fail"
parts.refuted(
    "components-absent",
    "pppmmmm",
    _NO_PARTS,
    "absent is missing, not fine",
    then(released(), rebuilt(components=digest_of(())), **_5),
)
parts.refuted(
    "no-components-claimed",
    "pppmccm",
    _NO_PARTS,
    "[] is a claim",
    then(_made_of(confirmed=False), **_5),
)
parts.verified(
    "no-components-confirmed",
    "pppmppm",
    "and proven by who names this list",
    then(_made_of(), **_56),
)
parts.verified(
    "component-proven",
    "ppppppm"[:3] + "pppm",
    "its own link 3, and link 4",
    then(_part(), _made_of(*_SIDE), reviewed(), **_56),
)
parts.verified(
    "component-reproduced-alone",
    "pppmpmm",
    "its own link 3, in link 5",
    then(_part(), _made_of(*_SIDE), **_5),
)
parts.refuted(
    "component-nobody-released",
    "pppmmmm",
    _NO_PARTS,
    "a component without a release is missing",
    then(lambda s: s.log.enroll("parts.example", "provider"), _made_of(*_SIDE), **_5),
)


def _part_revoked(s: Stage) -> None:
    s.part(SIDECAR, SHA)
    s.log.revoke("parts.example", "vulnerable", max(s.log.entries) - 1)


parts.refuted(
    "component-revoked",
    "pppmffm",
    "components fail",
    "a failed 5 or 6 refutes whether it is demanded or not",
    then(_part_revoked, _made_of(*_SIDE)),
)
parts.verified(
    "component-revoked-reported",
    "pppmffm",
    'unless components = "report" and neither is demanded',
    then(_part_revoked, _made_of(*_SIDE), product={"components": "report"}),
)
parts.refuted(
    "component-revoked-reported-and-demanded",
    "pppmffm",
    _NO_PARTS,
    "or one of them is demanded",
    then(
        _part_revoked,
        _made_of(*_SIDE),
        product={"components": "report", "links": [1, 2, 5]},
    ),
)


def _circle(s: Stage) -> None:
    s.log.enroll("parts.example", "provider")
    other = Component("parts.example/other", "0b" * 32)
    for product, sha256, made_of in (
        (SIDECAR, SHA, other),
        (other.product, other.sha256, _SIDE[0]),
    ):
        s.release(
            "1.0.0",
            {"digest": f"sha256:{sha256}"},
            product=product,
            platform="artifact",
            components=(made_of,),
        )
    _made_of(*_SIDE)(s)


parts.unchecked(
    "components-in-a-circle",
    "puuuuuu",
    "answers.present unchecked, release.valid unchecked, release.conflict unchecked,"
    " release.version unchecked, audits.fails unchecked, policy.links unchecked",
    "a component that stands above itself could not be checked",
    then(_circle),
)


def _numbered(s: Stage, n: int, made_of: Sequence[Component] = ()) -> Component:
    """A part, made of others."""
    if s.log.authority.newest("parts.example") is None:
        s.log.enroll("parts.example", "provider")
    product, sha256 = f"parts.example/p{n:02}", f"{n:02x}" * 32
    listed = tuple(sorted(made_of, key=Component.order))
    s.release(
        "1.0.0",
        artifact(sha256),
        product=product,
        platform="artifact",
        components=listed,
    )
    return Component(product, sha256)


def _nested(depth: int) -> Callable[[Stage], int]:
    def step(s: Stage) -> int:
        part = _numbered(s, 1)
        for n in range(2, depth + 1):
            part = _numbered(s, n, [part])
        return _made_of(part)(s)

    return step


def _many(number: int) -> Callable[[Stage], int]:
    """So many parts, two of which are made of the others."""

    def step(s: Stage) -> int:
        below = [_numbered(s, n) for n in range(1, number - 1)]
        half = len(below) // 2
        first = _numbered(s, 98, below[:half])
        return _made_of(first, _numbered(s, 99, below[half:]))(s)

    return step


_CUT = (
    "answers.present unchecked, release.valid unchecked, release.conflict unchecked,"
    " release.version unchecked, audits.fails unchecked, policy.links unchecked"
)
parts.verified(
    "components-8-deep", "pppmcmm", "at most 8 below one another", then(_nested(8))
)
parts.unchecked(
    "components-9-deep",
    "puuuuuu",
    _CUT,
    "one below 8 others is not walked: could not check",
    then(_nested(9)),
)
parts.verified("components-64", "pppmcmm", "at most 64 in all", then(_many(64)))
parts.unchecked(
    "components-65",
    "puuuuuu",
    _CUT,
    "every new one after 64 is not walked: could not check",
    then(_many(65)),
)


def _base_revoked(s: Stage) -> None:
    """A part of a part is revoked by the registrar."""
    base = _numbered(s, 1)
    s.log.revoke("registrar", "compromised", max(s.log.entries), by=s.log.enrol)
    s.release(components=(_numbered(s, 2, [base]),))


def _stale(s: Stage) -> Inputs:
    made = then(_base_revoked)(s)
    now = made.now + DAY + 1
    return replace(made, now=now, attestation=document(time=now))


parts.refuted(
    "part-of-a-part-revoked",
    "ppcmffm",
    "components fail",
    "a component's own links 5 and 6 count as well",
    then(_base_revoked),
)
parts.refuted(
    "part-of-a-part-revoked-and-stale",
    "puuuffu",
    "log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    " release.valid unchecked, release.conflict unchecked, release.version unchecked,"
    " audits.fails unchecked, components fail, policy.links unchecked",
    "in an incomplete run, evidence against still fails its check and its link",
    _stale,
)
_7 = {"product": {"links": [1, 2, 7]}}
_NO_CONTROLS = "audits.quorum fail, controls fail, policy.links fail"


def _controlled(**review: Any) -> Callable[[Stage], object]:
    def step(s: Stage) -> object:
        at = s.release(controls=(CONTROL,))
        return s.review_controls(at, **review)

    return step


parts.refuted(
    "controls-absent",
    "ppcmmmm",
    "audits.quorum fail, controls fail, policy.links fail",
    "absent is missing",
    then(released(), **_7),
)
parts.refuted(
    "controls-claimed",
    "ppcmmmc",
    _NO_CONTROLS,
    "listed is claimed",
    then(released(controls=(CONTROL,)), **_7),
)
parts.verified(
    "controls-reviewed",
    "ppcmmmp",
    "a pass that names exactly this list",
    then(_controlled(), **_7),
)
parts.refuted(
    "controls-another-list",
    "ppcmmmc",
    _NO_CONTROLS,
    "exactly this list",
    then(_controlled(controls=digest_of(())), **_7),
)
parts.refuted(
    "controls-failed",
    "pfcmmmf",
    "audits.fails fail, controls fail, policy.links fail",
    "a fail always",
    then(_controlled(result="fail")),
)


def _aging(seconds: int) -> Story:
    def story(s: Stage) -> Inputs:
        begun = s.log.now
        _controlled()(s)
        s.log.now = begun + 90 * DAY + seconds
        return s.inputs(policy=s.policy(**_7))

    return story


parts.verified(
    "controls-90-days", "ppcmmmp", "expires at most 90 days after performed", _aging(-1)
)
parts.refuted(
    "controls-expired", "ppcmmmc", _NO_CONTROLS, "and then it is expired", _aging(0)
)

# --- what a reader does not know ------------------------------------------------------

unknown = Stories("unknown", "What a reader does not know (section 2.5).")


def _strange(kind: str, *, name: str = PROVIDER) -> Callable[[Stage], int]:
    """A statement of another type about the measurement; no v1 log takes one."""

    def step(s: Stage) -> int:
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "predicate": {
                "issuer": name,
                "identity": [["PCR0"]],
                "platform": "aws-nitro",
            },
            "predicateType": kind,
            "subject": [
                {"digest": {"sha384": digest.partition(":")[2]}, "name": register}
                for register, digest in sorted(GOOD.items())
            ],
        }
        leaf = sign_envelope(encode_json(statement), [key(name)])
        return s.log.append(leaf, force=True)

    return step


_CANNOT = (
    "entries.authority unchecked, release.valid unchecked, release.conflict unchecked,"
    " release.version unchecked, audits.fails unchecked, policy.links unchecked"
)
for _kind in ("urn:pcrlog:release:v2", "urn:pcrlog:advisory:v1", "https://x.example/y"):
    unknown.unchecked(
        f"type-{_kind.replace('://', '-').replace(':', '-').replace('/', '-')}",
        "puuuuuu",
        _CANNOT,
        "an unknown type under an asked key: upgrade",
        then(released(), _strange(_kind)),
    )
unknown.verified(
    "type-info",
    "ppcmmmm",
    "what begins with urn:pcrlog:info: is skipped",
    then(released(), _strange("urn:pcrlog:info:note:v1")),
)
unknown.verified(
    "type-of-a-stranger",
    "ppcmmmm",
    "only what was asked for is read",
    then(
        released(),
        lambda s: s.log.enroll(OTHER),
        _strange("urn:pcrlog:x:v1", name=OTHER),
    ),
)


def _with_member(s: Stage) -> Inputs:
    at = s.release()
    payload = s.log.entries[at].envelope.payload
    strange = payload.replace(b'"identity"', b'"hardware":"x","identity"', 1)
    s.log.append(sign_envelope(strange, [key(PROVIDER)]), force=True)
    return s.inputs()


unknown.refuted(
    "member",
    "puuuuuu",
    _CANNOT.replace("authority unchecked", "authority fail"),
    "a member in a v1 predicate: malformed, which refutes the log",
    _with_member,
)
unknown.refuted(
    "reason-with-statement",
    "pfmmmmm",
    _NOT_VALID,
    "revoked: that one",
    then(
        released(),
        lambda s: s.log.revoke(
            PROVIDER,
            "disliked",
            max(s.log.entries),
            statement=s.log.entries[max(s.log.entries)].sha256,
        ),
    ),
)
unknown.refuted(
    "reason-without-statement",
    "pfmmmmm",
    _NOT_VALID,
    "the measurement",
    then(
        released(),
        lambda s: s.log.revoke(
            PROVIDER, "disliked", max(s.log.entries), statement=None
        ),
        released(version="1.5.0"),
    ),
)

# --- demands --------------------------------------------------------------------------

demands = Stories("demands", "What policies demand, and link 8 (sections 1, 4.6).")
for _number in range(1, 8):
    demands.verified(
        f"link-{_number}-proven",
        "ppppppp",
        "a demanded link that is proven will do",
        then(lambda s: s.complete(), product={"links": [_number]}),
    )
demands.verified(
    "every-link",
    "ppppppp",
    "links 1 to 7 all proven: trust ends at 7",
    then(lambda s: s.complete(), product={"links": [1, 2, 3, 4, 5, 6, 7]}),
)
for _operator in ("aws", "host.example"):
    demands.verified(
        f"ground-of-{_operator}",
        "ppcmmmm",
        "link 8: the maker of aws-nitro runs all machines, whatever the policy names",
        then(released(), platform={"operator": _operator}),
    )
    demands.refuted(
        f"ground-separate-of-{_operator}",
        "ppcmmmm",
        "policy.ground fail",
        "ground = separate is refuted where maker and operator are one",
        then(
            released(),
            platform={"operator": _operator},
            product={"ground": "separate"},
        ),
    )
demands.verified(
    "product-of-a-providers-table",
    "ppcmmmm",
    "a product is looked up by its exact name, then by <name>/*",
    then(
        released(),
        products={
            f"{PROVIDER}/*": {"platforms": ["aws-nitro"], "lowest_version": "9.0.0"}
        },
    ),
)

STORIES = (releases, conflicts, audits, parts, unknown, demands)
MAKERS = tuple(stories.family for stories in STORIES)
