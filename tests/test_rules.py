"""Each rule of docs/protocol.md cites its vectors, and each vector is cited.

A rule is what stands under a heading, or in a paragraph that begins in bold. Its
citations are the line "Vectors: ...", in which `family` stands for all cases of a
family and `family/pattern` for those that match.
"""

import re
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from cli.conformance import Case, load
from pcrlog.measurement import PLATFORMS
from pcrlog.verification.checks import CHECKS
from tests.conformance.__main__ import FOLDER

PROTOCOL = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text("utf-8")
FAMILIES = {path.stem: load(path) for path in sorted(FOLDER.glob("*.json"))}
CASES = [f"{name}/{one.id}" for name, found in FAMILIES.items() for one in found.cases]
UNIT = re.compile(r"(?m)^#{2,4} (?P<heading>.+)$|(?<=\n\n)\*\*(?P<bold>[^*]+)\*\*")
WITHOUT = {
    "Admission.": "the log's own rule: no verifier can tell",
    "2.1 Statements": "nothing stands under it but rules of their own",
    "4.4 Document, modes, channel": "the same",
    "4.8 The report": "words for people, of what the vectors of 4.7 have as data",
    "4.9 Limits": "its table has a column for them",
    "5. What could go wrong, and who notices": "consequences",
    "6. Words": "words",
    "7. Formats shared with other logs": "an introduction",
}


def units() -> list[tuple[str, str]]:
    """The title and the text of each rule."""
    found = list(UNIT.finditer(PROTOCOL))
    starts = [*(one.start() for one in found), len(PROTOCOL)]
    return [
        (one["heading"] or one["bold"], PROTOCOL[start:end])
        for one, (start, end) in zip(found, pairwise(starts), strict=True)
    ]


def cited(text: str) -> list[str]:
    lines = re.findall(r"(?m)^Vectors: (.+)\.$", text)
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line)]


def matching(citation: str) -> list[str]:
    pattern = citation if "/" in citation else f"{citation}/*"
    return [case for case in CASES if fnmatch(case, pattern)]


def limits() -> list[tuple[str, list[str]]]:
    rows = re.findall(r"(?m)^\| `([A-Z_]+)` \|.*\| ([^|]*) \|$", PROTOCOL)
    return [(name, re.findall(r"`([^`]+)`", cell)) for name, cell in rows]


@pytest.mark.parametrize("unit", units(), ids=lambda unit: unit[0])
def test_each_rule_cites_its_vectors(unit: tuple[str, str]) -> None:
    title, text = unit
    assert bool(cited(text)) != (title in WITHOUT)
    assert [one for one in cited(text) if not matching(one)] == []


def test_rules_without_vectors_are_rules() -> None:
    assert WITHOUT.keys() <= {title for title, _ in units()}


def test_each_vector_is_cited() -> None:
    named = {case for one in cited(PROTOCOL) for case in matching(one)}
    assert [case for case in CASES if case not in named] == []


def test_each_limit_has_a_vector_that_holds_and_one_beyond() -> None:
    found = dict(limits())
    none = {name for name, citations in found.items() if not citations}
    assert none == {
        "STATEMENTS_PER_MEASUREMENT",
        "KEY_FILE",
        "COLLATERAL",
        "BUNDLE",
        "BUNDLE_ENTRIES",
        "UPDATES",
    }
    for name, citations in found.items():
        assert [one for one in citations if one not in CASES] == [], name


def outcomes(case: Case) -> dict[str, str]:
    """What the checks of a run came to."""
    checks: dict[str, str] = case.expect["ok"]["checks"]
    return checks


def test_each_check_has_a_run_with_each_of_its_outcomes() -> None:
    """Section 4.7 says which a check has: "never" and "-" stand where it has none."""
    rows = re.findall(
        r"(?m)^\| `([a-z.-]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", PROTOCOL
    )
    wanted = {
        (check, status)
        for check, fails, unchecked in rows
        for status, words in (("fail", fails), ("unchecked", unchecked), ("pass", ""))
        if words not in {"never", "-"}
    }
    own = {check for one in PLATFORMS.values() for check in one.checks}
    assert {check for check, _ in wanted} == {*CHECKS, *own}
    seen = {
        outcome
        for family in FAMILIES.values()
        for case in family.cases
        if case.ask["op"] == "verify"
        for outcome in outcomes(case).items()
    }
    assert wanted - seen == set()
    assert {
        (check, status) for check, status in seen - wanted if status == "fail"
    } == set()
