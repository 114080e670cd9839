"""What a log costs a month, by how often it is read.

A read is what a client asks before it trusts an enclave: one bundle, with gzip.
Monitors are there however few read; each of them polls, and at each new checkpoint it
reads the last entry bundle and the last hash tile again, half full on the average.
"""

from collections.abc import Callable, Mapping

from bench.reckoning import Assumed, Block, Figures, Row, amount, reckon, size
from pcrlog.tiles import FULL, tiles_of

READS: Mapping[str, float] = {"1k": 1e3, "1M": 1e6, "100M": 1e8}
_MONTH = 30 * 86_400
_GB = 1e9
_HASH_TILE = 8192
_STRETCH = 2048
_LARGE = 1 << 26


def puts(batch: int) -> float:
    """How many objects a checkpoint with so many new entries puts, on the average.

    The checkpoint, each hash tile that is new or wider, the entry bundles beside.
    """
    total, size_before = 0, _LARGE
    for _ in range(_STRETCH):
        grown = size_before + batch
        tiles = list(tiles_of(grown, size_before))
        total += 1 + len(tiles) + sum(tile.level == 0 for tile in tiles)
        size_before = grown
    return total / _STRETCH


class Costs:
    """Bytes, requests and money of one month.

    Args:
        figures: what was measured.
        assumed: prices and use.
    """

    def __init__(self, figures: Figures, assumed: Assumed) -> None:
        self._figures = figures
        self._assumed = assumed
        self._price, self._use = assumed.price, assumed.use

    # --- bytes and requests ---------------------------------------------------------

    def checkpoints(self) -> float:
        """Checkpoints a month."""
        return self._use["entries_month"] + self._use["heartbeats_month"]

    def read_bytes(self, reads: float) -> float:
        """Bytes that readers get."""
        bundle = self._figures["bundle_gzip_kib_at_1m"] * 1024
        return reads * (bundle + self._use["overhead_bytes"])

    def monitor_requests(self) -> float:
        """Requests of all monitors: polls, and two files for each checkpoint."""
        polls = _MONTH / self._use["poll_seconds"]
        return self._use["monitors"] * (polls + 2 * self.checkpoints())

    def monitor_bytes(self) -> float:
        """Bytes that all monitors get, nothing of it compressed."""
        poll = self._use["checkpoint_bytes"] + self._use["overhead_bytes"]
        polls = _MONTH / self._use["poll_seconds"] * poll
        last = self._figures["public_bytes"] * FULL / 2 + _HASH_TILE / 2
        grown = self.checkpoints() * (last + 2 * self._use["overhead_bytes"])
        return self._use["monitors"] * (polls + grown)

    def put_requests(self) -> float:
        """Puts into a bucket: every entry is published by itself, with its seal."""
        return self._use["entries_month"] * puts(2) + (
            self._use["heartbeats_month"] * puts(1)
        )

    def held(self, *names: str) -> float:
        """Bytes of the log as large as it is assumed to be."""
        return self._use["entries_held"] * sum(self._figures[name] for name in names)

    # --- money ----------------------------------------------------------------------

    def egress(self, reads: float) -> float:
        """For what leaves."""
        sent = self.read_bytes(reads) + self.monitor_bytes()
        return sent / _GB * self._price["egress_gb"]

    def one_machine(self, reads: float) -> float:
        """A machine with SQLite and the files on its disk, twice, and what leaves."""
        disk = 2 * self.held("database_bytes", "public_bytes") / _GB
        machine = self._price["machine_month"] + disk * self._price["disk_gb_month"]
        return machine + self.egress(reads)

    def bucket(self) -> float:
        """The files in a bucket, from which the monitors read."""
        stored = self.held("public_bytes") / _GB * self._price["bucket_gb_month"]
        written = self.put_requests() / 1000 * self._price["bucket_put_1000"]
        read = self.monitor_requests() / 1000 * self._price["bucket_get_1000"]
        return stored + written + read

    def cluster(self, reads: float) -> float:
        """Machines that answer and sequence, PostgreSQL, a bucket, what leaves."""
        machines = self._use["machines"] * self._price["machine_month"]
        return (
            machines
            + self._price["database_month"]
            + self.bucket()
            + self.egress(reads)
        )


def cost_block(figures: Figures, assumed: Assumed) -> Block:
    """The table."""
    costs, peak = Costs(figures, assumed), assumed.use["peak"]

    def money(price: Callable[[float], float]) -> Callable[[float], str]:
        return lambda reads: amount(price(reads))

    rows = [
        Row("reads a second, mean", lambda n: amount(n / _MONTH)),
        Row(f"at a peak of {peak:g} x", lambda n: amount(peak * n / _MONTH)),
        Row(
            "cores for that peak",
            lambda n: amount(2 * peak * n / _MONTH / figures["bundles_per_second"], 2),
        ),
        Row("readers get", lambda n: size(costs.read_bytes(n))),
        Row("monitors get", lambda _n: size(costs.monitor_bytes())),
        Row(f"what leaves, {assumed.currency}", money(costs.egress)),
        Row(f"**one machine**, {assumed.currency}", money(costs.one_machine)),
        Row(f"the bucket, {assumed.currency}", money(lambda _n: costs.bucket())),
        Row(f"**a cluster**, {assumed.currency}", money(costs.cluster)),
        Row(
            "one machine, a thousand reads",
            money(lambda n: costs.one_machine(n) / n * 1000),
        ),
    ]
    return reckon("reads a month", READS, rows)
