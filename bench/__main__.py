"""`make bench`: each figure of the project, with what it is asked to be.

Prints them as they come and writes their part of docs/performance.md. Exit status 1 if
one is not as asked.
"""

import argparse
import sys
from collections.abc import Iterator
from statistics import median

from bench.alerting import alert_delays
from bench.load import CONNECTIONS
from bench.monitor import monitored
from bench.page import Figure, render
from bench.phases import cold_phases, warm_phases
from bench.rates import rates
from bench.scene import Scene, scene
from bench.sizes import bundle_sizes
from bench.submission import latencies
from bench.verification import cold, warm
from bench.witness import measure as witnessed

_SUBMIT_SECONDS = 0.025
_SIGNATURES = 0.6
_MILLION = 1_000_000
_MONITORED = 0.4
_MEMORY = 200 << 20
_ALERTED = 1.0
_PLAIN, _ZIPPED = 32 * 1024, 20 * 1024


def verification(inputs: Scene) -> Iterator[Figure]:
    """Cold and warm verification, as ratios."""
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


def throughput(number: int) -> Iterator[Figure]:
    """Statements a second, and bytes an entry."""
    found = rates(number)
    yield Figure(f"sequence {number:,} statements", f"{found.sequenced:,.0f} a second")
    yield Figure(f"index {number:,} statements", f"{found.indexed:,.0f} a second")
    yield Figure(
        "disk",
        f"{found.database:,.0f} bytes of log.db an entry,"
        f" {found.files:,.0f} of public files",
    )


def sizes(entries: int) -> Iterator[Figure]:
    """Bundle sizes; the bound is that of a million entries."""
    for size in sorted({min(entries, one) for one in (1000, 100_000, _MILLION)}):
        plain, zipped = bundle_sizes(size)
        yield Figure(
            f"bundle, release and two audits, {size:,} entries",
            f"{plain / 1024:.1f} KiB, with gzip {zipped / 1024:.1f} KiB",
            "at most 32 KiB, with gzip 20 KiB",
            plain <= _PLAIN and zipped <= _ZIPPED,
        )


def witness(logs: int) -> Iterator[Figure]:
    """add-checkpoints, on disk before each answer."""
    found = witnessed(logs)
    yield Figure(
        f"witness, {logs:,} logs that grow, {CONNECTIONS} connections",
        f"{found.rate:,.0f} add-checkpoints a second, p50"
        f" {found.latency(0.5) * 1e3:.0f} ms, p99 {found.latency(0.99) * 1e3:.0f} ms;"
        f" {found.rate / found.signatures:.0%} of one check and one signature each,"
        f" alone in one thread, {found.rate / found.bare:.0%} of bare Granian",
    )


def monitor(entries: int, alerts: int) -> Iterator[Figure]:
    """A monitor: a whole log from its files, and how soon it tells."""
    for size in sorted({entries // 10, entries}):
        found = monitored(size)
        yield Figure(
            f"monitor, {found.leaves:,} leaves: everything checked, index recomputed",
            f"{found.leaves / found.seconds:,.0f} a second, {found.share:.0%} of"
            f" {found.checks:,.0f} bare signature checks",
            "at least 40 %",
            found.share >= _MONITORED,
        )
        memory = found.resident + found.child
        yield Figure(
            f"monitor, {found.leaves:,} leaves: largest memory",
            f"{memory / 2**20:.0f} MiB ({found.resident / 2**20:.0f} and, for the"
            f" index, {found.child / 2**20:.0f})",
            "under 200 MB",
            memory < _MEMORY,
        )
    delays = alert_delays(alerts)
    slowest = delays[min(len(delays) - 1, int(0.99 * len(delays)))]
    yield Figure(
        f"publication to alert at a webhook, {alerts} times, poll 0.5 s",
        f"p50 {median(delays) * 1e3:.0f} ms, p99 {slowest * 1e3:.0f} ms",
        "p99 under 1 s",
        slowest < _ALERTED,
    )


def main() -> int:
    """Measure, and print each figure as it comes; 0 if all are as asked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--statements", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=_MILLION)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--monitored", type=int, default=_MILLION)
    parser.add_argument("--alerts", type=int, default=100)
    parser.add_argument("--no-page", action="store_true", help="write nothing")
    options = parser.parse_args()
    inputs, found = scene(), []
    for figures in (
        verification(inputs),
        submission(options.submissions),
        throughput(options.statements),
        sizes(options.entries),
        monitor(options.monitored, options.alerts),
        witness(options.logs),
    ):
        for figure in figures:
            print(f"{figure.name}\n    {figure.value}", flush=True)
            if figure.asked:
                print(f"    asked: {figure.verdict}", flush=True)
            found.append(figure)
    if not options.no_page:
        fresh = scene()  # a document is good for five minutes
        render(found, cold_phases(fresh), warm_phases(fresh))
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
