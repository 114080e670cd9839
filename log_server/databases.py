"""Opens the databases that log.toml means: SQLite in the folder, or PostgreSQL.

The one place where that is decided. psycopg is imported only here, and only for a log
that has its database there.
"""

from typing import TYPE_CHECKING

from log_server.config import Config
from log_server.engine import Engine
from log_server.schema import schema_of
from log_server.sqlite_engine import SqliteEngine
from pcrlog.errors import UsageError

if TYPE_CHECKING:
    from log_server.postgres_engine import PostgresEngine


def log_database(config: Config) -> Engine:
    """What the sequencer writes: for `store.Store` and `ledger.Ledger`."""
    url = config.settings.database
    return SqliteEngine(config.log_db) if url is None else _postgres(url)


def intake_database(config: Config) -> Engine:
    """What web processes write: for `intake.IntakeReader` and `IntakeWriter`."""
    url = config.settings.database
    return SqliteEngine(config.intake_db) if url is None else _postgres(url)


def require_new(config: Config) -> None:
    """Find out whether the databases of a new log can be made.

    Raises:
        UsageError: the PostgreSQL database is not empty.
    """
    if config.settings.database is not None:
        _postgres(config.settings.database).require_empty()


def create(config: Config) -> None:
    """Make the tables of a new log.

    Raises:
        UsageError: the PostgreSQL database is not empty.
    """
    intake, log = schema_of("intake.db"), schema_of("log.db")
    if config.settings.database is not None:
        _postgres(config.settings.database).create(intake + log)
        return
    SqliteEngine(config.intake_db).create(intake)
    SqliteEngine(config.log_db).create(log)


def _postgres(url: str) -> "PostgresEngine":
    try:
        from log_server.postgres_engine import PostgresEngine
    except ImportError as error:
        message = (
            f"log.toml names a PostgreSQL database, and {error.name or 'psycopg'} is"
            " missing: pip install 'pcrlog[postgresql]'"
        )
        raise UsageError(message) from error
    return PostgresEngine(url)
