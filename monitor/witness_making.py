"""The folder of a witness, from outside: made, its list added to, its forks taken out.

None of this needs the witness to be still: the list is replaced in one step, and what a
running one has in witness.db is only read.
"""

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from monitor import witness_store
from monitor.witness_config import (
    KEY,
    LOGS,
    NETWORK,
    SETTINGS,
    Settings,
    parse_list,
    read,
)
from monitor.witness_store import Fork
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, UsageError
from pcrlog.evidence import TwoCheckpoints, encode
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote

_MOST_LIST = 32 << 20
_SEED = 32
_TOML = """\
# A witness. docs/witness.md explains every member.
format = "pcrlog-witness/v1"
name = "{name}"
listen = "127.0.0.1:8091"
# The lists of the logs that it cosigns for: a vkey a line, or that of the witness
# network. They are read again whenever they change.
lists = ["logs"]
# Requests a day of a log that has no number of its own:
qpd = 86400
"""
_LOGS = "# <vkey> [requests a day]\n"


def make_witness_folder(folder: Path, name: str, now: int) -> str:
    """Make a witness; its vkey.

    Args:
        folder: new, or empty.
        name: the key's name, `<host>/<name>`.
        now: unix seconds.

    Raises:
        UsageError: the name is none, or there is something in the folder.
    """
    try:
        signer = NoteSigner(name, secrets.token_bytes(_SEED), COSIGNATURE)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    if '"' in name or "\\" in name or not name.isprintable():
        message = f"a name in witness.toml has no quotes and backslashes: {name!a}"
        raise UsageError(message)
    vkey = str(signer.public)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            message = f"{folder} is not empty: a witness begins with nothing"
            raise UsageError(message)
        # The memory first: a key without one is refused, a memory without a key is
        # of no use to anybody.
        witness_store.create(folder / witness_store.NAME, vkey, now)
        _write(folder / KEY, f"{signer.skey()}\n".encode(), 0o600)
        _write(folder / LOGS, _LOGS.encode(), 0o644)
        _write(folder / SETTINGS, _TOML.format(name=name).encode(), 0o644)
    except OSError as error:
        message = f"cannot make {folder}: {error.strerror}"
        raise UsageError(message) from error
    return vkey


def add_log(folder: Path, vkey: str, qpd: int | None) -> bool:
    """Put a log on the list `logs`; whether it was not there.

    Raises:
        UsageError: not a vkey of a log, another key of a log that is there, or a list
            of the witness network, which others write.
    """
    settings = Settings.load(folder)
    if LOGS not in settings.lists:
        message = f"{SETTINGS}: `lists` has no {LOGS!a}, the file that this adds to"
        raise UsageError(message)
    path = folder / LOGS
    data = read(path, _MOST_LIST)
    if vkey.split() != [vkey]:
        message = f"expected one vkey, found {vkey!a}"
        raise UsageError(message)
    line = vkey if qpd is None else f"{vkey} {qpd}"
    try:
        new = parse_list(line.encode(), settings.qpd)
        old = parse_list(data, settings.qpd)
        old.beside(new)
    except MalformedError as error:
        message = f"cannot add this log: {error}"
        raise UsageError(message) from error
    if NETWORK in data.decode().split("\n"):
        message = f"{path} is a list of the witness network: name another file first"
        raise UsageError(message)
    if set(new.table) <= set(old.table):
        return False
    whole = data if data.endswith(b"\n") or not data else data + b"\n"
    _write(path, whole + f"{line}\n".encode(), 0o644)
    return True


def write_forks(forks: Sequence[Fork], folder: Path) -> list[Path]:
    """Write each fork as a file of evidence; their paths."""
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for fork in forks:
            # Ascending by root, as the format has them.
            one, two = sorted((fork.ours, fork.theirs), key=_root)
            notes, root = (_own_lines(one), _own_lines(two)), _root(fork.theirs)
            log = sha256(fork.origin.encode()).hex()[:16]
            path = folder / f"{log}-{fork.size}-{root.hex()[:16]}.json"
            _write(path, encode(TwoCheckpoints(checkpoints=notes)), 0o644)
            paths.append(path)
    except OSError as error:
        message = f"cannot write into {folder}: {error.strerror}"
        raise UsageError(message) from error
    return paths


def _root(note: bytes) -> bytes:
    return Checkpoint.parse(UnverifiedNote.parse(note).text).root


def _own_lines(note: bytes) -> str:
    """The note with the lines of its log alone: evidence needs no other."""
    whole = UnverifiedNote.parse(note)
    origin = whole.text.partition("\n")[0]
    lines = tuple(line for line in whole.lines if line.name == origin)
    return bytes(UnverifiedNote(whole.text, lines)).decode()


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file in one step, on disk."""
    part = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(part, flags, mode), "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
