"""The tables of docs/scaling.md: `python -m bench.scaling [--write]`.

Prints them, or writes them into the page. Exit status 3 while a figure is missing that
one of them needs; what can be reckoned without it is there all the same.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.costs import cost_block, puts
from bench.reckoning import (
    FIGURES,
    PRICES,
    Assumed,
    Block,
    Figures,
    Row,
    amount,
    put,
    reckon,
    size,
    span,
    table,
)
from pcrlog.merkle import HASH_SIZE
from pcrlog.tiles import FULL

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
ENTRIES: Mapping[str, float] = {"1M": 1e6, "100M": 1e8, "1 billion": 1e9}
_UNMEASURED = 3
_MILLION = 1e6


def tiles(entries: float) -> int:
    """Hash tiles of a tree, full ones and the partial one of each level."""
    number, total = math.ceil(entries), 0
    while number:
        total += math.ceil(number / FULL)
        number //= FULL
    return total


def bundle_kib(figures: Figures, entries: float) -> float:
    """KiB of a bundle, drawn on from what was measured: a step for each doubling."""
    small, large = figures["bundle_kib_at_1k"], figures["bundle_kib_at_1m"]
    step = (large - small) / math.log2(1000)
    return large + step * math.log2(entries / _MILLION)


def entries_block(figures: Figures, assumed: Assumed) -> Block:
    """What a log of so many entries is, and what it takes to work with it."""
    use, price = assumed.use, assumed.price
    batch = int(use["batch"])
    put_rate = puts(batch) / batch

    def after(name: str) -> Row:
        words = {
            "batch_entries_per_second": "to fill it by batches, at the measured rate",
            "single_entries_per_second": "to fill it one a request",
            "cluster_entries_per_second": "to fill it by a cluster as measured",
            "monitor_leaves_per_second": "a new monitor reads it in",
            "fsck_leaves_per_second": "fsck takes",
        }
        return Row(words[name], lambda n: span(n / figures[name]))

    rows = [
        Row("log.db", lambda n: size(n * figures["database_bytes"])),
        Row("PostgreSQL", lambda n: size(n * figures["postgresql_bytes"])),
        Row("public files", lambda n: size(n * figures["public_bytes"])),
        Row("entry bundles", lambda n: f"{math.ceil(n / FULL):,}"),
        Row("hash tiles", lambda n: f"{tiles(n):,}"),
        Row(
            "an inclusion proof",
            lambda n: (
                f"{math.ceil(math.log2(n))} hashes,"
                f" {HASH_SIZE * math.ceil(math.log2(n))} bytes"
            ),
        ),
        Row("a bundle", lambda n: f"{amount(bundle_kib(figures, n))} KiB"),
        after("batch_entries_per_second"),
        after("single_entries_per_second"),
        after("cluster_entries_per_second"),
        after("monitor_leaves_per_second"),
        after("fsck_leaves_per_second"),
        Row(
            "to copy log.db",
            lambda n: span(
                n * figures["database_bytes"] / use["copy_bytes_per_second"]
            ),
        ),
        Row(
            "puts to publish it in a bucket",
            lambda n: (
                f"{amount(n * put_rate)},"
                f" {amount(n * put_rate / 1000 * price['bucket_put_1000'])}"
                f" {assumed.currency}"
            ),
        ),
        Row(
            f"to keep it a month, {assumed.currency}",
            lambda n: amount(
                n
                / 1e9
                * (
                    2 * figures["database_bytes"] * price["disk_gb_month"]
                    + figures["public_bytes"] * price["bucket_gb_month"]
                )
            ),
        ),
    ]
    return reckon("entries", ENTRIES, rows)


def machine_block(figures: Figures, _assumed: Assumed) -> Block:
    """What one machine carries, as it was measured."""
    names = {
        "entries a second, in batches": ("batch_entries_per_second", ""),
        "entries a second, one a request": ("single_entries_per_second", ""),
        "rate at 3M entries, of that at 100k": ("share_at_3m", ""),
        "bundles a second, each asked for once": ("bundles_per_second", ""),
        "start-up at 3M entries": ("start_seconds_at_3m", " s"),
        "resident memory at 3M entries": ("resident_mib_at_3m", " MiB"),
        "a monitor's memory at 1M entries": ("monitor_mib", " MiB"),
    }

    def cell(name: str, unit: str) -> str:
        return f"{amount(figures[name])}{unit}"

    rows = [
        Row(words, lambda _n, of=of: cell(*of))  # type: ignore[misc] # bound at once
        for words, of in names.items()
    ]
    return reckon("what", {"measured": 1}, rows)


def assumed_block(_figures: Figures, assumed: Assumed) -> Block:
    """Prices and use."""
    lines = [
        (f"`{name}`", f"{value:,}")
        for part in (assumed.price, assumed.use)
        for name, value in part.items()
    ]
    head = (f"assumed, {assumed.currency} of {assumed.date}", "")
    return Block(table(head, lines), {})


def sources_block(figures: Figures, _assumed: Assumed) -> Block:
    """Where the figures are from."""
    head = ("measured", "", "unit", "source")
    return Block(table(head, figures.sources()), {})


BLOCKS = {
    "machine": machine_block,
    "entries": entries_block,
    "costs": cost_block,
    "assumed": assumed_block,
    "sources": sources_block,
}


def fill(page: str, figures: Figures, assumed: Assumed) -> tuple[str, dict[str, str]]:
    """The page with its tables, and the figures that are missing, with their source."""
    lacks: dict[str, str] = {}
    for name, make in BLOCKS.items():
        block = make(figures, assumed)
        page = put(page, name, block.text)
        lacks |= block.lacks
    return page, lacks


def main() -> int:
    """Print or write the tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--prices", type=Path, default=PRICES)
    chosen = parser.parse_args()
    figures, assumed = Figures.load(chosen.figures), Assumed.load(chosen.prices)
    page, lacks = fill(PAGE.read_text("utf-8"), figures, assumed)
    if chosen.write:
        PAGE.write_text(page, "utf-8")
    else:
        for make in BLOCKS.values():
            print(make(figures, assumed).text)
    for name, source in lacks.items():
        print(f"not measured yet: {name}; it comes from {source}", file=sys.stderr)
    return _UNMEASURED if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
