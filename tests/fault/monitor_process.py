"""One life of a monitor that dies in a step: run in processes of their own.

`live` opens the monitor of a folder as `pcrlog-monitor run --once` does, looks once,
delivers, asks it to cosign what the log shows, and ends, unless SIGKILL comes first.
What it cosigned goes into a file of its own before anything else happens.
"""

import os
import signal
import sys
from pathlib import Path

from monitor.config import Config
from monitor.cosigning import open_cosigner, read_signer
from monitor.running import Hooks, open_monitor
from monitor.witness import Witness
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import encode_json
from pcrlog.errors import PcrlogError
from pcrlog.limits import NOTE
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log
from pcrlog.reader import Reader
from pcrlog.transport import Client
from pcrlog.witness import AddCheckpoint, monitoring_path

STEPS = (
    "checkpoint",
    "leaves-read",
    "judged",
    "alerts-committed",
    "index-committed",
    "round-kept",
    "lie-told",
    "deliver-hook",
    "delivered-hook",
    "delivery-committed-hook",
    "cosign",
    "cosigned",
)
"""Where it can die; whoever names another one lives to its end."""
_OK = 200


def live(folder: Path, now: int, dies_in: str, *, cosigns_first: bool) -> None:
    """One life; `dies_in` names the step in which it is killed."""

    def step(name: str) -> None:
        if name == dies_in:
            os.kill(os.getpid(), signal.SIGKILL)

    config = Config.load(folder / "monitor.toml")
    signer = read_signer(config)
    assert signer is not None
    with (
        open_monitor(config, lambda: now, sys.stdout.buffer, Hooks(step)) as monitor,
        open_cosigner(config, signer, monitor, lambda: now) as witness,
    ):
        if not cosigns_first:
            monitor.once()
        step("cosign")
        cosign(config, witness, folder / "cosigned", now)
        step("cosigned")
        if cosigns_first:
            monitor.once()


def cosign(config: Config, witness: Witness, kept: Path, now: int) -> None:
    """Ask it to cosign what the log shows, and keep what it answers."""
    held = witness.latest(monitoring_path(config.log.key.name).split("/")[0])
    body = request(config.log, held, now)
    if body is None:
        return
    reply = witness.add_checkpoint(body)
    if reply.status != _OK:
        return
    with kept.open("ab") as file:
        note = AddCheckpoint.parse(body).note.decode()
        file.write(encode_json({"note": note, "line": reply.body.decode()}) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def request(log: Log, held: bytes | None, now: int) -> bytes | None:
    """What a log would ask: to go on from what the witness holds to what it shows."""
    fetch = Client(log.url)
    note = fetch("checkpoint", NOTE)
    new = Checkpoint.parse(UnverifiedNote.parse(note).text)
    if held is None:
        return bytes(AddCheckpoint(0, (), note))
    old = Checkpoint.parse(UnverifiedNote.parse(held).text)
    try:
        proof = Reader(fetch, log, now).consistency(old, new)
    except PcrlogError:
        proof = ()
    return bytes(AddCheckpoint(old.size, proof, note)) if old.size <= new.size else None
