"""Which keys of the index must be answered to judge one measurement of one product.

Log and verifier walk the same way: the log over its database, to fill a bundle, the
verifier over a bundle, to find what it must hold (PROTOCOL.md section 4). Each asks for

- `v1/identity/N` and `v1/by/N/<platform>/<M>` for N the product's provider, each
  auditor and the registrar;
- `v1/by/N/source/commit=…` for each auditor and each commit of every release of the
  product with that measurement and of every reproduction of it, and for each review
  found there, for its auditor, along its `basis`;
- `v1/version/<product>/<version>` of each such release; where that names another
  measurement, the provider's and the registrar's answers for it;
- the same for each component that such a release names, newest release first, under
  the component's own provider.

What is found is looked at in form only: whether it counts is judged afterwards, by
verification. What `ask` does with a missing answer is its own affair.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from msgspec import Struct, field

from pcrlog import limits
from pcrlog.entry import Entry
from pcrlog.index_keys import by, of_identity, of_version
from pcrlog.measurement import spell
from pcrlog.predicates import REGISTRAR, Audit, Component, Release
from pcrlog.statement import REPRODUCTION

Ask: TypeAlias = Callable[[str], Sequence[Entry]]
"""Key string to its entries, ascending; the entries are well-formed statements."""
AuditorsOf: TypeAlias = Callable[[str, Sequence[str]], Sequence[str]]
"""(product, those of the product it is a part of) to names of its auditors."""

COMMIT = "commit=gitCommit:"
ARTIFACT = "artifact"


class Subject(Struct):
    """What was found about one measurement of one product.

    `statements` are all answers by issuer; `releases` those of the product itself,
    ascending; `reviews` the source reviews by commit; `rivals` the releases of the
    versions concerned; `rival_statements` what is said of rivals' measurements;
    `parts` the components' subjects. `complete` is False when a bound (depth, number of
    components, length of a basis chain) or a cycle cut the walk short.
    """

    product: str
    platform: str
    measurements: tuple[str, ...]
    auditors: tuple[str, ...]
    statements: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    reviews: dict[str, dict[str, tuple[Entry, ...]]] = field(default_factory=dict)
    rivals: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    rival_statements: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    parts: dict[tuple[str, str], "Subject"] = field(default_factory=dict)
    complete: bool = True

    @property
    def provider(self) -> str:
        """The identity whose releases count: the product's first part."""
        return self.product.partition("/")[0]

    @property
    def releases(self) -> list[tuple[Entry, Release]]:
        """The provider's releases of this product with this measurement."""
        return [
            (entry, entry.predicate)
            for entry in self.statements.get(self.provider, ())
            if isinstance(entry.predicate, Release)
            and entry.predicate.product == self.product
        ]

    @property
    def commits(self) -> list[str]:
        """The commits of the releases and reproductions, each once."""
        sources = [release.source for _, release in self.releases]
        sources += [
            entry.predicate.source
            for name in self.auditors
            for entry in self.statements.get(name, ())
            if isinstance(entry.predicate, Audit)
            and entry.predicate.scope == REPRODUCTION
        ]
        return list(dict.fromkeys(s.commit for s in sources if s is not None))

    def drop(self, refused: Collection[int]) -> None:
        """Forget entries, by index, that count for nothing, either way."""

        def kept(entries: Iterable[Entry]) -> tuple[Entry, ...]:
            return tuple(entry for entry in entries if entry.index not in refused)

        for found in (self.statements, self.rivals, self.rival_statements):
            found.update({key: kept(entries) for key, entries in found.items()})
        for by_commit in self.reviews.values():
            by_commit.update({key: kept(found) for key, found in by_commit.items()})

    def entries(self) -> Iterator[Entry]:
        """All entries found here, without those of parts; some stand twice."""
        yield from chain.from_iterable(self.statements.values())
        for found in self.reviews.values():
            yield from chain.from_iterable(found.values())
        yield from chain.from_iterable(self.rivals.values())
        yield from chain.from_iterable(self.rival_statements.values())


class Gathering(Struct, frozen=True):
    """One walk: its `subjects`, the root first, and the identities of names met."""

    subjects: tuple[Subject, ...]
    identities: dict[str, tuple[Entry, ...]]

    def entries(self) -> list[Entry]:
        """All entries found, each once, ascending: the order of judgement."""
        found = {e.index: e for subject in self.subjects for e in subject.entries()}
        for entries in self.identities.values():
            found.update((entry.index, entry) for entry in entries)
        return [found[index] for index in sorted(found)]

    def repeats(self) -> frozenset[int]:
        """Indices of entries whose statement stands at a smaller index already.

        They count for nothing (PROTOCOL.md 2.1).
        """
        first: dict[str, int] = {}
        entries = self.entries()
        return frozenset(
            entry.index
            for entry in entries
            if first.setdefault(entry.sha256, entry.index) != entry.index
        )


class _Walk:
    def __init__(self, ask: Ask, ask_if_there: Ask, auditors_of: AuditorsOf) -> None:
        self.ask = ask
        self.ask_if_there = ask_if_there
        self.auditors_of = auditors_of
        self.identities: dict[str, tuple[Entry, ...]] = {}
        self.subjects: dict[tuple[str, str], Subject] = {}

    def identify(self, name: str) -> None:
        if name not in self.identities:
            self.identities[name] = tuple(self.ask(of_identity(name)))

    def about(self, name: str, subject: Subject) -> tuple[Entry, ...]:
        self.identify(name)
        found: dict[int, Entry] = {}
        for measurement in subject.measurements:
            for entry in self.ask(by(name, subject.platform, measurement)):
                found[entry.index] = entry
        return tuple(found[index] for index in sorted(found))

    def walk(self, subject: Subject, above: tuple[tuple[str, str], ...]) -> None:
        for name in dict.fromkeys((subject.provider, *subject.auditors, REGISTRAR)):
            subject.statements[name] = self.about(name, subject)
        self._reviews(subject)
        self._rivals(subject)
        self._parts(subject, above)

    def _reviews(self, subject: Subject) -> None:
        for name in subject.auditors:
            found = subject.reviews.setdefault(name, {})
            todo = [(commit, 0) for commit in subject.commits]
            while todo:
                # Breadth first: each commit is met on its shortest way.
                commit, depth = todo.pop(0)
                if commit in found:
                    continue
                found[commit] = tuple(self.ask(by(name, "source", COMMIT + commit)))
                bases = [
                    entry.predicate.basis.commit
                    for entry in found[commit]
                    if isinstance(entry.predicate, Audit) and entry.predicate.basis
                ]
                if depth < limits.BASIS_CHAIN:
                    todo += [(basis, depth + 1) for basis in bases]
                elif bases:
                    subject.complete = False

    def _rivals(self, subject: Subject) -> None:
        for version in dict.fromkeys(
            release.version for _, release in subject.releases
        ):
            rivals = tuple(self.ask(of_version(subject.product, version)))
            subject.rivals[version] = rivals
            for rival in rivals:
                predicate = rival.predicate
                if (
                    not isinstance(predicate, Release)
                    or predicate.platform != subject.platform
                ):
                    continue
                others = spell(predicate.identity, rival.statement.registers)
                for other in set(others) - set(subject.measurements):
                    for name in (subject.provider, REGISTRAR):
                        key = by(name, subject.platform, other)
                        subject.rival_statements[key] = tuple(self.ask_if_there(key))

    def _parts(self, subject: Subject, above: tuple[tuple[str, str], ...]) -> None:
        wanted: dict[tuple[str, str], Component] = {}
        for _, release in reversed(subject.releases):
            for component in release.components or ():
                wanted.setdefault((component.product, component.sha256), component)
        for key in wanted:
            if key in above or len(above) >= limits.COMPONENT_DEPTH:
                subject.complete = False
                continue
            if key not in self.subjects:
                if len(self.subjects) >= limits.COMPONENTS_IN_ALL:
                    subject.complete = False
                    continue
                product, digest = key
                auditors = self.auditors_of(product, subject.auditors)
                part = Subject(
                    product, ARTIFACT, (f"digest=sha256:{digest}",), tuple(auditors)
                )
                self.subjects[key] = part
                self.walk(part, (*above, key))
            subject.parts[key] = self.subjects[key]


def gather(
    subject: Subject, ask: Ask, ask_if_there: Ask, auditors_of: AuditorsOf
) -> Gathering:
    """Fill `subject`, which has its product, platform, measurements and auditors.

    Args:
        subject: what to ask about.
        ask: answers keys that must be answered.
        ask_if_there: answers keys whose lack only leaves a conflict standing.
        auditors_of: chooses the auditors of a component's product.
    """
    walk = _Walk(ask, ask_if_there, auditors_of)
    walk.walk(subject, ())
    return Gathering((subject, *walk.subjects.values()), walk.identities)
