"""The locks in requirements/: everything pinned and hashed, nothing about a machine."""

import re
from pathlib import Path

import pytest

from tests.support.vectors import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[^ ;]+( ; [^\\]+)? \\")


def _name(lock: Path) -> str:
    return lock.name


def _entries(lock: Path) -> list[str]:
    """Each requirement with its hashes, comments left out."""
    lines = lock.read_text(encoding="ascii").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return re.split(r"\n(?=\S)", text.strip())


@pytest.mark.parametrize("lock", LOCKS, ids=_name)
def test_each_requirement_is_one_version_with_hashes(lock: Path) -> None:
    for entry in _entries(lock):
        first, *hashes = entry.splitlines()
        assert PIN.fullmatch(first), first
        assert hashes, first
        for line in hashes:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


@pytest.mark.parametrize("lock", LOCKS, ids=_name)
def test_a_lock_names_no_index_and_no_directory_of_a_machine(lock: Path) -> None:
    text = lock.read_text(encoding="ascii")
    assert "://" not in text
    assert "--find-links" not in text
    assert not re.search(r"(^|[\s=])/", text)


def test_a_package_has_the_same_version_in_every_lock() -> None:
    seen: dict[str, str] = {}
    for lock in LOCKS:
        if lock.name == "cluster.txt":
            continue  # installed beside nothing else: requirements/cluster.in
        for entry in _entries(lock):
            name, _, version = entry.split(" ", 1)[0].partition("==")
            assert seen.setdefault(name, version) == version, f"{lock.name}: {name}"
