"""index.db: rows that are read, changed in memory, and written many at a time.

All SQL of the index is here; what the rows mean is index.py's. Whatever is not
committed is gone after a crash or a `rollback`.

A transaction is open as long as the file is: so nobody else writes to it between what
was read from it and what is made of that. A monitor that is started anew may find the
index process of one that was killed still at work; it waits for its end.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from monitor.state import connect

_CACHE_KIB = 8 << 10
_WAL_PAGES = 32 << 10
"""How long the write-ahead log becomes until its pages are put in their places. Keys
are hashes, so that each touches another page: what is put there late is put there once.
"""
_WAL_BYTES = 64 << 20
"""What it is cut to after that."""
_BUFFERED = 12 << 20
"""Bytes of rows that wait to be written at most."""
_ROW_COST = 200
"""Bytes that a row takes in memory besides its own, about."""
_PART = 512
"""Indices in a row of `more`."""
_INDEX_SIZE = 8


class Rows:
    """The rows of index.db, with those that are not written yet."""

    def __init__(self, path: Path) -> None:
        self._database = connect(path)
        self._database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        self._database.execute(f"pragma journal_size_limit = {_WAL_BYTES}")
        self._database.execute(f"pragma wal_autocheckpoint = {_WAL_PAGES}")
        self._subtries: dict[int, bytes] = {}
        self._changed: set[int] = set()
        self._parts: dict[tuple[bytes, int], bytearray] = {}
        self._buffered = 0
        self._begin()

    def close(self) -> None:
        """Close the file; what is not committed is gone."""
        self._database.close()

    def _begin(self) -> None:
        self._database.execute("begin immediate")

    def size(self) -> int:
        """Leaves that were in the index at the last commit."""
        row = self._database.execute("select size from progress").fetchone()
        return 0 if row is None else int(row[0])

    def commit(self, size: int, pages: Iterable[tuple[int, bytes]]) -> None:
        """Keep everything, with these rows of `prefix`."""
        self.flush()
        self._database.execute("replace into progress values (1, ?)", (size,))
        self._database.executemany("replace into prefix values (?, ?)", pages)
        self._database.execute("commit")
        self._begin()

    def rollback(self) -> None:
        """Forget what came after the last commit."""
        self._database.rollback()
        self._forget()
        self._begin()

    def _forget(self) -> None:
        self._subtries.clear()
        self._changed.clear()
        self._parts.clear()
        self._buffered = 0

    def flush(self) -> None:
        """Write what waits; it is not committed by that."""
        # In order: neighbours share pages of the file.
        self._database.executemany(
            "replace into subtrie values (?, ?)",
            [(number, self._subtries[number]) for number in sorted(self._changed)],
        )
        self._database.executemany(
            "replace into more values (?, ?, ?)",
            [(*place, bytes(self._parts[place])) for place in sorted(self._parts)],
        )
        self._forget()

    def flush_if_full(self) -> None:
        """Write what waits if it is too much for memory."""
        if self._buffered > _BUFFERED:
            self.flush()

    # --- prefixes --------------------------------------------------------------------

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """All committed rows of `prefix`."""
        yield from self._database.execute("select page, hashes from prefix")

    def page(self, page: int) -> bytes | None:
        """One row of `prefix`."""
        row = self._database.execute(
            "select hashes from prefix where page = ?", (page,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    # --- subtries --------------------------------------------------------------------

    def fetch(self, numbers: Iterable[int]) -> None:
        """Read the rows of these subtries at once; `subtrie` then has them."""
        missing = [number for number in numbers if number not in self._subtries]
        rows = self._database.execute(
            "select number, leaves from subtrie"
            " where number in (select value from json_each(?))",
            (json.dumps(missing),),
        )
        self._subtries.update(dict.fromkeys(missing, b""))
        self._subtries.update(rows)

    def subtrie(self, number: int) -> bytes:
        """A row, fetched before; empty if there is none."""
        return self._subtries[number]

    def read_subtrie(self, number: int) -> bytes:
        """A row as it is now, for one look at it."""
        if number in self._subtries:
            return self._subtries[number]
        row = self._database.execute(
            "select leaves from subtrie where number = ?", (number,)
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def put_subtrie(self, number: int, row: bytes) -> None:
        """Change a row."""
        self._buffered += len(row) + _ROW_COST * (number not in self._changed)
        self._buffered -= len(self._subtries.get(number, b"")) * (
            number in self._changed
        )
        self._changed.add(number)
        self._subtries[number] = row

    # --- lists of indices ------------------------------------------------------------

    def append(self, key: bytes, count: int, indices: Sequence[int]) -> None:
        """Add indices to those that `more` has of a key: `count` by now."""
        while indices:
            part, used = divmod(count, _PART)
            taken = indices[: _PART - used]
            row = self._parts.get((key, part))
            if row is None:
                row = bytearray(self._read_part(key, part) if used else b"")
                self._parts[key, part] = row
                self._buffered += len(row) + 2 * _ROW_COST
            row += packed(taken)
            self._buffered += len(taken) * _INDEX_SIZE
            count, indices = count + len(taken), indices[len(taken) :]

    def _read_part(self, key: bytes, part: int) -> bytes:
        row = self._database.execute(
            "select indices from more where key = ? and part = ?", (key, part)
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def more(self, key: bytes, count: int) -> Iterator[bytes]:
        """The indices of a key in `more`, of which there are `count`, part by part."""
        for part in range(-(-count // _PART)):
            yield bytes(self._parts.get((key, part)) or self._read_part(key, part))

    # --- statements ------------------------------------------------------------------

    def say(self, statements: Iterable[tuple[bytes, int]]) -> list[tuple[int, int]]:
        """Keep (sha256, index) of statements that are new; of others, (index, first).

        The index of each is larger than that of all before.
        """
        rows = sorted(statements)
        if not rows:
            return []
        done = self._database.executemany(
            "insert into statement values (?, ?) on conflict do nothing", rows
        )
        if done.rowcount == len(rows):
            return []
        firsts = [(index, self.statement(sha256)) for sha256, index in rows]
        return sorted(
            (index, first) for index, first in firsts if first not in (None, index)
        )

    def statement(self, sha256: bytes) -> int | None:
        """Where the statement with this SHA-256 stood first."""
        row = self._database.execute(
            "select idx from statement where sha256 = ?", (sha256,)
        ).fetchone()
        return None if row is None else int(row[0])


def packed(indices: Sequence[int]) -> bytes:
    """Indices as a key's value is made of them: u64 each, big-endian."""
    return b"".join([index.to_bytes(8) for index in indices])
