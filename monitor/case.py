"""One run of entries as a rule sees it: the history behind it, and the clock.

Whatever a rule looks back at lies before the entry that it judges: so it says the same
however the log was cut into runs. `as_of` judges by what was known at that entry;
`judge`, which knows all that was read, is for what time alone brings (rules_time.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor.alerts import Alert
from monitor.config import Config
from monitor.expected import Expected
from monitor.ours import Ours, Reading, measured
from monitor.state import Facts, State
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.entry import Entry
from pcrlog.predicates import REGISTRAR, Release, Revocation
from pcrlog.verification.judge import Judge

Done = list[tuple[str, str]]
"""Facts (rule, name) to forget, once all that they are about could be read."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change from run to run."""

    config: Config
    state: State | Facts
    reading: Reading
    ours: Ours
    expected: Expected | None


class Case:
    """One run of entries, or one moment, as rules see it.

    `now` and `sealed` (when the log published the run) are unix seconds.
    """

    def __init__(
        self, setting: Setting, authority: Authority, now: int, sealed: int
    ) -> None:
        self.watch = setting.config.watch
        self.policy = setting.config.policy
        self.origin = setting.config.log.key.name
        self.state = setting.state
        self.reading = setting.reading
        self.ours = setting.ours
        self.expected = setting.expected
        self.authority = authority
        self.now = now
        self.sealed = sealed
        self.judge = Judge(authority, self.policy, now, now)

    def alert(self, kind: str, about: str, found: str, *entries: int) -> Alert:
        """An alert of now; it names each entry once, ascending."""
        shown = tuple(sorted(set(entries)))
        return Alert.of(kind, self.origin, about, found, time=self.now, entries=shown)

    def known(self, entry: Entry) -> bool:
        """Whether a statement is on our list of what we said."""
        return entry.sha256 in (self.watch.statements or ())

    def as_of(self, name: str, before: int) -> Judge:
        """A judge of what one name says, who knows only what is before an index."""
        authority = self.reading.authority(self.origin, name, before)
        return Judge(authority, self.policy, self.now, self.now)

    def against(self, entry: Entry, before: int = limits.TREE_SIZE) -> Iterator[Entry]:
        """What its issuer or the registrar said before an index that revokes a release.

        Registrars may only revoke measurements, and these for everybody.
        """
        for issuer in dict.fromkeys((entry.predicate.issuer, REGISTRAR)):
            for measurement in measured(entry):
                for said in self.reading.said(issuer, measurement, before):
                    if isinstance(said.predicate, Revocation):
                        yield said

    def stands(self, entry: Entry, release: Release) -> bool:
        """Whether a release still speaks: not void, revoked or run out."""
        return not (
            self.authority.is_void(entry)
            or self.judge.expired(release.expires)
            or self.judge.revocation_of(entry, self.against(entry))
        )

    def standing(self, indices: Iterable[int]) -> list[tuple[Entry, Release]]:
        """Those of our releases that still speak."""
        found = []
        for index in indices:
            entry = self.reading.entry(index)
            if entry is None or not isinstance(entry.predicate, Release):
                continue
            if self.stands(entry, entry.predicate):
                found.append((entry, entry.predicate))
        return found


def named(release: Release) -> str:
    """A release, for people: product and version."""
    variant = f" ({release.variant})" if release.variant else ""
    return f"{release.product} {release.version}{variant}"
