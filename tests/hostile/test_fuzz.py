"""The targets of fuzz/: over their corpus always, with atheris where there is one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import seeds
from fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
ATHERIS = importlib.util.find_spec("atheris") is not None
RUNS = 500
"""Inputs of one target here: enough to see that it runs."""
LARGEST = 16_384
"""Bytes of a file of the corpus."""

# cryptography warns of what it still reads, such as a serial number of zero.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def fuzz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_corpus_is_what_our_encoders_write() -> None:
    """Beside it may stand what fuzzing has found: inputs that a person has named."""
    written = dict(seeds.files())
    for path, data in written.items():
        assert path.read_bytes() == data, f"{path}: python -m fuzz --write-corpus"
        assert len(data) <= LARGEST
    assert {path.parent.name for path in written} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_corpus_holds_is_read_or_refused(target: str) -> None:
    for path in sorted((seeds.CORPUS / target).iterdir()):
        data = path.read_bytes()
        for at in {0, 1, len(data) // 3, len(data) // 2, len(data) - 1}:
            TARGETS[target](data)
            TARGETS[target](data[:at])
            TARGETS[target](data[at:])
            TARGETS[target](data[:at] + b"\xff" + data[at + 1 :])


@pytest.mark.parametrize("target", ["cbor", "entry-bundle", "note", "seal", "base64"])
def test_a_target_fails_if_a_parser_reads_what_was_not_written(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that accepts everything would find nothing."""
    [path, *_] = sorted((seeds.CORPUS / target).iterdir())
    monkeypatch.setattr("fuzz.targets._same", _different)
    with pytest.raises(AssertionError):
        TARGETS[target](path.read_bytes())


def _different(again: bytes, data: bytes) -> None:
    assert again != data


def test_an_unknown_target_is_a_usage_error_that_names_the_others() -> None:
    found = fuzz("nothing")
    assert found.returncode == 2
    if ATHERIS:
        assert found.stdout.split() == list(TARGETS)
    else:
        assert "requirements/fuzz.txt" in found.stderr


@pytest.mark.skipif(not ATHERIS, reason="no atheris: requirements/fuzz.txt has it")
@pytest.mark.parametrize(
    "target",
    ["bundle", "cbor", "document", "policy", "trie-proof"],
)
def test_a_moment_of_fuzzing_finds_nothing(target: str, tmp_path: Path) -> None:
    found = fuzz(target, f"--runs={RUNS}", "--seed=1", f"--keep={tmp_path}")
    assert found.returncode == 0, found.stderr[-2_000:]
    assert "stat::number_of_executed_units" in found.stderr
    assert not list(tmp_path.glob("found-*"))
