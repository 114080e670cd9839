"""What a follower knows of a log: its tree, who may say what, its index, what is ours.

All of it grows run by run (`take`), and all of it is in memory or on its way to disk
until the follower has committed the run to monitor.db; then `commit` commits the index.
So index.db is never ahead of monitor.db, and a start brings it up again, from leaves
that are held against the verified tree once more (`load`). Whatever goes wrong in
between, `forget` goes back to what is on disk.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from monitor.alerts import Alert
from monitor.config import Config
from monitor.entries import Batch, Finding, Reading, authority_of, compare
from monitor.evidence_files import EvidenceFiles
from monitor.history import History, Hurried, IndexOver
from monitor.index import Extension
from monitor.remembered import Remembered
from monitor.rules import Rules
from monitor.source import Source, runs
from monitor.state import Fact, Facts, State, Verified
from pcrlog.authority import Authority
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.errors import (
    PcrlogError,
    UncheckedError,
    UsageError,
)
from pcrlog.merkle import Range, leaf_hash
from pcrlog.note import UnverifiedNote

RUN = 2048
"""Leaves of one transaction: what a crash judges again, and what is held in memory."""
_COMMITTED = 16_384
"""Leaves after which the index is committed: what a crash indexes again. Each commit
writes every page that was touched, however often, so fewer are faster."""
_TOLD = 16
"""Findings of a kind in one run that are told one by one; one is enough to act."""
_UNJUDGED = "unknown-entry"
_MEMORY = "standing"
_ROOT, _WRONG_SINCE = "index-root", "index-wrong-since"


class Run(Struct, frozen=True):
    """What a run of leaves came to, for one transaction.

    `lie` is the kind of the first thing in it that no log may do, `unknown` the index
    of the first entry that could not be judged; `facts` are to be remembered: rule,
    name, value.
    """

    verified: Verified
    identities: tuple[tuple[int, bytes], ...]
    alerts: tuple[Alert, ...]
    lie: str | None
    unknown: int | None
    facts: tuple[Fact, ...]

    def keep(self, state: State, remembered: Remembered) -> None:
        """Keep all of it; inside the run's transaction."""
        state.advance(self.verified, self.identities)
        _convict(state, remembered, self.alerts, self.lie)
        if self.unknown is not None:
            remembered.note_unknown(self.unknown)
        for rule, name, value in self.facts:
            state.remember(rule, name, value)


class HalfRunError(Exception):
    """The rules could not read what they need; the leaves were judged all the same.

    What the log is convicted of is kept now, without progress: it might see to it that
    the rest can never be read. `error` is what went wrong.
    """

    def __init__(
        self, error: PcrlogError, alerts: Sequence[Alert], lie: str | None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self._alerts = alerts
        self._lie = lie

    def keep(self, state: State, remembered: Remembered) -> None:
        """Keep the alerts; inside a transaction."""
        _convict(state, remembered, self._alerts, self._lie)


def _convict(
    state: State, remembered: Remembered, alerts: Sequence[Alert], lie: str | None
) -> None:
    for alert in alerts:
        state.raise_alert(alert)
    if lie is not None:
        remembered.taint(lie)


class Standing:
    """What is known of one log.

    Args:
        config: which log it is, and what is ours in it.
        state: monitor.db; only read here.
        source: what the log serves.
        index: index.db.
        evidence: where files that prove a log wrong go.
        progress: told how many leaves were read again, of how many.
    """

    def __init__(
        self,
        config: Config,
        state: State,
        source: Source,
        index: IndexOver,
        evidence: EvidenceFiles,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._config = config
        self._log = config.log
        self._state = state
        self._source = source
        self._index = index
        self._evidence = evidence
        self._progress = progress
        self._history = History(source, index)
        self._facts = Facts(state)
        self._known: _Known | None = None
        self._committed = 0

    # --- from disk, and back to it ---------------------------------------------------

    def load(self, new: Checkpoint) -> None:
        """Be where monitor.db is: does nothing if that is so already.

        Args:
            new: what the log shows now, signed by it; of use as long as no checkpoint
                is verified.

        Raises:
            UncheckedError: leaves that the index lacks cannot be read.
            VerificationError: the log serves other leaves than it did.
            UsageError: index.db does not belong to monitor.db.
        """
        verified = self._state.verified()
        if self._known is not None and self._known.tree.size == verified.size:
            return
        self._index.rollback()
        self._committed = self._index.size
        origin = self._log.key.name
        # Amid growth the last checkpoint is smaller than what is verified.
        old = _checkpoint_of(verified)
        whole = old is not None and old.size >= verified.size
        self._bring_up(verified, old if old is not None and whole else new)
        self._known = _Known(
            verified.tree(),
            authority_of(origin, self._state.identities()),
            Rules(self._config, self._facts, self._history),
        )

    def forget(self) -> None:
        """Let go of what is not on disk; `load` is next."""
        self._known = None
        self._facts.forget()

    def commit(self, *, last: bool) -> None:
        """Let the index follow monitor.db, which has the run.

        Args:
            last: whether it is the last one for now; else the commit may wait.
        """
        if last or self._index.size - self._committed >= _COMMITTED:
            self._index.commit()
            self._committed = self._index.size

    def _bring_up(self, verified: Verified, signed: Checkpoint) -> None:
        """Read what a crash, or whoever deleted index.db, left out of the index."""
        begun = self._index.size
        if begun > verified.size:
            message = (
                f"index.db has {begun} leaves, monitor.db {verified.size}: one of them"
                " is a copy. Remove index.db; it is made anew"
            )
            raise UsageError(message)
        if begun < verified.size:
            whole = Checkpoint(signed.origin, verified.size, verified.tree().root())
            if signed.size < whole.size:
                message = (
                    f"it shows {signed.size} leaves, and {whole.size} are verified"
                )
                raise UncheckedError(message)
            # From here on, what leads to `signed` is what was verified.
            self._source.consistency(whole, signed)
            tree = self._source.tree(begun, signed.size)
            for start, stop in runs(begun, whole.size, RUN):
                leaves = self._source.leaves(start, stop, signed.size)
                for leaf in leaves:
                    tree.append(leaf_hash(leaf))
                here = Checkpoint(signed.origin, stop, tree.root())
                self._source.consistency(here, signed)
                self._index.begin(leaves)
                self._index.extension()
                self._index.commit()
                self._progress(stop, whole.size)
        kept = self._state.fact(_MEMORY, _ROOT)
        if kept is not None and kept != encode_base64(self._index.root()):
            message = (
                "index.db is not the index of the verified leaves: it was changed, or"
                " is a copy. Remove it; it is made anew"
            )
            raise UsageError(message)

    # --- a run -----------------------------------------------------------------------

    def grown(self, leaves: Sequence[bytes]) -> Checkpoint:
        """The tree with these leaves added; nothing is taken in yet."""
        tree = self._loaded().tree
        tree = Range(tree.size, tree.subtrees)
        for leaf in leaves:
            tree.append(leaf_hash(leaf))
        return Checkpoint(self._log.key.name, tree.size, tree.root())

    def take(
        self, leaves: Sequence[bytes], new: Checkpoint, note: bytes, now: int
    ) -> Run:
        """Judge leaves that are proven to be the next ones.

        Args:
            leaves: they follow those that were read before.
            new: a checkpoint that the log signed, over these leaves or more.
            note: its bytes.
            now: unix seconds.

        Raises:
            PcrlogError: what they are to be compared with cannot be read; then all of
                it is forgotten.
        """
        try:
            return self._take(leaves, new, note, now)
        except BaseException:
            self.forget()
            raise

    def _take(
        self, leaves: Sequence[bytes], new: Checkpoint, note: bytes, now: int
    ) -> Run:
        known, before = self._loaded(), self._state.verified()
        start = known.tree.size
        self._history.at(new, start, leaves)
        self._index.begin(leaves)
        reading = Reading(
            self._log,
            known.tree,
            known.authority,
            sealed=before.sealed,
            frozen=before.frozen,
            find=self._history.find,
        )
        try:
            batch = reading.read(leaves)
        except PcrlogError as error:
            raise self._half(error, reading.findings, note, now) from error
        extension = self._index.extension()
        ended = known.tree.size == new.size
        findings, wrong_since = self._findings(batch, extension)
        if ended and not reading.ends_in_seal:
            words = "the last leaf of the checkpoint is not a seal"
            findings.append(Finding("bad-seal", new.size - 1, words))
        alerts = list(self._alerts(findings, note, now))
        lie = _lie_in(findings)
        repeated = dict(extension.repeats)
        entries = [one for one in batch.entries if one.index not in repeated]
        sealed = reading.sealed or None
        try:
            alerts += known.rules.entries(entries, known.authority, now, sealed)
        except PcrlogError as error:
            raise HalfRunError(error, alerts, lie) from error
        if reading.frozen and not before.frozen:
            words = f"the log ends with {new.size} leaves"
            alerts.append(Alert.of("frozen", new.origin, "the log", words, time=now))
        return Run(
            Verified(
                known.tree.size,
                tuple(known.tree.subtrees),
                note if ended else before.note,
                reading.sealed,
                reading.frozen,
            ),
            batch.identities,
            tuple(alerts),
            lie,
            next((one.index for one in findings if one.kind == _UNJUDGED), None),
            (
                *self._facts.changes(),
                (_MEMORY, _WRONG_SINCE, wrong_since),
                (_MEMORY, _ROOT, encode_base64(self._index.root())),
            ),
        )

    def _half(
        self, error: PcrlogError, findings: Sequence[Finding], note: bytes, now: int
    ) -> HalfRunError:
        alerts = list(self._alerts(findings, note, now))
        return HalfRunError(error, alerts, _lie_in(findings))

    def _findings(
        self, batch: Batch, extension: Extension
    ) -> tuple[list[Finding], str | None]:
        """What is wrong, by index; a wrong index root is told once, while it is so.

        And since which seal it is so.
        """
        since = self._state.fact(_MEMORY, _WRONG_SINCE)
        findings, wrong = list(batch.findings), {}
        for one in compare(batch.seals, extension):
            if one.kind == "bad-index":
                wrong[one.index] = one
            else:
                findings.append(one)
        for index, _ in batch.seals:
            if index not in wrong:
                since = None
            elif since is None:
                since = str(index)
                findings.append(wrong[index])
        findings.sort(key=lambda one: one.index)
        return findings, since

    def _alerts(
        self, findings: Sequence[Finding], note: bytes, now: int
    ) -> Iterator[Alert]:
        told: Counter[str] = Counter()
        origin, source = self._log.key.name, Hurried(self._source)
        for finding in findings:
            kind, index = finding.kind, finding.index
            told[kind] += 1
            if told[kind] > _TOLD:
                continue
            evidence = None
            if kind != _UNJUDGED:
                evidence = self._evidence.entry(finding, note, source, self._index)
            yield Alert.of(
                kind,
                origin,
                f"entry {index}",
                finding.words,
                time=now,
                entries=(index,),
                evidence=evidence,
            )
        for kind, count in told.items():
            if count > _TOLD:
                last = max(one.index for one in findings if one.kind == kind)
                words = f"and {count - _TOLD} more up to entry {last}"
                yield Alert.of(
                    kind, origin, "more entries", words, time=now, entries=(last,)
                )

    # --- besides ---------------------------------------------------------------------

    def look(self, now: int) -> None:
        """Read what is expected again, where it is time to; not in a transaction."""
        self._loaded().rules.look(now)

    def pass_time(self, now: int) -> list[Alert]:
        """What time alone has brought; `keep_facts` goes with it.

        Raises:
            PcrlogError: what it is about cannot be read; all of it is forgotten.
        """
        known = self._loaded()
        self._history.at(_checkpoint_of(self._state.verified()))
        try:
            return known.rules.time(now)
        except BaseException:
            self.forget()
            raise

    def keep_facts(self) -> None:
        """Keep what rules remember; inside the transaction of their alerts."""
        for fact in self._facts.changes():
            self._state.remember(*fact)

    def kept(self) -> None:
        """What rules remember is on disk."""
        self._facts.forget()

    def keep_fork(self, ours: bytes, theirs: bytes) -> str | None:
        """Name of a file that shows that the log signed two histories, if it did."""
        sizes = [
            Checkpoint.parse(UnverifiedNote.parse(n).text).size for n in (ours, theirs)
        ]
        return self._evidence.checkpoints(ours, theirs, self._source.node(max(sizes)))

    def _loaded(self) -> "_Known":
        if self._known is None:
            message = "load comes first"
            raise RuntimeError(message)
        return self._known


class _Known(Struct, frozen=True):
    """What grows with each run, in memory alone."""

    tree: Range
    authority: Authority
    rules: Rules


def _lie_in(findings: Iterable[Finding]) -> str | None:
    """The kind of the first thing that no log may do."""
    return next((one.kind for one in findings if one.kind != _UNJUDGED), None)


def _checkpoint_of(verified: Verified) -> Checkpoint | None:
    """The last checkpoint that the log signed and that is verified, if there is one."""
    if not verified.note:
        return None
    return Checkpoint.parse(UnverifiedNote.parse(verified.note).text)
