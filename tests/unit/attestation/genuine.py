"""The documents of other people in the known answers: AWS's own, and bad ones."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import vectors


@dataclass(frozen=True)
class Case:
    """One file, and what expected.json says of it."""

    name: str
    data: bytes
    expected: dict[str, Any]


def load(directory: Path) -> Iterator[Case]:
    folder = directory / "nitro"
    for name, expected in json.loads((folder / "expected.json").read_bytes()).items():
        yield Case(name, (folder / name).read_bytes(), expected)


def cases(*verdicts: str) -> list[pytest.ParameterSet]:
    """The Enclaves documents with one of these values of `expect`, as parameters."""

    def chosen(directory: Path) -> Iterator[Case]:
        for case in load(directory):
            is_tpm = case.expected.get("register_field") == "nitrotpm_pcrs"
            if case.expected["expect"] in verdicts and not is_tpm:
                yield case

    return vectors.cases(chosen, name=lambda case: case.name)
