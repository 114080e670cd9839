"""Reads the index in log.db, as it was after one of the last batches.

The sequencer reads the newest one. Everybody else reads the one that is published,
which may be older: its lists end before its seal, and its pages are the newest ones,
but where a later batch has put aside what stood there before. ledger.py writes what is
read here.
"""

from collections.abc import Iterable

from log_server.engine import Database
from log_server.index_pages import LONG, Known

KEPT_BATCHES = 8
"""What pages were before each of the last so many batches is kept. One batch is in
flight, so the one that is published is the newest or the one before it."""
_AT_ONCE = 4 * LONG
"""Rows read at once: more than a few keys have as a rule, and more than LONG."""


class IndexRows:
    """The index of the first `size` leaves (an `index_pages.Rows`).

    Args:
        database: log.db, in a transaction or with no other writer.
        size: leaves, as many as a checkpoint has.
        later: the batches after that checkpoint's.

    Raises:
        LookupError: it is older than what is kept.
    """

    def __init__(self, database: Database, size: int, later: range) -> None:
        if len(later) > KEPT_BATCHES:
            message = (
                f"the index as it was {len(later)} batches ago is not kept any more"
            )
            raise LookupError(message)
        self._database = database
        self._execute = database.execute
        self._size = size
        self._later = later

    def pages(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Those of the pages that there are."""
        asked, among = self._database.numbers(numbers), self._database.in_numbers
        found: dict[int, bytes] = dict(
            self._execute(
                f"select number, hashes from trie_page where number {among}",  # noqa: S608 - the engine's own words
                (asked,),
            )
        )
        for batch in reversed(self._later):
            for number, hashes in self._execute(
                "select number, hashes from trie_page_before"  # noqa: S608 - as above
                f" where batch = ? and number {among}",
                (batch, asked),
            ):
                if hashes is None:
                    found.pop(number, None)
                else:
                    found[number] = hashes
        return found

    def leaves(self, low: bytes, high: bytes) -> dict[bytes, Known]:
        """The keys from `low` up to but not including `high`, ascending."""
        found: dict[bytes, Known] = {}
        lists: dict[bytes, list[int]] = {}
        whole = False
        while not whole:
            rows = self._execute(
                "select key_hash, idx from index_entry"
                " where key_hash >= ? and key_hash < ? and idx < ?"
                " order by key_hash, idx limit ?",
                (low, high, self._size, _AT_ONCE),
            ).fetchall()
            for key, index in rows:
                if key in lists:
                    lists[key].append(index)
                else:
                    lists[key] = [index]
            whole = len(rows) < _AT_ONCE
            if not whole:
                # The last list may go on.
                low = rows[-1][0]
                if len(lists[low]) <= LONG:
                    del lists[low]
                else:
                    low += b"\x00"
        found.update(lists)
        for key, indices in lists.items():
            if len(indices) > LONG:
                found[key] = self._value(key)
        return found

    def _value(self, key: bytes) -> bytes:
        """The value of a long list."""
        # In the last row of a batch, and every list that can be asked for ends in one.
        [value] = self._execute(
            "select value from index_entry where key_hash = ? and idx < ?"
            " order by idx desc limit 1",
            (key, self._size),
        ).fetchone()
        if value is None:
            message = f"log.db: key {key.hex()} has no value; run fsck"
            raise LookupError(message)
        return bytes(value)
