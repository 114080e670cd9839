"""The folder of a standby: a whole log, but for its key, and not served by anybody.

    DIR/standby.toml   the settings that the log will have; a folder without log.toml is
                       no log, so nothing serves it before `promote`
    DIR/log.db         leaf by leaf what the log has published, judged as the sequencer
                       judged it, each seal made again and compared (`rebuilding`)
    DIR/public/        the files, complete: /checkpoint is put in place last, as it was
                       shown, cosignatures and all
    DIR/keys/          empty. A standby signs nothing

It is made under another name, so that it is there whole or not at all.
"""

import shutil
from pathlib import Path

from log_server.config import STANDBY, Config, Settings
from log_server.creation import create_databases, make_folders, write_new
from pcrlog.errors import UsageError
from pcrlog.note import VerifierKey


def load_standby(directory: Path) -> Config:
    """The standby in a folder.

    Raises:
        UsageError: there is none.
    """
    try:
        data = (directory / STANDBY).read_bytes()
    except OSError as error:
        message = (
            f"no standby in {directory}: {error.strerror}; make one: pcrlog-server"
            " standby DIR FROM --vkey log.vkey"
        )
        raise UsageError(message) from error
    return Config(directory, read_settings(data))


def read_settings(data: bytes) -> Settings:
    """The settings that a standby may have.

    Raises:
        UsageError: they are wrong, or name a PostgreSQL database.
    """
    settings = Settings.parse(data)
    if settings.database is not None:
        message = (
            "the log's database is PostgreSQL, which has standbys of its own: see"
            " docs/operations.md, A standby"
        )
        raise UsageError(message)
    return settings


def make_standby(
    directory: Path, vkey: VerifierKey, settings: bytes | None = None
) -> Config:
    """Make a folder that follows the log of `vkey` from its first leaf on.

    Args:
        directory: new or empty.
        vkey: the log's key.
        settings: the log.toml that the log will have; by default that of a new log.

    Raises:
        UsageError: the folder is not empty, or the settings are of another log.
    """
    parsed = Settings(vkey.name) if settings is None else read_settings(settings)
    if parsed.origin != vkey.name:
        message = f"the vkey is of {vkey.name}, the settings are of {parsed.origin}"
        raise UsageError(message)
    if directory.exists() and any(directory.iterdir()):
        message = f"{directory} is not empty; a standby begins in a folder of its own"
        raise UsageError(message)
    # Made under another name: killed half-way, it is made again. "." has no name.
    whole = directory.resolve()
    new = whole.with_name(f".{whole.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    config = Config(new, parsed)
    make_folders(config)
    create_databases(config, vkey)
    write_new(new / "log.vkey", f"{vkey}\n".encode())
    write_new(new / STANDBY, settings or parsed.toml())
    new.replace(whole)
    return Config(directory, parsed)


def following(config: Config) -> Path:
    """Where the checkpoint is kept that is being built from."""
    return config.lock.with_name("following")
