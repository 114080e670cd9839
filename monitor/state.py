"""monitor.db: what is verified, what was said, and how the last rounds went.

The last verified checkpoint never goes back: it is kept with the alerts of its round in
one transaction, and everything that is read later is held against it. Whoever deletes
this file makes the monitor begin anew, which it notices: the configuration pins the
first checkpoint, or says "first-use" (config.py).

One follower writes; pages, sinks and `status` read with connections of their own.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from monitor.alerts import Alert
from monitor.schema import schema_of
from pcrlog.merkle import HASH_SIZE, Range

_BUSY_SECONDS = 10
_ROUNDS_KEPT = 1000
VIEWS = "view"
"""The facts about views: name to what is wrong with it."""


class Verified(Struct, frozen=True):
    """How far a log is verified: `tree` over all leaves read, the last `note` and seal.

    `note` is empty until the first checkpoint is reached.
    """

    size: int
    subtrees: tuple[bytes, ...]
    note: bytes
    sealed: int
    frozen: bool

    def tree(self) -> Range:
        """The compact range of the verified leaves."""
        return Range(self.size, self.subtrees)


class Round(Struct, frozen=True):
    """One round: `outcome` is clean, alerts or unchecked; `found` says it in words."""

    number: int
    time: int
    took_ms: int
    size: int
    outcome: str
    found: str


class Condition(Struct, frozen=True):
    """Something that is wrong now, `since` unix seconds."""

    kind: str
    since: int


Fact = tuple[str, str, str | None]
"""Rule, name, value; None: it is forgotten."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open one of a monitor's databases; it is made if it is not there."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    if connection.execute("select count(*) from sqlite_schema").fetchone() == (0,):
        # Two may come at once: the second finds it made.
        connection.executescript(
            "begin immediate;"
            + schema_of(path.name).replace(
                "create table ", "create table if not exists "
            )
            + "commit;"
        )
    if read_only:
        connection.execute("pragma query_only = on")
    return connection


class State:
    """monitor.db."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._database = connect(path, read_only=read_only)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._database.execute("begin immediate")
        try:
            yield
            # A commit that fails leaves the transaction open.
            self._database.execute("commit")
        except BaseException:
            self._database.rollback()
            raise

    # --- how far ---------------------------------------------------------------------

    def begin(self, vkey: str, first: bytes, now: int) -> None:
        """Begin with a log of which nothing is verified; `first`: its checkpoint."""
        self._database.execute(
            "insert into log values (1, ?, ?, 0, x'', '', 0, 0, ?)",
            (vkey, first.decode(), now),
        )

    def log(self) -> tuple[str, bytes] | None:
        """The key of the log and the first checkpoint that was seen of it."""
        row = self._database.execute("select vkey, first from log").fetchone()
        return None if row is None else (row[0], row[1].encode())

    def verified(self) -> Verified:
        """How far the log is verified.

        Raises:
            LookupError: nothing was begun.
        """
        row = self._database.execute(
            "select size, subtrees, note, sealed, frozen from log"
        ).fetchone()
        if row is None:
            message = "monitor.db follows no log yet"
            raise LookupError(message)
        size, subtrees, note, sealed, frozen = row
        hashes = (
            subtrees[i : i + HASH_SIZE] for i in range(0, len(subtrees), HASH_SIZE)
        )
        return Verified(size, tuple(hashes), note.encode(), sealed, bool(frozen))

    def advance(self, new: Verified, identities: Sequence[tuple[int, bytes]]) -> None:
        """Move on; inside a transaction, with the alerts found on the way.

        Raises:
            ValueError: it would go back.
        """
        if new.size < self.verified().size:
            message = f"the verified size never goes back (to {new.size})"
            raise ValueError(message)
        self._database.execute(
            "update log set size = ?, subtrees = ?, note = ?, sealed = ?, frozen = ?",
            (
                new.size,
                b"".join(new.subtrees),
                new.note.decode(),
                new.sealed,
                new.frozen,
            ),
        )
        self._database.executemany("insert into identity values (?, ?)", identities)

    def identities(self) -> Iterator[tuple[int, bytes]]:
        """The leaves that are identities, ascending."""
        yield from self._database.execute("select idx, leaf from identity order by idx")

    # --- alerts ----------------------------------------------------------------------

    def raise_alert(self, alert: Alert) -> bool:
        """Keep an alert; whether it is new."""
        done = self._database.execute(
            "insert into alert (id, time, alert) values (?, ?, ?)"
            " on conflict (id) do nothing",
            (alert.id, alert.time, msgspec.json.encode(alert).decode()),
        )
        return done.rowcount == 1

    def alerts_after(self, seq: int, most: int) -> list[tuple[int, Alert]]:
        """The alerts after number `seq`, ascending, at most `most`."""
        rows = self._database.execute(
            "select seq, alert from alert where seq > ? order by seq limit ?",
            (seq, most),
        )
        return [(seq, msgspec.json.decode(text, type=Alert)) for seq, text in rows]

    def newest_seq(self) -> int:
        """The number of the newest alert; 0 before the first."""
        row = self._database.execute("select max(seq) from alert").fetchone()
        return row[0] or 0

    def count_after(self, seq: int) -> int:
        """How many alerts there are after number `seq`."""
        row = self._database.execute(
            "select count(*) from alert where seq > ?", (seq,)
        ).fetchone()
        return int(row[0])

    def alerts_by_kind(self) -> dict[str, int]:
        """How many alerts of each kind were ever raised."""
        rows = self._database.execute(
            "select json_extract(alert, '$.kind') as kind, count(*) from alert"
            " group by kind order by kind"
        )
        return dict(rows.fetchall())

    def newest_alerts(self, most: int) -> list[tuple[int, Alert]]:
        """The newest alerts, newest first."""
        rows = self._database.execute(
            "select seq, alert from alert order by seq desc limit ?", (most,)
        )
        return [(seq, msgspec.json.decode(text, type=Alert)) for seq, text in rows]

    def set_condition(self, alert: Alert) -> None:
        """Say that something is wrong from now on; inside a transaction."""
        self.raise_alert(alert)
        self._database.execute(
            "insert into condition select ?, ?, seq from alert where id = ?"
            " on conflict (kind) do nothing",
            (alert.kind, alert.time, alert.id),
        )

    def end_condition(self, kind: str) -> None:
        """Say that it is right again."""
        self._database.execute("delete from condition where kind = ?", (kind,))

    def conditions(self) -> list[Condition]:
        """What is wrong now."""
        rows = self._database.execute("select kind, since from condition order by kind")
        return [Condition(kind, since) for kind, since in rows]

    # --- rounds ----------------------------------------------------------------------

    def add_round(
        self, *, time: int, took_ms: int, size: int, outcome: str, found: str
    ) -> None:
        """Keep how a round went, and forget the oldest ones."""
        self._database.execute(
            "insert into round (time, took_ms, size, outcome, found)"
            " values (?, ?, ?, ?, ?)",
            (time, took_ms, size, outcome, found),
        )
        self._database.execute(
            "delete from round where number <= (select max(number) from round) - ?",
            (_ROUNDS_KEPT,),
        )

    def rounds(self, most: int) -> list[Round]:
        """The last rounds, newest first."""
        rows = self._database.execute(
            "select number, time, took_ms, size, outcome, found from round"
            " order by number desc limit ?",
            (most,),
        )
        return [Round(*row) for row in rows]

    # --- what rules remember ---------------------------------------------------------

    def fact(self, rule: str, name: str) -> str | None:
        """What a rule remembers under a name."""
        row = self._database.execute(
            "select value from fact where rule = ? and name = ?", (rule, name)
        ).fetchone()
        return None if row is None else str(row[0])

    def facts(self, rule: str) -> dict[str, str]:
        """All that a rule remembers."""
        rows = self._database.execute(
            "select name, value from fact where rule = ? order by name", (rule,)
        )
        return dict(rows.fetchall())

    def remember(self, rule: str, name: str, value: str | None) -> None:
        """Remember a value, or (None) forget it; inside a transaction."""
        if value is None:
            self._database.execute(
                "delete from fact where rule = ? and name = ?", (rule, name)
            )
            return
        self._database.execute(
            "insert into fact values (?, ?, ?)"
            " on conflict (rule, name) do update set value = excluded.value",
            (rule, name, value),
        )


class Facts:
    """What rules remember, as it will be: read from monitor.db, and not written yet.

    `changes` are kept in the transaction of the alerts that go with them.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._changed: dict[tuple[str, str], str | None] = {}

    def fact(self, rule: str, name: str) -> str | None:
        """See `State.fact`."""
        if (rule, name) in self._changed:
            return self._changed[rule, name]
        return self._state.fact(rule, name)

    def facts(self, rule: str) -> dict[str, str]:
        """See `State.facts`."""
        found: dict[str, str | None] = dict(self._state.facts(rule))
        found.update(
            {name: value for (of, name), value in self._changed.items() if of == rule}
        )
        return {
            name: value for name, value in sorted(found.items()) if value is not None
        }

    def remember(self, rule: str, name: str, value: str | None) -> None:
        """See `State.remember`."""
        self._changed[rule, name] = value

    def identities(self) -> Iterator[tuple[int, bytes]]:
        """See `State.identities`."""
        yield from self._state.identities()

    def changes(self) -> list[Fact]:
        """What is to be kept."""
        return [(*place, value) for place, value in self._changed.items()]

    def forget(self) -> None:
        """Go back to what is on disk."""
        self._changed.clear()
