"""`promote`: makes a standby the log, if witnesses say that nobody is ahead of it.

    finish     what was copied and verified is built
    sign       each checkpoint that lacks the log's line, with the key that the operator
               has brought: Ed25519 signs one text in one way, so these are the notes
               that were signed before, and no new ones
    ask        each witness for what it has seen: a quorum must have seen no more than
               is here. One that has seen more ends it (4); nothing was signed anew
    fence      a seal, which a quorum cosigns. From then on whoever else has the key,
               the old machine if it runs still, finds no quorum for what it signs
    take over  what waited in the dead machine's intake.db, if it was brought
    log.toml   last: from then on the folder is a log, and `serve` may have it

Two quorums of the same witnesses must have one in common, or the old machine and this
one could have a quorum each: so `all - quorum + 1` are needed, where that is more.
Index monitors are not asked: they read the log where it is served, which it is not yet;
`serve` asks them, as always, before it shows anything.

It may be killed at any moment and run again. What it does not touch is public/.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from log_server.clock_check import ClockCheck
from log_server.config import SETTINGS, STANDBY, Config, Settings
from log_server.databases import log_database
from log_server.direct import exclusively, read_log_key
from log_server.fencing import hear, quorum_of, require_all_shown
from log_server.ledger import Ledger
from log_server.progress import Progress
from log_server.repair import place
from log_server.requeueing import Requeued, requeue, require_readable
from log_server.sequencer import sequence
from log_server.standby import NEW_STANDBY, Standby, Told, has_own_seal
from log_server.standby_folder import following, load_standby, read_settings
from log_server.store import CheckpointRow
from log_server.witnesses import ContradictedError, Cosigners, Patience
from pcrlog.errors import UsageError, VerificationError
from pcrlog.note import NoteSigner, UnverifiedNote

Clock = Callable[[], int]

_ROWS = 500
"""Checkpoints signed at once."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was done.

    Attributes:
        leaves: of the log now, the seal of the fence among them.
        published: of the checkpoint that is shown until `serve` shows the next one.
        signed: checkpoints that the key has signed again.
        witnesses: who stands behind the fence; empty: nobody does.
        requeued: what was taken over from the dead machine's intake.db.
    """

    leaves: int
    published: int
    signed: int
    witnesses: tuple[str, ...] = ()
    requeued: Requeued = field(default_factory=Requeued)


def promote(
    config: Config,
    clock: Clock,
    *,
    fence: bool = True,
    intake: Path | None = None,
    settings: bytes | None = None,
    told: Told = lambda _what, _done, _size: None,
) -> Promoted:
    """Make a standby the log.

    Args:
        config: of `standby_folder.load_standby`.
        clock: unix seconds.
        fence: ask the witnesses, and have them cosign a seal.
        intake: a copy of the dead machine's intake.db, with its -wal beside it.
        settings: a log.toml for the log, if it is another one than the standby's.
        told: how far it is.

    Raises:
        UsageError: no key, or no witnesses and `fence`.
        ContradictedError: a witness has seen, or a bucket shows, what is not here.
        UncheckedError: too few witnesses answer.
    """
    if settings is not None:
        config = Config(config.directory, read_settings(settings))
    with exclusively(config):
        # It may have been promoted before the lock was ours.
        load_standby(config.directory)
        signer = _signer(config)
        _require_fence(config.settings, fence=fence)
        if intake is not None:
            require_readable(config, intake)
        if settings is not None:
            place(config.directory / STANDBY, settings)
        _finish(config, told)
        ledger = Ledger(log_database(config), signer.public)
        try:
            require_all_shown(config, ledger.snapshot())
            signed = _sign(ledger, signer, told)
            names = _fenced(config, ledger, signer, clock) if fence else ()
            snapshot = ledger.snapshot()
            leaves, published = snapshot.size, snapshot.published_size()
        finally:
            ledger.close()
        requeued = Requeued() if intake is None else requeue(config, intake, clock)
        # Last: until here it is a standby, and promoted again.
        (config.directory / STANDBY).replace(config.directory / SETTINGS)
        # Behind it: it tells that a standby has a seal of its own (`has_own_seal`).
        following(config).unlink(missing_ok=True)
    return Promoted(leaves, published, signed, names, requeued)


def _signer(config: Config) -> NoteSigner:
    if not config.log_key.is_file():
        message = (
            f"{config.log_key} is missing: bring the log's key, from your safe; it is"
            " never taken from another machine. Be sure that the other one is off"
        )
        raise UsageError(message)
    signer = read_log_key(config)
    vkey = config.vkey()
    if signer.public != vkey:
        message = f"the key is {signer.public}, this standby is of {vkey}"
        raise UsageError(message)
    return signer


def _require_fence(settings: Settings, *, fence: bool) -> None:
    if fence and settings.witnesses is None:
        message = (
            "the settings name no witnesses, so nothing can tell whether the old"
            " machine runs still, or has shown more than is here: two that sign fork"
            " the log, and nobody believes it again. Name its witnesses by --settings"
            " log.toml; or, if you have seen that it is off, and compared"
            " public/checkpoint with the newest one that anybody has: --no-fence"
        )
        raise UsageError(message)


def _finish(config: Config, told: Told) -> None:
    standby = Standby(config, told)
    try:
        standby.finish()
        if standby.held is None:
            message = "this standby has followed nothing yet: it has no leaves"
            raise UsageError(message)
    finally:
        standby.close()


def _sign(ledger: Ledger, signer: NoteSigner, told: Told) -> int:
    """Sign what was signed before, and is known here by its tree alone."""
    newest = ledger.snapshot().checkpoint()
    last = 0 if newest is None else newest.batch
    done = after = 0
    # A log of many years has more of them than fit into memory.
    while group := ledger.snapshot().unsigned(after, _ROWS):
        ledger.sign((row.batch, _signed(signer, row)) for row in group)
        done, after = done + len(group), group[-1].batch
        told("checkpoints looked at", after, last)
    return done


def _signed(signer: NoteSigner, row: CheckpointRow) -> bytes:
    return bytes(signer.sign(row.note.decode().removesuffix("\n")))


# --- the fence ------------------------------------------------------------------------


def _fenced(
    config: Config, ledger: Ledger, signer: NoteSigner, clock: Clock
) -> tuple[str, ...]:
    try:
        return _fence(config, ledger, signer, clock)
    except ContradictedError as error:
        if not has_own_seal(config, ledger.snapshot().checkpoint()):
            raise
        message = (
            f"{error}. This standby has signed a seal that others do not have:"
            f" {NEW_STANDBY}, of what is shown or of the dead machine's disk, and"
            " promote that"
        )
        raise ContradictedError(message) from error


def _fence(
    config: Config, ledger: Ledger, signer: NoteSigner, clock: Clock
) -> tuple[str, ...]:
    """Hear the witnesses, then have them cosign a seal; the names of those who did."""
    snapshot = ledger.snapshot()
    newest = snapshot.checkpoint()
    witnesses = config.settings.witnesses
    if newest is None or witnesses is None:
        message = "nothing to fence"
        raise VerificationError(message)
    heard = hear(witnesses, newest, snapshot.published_size(), clock)
    if newest.frozen:
        # Nobody can sign a leaf after the last one.
        return heard.names
    check = ClockCheck(clock, config.clock_confirmed, vouched=heard.cosigned)
    progress = Progress.load(ledger.snapshot())
    now = check(progress.time)
    batch = sequence(ledger.snapshot(), progress, (), now, idle_seal=True)
    if batch.sealed is None:
        message = "the seal of the fence is missing"
        raise VerificationError(message)
    note = bytes(signer.sign(batch.sealed.checkpoint.text()))
    asked = msgspec.structs.replace(
        config.settings,
        witnesses=msgspec.structs.replace(witnesses, quorum=quorum_of(witnesses)),
        index_monitors=None,
    )
    cosign = Cosigners(
        Config(config.directory, asked),
        signer.public,
        newest.size,
        clock,
        Patience(),
    )
    try:
        ledger.append(batch, note)
        lines = cosign(note, ledger.snapshot().node)
    finally:
        cosign.close()
    signed = UnverifiedNote.parse(note + "".join(f"{one}\n" for one in lines).encode())
    return tuple(line.name for line in signed.lines[1:])
