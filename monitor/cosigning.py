"""An index monitor's key and memory: the witness that asks the follower first.

A plain witness cosigns what extends what it saw; an index monitor cosigns what came out
clean of a whole round, the index included (witness.py, check 8). Key and memory are
made together, once: a key without its memory could cosign a second history, so that is
refused, as is a memory without its key.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor import witness_store
from monitor.config import Config, read_file
from monitor.witness import Witness
from monitor.witness_store import WitnessStore
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import UsageError
from pcrlog.note import COSIGNATURE, NoteSigner

Vouch = Callable[[bytes], None]
"""A note that is not published yet; raises unless all of it is verified and clean."""


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
    config: Config, signer: NoteSigner, vouch: Vouch, clock: Callable[[], int]
) -> Iterator[Witness]:
    """A witness of this one log that cosigns what `vouch` lets pass.

    Raises:
        UsageError: its memory is of another key.
    """

    def approve(_origin: str, _checkpoint: Checkpoint, note: bytes) -> None:
        vouch(note)

    _, memory = _paths(config)
    store = WitnessStore(memory, str(signer.public))
    try:
        log = config.log.key
        yield Witness(store, signer, {log.name: log}.get, clock, approve)
    finally:
        store.close()


def _paths(config: Config) -> tuple[Path, Path]:
    cosign = config.settings.cosign
    key = config.folder / ("" if cosign is None else cosign.key)
    return key, config.state / witness_store.NAME
