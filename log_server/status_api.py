"""/healthz, /metrics, /openapi.json, /api/v1/key: about the server, not the log."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from log_server.clock_check import Refusal
from log_server.config import Config
from log_server.disk import Trouble, fault_of
from log_server.openapi import document
from log_server.problems import problem_of
from log_server.registrar import root_keyid
from log_server.responses import (
    parameters,
    respond,
    respond_json,
    respond_problem,
)
from log_server.standing import Standing, Standings
from log_server.store import Store
from log_server.submissions import Submissions

_LATE_SECONDS = 60
"""A statement that waits for longer, a heartbeat that is later, a quorum that is
missing for longer, is a fault."""
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Health:
    """How the server is: `ok` is what /healthz answers 200 for.

    `seal_age`, `oldest_waiting` and `quorum_missing` are in seconds; `clock` says why
    the sequencer refuses it, `disk` what is wrong there; each is empty if nothing is.
    `lease` says who sequences, if there may be several (`lease.Seen.holder`).
    """

    ok: bool
    sequencer: bool
    lease: str
    size: int
    seal_age: int
    frozen: bool
    waiting: int
    oldest_waiting: int
    quorum_missing: int
    clock: str
    disk: str
    witnesses: tuple[Standing, ...]


class Status:
    """Asks the parts of the server how they are."""

    def __init__(
        self,
        config: Config,
        store: Store,
        submissions: Submissions,
        clock: Callable[[], int],
        trouble: Trouble,
    ) -> None:
        self._config = config
        self._store = store
        self._submissions = submissions
        self._clock = clock
        self._trouble = trouble

    def health(self) -> Health:
        """How the server is now."""
        now = self._clock()
        with self._store.published() as snapshot:
            published = snapshot.published()
        backlog = self._submissions.backlog()
        sequencer = self._submissions.is_alive()
        frozen = published is not None and published[0].frozen
        age = now - published[0].time if published is not None else now
        waited = 0 if backlog.oldest is None else max(0, now - backlog.oldest)
        # A seal from the future is as useless to clients as one from the past.
        latest = self._config.settings.heartbeat + _LATE_SECONDS
        late = not -_LATE_SECONDS <= age <= latest and not frozen
        told = self._told()
        missing = told.missing(now)
        clock = Refusal.read(self._config.clock_refused)
        disk = self._trouble.words()
        return Health(
            ok=sequencer
            and not (late or clock or disk)
            and max(waited, missing) <= _LATE_SECONDS
            and not any(one.alarm for one in told.members),
            sequencer=sequencer,
            lease=self._submissions.sequencer(),
            size=0 if published is None else published[0].size,
            seal_age=age,
            frozen=frozen,
            waiting=backlog.rows,
            oldest_waiting=waited,
            quorum_missing=missing,
            clock=clock,
            disk=disk,
            witnesses=told.members,
        )

    def _told(self) -> Standings:
        """What the sequencer says of its witnesses; nothing of a log without any."""
        asked = bool(self._config.settings.cosigners())
        return Standings.read(self._config.witnessing) if asked else Standings()

    def collect(self) -> Iterator[Metric]:
        """The gauges of /metrics, read when they are asked for."""
        health = self.health()
        for name, value, words in (
            ("size", health.size, "Leaves published"),
            ("seal_age_seconds", health.seal_age, "Age of the published seal"),
            ("waiting", health.waiting, "Statements that wait for a decision"),
            ("oldest_waiting_seconds", health.oldest_waiting, "Age of the oldest"),
            ("sequencer_up", int(health.sequencer), "Whether the sequencer runs"),
            ("frozen", int(health.frozen), "Whether the log is frozen"),
            ("clock_refused", bool(health.clock), "Whether the clock is refused"),
            ("disk_fault", bool(health.disk), "Whether the disk is full, or fails"),
        ):
            yield GaugeMetricFamily(f"pcrlog_{name}", words, value=value)
        yield from self._collect_witnesses()

    def _collect_witnesses(self) -> Iterator[Metric]:
        told = self._told()
        seconds = told.missing_seconds + told.missing(self._clock())
        yield CounterMetricFamily(
            "pcrlog_quorum_missing_seconds",
            "Time without a quorum, since the sequencer began",
            value=seconds,
        )
        labels = ("name", "role")
        cosigned = CounterMetricFamily(
            "pcrlog_cosignatures", "Cosignatures received", labels=labels
        )
        alarms = CounterMetricFamily(
            "pcrlog_witness_alarms", "Answers that contradict the log", labels=labels
        )
        for one in told.members:
            cosigned.add_metric((one.name, one.role), one.cosignatures)
            alarms.add_metric((one.name, one.role), one.alarms)
        yield from (cosigned, alarms)


class Requests:
    """Counts requests and measures them; files are counted by the web server."""

    def __init__(self, registry: CollectorRegistry, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._count = Counter(
            "pcrlog_requests",
            "Requests answered",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "pcrlog_request_seconds",
            "Time to answer; of a submission: including what it waited",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=registry,
        )

    def watch(self, app: Flask) -> None:
        """Count the requests of an app."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def _begin(self) -> None:
        g.begun = self._timer()

    def _end(self, response: Response) -> Response:
        # The rule, not the path: what clients choose must not become a label.
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.url_rule else "none"
        self.count(route, method, response.status_code, g.begun)
        return response

    def begin(self) -> float:
        """When a request begins that passes Flask by."""
        return self._timer()

    def count(self, route: str, method: str, status: int, begun: float) -> None:
        """Count a request that is answered."""
        self._count.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(self._timer() - begun)


def blueprint(
    config: Config, store: Store, status: Status, registry: CollectorRegistry
) -> Blueprint:
    """The routes."""
    routes = Blueprint("status", __name__)
    registry.register(status)
    vkey = str(config.vkey())

    @routes.get("/healthz")
    def healthz() -> Response:
        parameters(request, ())
        try:
            health = status.health()
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            # Whoever asks this runs the server, and is told which file it is.
            return respond_problem(problem_of(fault), str(fault))
        return respond_json(asdict(health), status=200 if health.ok else 503)

    @routes.get("/metrics")
    def metrics() -> Response:
        return respond(generate_latest(registry), _PROMETHEUS)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        parameters(request, ())
        return respond_json(document())

    @routes.get("/api/v1/key")
    def key() -> Response:
        # For getting to know a log. Whoever relies on it has these from elsewhere.
        parameters(request, ())
        with store.published() as snapshot:
            root = root_keyid(snapshot, config.origin)
        return respond_json(
            {
                "origin": config.origin,
                "vkey": vkey,
                "registrar": root,
                "trusted": "nothing: compare with what you have from elsewhere",
            }
        )

    return routes
