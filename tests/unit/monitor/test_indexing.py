"""The index in a process of its own: the same answers, and no call that hangs."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor import indexing
from monitor.index import Extension, Index
from monitor.indexing import (
    IndexDiedError,
    IndexFailedError,
    IndexProcess,
    frame,
    serve,
)
from pcrlog import trie
from pcrlog.errors import PcrlogError
from pcrlog.index_keys import key_hash
from tests.unit.monitor.plain_index import SEAL, PlainIndex, joined, statements

ROOT = Path(__file__).parents[3]
ISSUER = "v1/issuer/acme.example"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[IndexProcess]:
    made = IndexProcess(path)
    yield made
    made.close()


def ended(pid: int) -> bool:
    """Whether a process has come to its end, within ten seconds."""
    for _ in range(1000):
        status = Path(f"/proc/{pid}/stat")
        if (
            not status.exists()
            or status.read_text().rpartition(")")[2].split()[0] == "Z"
        ):
            return True
        time.sleep(0.01)
    return False


def extend(index: IndexProcess) -> Extension:
    index.begin([SEAL])
    return index.extension()


CALLS: dict[str, Callable[[IndexProcess], object]] = {
    "begin": extend,
    "commit": IndexProcess.commit,
    "rollback": IndexProcess.rollback,
    "size": lambda index: index.size,
    "root": IndexProcess.root,
    "indices": lambda index: index.indices(ISSUER),
    "statement": lambda index: index.statement(bytes(32)),
    "prove": lambda index: index.prove(ISSUER),
    "nodes_for": lambda index: index.nodes_for([ISSUER]),
}


# --- the same answers ----------------------------------------------------------------


def test_it_answers_as_the_index_does(index: IndexProcess, path: Path) -> None:
    leaves = [*statements(300, 70), SEAL, *statements(10, 70)]
    plain = PlainIndex(leaves)
    assert index.size == 0
    assert index.root() == trie.EMPTY_ROOT
    found = []
    for start in range(0, len(leaves), 100):
        index.begin(leaves[start : start + 100])
        found.append(index.extension())
        index.commit()
    assert joined(found) == plain.extension
    assert len(plain.extension.repeats) == 10
    assert index.size == len(leaves)
    root = index.root()
    assert root == plain.trie().root
    assert index.indices(ISSUER) == tuple(plain.lists[ISSUER])
    assert index.indices("v1/issuer/nobody.example") == ()
    value = trie.value_of(plain.lists[ISSUER])
    trie.check_presence(root, key_hash(ISSUER), value, index.prove(ISSUER))
    digest = next(iter(plain.firsts))
    assert index.statement(digest) == 0
    assert index.statement(bytes(32)) is None
    nodes = index.nodes_for([ISSUER])
    assert trie.find(nodes.__getitem__, root, key_hash(ISSUER)) == value
    index.close()
    again = Index(path)
    assert again.size == len(leaves)
    assert again.root() == root
    again.close()


def test_a_question_meanwhile_waits_for_the_leaves(index: IndexProcess) -> None:
    leaves = statements(200, 50)
    index.begin(leaves)
    assert index.size == 200
    assert index.extension().size == 200
    assert index.extension().size == 200
    index.begin(statements(200, 50, 200))
    index.begin(statements(200, 50, 400))
    assert index.extension().size == 600
    assert index.root() == PlainIndex(statements(600, 50)).trie().root


def test_a_rollback_goes_back_whatever_is_under_way(index: IndexProcess) -> None:
    index.begin(statements(100, 50))
    index.commit()
    index.begin(statements(500, 50, 100))
    index.rollback()
    assert index.size == 100
    assert index.root() == PlainIndex(statements(100, 50)).trie().root


def test_there_is_no_extension_before_begin_or_after_commit(
    index: IndexProcess,
) -> None:
    for step in (index.commit, index.rollback):
        with pytest.raises(LookupError, match="no extension was begun"):
            index.extension()
        index.begin([])
        assert index.extension() == Extension(0, (), ())
        step()
    with pytest.raises(LookupError):
        index.extension()


def test_leaves_may_be_larger_than_any_pipe(index: IndexProcess) -> None:
    leaves = [bytes(40_000)] * 100 + [SEAL, bytes(3 << 20), b""]
    index.begin(leaves)
    assert index.extension() == PlainIndex(leaves).extension


def test_leaves_that_are_large_do_not_all_wait_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_HELD", 5000)
    leaves = [*statements(50, 20), SEAL, *statements(50, 20)]
    index = Index(path)
    requests = io.BytesIO(
        b"".join(frame(("take", ([leaf],))) for leaf in leaves)
        + frame(("extend", ()))
        + frame(("size", ()))
    )
    sizes, extend = [], index.extend

    def counting(some: list[bytes]) -> Extension:
        sizes.append(len(some))
        return extend(some)

    monkeypatch.setattr(index, "extend", counting)
    answers = io.BytesIO()
    serve(index, requests, answers)
    plain = PlainIndex(leaves)
    expected = frame((plain.extension, None)) + frame((len(leaves), None))
    assert answers.getvalue() == expected
    assert len(sizes) > 3
    index.close()


# --- when it fails -------------------------------------------------------------------


def test_what_fails_there_fails_here_until_a_rollback(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index = IndexProcess(path)
    index.begin(statements(10, 5))
    index.commit()
    index.begin(["not bytes"])  # type: ignore[list-item] # on purpose
    with pytest.raises(IndexFailedError, match="the index failed: TypeError"):
        index.extension()
    for name, call in CALLS.items():
        if name != "rollback":
            with pytest.raises(IndexFailedError, match="TypeError"):
                call(index)
    index.rollback()
    assert index.size == 10
    index.begin(statements(10, 5, 10))
    index.extension()
    assert index.root() == PlainIndex(statements(20, 5)).trie().root
    index.close()
    assert "TypeError" in capfd.readouterr().err


@pytest.mark.parametrize("name", CALLS)
def test_no_call_hangs_when_the_process_was_killed(
    index: IndexProcess, name: str
) -> None:
    assert index.size == 0
    os.kill(index.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(IndexDiedError, match=r"is gone \(exit status -9\)"):
            CALLS[name](index)
    index.close()


def test_leaves_on_their_way_to_a_dead_process_hang_nowhere(
    index: IndexProcess,
) -> None:
    os.kill(index.pid, signal.SIGSTOP)
    index.begin(statements(10, 5))
    os.kill(index.pid, signal.SIGKILL)
    with pytest.raises(IndexDiedError):
        index.begin([bytes(1 << 20)] * 50)
    with pytest.raises(IndexDiedError):
        index.rollback()


def test_a_file_that_is_none_ends_the_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    index = IndexProcess(tmp_path / "index.db")
    with pytest.raises(IndexDiedError, match="exit status 1"):
        assert index.size
    assert "file is not a database" in capfd.readouterr().err
    index.close()
    index.close()


def test_its_errors_are_of_the_family_and_end_as_a_crash() -> None:
    assert issubclass(IndexDiedError, IndexFailedError)
    assert issubclass(IndexFailedError, PcrlogError)
    assert IndexDiedError.exit_code == 1


@pytest.mark.parametrize("name", CALLS)
def test_a_half_read_answer_is_never_taken_for_the_next_one(
    index: IndexProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def interrupted(_pipe: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            CALLS[name](index)
    with pytest.raises(IndexDiedError):
        index.rollback()


@pytest.mark.parametrize("size", range(1, 12))
def test_a_message_that_is_cut_is_the_end(path: Path, size: int) -> None:
    index, answers = Index(path), io.BytesIO()
    message = bytes(frame(("root", ())))
    assert len(message) == 11
    serve(index, io.BytesIO(message[:size]), answers)
    assert bool(answers.getvalue()) == (size == 11)
    index.close()


# --- with its parent, and not before -------------------------------------------------


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_for_a_terminal_or_a_service_do_not_end_it(
    index: IndexProcess, name: str
) -> None:
    index.begin(statements(10, 5))
    assert index.extension().size == 10
    os.kill(index.pid, signal.Signals[name])
    assert index.size == 10
    pid = index.pid
    index.close()
    assert ended(pid)


def test_it_ends_with_a_parent_that_is_killed(path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from monitor.indexing import IndexProcess
from tests.unit.monitor.plain_index import statements
index = IndexProcess(Path(sys.argv[1]))
index.begin(statements(150, 70))
index.commit()
index.begin(statements(3000, 70, 150))
sys.stdout.write(str(index.pid))
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        check=False,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    # It waits for whoever is still at work there.
    index = IndexProcess(path)
    assert index.size == 150
    assert index.root() == PlainIndex(statements(150, 70)).trie().root
    assert ended(int(done.stdout))
    index.close()


def test_a_process_that_does_not_end_is_ended(
    index: IndexProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_PATIENCE", 0.05)
    assert index.size == 0
    os.kill(index.pid, signal.SIGSTOP)
    index.close()
    assert ended(index.pid)


def test_it_starts_in_any_folder_and_takes_nothing_from_there(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit(7)")
    (tmp_path / "monitor").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    index = IndexProcess(path)
    assert index.size == 0
    index.close()


def test_it_imports_no_more_than_it_needs() -> None:
    program = "import sys, monitor.indexing; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    heavy = {"click", "flask", "requests", "rich"}
    assert not heavy & set(done.stdout.split())
