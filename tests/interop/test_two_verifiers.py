"""Two verifiers side by side: pcrlog and web/verifier print one report, word for word.

Of every run that the vectors ask for, of those with quotes and collateral once more
with something in these spoiled, and of random histories, under random policies, as
tests/property/test_machine.py makes them. Each row of the table is a member of a report
in which the two differ; the table is empty.

Words are the same too, but for the quotes around what is cited, and where a library of
ours, or how a proof is counted, puts a failure into words: `_OWN_WORDS`.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, TypeAlias

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from cli.conformance import load
from pcrlog.encoding import decode_base64
from pcrlog.errors import UsageError
from pcrlog.policy import Policy
from pcrlog.verification import Memory, Report, verify
from tests.conformance.__main__ import FOLDER
from tests.interop.node import ask_node, find_node
from tests.interop.questions import spoiled
from tests.property import test_machine as machine

Ask: TypeAlias = dict[str, Any]
Row: TypeAlias = tuple[str, str, object, object]
"""A case, the path of a member, and what it is in pcrlog and in web/verifier."""

FAMILIES = [load(path) for path in sorted(FOLDER.glob("*.json"))]
ASKS = {
    f"{family.family}/{case.id}": family.question(case)
    for family in FAMILIES
    for case in family.cases
    if case.ask["op"] == "verify"
}
_OWN_WORDS = {
    "document.form": "",
    "document.signature": "",
    "document.chain": "",
    "document.collateral": "",
    "log.signature": "not the JSON expected here: ",
    "log.memory": ": consistency: proof has ",
    "entries.authority": "not the JSON expected here: ",
}
"""Checks that each puts into words of its own, and what then is among ours."""


# --- both are asked -------------------------------------------------------------------


def run(ask: Ask) -> Report:
    """Our report."""
    members = ("bundle", "nonce", "collateral")
    given = {one: decode_base64(ask[one]) for one in members if one in ask}
    binding = {k: decode_base64(v) for k, v in ask.get("binding", {}).items()}
    return verify(
        decode_base64(ask["attestation"]),
        given.get("bundle"),
        Policy.parse(decode_base64(ask["policy"])),
        product=ask["product"],
        now=ask["now"],
        at=ask.get("at"),
        nonce=given.get("nonce"),
        binding=binding or None,
        memory=_memory(ask["memory"]) if "memory" in ask else None,
        collateral=given.get("collateral"),
    )


def _memory(memory: Ask) -> Memory:
    proof = memory.get("proof")
    hashes = None if proof is None else tuple(map(decode_base64, proof))
    note = decode_base64(memory["note"])
    return Memory(note, hashes, memory.get("frozen", False))


def ours(ask: Ask) -> str:
    """Our report as it is printed; for what is no policy, the word of the vectors."""
    try:
        return run(ask).to_json().decode()
    except UsageError:
        return '{"error":"usage"}'


def table(asks: Mapping[str, Ask]) -> list[Row]:
    """Where the reports of the two differ."""
    questions = [{**ask, "op": "report"} for ask in asks.values()]
    answers = ask_node(find_node(), questions)
    rows: list[Row] = []
    for (name, ask), answer in zip(asks.items(), answers, strict=True):
        one = ours(ask)
        other = answer["ok"]["report"] if "ok" in answer else json.dumps(answer)
        if one != other:
            found = differences(json.loads(one), json.loads(other))
            rows += ((name, path, a, b) for path, a, b in found)
    return rows


# --- the comparison -------------------------------------------------------------------


def differences(one: Any, other: Any) -> Iterator[tuple[str, object, object]]:
    """The members that differ, but for `_OWN_WORDS`."""
    excused = _excused(one, other)
    for path, a, b in _walk(one, other, ""):
        if path not in excused:
            yield path, a, b


def _walk(one: Any, other: Any, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name, member in one.items():
            yield from _walk(member, other[name], f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            name = a["id"] if isinstance(a, dict) and "id" in a else at
            yield from _walk(a, b, f"{path}.{name}")
    elif _plain(one) != _plain(other):
        yield path, one, other


def _plain(value: object) -> object:
    """Each language quotes and escapes what it cites in its own way."""
    if not isinstance(value, str):
        return value
    escaped = re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", value)
    return escaped.replace('\\"', '"').replace('"', "'")


def _excused(one: Any, other: Any) -> set[str]:
    """Paths of words that each chose, and of a headline that repeats them."""
    paths = set()
    checks = zip(one.get("checks", ()), other.get("checks", ()), strict=False)
    for a, b in checks:
        ours_has = _OWN_WORDS.get(a["id"])
        same = {**a, "found": ""} == {**b, "found": ""}
        if ours_has is None or not same or a["status"] == "pass":
            continue
        if a["id"].startswith("document.") and a["status"] == "unchecked":
            continue
        if ours_has in a["found"]:
            paths.add(f".checks.{a['id']}.found")
            quotes = f"{a['id']}: {a['found']}", f"{b['id']}: {b['found']}"
            if one["headline"].replace(*quotes) == other["headline"]:
                paths.add(".headline")
    return paths


# --- the questions --------------------------------------------------------------------


def test_both_print_the_same_report_of_every_vector() -> None:
    assert len(ASKS) > 200
    assert table(ASKS) == []


@pytest.mark.parametrize("member", ["attestation", "collateral"])
def test_both_print_the_same_report_of_spoiled_machines(member: str) -> None:
    asks = spoiled_machines(member, 300)
    verdicts = {json.loads(ours(ask)).get("verdict") for ask in asks.values()}
    assert verdicts >= {"refuted", "unchecked"}
    assert table(asks) == []


@pytest.mark.slow
@pytest.mark.parametrize("member", ["attestation", "collateral"])
def test_both_print_the_same_report_of_many_spoiled_machines(member: str) -> None:
    assert table(spoiled_machines(member, 4000)) == []


def spoiled_machines(member: str, count: int) -> dict[str, Ask]:
    """Runs of the vectors with something else in the quote, or in its collateral."""
    random = Random(member)
    whole = [ask for ask in ASKS.values() if "collateral" in ask]
    found = {}
    for number in range(count):
        ask = random.choice(whole)
        found[f"{member} {number}"] = ask | spoiled({member: ask[member]}, random)
    return found


def test_both_print_the_same_report_of_random_histories(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks = histories(monkeypatch, 15)
    verdicts = {json.loads(ours(ask)).get("verdict") for ask in asks.values()}
    assert verdicts >= {"verified", "refuted"}
    assert table(asks) == []


@pytest.mark.slow
def test_both_print_the_same_report_of_many_histories(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert table(histories(monkeypatch, 150)) == []


def histories(monkeypatch: pytest.MonkeyPatch, count: int) -> dict[str, Ask]:
    """What is asked in the course of some random histories."""
    asks: dict[str, Ask] = {}
    policies: dict[str, bytes] = {}
    parse = Policy.parse

    class Remembering:
        """Policies with the text that they were read from."""

        @staticmethod
        def parse(data: bytes) -> Policy:
            policy = parse(data)
            policies[policy.sha256] = data
            return policy

    def note(attestation: bytes, bundle: bytes, policy: Policy, **given: Any) -> Report:
        asked = {
            "attestation": attestation,
            "bundle": bundle,
            "policy": policies[policy.sha256],
            **{name: value for name, value in given.items() if value is not None},
        }
        asks[f"history {len(asks)}"] = _encoded(asked)
        return verify(attestation, bundle, policy, **given)

    monkeypatch.setattr(machine, "Policy", Remembering)
    monkeypatch.setattr(machine, "verify", note)
    settings = hypothesis.settings(
        max_examples=count,
        stateful_step_count=25,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(machine.Machine, settings=settings)
    return asks


def _encoded(value: Any) -> Any:
    """The same with byte strings in base64, as questions spell them."""
    if isinstance(value, dict):
        return {name: _encoded(member) for name, member in value.items()}
    return b64encode(value).decode() if isinstance(value, bytes) else value


# --- the table can fill ---------------------------------------------------------------


def test_another_status_or_word_is_a_difference() -> None:
    ask = ASKS["log/aged-24-h"]
    report = json.loads(ours(ask))
    assert list(differences(report, report)) == []
    for check in report["checks"]:
        other = json.loads(ours(ask))
        [changed] = [one for one in other["checks"] if one["id"] == check["id"]]
        changed["status"] = "fail"
        assert list(differences(report, other))
        changed |= {**check, "found": "something else"}
        assert list(differences(report, other))
    assert list(differences(report, {**report, "more": 1}))


def test_an_excuse_covers_its_own_words_alone() -> None:
    ask = ASKS["log/no-json"]
    report = json.loads(ours(ask))
    other = json.loads(ours(ask))
    [check] = [one for one in other["checks"] if one["id"] == "log.signature"]
    before = check["found"]
    check["found"] = "other words"
    other["headline"] = other["headline"].replace(before, "other words")
    assert list(differences(report, other)) == []
    assert list(differences(report, {**other, "headline": "REFUTED: something"}))
    check["status"] = "unchecked"
    assert list(differences(report, other))
