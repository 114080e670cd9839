"""A standby of a log, for tests: made, led on, promoted."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from log_server.config import Config
from log_server.promotion import Promoted, promote
from log_server.sources import Database, Folder, source
from log_server.standby import Standby
from log_server.standby_folder import make_standby
from pcrlog.reader import Fetch
from tests.unit.log_server.parties import Log

TABLES = ("log", "entry", "tile", "index_entry", "trie_page", "given", "word")
"""What a standby has as the log has it; of decisions it knows no refusals."""


def standby_of(log: Log, folder: Path) -> Config:
    """A new one, with the log's settings."""
    settings = (log.config.directory / "log.toml").read_bytes()
    return make_standby(folder, log.config.vkey(), settings)


@contextmanager
def following(config: Config, *, finish: bool = True) -> Iterator[Standby]:
    """The standby, until the end of the block."""
    standby = Standby(config)
    try:
        if finish:
            standby.finish()
        yield standby
    finally:
        standby.close()


def look(config: Config, fetch: Fetch | Path) -> int:
    """One look, by a process of its own, as it were; the size that is here then."""
    with following(config) as standby:
        standby.look(Folder(fetch) if isinstance(fetch, Path) else fetch)
        assert standby.held is not None
        return standby.held.size


def take_disk(config: Config, folder: Path) -> None:
    """Take what a dead machine has left in its folder."""
    with following(config) as standby, source(str(folder)) as fetch:
        assert isinstance(fetch, Database)
        standby.look(fetch, shown=fetch.is_shown)
        standby.adopt(fetch.refused())


def bring_key(log: Log, config: Config) -> None:
    """What the operator does."""
    shutil.copy(log.config.log_key, config.log_key)


def promoted(log: Log, config: Config, *, fence: bool = True) -> tuple[Log, Promoted]:
    """The standby as the log that it is then."""
    bring_key(log, config)
    done = promote(config, log.clock, fence=fence)
    config = Config.load(config.directory)
    return Log(config, log.new, log.clock, log.registrar), done


def rows(config: Config, table: str) -> list[tuple[object, ...]]:
    """A whole table."""
    with closing(sqlite3.connect(config.log_db)) as database:
        return sorted(database.execute(f"select * from {table}"))  # noqa: S608 - a name


def accepted(config: Config) -> list[tuple[object, ...]]:
    """The decisions that are no refusals."""
    return [row for row in rows(config, "decision") if row[1] is not None]
