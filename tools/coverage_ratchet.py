"""Hold the coverage of the last run against what main has reached.

`tests/coverage-floor.json` has one figure for each folder: the share of lines and
branches that the tests run, in percent. A figure may rise (`--update` writes it down)
and not fall. To lower one on purpose, edit the file and say why in the commit.
"""

import argparse
import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FLOOR_FILE = ROOT / "tests" / "coverage-floor.json"

# Some lines run or not by chance of timing (a lock that was busy, a slow child): so
# much, in percent, is no fall.
SLACK = 0.2


def measure() -> dict[str, float]:
    """Percent covered, for each folder, of what `coverage combine` has gathered."""
    output = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    files: dict[str, dict[str, Any]] = json.loads(output)["files"]
    covered: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for path, figures in files.items():
        folder, summary = Path(path).parts[0], figures["summary"]
        covered[folder] += summary["covered_lines"] + summary["covered_branches"]
        total[folder] += summary["num_statements"] + summary["num_branches"]
    return {
        folder: 100 * covered[folder] / total[folder]
        for folder in sorted(total)
        if total[folder]
    }


def faults(measured: dict[str, float], floor: dict[str, float]) -> list[str]:
    """What speaks against the run, one line each."""
    found = []
    for folder in sorted(measured.keys() | floor.keys()):
        if folder not in floor:
            found.append(f"{folder}: no floor yet; write one down with: make floor")
        elif folder not in measured:
            found.append(f"{folder}: was measured once, and is not any more")
        elif measured[folder] < floor[folder] - SLACK:
            have, want = measured[folder], floor[folder]
            found.append(f"{folder}: {have:.1f} % covered, want {want:.1f} %")
    return found


def raised(measured: dict[str, float], floor: dict[str, float]) -> dict[str, float]:
    """The floor after this run: rounded down to tenths, and never lower than before."""
    tenths = {folder: math.floor(10 * have) / 10 for folder, have in measured.items()}
    return {
        folder: max(have, floor.get(folder, 0.0)) for folder, have in tenths.items()
    }


def main() -> int:
    """Print the figures; 1 if one fell, or has no floor."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="raise the floor")
    update: bool = parser.parse_args().update
    measured = measure()
    floor: dict[str, float] = json.loads(FLOOR_FILE.read_text(encoding="utf-8"))
    if update:
        floor = raised(measured, floor)
        text = json.dumps(floor, indent=2) + "\n"
        FLOOR_FILE.write_text(text, encoding="utf-8")
    for folder, have in measured.items():
        print(f"{folder:<12}{have:6.1f} % covered, floor {floor.get(folder, 0):5.1f} %")
    found = faults(measured, floor)
    for fault in found:
        print(f"coverage: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
