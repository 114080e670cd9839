"""What /metrics says, for Prometheus; docs/alerts.md lists each, a test compares.

Gauges are read from the state when they are asked for. What never was (a clean round, a
seal) is infinitely long ago, so that a rule about its age fires.
"""

import math
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from monitor.alerts import KINDS
from monitor.config import Config
from monitor.overview import Overview

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OUTCOMES = ("clean", "alerts", "unchecked")
_CONDITIONS = {"quorum-lost", "stale", "unreachable"}
"""Always there, so that a rule about one of them has something to look at."""


class Metrics:
    """The metrics of one monitor.

    Args:
        config: whose state.
        clock: unix seconds.
        registry: has the metrics of whatever is served beside it.
    """

    def __init__(
        self,
        config: Config,
        clock: Callable[[], int],
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._registry = registry or CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read the state."""
        seen, now = Overview.read(self._config, alerts=0), self._clock()
        yield from _of_rounds(seen, now)
        yield from _of_log(seen, now)
        yield from _of_sinks(seen, now)
        yield GaugeMetricFamily(
            "pcrlog_monitor_views_failing",
            "Others who have seen the log, and could not be asked",
            value=len(seen.views),
        )


def _of_rounds(seen: Overview, now: int) -> Iterator[Metric]:
    last = seen.rounds[0] if seen.rounds else None
    yield CounterMetricFamily(
        "pcrlog_monitor_rounds", "Rounds", value=last.number if last else 0
    )
    outcomes = GaugeMetricFamily(
        "pcrlog_monitor_last_rounds",
        "The last rounds (1000 at most), by how they ended",
        labels=("outcome",),
    )
    counts = seen.outcomes()
    for outcome in _OUTCOMES:
        outcomes.add_metric((outcome,), counts.get(outcome, 0))
    yield outcomes
    yield GaugeMetricFamily(
        "pcrlog_monitor_round_seconds",
        "How long the last round took",
        value=last.took_ms / 1000 if last else 0,
    )
    yield GaugeMetricFamily(
        "pcrlog_monitor_round_age_seconds",
        "Time since the last round",
        value=max(0, now - last.time) if last else math.inf,
    )
    clean = seen.clean_age(now)
    yield GaugeMetricFamily(
        "pcrlog_monitor_clean_age_seconds",
        "Time since a round came out clean",
        value=math.inf if clean is None else clean,
    )


def _of_log(seen: Overview, now: int) -> Iterator[Metric]:
    sealed = seen.verified.sealed
    yield GaugeMetricFamily(
        "pcrlog_monitor_verified_size", "Leaves verified", value=seen.verified.size
    )
    yield GaugeMetricFamily(
        "pcrlog_monitor_seal_age_seconds",
        "Age of the last verified seal",
        value=now - sealed if sealed else math.inf,
    )
    yield GaugeMetricFamily(
        "pcrlog_monitor_lied",
        "Whether the log was ever caught in a lie",
        value=int(seen.tainted is not None),
    )
    alerts = CounterMetricFamily(
        "pcrlog_monitor_alerts", "Alerts ever raised", labels=("kind",)
    )
    wrong = GaugeMetricFamily(
        "pcrlog_monitor_condition",
        "Whether something of this kind is wrong now",
        labels=("kind",),
    )
    for kind in KINDS:
        alerts.add_metric((kind,), seen.kinds.get(kind, 0))
    now_wrong = {one.kind for one in seen.conditions}
    for kind in sorted(now_wrong | _CONDITIONS):
        wrong.add_metric((kind,), int(kind in now_wrong))
    yield from (alerts, wrong)


def _of_sinks(seen: Overview, now: int) -> Iterator[Metric]:
    labels = ("sink", "type")
    pending = GaugeMetricFamily(
        "pcrlog_monitor_sink_pending", "Alerts that wait for a sink", labels=labels
    )
    failing = GaugeMetricFamily(
        "pcrlog_monitor_sink_failing_seconds",
        "For how long a sink has refused; 0: it takes alerts",
        labels=labels,
    )
    for one in seen.sinks:
        key = (one.name, one.kind)
        pending.add_metric(key, one.pending)
        since = one.failing
        failing.add_metric(key, 0 if since is None else max(1, now - since))
    yield from (pending, failing)
