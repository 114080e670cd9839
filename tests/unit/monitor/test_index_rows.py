"""index.db: what was not committed is forgotten, and lists are read as they grew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.index_rows import Rows, packed


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "index.db")
    yield made
    made.close()


def read(rows: Rows, key: bytes, count: int) -> list[int]:
    data = b"".join(rows.more(key, count))
    return [int.from_bytes(data[at : at + 8]) for at in range(0, len(data), 8)]


def test_indices_are_packed_as_the_value_of_a_key_is_made() -> None:
    assert packed([]) == b""
    assert packed([1, 2**63]) == bytes(7) + b"\x01\x80" + bytes(7)


def test_a_row_is_what_was_put_there_last(rows: Rows) -> None:
    assert rows.read_subtrie(7) == b""
    rows.fetch([7, 8])
    assert (rows.subtrie(7), rows.subtrie(8)) == (b"", b"")
    rows.put_subtrie(7, b"one")
    assert rows.subtrie(7) == rows.read_subtrie(7) == b"one"
    rows.flush()
    assert rows.read_subtrie(7) == b"one"
    rows.fetch([7, 8])
    rows.put_subtrie(7, b"other")
    rows.fetch([7])
    assert rows.subtrie(7) == b"other"


def test_a_rollback_forgets_rows_whether_they_were_written_or_not(rows: Rows) -> None:
    rows.fetch([1, 2, 3])
    rows.put_subtrie(1, b"kept")
    rows.append(b"k" * 32, 0, [4, 5])
    assert rows.say([(b"s" * 32, 4)]) == []
    rows.commit(6, [(3, b"page")])
    rows.fetch([1, 2])
    rows.put_subtrie(1, b"lost")
    rows.append(b"k" * 32, 2, [7])
    assert rows.say([(b"t" * 32, 7)]) == []
    rows.flush()
    rows.put_subtrie(2, b"lost")
    rows.rollback()
    assert rows.size() == 6
    assert rows.read_subtrie(1) == b"kept"
    assert rows.read_subtrie(2) == b""
    assert read(rows, b"k" * 32, 2) == [4, 5]
    assert rows.statement(b"s" * 32) == 4
    assert rows.statement(b"t" * 32) is None
    assert list(rows.pages()) == [(3, b"page")]
    assert (rows.page(3), rows.page(4)) == (b"page", None)


@pytest.mark.parametrize("written", [1, 2, 5000])
@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 1300])
def test_a_list_is_read_as_it_grew(rows: Rows, step: int, written: int) -> None:
    key, grown = b"k" * 32, list(range(3, 1303))
    for at in range(0, len(grown), step):
        rows.append(key, at, grown[at : at + step])
        if at // step % written == 0:
            rows.flush()
    assert read(rows, key, len(grown)) == grown
    assert read(rows, b"x" * 32, 0) == []


def test_a_statement_stands_where_it_stood_first(rows: Rows) -> None:
    one, other = b"1" * 32, b"2" * 32
    assert rows.say([]) == []
    assert rows.say([(other, 3), (one, 4), (other, 5)]) == [(5, 3)]
    assert rows.say([(one, 6), (other, 7), (b"3" * 32, 8)]) == [(6, 4), (7, 3)]
    assert rows.statement(other) == 3


def test_what_waits_is_written_when_it_is_too_much(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.index_rows._BUFFERED", 1000)
    rows.fetch(range(3))
    for number in range(3):
        rows.put_subtrie(number, bytes(300))
        rows.put_subtrie(number, bytes(100))
    assert rows._buffered == 900
    rows.flush_if_full()
    assert rows._buffered == 900
    rows.append(b"k" * 32, 0, [1])
    rows.flush_if_full()
    assert rows._buffered == 0
    assert rows.read_subtrie(2) == bytes(100)
