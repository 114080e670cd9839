"""Makes a new log: keys, databases, entry 0, the first seal and its checkpoint.

Entry 0 is the registrar's identity: a root key, which signs the registrar's own changes
and belongs off this machine, and an enrol key, which signs the identities of others.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from log_server import databases, schema
from log_server.config import SETTINGS, Config, Settings
from log_server.direct import exclusively, submit_directly
from log_server.problems import UnavailableError
from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.errors import UsageError
from pcrlog.keys import PublicKey, SigningKey
from pcrlog.note import NoteSigner, VerifierKey
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey
from pcrlog.statement import encode

_SEED_SIZE = 32


@dataclass(frozen=True, slots=True)
class NewLog:
    """What `init` made: the log's vkey, the registrar's keyids, where its keys lie."""

    vkey: str
    root_keyid: str
    enrol_keyid: str
    root_key: Path
    enrol_key: Path


def create_log(
    directory: Path,
    origin: str,
    *,
    root_key: Path | None,
    clock: Callable[[], int],
    signer: NoteSigner | None = None,
    database: str | None = None,
) -> NewLog:
    """Make the log `origin` in `directory`, which must be new or empty.

    Args:
        directory: of the log.
        origin: its name.
        root_key: where to write the registrar's root key; by default among the others.
        clock: unix seconds.
        signer: the log's key; by default a new one, in its folder of keys.
        database: of PostgreSQL, empty; by default SQLite in the folder.

    Raises:
        UsageError: the folder or the database is not empty, the origin not legal, a
            key file exists.
    """
    text = f'origin = "{origin}"'
    if database is not None:
        text += f'\ndatabase = "{database}"'
    settings = Settings.parse(text.encode())
    config = Config(directory, settings)
    if directory.exists() and any(directory.iterdir()):
        message = f"{directory} is not empty; a log begins in a folder of its own"
        raise UsageError(message)
    make_folders(config)
    if signer is None:
        signer = NoteSigner(origin, os.urandom(_SEED_SIZE))
    root, enrol = SigningKey.generate(), SigningKey.generate()
    root_path = config.keys / "registrar-root.key" if root_key is None else root_key
    write_secret(config.log_key, f"{signer.skey()}\n".encode())
    write_secret(config.enrol_key, enrol.to_pem())
    write_secret(root_path, root.to_pem())
    write_new(directory / "log.vkey", f"{signer.public}\n".encode())
    create_databases(config, signer.public)
    _append_registrar(config, root, enrol, clock)
    # Last: a folder without settings is no log, so a crash before leaves none behind.
    write_settings(config)
    return NewLog(
        str(signer.public),
        root.public.keyid,
        enrol.public.keyid,
        root_path,
        config.enrol_key,
    )


def make_folders(config: Config) -> None:
    """Make the folder of a log, and those in it.

    Raises:
        UsageError: its databases could not be made; nothing was.
    """
    databases.require_new(config)
    config.directory.mkdir(parents=True, exist_ok=True)
    config.keys.mkdir(mode=0o700)
    config.public.mkdir()
    config.wake.parent.mkdir()
    os.mkfifo(config.wake, 0o600)


def write_settings(config: Config) -> None:
    """Write log.toml; if it names a database, maybe with a password, for us alone."""
    mode = 0o644 if config.settings.database is None else 0o600
    write_new(config.directory / SETTINGS, config.settings.toml(), mode)


def write_secret(path: Path, data: bytes) -> None:
    """Write a private key: mode 0600 from its first moment on, never over another."""
    write_new(path, data, 0o600)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that does not exist.

    Raises:
        UsageError: it does, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise UsageError(message) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def create_databases(config: Config, vkey: VerifierKey) -> None:
    """Make both databases, of a log without a leaf."""
    databases.create(config)
    database = databases.log_database(config).connect(read_only=False)
    database.execute(
        "insert into log (id, origin, vkey, taken, schema) values (1, ?, ?, 0, ?)",
        (config.origin, str(vkey), schema.VERSION),
    )
    database.close()


def _append_registrar(
    config: Config,
    root: SigningKey,
    enrol: SigningKey,
    clock: Callable[[], int],
) -> None:
    keys = [identity_key(root.public, "root"), identity_key(enrol.public, "enrol")]
    identity = Identity(
        log=config.origin,
        issuer=REGISTRAR,
        issued=format_time(clock()),
        name=REGISTRAR,
        signers=(root.public.keyid,),
        roles=(),
        keys=tuple(sorted(keys, key=IdentityKey.order)),
    )
    payload = encode(identity, {k.keyid: f"sha256:{k.keyid}" for k in keys})
    with exclusively(config):
        decision = submit_directly(config, sign_envelope(payload, [root]), clock)
    if decision.index != 0:
        message = f"entry 0 was refused: {decision.detail}"
        raise UnavailableError(message)


def identity_key(
    key: PublicKey, use: Literal["root", "enrol"] | None = None
) -> IdentityKey:
    """An active key as identities list it."""
    return IdentityKey(keyid=key.keyid, key=key.spki, status="active", use=use)
