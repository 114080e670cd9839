"""Brings what is verified of a log up to a checkpoint, or says why that cannot be.

    met before? -> begun? pinned? -> older or newer? -> leaves, run by run:
    each run against the tree, then judged, then committed with its alerts

Nothing of a run is believed before its leaves lead to the root that the log signed: the
tree is grown here, from the leaves, and the log's tiles have to lead from it to the
checkpoint. A run's alerts are committed with its progress; the index is committed after
that, and a start brings it up again: so a crash repeats work, and loses no alert.
"""

from collections.abc import Callable
from threading import Event
from typing import NoReturn

from monitor.alerts import LieError
from monitor.comparison import is_prefix, named
from monitor.config import Config
from monitor.remembered import Remembered
from monitor.source import Source
from monitor.standing import RUN, HalfRunError, Standing
from monitor.state import State, Verified
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.errors import (
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.evidence import bare_note
from pcrlog.tiles import FULL

_RUN_BYTES = 16 << 20
"""Of leaves, after which a run is long enough."""


class EndedError(UncheckedError):
    """Somebody wants the monitor to end; the next start goes on."""


class Advancer:
    """What is verified of one log, and the way on from there.

    Args:
        config: which log it is, and what its history has to contain.
        state: monitor.db.
        source: what the log serves.
        standing: what was read of it.
        clock: unix seconds.
        step: told the name of each step.
        progress: told how many leaves are verified, of how many.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, each a thing of its own
        self,
        config: Config,
        state: State,
        source: Source,
        standing: Standing,
        *,
        clock: Callable[[], int],
        step: Callable[[str], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._log = config.log
        self._first = config.first
        self._state = state
        self._source = source
        self._standing = standing
        self._clock = clock
        self._step = step
        self._progress = progress
        self._remembered = Remembered(state)
        # What was shown before the last that was met: a fork may be of it alone.
        self._earlier: bytes | None = None
        self.ending = Event()
        """Ends the advance after the run that is going on."""

    def size(self) -> int:
        """How many leaves are verified."""
        return 0 if self._state.log() is None else self._state.verified().size

    def meet(self, new: Checkpoint, note: bytes) -> None:
        """Hold what the log shows to everybody against what it showed before.

        The larger one is kept before anything else is asked of the log.

        Raises:
            LieError: it shows less, or another tree.
            UsageError: the state is of another log.
        """
        self._check_log()
        earlier = self._earlier = self._remembered.shown()
        if earlier is not None:
            old, _ = bare_note(earlier, self._log.key)
            if new.size <= old.size and new != old:
                evidence = self._standing.keep_fork(earlier, note)
                words = f"{new.size} leaves, and it has shown {named(old)}"
                kind = "rollback"
                if evidence is not None or new.size == old.size:
                    kind, words = "fork", f"{words}, of another history"
                raise LieError(named(new), kind, words, evidence)
            if new == old:
                return
        with self._state.transaction():
            self._remembered.note_shown(bare_note(note, self._log.key)[1])

    def advance_to(self, new: Checkpoint, note: bytes, *, shown: bool) -> None:
        """Verify all leaves up to a checkpoint.

        Args:
            new: signed by the log.
            note: its bytes.
            shown: whether the log shows it to everybody.

        Raises:
            LieError: it is not of the history that was verified.
            EndedError: the end came first.
            PcrlogError: what the log serves cannot be read, or leads nowhere.
        """
        self._begin(new, note)
        verified = self._state.verified()
        if new.size <= verified.size:
            tree = Checkpoint(new.origin, verified.size, verified.tree().root())
            self._compare(new, note, tree)
        start = verified.size
        while start < new.size:
            if self.ending.is_set():
                message = f"{start} of {new.size} leaves verified, and it is to end"
                raise EndedError(message)
            start = self._take(start, new, note, shown=shown)
        verified = self._state.verified()
        if shown and new.size == verified.size and note != verified.note:
            # The same checkpoint has got other cosignatures.
            with self._state.transaction():
                self._state.advance(
                    Verified(
                        verified.size,
                        verified.subtrees,
                        note,
                        verified.sealed,
                        verified.frozen,
                    ),
                    (),
                )

    # --- the beginning ---------------------------------------------------------------

    def _begin(self, new: Checkpoint, note: bytes) -> None:
        """Begin with a log, or go on with it: the one that the state is of."""
        self._check_log()
        self._check_pin(new)
        if self._state.log() is None:
            with self._state.transaction():
                self._state.begin(str(self._log.key), note, self._clock())
        try:
            self._standing.load(new)
        except VerificationError as error:
            self._refuse(new, note, error)

    def _check_log(self) -> None:
        known, key = self._state.log(), str(self._log.key)
        if known is not None and known[0] != key:
            message = (
                f"the state is of {known[0]}, the policy's key is {key}: name another"
                " folder for another log"
            )
            raise UsageError(message)

    def _check_pin(self, new: Checkpoint) -> None:
        """Hold the log's history to the pin of the configuration, once."""
        if self._first is None:
            return
        size, root = self._first
        spelt = f"{size} {encode_base64(root)}"
        if self._remembered.pinned() == spelt:
            return
        pinned = Checkpoint(new.origin, size, root)
        if new.size < size:
            words = f"it has {new.size} leaves, and {size} are pinned as `first`"
            raise LieError(named(new), "rollback", words)
        if not is_prefix(pinned, new, self._source.node(new.size)):
            words = f"its history does not contain `first`, {named(pinned)}"
            raise LieError(named(new), "fork", words)
        with self._state.transaction():
            self._remembered.note_pinned(spelt)

    # --- one step --------------------------------------------------------------------

    def _compare(self, new: Checkpoint, note: bytes, tree: Checkpoint) -> None:
        """A checkpoint of no more leaves than are verified, against these."""
        if new == tree or new.size == 0:
            return
        if new.size == tree.size:
            words = f"two trees of {new.size} leaves"
            raise LieError(named(new), "fork", words, self._fork_with(note))
        try:
            self._source.consistency(new, tree)
        except (VerificationError, TransportError) as error:
            self._refuse(new, note, error)

    def _take(self, start: int, new: Checkpoint, note: bytes, *, shown: bool) -> int:
        """Verify the next leaves: the tree, then each, then the index; up to where."""
        end = min(new.size, (start + RUN) // FULL * FULL)
        leaves = self._source.leaves(start, end, new.size, enough=_RUN_BYTES)
        stop = start + len(leaves)
        self._step("leaves-read")
        tree = self._standing.grown(leaves)
        try:
            self._source.consistency(tree, new)
            if stop == new.size and tree != new:
                message = f"the leaves lead to root {tree.root.hex()}"
                raise VerificationError(message)  # noqa: TRY301 - as the tiles say
        except VerificationError as error:
            self._refuse(new, note, error)
        # Somebody else's lines may stand under what was not shown to us by the log.
        kept = note if shown else bare_note(note, self._log.key)[1].encode()
        try:
            run = self._standing.take(leaves, new, kept, self._clock())
        except HalfRunError as half:
            with self._state.transaction():
                half.keep(self._state, self._remembered)
            raise half.error from half
        self._step("judged")
        with self._state.transaction():
            run.keep(self._state, self._remembered)
        self._standing.kept()
        self._step("alerts-committed")
        self._standing.commit(last=stop == new.size)
        self._step("index-committed")
        self._progress(stop, new.size)
        return stop

    def _refuse(self, new: Checkpoint, note: bytes, error: PcrlogError) -> NoReturn:
        """Say what is wrong when leaves or tiles do not lead to the signed root.

        If the tiles lead to that root, but from another history than ours, then the log
        signed both: a fork. Else they lead nowhere, which is no proof of anything.
        """
        self._standing.forget()
        evidence = self._fork_with(note)
        if evidence is not None:
            words = f"{new.size} leaves that do not extend what was verified"
            raise LieError(named(new), "fork", words, evidence) from error
        if isinstance(error, TransportError):
            raise error
        words = f"what it serves does not lead to the root that it signed: {error}"
        raise LieError(named(new), "bad-tiles", words) from error

    def _fork_with(self, note: bytes) -> str | None:
        """Evidence that the log signed this, and something that it showed before."""
        first = self._state.log()
        held = (
            self._state.verified().note if first is not None else b"",
            self._earlier or b"",
            first[1] if first is not None else b"",
        )
        for one in dict.fromkeys(held):
            if one:
                evidence = self._standing.keep_fork(one, note)
                if evidence is not None:
                    return evidence
        return None
