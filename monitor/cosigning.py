"""An index monitor's key and memory: the witness that asks the follower first.

A plain witness cosigns what extends what it saw; an index monitor cosigns what came out
clean of a whole round, the index included (witness.py, check 8). Key and memory are
made together, once: a key without its memory could cosign a second history, so that is
refused, as is a memory without its key.

A fork that somebody hands in here (two roots of one size) is an alert with evidence, as
any other, and from then on nothing is cosigned. witness.db is where it is kept first,
so a crash before it was told is made up for at the next start.

Anybody can send a public checkpoint again, and each waits for the round that is going
on. So few may wait at once, and those that only want a newer time apart from growth:
the pages always have a thread, and the log's growth a place.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from monitor import witness_store
from monitor.alerts import Alert
from monitor.comparison import named
from monitor.config import Config, read_file
from monitor.evidence_files import EvidenceFiles
from monitor.indexing import IndexFailedError
from monitor.serving import end_worker, start_in_background
from monitor.witness import Witness
from monitor.witness_rate import Rates
from monitor.witness_store import WitnessStore
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote

QPD = 86_400
"""Checkpoints a day, growth and newer times each: more than any log seals."""
GROWTH, RENEWALS = 8, 4
"""How many may wait for a round at once; far fewer than there are threads."""


class Judge(Protocol):
    """Whoever follows the log; `running.Monitor` is one."""

    def vouch(self, note: bytes) -> None:
        """Return only if a note, not published yet, is verified and all is clean.

        Raises:
            VerificationError: it is not clean.
            UncheckedError: that could not be told.
        """
        ...

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Keep and deliver alerts; nothing of a log that lied is vouched for."""
        ...


def create(config: Config, name: str, now: int) -> str:
    """Make a key and its memory; the vkey.

    Raises:
        UsageError: one of them is there.
    """
    path, memory = _paths(config)
    signer = NoteSigner(name, secrets.token_bytes(32), COSIGNATURE)
    config.state.mkdir(parents=True, exist_ok=True)
    # The memory first: a key that has none is refused, and can be made again.
    witness_store.create(memory, str(signer.public), now)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        memory.unlink()
        message = f"{path} exists; remove it, or name another file"
        raise UsageError(message) from error
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
        file.write(signer.skey() + "\n")
    return str(signer.public)


def read_signer(config: Config) -> NoteSigner | None:
    """The key with which this monitor cosigns; None if it does not.

    Raises:
        UsageError: key or memory is missing, or the key is of another type.
    """
    if config.settings.cosign is None:
        return None
    path, memory = _paths(config)
    if not path.exists():
        message = f"no {path}: make key and memory with: pcrlog-monitor init --cosign"
        raise UsageError(message)
    signer = NoteSigner.parse(read_file(path).decode("ascii", "replace").strip())
    if signer.public.kind != COSIGNATURE:
        message = f"{path}: expected a key of type 0x04, used for nothing else"
        raise UsageError(message)
    if not memory.exists():
        message = (
            f"no {memory}: an index monitor without its memory could cosign a second"
            " history. If it was lost, make a new key"
        )
        raise UsageError(message)
    return signer


@contextmanager
def open_cosigner(
    config: Config, signer: NoteSigner, judge: Judge, clock: Callable[[], int]
) -> Iterator[Witness]:
    """A witness of this one log that cosigns what `judge` vouches for.

    Raises:
        UsageError: its memory is of another key.
    """
    _, memory = _paths(config)
    store = WitnessStore(memory, str(signer.public))
    try:
        forks = _Forks(config, judge, clock)
        try:
            for fork in witness_store.read(memory).forks:
                forks.add(fork.ours, fork.theirs)
            log = config.log.key
            yield Witness(
                store,
                signer,
                {log.name: log}.get,
                clock,
                approve=_Approval(judge, store),
                limit=Rates(lambda _origin: QPD, time.monotonic).wait,
                on_fork=forks.add,
            )
        finally:
            forks.close()
    finally:
        store.close()


class _Approval:
    """A `witness.Approve`: asks the judge, for few at once."""

    def __init__(self, judge: Judge, store: WitnessStore) -> None:
        self._judge = judge
        self._store = store
        self._growth = threading.Semaphore(GROWTH)
        self._renewals = threading.Semaphore(RENEWALS)

    def __call__(self, origin: str, checkpoint: Checkpoint, note: bytes) -> None:
        held = self._store.latest(origin)
        grows = held is None or checkpoint.size > held.size
        places = self._growth if grows else self._renewals
        if not places.acquire(blocking=False):
            message = "too many checkpoints wait for this monitor: ask again"
            raise UncheckedError(message)
        try:
            self._judge.vouch(note)
        except IndexFailedError as error:
            # As in a round: what comes next can only be judged after a new start.
            end_worker(f"cosigning: {error}", error.exit_code)
            raise
        finally:
            places.release()
        # The judge may not have been told yet.
        if self._store.forks:
            message = f"{origin} signed two trees of one size; witness.db holds both"
            raise VerificationError(message)


class _Forks:
    """Tells of forks, on a thread of its own: a round may hold the judge for long."""

    def __init__(self, config: Config, judge: Judge, clock: Callable[[], int]) -> None:
        self._key = config.log.key
        self._evidence = EvidenceFiles(config.state / "evidence", self._key)
        self._judge = judge
        self._clock = clock
        self._waiting: SimpleQueue[tuple[bytes, bytes] | None] = SimpleQueue()
        self._thread = start_in_background(self._work, "telling of forks")

    def add(self, ours: bytes, theirs: bytes) -> None:
        """A `witness.OnFork`."""
        self._waiting.put((ours, theirs))

    def close(self) -> None:
        """Tell of what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (fork := self._waiting.get()) is not None:
            self._judge.tell([self._alert(*fork)])

    def _alert(self, ours: bytes, theirs: bytes) -> Alert:
        # The witness opened it, or it would not be kept.
        new = Checkpoint.parse(UnverifiedNote.parse(theirs).text)
        words = (
            f"handed to this index monitor to be cosigned: a tree of {new.size} leaves"
            " that is not the one cosigned before"
        )
        return Alert.of(
            "equivocation",
            self._key.name,
            named(new),
            words,
            time=self._clock(),
            evidence=self._evidence.checkpoints(ours, theirs, None),
        )


def _paths(config: Config) -> tuple[Path, Path]:
    cosign = config.settings.cosign
    key = config.folder / ("" if cosign is None else cosign.key)
    return key, config.state / witness_store.NAME
