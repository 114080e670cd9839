"""The quotes of other people in the known answers (shared/vectors/sgx/INDEX.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import vectors

JULY_2025 = 1_751_328_000
"""All PCK certificates are valid then, and Phala's collateral is."""


@dataclass(frozen=True)
class Case:
    """One file, and what INDEX.md says of it."""

    name: str
    data: bytes
    mrenclave: str
    mrsigner: str
    debug: bool
    fmspc: str


def load(directory: Path) -> Iterator[Case]:
    folder = directory / "sgx"
    for line in (folder / "INDEX.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = cells[0]
        if Path(name).suffix in (".bin", ".evidence"):
            _, _, mrenclave, mrsigner, debug, fmspc, _ = cells
            data = (folder / name).read_bytes()
            yield Case(name, data, mrenclave, mrsigner, debug == "True", fmspc.upper())


def cases(*unlike: str) -> list[pytest.ParameterSet]:
    """All files as parameters, but those in whose name one of `unlike` is."""

    def chosen(directory: Path) -> Iterator[Case]:
        for case in load(directory):
            if not any(part in case.name for part in unlike):
                yield case

    return vectors.cases(chosen, name=lambda case: case.name)


def read(directory: Path, name: str) -> bytes:
    """The file that begins like `name`."""
    (path,) = (directory / "sgx").glob(f"{name}*")
    return path.read_bytes()
