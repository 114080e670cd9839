"""A light watch over one's own names: what is said in them, without reading the log.

The log is asked three things of each name, and proves each answer by the index root in
its last seal: all statements in the name (`v1/issuer`), all its identities
(`v1/identity`), and the registrar's. What lies above the checkpoint of the last look is
new. It is proven to be in the tree, judged at its index as everybody judges it, and
told, unless it stands on a list of what is known.

    signature, quorums, freshness, seal -> one history with the last look -> answers
    -> inclusion, form, signatures, right to say it -> alerts, and the next checkpoint

That nothing is missing from an answer is proven as far as the index is right: that is
what index monitors see to, so a policy that waives them trusts the log in this. And
the state is one checkpoint, as the log signed it and without cosignatures: it changes
only as the log grows, and belongs into a repository.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from monitor.alerts import Alert, LieError
from monitor.comparison import is_prefix, named
from monitor.evidence_files import EvidenceFiles
from monitor.light_entries import Found, Said, Telling, Watch
from monitor.source import Source
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.index_keys import index_keys, of_identity, of_issuer, payload_of
from pcrlog.note import SignatureLine, UnverifiedNote, VerifierKey
from pcrlog.policy import Log
from pcrlog.predicates import REGISTRAR
from pcrlog.reader import Answers, Fetch, Reader
from pcrlog.statement import predicate_type_of
from pcrlog.transport import RefusedError
from pcrlog.verification.evidence import SKIPPED_FAMILY

LIES = frozenset(
    {"fork", "rollback", "bad-signature", "bad-tiles", "bad-entry"}
    | {"unauthorised-entry"}
)
"""Kinds after which the state stays as it is: they are told again, every time."""
_WHOLE = "its checkpoint"


class Look(Struct, frozen=True):
    """What a look came to.

    `size` leaves were looked at; `first` says that nothing was remembered; `state` is
    the note to remember, None to leave the old one where it is.
    """

    size: int
    first: bool
    alerts: tuple[Alert, ...]
    statements: tuple[Said, ...]
    state: bytes | None


class Light:
    """One look at one log.

    Args:
        log: the policy's view of it.
        connect: makes whatever fetches its files.
        evidence: where a file that proves it wrong goes.
        clock: unix seconds.
        skew: seconds by which clocks may differ.
    """

    def __init__(
        self,
        log: Log,
        connect: Callable[[], Fetch],
        evidence: EvidenceFiles,
        clock: Callable[[], int],
        skew: int,
    ) -> None:
        self._log = log
        self._now = clock()
        self._evidence = evidence
        self._skew = skew
        self._fetch = _patient(connect())
        self._source = Source(lambda: _patient(connect()), log, clock)

    def close(self) -> None:
        """End the threads."""
        self._source.close()

    def look(
        self,
        watch: Watch,
        remembered: bytes | None,
        first: tuple[int, bytes] | None = None,
    ) -> Look:
        """Look once.

        Args:
            watch: whose names.
            remembered: the state of the last look, None at first.
            first: size and root that the log has to contain, at a first look.

        Raises:
            UncheckedError: the log does not answer, is stale, or lacks a quorum.
            UsageError: what is remembered is not of this log.
        """
        if REGISTRAR in watch.names:
            message = "the registrar speaks of all names: watch it with a monitor"
            raise UsageError(message)
        old = None
        if remembered is not None:
            old = _Point(open_state(remembered, self._log.key), remembered)
        try:
            return self._look(watch, old, first)
        except LieError as lie:
            alert = lie.alert(self._log.key.name, self._now)
            size = 0 if old is None else old.checkpoint.size
            return Look(size, old is None, (alert,), (), None)

    def _look(
        self, watch: Watch, old: "_Point | None", first: tuple[int, bytes] | None
    ) -> Look:
        before = old
        if old is None and first is not None:
            before = _Point(Checkpoint(self._log.key.name, *first), b"")
        # Before any quorum: whoever shows two histories may lack cosignatures for one.
        shown = self._shown()
        self._check_history(before, [shown])
        keys = [of_identity(REGISTRAR)]
        for name in watch.names:
            keys += [of_identity(name), of_issuer(name)]
        answers = {key: self._ask(key) for key in keys}
        points = {_Point.of(one) for one in answers.values()}
        self._check_history(before, [shown, *points])
        # The log may grow in between: all is judged as of the smallest.
        here = min(points, key=_size)
        start = 0 if old is None else old.checkpoint.size
        found = Found(start, here.checkpoint.size)
        for key, answer in answers.items():
            since = start if key.startswith(of_issuer("")) else 0
            found.take(self._entries(key, answer, since, here.checkpoint.size))
        told = Telling(self._log, watch, found, self._now, first=old is None)
        older = self._older(answers, start)
        alerts, statements = told.tell(older)
        lied = any(alert.kind in LIES for alert in alerts)
        return Look(
            here.checkpoint.size,
            old is None,
            tuple(alerts),
            tuple(statements),
            None if lied else bare(here.note, self._log.key),
        )

    # --- answers ---------------------------------------------------------------------

    def _reader(self) -> Reader:
        return Reader(self._fetch, self._log, self._now, skew=self._skew)

    def _ask(self, key: str) -> "_Answer":
        """The answer to a key, proven."""
        try:
            answers = self._reader().lookup(key)
            indices, entries = answers.newest(key)
        except UncheckedError:
            raise
        except PcrlogError as error:
            words = f"its answer does not hold: {error}"
            raise LieError(key, "bad-tiles", words) from error
        return _Answer(answers, indices, {one.index: one for one in entries})

    def _entries(
        self, key: str, answer: "_Answer", start: int, end: int
    ) -> Iterator[Entry]:
        """The entries of an answer in [start, end), each proven to be in the tree."""
        for index in answer.indices:
            if start <= index < end:
                yield from self._entry(key, answer, index)

    def _entry(self, key: str, answer: "_Answer", index: int) -> Iterator[Entry]:
        """An entry of an answer; none if it is of a type that readers pass over."""
        if index in answer.entries:
            yield answer.entries[index]
            return
        # A long answer comes with its newest entries only.
        try:
            leaf = self._leaf(answer, index)
            if key not in index_keys(leaf):
                message = f"it has not the key {key}"
                raise VerificationError(message)
            if not _is_passed_over(leaf):
                yield parse_entry(index, leaf)
        except UncheckedError:
            raise
        except PcrlogError as error:
            words = f"entry {index} of its answer does not hold: {error}"
            raise LieError(key, "bad-tiles", words) from error

    def _leaf(self, answer: "_Answer", index: int) -> bytes:
        if answer.reader is None:
            answer.reader = self._reader()
        return answer.reader.entry(index, answer.answers.opened.checkpoint)

    def _older(
        self, answers: dict[str, "_Answer"], start: int
    ) -> Callable[[str], Iterator[Entry]]:
        def older(name: str) -> Iterator[Entry]:
            key = of_issuer(name)
            answer = answers[key]
            for index in reversed(answer.indices):
                if index < start:
                    yield from self._entry(key, answer, index)

        return older

    # --- one history -----------------------------------------------------------------

    def _shown(self) -> "_Point":
        """The checkpoint that the log shows, signed by it."""
        note = self._source.note()
        try:
            return _Point(
                open_checkpoint(UnverifiedNote.parse(note), self._log.key), note
            )
        except PcrlogError as error:
            raise LieError(_WHOLE, "bad-signature", str(error)) from error

    def _check_history(
        self, before: "_Point | None", points: Sequence["_Point"]
    ) -> None:
        """Check that points are of one history, which goes on from `before`."""
        points = sorted(points, key=_size)
        for smaller, larger in pairwise(points):
            self._check_extends(smaller, larger)
        here = points[0]
        if before is None:
            return
        if here.checkpoint.size < before.checkpoint.size:
            self._check_extends(here, before)
            words = (
                f"it shows {here.checkpoint.size} leaves, and has shown"
                f" {before.checkpoint.size}"
            )
            raise LieError(named(here.checkpoint), "rollback", words)
        self._check_extends(before, here)

    def _check_extends(self, smaller: "_Point", larger: "_Point") -> None:
        old, new = smaller.checkpoint, larger.checkpoint
        node = self._source.node(new.size)
        try:
            if is_prefix(old, new, node):
                return
        except UncheckedError:
            raise
        except PcrlogError as error:
            raise LieError(named(new), "bad-tiles", str(error)) from error
        evidence = None
        if smaller.note and larger.note:
            evidence = self._evidence.checkpoints(smaller.note, larger.note, node)
        words = f"{new.size} leaves that do not extend the {old.size} of before"
        raise LieError(named(new), "fork", words, evidence)


def _patient(fetch: Fetch) -> Fetch:
    """The same; but a server that does not know a question is no liar."""

    def ask(path: str, most: int, /) -> bytes:
        try:
            return fetch(path, most)
        except RefusedError as error:
            message = f"the log does not answer {path}: {error}"
            raise TransportError(message) from error

    return ask


class _Point(Struct, frozen=True):
    """A checkpoint and its note; a pinned one has none."""

    checkpoint: Checkpoint
    note: bytes

    @classmethod
    def of(cls, answer: "_Answer") -> "_Point":
        opened = answer.answers.opened
        return cls(opened.checkpoint, bytes(opened.note))


def _size(point: _Point) -> int:
    return point.checkpoint.size


class _Answer(Struct):
    answers: Answers
    indices: tuple[int, ...]
    entries: dict[int, Entry]
    reader: Reader | None = None


def _is_passed_over(leaf: bytes) -> bool:
    payload = payload_of(leaf)
    return payload is not None and predicate_type_of(payload).startswith(SKIPPED_FAMILY)


# --- the state ------------------------------------------------------------------------


def open_state(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint that was remembered.

    Raises:
        UsageError: it is none of this log.
    """
    try:
        return open_checkpoint(UnverifiedNote.parse(note), key)
    except (MalformedError, VerificationError) as error:
        message = (
            f"the state is no checkpoint that {key.name} signed: {error}. It was"
            " changed, or is of another log: name another file"
        )
        raise UsageError(message) from error


def bare(note: bytes, key: VerifierKey) -> bytes:
    """A checkpoint note with the log's signature alone."""
    whole = UnverifiedNote.parse(note)
    line = SignatureLine(key.name, key.key_hash, whole.of(key)[0])
    return bytes(UnverifiedNote(whole.text, (line,)))
