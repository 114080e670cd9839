"""Is it my business? What a monitor's rules say of the entries of a verified log.

The follower hands over each run of entries that were accepted, in order, and asks once
a round what time alone has brought:

    rules = Rules(config, state, history)
    alerts = rules.entries(batch, authority, now, sealed)
    rules.look(now)                             # once a round: lists, by the network
    alerts += rules.time(now)

docs/rules.md has each rule in plain words: when it fires, when not, what to do. What
has to be remembered between rounds are facts of the state, each a repetition of the
same when a round is repeated: `entries` only adds to them, so that a crash between it
and the commit loses nothing; `time` takes away, once all that it looked at could be
read. All of them may ask the network, for entries of before or for the list of what is
expected, so none is for the inside of a transaction: facts are handed over to be kept
in that of the alerts (state.Facts).

Whatever cannot be read ends the run, and raises: nothing is taken for absent. What one
run may cost is bounded by what came in it, and by what is ours: of what others say only
components of ours are followed, and of these so many (ours.py).
"""

from collections.abc import Iterator, Sequence

from monitor import rules_keys, rules_releases, rules_statements, rules_time
from monitor.alerts import Alert
from monitor.case import Case, Setting
from monitor.config import Config
from monitor.expected import Expected
from monitor.ours import History, Ours, Reading
from monitor.state import Facts, State
from pcrlog.authority import Authority
from pcrlog.entry import Entry, parse_entry
from pcrlog.predicates import Identity, Release

__all__ = ["History", "Rules"]


class Rules:
    """The rules of one configuration.

    Args:
        config: what is ours.
        state: where facts are remembered.
        history: the whole verified log.
        expected: the list of what is expected; by default as the configuration says.
    """

    def __init__(
        self,
        config: Config,
        state: State | Facts,
        history: History,
        expected: Expected | None = None,
    ) -> None:
        if expected is None and config.watch.expected is not None:
            expected = Expected(config.watch.expected, config.folder, state)
        reading = Reading(history)
        ours = Ours(config, reading)
        self._setting = Setting(config, state, reading, ours, expected)
        self._authority: Authority | None = None

    def entries(
        self,
        batch: Sequence[Entry],
        authority: Authority,
        now: int,
        sealed: int | None = None,
    ) -> list[Alert]:
        """What to tell of a run of entries.

        Args:
            batch: statements that were accepted at their index, ascending.
            authority: as it stands after the batch.
            now: unix seconds.
            sealed: unix seconds of the seal under which the batch came; `now` if left
                out. Ages are counted from it.

        Raises:
            TransportError, VerificationError: the history could not be read.
        """
        self._authority = authority
        self._setting.reading.hold(batch)
        self._setting.ours.load(authority)
        published = now if sealed is None else min(sealed, now)
        case = Case(self._setting, authority, now, published)
        found: list[Alert] = []
        for entry in batch:
            found += _judge(case, entry)
            self._setting.ours.learn(entry)
        return found

    def look(self, now: int) -> None:
        """Read the list of what is expected again, where it is time to."""
        if self._setting.expected is not None:
            self._setting.expected.read(now)

    def time(self, now: int) -> list[Alert]:
        """What to tell that time alone has brought.

        Raises:
            TransportError, VerificationError: the history could not be read; no fact is
                forgotten.
        """
        if self._authority is None:
            self._authority = self._restore()
        self._setting.reading.hold(())
        self._setting.ours.load(self._authority)
        return rules_time.judge(Case(self._setting, self._authority, now, now))

    def _restore(self) -> Authority:
        """Who may say what, from the identities that the state keeps."""
        authority = Authority(self._setting.config.log.key.name)
        for index, leaf in self._setting.state.identities():
            authority.accept(parse_entry(index, leaf))
        return authority


def _judge(case: Case, entry: Entry) -> Iterator[Alert]:
    predicate = entry.predicate
    yield from rules_statements.unexpected_statement(case, entry)
    if isinstance(predicate, Identity):
        yield from rules_keys.judge(case, entry, predicate)
    elif isinstance(predicate, Release):
        yield from rules_releases.judge(case, entry, predicate)
    elif case.ours.concerns(entry):
        yield from rules_statements.judge(case, entry, predicate)
