"""Rules about what time alone brings: `unaudited`, `expiring`; and lists to wait for.

What is to come is a fact of the state, by the index of the statement:

    unaudited   <unix seconds at which the release was published>
    expiring    <unix seconds at which the release or audit runs out>

Each is judged when its time has come, as `verify` would judge it then, told at most
once, and forgotten. What has run out already is not told of: on a first start over a
long log that would be all that is old.
"""

from collections.abc import Iterator, Sequence

from monitor import rules_expected
from monitor.alerts import Alert
from monitor.case import Case, Done, named
from monitor.config import seconds
from monitor.ours import commit_key, measured
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry
from pcrlog.gather import Subject, gather
from pcrlog.policy_file import Product
from pcrlog.predicates import Audit, Release
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW
from pcrlog.verification.audits import Audits, distinct
from pcrlog.verification.releases import Releases

_UNAUDITED, _EXPIRING = "unaudited", "expiring"
_SCOPE_OF_LINK = {3: REPRODUCTION, 4: SOURCE_REVIEW, 7: CONTROLS_REVIEW}


# --- what is to come -----------------------------------------------------------------


def await_release(case: Case, entry: Entry, release: Release) -> None:
    """Remember when a new release of ours has to be audited, and when it runs out."""
    name = str(entry.index)
    rules = case.policy.find_product(release.product)
    due = case.watch.unaudited_after is not None and rules and rules.auditors
    if due and not _renews(case, entry, release):
        case.state.remember(_UNAUDITED, name, str(case.sealed))
    if release.expires is not None:
        case.state.remember(_EXPIRING, name, str(parse_time(release.expires)))
    for said in _said_of(case, entry, release):
        if isinstance(said.predicate, Audit):
            await_audit(case, said, said.predicate)


def await_audit(case: Case, entry: Entry, audit: Audit) -> None:
    """Remember when an audit of ours runs out."""
    if audit.expires is not None:
        expires = str(parse_time(audit.expires))
        case.state.remember(_EXPIRING, str(entry.index), expires)


def _said_of(case: Case, entry: Entry, release: Release) -> Iterator[Entry]:
    """What auditors said of a release, and of its source, before it was made."""
    rules = case.policy.find_product(release.product)
    keys = [*measured(entry)]
    if release.source is not None:
        keys.append(commit_key(release.source.commit))
    for auditor in rules.auditors if rules is not None else ():
        for key in keys:
            yield from case.reading.said(auditor.name, key, entry.index)


def _renews(case: Case, entry: Entry, release: Release) -> bool:
    """Whether the same was released before: audits speak of what is the same."""
    return any(
        _is_same(other, one, release, entry)
        for key in measured(entry)
        for one, other in case.ours.parts_released(release.product, key, entry.index)
    )


def _is_same(other: Release, one: Entry, release: Release, entry: Entry) -> bool:
    return (
        (other.version, other.variant) == (release.version, release.variant)
        and one.statement.registers == entry.statement.registers
        and other.source == release.source
    )


# --- when it has come ----------------------------------------------------------------


def judge(case: Case) -> list[Alert]:
    """What to tell now; nothing is forgotten unless all of it could be read."""
    done: Done = []
    found = [
        *rules_expected.look_again(case, done),
        *_unaudited(case, done),
        *_expiring(case, done),
    ]
    for rule, name in done:
        case.state.remember(rule, name, None)
    return found


def _come(case: Case, done: Done, rule: str, until: float) -> Iterator[Entry]:
    """The statements whose time has come."""
    for name, moment in case.state.facts(rule).items():
        if int(moment) > until:
            continue
        done.append((rule, name))
        entry = case.reading.entry(int(name))
        if entry is not None:
            yield entry


def _unaudited(case: Case, done: Done) -> Iterator[Alert]:
    after = case.watch.unaudited_after
    if after is None:
        return
    for entry in _come(case, done, _UNAUDITED, case.now - seconds(after)):
        release = entry.predicate
        rules = case.policy.find_product(getattr(release, "product", ""))
        if not isinstance(release, Release) or rules is None:
            continue
        if not case.stands(entry, release):
            continue
        missing = _missing(case, rules, entry, release)
        if missing:
            found = f"{missing} {after} after it was released"
            yield case.alert(_UNAUDITED, named(release), found, entry.index)


def _missing(case: Case, rules: Product, entry: Entry, release: Release) -> str:
    """Which passes a release lacks, of those that the policy demands; or of any."""
    audits = _audits_of(case, rules, entry, release)
    passes = {
        REPRODUCTION: audits.reproductions,
        SOURCE_REVIEW: audits.source_reviews,
        CONTROLS_REVIEW: audits.controls_reviews,
    }
    wanted = [scope for link, scope in _SCOPE_OF_LINK.items() if link in rules.links]
    if not wanted:
        return "" if any(passes.values()) else "no auditor passes it"
    lacking = [
        f"{len(distinct(passes[scope]))} of {rules.counts.of(scope)} {scope} passes"
        for scope in wanted
        if len(distinct(passes[scope])) < rules.counts.of(scope)
    ]
    return ", ".join(lacking)


def _audits_of(case: Case, rules: Product, entry: Entry, release: Release) -> Audits:
    """The audits that count for a release, by the walk and the rules of `verify`."""

    def ask(key: str) -> Sequence[Entry]:
        return list(case.reading.under(key))

    names = tuple(one.name for one in rules.auditors)
    measurements = entry.statement.measurements
    subject = Subject(release.product, release.platform, measurements, names)
    gather(subject, ask, ask, lambda _product, above: above)
    return Audits(Releases(case.judge, subject, rules, entry.statement.registers))


def _expiring(case: Case, done: Done) -> Iterator[Alert]:
    within = case.watch.expiring_within
    until = case.now if within is None else case.now + seconds(within)
    for entry in _come(case, done, _EXPIRING, until):
        said = entry.predicate
        expires = getattr(said, "expires", None)
        if within is None or expires is None or parse_time(expires) <= case.now:
            continue
        if isinstance(said, Release):
            if case.stands(entry, said) and not _release_renewed(case, entry, said):
                found = f"it runs out at {expires}"
                yield case.alert(_EXPIRING, named(said), found, entry.index)
        elif isinstance(said, Audit):
            yield from _audit_expiring(case, entry, said)


def _outlasts(later: str | None, expires: str | None) -> bool:
    """Whether one time to run out is after another, which is given."""
    return later is None or (
        expires is not None and parse_time(later) > parse_time(expires)
    )


def _release_renewed(case: Case, entry: Entry, release: Release) -> bool:
    return any(
        _outlasts(other.expires, release.expires)
        and (other.version, other.variant) == (release.version, release.variant)
        and one.statement.registers == entry.statement.registers
        and case.stands(one, other)
        for key in measured(entry)
        for one, other in case.ours.parts_released(release.product, key)
    )


def _audit_expiring(case: Case, entry: Entry, audit: Audit) -> Iterator[Alert]:
    ours = case.standing(case.ours.releases(measured(entry)))
    for product in sorted({release.product for _, release in ours}):
        if audit.issuer not in case.ours.auditors(product, audit.scope):
            continue
        if audit.result == "fail" or _audit_renewed(case, entry, audit):
            continue
        yield case.alert(
            _EXPIRING,
            product,
            f"the {audit.scope} by {audit.issuer} runs out at {audit.expires}",
            entry.index,
        )


def _audit_renewed(case: Case, entry: Entry, audit: Audit) -> bool:
    """Whether it counts no longer anyway, or one of the same outlasts it."""
    said = [
        one for key in measured(entry) for one in case.reading.said(audit.issuer, key)
    ]
    if case.authority.is_void(entry) or case.judge.revocation_of(entry, said):
        return True
    return any(
        isinstance(one.predicate, Audit)
        and (one.predicate.scope, one.predicate.result) == (audit.scope, audit.result)
        and _outlasts(one.predicate.expires, audit.expires)
        and not case.authority.is_void(one)
        for one in said
    )
