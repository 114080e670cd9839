"""Rules about releases: unexpected, conflicting, reused, relabelled, and tainted.

A release is told of once: what is renewed with the same registers, product and version
is nothing new. A statement on the list of what we said (`watch.statements`) is expected
whatever its registers are, and its owner is not asked about it again.

The last rule looks back: what was said against a measurement before it was released as
ours (audits and revocations may come first, PROTOCOL.md 2.2) counts from now on.
"""

from collections.abc import Iterator, Sequence

from monitor import rules_expected, rules_statements, rules_time
from monitor.alerts import Alert
from monitor.case import Case, named
from monitor.ours import measured
from pcrlog.entry import Entry
from pcrlog.index_keys import of_measurement, of_version
from pcrlog.measurement import parse_measurement
from pcrlog.predicates import Release
from pcrlog.verification.judge import Judge
from pcrlog.verification.releases import differs


def judge(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """All that there is to say of a new release."""
    if not case.ours.watches(entry, release):
        yield from _imitation(case, entry, release)
        yield from rules_statements.look_back_at_part(case, entry, release)
        return
    if not case.known(entry):
        yield from rules_expected.judge(case, entry, release)
        yield from _conflicting(case, entry, release)
        yield from _reuse(case, entry, release)
        yield from _relabelled(case, entry, release)
    yield from rules_statements.look_back(case, entry, release)
    rules_time.await_release(case, entry, release)


def _conflicting(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    key = of_version(release.product, release.version)
    judge = case.as_of(release.issuer, entry.index)
    earlier = [
        one
        for one in case.reading.under(key, entry.index)
        if _counts(case, judge, one, entry.index)
    ]
    ours = entry.statement.registers
    if any(_same(release, one) and one.statement.registers == ours for one in earlier):
        return  # It was told of when it was new.
    for rival in earlier:
        if differs(entry, release, rival):
            yield case.alert(
                "conflicting-release",
                named(release),
                f"two builds of one version: entry {rival.index} has other registers",
                rival.index,
                entry.index,
            )


def _counts(case: Case, judge: Judge, rival: Entry, before: int) -> bool:
    """Whether a release conflicts: void and rightly revoked ones do not (2.3)."""
    rules = case.policy.find_product(getattr(rival.predicate, "product", ""))
    pins = {} if rules is None else rules.pins
    against = case.against(rival, before)
    return not (
        judge.authority.is_void(rival)
        or judge.revocation_of(rival, against, pins) is not None
    )


def _same(release: Release, other: Entry) -> bool:
    """Whether another release is of the same thing, whatever its registers are."""
    it = other.predicate
    return (
        isinstance(it, Release)
        and (it.product, it.version) == (release.product, release.version)
        and (it.platform, it.variant) == (release.platform, release.variant)
    )


def _earlier(case: Case, entry: Entry) -> Iterator[tuple[Entry, Release]]:
    """Earlier releases, by the same issuer, with a measurement of this one."""
    for measurement in measured(entry):
        for one in case.reading.said(entry.predicate.issuer, measurement, entry.index):
            if isinstance(one.predicate, Release):
                yield one, one.predicate


def _relabelled(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    earlier = [
        (one, other)
        for one, other in _earlier(case, entry)
        if other.product == release.product
    ]
    same = [one for one, other in earlier if other.version == release.version]
    if same:
        yield from _raised_again(case, entry, release, same)
        return
    for one, other in earlier[:1]:
        yield case.alert(
            "relabelled",
            named(release),
            f"the same build was released before as version {other.version}",
            one.index,
            entry.index,
        )


def _raised_again(
    case: Case, entry: Entry, release: Release, same: Sequence[Entry]
) -> Iterator[Alert]:
    """A release that was taken back, and is made once more under the same version."""
    against = list(case.against(entry, entry.index))
    taken = [case.judge.revocation_of(one, against) for one in same]
    # Whoever renews what still stands says nothing new.
    if None not in taken and taken[-1] is not None:
        yield case.alert(
            "relabelled",
            named(release),
            f"the same build was revoked by entry {taken[-1].index}, and is released"
            " again",
            taken[-1].index,
            entry.index,
        )


def _reuse(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """Ours has a measurement that already stands under another product."""
    if any(other.product == release.product for _, other in _earlier(case, entry)):
        return
    for measurement in measured(entry):
        key = of_measurement(*parse_measurement(measurement))
        for one in case.reading.under(key, entry.index):
            other = one.predicate
            if isinstance(other, Release) and other.product != release.product:
                yield _reused(case, one, other, entry, release)
                return


def _imitation(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """Another's release has a measurement of ours."""
    ours = case.ours.releases(measured(entry), entry.index)
    if not ours or case.known(entry):
        return
    if any(other.product == release.product for _, other in _earlier(case, entry)):
        return
    first = case.reading.entry(ours[0])
    if first is not None and isinstance(first.predicate, Release):
        yield _reused(case, first, first.predicate, entry, release)


def _reused(
    case: Case, first: Entry, other: Release, entry: Entry, release: Release
) -> Alert:
    return case.alert(
        "measurement-reuse",
        named(release),
        f"its measurement stands under {named(other)} too, by {other.issuer}",
        first.index,
        entry.index,
    )
