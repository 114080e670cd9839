"""Sequences in this process, while no `serve` runs: for init, enroll and freeze.

Whoever holds the lock of the folder stands for both processes at once, and goes the
same way as they do: intake.db, then a round of the sequencer. Where other folders have
the same log, the lock is the lease as well (`lease`).
"""

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from log_server.clock_check import ClockCheck
from log_server.config import Config
from log_server.cutting import published_note
from log_server.databases import intake_database, log_database
from log_server.disk import DamagedError
from log_server.intake import IntakeReader, IntakeWriter, Submission
from log_server.lease import LockedError, Waiting, leased
from log_server.ledger import Ledger
from log_server.problems import UnavailableError
from log_server.publisher import Publisher
from log_server.sequencer import Sequencer, Step
from log_server.shelves import open_shelf
from log_server.store import Decision, Snapshot, Store
from log_server.witnesses import Cosigners, Patience
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, UsageError
from pcrlog.merkle import range_root
from pcrlog.note import NoteSigner
from signing import notes

Clock = Callable[[], int]

_FINISH_SECONDS = 30
_LOOK_AGAIN = 0.01
_LOOK_FIRST = "Run `pcrlog-server fsck`, then see Drills in docs/operations.md"


@contextmanager
def exclusively(config: Config) -> Iterator[None]:
    """Hold the lock of the folder; the system lets go of it when the process ends.

    Raises:
        LockedError: a `serve` or another command holds it.
    """
    config.lock.parent.mkdir(exist_ok=True)
    with _locked(config.lock, seconds=0):
        yield


@contextmanager
def alone(config: Config) -> Iterator[None]:
    """Hold the lock of the folder and that of the sequencer: nobody else writes.

    A `serve` that was killed lets go of the first, while its sequencer still finishes
    what it has begun.

    Raises:
        LockedError: a `serve` or another command holds one of them.
    """
    with exclusively(config), _locked(config.sequencing, _FINISH_SECONDS):
        yield


@contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    message = f"{path} is locked: a `serve` or `standby` runs here"
                    raise LockedError(message) from error
                time.sleep(_LOOK_AGAIN)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def open_sequencer(
    config: Config,
    clock: Clock,
    step: Step = lambda _name: None,
    patience: Patience = Patience(),  # noqa: B008 - it never changes
    *,
    settle: bool = False,
    lost: Callable[[str], object] = lambda _why: None,
) -> Iterator[Sequencer]:
    """The sequencer of a log, which has published all that was committed.

    It has a lock of its own: should `serve` be killed, its sequencer still finishes a
    batch, and the next one waits for that.

    Args:
        config: which log.
        clock: unix seconds.
        step: see `sequencer.Step`.
        patience: how long witnesses may take, now and at each publication.
        settle: the disk failed the last one. What a failed sync lost may still be
            shown by the system, until it is gone: it is written anew, from the WAL
            into the file, before anything is signed on top of it.
        lost: called, in another thread, if the lease is lost (`lease.Heart`).

    Raises:
        UsageError: no key, or key, databases and settings are not of one log.
        DamagedError: log.db does not hold the tree that it has signed.
        LockedError: another sequencer does not end.
        LostError, GivenUpError: see `lease.leased`.
        InconsistencyError: log.db is behind what was published.
        ContradictedError: log.db is behind what a witness cosigned.
        QuorumError: too few witnesses answer; what is committed stands.
    """
    with _locked(config.sequencing, _finishing(config, patience)), ExitStack() as stack:
        signer = read_log_key(config)
        ledger = Ledger(log_database(config), signer.public)
        stack.callback(ledger.close)
        if config.settings.database is not None:
            stack.enter_context(
                leased(config, ledger.database, _waiting(config, patience), lost)
            )
        intake = IntakeReader(intake_database(config))
        stack.callback(intake.close)
        cosign = None
        if config.settings.cosigners():
            published = ledger.snapshot().published_size()
            cosign = Cosigners(config, signer.public, published, clock, patience)
            stack.callback(cosign.close)
        shelf = open_shelf(config, lambda: published_note(ledger.snapshot()))
        publisher = Publisher(ledger, shelf, signer.public, cosign)
        stack.callback(publisher.close)
        snapshot = ledger.snapshot()
        _require_signed_tree(snapshot)
        newest = snapshot.checkpoint()
        if settle and newest is not None:
            ledger.tidy()
        publisher.recover()
        # Whoever cosigned just now did so at our time, within the skew of `verdicts`.
        vouched = cosign is not None and ledger.snapshot().checkpoint() is not None
        check = ClockCheck(clock, config.clock_confirmed, vouched=vouched)
        made = Sequencer(ledger, intake, publisher, signer, clock=check, step=step)
        stack.callback(made.close)
        yield made


def _finishing(config: Config, patience: Patience) -> float:
    """Seconds for another sequencer of this folder to end: it may outlive its `serve`.

    With a lease only a `serve` waits for that; what a command wants, that one does.
    """
    by_command = patience.seconds < math.inf
    return 0 if by_command and config.settings.database is not None else _FINISH_SECONDS


def _waiting(config: Config, patience: Patience) -> Waiting:
    """How the lease is waited for: as witnesses are, by who waits for those for ever.

    But not for a log that is read from this folder: no other folder would have it.
    """
    forever = patience.seconds == math.inf and config.publishing.at != "folder"
    return Waiting(patience.ended, patience.waiting, forever=forever)


def _require_signed_tree(snapshot: Snapshot) -> None:
    """The tiles are what the next root is made from: hold them to the last one.

    Raises:
        DamagedError: they lead to another one, or there are leaves that nobody signed.
    """
    newest = snapshot.checkpoint()
    if newest is None and snapshot.size == 0:
        return
    try:
        root = range_root(0, snapshot.size, snapshot.node)
    except MalformedError as error:
        message = f"log.db is damaged: {error}. {_LOOK_FIRST}"
        raise DamagedError(message) from error
    if newest is None or (newest.size, newest.root) != (snapshot.size, root):
        message = (
            f"log.db is damaged: its {snapshot.size} leaves and its tiles do not lead"
            f" to the root that it signed last. {_LOOK_FIRST}"
        )
        raise DamagedError(message)


def read_log_key(config: Config) -> NoteSigner:
    """The log's signing key.

    Raises:
        UsageError: it is missing, no key, or the key of another origin.
    """
    signer = read_key(config.log_key)
    if signer.public.name != config.origin:
        message = f"the log's key is of {signer.public.name}, want {config.origin}"
        raise UsageError(message)
    return signer


def read_key(path: Path) -> NoteSigner:
    """The signing key in a file, or the one that it names (signing/notes.py).

    Raises:
        UsageError: it is missing, or no key.
    """
    try:
        return notes.parse(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the log's key: {error}"
        raise UsageError(message) from error


def submit_directly(config: Config, envelope: bytes, clock: Clock) -> Decision:
    """Submit an envelope and decide it, and all that waits before it."""
    store = Store(log_database(config))
    digest = sha256(envelope)
    submission = Submission(envelope, digest, conflict_accepted=False, received=clock())
    try:
        writer = IntakeWriter(intake_database(config), taken_of(store), lambda: None)
        row = writer.put(submission)
        writer.close()
        try:
            with open_sequencer(config, clock) as sequencer:
                while sequencer.progress.taken < row:
                    sequencer.round()
        except LockedError:
            # With a lease somebody elsewhere may have it, and decides this as well.
            if config.settings.database is None:
                raise
            _wait_for(store, row)
        with store.committed() as snapshot:
            decision = snapshot.decision(digest)
    finally:
        store.close()
    if decision is None:
        message = "the sequencer took the statement and did not decide it"
        raise UnavailableError(message)
    return decision


def _wait_for(store: Store, row: int) -> None:
    end = time.monotonic() + _FINISH_SECONDS
    taken = taken_of(store)
    while taken() < row and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN)


def freeze_directly(config: Config, clock: Clock) -> int:
    """Decide all that waits, then seal for the last time; the log's final size."""
    with open_sequencer(config, clock) as sequencer:
        while sequencer.round():
            pass
        if not sequencer.progress.frozen:
            sequencer.round(freeze=True)
        return sequencer.progress.tree.size


def taken_of(store: Store) -> Callable[[], int]:
    """Asks log.db for the last row that is decided."""

    def taken() -> int:
        with store.committed() as snapshot:
            return snapshot.taken()

    return taken
