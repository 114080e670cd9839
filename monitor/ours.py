"""What is ours in a log, and how a rule reads the log's history.

`Ours` knows, by `<platform>/<M>`, every release that is watched: of a watched product,
by a watched identity, signed with a watched key, or with a watched measurement. Beside
the registers themselves these are the commits that they were built from (those of
counted reproductions too, as PROTOCOL.md 2.3 has it) and the components in them, down
to the components of components. It is built from the log's history at a start and grows
with each release of ours; of what others say nothing is kept.

Each link (this measurement is one of that release of ours) has the index of the entry
that made it: so a rule can ask what was ours before the entry that it judges, and says
the same however the log was cut into runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from monitor.config import Config
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.entry import Entry
from pcrlog.errors import MalformedError, PcrlogError, TransportError, UncheckedError
from pcrlog.gather import ARTIFACT, COMMIT
from pcrlog.index_keys import by, of_identity, of_issuer, of_measurement, of_product
from pcrlog.measurement import parse_measurement
from pcrlog.predicates import REGISTRAR, Audit, Identity, Release
from pcrlog.statement import REPRODUCTION, SCOPES

_REMEMBERED = 4096
"""Entries of before that one run keeps at hand."""
_Links = dict[int, int]
"""Indices of our releases, each with the index of the entry that made the link."""


class History(Protocol):
    """All that is verified of a log, the entries being judged included."""

    def under(self, key: str) -> Sequence[int]:
        """All indices under an index key, ascending: by the monitor's own index."""
        ...

    def entry(self, index: int) -> Entry:
        """The statement at an index, proven to be there.

        Raises:
            MalformedError, UncheckedError: none that this version can read; it is
                passed over.
            TransportError, VerificationError: it could not be had; the run ends.
        """
        ...


def measured(entry: Entry) -> tuple[str, ...]:
    """Each `<platform>/<M>` that a statement is about; none for an identity."""
    predicate = entry.predicate
    if isinstance(predicate, Identity):
        return ()
    return tuple(f"{predicate.platform}/{m}" for m in entry.statement.measurements)


def provider_of(product: str) -> str:
    """Whose releases of a product count."""
    return product.partition("/")[0]


def commit_key(commit: str) -> str:
    """How a commit is spelled as a measurement."""
    return f"source/{COMMIT}{commit}"


def parts_of(release: Release) -> list[tuple[str, str]]:
    """Product and `<platform>/<M>` of each component that a release names."""
    return [
        (one.product, f"{ARTIFACT}/digest=sha256:{one.sha256}")
        for one in release.components or ()
    ]


class Reading:
    """History, read once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._held: dict[int, Entry] = {}
        self._read: dict[int, Entry | None] = {}

    def hold(self, entries: Iterable[Entry]) -> None:
        """Entries that are at hand; what was read before is let go of."""
        self._held = {entry.index: entry for entry in entries}
        self._read.clear()

    def under(
        self, key: str, before: int | None = None, *, after: int = -1
    ) -> Iterator[Entry]:
        """The statements under an index key, ascending, in (after, before)."""
        for index in self._history.under(key):
            if index > after and (before is None or index < before):
                entry = self.entry(index)
                if entry is not None:
                    yield entry

    def entry(self, index: int) -> Entry | None:
        """A statement, or None if this version cannot read it."""
        if index in self._held:
            return self._held[index]
        if index not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[index] = self._fetch(index)
        return self._read[index]

    def _fetch(self, index: int) -> Entry | None:
        try:
            return self._history.entry(index)
        except TransportError:
            raise
        except (MalformedError, UncheckedError):
            # The follower has told of it (bad-entry, unknown-entry).
            return None

    def said(
        self, issuer: str, measurement: str, before: int | None = None
    ) -> Iterator[Entry]:
        """All that an issuer said about `<platform>/<M>` before an index."""
        platform, _, m = measurement.partition("/")
        return self.under(by(issuer, platform, m), before)

    def authority(self, origin: str, name: str, before: int) -> Authority:
        """Who may say what, for one name, by the identities before an index alone."""
        found = Authority(origin)
        entries = {
            entry.index: entry
            for one in (REGISTRAR, name)
            for entry in self.under(of_identity(one), before)
        }
        for index in sorted(entries):
            # What the log took in wrongly is told by the follower, and counts nothing.
            with suppress(PcrlogError):
                found.accept(entries[index])
        return found


class Ours:
    """The releases that are watched, and what they are made of."""

    def __init__(self, config: Config, reading: Reading) -> None:
        self._watch = config.watch
        self._policy = config.policy
        self._reading = reading
        self._loaded = False
        self._products: dict[int, str] = {}
        # By <platform>/<M>, commits of sources among them: our releases.
        self._measured: dict[str, _Links] = {}
        # By <platform>/<M> of a component: its products, and our releases with it.
        self._parts: dict[str, dict[str, _Links]] = {}

    def load(self, authority: Authority) -> None:
        """Find what is ours in the history; once, later calls do nothing."""
        if self._loaded:
            return
        self._loaded = True
        watch = self._watch
        keys = [of_measurement(*parse_measurement(m)) for m in watch.measurements]
        names = set(watch.identities)
        names.update(filter(None, map(authority.owner, watch.keys)))
        for product in watch.products:
            if product.endswith("/*"):
                names.add(provider_of(product))
            else:
                keys.append(of_product(product))
        for key in (*keys, *map(of_issuer, sorted(names))):
            for entry in self._reading.under(key):
                self.learn(entry)

    def watches(self, entry: Entry, release: Release) -> bool:
        """Whether a release is ours."""
        watch = self._watch
        return (
            self.watches_product(release.product)
            or release.issuer in watch.identities
            or entry.keyid in watch.keys
            or not set(measured(entry)).isdisjoint(watch.measurements)
        )

    def watches_product(self, product: str) -> bool:
        """Whether a product is in the list, by name or as `<provider>/*`."""
        products = self._watch.products
        return product in products or f"{provider_of(product)}/*" in products

    def learn(self, entry: Entry) -> None:
        """Take in what a statement adds to what is ours, if it does."""
        predicate = entry.predicate
        if isinstance(predicate, Release):
            if self.watches(entry, predicate):
                self._add(entry, predicate)
            for measurement in measured(entry):
                # A component of ours that is released after it was named.
                links = self._parts.get(measurement, {}).get(predicate.product, {})
                for index, since in list(links.items()):
                    self._add_parts(predicate, index, max(since, entry.index), 1)
        elif isinstance(predicate, Audit):
            self._add_commit(entry, predicate)

    def _add(self, entry: Entry, release: Release) -> None:
        index = entry.index
        self._products[index] = release.product
        for measurement in measured(entry):
            self._link(measurement, index, index)
            for auditor in self.auditors(release.product, REPRODUCTION):
                for said in self._reading.said(auditor, measurement):
                    self.learn(said)
        if release.source is not None:
            self._link(commit_key(release.source.commit), index, index)
        self._add_parts(release, index, index, 0)

    def _link(self, measurement: str, index: int, since: int) -> None:
        links = self._measured.setdefault(measurement, {})
        links[index] = min(since, links.get(index, since))

    def _add_parts(self, release: Release, index: int, since: int, depth: int) -> None:
        for product, key in parts_of(release):
            links = self._parts.setdefault(key, {}).setdefault(product, {})
            if depth >= limits.COMPONENT_DEPTH or links.get(index, since + 1) <= since:
                continue
            links[index] = since
            for entry, part in self.parts_released(product, key):
                self._add_parts(part, index, max(since, entry.index), depth + 1)

    def parts_released(
        self, product: str, measurement: str, before: int = limits.TREE_SIZE
    ) -> Iterator[tuple[Entry, Release]]:
        """The releases of a component, by its provider, before an index."""
        provider = provider_of(product)
        for entry in self._reading.said(provider, measurement, before):
            part = entry.predicate
            if isinstance(part, Release) and part.product == product:
                yield entry, part

    def _add_commit(self, entry: Entry, audit: Audit) -> None:
        """A counted reproduction of ours names a commit: what fails it, fails ours."""
        if audit.scope != REPRODUCTION or audit.source is None:
            return
        for index in self.releases(measured(entry)):
            if audit.issuer in self.auditors(self.product(index), REPRODUCTION):
                since = max(index, entry.index)
                self._link(commit_key(audit.source.commit), index, since)

    # --- questions -------------------------------------------------------------------

    def concerns(self, entry: Entry) -> bool:
        """Whether a statement is about what is ours, whoever says it."""
        keys = measured(entry)
        return any(key in self._measured or key in self._parts for key in keys)

    def releases(
        self, measurements: Iterable[str], before: int = limits.TREE_SIZE
    ) -> list[int]:
        """Our releases with one of these `<platform>/<M>`, known before an index."""
        found: set[int] = set()
        for one in measurements:
            found |= _before(self._measured.get(one, {}), before)
        return sorted(found)

    def parts(self, measurement: str, before: int) -> dict[str, list[int]]:
        """Products that a component is released as, and our releases with it."""
        found = {
            product: sorted(_before(links, before))
            for product, links in self._parts.get(measurement, {}).items()
        }
        return {product: indices for product, indices in found.items() if indices}

    def product(self, index: int) -> str:
        """The product of one of our releases."""
        return self._products[index]

    def auditors(self, product: str, scope: str) -> list[str]:
        """The auditors that the policy counts for a product and scope."""
        rules = self._policy.find_product(product)
        return [
            one.name
            for one in (rules.auditors if rules is not None else ())
            if scope in one.scopes or scope not in SCOPES
        ]

    def voices(self, before: int) -> set[str]:
        """Whose keys matter: ours, providers of ours, auditors counted for them."""
        watch = self._watch
        found = {*watch.identities, *map(provider_of, watch.products)}
        released = {one for index, one in self._products.items() if index < before}
        found.update(map(provider_of, released))
        for product in {*watch.products, *released}:
            rules = self._policy.find_product(product)
            found.update(one.name for one in (rules.auditors if rules else ()))
        return found


def _before(links: _Links, before: int) -> set[int]:
    return {index for index, since in links.items() if since < before}
