"""What the entries of a light watch come to: judged as everybody judges them, and told.

All identities of the names and of the registrar, and what is new in the names, go by in
the order of the log: so each is judged at its own index (pcrlog/authority.py). A first
look has nothing to compare keys with, and without a list of known statements nothing
to hold them against: it lists them, for somebody to read.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from monitor.alerts import Alert
from monitor.rules_keys import changes
from pcrlog.authority import Authority, check_target
from pcrlog.entry import Entry
from pcrlog.errors import UncheckedError, VerificationError
from pcrlog.policy import Log
from pcrlog.predicates import REGISTRAR, Audit, Identity, Release, Revocation


class Watch(Struct, frozen=True):
    """Whose names: `names`, and `known` statements by hex SHA-256 (None: no list)."""

    names: tuple[str, ...]
    known: frozenset[str] | None


class Said(Struct, frozen=True):
    """A statement in one of the names that is new: its place, and what it says."""

    index: int
    sha256: str
    name: str
    said: str
    expected: bool


class Found:
    """All entries at hand, each once; those from `start` on are new."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._entries: dict[int, Entry] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Add proven entries."""
        self._entries.update((entry.index, entry) for entry in entries)

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[index] for index in sorted(self._entries))


class Telling:
    """What the entries come to, one after the other."""

    def __init__(
        self, log: Log, watch: Watch, found: Found, now: int, *, first: bool
    ) -> None:
        self._log = log
        self._watch = watch
        self._found = found
        self._now = now
        self._first = first
        self._authority = Authority(log.key.name)
        self._known: dict[str, Entry] = {}
        self._newest: dict[str, Identity] = {}

    def tell(
        self, older: Callable[[str], Iterator[Entry]]
    ) -> tuple[list[Alert], list[Said]]:
        """Alerts, and all that is new in the names.

        Args:
            older: the statements in a name before the new ones, newest first.
        """
        alerts: list[Alert] = []
        statements: list[Said] = []
        for entry in self._found:
            problem = self._judge(entry, older)
            new = entry.index >= self._found.start
            predicate = entry.predicate
            if problem is not None and new:
                kind, words = problem
                alerts.append(self._alert(kind, f"entry {entry.index}", words, entry))
            if problem is None and new and _name_of(entry) in self._watch.names:
                statements.append(self._said(entry))
                alerts += self._judge_new(entry)
            if problem is None and isinstance(predicate, Identity):
                self._newest[predicate.name] = predicate
        if self._log.registrar not in self._authority.root_keys():
            words = f"it has no root key {self._log.registrar}, which the policy pins"
            about = "entry 0"
            alerts.append(self._alert("unauthorised-entry", about, words, None))
        return alerts, statements

    def _judge(
        self, entry: Entry, older: Callable[[str], Iterator[Entry]]
    ) -> tuple[str, str] | None:
        known = self._known
        before = known.setdefault(entry.sha256, entry)
        if before is not entry:
            return "bad-entry", f"the same statement is entry {before.index} already"
        try:
            self._authority.accept(entry)
            predicate = entry.predicate
            if isinstance(predicate, Revocation) and predicate.statement is not None:
                target = known.get(predicate.statement) or next(
                    (e for e in older(predicate.issuer) if _is(e, predicate)), None
                )
                check_target(entry, {} if target is None else {target.sha256: target})
        except UncheckedError:
            raise
        except VerificationError as error:
            return "unauthorised-entry", str(error)
        return None

    def _judge_new(self, entry: Entry) -> Iterator[Alert]:
        predicate = entry.predicate
        if self._expected(entry):
            return
        if not isinstance(predicate, Identity):
            words = f"{title(entry)}, by key {entry.keyid[:16]}…"
            about = predicate.issuer
            yield self._alert("unexpected-statement", about, words, entry)
            return
        if self._first:
            return
        before = self._newest.get(predicate.name)
        words = changes(before, predicate)
        yield self._alert("key-change", predicate.name, words, entry)
        alone = predicate.issuer == REGISTRAR and len(predicate.signers) == 1
        if before is not None and alone:
            words = f"signed by the registrar alone: {words}"
            yield self._alert("registrar-acted", predicate.name, words, entry)

    def _expected(self, entry: Entry) -> bool:
        """Whether nobody has to be told; a first look without a list only lists."""
        known = self._watch.known
        if known is None:
            return self._first
        return entry.sha256 in known

    def _said(self, entry: Entry) -> Said:
        return Said(
            entry.index,
            entry.sha256,
            _name_of(entry),
            title(entry),
            entry.sha256 in (self._watch.known or ()),
        )

    def _alert(self, kind: str, about: str, found: str, entry: Entry | None) -> Alert:
        origin, entries = self._log.key.name, (0 if entry is None else entry.index,)
        return Alert.of(kind, origin, about, found, time=self._now, entries=entries)


def _name_of(entry: Entry) -> str:
    """Whose keys or word a statement is."""
    predicate = entry.predicate
    return predicate.name if isinstance(predicate, Identity) else predicate.issuer


def _is(entry: Entry, revocation: Revocation) -> bool:
    return entry.sha256 == revocation.statement


def title(entry: Entry) -> str:
    """What a statement is, in a few words."""
    match entry.predicate:
        case Release() as said:
            variant = f" ({said.variant})" if said.variant else ""
            return f"release of {said.product} {said.version}{variant}"
        case Audit() as said:
            return f"{said.scope} audit: {said.result}"
        case Revocation() as said:
            what = "a measurement" if said.statement is None else "a statement"
            return f"revocation of {what}: {said.reason}"
        case Identity() as said:
            return f"identity of {said.name}, {len(said.keys)} keys"
