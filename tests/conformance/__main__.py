"""`python -m tests.conformance [--check]`."""

import argparse
import sys
from pathlib import Path

from tests.conformance import (
    authority,
    bundles,
    collaterals,
    documents,
    example,
    keys,
    leaves,
    machines,
    pcks,
    policies,
    quotes,
    rules,
    runs,
    statements,
    tables,
    tpms,
    trees,
    updates,
)
from tests.conformance.family import Family

FOLDER = Path(__file__).parents[1] / "vectors"
MAKERS = (
    *example.MAKERS,
    *tables.MAKERS,
    *statements.MAKERS,
    *keys.MAKERS,
    *leaves.MAKERS,
    *trees.MAKERS,
    *authority.MAKERS,
    *policies.MAKERS,
    *updates.MAKERS,
    *bundles.MAKERS,
    *documents.MAKERS,
    *tpms.MAKERS,
    *quotes.MAKERS,
    *pcks.MAKERS,
    *collaterals.MAKERS,
    *runs.MAKERS,
    *rules.MAKERS,
    *machines.MAKERS,
)
"""Each makes a family."""


def families() -> list[Family]:
    """All families."""
    return [make() for make in MAKERS]


def stale(made: list[Family], folder: Path) -> list[str]:
    """The files that are not what their cases make, or that no case makes."""
    wanted = {f"{family.name}.json": family.encode() for family in made}
    found = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    names = sorted(wanted.keys() | found.keys())
    return [name for name in names if wanted.get(name) != found.get(name)]


def main() -> int:
    """Write the vectors; or 1 if they are not what would be written."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    made = families()
    if options.check:
        for name in (wrong := stale(made, FOLDER)):
            print(f"{name} is not what its cases make: python -m tests.conformance")
        return 1 if wrong else 0
    for family in made:
        data = family.encode()
        (FOLDER / f"{family.name}.json").write_bytes(data)
        print(f"{family.name}.json: {len(family.cases)} cases, {len(data):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
