"""`make bench`: each figure of the project, with what it is asked to be."""

import argparse
import sys
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from bench.scene import scene
from bench.sizes import bundle_sizes
from bench.submission import latencies
from bench.verification import cold, warm

_MILLION = 1_000_000
_SUBMIT_SECONDS = 0.025
_SIGNATURES = 0.6


class Figure(NamedTuple):
    """What was measured, how it came out, and what was asked for."""

    name: str
    value: str
    asked: str
    met: bool


def verification() -> Iterator[Figure]:
    """Cold and warm verification, as ratios."""
    inputs = scene()
    ours, bare = cold(inputs)
    yield Figure(
        "verify a bundle in a new process",
        f"{ours / bare:.2f} x the bare imports"
        f" ({ours * 1e3:.0f} / {bare * 1e3:.0f} ms)",
        "at most 2 x",
        ours <= 2 * bare,
    )
    found = warm(inputs)
    yield Figure(
        "verify in a warm process",
        f"{found.share:.0%} of {found.seconds * 1e3:.2f} ms is its {found.checks}"
        f" signature checks ({found.share_loaded:.0%} with keys loaded beforehand)",
        "at least 60 %",
        found.share >= _SIGNATURES,
    )


def submission(number: int) -> Iterator[Figure]:
    """Submit to published proof, idle, without witnesses."""
    times = latencies(number)
    slowest = times[min(len(times) - 1, int(0.99 * len(times)))]
    yield Figure(
        f"submit to published proof, {number} times",
        f"p50 {median(times) * 1e3:.1f} ms, p99 {slowest * 1e3:.1f} ms",
        "p99 at most 25 ms",
        slowest <= _SUBMIT_SECONDS,
    )


def sizes(entries: int) -> Iterator[Figure]:
    """Bundle sizes."""
    plain, zipped = bundle_sizes(entries)
    yield Figure(
        f"bundle, release and two audits, {entries:,} entries",
        f"{plain / 1024:.1f} KiB, with gzip {zipped / 1024:.1f} KiB",
        "at most 32 KiB, with gzip 20 KiB",
        plain <= 32 * 1024 and zipped <= 20 * 1024,
    )


def main() -> int:
    """Measure, and print each figure as it comes; 0 if all are as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--entries", type=int, default=_MILLION)
    options = parser.parse_args()
    met = True
    for figures in (
        verification(),
        submission(options.submissions),
        sizes(options.entries),
    ):
        for figure in figures:
            mark = "met" if figure.met else "NOT MET"
            print(f"{figure.name}\n    {figure.value}", flush=True)
            print(f"    asked: {figure.asked}: {mark}", flush=True)
            met &= figure.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
