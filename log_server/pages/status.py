"""How the server is, for everybody; latency and growth as plots.

What only its operator should read stays in /healthz: names of files, and what a witness
answered. That a witness says this log contradicts itself, everybody should read.
"""

from collections.abc import Iterable

from flask import Response
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from log_server.pages.desk import Desk
from log_server.pages.home import cosigners
from log_server.pages.plot import POINTS, growth_of
from log_server.pages.reading import Reading
from log_server.status_api import Health

_SECONDS = "pcrlog_request_seconds_bucket"
_STEPS = (("0.005", "5 ms"), ("0.025", "25 ms"), ("0.1", "0.1 s"), ("1.0", "1 s"))
_SUBMIT = ("/api/v1/entries", "POST")


class Bar(Struct, frozen=True):
    """How many answers came within a time, of all."""

    words: str
    count: int
    part: float


class Latency(Struct, frozen=True):
    """Answers by how long they took, since this process began."""

    name: str
    total: int
    bars: tuple[Bar, ...]


def page(
    desk: Desk, reading: Reading, health: Health, registry: CollectorRegistry
) -> Response:
    """The page."""
    published = reading.snapshot.published()
    return desk.render.page(
        "status",
        health=health,
        now=desk.now(),
        checkpoint=None if published is None else published[0],
        note="" if published is None else published[1].decode(),
        members=cosigners(desk, b"" if published is None else published[1]),
        growth=growth_of(list(reading.growth(POINTS))),
        latencies=[one for one in latencies(registry) if one.total],
        settings=desk.config.settings,
    )


def latencies(registry: CollectorRegistry) -> list[Latency]:
    """Of submissions, which wait for a checkpoint, and of all other requests."""
    samples = [
        sample
        for metric in registry.collect()
        if metric.name == "pcrlog_request_seconds"
        for sample in metric.samples
        if sample.name == _SECONDS
    ]
    return [
        _latency("Submissions", [s for s in samples if _is_submission(s)]),
        _latency("Questions", [s for s in samples if not _is_submission(s)]),
    ]


def _is_submission(sample: Sample) -> bool:
    return (sample.labels["route"], sample.labels["method"]) == _SUBMIT


def _latency(name: str, samples: Iterable[Sample]) -> Latency:
    within: dict[str, float] = {}
    for sample in samples:
        bound = sample.labels["le"]
        within[bound] = within.get(bound, 0) + sample.value
    total, before, bars = within.get("+Inf", 0), 0.0, []
    for bound, words in (*_STEPS, ("+Inf", "longer")):
        count = within.get(bound, 0) - before
        before += count
        bars.append(Bar(words, int(count), count / total if total else 0))
    return Latency(name, int(total), tuple(bars))
