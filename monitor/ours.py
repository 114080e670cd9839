"""What is ours in a log, and how a rule reads the log's history.

`Ours` knows, by `<platform>/<M>`, every release that is watched: of a watched product,
by a watched identity, signed with a watched key, or with a watched measurement. Beside
the registers themselves these are the commits that they were built from (those of
counted reproductions too, as PROTOCOL.md 2.3 has it) and the components in them, down
to the components of components. It is built from the log's history at a start and grows
with each release of ours; of what others say, only what components of ours are made of
is kept.

Whoever makes a component can release it as often as he likes, each time of others. So
what a component is made of is read once and then kept up, and one release of ours has
at most 1024 parts, those that were tied to it first; `verify` gives up beyond 64.

Each link (this measurement is one of that release of ours) has the index of the entry
that made it: so a rule can ask what was ours before the entry that it judges, and says
the same however the log was cut into runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from typing import Protocol

from msgspec import Struct, field

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

_REMEMBERED, _EACH = 16 * 1024 * 1024, 2048
"""Bytes of entries of before that one run keeps at hand, and what each costs beside its
own: thousands of common ones, and no more memory for the largest."""
PARTS = 16 * limits.COMPONENTS_IN_ALL
"""Parts of one release of ours, components of components included."""
_Links = dict[int, int]
"""Indices of our releases, each with the index of the entry that made the link."""
Part = tuple[str, str]
"""A component: its product and `<platform>/<M>`."""


class _Made(Struct):
    """What is known of a component.

    `parts` are those of any of its releases, each with the index of the first release
    that names it; `released` is the index of each release, by its SHA-256.
    """

    parts: dict[Part, int] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry, release: Release) -> None:
        self.released.setdefault(entry.sha256, entry.index)
        for part in parts_of(release):
            # More of them can never be parts of one release of ours.
            if len(self.parts) < PARTS:
                self.parts.setdefault(part, entry.index)


class History(Protocol):
    """All that is verified of a log, the entries being judged included."""

    def under(self, key: str) -> Sequence[int]:
        """All indices under an index key, ascending: by the monitor's own index."""
        ...

    def entry(self, index: int) -> Entry:
        """The statement at an index, proven to be there.

        Raises:
            MalformedError, UncheckedError: it was had, and is none that this version
                can read; it is passed over.
            TransportError, VerificationError: it could not be had, whatever it was that
                came instead; the run ends.
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


def parts_of(release: Release) -> list[Part]:
    """Each component that a release names."""
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
        self._size = 0

    def hold(self, entries: Iterable[Entry]) -> None:
        """Entries that are at hand; what was read before is let go of."""
        self._held = {entry.index: entry for entry in entries}
        self._let_go()

    def _let_go(self) -> None:
        self._read.clear()
        self._size = 0

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
            found = self._fetch(index)
            self._size += _EACH + (0 if found is None else len(found.envelope.raw))
            if self._size > _REMEMBERED:
                self._let_go()
            self._read[index] = found
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
        # By the index of a release of ours: the entry that tied each of its parts.
        self._tied: dict[int, list[int]] = {}
        # What was read of components; of parts of ours, and of what is looked at.
        self._made: dict[Part, _Made] = {}

    def load(self, authority: Authority) -> None:
        """Find what is ours in the history; once, later calls do nothing.

        Raises:
            TransportError, VerificationError: the history could not be read; the next
                call begins anew.
        """
        if self._loaded:
            return
        for found in (self._products, self._measured, self._parts):
            found.clear()
        self._tied.clear()
        self._made.clear()
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
        self._loaded = True

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
            self._learn_part(entry, predicate)
        elif isinstance(predicate, Audit):
            self._add_commit(entry, predicate)

    def _add(self, entry: Entry, release: Release) -> None:
        index = entry.index
        self._products[index] = release.product
        for measurement in measured(entry):
            self._link(measurement, index, index)
            for auditor in self.auditors(release.product, REPRODUCTION):
                for said in self._reading.said(auditor, measurement):
                    # Not `learn`: an auditor may release what it audits.
                    if isinstance(said.predicate, Audit):
                        self._add_commit(said, said.predicate)
        if release.source is not None:
            self._link(commit_key(release.source.commit), index, index)
        self._add_parts(index, [(index, part) for part in parts_of(release)])

    def _link(self, measurement: str, index: int, since: int) -> None:
        links = self._measured.setdefault(measurement, {})
        links[index] = min(since, links.get(index, since))

    def _learn_part(self, entry: Entry, release: Release) -> None:
        """A component of ours that is released, maybe long after it was named."""
        if release.issuer != provider_of(release.product):
            return
        for measurement in measured(entry):
            part = (release.product, measurement)
            if part in self._made:
                self._made[part].add(entry, release)
            links = self._parts.get(measurement, {}).get(release.product, {})
            for index, since in list(links.items()):
                later = max(since, entry.index)
                self._add_parts(index, [(later, inner) for inner in parts_of(release)])

    def _add_parts(self, index: int, found: Iterable[tuple[int, Part]]) -> None:
        """Tie parts to a release of ours, and theirs: ascending by what ties them.

        So each is met first on the way by which it was tied first, and if there are too
        many, it does not matter when they are counted.
        """
        todo: list[tuple[int, int, Part]] = []
        met = 0
        for since, part in found:
            heappush(todo, (since, met := met + 1, part))
        while todo:
            since, _, part = heappop(todo)
            if not self._tie(index, since, part):
                continue
            for inner, named in self._made_of(part).parts.items():
                heappush(todo, (max(since, named), met := met + 1, inner))

    def _tie(self, index: int, since: int, part: Part) -> bool:
        """Make one link, if it is new or was made later."""
        product, key = part
        known = self._parts.get(key, {}).get(product, {}).get(index)
        if known is None:
            tied = self._tied.setdefault(index, [])
            if len(tied) >= PARTS:
                return False
            tied.append(since)
        elif known <= since:
            return False
        self._parts.setdefault(key, {}).setdefault(product, {})[index] = since
        return True

    def _made_of(self, part: Part) -> _Made:
        if part not in self._made:
            made = _Made()
            for entry, release in self.parts_released(*part):
                made.add(entry, release)
            # Now that all of it was read.
            self._made[part] = made
        return self._made[part]

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

    def has_all_parts(self, index: int, before: int) -> bool:
        """Whether so many parts were tied to a release of ours that no more will be."""
        return sum(since < before for since in self._tied.get(index, ())) >= PARTS

    def parts_within(self, part: Part, before: int) -> list[Part]:
        """The components of a component, of all its releases before an index."""
        made = self._made_of(part)
        return [inner for inner, named in made.parts.items() if named < before]

    def released(self, part: Part, sha256: str, before: int) -> bool:
        """Whether a statement is a release of a component, made before an index."""
        return self._made_of(part).released.get(sha256, before) < before

    def product(self, index: int) -> str:
        """The product of one of our releases."""
        return self._products[index]

    def auditors(self, product: str, scope: str | None = None) -> list[str]:
        """The auditors that the policy counts for a product and scope, or for any."""
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
