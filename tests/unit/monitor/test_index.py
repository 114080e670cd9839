"""A monitor's index: the one of the definition, however it came about."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import index as index_module
from monitor.index import Extension, Index
from pcrlog import trie
from pcrlog.index_keys import key_hash, payload_of
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, registers
from tests.unit.monitor.plain_index import (
    SEAL,
    PlainIndex,
    joined,
    statement,
    statements,
)

Cuts: TypeAlias = list[int]

LEAVES = st.lists(
    st.one_of(
        st.just(SEAL),
        st.sampled_from([b"", b"{", b'{"payload":"!"}', b"\x00"]),
        st.builds(
            statement,
            st.integers(0, 60).map("n{}.example".format),
            st.one_of(st.none(), st.sampled_from(["a.example", "b.example"])),
            st.integers(0, 2),
        ),
    ),
    max_size=80,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    made = Index(path)
    yield made
    made.close()


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All keys share their first 24 bits, and a row takes three."""
    monkeypatch.setattr(index_module, "key_hash", ground)
    monkeypatch.setattr(index_module, "_MOST_RECORDS", 3)


def ground(key: str) -> bytes:
    return bytes(3) + key_hash(key)[3:]


def grow(index: Index, leaves: list[bytes], cuts: Cuts) -> Extension:
    """Extend piece by piece, with a commit after every other one."""
    edges = [0, *sorted(min(cut, len(leaves)) for cut in cuts), len(leaves)]
    found = []
    for number, (start, end) in enumerate(pairwise(edges)):
        found.append(index.extend(leaves[start:end]))
        if number % 2:
            index.commit()
    return joined(found)


def check_all(index: Index, plain: PlainIndex) -> None:
    """Every list, every proof, every statement."""
    root = index.root()
    assert root == plain.trie().root
    for key, found in plain.lists.items():
        assert index.indices(key) == tuple(found)
        proof = index.prove(key)
        trie.check_presence(root, plain.hashed(key), trie.value_of(found), proof)
    for absent in ("v1/identity/nobody.example", "v1/issuer/nobody.example"):
        assert index.indices(absent) == ()
        trie.check_absence(root, plain.hashed(absent), index.prove(absent))
    for digest, first in plain.firsts.items():
        assert index.statement(digest) == first
    assert index.statement(bytes(32)) is None


# --- the same as by definition -------------------------------------------------------


def test_an_empty_index_has_the_root_of_the_empty_trie(index: Index) -> None:
    assert index.size == 0
    assert index.root() == trie.EMPTY_ROOT
    assert index.extend([]) == Extension(0, (), ())
    assert index.prove("v1/issuer/acme.example") == b""
    assert index.nodes_for(["v1/issuer/acme.example"]) == {}
    check_all(index, PlainIndex([]))


@settings(max_examples=40)
@given(leaves=LEAVES, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_any_leaves_in_any_pieces_give_the_index_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, leaves: list[bytes], cuts: Cuts
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "index.db")
    plain = PlainIndex(leaves)
    assert grow(index, leaves, cuts) == plain.extension
    check_all(index, plain)
    index.close()


@settings(max_examples=40)
@given(leaves=LEAVES, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_so_do_keys_that_somebody_ground_to_be_neighbours(
    tmp_path_factory: pytest.TempPathFactory, leaves: list[bytes], cuts: Cuts
) -> None:
    plain = PlainIndex(leaves, ground)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "key_hash", ground)
        patch.setattr(index_module, "_MOST_RECORDS", 3)
        index = Index(tmp_path_factory.mktemp("index") / "index.db")
        assert grow(index, leaves, cuts) == plain.extension
        check_all(index, plain)
        index.close()


def test_the_roots_in_the_seals_of_a_log_are_those_of_its_index(index: Index) -> None:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.enroll("lab.example", "auditor")
    log.seal()
    for number in range(30):
        build = registers(str(number))
        release = log.release("acme.example/wallet", f"1.{number}", build)
        if number % 3 == 0:
            commit = f"gitCommit:{number + 1:040x}"
            log.audit("lab.example", "source-review", {"commit": commit})
        if number % 5 == 0:
            log.revoke("acme.example", "compromised", release)
        if number % 7 == 0:
            log.seal()
    log.seal()
    found = index.extend(log.leaves)
    assert found.repeats == ()
    seals = {at: Seal.parse(log.leaves[at]).root for at, _ in found.roots}
    assert len(seals) == 7
    assert dict(found.roots) == seals
    for name, indices in log.index.items():
        assert index.indices(name) == tuple(indices)


def test_known_answers_of_the_index_trie(
    vectors: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The roots of all sizes, of keys in an order of somebody else's."""
    known = json.loads((vectors / "kat-trie.json").read_text())
    sizes = sorted(map(int, known["roots"]))
    # Their lists are not those of one log; so each list is set by itself.
    for number in range(sizes[-1]):
        if number in sizes:
            assert index.root().hex() == known["roots"][str(number)]
        key = key_hash(f"v1/product/acme.example/p{number}")
        index._grown[key] = [number, number + 1, 10 * number + 7]
    assert index.root().hex() == known["roots"][str(sizes[-1])]
    zero = "v1/product/acme.example/p0"
    assert trie.value_of(index.indices(zero)).hex() == known["value_0"]
    for case in known["presence"]:
        if case["size"] == sizes[-1]:
            name = f"v1/product/acme.example/p{case['key']}"
            assert index.prove(name).hex() == case["proof"]


# --- repeats -------------------------------------------------------------------------


def test_a_payload_that_was_there_is_told_with_its_first_index(index: Index) -> None:
    one, other = statement("a.example"), statement("b.example")
    again = one.replace(b'{"payload"', b'{"signatures":[],"payload"')
    assert index.extend([one, other, again]).repeats == ((2, 0),)
    index.commit()
    assert index.extend([other, SEAL, one]).repeats == ((3, 1), (5, 0))
    assert index.indices("v1/identity/a.example") == (0, 2, 5)
    payload = payload_of(one)
    assert payload is not None
    assert index.statement(sha256(payload).digest()) == 0


# --- long lists ----------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 511, 512, 513, 3000])
def test_a_long_list_takes_several_rows(path: Path, piece: int) -> None:
    number = 40 if piece == 1 else 2100
    leaves = statements(number, 50)
    plain = PlainIndex(leaves)
    index = Index(path)
    for start in range(0, number, piece):
        index.extend(leaves[start : start + piece])
        index.root()
    check_all(index, plain)
    index.commit()
    index.close()
    again = Index(path)
    check_all(again, plain)
    again.close()


def test_a_list_goes_on_whose_running_hash_was_let_go(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_HASHERS", 2)
    leaves = statements(1500, 7)
    for start in range(0, 1500, 100):
        index.extend(leaves[start : start + 100])
        index.commit()
    assert len(index._hashers) == 2
    check_all(index, PlainIndex(leaves))


def test_many_keys_between_two_seals_do_not_wait_in_memory(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_GROWN", 10)
    leaves = [*statements(100, 100), SEAL]
    plain = PlainIndex(leaves)
    assert index.extend(leaves) == plain.extension
    assert len(index._grown) <= 10
    check_all(index, plain)


def test_what_waits_to_be_written_is_bounded(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.index_rows._BUFFERED", 2000)
    leaves = statements(300, 40)
    for start in range(0, 300, 10):
        index.extend(leaves[start : start + 10])
        index.root()
        assert index._rows._buffered <= 2000
    check_all(index, PlainIndex(leaves))


# --- keys that were ground -----------------------------------------------------------


def test_keys_that_share_most_bits_end_in_one_row(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deeper than a row's number can say, it takes all that there are."""

    def close(key: str) -> bytes:
        return bytes(30) + key_hash(key)[30:]

    monkeypatch.setattr(index_module, "key_hash", close)
    monkeypatch.setattr(index_module, "_MOST_RECORDS", 1)
    leaves = [statement(f"n{serial}.example") for serial in range(40)]
    plain = PlainIndex(leaves, close)
    index = Index(path)
    for leaf in leaves:
        index.extend([leaf])
        index.root()
    check_all(index, plain)
    index.commit()
    index.close()
    again = Index(path)
    again.extend([])
    check_all(again, plain)
    again.close()


def test_a_row_that_is_spread_stays_small(crowded: None, path: Path) -> None:
    index = Index(path)
    leaves = statements(400, 200)
    for start in range(0, 400, 20):
        index.extend(leaves[start : start + 20])
        index.commit()
    rows = index._rows._database.execute("select max(length(leaves)) from subtrie")
    # A row of new ones alone may be larger once, until the next one comes.
    assert rows.fetchone()[0] <= index_module._RECORD * 20
    check_all(index, PlainIndex(leaves, ground))
    index.close()


# --- nodes for whoever makes the next root -------------------------------------------


@settings(max_examples=40)
@given(before=LEAVES, after=LEAVES)
def test_with_its_nodes_anybody_finds_the_next_root(
    tmp_path_factory: pytest.TempPathFactory, before: list[bytes], after: list[bytes]
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "index.db")
    index.extend(before)
    old, new = PlainIndex(before), PlainIndex([*before, *after])
    changed = {
        key: found for key, found in new.lists.items() if old.lists.get(key) != found
    }
    root, nodes = index.root(), index.nodes_for(changed)
    assert trie.read_nodes(nodes.values()) == nodes
    assert index.nodes_for(map(key_hash, changed)) == nodes
    values = {key_hash(key): trie.value_of(found) for key, found in changed.items()}
    assert trie.update(nodes.__getitem__, root, values).root == new.trie().root
    for key in changed:
        value = trie.find(nodes.__getitem__, root, key_hash(key))
        known = old.lists.get(key)
        assert value == (None if known is None else trie.value_of(known))
    index.extend(after)
    assert index.root() == new.trie().root
    index.close()


# --- what is kept --------------------------------------------------------------------


@settings(max_examples=40)
@given(kept=LEAVES, lost=LEAVES, others=LEAVES)
def test_a_rollback_forgets_all_since_the_last_commit(
    tmp_path_factory: pytest.TempPathFactory,
    kept: list[bytes],
    lost: list[bytes],
    others: list[bytes],
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "index.db")
    index.extend(kept)
    index.commit()
    index.extend(lost)
    index.root()
    index._rows.flush()
    index.extend(lost)
    index.rollback()
    assert index.size == len(kept)
    check_all(index, PlainIndex(kept))
    plain = PlainIndex([*kept, *others])
    grown = joined([PlainIndex(kept).extension, index.extend(others)])
    assert grown == plain.extension
    check_all(index, plain)
    index.close()


def test_a_rollback_forgets_rows_that_were_spread(crowded: None, path: Path) -> None:
    index = Index(path)
    index.extend(statements(3, 100))
    index.commit()
    index.extend(statements(200, 100))
    index.root()
    index.rollback()
    check_all(index, PlainIndex(statements(3, 100), ground))
    index.extend(statements(200, 100, 3))
    check_all(index, PlainIndex(statements(203, 100), ground))
    index.close()


def test_a_new_start_finds_what_was_committed_and_no_more(path: Path) -> None:
    leaves = statements(300, 70)
    first = Index(path)
    first.extend(leaves[:200])
    first.commit()
    first.extend(leaves[200:])
    first.root()
    first._rows.flush()
    first.close()
    second = Index(path)
    assert second.size == 200
    check_all(second, PlainIndex(leaves[:200]))
    second.extend(leaves[200:])
    check_all(second, PlainIndex(leaves))
    second.close()


def test_a_process_that_is_killed_leaves_what_it_committed(path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from monitor.index import Index
from tests.unit.monitor.plain_index import statements
index = Index(Path(sys.argv[1]))
index.extend(statements(150, 70))
index.commit()
index.extend(statements(150, 70, 150))
index.root()
index._rows.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == -signal.SIGKILL
    index = Index(path)
    assert index.size == 150
    check_all(index, PlainIndex(statements(150, 70)))
    index.close()


def test_a_second_one_waits_for_the_first(
    index: Index, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would go on from a root that the first is about to replace."""
    monkeypatch.setattr("monitor.state._BUSY_SECONDS", 0.01)
    index.commit()
    with pytest.raises(Exception, match="locked"):
        Index(path)
    index.rollback()
    with pytest.raises(Exception, match="locked"):
        Index(path)


def test_memory_does_not_grow_with_the_log(path: Path) -> None:
    """By what is counted here: bench/monitor_index.py measures the process."""
    index = Index(path)
    for start in range(0, 4000, 500):
        index.extend(statements(500, 4000, start))
        index.commit()
        rows = index._rows
        assert not rows._subtries
        assert not rows._parts
        assert not index._grown
    index.close()
