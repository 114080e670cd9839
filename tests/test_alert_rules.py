"""deploy/alerts.yml, held against what /metrics has and against the documentation.

`promtool` (Debian: prometheus, whose service is not needed) also runs the cases of
deploy/alerts.test.yml; PCRLOG_PROMTOOL names one that is not on the PATH.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml  # type: ignore[import-untyped] # for the tests alone; its types would be one more package
from flask import Flask
from prometheus_client import CollectorRegistry

from log_server.app import create_app
from log_server.bridge import Bridge
from log_server.config import Config, Member, Quorum
from log_server.config import Settings as LogSettings
from log_server.standing import Standing, Standings
from monitor.metrics import Metrics
from monitor.witness import Witness
from monitor.witness_app import create_witness_app
from monitor.witness_config import Settings, read_signer
from monitor.witness_making import make_witness_folder
from monitor.witness_serving import LogList, Status
from monitor.witness_store import NAME, WitnessStore
from tests.support.memory_log import witness
from tests.support.vectors import ROOT
from tests.test_docs import slugs
from tests.unit.log_server.parties import Log
from tests.unit.monitor.delivering import configure, stdout

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "alerts.yml"
CASES = DEPLOY / "alerts.test.yml"
PROMTOOL = os.environ.get("PCRLOG_PROMTOOL") or shutil.which("promtool")
NOW = 1_795_590_000
SELECTOR = re.compile(r"\b(pcrlog_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
WORDS = {"job", "instance"}
"""Labels that Prometheus itself adds."""


def rules() -> Iterator[dict[str, Any]]:
    """Each rule."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]


EACH = pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule["alert"])


class Exported(NamedTuple):
    """What /metrics of all three has: each sample's labels, and the log's routes."""

    labels: dict[str, set[str]]
    routes: set[str]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    folder = tmp_path_factory.mktemp("metrics")
    app = serving(folder)
    found = dict(samples(app.extensions["pcrlog"].registry))
    found |= samples(of_monitor(folder / "m"))
    found |= of_witness(folder / "w")
    yield Exported(found, {rule.rule for rule in app.url_map.iter_rules()})
    app.extensions["pcrlog"].close()


def serving(folder: Path) -> Flask:
    """The web process of a log with a witness."""
    log = Log.create(folder / "log")
    key = str(witness("w1.example/a").public)
    asked = Quorum(1, (Member(key, "https://w1.example/a"),))
    settings = msgspec.structs.replace(log.config.settings, witnesses=asked)
    config = Config(log.config.directory, settings)
    Standings(None, 0, (Standing("w1.example/a", "witness"),)).write(config.witnessing)
    app = create_app(config, clock=log.clock)
    Bridge(app, app.extensions["pcrlog"], 1).close()
    return app


def of_monitor(folder: Path) -> CollectorRegistry:
    """The metrics of a monitor that has not looked yet."""
    folder.mkdir()
    registry = CollectorRegistry()
    Metrics(configure(folder, stdout()), lambda: NOW, registry)
    return registry


def of_witness(folder: Path) -> dict[str, set[str]]:
    """The samples of a witness that was not asked yet."""
    make_witness_folder(folder, "w1.example", NOW)
    settings = Settings.load(folder)
    signer = read_signer(folder, settings)
    logs = LogList(folder, settings, lambda _text: None)
    with closing(
        WitnessStore(folder / NAME, str(signer.public), lambda _step: None)
    ) as store:
        status = Status(store, logs)
        one = Witness(store, signer, logs.key, lambda: NOW)
        create_witness_app(one, status.registry)
        return samples(status.registry)


def samples(registry: CollectorRegistry) -> dict[str, set[str]]:
    """The names of all samples that there can be, with their labels."""
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        for name in names_of(family.name, family.type):
            found.setdefault(name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    # A counter that was never counted has no sample to read its labels from.
    for collector, names in registry._collector_to_names.items():
        for name in names:
            more = {"le"} if name.endswith("_bucket") else set()
            declared = set(getattr(collector, "_labelnames", ())) | more
            found.setdefault(name, set()).update(declared)
    return found


def names_of(family: str, kind: str) -> Iterable[str]:
    """What the samples of a family are called."""
    match kind:
        case "counter":
            return [f"{family}_total"]
        case "histogram":
            return [f"{family}_{end}" for end in ("bucket", "sum", "count")]
        case _:
            return [family]


@EACH
def test_every_metric_of_a_rule_exists_with_its_labels(
    rule: dict[str, Any], exported: Exported
) -> None:
    for name, matchers in SELECTOR.findall(rule["expr"]):
        assert name in exported.labels, rule["alert"]
        for label, value in MATCHER.findall(matchers):
            assert label in exported.labels[name] | WORDS, (name, label)
            if label == "route":
                assert value in exported.routes


@EACH
def test_a_rule_groups_and_words_by_labels_that_its_metrics_have(
    rule: dict[str, Any], exported: Exported
) -> None:
    names = {name for name, _ in SELECTOR.findall(rule["expr"])}
    has = WORDS.union(*(exported.labels[name] for name in names))
    groups = re.findall(r"\b(?:by|on) \(([\w, ]+)\)", rule["expr"])
    used = {word.strip() for group in groups for word in group.split(",")}
    used |= set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used <= has


@EACH
def test_a_rule_says_how_grave_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "do", "runbook"}


@EACH
def test_a_rule_leads_to_a_place_in_the_documentation(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (ROOT / path).read_text("utf-8")
    assert not anchor or anchor in slugs(text)


def test_rules_have_one_name_each() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_bounds_that_follow_from_a_setting_are_those_of_its_default() -> None:
    settings = LogSettings.parse(b'origin = "log.example/pcr"')
    found = {rule["alert"]: rule["expr"] for rule in rules()}
    assert f"> {settings.heartbeat + 60} " in found["LogSealLate"]
    assert f"> {settings.most_waiting // 2} " in found["LogBacklogGrows"]
    assert f"[{3 * settings.heartbeat // 3600}h]" in found["LogWitnessSilent"]


def test_each_rule_has_a_case_in_which_it_fires() -> None:
    fired = set(re.findall(r'alertname="(\w+)"', CASES.read_text("utf-8")))
    assert fired == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize(
    "words", [("check", "rules", RULES.name), ("test", "rules", CASES.name)]
)
def test_promtool_takes_the_rules_and_each_case_comes_out(
    words: tuple[str, ...],
) -> None:
    if PROMTOOL is None:
        pytest.skip("no promtool here: apt-get install prometheus, or PCRLOG_PROMTOOL")
    done = subprocess.run(
        [PROMTOOL, *words], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
