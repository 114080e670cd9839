"""A mirror's index and its file: the log's own trie, however it was come by."""

import random
from pathlib import Path

import pytest

from cli.mirror_checking import Checking
from cli.mirror_index import Index, open_index
from cli.mirror_indexing import Indexing
from cli.mirror_table import Table, walk
from pcrlog import trie
from pcrlog.errors import MalformedError, UncheckedError, UsageError, VerificationError
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.keys import Owed
from pcrlog.seal import Seal
from tests.support.lies import honest
from tests.support.memory_log import START, MemoryLog, key
from tests.unit.cli.mirroring import grow


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """With several seals, and two lists that are long."""
    made = honest(START)
    for number in range(6):
        grow(made, 40, f"n{number}")
    return made


def seals(log: MemoryLog) -> tuple[tuple[int, bytes], ...]:
    leaves = enumerate(log.leaves)
    return tuple((at, Seal.parse(one).root) for at, one in leaves if one[:1] == b"p")


def check_answers(index: Index, log: MemoryLog) -> None:
    for name, indices in [*log.index.items(), ("v1/issuer/nobody", [])]:
        assert index.indices(name) == tuple(indices)
        assert index.prove(name) == log.trie.prove(key_hash(name))
    for at, entry in log.entries.items():
        assert index.statement(bytes.fromhex(entry.sha256)) == at
    assert index.statement(bytes(32)) is None


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_the_index_has_the_root_of_every_seal(log: MemoryLog, piece: int) -> None:
    index = Index()
    parts = [log.leaves[at : at + piece] for at in range(0, len(log.leaves), piece)]
    found = [index.extend(part) for part in parts]
    assert tuple(root for one in found for root in one.roots) == seals(log)
    assert not any(one.repeats for one in found)
    assert (index.size, index.root) == (len(log.leaves), log.trie.root)
    check_answers(index, log)


@pytest.mark.parametrize("size", [1, 9, 50, 200])
@pytest.mark.parametrize("expected", [0, 100_000])
def test_an_index_from_a_file_goes_on(
    log: MemoryLog, tmp_path: Path, size: int, expected: int
) -> None:
    """A little at a time, or with all nodes read at once."""
    first = Index()
    first.extend(log.leaves[:size])
    first.settle()
    first.save(tmp_path / "index")
    index = open_index(tmp_path / "index", size, expected)
    assert (index.size, index.began, index.root) == (size, size, first.root)
    found = index.extend(log.leaves[size:])
    assert found.roots == tuple(one for one in seals(log) if one[0] >= size)
    check_answers(index, log)
    index.save(tmp_path / "again")
    check_answers(open_index(tmp_path / "again", 10_000, 0), log)


def test_an_index_over_nothing_is_empty(tmp_path: Path) -> None:
    Index().save(tmp_path / "index")
    index = Index(Table(tmp_path / "index"))
    assert index.root == trie.EMPTY_ROOT
    assert index.prove("v1/issuer/nobody") == b""


def test_a_file_of_more_than_is_asked_for_is_of_no_use(tmp_path: Path) -> None:
    index = Index()
    index.extend([b"{}", b"{}"])
    index.save(tmp_path / "index")
    assert open_index(tmp_path / "index", 2, 2).size == 2
    assert open_index(tmp_path / "index", 1, 1).size == 0
    assert open_index(tmp_path / "nothing", 1, 1).size == 0


def test_a_statement_that_stands_twice_is_told(log: MemoryLog, tmp_path: Path) -> None:
    index = Index()
    at = max(log.entries)
    found = index.extend([*log.leaves, log.leaves[at]])
    assert found.repeats == ((len(log.leaves), at),)
    index.save(tmp_path / "index")
    again = open_index(tmp_path / "index", 10_000, 0).extend([log.leaves[at]])
    assert again.repeats == ((len(log.leaves) + 1, at),)


def test_the_walk_makes_the_nodes_of_the_trie() -> None:
    draw = random.Random(5)
    for number in (0, 1, 2, 3, 17, 200):
        rows = sorted(
            {draw.randbytes(32): draw.randbytes(32) for _ in range(number)}.items()
        )
        made = trie.MemoryTrie()
        made.update(dict(rows))
        nodes: dict[bytes, bytes] = {}
        root = walk(rows, lambda _place, name, node: nodes.__setitem__(name, node))  # noqa: B023 - called at once
        assert (root, nodes) == (made.root, made._nodes)


@pytest.mark.parametrize("expected", [0, 100_000])
@pytest.mark.parametrize("part", range(3))
def test_a_damaged_file_is_told_and_never_hangs(
    log: MemoryLog, tmp_path: Path, part: int, expected: int
) -> None:
    """Whatever stands in place of its keys, values or nodes."""
    index, path = Index(), tmp_path / "index"
    index.extend(log.leaves)
    index.save(path)
    data, keys = path.read_bytes(), 32 * len(log.index)
    at = 80 + part * keys
    for noise in (bytes(keys), b"\xff" * keys, random.Random(1).randbytes(keys)):
        path.write_bytes(data[:at] + noise + data[at + keys :])
        damaged = open_index(path, 10_000, expected)
        # Whoever reads all of it makes the nodes himself.
        if damaged.began and (part, expected) != (2, 100_000):
            with pytest.raises(MalformedError, match="damaged"):
                [*map(damaged.prove, log.index)]
            assert damaged.extend([*log.leaves[:20], log.leaves[-1]]).damaged


# --- beside this process -------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True])
def test_the_index_is_the_same_in_a_process_of_its_own(
    log: MemoryLog, tmp_path: Path, *, beside: bool
) -> None:
    with Indexing(tmp_path / "index", beside=beside) as index:
        assert index.begin(0, 10) == 0
        found = [index.extend(log.leaves[:100]), index.extend(log.leaves[100:])]
        roots = [root for one in found for root in one.result().roots]
        assert tuple(roots) == seals(log)
        at = max(log.entries)
        assert index.statement(bytes.fromhex(log.entries[at].sha256)) == at
        assert index.statement(bytes(32)) is None
        index.save()
        assert index.begin(10_000, 10_000) == len(log.leaves)
        assert index.begin(0, 10_000) == 0
    with (
        Indexing(tmp_path / "none" / "index", beside=beside) as index,
        pytest.raises(UsageError, match="No such file"),
    ):
        index.save()


@pytest.mark.parametrize("beside", [False, True])
def test_the_first_wrong_signature_is_told(*, beside: bool) -> None:
    signer = key("a signer")
    owed = [
        (at, Owed(signer.public, signer.sign(b"%d" % at), b"%d" % at))
        for at in range(9)
    ]
    with Checking(beside=beside) as checking:
        checking.check(owed).result()
        checking.check([]).result()
        owed[5:7] = [(at, Owed(signer.public, bytes(64), b"other")) for at in (5, 6)]
        with pytest.raises(VerificationError, match="entry 5: signature by key"):
            checking.check(owed).result()


def test_a_process_that_is_gone_is_no_verdict() -> None:
    with Checking(beside=True) as checking:
        assert checking._process is not None
        checking._process.kill()
        checking._process.wait()
        with pytest.raises(UncheckedError, match="run this again"):
            checking.check([]).result()


def test_index_keys_of_what_is_no_statement_are_none() -> None:
    index = Index()
    assert index.extend([b"{", b"p", b"", b"{}"]).repeats == ()
    assert index_keys(b"{") == ()
