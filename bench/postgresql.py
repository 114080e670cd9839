"""What an entry takes in PostgreSQL: `python -m bench.postgresql [--entries N]`.

The statements of bench/rates.py go through the same sequencer, once with SQLite and
once with a server that this starts (tests/support/postgres.py), durable. Counted are
the tables of the log with their indexes, and the dead rows that the server has not
swept yet; not its journal, and not `intake`, which holds nothing in the end.

The figure belongs into bench/figures.toml.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.rates import AUDITOR, ORIGIN, PROVIDER, statements
from log_server.config import Config
from log_server.creation import create_log
from log_server.databases import intake_database
from log_server.direct import open_sequencer
from log_server.enrolment import prepare, submit
from log_server.intake import IntakeWriter, Submission
from pcrlog.keys import SigningKey
from pcrlog.request import Request
from pcrlog.request import encode as encode_request
from tests.support.postgres import absent, running

_TABLES = """
select sum(pg_total_relation_size(oid))::bigint from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'intake'
"""
_ROLES = {PROVIDER: "provider", AUDITOR: "auditor"}


class Stored(NamedTuple):
    """Bytes an entry, and statements sequenced a second."""

    entry: float
    rate: float


def _now() -> int:
    return int(time.time())


def stored(entries: int, uri: str | None) -> Stored:
    """Sequence so many statements in a new log.

    Args:
        entries: an even number.
        uri: of an empty database; None: SQLite.
    """
    keys = {name: SigningKey.generate() for name in _ROLES}
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name) / "log"
        create_log(folder, ORIGIN, root_key=None, clock=_now, database=uri)
        config = Config.load(folder)
        for party, role in _ROLES.items():
            request = Request.parse(encode_request(ORIGIN, party, [keys[party]]))
            submit(config, prepare(config, party, [role], request, _now).envelope, _now)
        before = _bytes(config)
        took = _sequence(config, list(statements(entries, keys)))
        return Stored((_bytes(config) - before) / entries, entries / took)


def _sequence(config: Config, rows: list[bytes]) -> float:
    with open_sequencer(config, _now) as sequencer:
        writer = IntakeWriter(intake_database(config), lambda: 0, lambda: None)
        for row in rows:
            digest = sha256(row).digest()
            writer.put(
                Submission(row, digest, conflict_accepted=False, received=_now())
            )
        writer.close()
        began = time.perf_counter()
        while sequencer.round():
            pass
        return time.perf_counter() - began


def _bytes(config: Config) -> int:
    uri = config.settings.database
    if uri is not None:
        with psycopg.connect(uri) as connection:
            [found] = connection.execute(_TABLES).fetchall()
        return int(found[0])
    file = sqlite3.connect(config.log_db)
    file.execute("pragma wal_checkpoint(truncate)")
    file.close()
    return config.log_db.stat().st_size


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    entries = parser.parse_args().entries
    if why := absent():
        print(why, file=sys.stderr)
        return 3
    with running() as server:
        for name, uri in (("SQLite", None), ("PostgreSQL", server.database())):
            found = stored(entries, uri)
            print(
                f"{name}: {found.entry:,.0f} bytes an entry,"
                f" {found.rate:,.0f} sequenced a second"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
