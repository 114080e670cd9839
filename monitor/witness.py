r"""The witness: cosigns a checkpoint only if it extends what was cosigned before.

C2SP tlog-witness, `add-checkpoint` (pcrlog/witness.py, FORMATS.md section 4.2), without
HTTP: a body in, a `Reply` out, from any number of threads. The checks, in order:

1. the request and the note are of their form                            else 400
2. the origin is that of a log on our list                               else 404
3. its key signed, and no line of that key is wrong                      else 403
4. the text is a checkpoint of that origin and old <= size               else 400
5. `old` is the size that we last cosigned                               else 409
6. size 0 has the root of nothing; what extends nothing comes without a
   proof; any other proof holds, from the root that we hold              else 422
7. the log is not asking too often                                       else 429
8. `approve` agrees (an index monitor: the whole round is clean)         else 422, 503
9. still nothing else was cosigned, compared and stored in one step      else 409

Only then does the line leave. What is signed is a re-encoding of what was parsed. The
time in a line never goes back: see `Witness`.

The limit comes that late so that nobody can use up a log's share of it: checkpoints are
public, and whoever sends one again moves nothing. A new time for what is cosigned
already, which anybody may ask for, is counted apart from growth.

Two roots of one size that the log signed are a fork, whatever else is wrong with the
request. Both notes are kept, and then whoever made this witness is told: `on_fork`.

>>> Reply.refusal(403, "no signature").body
b'no signature\n'
"""

import logging
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from monitor.witness_store import Cosigned, Fork, WitnessStore
from pcrlog.checkpoint import Checkpoint, cosign, open_checkpoint
from pcrlog.encoding import LATEST, shown
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    VerificationError,
)
from pcrlog.merkle import EMPTY_ROOT, check_consistency
from pcrlog.note import NoteSigner, SignatureLine, UnverifiedNote, VerifierKey
from pcrlog.witness import SIZE_TYPE, AddCheckpoint, encode_lines, encode_size

_log = logging.getLogger(__name__)

Logs: TypeAlias = Callable[[str], VerifierKey | None]
"""Origin to the log's key (type 0x01, of that name), or None: not one of ours."""
Approve: TypeAlias = Callable[[str, Checkpoint, bytes], None]
"""Origin, checkpoint, the note as it came. Raises if it is not to be cosigned."""
OnFork: TypeAlias = Callable[[bytes, bytes], None]
"""The note that we cosigned, and another one of its size that the log signed."""
Limit: TypeAlias = Callable[[str, bool], int]
"""Origin, whether it grows: seconds that it has to wait; 0 if it need not."""

TEXT = "text/plain; charset=utf-8"
SETBACK = 10
"""Seconds by which a clock may have been set back: what keeping time does to it."""
_LATER = 5
"""Seconds after which it may be worth while to ask again."""
_LATEST_RETRY = 3600


class Reply(Struct, frozen=True):
    """An answer: `status`, Content-Type, body, and seconds of Retry-After or None."""

    status: int
    content_type: str
    body: bytes
    retry_after: int | None = None

    @classmethod
    def refusal(
        cls, status: int, message: str, retry_after: int | None = None
    ) -> "Reply":
        """One line for people."""
        return cls(status, TEXT, f"{message}\n".encode(), retry_after)


class _Refused(Exception):  # noqa: N818 - no error: an answer on its way out
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


def _refused(status: int, why: object, retry_after: int | None = None) -> _Refused:
    return _Refused(Reply.refusal(status, str(why), retry_after))


class Witness:
    """A witness; it may be asked by many threads at once.

    The time of a line is the clock's, but never before that of our last line for the
    same log: then it is that one's, as long as the clock is not behind it by more than
    `SETBACK` seconds; if it is, nothing is cosigned until the clock has come up again.

    Args:
        store: what was cosigned before.
        signer: our key, of type 0x04, used for nothing else.
        logs: whom we cosign for; with a table of keys, its `get`.
        clock: unix seconds.
        approve: asked last, with what passed every check; may take seconds, and may
            raise UncheckedError (503, ask again), VerificationError or MalformedError
            (422).
        limit: asked for each checkpoint that passed the checks before.
        on_fork: told of each fork once it is kept; the answer waits for it.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, each a thing of its own
        self,
        store: WitnessStore,
        signer: NoteSigner,
        logs: Logs,
        clock: Callable[[], int],
        approve: Approve = lambda _origin, _checkpoint, _note: None,
        limit: Limit = lambda _origin, _grows: 0,
        *,
        on_fork: OnFork = lambda _ours, _theirs: None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._logs = logs
        self._clock = clock
        self._approve = approve
        self._limit = limit
        self._on_fork = on_fork

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer a request; `body` is that of the POST, at most witness.REQUEST bytes.

        Whatever it raises is a mistake of ours or of `approve`, and nothing was
        cosigned.
        """
        try:
            asked, checkpoint, line = self._read(body)
            stored = self._check(asked, checkpoint)
            self._wait(checkpoint, stored)
            self._ask(checkpoint, asked.note)
            return self._cosign(stored, checkpoint, line)
        except _Refused as refused:
            return refused.reply
        except UncheckedError as error:
            return Reply.refusal(503, str(error), _LATER)

    def latest(self, digest: str) -> bytes | None:
        """The note that we last cosigned of the log whose origin has this hex SHA-256.

        It holds the log's line and ours.
        """
        found = self._store.by_digest(digest)
        return None if found is None else found.note

    # --- the steps -------------------------------------------------------------------

    def _read(self, body: bytes) -> tuple[AddCheckpoint, Checkpoint, str]:
        """Checks 1 to 4; the request, what the log signed, its signature line."""
        try:
            asked = AddCheckpoint.parse(body)
            note = UnverifiedNote.parse(asked.note)
        except MalformedError as error:
            raise _refused(400, error) from error
        origin = note.text.partition("\n")[0]
        key = self._logs(origin)
        if key is None:
            raise _refused(404, f"no log {shown(origin)} on this witness's list")
        try:
            checkpoint = open_checkpoint(note, key)
        except MalformedError as error:
            raise _refused(400, error) from error
        except VerificationError as error:
            raise _refused(403, error) from error
        if asked.old > checkpoint.size:
            message = (
                f"old {asked.old} is larger than the checkpoint's {checkpoint.size}"
            )
            raise _refused(400, message)
        line = SignatureLine(key.name, key.key_hash, note.of(key)[0])
        return asked, checkpoint, str(line)

    def _check(self, asked: AddCheckpoint, checkpoint: Checkpoint) -> Cosigned | None:
        """Checks 5 and 6; what we hold of this log."""
        stored = self._store.latest(checkpoint.origin)
        self._look_for_fork(stored, checkpoint, asked.note)
        _check_old(asked.old, stored)
        try:
            _check_growth(asked, checkpoint, stored)
        except VerificationError as error:
            raise _refused(422, error) from error
        return stored

    def _look_for_fork(
        self, stored: Cosigned | None, checkpoint: Checkpoint, note: bytes
    ) -> None:
        size, root = checkpoint.size, checkpoint.root
        if stored is None or stored.size != size or stored.root == root:
            return
        fork = Fork(checkpoint.origin, size, stored.note, note, self._clock())
        if self._store.keep_fork(fork, root):
            message = "%s signed two trees of %d leaves; both are kept"
            _log.error(message, checkpoint.origin, size)
            self._on_fork(fork.ours, fork.theirs)

    def _wait(self, checkpoint: Checkpoint, stored: Cosigned | None) -> None:
        """Check 7."""
        grows = stored is None or checkpoint.size > stored.size
        wait = self._limit(checkpoint.origin, grows)
        if wait:
            raise _refused(429, f"too many checkpoints of {checkpoint.origin}", wait)

    def _ask(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Check 8."""
        try:
            self._approve(checkpoint.origin, checkpoint, note)
        except (MalformedError, VerificationError) as error:
            raise _refused(422, error) from error

    def _cosign(
        self, stored: Cosigned | None, checkpoint: Checkpoint, line: str
    ) -> Reply:
        """Check 9, and the answer; `line` is the log's own."""
        old = 0 if stored is None else stored.size
        text = checkpoint.text()
        while True:
            seconds = self._time(stored)
            ours = cosign(text, self._signer, seconds)
            note = f"{text}\n{line}\n{ours}\n".encode()
            origin, size, root = checkpoint.origin, checkpoint.size, checkpoint.root
            new = Cosigned(origin, size, root, seconds, note)
            other = self._store.advance(stored, new)
            if other is None:
                return Reply(200, TEXT, encode_lines([ours]))
            self._look_for_fork(other, checkpoint, f"{text}\n{line}\n".encode())
            _check_old(old, other)
            # The same state with a later line: ours must not be before it.
            stored = other

    def _time(self, stored: Cosigned | None) -> int:
        now, last = self._clock(), 0 if stored is None else stored.time
        if not 0 < now <= LATEST or now < last - SETBACK:
            message = f"this witness's clock is wrong: {now}, and its last line {last}"
            wait = min(max(last - now, _LATER), _LATEST_RETRY)
            raise _refused(503, message, wait)
        return max(now, last)


def _check_old(old: int, stored: Cosigned | None) -> None:
    size = 0 if stored is None else stored.size
    if old != size:
        raise _Refused(Reply(409, SIZE_TYPE, encode_size(size)))


def _check_growth(
    asked: AddCheckpoint, checkpoint: Checkpoint, stored: Cosigned | None
) -> None:
    """Check 6.

    Raises:
        VerificationError: it does not hold.
    """
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        message = "size 0 and not the root of an empty tree"
        raise VerificationError(message)
    if stored is not None and stored.size > 0:
        check_consistency(
            stored.size, checkpoint.size, asked.proof, stored.root, checkpoint.root
        )
    elif asked.proof:
        # Nothing can be proven from an empty tree (FORMATS.md 8, 7): first use.
        message = f"a proof of {len(asked.proof)} hashes from size 0, want none"
        raise VerificationError(message)
