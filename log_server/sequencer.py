"""Decides: takes the statements that wait, in order, and makes the next checkpoint.

`sequence` is a pure function of the log as it is, the rows and the time; `Sequencer`
does one round of it:

    read rows -> make a batch -> commit it, signed, in one transaction -> publish

A crash before the commit leaves nothing behind: the rows are found and judged again.
After the commit the batch stands for ever, and with it the one checkpoint signed for
its size; whatever was not yet published is published by the next start. Only one batch
is in flight: the next one gathers in intake.db meanwhile, however long the witnesses
take.

Any error that is not the refusal of a statement ends the process. It must: the
authority in memory may be ahead of what was committed.
"""

from collections.abc import Callable, Sequence

from log_server.admission import admit
from log_server.ahead import NOTHING, Ahead, look_ahead
from log_server.batch import Batch, Sealed
from log_server.draft import Draft
from log_server.intake import IntakeReader, Waiting
from log_server.ledger import Ledger
from log_server.problems import problem_of
from log_server.progress import Progress
from log_server.publisher import Publisher
from log_server.signatures import Signatures
from log_server.store import Decision, Snapshot
from pcrlog.checkpoint import Checkpoint
from pcrlog.entry import Entry
from pcrlog.errors import PcrlogError
from pcrlog.note import NoteSigner
from pcrlog.predicates import Identity
from pcrlog.seal import Seal

ROWS = 1024
"""The most statements of one batch: bounds the time that a submission waits for it."""

_TIDY_WHEN_IDLE = 32
_TIDY_AT_LEAST = 128
"""Batches after which it is tidied up: when nobody submits, and in any case. Not after
each: the first commit after it writes a new head of the WAL, and waits twice."""

Step = Callable[[str], None]
"""Told the name of each step of a round; tests kill the process in it."""


def sequence(  # noqa: PLR0913 - all that a batch depends on, and nothing else
    snapshot: Snapshot,
    progress: Progress,
    rows: Sequence[Waiting],
    now: int,
    *,
    ahead: Sequence[Ahead] = (),
    idle_seal: bool = False,
    freeze: bool = False,
) -> Batch:
    """Judge `rows` one by one, each at its own index, and seal what was admitted.

    Args:
        snapshot: log.db, all that is committed.
        progress: the same moment; its authority is moved on by what is admitted here.
        rows: of intake.db, in order.
        now: unix seconds; seals never go back behind an earlier one.
        ahead: what is known of each row already; none: nothing is.
        idle_seal: seal though there is nothing new.
        freeze: make this seal the last.
    """
    draft = Draft(snapshot, progress)
    decisions = tuple(
        _decide(draft, progress, waiting, now)
        for waiting in zip(rows, ahead or [NOTHING] * len(rows), strict=True)
    )
    update, grown = draft.grow_index()
    sealed = None
    if draft.leaves or idle_seal or freeze:
        # What is sealed is the index over all leaves before the seal: it has no keys.
        seal = Seal(draft.size, max(now, progress.time), update.root, freeze)
        draft.add_seal(seal.encode())
        root = draft.tree.root()
        sealed = Sealed(seal, Checkpoint(progress.origin, draft.size, root))
    return Batch(
        number=progress.batch + (sealed is not None),
        taken_before=progress.taken,
        taken=rows[-1].id if rows else progress.taken,
        decisions=decisions,
        tree=draft.tree,
        leaves=tuple(draft.leaves),
        tiles={place: bytes(hashes) for place, hashes in draft.tiles.items()},
        update=update,
        grown=grown,
        given_more=draft.given_more,
        words=frozenset(draft.words),
        sealed=sealed,
    )


def _decide(
    draft: Draft, progress: Progress, waiting: tuple[Waiting, Ahead], now: int
) -> Decision:
    row, ahead = waiting
    try:
        admitted = admit(
            row.envelope,
            draft,
            progress.authority,
            conflict_accepted=row.conflict_accepted,
            now=now,
            ahead=ahead,
        )
    except PcrlogError as error:
        slug = problem_of(error).slug
        return Decision(row.envelope_sha256, None, slug, str(error))
    if isinstance(admitted, Entry):
        if isinstance(admitted.predicate, Identity):
            # Only identities change who may say what; the others were judged already.
            progress.authority.accept(admitted)
        draft.add(admitted)
        admitted = admitted.index
    return Decision(row.envelope_sha256, admitted)


class Sequencer:
    """The one writer of log.db and of the files below public/.

    Args:
        ledger: writes log.db.
        intake: reads intake.db.
        publisher: writes the files.
        signer: the log's key.
        clock: unix seconds that are fit for a seal, told the time of the last one (or
            0); see `clock_check.ClockCheck`.
        step: see `Step`.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: IntakeReader,
        publisher: Publisher,
        signer: NoteSigner,
        *,
        clock: Callable[[int], int],
        step: Step = lambda _name: None,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._publisher = publisher
        self._signer = signer
        self._clock = clock
        self._step = step
        self._signatures = Signatures()
        self.progress = Progress.load(ledger.snapshot())
        self._untidy = 0

    def round(self, *, idle_seal: bool = False, freeze: bool = False) -> int:
        """Decide what waits, at most `ROWS` rows, and publish; how many rows it was."""
        rows = self._intake.after(self.progress.taken, ROWS)
        if not rows and not idle_seal and not freeze:
            return 0
        self._publisher.heed()
        self._step("rows-read")
        ahead = look_ahead(
            rows,
            self.progress.tree.size,
            self.progress.authority,
            self._signatures,
        )
        with self._ledger.reading() as snapshot:
            batch = sequence(
                snapshot,
                self.progress,
                rows,
                self.now(),
                ahead=ahead,
                idle_seal=idle_seal,
                freeze=freeze,
            )
        self._step("batch-made")
        note = b""
        if batch.sealed is not None:
            note = bytes(self._signer.sign(batch.sealed.checkpoint.text()))
            self._step("signed")
        self._ledger.append(batch, note)
        self._step("committed")
        self.progress.advance(batch)
        if batch.sealed is not None:
            self._publisher.publish(self._step)
        self._untidy += 1
        if self._untidy >= _TIDY_AT_LEAST:
            self._tidy()
        return len(rows)

    def now(self) -> int:
        """Unix seconds, fit for the next seal.

        Raises:
            ClockError: they are not; nothing was judged, and the next round may do it.
        """
        return self._clock(0 if self.progress.frozen else self.progress.time)

    def rest(self) -> None:
        """Do what nobody waits for; whoever comes meanwhile has to wait for it."""
        if self._untidy >= _TIDY_WHEN_IDLE:
            self._tidy()

    def _tidy(self) -> None:
        self._ledger.tidy()
        self._untidy = 0

    def close(self) -> None:
        """End its threads."""
        self._signatures.close()
