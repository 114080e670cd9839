"""What a monitor shows over HTTP."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from monitor.alerts import Alert
from monitor.config import Config
from monitor.ledger import Ledger
from monitor.pages import create_pages, plot
from monitor.state import Round, State, Verified
from pcrlog import limits
from tests.support.vectors import ROOT
from tests.unit.monitor.delivering import (
    HOSTILE,
    LOG,
    NOW,
    alert,
    configure,
    smtp,
    stdout,
)

NOTE = b"log.example/pcr\n5\nAAAA\n\n\xe2\x80\x94 log.example/pcr AAAA\n"
EVIDENCE = b'{"format":"pcrlog-evidence/v1"}'
SINKS = smtp("127.0.0.1:25") + stdout()


def client(config: Config, now: int = NOW) -> FlaskClient:
    return create_pages(config, lambda: now).test_client()


def watch(config: Config, *outcomes: str) -> State:
    """A state with rounds that ended so, the last one five seconds ago."""
    state = State(config.state / "monitor.db")
    state.begin("vkey", b"first", NOW)
    state.advance(
        Verified(1_234_567, (bytes(32),) * 11, NOTE, NOW - 7300, frozen=False), []
    )
    for age, outcome in zip(range(5 * len(outcomes), 0, -5), outcomes, strict=True):
        state.add_round(
            time=NOW - age, took_ms=age, size=5, outcome=outcome, found=f"so <{age}>"
        )
    return state


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configure(tmp_path, SINKS)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(config: Config, now: int = NOW) -> str:
    """The page, which is well-formed, and neither has nor fetches anything foreign."""
    answer = client(config, now).get("/")
    assert answer.status_code == 200
    reader = _Reader()
    reader.feed(answer.text)
    assert reader.open == []
    assert reader.tags.isdisjoint({"script", "style", "img", "iframe", "form"})
    for name, value in reader.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in {"href", "src"}:
            assert not re.match(r"[a-z]+:|//", value or "")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    return answer.text


# --- the page -------------------------------------------------------------------------


def test_before_the_first_round_nobody_watches(config: Config) -> None:
    text = page(config)
    assert "<h1>Not watching</h1>" in text
    assert "No round has ended yet." in text
    assert not list(config.state.iterdir())


def test_a_clean_log_is_verified(config: Config) -> None:
    watch(config, "clean", "clean").close()
    text = page(config)
    assert "<h1>Verified</h1>" in text
    assert "1\u202f234\u202f567" in text
    assert "2 h ago" in text
    assert text.count("<rect") == 2


@pytest.mark.parametrize(
    ("outcomes", "age", "words"),
    [
        (("clean", "unchecked"), 0, "The last round could not look: so &lt;5&gt;."),
        (("clean",), 500, "The last round ended 8 min ago: does the monitor run?"),
    ],
)
def test_a_monitor_that_does_not_look_says_so(
    config: Config, outcomes: tuple[str, ...], age: int, words: str
) -> None:
    watch(config, *outcomes).close()
    text = page(config, NOW + age)
    assert "<h1>Not watching</h1>" in text
    assert words in text


def test_what_is_wrong_now_is_said_with_what_to_do(config: Config) -> None:
    state = watch(config, "alerts")
    state.set_condition(Alert.of("stale", LOG, "since", "old", time=NOW - 7300))
    state.close()
    text = page(config)
    assert "<h1>Something is wrong</h1>" in text
    assert "for 2 h" in text
    assert "ask the operator; clients with a strict policy" in text


def test_a_log_that_lied_is_never_verified_again(config: Config) -> None:
    state = watch(config, "clean")
    lie = Alert.of(
        "fork", LOG, "checkpoint 9", "two", time=NOW, evidence="f-9.pcrevidence"
    )
    state.raise_alert(lie)
    state.remember("follow", "tainted", "fork")
    state.close()
    text = page(config)
    assert "<h1>This log has lied</h1>" in text
    assert "two histories that cannot both be true" in text
    assert '<a href="evidence/f-9.pcrevidence">' in text


def test_what_a_log_or_a_sink_said_is_text(config: Config) -> None:
    state = watch(config, "clean")
    state.raise_alert(Alert.of("revoked", LOG, HOSTILE, HOSTILE, time=NOW))
    state.close()
    ledger = Ledger(config.state / "delivery.db")
    ledger.enrol(["mail", "stdout"], 1)
    ledger.keep_refused("mail", NOW - 300, HOSTILE)
    ledger.keep_taken("stdout", 1, "<b>")
    ledger.close()
    text = page(config)
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "refuses for 5 min" in text
    assert "takes alerts; &lt;b&gt;" in text


def test_a_log_that_is_frozen_and_sinks_that_are_none_are_said(tmp_path: Path) -> None:
    config = configure(tmp_path)
    state = watch(config, "clean")
    size = state.verified().size
    state.advance(Verified(size, (), NOTE, NOW, frozen=True), [])
    state.close()
    text = page(config)
    assert "It has sealed for the last time." in text
    assert "nobody is told" in text


def test_the_plot_is_as_high_as_its_longest_round() -> None:
    rounds = tuple(
        Round(n, NOW, took, 5, "clean", "x")
        for n, took in enumerate((0, 1, 100, 10**9))
    )
    heights = [bar.height for bar in plot(rounds)]
    assert heights == sorted(heights, reverse=True)
    assert (heights[0], heights[-1]) == (56, 3)
    assert plot(rounds)[-1].x == 119 * 6


def test_the_stylesheet_may_be_kept(config: Config) -> None:
    [name] = re.findall(r"status-[0-9a-f]+\.css", page(config))
    answer = client(config).get(f"/{name}")
    assert answer.content_type == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]


def test_who_can_be_asked_to_compare_says_so(config: Config) -> None:
    pages = create_pages(config, lambda: NOW, lambda _data: (200, {}))
    assert "http://localhost/check" in pages.test_client().get("/").text
    assert "curl" not in page(config)


# --- for programs ---------------------------------------------------------------------


def test_the_feed_is_served_and_not_sent_twice(config: Config) -> None:
    state = watch(config, "clean")
    state.raise_alert(alert(1))
    state.close()
    answer = client(config).get("/feed.atom")
    assert answer.content_type == "application/atom+xml; charset=utf-8"
    assert alert(1).id in answer.text
    again = client(config).get(
        "/feed.atom", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


def test_the_last_verified_checkpoint_is_served_as_it_was_shown(config: Config) -> None:
    assert client(config).get("/checkpoint").status_code == 404
    watch(config).close()
    answer = client(config).get("/checkpoint")
    assert answer.data == NOTE
    assert answer.content_type == "text/plain; charset=utf-8"


def test_evidence_is_served_by_its_name_alone(config: Config) -> None:
    folder = config.state / "evidence"
    folder.mkdir()
    (folder / "fork-9.pcrevidence").write_bytes(EVIDENCE)
    (folder / "fork-9.pcrevidence.new").write_bytes(EVIDENCE)
    (folder / ".new.pcrevidence").write_bytes(EVIDENCE)
    (folder / "link.pcrevidence").symlink_to(config.folder / "webhook.secret")
    (folder / "folder.pcrevidence").mkdir()
    answer = client(config).get("/evidence/fork-9.pcrevidence")
    assert (answer.data, answer.content_type) == (EVIDENCE, "application/json")
    for name in (
        "fork-9.pcrevidence.new",
        ".new.pcrevidence",
        "link.pcrevidence",
        "folder.pcrevidence",
        "FORK-9.pcrevidence",
        "none.pcrevidence",
        "..",
        "../monitor.db",
        "..%2fmonitor.db",
        "%2e%2e/%2e%2e/webhook.secret",
        "%2fetc%2fpasswd",
        "fork-9.pcrevidence%00",
        "fork-9.pcrevidence/",
        "a" * 5000,
    ):
        assert client(config).get(f"/evidence/{name}").status_code == 404


@pytest.mark.parametrize(
    ("outcomes", "age", "failing", "status"),
    [
        ((), 0, False, 503),
        (("clean",), 0, False, 200),
        (("unchecked", "alerts"), 0, False, 200),
        (("clean", "unchecked"), 0, False, 503),
        (("clean",), 500, False, 503),
        (("clean",), 0, True, 503),
    ],
)
def test_health_is_to_look_and_to_be_heard(
    config: Config, outcomes: tuple[str, ...], age: int, *, failing: bool, status: int
) -> None:
    watch(config, *outcomes).close()
    ledger = Ledger(config.state / "delivery.db")
    ledger.enrol(["mail", "stdout"], 0)
    if failing:
        ledger.keep_refused("mail", NOW, "no")
    ledger.close()
    answer = client(config, NOW + age).get("/healthz")
    assert answer.status_code == status
    found: dict[str, Any] = answer.get_json()
    assert found["ok"] is (status == 200)
    assert found["sinks_failing"] == (["mail"] if failing else [])
    assert found["size"] == 1_234_567


# --- metrics --------------------------------------------------------------------------


def metrics(config: Config) -> dict[str, float]:
    """Each sample, by its name and the values of its labels."""
    answer = client(config).get("/metrics")
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_say_how_it_is(config: Config) -> None:
    state = watch(config, "clean", "alerts", "unchecked")
    state.raise_alert(alert(1))
    state.raise_alert(alert(2))
    state.set_condition(Alert.of("stale", LOG, "since", "old", time=NOW))
    state.close()
    ledger = Ledger(config.state / "delivery.db")
    ledger.enrol(["mail", "stdout"], 0)
    ledger.keep_taken("stdout", 2, None)
    ledger.keep_refused("mail", NOW - 60, "no")
    ledger.close()
    found = metrics(config)
    for name, value in {
        "rounds_total": 3,
        "last_rounds clean": 1,
        "last_rounds unchecked": 1,
        "round_seconds": 0.005,
        "round_age_seconds": 5,
        "clean_age_seconds": 15,
        "verified_size": 1_234_567,
        "seal_age_seconds": 7300,
        "lied": 0,
        "alerts_total revoked": 2,
        "alerts_total stale": 1,
        "alerts_total fork": 0,
        "condition stale": 1,
        "condition unreachable": 0,
        "sink_pending mail smtp": 3,
        "sink_pending stdout stdout": 1,
        "sink_failing_seconds mail smtp": 60,
        "sink_failing_seconds stdout stdout": 0,
    }.items():
        assert found[f"pcrlog_monitor_{name}"] == value, name


def test_what_never_was_is_infinitely_long_ago(config: Config) -> None:
    found = metrics(config)
    for name in ("clean_age", "round_age", "seal_age"):
        assert found[f"pcrlog_monitor_{name}_seconds"] == float("inf")


def test_the_documentation_lists_every_metric(config: Config) -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^\| `(pcrlog_monitor_\w+)", text))
    assert listed == {name.split(" ")[0] for name in metrics(config)}


# --- check ----------------------------------------------------------------------------


def test_what_is_handed_in_is_compared(config: Config) -> None:
    asked: list[bytes] = []

    def check(data: bytes) -> tuple[int, Mapping[str, object]]:
        asked.append(data)
        return 200, {"verdict": "same"}

    pages = create_pages(config, lambda: NOW, check).test_client()
    answer = pages.post("/check", data=NOTE)
    assert (answer.status_code, answer.get_json()) == (200, {"verdict": "same"})
    assert pages.post("/check", data=bytes(limits.BUNDLE)).status_code == 200
    assert pages.post("/check", data=bytes(limits.BUNDLE + 1)).status_code == 413
    assert pages.post("/check", data=bytes(limits.BUNDLE + 2)).status_code == 413
    assert pages.post("/check").status_code == 400
    assert pages.get("/check").status_code == 405
    assert [len(data) for data in asked] == [len(NOTE), limits.BUNDLE]


def test_without_anybody_to_compare_there_is_no_check(config: Config) -> None:
    assert client(config).post("/check", data=NOTE).status_code == 404


# --- what goes wrong ------------------------------------------------------------------


def test_what_is_not_there_is_said_in_plain_text(config: Config) -> None:
    answer = client(config).get("/<script>")
    assert (answer.status_code, answer.text) == (404, "Not Found\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = client(config).post("/")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_mistake_of_ours_tells_nothing_but_its_number(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    def check(data: bytes) -> tuple[int, Mapping[str, object]]:
        message = f"{data!r} at {config.state}"
        raise ZeroDivisionError(message)

    pages = create_pages(config, lambda: NOW, check).test_client()
    answer = pages.post("/check", data=NOTE)
    assert answer.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    assert str(config.state) not in answer.text
