"""A log whose checkpoints others must cosign, for tests: who, and how many of them."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from log_server.config import Config, Member, Quorum, Settings
from log_server.direct import open_sequencer
from log_server.sequencer import Sequencer, Step
from log_server.standing import Standing, Standings
from log_server.witnesses import Patience
from pcrlog.checkpoint import cosignatures, open_checkpoint
from pcrlog.note import UnverifiedNote, VerifierKey
from tests.support.plain_witness import SIZE_TYPE, Latest, PlainWitness, Reply
from tests.unit.log_server.parties import Log

SHORT = Patience(seconds=0.8)
"""For tests in which a quorum stays away."""


class Witness(Protocol):
    """Whoever can be asked; PlainWitness is one."""

    vkey: str

    @property
    def url(self) -> str:
        """Its submission prefix."""


def quorum_of(witnesses: Sequence[Witness], least: int, timeout: int) -> Quorum:
    """What log.toml says of them."""
    members = tuple(Member(one.vkey, one.url) for one in witnesses)
    return Quorum(least, members, timeout)


def demand(
    log: Log,
    witnesses: Sequence[Witness],
    least: int = 1,
    *,
    monitors: Sequence[Witness] = (),
    timeout: int = 5,
) -> None:
    """Have the log ask them from its next start on."""
    settings = msgspec.structs.replace(
        log.config.settings,
        witnesses=quorum_of(witnesses, least, timeout) if witnesses else None,
        index_monitors=quorum_of(monitors, len(monitors), timeout)
        if monitors
        else None,
    )
    # As it stands in the file: what is written has to be what is read.
    (log.config.directory / "log.toml").write_bytes(settings.toml())
    log.config = Config.load(log.config.directory)
    assert log.config.settings == Settings.parse(settings.toml())


@contextmanager
def sequencing(
    log: Log, patience: Patience = SHORT, step: Step = lambda _name: None
) -> Iterator[Sequencer]:
    """The log's sequencer, which waits for so long."""
    with open_sequencer(log.config, log.clock, step, patience) as sequencer:
        yield sequencer


def shown(log: Log) -> bytes:
    """What /checkpoint shows."""
    return (log.config.public / "checkpoint").read_bytes()


def shown_size(log: Log) -> int:
    """Leaves of the checkpoint that is shown."""
    return open_checkpoint(UnverifiedNote.parse(shown(log)), log.config.vkey()).size


def cosigners(log: Log, *witnesses: Witness) -> set[str]:
    """The names of those who have cosigned what is shown."""
    keys = [VerifierKey.parse(one.vkey) for one in witnesses]
    found = cosignatures(UnverifiedNote.parse(shown(log)), keys)
    return {key.name for key in found}


def standing(log: Log, witness: PlainWitness) -> Standing:
    """How the log says that one of them is."""
    name = VerifierKey.parse(witness.vkey).name
    [one] = [m for m in Standings.read(log.config.witnessing).members if m.name == name]
    return one


def ahead(log: Log, witness: PlainWitness, size: int = 1000) -> None:
    """Let it remember more of the log than the log has."""
    root = hashlib.sha256(b"of another history").digest()
    witness.latest[log.config.origin] = Latest(size, root, b"")


def at(size: int) -> Reply:
    """The answer of a witness that is at another size."""
    return Reply(409, b"%d\n" % size, {"Content-Type": SIZE_TYPE})
