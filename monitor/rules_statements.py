"""Rules about audits and revocations: what is said in our name, and what against ours.

`unexpected-statement` looks at who speaks. The others look at what is spoken of:
`audit-dissent` at fails by auditors whom the policy counts for a product of ours (and
at passes beside a fail that stands), `revoked` at our releases and the audits that
count for them, `component-revoked` at what they are built with.

What was said before a release is told with the release (`look_back`), since it is
against it all the same (PROTOCOL.md 2.3); so is what was said of a commit before a
reproduction ties that commit to a release of ours.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter

from msgspec import Struct

from monitor import rules_time
from monitor.alerts import Alert
from monitor.case import Case, named
from monitor.ours import PARTS, Part, commit_key, measured, parts_of, provider_of
from pcrlog.entry import Entry
from pcrlog.predicates import REGISTRAR, Audit, Release, Revocation
from pcrlog.statement import REPRODUCTION, SOURCE_REVIEW

_SHOWN = 8
"""Entries of ours that an alert names, of however many there are: the newest ones."""


def unexpected_statement(case: Case, entry: Entry) -> Iterator[Alert]:
    """An audit or revocation in our name; off without a list (`watch.statements`)."""
    said = entry.predicate
    if case.watch.statements is None or not isinstance(said, Audit | Revocation):
        return
    mine = said.issuer in case.watch.identities or entry.keyid in case.watch.keys
    if mine and not case.known(entry):
        what = ", ".join(measured(entry))
        yield case.alert(
            "unexpected-statement",
            said.issuer,
            f"{_words(said)} of {what[:60]}…, signed with key {entry.keyid[:16]}…",
            entry.index,
        )


def judge(case: Case, entry: Entry, said: Audit | Revocation) -> Iterator[Alert]:
    """A new audit or revocation that is about what is ours."""
    if not case.known(entry):
        if isinstance(said, Audit):
            yield from _audited(case, entry, said)
        else:
            yield from _revoked(case, entry, said)
            yield from _part_revoked(case, entry, said)
    if isinstance(said, Audit):
        yield from _tied(case, entry, said)
        for product in _by_product(case, measured(entry), entry.index):
            if said.issuer in case.ours.auditors(product, said.scope):
                rules_time.await_audit(case, entry, said)


def _words(said: Audit | Revocation) -> str:
    if isinstance(said, Audit):
        return f"{said.scope}: {said.result}"
    return f"revocation as {said.reason}"


# --- audits --------------------------------------------------------------------------


def _audited(case: Case, entry: Entry, audit: Audit) -> Iterator[Alert]:
    keys = measured(entry)
    for product, indices in _by_product(case, keys, entry.index).items():
        if audit.issuer in case.ours.auditors(product, audit.scope):
            yield from _dissent(case, entry, audit, product, indices)
    for key in keys:
        for part, indices in case.ours.parts(key, entry.index).items():
            if audit.result == "fail" and _counts_for_part(case, audit, part, indices):
                yield _failed(case, entry, audit, part, indices)


def _by_product(case: Case, keys: Iterable[str], before: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index in case.ours.releases(keys, before):
        found.setdefault(case.ours.product(index), []).append(index)
    return found


def _counts_for_part(
    case: Case, audit: Audit, part: str, indices: Iterable[int]
) -> bool:
    """Auditors of the component's product count, else those of what it is part of."""
    products = [part]
    if case.policy.find_product(part) is None:
        products = [case.ours.product(index) for index in indices]
    return any(audit.issuer in case.ours.auditors(p, audit.scope) for p in products)


def _dissent(
    case: Case, entry: Entry, audit: Audit, product: str, indices: list[int]
) -> Iterator[Alert]:
    if audit.result == "fail":
        yield _failed(case, entry, audit, product, indices)
        return
    for key in measured(entry):
        for fail, other in _fails(case, product, key, entry.index):
            # Of other scopes both may be right.
            if other.scope == audit.scope:
                yield case.alert(
                    "audit-dissent",
                    product,
                    f"{audit.issuer} passes in a {audit.scope} what {other.issuer}"
                    f" failed (entry {fail.index})",
                    fail.index,
                    entry.index,
                )


def _failed(
    case: Case, entry: Entry, audit: Audit, product: str, indices: list[int]
) -> Alert:
    [*what] = measured(entry)
    commit = audit.scope == SOURCE_REVIEW
    words = f"the source, {what[0]}" if commit else f"{what[0][:40]}…"
    report = f"; report: {audit.report.uri}" if audit.report else ""
    return case.alert(
        "audit-dissent",
        product,
        f"{audit.issuer} failed {words} in a {audit.scope}{report}",
        *indices[-_SHOWN:],
        entry.index,
    )


def _fails(
    case: Case, product: str, key: str, before: int
) -> Iterator[tuple[Entry, Audit]]:
    """Counted fails that stand before an index: their auditor has not lifted them."""
    rules = case.policy.find_product(product)
    names = {one.name for one in rules.auditors} if rules else set()
    for name in sorted(names):
        said = list(case.reading.said(name, key, before))
        fails = [
            (one, one.predicate)
            for one in said
            if isinstance(one.predicate, Audit) and one.predicate.result == "fail"
        ]
        judge = case.as_of(name, before) if fails else None
        for one, audit in fails:
            if judge is None or name not in case.ours.auditors(product, audit.scope):
                continue
            if judge.revocation_of(one, said, rules.pins if rules else {}) is None:
                yield one, audit


def _tied(case: Case, entry: Entry, audit: Audit) -> Iterator[Alert]:
    """A reproduction that ties a commit to ours, which was failed before."""
    if audit.scope != REPRODUCTION or audit.source is None:
        return
    key = commit_key(audit.source.commit)
    known = set(_by_product(case, [key], entry.index))
    for product, indices in _by_product(case, measured(entry), entry.index).items():
        if product in known or audit.issuer not in case.ours.auditors(
            product, REPRODUCTION
        ):
            continue
        for fail, other in _fails(case, product, key, entry.index):
            yield _failed(case, fail, other, product, [*indices, entry.index])


# --- revocations ---------------------------------------------------------------------


def _revoked(case: Case, entry: Entry, said: Revocation) -> Iterator[Alert]:
    hit: dict[str, list[int]] = {}
    for index in case.ours.releases(measured(entry), entry.index):
        one = case.reading.entry(index)
        if one is None or not isinstance(one.predicate, Release):
            continue
        if _hits(said, one):
            hit.setdefault(named(one.predicate), []).append(index)
    for about, indices in hit.items():
        yield _taken(case, entry, said, about, indices)
    yield from _audit_revoked(case, entry, said)


def _hits(said: Revocation, one: Entry) -> bool:
    """Whether a revocation about one of its measurements takes a release back."""
    if said.issuer not in (REGISTRAR, one.predicate.issuer):
        return False
    return said.statement is None or said.statement == one.sha256


def _taken(
    case: Case, entry: Entry, said: Revocation, about: str, indices: list[int]
) -> Alert:
    since = f", from {said.effective} on" if said.effective else ""
    return case.alert(
        "revoked",
        about,
        f"revoked by {said.issuer} as {said.reason}{since}",
        *indices[-_SHOWN:],
        entry.index,
    )


def _audit_revoked(case: Case, entry: Entry, said: Revocation) -> Iterator[Alert]:
    """A pass that counts for ours is taken back; a fail that is lifted is good news."""
    if said.statement is None:
        return
    for key in measured(entry):
        products = _by_product(case, [key], entry.index)
        if not any(said.issuer in case.ours.auditors(one) for one in products):
            continue  # Whoever it is, it may have said any number of things.
        for one in case.reading.said(said.issuer, key, entry.index):
            audit = one.predicate
            if one.sha256 != said.statement or not isinstance(audit, Audit):
                continue
            for product in products:
                auditors = case.ours.auditors(product, audit.scope)
                if audit.result != "fail" and audit.issuer in auditors:
                    about = f"{product}, {audit.scope} by {audit.issuer}"
                    yield _taken(case, entry, said, about, [one.index])


def _part_revoked(case: Case, entry: Entry, said: Revocation) -> Iterator[Alert]:
    for key in measured(entry):
        for part, indices in case.ours.parts(key, entry.index).items():
            if said.issuer not in (REGISTRAR, provider_of(part)):
                continue
            if said.statement is None or case.ours.released(
                (part, key), said.statement, entry.index
            ):
                products = {case.ours.product(index) for index in indices}
                yield _part(case, entry, part, products, indices)


def _part(
    case: Case, entry: Entry, part: str, products: Iterable[str], indices: list[int]
) -> Alert:
    said = entry.predicate
    return case.alert(
        "component-revoked",
        ", ".join(sorted(products)),
        f"{part} in it was revoked by {said.issuer} as {getattr(said, 'reason', '')}",
        *indices[-_SHOWN:],
        entry.index,
    )


# --- what was said before ------------------------------------------------------------


def look_back(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """What was said against a release of ours before it was made."""
    source = [] if release.source is None else [commit_key(release.source.commit)]
    for key in (*measured(entry), *source):
        if release.product in _by_product(case, [key], entry.index):
            continue  # It was told of then.
        if key not in source:
            for said, revocation in _condemned(case, release.issuer, key, entry.index):
                yield _taken(case, said, revocation, named(release), [entry.index])
        for fail, audit in _fails(case, release.product, key, entry.index):
            yield _failed(case, fail, audit, release.product, [entry.index])
    made = _Made(entry.index, {release.product}, [entry.index])
    yield from _look_back_at_parts(case, made, release)


def look_back_at_part(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """A component of ours, released after it was named, with parts of its own."""
    if not release.components:
        return
    for key in measured(entry):
        indices = [
            index
            for index in case.ours.parts(key, entry.index).get(release.product, ())
            if not case.ours.has_all_parts(index, entry.index)
        ]
        if indices:
            products = {case.ours.product(index) for index in indices}
            made = _Made(entry.index, products, indices)
            yield from _look_back_at_parts(case, made, release)


class _Made(Struct, frozen=True):
    """Releases of ours (`indices`, of `products`) that what is at `before` concerns."""

    before: int
    products: set[str]
    indices: list[int]


def _look_back_at_parts(case: Case, made: _Made, release: Release) -> Iterator[Alert]:
    # Each part once, on however many ways it is met.
    todo = dict.fromkeys(parts_of(release))
    seen: set[Part] = set()
    while todo and len(seen) < PARTS:
        one = next(iter(todo))
        del todo[one]
        seen.add(one)
        part, key = one
        known = case.ours.parts(key, made.before).get(part, [])
        new = made.products - {case.ours.product(index) for index in known}
        if not new:
            continue  # It was told of then.
        for said in _condemned_part(case, part, key, made.before):
            yield _part(case, said, part, new, made.indices)
        inner = case.ours.parts_within(one, made.before)
        todo.update(dict.fromkeys(it for it in inner if it not in seen))


def _condemned(
    case: Case, issuer: str, key: str, before: int
) -> Iterator[tuple[Entry, Revocation]]:
    """Revocations of a measurement itself, which hold for whatever comes later."""
    for name in dict.fromkeys((issuer, REGISTRAR)):
        for said in case.reading.said(name, key, before):
            revocation = said.predicate
            if isinstance(revocation, Revocation) and revocation.statement is None:
                yield said, revocation


def _condemned_part(case: Case, part: str, key: str, before: int) -> Iterator[Entry]:
    """What was said against a component: of its measurement, or all its releases.

    Of what one issuer said of the measurement the first is enough.
    """
    condemned: dict[str, Entry] = {}
    for said, revocation in _condemned(case, provider_of(part), key, before):
        condemned.setdefault(revocation.issuer, said)
    yield from condemned.values()
    taken = None
    against: dict[tuple[str, ...], _Against] = {}
    for one, _ in case.ours.parts_released(part, key, before):
        about = measured(one)
        if about not in against:
            against[about] = _Against(case.against(one, before))
        taken = case.judge.revocation_of(one, against[about].of(one))
        if taken is None:
            return
    said_of_all = taken is not None and getattr(taken.predicate, "statement", None)
    if taken is not None and said_of_all:
        yield taken


class _Against:
    """Revocations about one measurement, in order, by what they revoke.

    A provider may make and revoke any number of releases of it, one by one.
    """

    def __init__(self, said: Iterable[Entry]) -> None:
        self._by: dict[str | None, list[tuple[int, Entry]]] = {}
        for place, one in enumerate(said):
            statement = getattr(one.predicate, "statement", None)
            found = self._by.setdefault(statement, [])
            # The first one of the measurement itself revokes all of it.
            if statement is not None or not found:
                found.append((place, one))

    def of(self, one: Entry) -> list[Entry]:
        """Those that may revoke a statement."""
        found = [*self._by.get(None, ()), *self._by.get(one.sha256, ())]
        return [said for _, said in sorted(found, key=itemgetter(0))]
